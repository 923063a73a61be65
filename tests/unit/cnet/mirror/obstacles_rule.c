/* SPDX-License-Identifier: BSD-3-Clause */
/* Rules, reverse path settings and routes as messages, crafted. */
#include "cnet/mirror/obstacles_rule.c"

#include <netlink/attr.h>
#include <netlink/msg.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static struct obst_list list;
static struct obst_ask ask;
static struct look look;

static int setup(void **state)
{
	(void)state;
	memset(&list, 0, sizeof(list));
	ask.inet_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	look = (struct look){.ask = &ask, .list = &list};
	return ask.inet_fd < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	(void)state;
	close(ask.inet_fd);
	return 0;
}

static struct nl_msg *start(int type, const void *hdr, size_t n)
{
	struct nl_msg *m = nlmsg_alloc_simple(type, 0);

	assert_non_null(m);
	assert_int_equal(nlmsg_append(m, (void *)(uintptr_t)hdr, n, NLMSG_ALIGNTO), 0);
	return m;
}

/* As the kernel sends it: the suppressor is always there. */
static struct nl_msg *rule(uint32_t priority, uint32_t table, uint32_t flags)
{
	const struct fib_rule_hdr hdr = {
		.family = AF_INET,
		.table = (uint8_t)table,
		.action = FR_ACT_TO_TBL,
		.flags = flags,
	};
	struct nl_msg *m = start(RTM_NEWRULE, &hdr, sizeof(hdr));

	nla_put_u32(m, FRA_TABLE, table);
	nla_put_u32(m, FRA_SUPPRESS_PREFIXLEN, UINT32_MAX);
	nla_put_u8(m, FRA_PROTOCOL, 2);
	if (priority)
		nla_put_u32(m, FRA_PRIORITY, priority);
	return m;
}

static unsigned give(wr_nl_each *each, struct nl_msg *m)
{
	each(&look, nlmsg_hdr(m));
	nlmsg_free(m);
	return list.n;
}

static void test_standard(void **state)
{
	(void)state;
	give(on_rule, rule(0, RT_TABLE_LOCAL, 0));
	assert_true(look.has_local);
	assert_false(look.has_main);
	add_missing(&look);
	assert_int_equal(list.n, 1);
	list.n = 0;
	give(on_rule, rule(32766, RT_TABLE_MAIN, 0));
	give(on_rule, rule(32767, RT_TABLE_DEFAULT, 0));
	add_missing(&look);
	assert_int_equal(list.n, 0);
	/* The right table at another place, another table at the right place. */
	assert_int_equal(give(on_rule, rule(5, RT_TABLE_MAIN, 0)), 1);
	assert_int_equal(give(on_rule, rule(32766, 100, 0)), 2);
	assert_int_equal(give(on_rule, rule(32766, RT_TABLE_MAIN, FIB_RULE_INVERT)), 3);
	assert_int_equal(look.err, 0);
}

/* What a newer kernel may select by is not passed over. */
static void test_unknown_selector(void **state)
{
	struct nl_msg *m = rule(32766, RT_TABLE_MAIN, 0);

	(void)state;
	nla_put_u32(m, 200, 1);
	assert_int_equal(give(on_rule, m), 1);
	assert_false(look.has_main);
	m = rule(0, RT_TABLE_LOCAL, 0);
	nla_put_u32(m, FRA_TUN_ID, 1);
	assert_int_equal(give(on_rule, m), 2);
	assert_false(look.has_local);
}

static unsigned give_selected(const char *iif, uint32_t mark, uint32_t mask, uint32_t flags)
{
	struct nl_msg *m = rule(100, 100, flags);

	if (iif)
		nla_put_string(m, FRA_IIFNAME, iif);
	if (mark)
		nla_put_u32(m, FRA_FWMARK, mark);
	if (mask)
		nla_put_u32(m, FRA_FWMASK, mask);
	list.n = 0;
	return give(on_rule, m);
}

