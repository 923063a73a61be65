/* SPDX-License-Identifier: BSD-3-Clause */
#include "lib/port/ring.c"

#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { N_FRAMES = 4096, N_DESCS = 100 }; /* each pool may hoard WR_POOL_MAX */

struct fixture {
	struct umem *umem;
	struct pool pools[2];
	struct port *ends[2]; /* NULL: closed by the test */
	struct port_queue *a, *b;
};

static int setup(void **state)
{
	const struct umem_conf conf = {.n_frames = N_FRAMES, .frame_bytes = 2048};
	const struct ring_conf ring = {
		.name_a = "a", .name_b = "b", .n_queues = 2, .n_descs = N_DESCS};
	struct fixture *f = calloc(1, sizeof(*f));

	*state = f;
	if (!f || wr_umem_create(&conf, &f->umem, NULL) ||
	    wr_port_ring_open_pair(f->umem, &ring, &f->ends[0], &f->ends[1], NULL))
		return -1;
	for (unsigned i = 0; i < 2; i++) {
		wr_pool_init(&f->pools[i], f->umem);
		f->ends[i]->port_idx = (uint8_t)(10 + i);
		f->ends[i]->queues[0]->pool = &f->pools[i];
		f->ends[i]->queues[1]->pool = &f->pools[i];
	}
	f->a = f->ends[0]->queues[1];
	f->b = f->ends[1]->queues[1];
	return 0;
}

static uint32_t n_free(struct fixture *f)
{
	return wr_umem_audit(f->umem) + f->pools[0].n + f->pools[1].n;
}

static uint32_t n_held(const struct port *port)
{
	uint32_t n = 0;

	for (unsigned i = 0; port && i < port->n_queues; i++)
		n += port->ops->n_frames(port->queues[i]);
	return n;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	bool is_whole = n_free(f) + n_held(f->ends[0]) + n_held(f->ends[1]) == N_FRAMES;

	for (unsigned i = 0; i < 2; i++)
		if (f->ends[i])
			f->ends[i]->ops->close(f->ends[i]);
	is_whole &= n_free(f) == N_FRAMES;
	for (unsigned i = 0; i < 2; i++)
		wr_pool_fini(&f->pools[i]);
	wr_umem_free(f->umem);
	free(f);
	return is_whole ? 0 : -1;
}

/* Sends `n` packets of `len` bytes that begin with their number. */
static void send(struct port_queue *q, unsigned first, unsigned n, size_t len)
{
	static _Thread_local uint8_t buf[9014];

	for (unsigned i = 0; i < n; i++) {
		struct packet *pkt;

		memcpy(buf, &(unsigned){first + i}, sizeof(unsigned));
		pkt = wr_packet_from(q->pool, buf, len);
		assert_non_null(pkt);
		pkt->flags = PKT_CSUM_PARTIAL;
		wr_port_tx(q, &pkt, 1);
	}
}

/* Receives all there is; the numbers must follow each other. Returns how many. */
static unsigned receive(struct port_queue *q, unsigned first)
{
	struct packet *pkts[7];
	unsigned n, n_all = 0;

	while ((n = wr_port_rx(q, pkts, 7))) {
		for (unsigned i = 0; i < n; i++) {
			unsigned number;

			memcpy(&number, pkts[i]->data, sizeof(number));
			assert_int_equal(number, first + n_all++);
			assert_int_equal(pkts[i]->rx_port, q->port->port_idx);
			assert_int_equal(pkts[i]->flags, 0);
			wr_packet_free(q->pool, pkts[i]);
		}
	}
	return n_all;
}

static void order_is_kept_both_ways(void **state)
{
	struct fixture *f = *state;
	struct port_counters c;

	for (unsigned round = 0; round < 10; round++) {
		send(f->a, round * 60, 60, 60);
		send(f->b, round * 60, 60, 5000);
		f->a->port->ops->flush(f->a);
		f->b->port->ops->flush(f->b);
		assert_int_equal(n_held(f->ends[1]), 60);
		assert_int_equal(n_held(f->ends[0]), 60 * 3);
		assert_int_equal(receive(f->b, round * 60), 60);
		assert_int_equal(receive(f->a, round * 60), 60);
	}
	wr_port_counters(f->ends[0], &c);
	assert_int_equal(c.tx_pkts, 600);
	assert_int_equal(c.tx_bytes, 600 * 60);
	assert_int_equal(c.rx_pkts, 600);
	assert_int_equal(c.rx_bytes, 600 * 5000);
}

