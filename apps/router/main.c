/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * weir-router: forwards, beside whatever routing daemon runs, what the kernel's tables say.
 *
 * Everything that happens is in the stack; here are the options, the signals and the control
 * socket. Exit status: 0 ended as asked, 1 could not start or went wrong, 2 usage.
 */
#include "cnet/stack.h"
#include "cnet/version.h"
#include "lib/req/req.h"
#include "lib/sys/notify.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

enum { EXIT_USAGE = 2 };
enum { OPT_CHECK = 1000, OPT_VERSION, OPT_CONF };

struct router {
	struct weir *weir;
	struct req_server *server;
	struct wr_log log;
	struct wr_watch signals;
	int signal_fd;
	bool must_stop;
};

struct options {
	struct conf conf;
	bool is_check;
};

static void usage(FILE *to)
{
	fputs("weir-router: IPv4 forwarding in user space, by the kernel's tables\n"
	      "\n"
	      "usage: weir-router [-c FILE] -i PORT... [-s SOCKET] [-w WORKERS] [SETTING...]\n"
	      "\n"
	      "  -i PORT                forward what comes in here (repeat for each): an interface, or\n"
	      "                         another kind of port, see below\n"
	      "  -c FILE                settings, a line each: name value, or: interface PORT\n"
	      "  -s SOCKET              as --socket\n"
	      "  -w WORKERS             as --workers\n"
	      "  --check                say what would be taken and how; take nothing\n"
	      "  -h, --help             this text\n"
	      "  -V, --version          the version\n"
	      "\n"
	      "settings:\n",
	      to);
	wr_conf_print_options(to);
	fputs("\nports: an interface's name, or KIND:NAME with options behind commas. With dev=NAME, the\n"
	      "interface in the kernel that stands for a port which is none (else KIND and a number).\n",
	      to);
	wr_port_print_drivers(to);
	fputs("\nRuns in the foreground and logs to stderr. SIGTERM ends it; SIGHUP compares the\n"
	      "tables with the kernel's.\n",
	      to);
}

static int set(struct conf *conf, const char *name, const char *value)
{
	struct wr_err err;

	if (!wr_conf_set(conf, name, value, &err))
		return 0;
	fprintf(stderr, "weir-router: %s\n", err.text);
	return EXIT_USAGE;
}

static int take_option(struct options *o, int opt, const struct conf_options *table)
{
	struct wr_err err;

	switch (opt) {
	case 'i':
		if (!wr_conf_add_interface(&o->conf, optarg, &err))
			return 0;
		break;
	case 'c':
		if (!wr_conf_load(&o->conf, optarg, &err))
			return 0;
		break;
	case 's':
		return set(&o->conf, "socket", optarg);
	case 'w':
		return set(&o->conf, "workers", optarg);
	case OPT_CHECK:
		o->is_check = true;
		return 0;
	case 'h':
		usage(stdout);
		exit(EXIT_SUCCESS);
	case 'V':
		puts("weir-router " WEIR_VERSION);
		exit(EXIT_SUCCESS);
	default:
		return set(&o->conf, table->rows[opt - OPT_CONF].name, optarg);
	}
	fprintf(stderr, "weir-router: %s\n", err.text);
	return EXIT_USAGE;
}

/* getopt_long() has returned '?' or ':' for the word `arg`. */
static int bad_option(struct conf *conf, const struct option *rows, char *arg,
		      bool is_value_missing)
{
	struct wr_err err;

	if (is_value_missing) {
		fprintf(stderr, "weir-router: %s: needs a value; 'weir-router --help' says which\n",
			arg);
		return EXIT_USAGE;
	}
	if (optopt && arg[1] != '-') {
		fprintf(stderr,
			"weir-router: -%c: no such option; 'weir-router --help' lists them\n",
			optopt);
		return EXIT_USAGE;
	}
	/* Known, or an unknown setting whose name may be nearly right. */
	arg[strcspn(arg, "=")] = '\0';
	for (const struct option *row = rows; row->name; row++)
		if (!strcmp(row->name, arg + 2)) {
			fprintf(stderr, "weir-router: %s: takes no value\n", arg);
			return EXIT_USAGE;
		}
	if (!wr_conf_set(conf, arg + 2, NULL, &err))
		wr_err(&err, -EINVAL, "%s: may mean several options", arg);
	fprintf(stderr, "weir-router: %s\n", err.text);
	return EXIT_USAGE;
}

