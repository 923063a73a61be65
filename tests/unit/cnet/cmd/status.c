/* SPDX-License-Identifier: BSD-3-Clause */
#include "cnet/cmd/status.c"

#include "tests/unit/cnet/cmd/fixture.h"

static void whole(void **state)
{
	struct fixture *f = *state;
	json_t *json, *row;

	fake.obstacles[0] = "nft chain x";
	fake.obstacle_ports[0] = -1;
	fake.obstacles[1] = "tc filter";
	fake.obstacle_ports[1] = 1;
	fake.n_obstacles = 2;
	fake.stats.n_overruns = 4;
	json = run_json(f, wr_cmd_status, NULL, NULL, NULL);
	assert_string_equal(STR(json, "summary"),
			    "forwarding on 1 of 2 interfaces; the kernel does on the others");
	assert_int_equal(NUM(json, "pid"), getpid());
	assert_int_equal(NUM(json, "uptime_s"), 70);
	assert_int_equal(NUM(json, "workers"), 2);
	row = ROW(json, "interfaces", 0);
	assert_string_equal(STR(row, "ifname"), "eth0");
	assert_true(json_is_true(json_object_get(row, "transit")));
	assert_string_equal(STR(row, "mode"), "native copy");
	assert_string_equal(STR(row, "xdp"), "native");
	assert_string_equal(STR(row, "why"), "");
	row = ROW(json, "interfaces", 1);
	assert_true(json_is_false(json_object_get(row, "transit")));
	assert_string_equal(STR(row, "xdp"), "");
	assert_string_equal(STR(row, "why"), "forwarding is off");
	assert_string_equal(STR(ROW(json, "obstacles", 0), "dev"), "all");
	assert_string_equal(STR(ROW(json, "obstacles", 0), "why"), "nft chain x");
	assert_string_equal(STR(ROW(json, "obstacles", 1), "dev"), "eth1");
	assert_int_equal(NUM(json_object_get(json, "mirror"), "overruns"), 4);
	json_decref(json);
}

static void summary_is(struct fixture *f, const char *sentence)
{
	json_t *json = run_json(f, wr_cmd_status, NULL, NULL, NULL);

	assert_string_equal(STR(json, "summary"), sentence);
	json_decref(json);
}

static void summaries(void **state)
{
	struct fixture *f = *state;

	f->weir.ports[1].transit = true;
	summary_is(f, "forwarding on all interfaces");
	fake.stats.is_settled = false;
	summary_is(f, "forwarding on all interfaces; the tables are being read again");
	fake.stats.is_settled = true;
	f->weir.ports[0].transit = f->weir.ports[1].transit = false;
	summary_is(f, "forwarding on none of 2 interfaces: the kernel forwards everything");
	memset(f->weir.ports, 0, sizeof(f->weir.ports));
	summary_is(f, "no interfaces: the kernel forwards everything");
}

/* An interface that was deleted is still one of Weir's. */
static void gone(void **state)
{
	struct fixture *f = *state;
	json_t *json;

	f->weir.ports[0].port = f->weir.ports[0].punt = NULL;
	f->weir.ports[0].steer = NULL;
	json = run_json(f, wr_cmd_status, NULL, NULL, NULL);
	assert_string_equal(STR(ROW(json, "interfaces", 0), "ifname"), "eth0");
	assert_true(json_is_false(json_object_get(ROW(json, "interfaces", 0), "transit")));
	assert_non_null(strstr(STR(ROW(json, "interfaces", 0), "why"), "no such interface"));
	json_decref(json);
	summary_is(f, "forwarding on none of 2 interfaces: the kernel forwards everything");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(whole, setup, teardown),
		cmocka_unit_test_setup_teardown(summaries, setup, teardown),
		cmocka_unit_test_setup_teardown(gone, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
