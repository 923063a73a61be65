/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the tests of the memif driver share: a directory of their own, packet memory, ports opened
 * by their strings, and waiting for something by sleeping on the ports' descriptors, so that a
 * wake-up that is lost is a test that fails.
 */
#ifndef TESTS_MEMIF_WORLD_H
#define TESTS_MEMIF_WORLD_H

#include "lib/port/memif_private.h"
#include "lib/port/spec.h"

#include <dirent.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { N_FRAMES = 16384, MAX_ENDS = 4, PATIENCE_MS = 20000 };

struct world {
	struct umem *umem;
	struct pool pools[MAX_ENDS][2]; /* of each queue */
	struct port *ends[MAX_ENDS];    /* NULL: not there */
	char dir[64], socket[80];
	unsigned n_fds;
};

static inline unsigned count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static inline int world_setup(void **state)
{
	const struct umem_conf conf = {.n_frames = N_FRAMES, .frame_bytes = 2048};
	struct world *w = calloc(1, sizeof(*w));

	*state = w;
	if (!w)
		return -1;
	w->n_fds = count_fds();
	snprintf(w->dir, sizeof(w->dir), "%s/weir-memif-XXXXXX", P_tmpdir);
	if (!mkdtemp(w->dir) || wr_umem_create(&conf, &w->umem, NULL))
		return -1;
	snprintf(w->socket, sizeof(w->socket), "%s/m.sock", w->dir);
	for (unsigned i = 0; i < 2 * MAX_ENDS; i++)
		wr_pool_init(&w->pools[i / 2][i % 2], w->umem);
	return 0;
}

static inline void close_end(struct world *w, unsigned end)
{
	w->ends[end]->ops->close(w->ends[end]);
	w->ends[end] = NULL;
}

/* All frames are back, no descriptor and no file is left. */
static inline int world_teardown(void **state)
{
	struct world *w = *state;
	bool is_whole;

	for (unsigned i = 0; i < MAX_ENDS; i++)
		if (w->ends[i])
			close_end(w, i);
	for (unsigned i = 0; i < 2 * MAX_ENDS; i++)
		wr_pool_fini(&w->pools[i / 2][i % 2]);
	is_whole = wr_umem_audit(w->umem) == N_FRAMES;
	wr_umem_free(w->umem);
	is_whole &= count_fds() == w->n_fds;
	is_whole &= !rmdir(w->dir);
	if (!is_whole)
		print_error("frames, descriptors or files are left\n");
	free(w);
	return is_whole ? 0 : -1;
}

/* Opens "memif:<socket><options>". 0 or -errno. */
static inline int try_open(struct world *w, unsigned end, const char *options, struct wr_err *err)
{
	char text[PORT_SPEC_BYTES];
	struct port_args args;
	int rc;

	snprintf(text, sizeof(text), "memif:%s%s", w->socket, options);
	assert_int_equal(wr_port_parse(text, &args, NULL), 0);
	rc = wr_port_open(w->umem, &args, &w->ends[end], err);
	if (rc < 0)
		return rc;
	w->ends[end]->port_idx = (uint8_t)(10 + end);
	for (unsigned i = 0; i < w->ends[end]->n_queues && i < 2; i++)
		w->ends[end]->queues[i]->pool = &w->pools[end][i];
	return 0;
}

static inline void open_end(struct world *w, unsigned end, const char *options)
{
	struct wr_err err = {""};
	int rc = try_open(w, end, options, &err);

	if (rc < 0)
		fail_msg("%s", err.text);
}

static inline struct port_queue *queue_of(struct world *w, unsigned end, unsigned queue)
{
	return w->ends[end]->queues[queue];
}

struct fact {
	const char *name;
	uint64_t value;
};

static inline void see_fact(void *arg, const char *name, uint64_t value)
{
	struct fact *fact = arg;

	if (!strcmp(name, fact->name))
		fact->value = value;
}

static inline uint64_t fact_of(const struct port *port, const char *name)
{
	struct fact fact = {name, UINT64_MAX};

	port->ops->facts(port, see_fact, &fact);
	return fact.value;
}

static inline bool is_connected(const struct port *port)
{
	return fact_of(port, "connected");
}

static inline void flush(struct port_queue *q)
{
	q->port->ops->flush(q);
}

static inline bool is_readable(const struct port_queue *q, int timeout_ms)
{
	struct pollfd p = {.fd = q->port->ops->fd(q), .events = POLLIN};

	return poll(&p, 1, timeout_ms) == 1;
}