/* A setting is written with '_' in a file and with '-' here; who mixes them up is understood. */
static void accept_underscores(char **argv)
{
	for (; *argv; argv++)
		for (char *c = *argv; !strncmp(*argv, "--", 2) && *c && *c != '='; c++)
			if (*c == '_')
				*c = '-';
}

static int parse_options(int argc, char **argv, struct options *ret_options)
{
	static const struct option own[] = {
		{"check", no_argument, NULL, OPT_CHECK},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
	};
	struct option rows[CONF_N + wr_array_size(own) + 1] = {{0}};
	struct conf_options table;
	int opt;

	wr_conf_init(&ret_options->conf);
	wr_conf_options(&table, OPT_CONF);
	memcpy(rows, own, sizeof(own));
	memcpy(rows + wr_array_size(own), table.rows, CONF_N * sizeof(rows[0]));
	opterr = 0;
	accept_underscores(argv + 1);
	while ((opt = getopt_long(argc, argv, ":i:c:s:w:hV", rows, NULL)) != -1) {
		int status = opt == '?' || opt == ':' ? bad_option(&ret_options->conf, rows,
								   argv[optind - 1], opt == ':')
						      : take_option(ret_options, opt, &table);

		if (status)
			return status;
	}
	if (optind < argc) {
		fprintf(stderr, "weir-router: '%s': not an option; interfaces are given as -i %s\n",
			argv[optind], argv[optind]);
		return EXIT_USAGE;
	}
	if (!ret_options->conf.n_ports) {
		fputs("weir-router: no interface; name at least one: weir-router -i eth0 -i eth1\n",
		      stderr);
		return EXIT_USAGE;
	}
	return 0;
}

/* Of a stack without interfaces, so that one that is not there does not hide what there is to say
 * of the others. */
static int check(struct router *r, struct conf *conf, struct wr_err *err)
{
	unsigned n_ports = conf->n_ports;
	int code, status = EXIT_SUCCESS;

	conf->n_ports = 0;
	code = wr_stack_create(conf, &r->log, wr_clock_monotonic(), &r->weir, err);
	if (code) {
		fprintf(stderr, "weir-router: %s\n", err->text);
		return EXIT_FAILURE;
	}
	for (unsigned i = 0; i < n_ports; i++) {
		char say[512];

		if (wr_stack_check_port(r->weir, i, say, sizeof(say), err)) {
			printf("%s\n", err->text);
			status = EXIT_FAILURE;
		} else {
			printf("%s: %s\n", wr_conf_port(conf, i), say);
		}
	}
	wr_stack_free(r->weir);
	return status;
}

static int answer(void *arg, char *const *words, unsigned n_words, struct req_reply *reply,
		  struct wr_err *err)
{
	struct router *r = arg;

	return wr_command(r->weir, words, n_words, reply, err);
}

static void on_signal(struct wr_watch *watch, uint32_t events)
{
	struct router *r = wr_container_of(watch, struct router, signals);
	struct signalfd_siginfo info;

	(void)events;
	while (read(r->signal_fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo != SIGHUP) {
			r->must_stop = true;
			continue;
		}
		wr_log(&r->log, WR_LOG_INFO, "SIGHUP: comparing the tables with the kernel's");
		if (wr_mirror_resync(r->weir->mirror))
			wr_log(&r->log, WR_LOG_WARN,
			       "comparing the tables with the kernel's failed; is tried again");
	}
}

