/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Numbered frames through a port to somebody who sends them back, and what became of them.
 *
 *   memif [-n COUNT] [-w WINDOW] [-s MIN-MAX] [-p FILE] PORT
 *
 * PORT is a port's string, such as memif:/run/m.sock,role=server. At most WINDOW frames (32) are on
 * the way at a time, and one that finds no room is sent again later; their sizes run from MIN to
 * MAX bytes (60-1514). It ends after COUNT frames (0: never), or by SIGTERM, and prints one line of
 * JSON: sent, received, lost, reordered, corrupt; sleeps (times that it slept on the port's
 * descriptor); the port's counters and facts. When nothing has come back for 30 seconds, without
 * COUNT for half a second, what is on the way is given up (lost), so that it goes on after the
 * other side was restarted. -p: the same line is in FILE all the while.
 */
#include "lib/port/spec.h"

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	N_FRAMES = 8192,
	BURST = 32,
	ETHERTYPE = 0x88b5, /* for local experiments */
	HEADER_BYTES = 14,
	MIN_BYTES = HEADER_BYTES + sizeof(uint64_t),
	MAX_BYTES = 16384,
	GIVE_UP_MS = 500,    /* without COUNT: the other side may have been restarted */
	PATIENCE_MS = 30000, /* with COUNT: the machine may be busy */
	PROGRESS_MS = 50,
	MAX_SLEEP_MS = 50,
};

/* The number of frames that are sent until the first comes back; they are not counted. */
#define PROBE UINT64_MAX

struct tool {
	struct umem *umem;
	struct pool pool;
	struct port *port;
	struct port_queue *q;
	const char *progress;
	uint64_t count, window;
	unsigned min_bytes, max_bytes;
	uint64_t sent, received, lost, reordered, corrupt, sleeps;
	uint64_t next; /* the number expected */
	uint64_t heard_ns, told_ns;
	bool is_heard; /* a probe has come back */
	uint8_t frame[MAX_BYTES], wanted[MAX_BYTES];
};

static volatile sig_atomic_t is_over;

static void end(int signal_number)
{
	(void)signal_number;
	is_over = 1;
}

static _Noreturn void usage(const char *why)
{
	fprintf(stderr, "memif: %s: see the head of tests/net/memif.c\n", why);
	exit(2);
}

static uint64_t now_ns(void)
{
	return wr_now_ns(wr_clock_monotonic());
}

/* --- a frame ---------------------------------------------------------------------------------- */

static size_t bytes_of(const struct tool *t, uint64_t number)
{
	return t->min_bytes + number * 7919 % (t->max_bytes - t->min_bytes + 1);
}

static void make_frame(uint8_t *frame, size_t n, uint64_t number)
{
	static const uint8_t header[HEADER_BYTES] = {
		2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, ETHERTYPE >> 8, ETHERTYPE & 255};

	memcpy(frame, header, sizeof(header));
	memcpy(frame + HEADER_BYTES, &number, sizeof(number));
	for (size_t i = MIN_BYTES; i < n; i++)
		frame[i] = (uint8_t)(number * 31 + i * 7 + (i >> 8));
}

static void send_frames(struct tool *t)
{
	for (unsigned i = 0; i < BURST; i++) {
		const uint64_t n_full = t->q->counters.tx_full;
		const size_t n = bytes_of(t, t->sent);
		struct packet *pkt;

		if (t->sent - t->next >= t->window || (t->count && t->sent == t->count))
			break;
		make_frame(t->frame, n, t->sent);
		pkt = wr_packet_from(&t->pool, t->frame, n);
		if (!pkt)
			break;
		wr_port_tx(t->q, &pkt, 1);
		if (t->q->counters.tx_full != n_full) /* the same one again, later */
			break;
		t->sent++;
	}
	t->port->ops->flush(t->q);
}

/* Whether the frame is, to the last byte, the one whose number it has. */
static bool is_whole(struct tool *t, const struct packet *pkt, uint64_t *ret_number)
{
	const size_t n = wr_packet_copy_out(pkt, t->frame, sizeof(t->frame));

	if (n < MIN_BYTES || n != pkt->len)
		return false;
	memcpy(ret_number, t->frame + HEADER_BYTES, sizeof(*ret_number));
	if (n != bytes_of(t, *ret_number))
		return false;
	make_frame(t->wanted, n, *ret_number);
	return !memcmp(t->frame, t->wanted, n);
}

static void take_frame(struct tool *t, const struct packet *pkt)
{
	uint64_t number;

	if (is_whole(t, pkt, &number) && number == PROBE) {
		t->is_heard = true;
		return;
	}
	if (!is_whole(t, pkt, &number) || number >= t->sent) {
		t->corrupt++;
		return;
	}
	t->received++;
	if (number < t->next) {
		t->reordered++;
		return;
	}
	t->lost += number - t->next;
	t->next = number + 1;
}

static unsigned receive_frames(struct tool *t)
{
	struct packet *pkts[BURST];
	const unsigned n = wr_port_rx(t->q, pkts, BURST);

	for (unsigned i = 0; i < n; i++) {
		take_frame(t, pkts[i]);
		wr_packet_free(&t->pool, pkts[i]);
	}
	return n;
}

/* --- what became of them ---------------------------------------------------------------------- */

static void see_fact(void *arg, const char *name, uint64_t value)
{
	fprintf(arg, ",\"%s\":%llu", name, (unsigned long long)value);
}