/* Changes with whatever a test may be waiting for. */
static inline uint64_t sum_of_facts(const struct world *w)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < MAX_ENDS; i++)
		if (w->ends[i])
			sum += is_connected(w->ends[i]) + 3 * fact_of(w->ends[i], "n_connects") +
			       fact_of(w->ends[i], "n_refused") +
			       fact_of(w->ends[i], "n_protocol_errors");
	return sum;
}

/* Sleeps until one of the ends, or `fd` (-1: none), has something, and lets the ends see to their
 * control channels. Nothing is to be received. */
static inline void turn_all(struct world *w, int fd)
{
	struct pollfd fds[2 * MAX_ENDS + 1];
	const uint64_t sum = sum_of_facts(w);
	struct packet *pkt;
	bool is_busy = false;
	nfds_t n = 0;

	for (unsigned i = 0; i < MAX_ENDS; i++)
		for (unsigned k = 0; w->ends[i] && k < w->ends[i]->n_queues; k++) {
			struct port_queue *q = queue_of(w, i, k);

			is_busy |= q->port->ops->arm(q);
			fds[n++] = (struct pollfd){.fd = q->port->ops->fd(q), .events = POLLIN};
		}
	fds[n++] = (struct pollfd){.fd = fd, .events = POLLIN};
	if (!is_busy && sum == sum_of_facts(w) && poll(fds, n, PATIENCE_MS) < 1)
		fail_msg("nothing happens any more");
	for (unsigned i = 0; i < MAX_ENDS; i++)
		for (unsigned k = 0; w->ends[i] && k < w->ends[i]->n_queues; k++)
			assert_int_equal(wr_port_rx(queue_of(w, i, k), &pkt, 1), 0);
}

/* Until the end is connected, or no longer, and each of its queues knows. */
static inline void await(struct world *w, unsigned end, bool connected)
{
	while (is_connected(w->ends[end]) != connected)
		turn_all(w, -1);
}

static inline void open_pair(struct world *w, const char *server, const char *client)
{
	open_end(w, 0, server);
	open_end(w, 1, client);
	await(w, 0, true);
	await(w, 1, true);
}

static inline uint8_t byte_at(unsigned number, size_t at)
{
	return (uint8_t)(number * 31 + at * 7 + (at >> 8));
}

/* A packet whose first bytes are its number and whose others follow from it; NULL: no frames. */
static inline struct packet *numbered(struct pool *pool, unsigned number, size_t len)
{
	uint8_t *buf = malloc(len);
	struct packet *pkt;

	assert_non_null(buf);
	for (size_t i = 0; i < len; i++)
		buf[i] = byte_at(number, i);
	memcpy(buf, &number, sizeof(number));
	pkt = wr_packet_from(pool, buf, len);
	free(buf);
	return pkt;
}

static inline void send_one(struct port_queue *q, unsigned number, size_t len)
{
	struct packet *pkt = numbered(q->pool, number, len);

	assert_non_null(pkt);
	wr_port_tx(q, &pkt, 1);
}

/* Checks every byte, frees the packet, returns its number. */
static inline unsigned check_one(struct port_queue *q, struct packet *pkt, size_t len)
{
	uint8_t *buf = malloc(pkt->len);
	unsigned number;

	assert_non_null(buf);
	assert_int_equal(pkt->len, len);
	assert_int_equal(wr_packet_copy_out(pkt, buf, pkt->len), len);
	memcpy(&number, buf, sizeof(number));
	for (size_t i = sizeof(number); i < len; i++)
		if (buf[i] != byte_at(number, i))
			fail_msg("packet %u: byte %zu is wrong", number, i);
	assert_int_equal(pkt->flags, 0);
	assert_true(pkt->len > q->pool->umem->frame_bytes - WR_HEADROOM ||
		    wr_packet_has_headroom(q->pool->umem, pkt, PORT_TX_HEADROOM));
	assert_int_equal(pkt->rx_port, q->port->port_idx);
	free(buf);
	wr_packet_free(q->pool, pkt);
	return number;
}

/* Receives all there is; the numbers follow each other. Returns how many. */
static inline unsigned receive(struct port_queue *q, unsigned first, size_t len)
{
	struct packet *pkts[7];
	unsigned n, n_all = 0;

	while ((n = wr_port_rx(q, pkts, 7)))
		for (unsigned i = 0; i < n; i++)
			assert_int_equal(check_one(q, pkts[i], len), first + n_all++);
	return n_all;
}

#endif
