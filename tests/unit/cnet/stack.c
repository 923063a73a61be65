/* SPDX-License-Identifier: BSD-3-Clause */
#include "lib/sys/ethtool.h"

/* The digit at the end of the interface's name. */
static int node_by_name(const char *ifname)
{
	char last = ifname[__builtin_strlen(ifname) - 1];

	return last == 'x' ? -1 : last - '0';
}
#define wr_ethtool_numa_node node_by_name
#include "cnet/stack.c"
#undef wr_ethtool_numa_node

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void memory_is_near_all_interfaces_or_anywhere(void **state)
{
	static const struct {
		const char *ifnames[3];
		uint64_t nodes;
	} cases[] = {
		{{NULL}, 0},
		{{"vethx"}, 0},
		{{"nic0"}, 1},
		{{"nic1", "eth1"}, 2},
		{{"nic1", "vethx", "eth1"}, 2},
		{{"nic0", "nic1"}, 0},
		{{"nic1", "tap:nic0"}, 2},
	};

	(void)state;
	for (unsigned i = 0; i < wr_array_size(cases); i++) {
		static struct conf conf;

		wr_conf_init(&conf);
		for (unsigned k = 0; k < 3 && cases[i].ifnames[k]; k++)
			assert_int_equal(wr_conf_add_interface(&conf, cases[i].ifnames[k], NULL),
					 0);
		assert_int_equal(numa_nodes_of(&conf), cases[i].nodes);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_is_near_all_interfaces_or_anywhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