static void nothing_arrives_before_the_flush(void **state)
{
	struct fixture *f = *state;

	send(f->a, 0, 3, 60);
	assert_int_equal(receive(f->b, 0), 0);
	f->a->port->ops->flush(f->a);
	assert_int_equal(receive(f->b, 0), 3);
	send(f->a, 3, 3, 60); /* left for the teardown */
}

static void a_full_ring_drops_and_counts(void **state)
{
	struct fixture *f = *state;

	send(f->a, 0, N_DESCS + 17, 60);
	f->a->port->ops->flush(f->a);
	assert_int_equal(f->a->counters.tx_full, 17);
	assert_int_equal(f->a->counters.tx_pkts, N_DESCS);
	assert_int_equal(receive(f->b, 0), N_DESCS);
	send(f->a, 0, N_DESCS, 60);
	assert_int_equal(f->a->counters.tx_full, 17);
}

static void discard_throws_away_what_came(void **state)
{
	struct fixture *f = *state;

	send(f->a, 0, 5, 60);
	f->a->port->ops->flush(f->a);
	send(f->a, 5, 2, 60);
	f->b->port->ops->discard(f->b);
	assert_int_equal(f->b->counters.rx_stale, 5);
	assert_int_equal(f->b->counters.rx_pkts, 0);
	f->a->port->ops->flush(f->a);
	assert_int_equal(receive(f->b, 5), 2);
}

static bool is_readable(const struct port_queue *q, int timeout_ms)
{
	struct pollfd p = {.fd = q->port->ops->fd(q), .events = POLLIN};

	return poll(&p, 1, timeout_ms) == 1;
}

static void only_a_sleeper_is_woken(void **state)
{
	struct fixture *f = *state;

	send(f->a, 0, 1, 60);
	f->a->port->ops->flush(f->a);
	assert_int_equal(f->a->counters.tx_kicks, 0);
	assert_true(f->b->port->ops->arm(f->b)); /* it came meanwhile: do not sleep */
	assert_int_equal(receive(f->b, 0), 1);
	assert_false(f->b->port->ops->arm(f->b));
	assert_false(is_readable(f->b, 0));
	send(f->a, 1, 1, 60);
	f->a->port->ops->flush(f->a);
	f->a->port->ops->flush(f->a);
	assert_int_equal(f->a->counters.tx_kicks, 1);
	assert_true(is_readable(f->b, 0));
	assert_int_equal(receive(f->b, 1), 1);
	assert_false(is_readable(f->b, 0));
}

static void a_closed_end_refuses(void **state)
{
	struct fixture *f = *state;

	send(f->a, 0, 4, 60);
	f->a->port->ops->flush(f->a);
	send(f->b, 0, 4, 60);
	f->b->port->ops->flush(f->b);
	f->ends[1]->ops->close(f->ends[1]);
	f->ends[1] = NULL;
	send(f->a, 0, 4, 60);
	assert_int_equal(f->a->counters.tx_errors, 4);
	assert_int_equal(receive(f->a, 0), 4); /* what was on the way arrives */
}

struct stream {
	struct port_queue *q;
	unsigned n;
};

static void *send_stream(void *arg)
{
	struct stream *s = arg;

	for (unsigned sent = 0; sent < s->n;) {
		uint64_t n_full = s->q->counters.tx_full;

		send(s->q, sent, 1, 60);
		s->q->port->ops->flush(s->q);
		if (s->q->counters.tx_full == n_full)
			sent++;
		else
			poll(NULL, 0, 1);
	}
	return NULL;
}

static void a_sleeping_receiver_misses_nothing(void **state)
{
	struct fixture *f = *state;
	struct stream stream = {.q = f->a, .n = 20000};
	unsigned n = 0;
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, send_stream, &stream), 0);
	while (n < stream.n) {
		n += receive(f->b, n);
		if (n < stream.n && !f->b->port->ops->arm(f->b))
			assert_true(is_readable(f->b, 5000));
	}
	pthread_join(thread, NULL);
}

