/* SPDX-License-Identifier: BSD-3-Clause */
#include "lib/port/null.c"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { N_FRAMES = 2048 };

struct fixture {
	struct umem *umem;
	struct pool pool;
	struct port *port;
};

static int setup(void **state)
{
	const struct umem_conf conf = {.n_frames = N_FRAMES, .frame_bytes = 2048};
	struct fixture *f = calloc(1, sizeof(*f));

	*state = f;
	if (!f || wr_umem_create(&conf, &f->umem, NULL))
		return -1;
	wr_pool_init(&f->pool, f->umem);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	bool is_whole;

	if (f->port)
		f->port->ops->close(f->port);
	wr_pool_fini(&f->pool);
	is_whole = wr_umem_audit(f->umem) == N_FRAMES;
	wr_umem_free(f->umem);
	free(f);
	return is_whole ? 0 : -1;
}

static void open_port(struct fixture *f, const char *text)
{
	struct wr_err err = {""};
	struct port_args args;

	if (wr_port_parse(text, &args, &err) || wr_port_open(f->umem, &args, &f->port, &err))
		fail_msg("%s", err.text);
	for (unsigned i = 0; i < f->port->n_queues; i++) {
		f->port->queues[i]->pool = &f->pool;
		assert_int_equal(f->port->ops->start(f->port->queues[i]), 0);
	}
}

static void what_is_sent_is_counted_and_freed(void **state)
{
	struct fixture *f = *state;
	static uint8_t bytes[9000];
	struct port_counters c;

	open_port(f, "null:queues=3");
	assert_int_equal(f->port->n_queues, 3);
	for (unsigned i = 0; i < 3 * N_FRAMES; i++) {
		struct packet *pkts[2] = {wr_packet_from(&f->pool, bytes, 60),
					  wr_packet_from(&f->pool, bytes, 9000)};

		assert_true(pkts[0] && pkts[1]);
		wr_port_tx(f->port->queues[i % 3], pkts, 2);
		f->port->ops->flush(f->port->queues[i % 3]);
	}
	wr_port_counters(f->port, &c);
	assert_int_equal(c.tx_pkts, 6 * N_FRAMES);
	assert_int_equal(c.tx_bytes, 3 * N_FRAMES * 9060);
	assert_int_equal(c.tx_full + c.tx_errors, 0);
	assert_int_equal(f->port->queues[2]->counters.tx_pkts, 2 * N_FRAMES);
	assert_int_equal(f->port->ops->n_frames(f->port->queues[0]), 0);
}

static void nothing_ever_comes(void **state)
{
	struct fixture *f = *state;
	struct packet *pkt;

	open_port(f, "null:");
	assert_int_equal(f->port->n_queues, 1);
	assert_int_equal(wr_port_rx(f->port->queues[0], &pkt, 1), 0);
	assert_int_equal(f->port->ops->fd(f->port->queues[0]), -1);
	assert_null(f->port->ops->arm);
}

static void it_takes_no_name(void **state)
{
	struct port_args args;
	struct wr_err err;

	(void)state;
	assert_int_equal(wr_port_parse("null:x", &args, &err), -EINVAL);
	assert_string_equal(err.text, "null:x: 'x' is one name too many: use null:");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(what_is_sent_is_counted_and_freed),
		TEST(nothing_ever_comes),
		TEST(it_takes_no_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