/* Before any thread starts, so that all inherit the mask. */
static int open_signals(struct router *r)
{
	sigset_t set_of;

	if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		return -errno;
	sigemptyset(&set_of);
	sigaddset(&set_of, SIGTERM);
	sigaddset(&set_of, SIGINT);
	sigaddset(&set_of, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &set_of, NULL))
		return -errno;
	r->signal_fd = signalfd(-1, &set_of, SFD_CLOEXEC | SFD_NONBLOCK);
	return r->signal_fd < 0 ? -errno : 0;
}

/* /run/weir is ours to make; any other directory of the socket is the operator's. */
static void make_socket_dir(const char *socket)
{
	if (!strncmp(socket, "/run/weir/", strlen("/run/weir/")))
		mkdir("/run/weir", 0755);
}

/* The line that sums up what the lines before it have said. */
static void say_ready(const struct router *r)
{
	const struct weir *weir = r->weir;
	unsigned n_ports = weir->conf.n_ports, n_transit = 0;
	char what[64];

	for (unsigned i = 0; i < n_ports; i++)
		n_transit += weir->ports[i].transit;
	if (!n_transit)
		snprintf(what, sizeof(what), "the kernel forwards everything");
	else if (n_transit == n_ports)
		snprintf(what, sizeof(what), "forwarding on %s",
			 n_ports == 1 ? "the one interface" : "all interfaces");
	else
		snprintf(what, sizeof(what), "forwarding on %u of %u interfaces", n_transit,
			 n_ports);
	wr_notify("READY=1");
	wr_log(&r->log, WR_LOG_INFO, "ready: %s, %" PRIu64 " routes; ask with 'weir -s %s'", what,
	       (uint64_t)wr_mirror_stats(weir->mirror).n_routes, weir->conf.socket);
}

/* The socket comes first: it is refused before anything has been taken. */
static int run(struct router *r, struct wr_err *err)
{
	int code;

	make_socket_dir(r->weir->conf.socket);
	code = wr_req_listen(r->weir->loop, r->weir->conf.socket, answer, r, &r->server, err);
	if (!code)
		code = wr_stack_start(r->weir, err);
	if (code)
		return code;
	r->signals.ready = on_signal;
	code = wr_watch_start(r->weir->loop, &r->signals, r->signal_fd, 1 /* EPOLLIN */);
	if (code)
		return wr_err(err, code, "watching for signals: %s", strerror(-code));
	say_ready(r);
	while (!r->must_stop && !code)
		code = wr_loop_turn(r->weir->loop, UINT64_MAX);
	wr_notify("STOPPING=1");
	if (code)
		wr_err(err, code, "event loop: %s", strerror(-code));
	return code;
}

static int serve(struct router *r, const struct conf *conf)
{
	struct wr_err err = {.text = ""};
	int code = wr_stack_create(conf, &r->log, wr_clock_monotonic(), &r->weir, &err);

	if (!code)
		code = run(r, &err);
	if (code)
		fprintf(stderr, "weir-router: %s\n", err.text);
	else
		wr_log(&r->log, WR_LOG_INFO, "stopping: the kernel forwards from here");
	if (r->server)
		wr_req_close(r->server);
	if (r->weir)
		wr_stack_free(r->weir);
	return code ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	struct router r = {.log = {.write = wr_log_stderr, .max_level = WR_LOG_INFO},
			   .signals.fd = -1};
	static struct options o; /* too large for a stack frame */
	struct wr_err err = {.text = ""};
	int code = parse_options(argc, argv, &o);

	if (code)
		return code;
	code = open_signals(&r);
	if (code) {
		fprintf(stderr, "weir-router: signals: %s\n", strerror(-code));
		return EXIT_FAILURE;
	}
	code = o.is_check ? check(&r, &o.conf, &err) : serve(&r, &o.conf);
	close(r.signal_fd);
	return code;
}
