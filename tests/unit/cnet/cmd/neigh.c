/* SPDX-License-Identifier: BSD-3-Clause */
#include "cnet/cmd/neigh.c"

#include "tests/unit/cnet/cmd/fixture.h"

static void fill(void)
{
	fake.neighs[0] = (struct mirror_neigh){.addr = addr("10.0.0.2"),
					       .ifindex = 3,
					       .mac.b = {2, 0, 0, 0, 0, 9},
					       .state = NUD_REACHABLE,
					       .is_used = true};
	fake.neighs[1] =
		(struct mirror_neigh){.addr = addr("10.0.1.2"), .ifindex = 4, .state = NUD_FAILED};
	fake.neighs[2] = (struct mirror_neigh){.addr = addr("10.0.2.2"), .ifindex = 9};
	fake.n_neighs = 3;
}

static void listing(void **state)
{
	fill();
	assert_string_equal(
		run(*state, wr_cmd_neigh_show, NULL, NULL, NULL),
		"0\n[{\"dst\":\"10.0.0.2\",\"dev\":\"eth0\",\"lladdr\":\"02:00:00:00:00:09\","
		"\"state\":[\"REACHABLE\"],\"used\":true},"
		"{\"dst\":\"10.0.1.2\",\"dev\":\"eth1\",\"state\":[\"FAILED\"],\"used\":false},"
		"{\"dst\":\"10.0.2.2\",\"dev\":\"if9\",\"state\":[],\"used\":false}]\n");
}

static void one_interface(void **state)
{
	json_t *json;

	fill();
	json = run_json(*state, wr_cmd_neigh_show, "dev", "eth1", NULL);
	assert_int_equal(json_array_size(json), 1);
	assert_string_equal(STR(json_array_get(json, 0), "dst"), "10.0.1.2");
	json_decref(json);
	assert_string_equal(run(*state, wr_cmd_neigh_show, "dev", "eth7", NULL),
			    "19\neth7: no such interface\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(listing, setup, teardown),
		cmocka_unit_test_setup_teardown(one_interface, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
