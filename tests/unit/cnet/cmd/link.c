/* SPDX-License-Identifier: BSD-3-Clause */
#include "cnet/cmd/link.c"

#include "tests/unit/cnet/cmd/fixture.h"

static void all(void **state)
{
	struct fixture *f = *state;
	json_t *json, *row;

	f->queues[0].counters =
		(struct port_counters){.rx_pkts = 1, .rx_bytes = 2, .tx_pkts = 3, .tx_bytes = 4};
	json = run_json(f, wr_cmd_link_show, NULL, NULL, NULL);
	assert_int_equal(json_array_size(json), 2);
	row = json_array_get(json, 0);
	assert_int_equal(NUM(row, "ifindex"), 3);
	assert_string_equal(STR(row, "ifname"), "eth0");
	assert_string_equal(STR(row, "address"), "02:00:00:00:00:00");
	assert_int_equal(NUM(row, "mtu"), 1500);
	assert_string_equal(STR(row, "operstate"), "UP");
	assert_string_equal(json_string_value(ROW(row, "flags", 0)), "BROADCAST");
	assert_string_equal(STR(row, "mode"), "native copy");
	assert_string_equal(STR(row, "xdp"), "native");
	assert_int_equal(NUM(row, "queues"), 1);
	assert_true(json_is_true(json_object_get(row, "transit")));
	assert_string_equal(STR(row, "punt"), "weir3");
	assert_int_equal(NUM(row, "rx_pkts"), 1);
	assert_int_equal(NUM(row, "rx_bytes"), 2);
	assert_int_equal(NUM(row, "tx_pkts"), 3);
	assert_int_equal(NUM(row, "tx_bytes"), 4);
	row = json_array_get(json, 1);
	assert_string_equal(STR(row, "why"), "forwarding is off");
	assert_string_equal(STR(row, "punt"), "");
	json_decref(json);
}

static void one(void **state)
{
	struct fixture *f = *state;
	json_t *json = run_json(f, wr_cmd_link_show, "d", "eth1", NULL);

	assert_int_equal(json_array_size(json), 1);
	assert_string_equal(STR(json_array_get(json, 0), "ifname"), "eth1");
	json_decref(json);
	assert_string_equal(run(f, wr_cmd_link_show, "dev", "eth7", NULL),
			    "19\neth7: not one of Weir's interfaces; see 'weir link'\n");
	assert_string_equal(run(f, wr_cmd_link_show, "dev", NULL, NULL),
			    "22\ndev: the name of an interface is missing\n");
	assert_string_equal(run(f, wr_cmd_link_show, "eth0", NULL, NULL),
			    "22\n'eth0' is not expected here; possible: dev IFACE\n");
	assert_string_equal(run(f, wr_cmd_link_show, "dev", "eth0", "x"),
			    "22\n'x' is one word too many; see 'weir help'\n");
}

static void no_carrier(void **state)
{
	json_t *json;

	fake.links[0].has_carrier = false;
	json = run_json(*state, wr_cmd_link_show, NULL, NULL, NULL);
	assert_string_equal(json_string_value(ROW(json_array_get(json, 0), "flags", 0)),
			    "NO-CARRIER");
	assert_string_equal(STR(json_array_get(json, 0), "operstate"), "DOWN");
	json_decref(json);
}

/* The kernel allows any bytes in a name; JSON does not. */
static void a_name_that_is_no_text(void **state)
{
	struct fixture *f = *state;
	json_t *json;

	snprintf(f->weir.ports[0].ifname, sizeof(f->weir.ports[0].ifname),
		 "a\xff"
		 "b");
	json = run_json(f, wr_cmd_link_show, NULL, NULL, NULL);
	assert_string_equal(STR(json_array_get(json, 0), "ifname"), "a?b");
	json_decref(json);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(all, setup, teardown),
		cmocka_unit_test_setup_teardown(one, setup, teardown),
		cmocka_unit_test_setup_teardown(no_carrier, setup, teardown),
		cmocka_unit_test_setup_teardown(a_name_that_is_no_text, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
