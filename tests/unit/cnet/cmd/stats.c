/* SPDX-License-Identifier: BSD-3-Clause */
#include "cnet/cmd/stats.c"

#include "tests/unit/cnet/cmd/fixture.h"

/* Every term of the balance has numbers of its own, so that a forgotten one shows. */
static void balance(void **state)
{
	struct fixture *f = *state;
	json_t *json, *port;

	f->queues[0].counters =
		(struct port_counters){.rx_pkts = 1000, .tx_pkts = 100, .tx_full = 7};
	f->queues[1].counters = (struct port_counters){.rx_pkts = 0, .tx_pkts = 600, .tx_full = 20};
	f->queues[2].counters = (struct port_counters){.rx_pkts = 56, .tx_pkts = 200, .tx_full = 3};
	fake.edges[0] = 5000; /* no drop */
	fake.edges[1] = 5000;
	fake.edges[2] = 40; /* first.bad */
	fake.edges[4] = 30; /* middle.full */
	fake.port_edges[0][2] = 40;
	fake.port_edges[1][4] = 30;
	fake.closed_ports = (struct port_counters){.rx_pkts = 11, .tx_pkts = 4, .tx_full = 2};
	fake.closed_punts = (struct port_counters){.rx_pkts = 4, .tx_pkts = 3, .tx_full = 2};
	fake.lanes[0] = (struct port_counters){.rx_pkts = 77, .tx_pkts = 78, .tx_full = 40};
	fake.lanes[1] = (struct port_counters){.tx_full = 20};
	json = run_json(f, wr_cmd_stats_show, NULL, NULL, NULL);
	assert_int_equal(NUM(json, "rx_pkts"), 1011 + 56 + 4);
	assert_int_equal(NUM(json, "tx_pkts"), 704);
	assert_int_equal(NUM(json, "delivered"), 0);
	assert_int_equal(NUM(json, "punted"), 203);
	assert_int_equal(NUM(json, "dropped"), 7 + 20 + 3 + 40 + 30 + 2 + 2 + 40 + 20);
	assert_int_equal(NUM(json, "balance"), 0);
	port = ROW(json, "ports", 0);
	assert_string_equal(STR(port, "name"), "eth0");
	assert_int_equal(NUM(port, "rx_pkts"), 1000);
	assert_int_equal(NUM(port, "punted"), 200);
	assert_int_equal(NUM(port, "from_kernel"), 56);
	assert_int_equal(NUM(port, "dropped"), 40 + 7 + 3);
	assert_int_equal(NUM(ROW(json, "ports", 1), "dropped"), 30 + 20);
	json_decref(json);

	f->queues[0].counters.rx_pkts -= 5;
	json = run_json(f, wr_cmd_stats_show, NULL, NULL, NULL);
	assert_int_equal(NUM(json, "balance"), -5);
	json_decref(json);
}

static void facts_and_verdicts(void **state)
{
	struct fixture *f = *state;
	json_t *json = run_json(f, wr_cmd_stats_show, NULL, NULL, NULL), *verdicts;

	verdicts = json_object_get(ROW(json, "ports", 0), "verdicts");
	assert_int_equal(json_object_size(verdicts), STEER_N_VERDICTS);
	assert_int_equal(NUM(verdicts, "transit"), 100 + STEER_TRANSIT);
	assert_int_equal(NUM(verdicts, "no_socket"), 100 + STEER_NO_SOCKET);
	assert_int_equal(json_object_size(json_object_get(ROW(json, "ports", 1), "verdicts")), 0);
	assert_int_equal(NUM(json_object_get(ROW(json, "ports", 0), "facts"), "rx_dropped"), 12);
	json_decref(json);
}

static void frames_and_mirror(void **state)
{
	struct fixture *f = *state;
	json_t *json;

	fake.frames = (struct stack_frames){
		.total = 100, .free = 60, .in_flight = 40, .is_huge = true, .numa_node = 1};
	fake.stats.n_routes = 77;
	json = run_json(f, wr_cmd_stats_show, NULL, NULL, NULL);
	assert_int_equal(NUM(json_object_get(json, "frames"), "total"), 100);
	assert_int_equal(NUM(json_object_get(json, "frames"), "free"), 60);
	assert_int_equal(NUM(json_object_get(json, "frames"), "in_flight"), 40);
	assert_true(json_is_true(json_object_get(json_object_get(json, "frames"), "huge")));
	assert_int_equal(NUM(json_object_get(json, "frames"), "numa_node"), 1);
	assert_int_equal(NUM(json_object_get(json, "mirror"), "routes"), 77);
	json_decref(json);
	assert_string_equal(run(f, wr_cmd_stats_show, "all", NULL, NULL),
			    "22\n'all' is one word too many; see 'weir help'\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(balance, setup, teardown),
		cmocka_unit_test_setup_teardown(facts_and_verdicts, setup, teardown),
		cmocka_unit_test_setup_teardown(frames_and_mirror, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
