/* SPDX-License-Identifier: BSD-3-Clause */
#include "cnet/cmd/drops.c"

#include "tests/unit/cnet/cmd/fixture.h"

static void nothing(void **state)
{
	assert_string_equal(run(*state, wr_cmd_drops_show, NULL, NULL, NULL), "0\n[]\n");
}

static void by_reason_and_interface(void **state)
{
	struct fixture *f = *state;

	fake.edges[0] = 1000; /* goes on: no reason */
	fake.edges[1] = 30;
	fake.port_edges[0][1] = 10;
	fake.port_edges[1][1] = 20;
	fake.edges[4] = 5;
	fake.port_edges[1][4] = 3;
	f->queues[1].counters.tx_full = 6;
	f->queues[2].counters.tx_full = 7;
	f->queues[0].counters.rx_stale = 8;
	assert_string_equal(
		run(f, wr_cmd_drops_show, NULL, NULL, NULL),
		"0\n["
		"{\"reason\":\"first.why\",\"dev\":\"eth0\",\"count\":10,\"kind\":\"punt\",\"text\":\"because\"},"
		"{\"reason\":\"first.why\",\"dev\":\"eth1\",\"count\":20,\"kind\":\"punt\",\"text\":\"because\"},"
		"{\"reason\":\"middle.full\",\"dev\":\"eth1\",\"count\":3,\"kind\":\"drop\",\"text\":\"it is full\"},"
		"{\"reason\":\"middle.full\",\"count\":2,\"kind\":\"drop\",\"text\":\"it is full\"},"
		"{\"reason\":\"tx.full\",\"dev\":\"eth1\",\"count\":6,\"kind\":\"drop\",\"text\":"
		"\"the interface sends more slowly than packets come: no room in its ring\"},"
		"{\"reason\":\"punt.full\",\"dev\":\"eth0\",\"count\":7,\"kind\":\"drop\",\"text\":"
		"\"the kernel takes packets more slowly than they come: no room in the TAP\"},"
		"{\"reason\":\"rx.stale\",\"dev\":\"eth0\",\"count\":8,\"kind\":\"rx\",\"text\":"
		"\"received before the worker stalled, thrown away after: the kernel had taken over\"}]\n");
}

static void all_of_them(void **state)
{
	struct fixture *f = *state;
	json_t *json;

	fake.edges[1] = 10;
	fake.port_edges[0][1] = 10;
	json = run_json(f, wr_cmd_drops_show, "a", NULL, NULL);
	/* Each reason once: the graph's three, those of ports, and the lanes'. */
	assert_int_equal(json_array_size(json), 3 + wr_array_size(port_reasons) + 1);
	json_decref(json);
	assert_string_equal(run(f, wr_cmd_drops_show, "some", NULL, NULL),
			    "22\n'some' is one word too many; see 'weir help'\n");
	assert_string_equal(run(f, wr_cmd_drops_show, "all", "x", NULL),
			    "22\n'x' is one word too many; see 'weir help'\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(by_reason_and_interface, setup, teardown),
		cmocka_unit_test_setup_teardown(all_of_them, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
