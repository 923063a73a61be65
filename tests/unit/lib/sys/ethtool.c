/* SPDX-License-Identifier: BSD-3-Clause */
#include "lib/sys/ethtool.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static int node_in_text(const char *text)
{
	char path[] = "/tmp/weir-node-XXXXXX";
	int fd = mkstemp(path), node;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	node = node_in(path);
	unlink(path);
	return node;
}

static void a_node_is_a_number_from_0_on(void **state)
{
	(void)state;
	assert_int_equal(node_in_text("0\n"), 0);
	assert_int_equal(node_in_text("1\n"), 1);
	assert_int_equal(node_in_text("63\n"), 63);
	assert_int_equal(node_in_text("-1\n"), -1); /* what /sys has on a machine of one node */
	assert_int_equal(node_in_text("-7\n"), -1);
	assert_int_equal(node_in_text(""), -1);
	assert_int_equal(node_in_text("none\n"), -1);
}

static void an_interface_without_a_device_has_none(void **state)
{
	(void)state;
	assert_int_equal(wr_ethtool_numa_node("lo"), -1);
	assert_int_equal(wr_ethtool_numa_node("no-such-if"), -1);
	assert_int_equal(wr_ethtool_numa_node("../../block"), -1);
	assert_int_equal(wr_ethtool_numa_node("a-name-that-none-can-have"), -1);
}

static void what_there_is_not_is_said(void **state)
{
	char driver[32] = "stale";

	(void)state;
	assert_int_equal(wr_ethtool_n_rx_queues("no-such-if"), -ENODEV);
	assert_int_equal(wr_ethtool_n_rx_queues("lo"), 1);
	wr_ethtool_driver("no-such-if", driver);
	assert_string_equal(driver, "");
	assert_true(wr_ethtool_is_virtual("lo"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_node_is_a_number_from_0_on),
		cmocka_unit_test(an_interface_without_a_device_has_none),
		cmocka_unit_test(what_there_is_not_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
