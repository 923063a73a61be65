/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * weir-router with the far ends of its ports in the same process, for ports that cannot be reached
 * from another one:
 *
 *   ringed SOCKET PORT FAR FILES [PORT FAR FILES]...
 *
 * Each PORT is one of the router's (ring:x,dev=p0), FAR what is opened in the packet memory of the
 * same router (ring:x), FILES a capture to read from and one to write to (pcap:in,out): what FAR
 * receives is written, what is read FAR sends. SIGTERM ends it.
 */
#include "cnet/stack.h"
#include "lib/req/req.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { MAX_PAIRS = 8 };

struct pair {
	struct port *far, *files;
};

static struct {
	struct weir *weir;
	struct pair pairs[MAX_PAIRS];
	unsigned n_pairs;
	struct pool pool;
	pthread_t thread;
	bool must_stop; /* atomic */
	struct wr_watch signals;
	int signal_fd;
} app;

static _Noreturn void die(const char *text)
{
	fprintf(stderr, "ringed: %s\n", text);
	exit(1);
}

static struct port *open_port(const char *text)
{
	struct port_args args;
	struct wr_err err;
	struct port *port;

	if (wr_port_parse(text, &args, &err) || wr_port_open(app.weir->umem, &args, &port, &err))
		die(err.text);
	port->queues[0]->pool = &app.pool;
	if (port->ops->start && port->ops->start(port->queues[0]))
		die(text);
	return port;
}

static void carry(struct port *from, struct port *to)
{
	struct packet *pkts[WR_BURST];
	unsigned n = wr_port_rx(from->queues[0], pkts, WR_BURST);

	if (n)
		wr_port_tx(to->queues[0], pkts, n);
	to->ops->flush(to->queues[0]);
	from->ops->flush(from->queues[0]);
}

static void *carry_all(void *arg)
{
	(void)arg;
	while (!__atomic_load_n(&app.must_stop, __ATOMIC_ACQUIRE)) {
		for (unsigned i = 0; i < app.n_pairs; i++) {
			carry(app.pairs[i].files, app.pairs[i].far);
			carry(app.pairs[i].far, app.pairs[i].files);
		}
		wr_pool_fini(&app.pool); /* the router counts its frames */
		usleep(100);
	}
	return NULL;
}

static int answer(void *arg, char *const *words, unsigned n_words, struct req_reply *reply,
		  struct wr_err *err)
{
	(void)arg;
	return wr_command(app.weir, words, n_words, reply, err);
}

static void on_signal(struct wr_watch *watch, uint32_t events)
{
	(void)watch;
	(void)events;
	__atomic_store_n(&app.must_stop, true, __ATOMIC_RELEASE);
}

static void block_signals(void)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	app.signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void start(const struct conf *conf, char **words)
{
	static const struct wr_log log = {.write = wr_log_stderr, .max_level = WR_LOG_INFO};
	struct wr_err err = {.text = ""};

	if (wr_stack_create(conf, &log, wr_clock_monotonic(), &app.weir, &err) ||
	    wr_stack_start(app.weir, &err))
		die(err.text);
	wr_pool_init(&app.pool, app.weir->umem);
	for (unsigned i = 0; i < app.n_pairs; i++) {
		app.pairs[i].far = open_port(words[3 * i + 1]);
		app.pairs[i].files = open_port(words[3 * i + 2]);
	}
	app.signals.ready = on_signal;
	if (wr_watch_start(app.weir->loop, &app.signals, app.signal_fd, 1 /* EPOLLIN */) ||
	    pthread_create(&app.thread, NULL, carry_all, NULL))
		die("cannot start");
}

static void stop(void)
{
	pthread_join(app.thread, NULL);
	for (unsigned i = 0; i < app.n_pairs; i++) {
		app.pairs[i].far->ops->close(app.pairs[i].far);
		app.pairs[i].files->ops->close(app.pairs[i].files);
	}
	wr_pool_fini(&app.pool);
	wr_stack_free(app.weir);
}

int main(int argc, char **argv)
{
	struct req_server *server;
	struct wr_err err;
	struct conf conf;

	if (argc < 5 || (argc - 2) % 3 || (argc - 2) / 3 > MAX_PAIRS)
		die("usage: ringed SOCKET PORT FAR FILES [PORT FAR FILES]...");
	block_signals();
	wr_conf_init(&conf);
	conf.punt_answer_pps = 0;
	app.n_pairs = (unsigned)(argc - 2) / 3;
	for (unsigned i = 0; i < app.n_pairs; i++)
		if (wr_conf_add_interface(&conf, argv[2 + 3 * i], &err))
			die(err.text);
	start(&conf, argv + 2);
	if (wr_req_listen(app.weir->loop, argv[1], answer, NULL, &server, &err))
		die(err.text);
	while (!__atomic_load_n(&app.must_stop, __ATOMIC_ACQUIRE))
		if (wr_loop_turn(app.weir->loop, UINT64_MAX))
			die("the event loop has ended");
	wr_req_close(server);
	stop();
	return 0;
}