static void print(const struct tool *t, FILE *out)
{
	const struct port_counters *c = &t->q->counters;

	fprintf(out,
		"{\"sent\":%llu,\"received\":%llu,\"lost\":%llu,\"reordered\":%llu,\"corrupt\":%llu,"
		"\"sleeps\":%llu,\"tx_full\":%llu,\"tx_errors\":%llu,\"tx_kicks\":%llu,"
		"\"rx_bad\":%llu",
		(unsigned long long)t->sent, (unsigned long long)t->received,
		(unsigned long long)t->lost, (unsigned long long)t->reordered,
		(unsigned long long)t->corrupt, (unsigned long long)t->sleeps,
		(unsigned long long)c->tx_full, (unsigned long long)c->tx_errors,
		(unsigned long long)c->tx_kicks, (unsigned long long)c->rx_bad);
	t->port->ops->facts(t->port, see_fact, out);
	fprintf(out, "}\n");
}

static void tell(struct tool *t, uint64_t now)
{
	char name[256];
	FILE *out;

	t->told_ns = now;
	snprintf(name, sizeof(name), "%s.new", t->progress);
	out = fopen(name, "w");
	if (!out)
		usage("the file for -p cannot be written");
	print(t, out);
	if (fclose(out) || rename(name, t->progress))
		usage("the file for -p cannot be written");
}

/* --- the loop --------------------------------------------------------------------------------- */

static void look_at_the_time(struct tool *t, unsigned n_received)
{
	const uint64_t now = now_ns();
	const uint64_t patience_ms = t->count ? PATIENCE_MS : GIVE_UP_MS;

	if (n_received || t->sent == t->next)
		t->heard_ns = now;
	if (now - t->heard_ns > patience_ms * WR_NS_PER_MS) {
		t->lost += t->sent - t->next;
		t->next = t->sent;
	}
	if (t->progress && now - t->told_ns > PROGRESS_MS * WR_NS_PER_MS)
		tell(t, now);
}

static void sleep_on_port(struct tool *t)
{
	struct pollfd p = {.fd = t->port->ops->fd(t->q), .events = POLLIN};

	if (t->port->ops->arm(t->q))
		return;
	t->sleeps++;
	(void)poll(&p, 1, MAX_SLEEP_MS);
}

static bool is_done(const struct tool *t)
{
	return is_over || (t->count && t->next == t->count);
}

static void run(struct tool *t)
{
	t->heard_ns = now_ns();
	while (!is_done(t)) {
		unsigned n;

		send_frames(t);
		n = receive_frames(t);
		look_at_the_time(t, n);
		if (!n && !is_done(t))
			sleep_on_port(t);
	}
}

/* Until somebody sends frames back: testpmd throws away what comes while it is starting. */
static void await_peer(struct tool *t)
{
	while (!is_over && !t->is_heard) {
		const size_t n = bytes_of(t, PROBE);
		struct packet *pkt;

		make_frame(t->frame, n, PROBE);
		pkt = wr_packet_from(&t->pool, t->frame, n);
		if (pkt)
			wr_port_tx(t->q, &pkt, 1);
		t->port->ops->flush(t->q);
		if (!receive_frames(t))
			sleep_on_port(t);
		look_at_the_time(t, 0);
	}
}

static void open_port(struct tool *t, const char *text)
{
	const struct umem_conf conf = {.n_frames = N_FRAMES, .frame_bytes = 2048};
	struct port_args args;
	struct wr_err err;

	if (wr_umem_create(&conf, &t->umem, &err) || wr_port_parse(text, &args, &err) ||
	    wr_port_open(t->umem, &args, &t->port, &err)) {
		fprintf(stderr, "memif: %s\n", err.text);
		exit(1);
	}
	wr_pool_init(&t->pool, t->umem);
	for (unsigned i = 0; i < t->port->n_queues; i++)
		t->port->queues[i]->pool = &t->pool;
	t->q = t->port->queues[0];
}

static void read_sizes(struct tool *t, const char *text)
{
	if (sscanf(text, "%u-%u", &t->min_bytes, &t->max_bytes) != 2 || t->min_bytes < MIN_BYTES ||
	    t->max_bytes < t->min_bytes || t->max_bytes > MAX_BYTES)
		usage("-s MIN-MAX");
}

static void read_options(struct tool *t, int argc, char **argv)
{
	int c;

	while ((c = getopt(argc, argv, "n:w:s:p:")) != -1)
		switch (c) {
		case 'n':
			t->count = strtoull(optarg, NULL, 10);
			break;
		case 'w':
			t->window = strtoull(optarg, NULL, 10);
			break;
		case 's':
			read_sizes(t, optarg);
			break;
		case 'p':
			t->progress = optarg;
			break;
		default:
			usage("no such option");
		}
	if (optind + 1 != argc)
		usage("one port");
}

int main(int argc, char **argv)
{
	static struct tool t = {.window = BURST, .min_bytes = 60, .max_bytes = 1514};
	uint32_t n_free;

	read_options(&t, argc, argv);
	if (signal(SIGTERM, end) == SIG_ERR)
		usage("no signals");
	open_port(&t, argv[optind]);
	await_peer(&t);
	run(&t);
	print(&t, stdout);
	if (t.progress)
		tell(&t, now_ns());
	t.port->ops->close(t.port);
	n_free = wr_umem_audit(t.umem) + t.pool.n;
	wr_pool_fini(&t.pool);
	if (n_free != t.umem->n_frames) {
		fprintf(stderr, "memif: %u of %u frames are left\n", n_free, t.umem->n_frames);
		return 1;
	}
	wr_umem_free(t.umem);
	return 0;
}