static void impossible_rings_are_a_sentence(void **state)
{
	struct fixture *f = *state;
	struct wr_err err = {""};
	struct port *a = NULL, *b = NULL;
	const struct ring_conf no_queue = {.name_a = "x", .name_b = "y", .n_descs = 8};
	const struct ring_conf no_room = {.name_a = "x", .name_b = "y", .n_queues = 1};

	assert_int_equal(wr_port_ring_open_pair(f->umem, &no_queue, &a, &b, &err), -EINVAL);
	assert_int_equal(wr_port_ring_open_pair(f->umem, &no_room, &a, &b, &err), -EINVAL);
	assert_memory_equal(err.text, "x: 1 queues of 0 packets", 24);
}

static struct port *open_named(struct fixture *f, const char *text)
{
	struct port_args args;
	struct port *port = NULL;

	assert_int_equal(wr_port_parse(text, &args, NULL), 0);
	assert_int_equal(wr_port_open(f->umem, &args, &port, NULL), 0);
	return port;
}

static void two_who_open_one_name_are_connected(void **state)
{
	struct fixture *f = *state;
	struct port *a = open_named(f, "ring:x,descs=8");
	struct port *other = open_named(f, "ring:y"); /* nobody comes for its other end */
	struct port *b = open_named(f, "ring:x");
	struct port *third;
	struct packet *pkt, *got;

	a->queues[0]->pool = &f->pools[0];
	b->queues[0]->pool = &f->pools[1];
	assert_int_equal(wr_pool_get(&f->pools[0], &pkt, 1), 1);
	pkt->flags = PKT_CSUM_PARTIAL;
	pkt->gso_bytes = 1400;
	wr_port_tx(a->queues[0], &pkt, 1);
	a->ops->flush(a->queues[0]);
	assert_int_equal(wr_port_rx(b->queues[0], &got, 1), 1);
	assert_ptr_equal(got, pkt);
	assert_int_equal(got->flags, 0);
	assert_int_equal(got->gso_bytes, 0);
	wr_packet_free(&f->pools[1], got);
	third = open_named(f, "ring:x"); /* a wire of its own */
	a->ops->close(a);
	b->ops->close(b);
	third->ops->close(third);
	other->ops->close(other);
	assert_null(f->umem->rings);
}

static void the_second_end_cannot_have_other_sizes(void **state)
{
	struct fixture *f = *state;
	struct port *a = open_named(f, "ring:x,descs=8"), *b = NULL;
	struct port_args args;
	struct wr_err err = {""};

	assert_int_equal(wr_port_parse("ring:x,descs=16", &args, NULL), 0);
	assert_int_equal(wr_port_open(f->umem, &args, &b, &err), -EINVAL);
	assert_string_equal(err.text, "ring:x,descs=16: the other end has queues=1,descs=8: "
				      "say the same or nothing");
	a->ops->close(a);
	assert_null(f->umem->rings);
}

static void between_workers_metadata_goes_along(void **state)
{
	struct fixture *f = *state;
	const struct ring_conf conf = {
		.name_a = "a", .name_b = "b", .n_queues = 1, .n_descs = 8, .keeps_metadata = true};
	struct port *a, *b;
	struct packet *pkt, *got;

	assert_int_equal(wr_port_ring_open_pair(f->umem, &conf, &a, &b, NULL), 0);
	a->queues[0]->pool = &f->pools[0];
	b->queues[0]->pool = &f->pools[1];
	assert_int_equal(wr_pool_get(&f->pools[0], &pkt, 1), 1);
	pkt->flags = PKT_CSUM_PARTIAL;
	pkt->rx_port = 42;
	wr_port_tx(a->queues[0], &pkt, 1);
	a->ops->flush(a->queues[0]);
	assert_int_equal(wr_port_rx(b->queues[0], &got, 1), 1);
	assert_int_equal(got->flags, PKT_CSUM_PARTIAL);
	assert_int_equal(got->rx_port, 42);
	wr_packet_free(&f->pools[1], got);
	a->ops->close(a);
	b->ops->close(b);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(order_is_kept_both_ways),
		TEST(nothing_arrives_before_the_flush),
		TEST(a_full_ring_drops_and_counts),
		TEST(discard_throws_away_what_came),
		TEST(only_a_sleeper_is_woken),
		TEST(a_closed_end_refuses),
		TEST(a_sleeping_receiver_misses_nothing),
		TEST(impossible_rings_are_a_sentence),
		TEST(two_who_open_one_name_are_connected),
		TEST(the_second_end_cannot_have_other_sizes),
		TEST(between_workers_metadata_goes_along),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
