/* SPDX-License-Identifier: BSD-3-Clause */
#include "lib/sys/ethtool.c"

#include <sched.h>
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
	assert_int_equal(wr_ethtool_n_xdp_queues("no-such-if"), -ENODEV);
	assert_int_equal(wr_ethtool_n_xdp_queues("lo"), 1);
	assert_int_equal(wr_ethtool_n_tx_queues("no-such-if"), 0);
	assert_int_equal(wr_ethtool_n_tx_queues("../net/lo"), 0);
	assert_int_equal(wr_ethtool_n_tx_queues("a-name-that-none-can-have"), 0);
	wr_ethtool_driver("no-such-if", driver);
	assert_string_equal(driver, "");
	assert_true(wr_ethtool_is_virtual("lo"));
}

static void a_pair_for_each_cpu_or_none(void **state)
{
	static const struct {
		unsigned n_rx, n_tx, n_cpus, max, n_xdp;
	} cases[] = {
		{2, 2, 2, 4, 4},    /* room for all */
		{2, 2, 4, 4, 2},    /* or for none */
		{1, 1, 2, 1, 1},    /* a device of one pair */
		{4, 2, 2, 4, 4},    /* they are there: a crashed process left its program */
		{4, 2, 2, 8, 4},    /* and will not come twice */
		{4, 4, 2, 8, 6},    /* */
		{2, 0, 2, 4, 4},    /* it does not say by what it sends */
		{2, 2, 64, 64, 2},  /* CPUs to be added while it runs count, too */
		{8, 8, 32, 64, 40}, /* */
	};

	(void)state;
	for (unsigned i = 0; i < wr_array_size(cases); i++)
		assert_int_equal(
			with_reserve(cases[i].n_rx, cases[i].n_tx, cases[i].n_cpus, cases[i].max),
			cases[i].n_xdp);
}

/* In a network namespace of its own, of which /sys shows nothing. */
static void some_receive_by_more_queues_than_they_send_by(void **state)
{
	(void)state;
	if (geteuid() || unshare(CLONE_NEWNET))
		skip();
	assert_int_equal(system("ip link add xa numrxqueues 4 numtxqueues 4 type veth "
				"peer name xb numrxqueues 1 numtxqueues 1 && "
				"ethtool -L xa rx 3 tx 2"),
			 0);
	assert_int_equal(wr_ethtool_n_rx_queues("xa"), 3);
	assert_int_equal(wr_ethtool_n_tx_queues("xa"), 2);
	/* Only virtio_net adds some for an XDP program. */
	assert_int_equal(wr_ethtool_n_xdp_queues("xa"), 3);
	assert_int_equal(wr_ethtool_n_tx_queues("xb"), 1);
}

static void another_namespaces_interface_is_not_ours(void **state)
{
	int fd = open("/proc/self", O_PATH | O_DIRECTORY);

	(void)state;
	assert_true(fd >= 0);
	assert_false(is_same(fd, "loginuid-that-is-not-there", "lo"));
	assert_false(is_same(fd, "comm", "lo"));
	close(fd);
	fd = open_sysfs();
	assert_true(fd >= 0);
	assert_false(is_same(fd, "class/net/lo/mtu", "lo"));
	assert_true(is_same(fd, "class/net/lo/ifindex", "lo"));
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_node_is_a_number_from_0_on),
		cmocka_unit_test(an_interface_without_a_device_has_none),
		cmocka_unit_test(what_there_is_not_is_said),
		cmocka_unit_test(a_pair_for_each_cpu_or_none),
		cmocka_unit_test(some_receive_by_more_queues_than_they_send_by),
		cmocka_unit_test(another_namespaces_interface_is_not_ours),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