static void test_never_in_transit(void **state)
{
	(void)state;
	assert_int_equal(give_selected("lo", 0, 0, 0), 0);
	assert_int_equal(give_selected("lo", 0, 0, FIB_RULE_INVERT), 1);
	assert_int_equal(list.items[0].ifindex, 0);
	assert_int_equal(give_selected(NULL, 1, 0, 0), 0);
	assert_int_equal(give_selected(NULL, 1, 0xff, 0), 0);
	assert_int_equal(give_selected(NULL, 0x100, 0xff, 0), 1);
	assert_int_equal(give_selected(NULL, 0, 0xff, 0), 1);
	assert_int_equal(give_selected(NULL, 1, 0xff, FIB_RULE_INVERT), 1);
	assert_int_equal(give_selected("nosuch", 0, 0, 0), 0);
	assert_int_equal(give_selected("nosuch", 0, 0, FIB_RULE_INVERT), 1);
}

static void test_text(void **state)
{
	struct nl_msg *m = rule(100, 100, FIB_RULE_INVERT);
	struct fib_rule_hdr *hdr = nlmsg_data(nlmsg_hdr(m));

	(void)state;
	hdr->src_len = 8;
	hdr->dst_len = 32;
	nla_put_u32(m, FRA_SRC, htobe32(0x0a000000));
	nla_put_u32(m, FRA_DST, htobe32(0xc0000201));
	nla_put_string(m, FRA_OIFNAME, "eth1");
	assert_int_equal(give(on_rule, m), 1);
	assert_string_equal(list.items[0].sentence,
			    "ip rule 100 (not from 10.0.0.0/8 to 192.0.2.1/32 oif eth1): Weir does "
			    "not evaluate rules; delete it, or the kernel forwards");
	assert_false(list.items[0].is_netfilter);
}

static unsigned give_netconf(int32_t ifindex, uint32_t rp_filter)
{
	const struct netconfmsg hdr = {.ncm_family = AF_INET};
	struct nl_msg *m = start(RTM_NEWNETCONF, &hdr, sizeof(hdr));

	nla_put_s32(m, NETCONFA_IFINDEX, ifindex);
	nla_put_u32(m, NETCONFA_RP_FILTER, rp_filter);
	return give(on_netconf, m);
}

static void test_rp_filter(void **state)
{
	(void)state;
	snprintf(look.iif_rule, sizeof(look.iif_rule), "ip rule 7 (from all iif x)");
	assert_int_equal(give_netconf(NETCONFA_IFINDEX_DEFAULT, 1), 0);
	assert_int_equal(give_netconf(NETCONFA_IFINDEX_ALL, 0), 0);
	assert_int_equal(give_netconf(1, 2), 1);
	assert_int_equal(list.items[0].ifindex, 1);
	assert_int_equal(give_netconf(NETCONFA_IFINDEX_ALL, 1), 2);
	assert_int_equal(list.items[1].ifindex, 0);
}

static void test_routes(void **state)
{
	struct rtmsg rt = {.rtm_family = AF_INET, .rtm_table = RT_TABLE_DEFAULT};
	struct nl_msg *m = start(RTM_NEWROUTE, &rt, sizeof(rt));

	(void)state;
	give(on_route, m);
	assert_int_equal(look.n_routes, 1);
	/* The attribute holds where the byte cannot. */
	rt.rtm_table = RT_TABLE_DEFAULT;
	m = start(RTM_NEWROUTE, &rt, sizeof(rt));
	nla_put_u32(m, RTA_TABLE, 1000);
	give(on_route, m);
	assert_int_equal(look.n_routes, 1);
}

/* Cut at every length, in a buffer just as long: refused, or an obstacle, never "nothing". */
static void test_cut(void **state)
{
	struct nl_msg *m = rule(100, 100, 0);
	const struct nlmsghdr *whole = nlmsg_hdr(m);

	(void)state;
	nla_put_string(m, FRA_IIFNAME, "lo");
	for (uint32_t len = NLMSG_HDRLEN; len < whole->nlmsg_len - 3; len++) {
		struct nlmsghdr *cut = malloc(len);

		assert_non_null(cut);
		memcpy(cut, whole, len);
		cut->nlmsg_len = len;
		list.n = 0;
		look.err = 0;
		on_rule(&look, cut);
		assert_true(look.err == -EBADMSG || (!look.err && list.n == 1));
		free(cut);
	}
	nlmsg_free(m);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	static const struct CMUnitTest tests[] = {
		T(test_standard), T(test_unknown_selector), T(test_never_in_transit),
		T(test_text),     T(test_rp_filter),        T(test_routes),
		T(test_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
