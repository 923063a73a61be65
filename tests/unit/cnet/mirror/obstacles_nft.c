/* SPDX-License-Identifier: BSD-3-Clause */
/* nfnetlink's messages, crafted: also those that this machine's kernel does not send. */
#include "cnet/mirror/obstacles_nft.c"

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
	look = (struct look){.ask = &ask, .list = &list, .place = "forward"};
	return ask.inet_fd < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	(void)state;
	close(ask.inet_fd);
	return 0;
}

static struct nl_msg *start(unsigned subsys, unsigned type, uint8_t family)
{
	struct nfgenmsg gen = {.nfgen_family = family};
	struct nl_msg *m = nlmsg_alloc_simple(nfnl_type(subsys, type), 0);

	assert_non_null(m);
	assert_int_equal(nlmsg_append(m, &gen, sizeof(gen), NLMSG_ALIGNTO), 0);
	return m;
}

static void put_be32(struct nl_msg *m, int type, uint32_t v)
{
	assert_int_equal(nla_put_u32(m, type, htobe32(v)), 0);
}

/* `devs`: names, one that ends in `*` is a prefix. */
static struct nl_msg *chain(uint8_t family, uint32_t hook, uint32_t policy, int n_rules,
			    const char *const *devs)
{
	struct nl_msg *m = start(NFNL_SUBSYS_NFTABLES, NFT_MSG_NEWCHAIN, family);
	struct nlattr *nest, *names;

	nla_put_string(m, NFTA_CHAIN_TABLE, "t");
	nla_put_string(m, NFTA_CHAIN_NAME, "c");
	nest = nla_nest_start(m, NFTA_CHAIN_HOOK);
	put_be32(m, NFTA_HOOK_HOOKNUM, hook);
	put_be32(m, NFTA_HOOK_PRIORITY, 0);
	names = devs ? nla_nest_start(m, NFTA_HOOK_DEVS) : NULL;
	for (; devs && *devs; devs++) {
		size_t len = strlen(*devs);
		bool is_prefix = (*devs)[len - 1] == '*';

		nla_put(m, is_prefix ? DEVICE_PREFIX : NFTA_DEVICE_NAME,
			(int)(is_prefix ? len - 1 : len + 1), *devs);
	}
	if (names)
		nla_nest_end(m, names);
	nla_nest_end(m, nest);
	put_be32(m, NFTA_CHAIN_POLICY, policy);
	if (n_rules >= 0)
		put_be32(m, NFTA_CHAIN_USE, (uint32_t)n_rules);
	return m;
}

static struct nl_msg *hook(const char *function, const char *module, uint32_t type)
{
	struct nl_msg *m = start(NFNL_SUBSYS_HOOK, NFNL_MSG_HOOK_GET, NFPROTO_IPV4);

	if (function)
		nla_put_string(m, NFNLA_HOOK_FUNCTION_NAME, function);
	if (module)
		nla_put_string(m, NFNLA_HOOK_MODULE_NAME, module);
	if (type) {
		struct nlattr *nest = nla_nest_start(m, NFNLA_HOOK_CHAIN_INFO);

		put_be32(m, NFNLA_HOOK_INFO_TYPE, type);
		nla_nest_end(m, nest);
	}
	return m;
}

/* Hands the message over and says how many obstacles there are then. */
static unsigned give(wr_nl_each *each, struct nl_msg *m)
{
	each(&look, nlmsg_hdr(m));
	nlmsg_free(m);
	return list.n;
}

static void test_chain_places(void **state)
{
	static const struct {
		uint8_t family;
		uint32_t hook;
		bool is_obstacle;
	} cases[] = {
		{NFPROTO_IPV4, 0, true},    {NFPROTO_IPV4, 1, false}, {NFPROTO_IPV4, 2, true},
		{NFPROTO_IPV4, 3, false},   {NFPROTO_IPV4, 4, true},  {NFPROTO_IPV4, 5, false},
		{NFPROTO_INET, 0, true},    {NFPROTO_INET, 1, false}, {NFPROTO_INET, 2, true},
		{NFPROTO_INET, 3, false},   {NFPROTO_INET, 4, true},  {NFPROTO_NETDEV, 1, true},
		{NFPROTO_BRIDGE, 2, false}, {NFPROTO_IPV6, 2, false}, {NFPROTO_ARP, 0, false},
	};

	(void)state;
	for (unsigned i = 0; i < wr_array_size(cases); i++) {
		memset(&list, 0, sizeof(list));
		assert_int_equal(
			give(on_chain, chain(cases[i].family, cases[i].hook, NF_DROP, 0, NULL)),
			cases[i].is_obstacle);
		assert_int_equal(look.err, 0);
		assert_int_equal(list.items[0].is_netfilter, cases[i].is_obstacle);
	}
}

static void test_chain_content(void **state)
{
	(void)state;
	assert_int_equal(give(on_chain, chain(NFPROTO_IPV4, 2, NF_ACCEPT, 0, NULL)), 0);
	assert_int_equal(give(on_chain, chain(NFPROTO_IPV4, 2, NF_ACCEPT, 12, NULL)), 1);
	assert_string_equal(list.items[0].sentence,
			    "nft chain ip t c (hook forward, 12 rules, policy accept)" OBST_BYPASS);
	/* A kernel that does not count. */
	assert_int_equal(give(on_chain, chain(NFPROTO_IPV4, 2, NF_ACCEPT, -1, NULL)), 2);
	assert_non_null(strstr(list.items[1].sentence, "(hook forward, rules, policy accept)"));
}

static void test_chain_devices(void **state)
{
	static const char *const names[] = {"lo", "nosuch", NULL}, *const prefix[] = {"eth*", NULL},
				 *const none[] = {NULL};

	(void)state;
	assert_int_equal(give(on_chain, chain(NFPROTO_NETDEV, 0, NF_DROP, 0, none)), 0);
	assert_int_equal(give(on_chain, chain(NFPROTO_INET, 5, NF_DROP, 0, names)), 1);
	assert_int_equal(list.items[0].ifindex, 1);
	assert_int_equal(give(on_chain, chain(NFPROTO_NETDEV, 0, NF_DROP, 0, prefix)), 2);
	assert_int_equal(list.items[1].ifindex, 0);
	assert_non_null(strstr(list.items[1].sentence, "at ingress of eth*;"));
}

static void test_flowtable(void **state)
{
	struct nl_msg *m = start(NFNL_SUBSYS_NFTABLES, NFT_MSG_NEWFLOWTABLE, NFPROTO_INET);
	struct nlattr *nest, *names;

	(void)state;
	nla_put_string(m, NFTA_FLOWTABLE_TABLE, "t");
	nla_put_string(m, NFTA_FLOWTABLE_NAME, "f");
	nest = nla_nest_start(m, NFTA_FLOWTABLE_HOOK);
	names = nla_nest_start(m, NFTA_FLOWTABLE_HOOK_DEVS);
	nla_put_string(m, NFTA_DEVICE_NAME, "lo");
	nla_nest_end(m, names);
	nla_nest_end(m, nest);
	assert_int_equal(give(on_flowtable, m), 1);
	assert_int_equal(look.err, 0);
	assert_int_equal(list.items[0].ifindex, 1);
	assert_string_equal(list.items[0].sentence,
			    "nft flowtable t f at ingress of lo" OBST_BYPASS);
}

static void test_hooks(void **state)
{
	(void)state;
	assert_int_equal(give(on_hook, hook("ipv4_conntrack_in", "nf_conntrack", 0)), 0);
	assert_int_equal(give(on_hook, hook("nf_confirm.cfi_jt", NULL, 0)), 0);
	assert_int_equal(give(on_hook, hook("ipt_do_table", "ip_tables", 0)), 0);
	assert_int_equal(give(on_hook, hook("nft_do_chain_ipv4", "nf_tables", 1)), 0);
	assert_int_equal(give(on_hook, hook("ip_vs_forward_icmp", "ip_vs", 0)), 1);
	assert_string_equal(
		list.items[0].sentence,
		"netfilter hook forward: ip_vs_forward_icmp of module ip_vs" OBST_BYPASS);
	assert_int_equal(give(on_hook, hook("nf_hook_run_bpf", NULL, 2)), 2);
	assert_int_equal(give(on_hook, hook(NULL, NULL, 0)), 3);
	assert_int_equal(give(on_hook, hook("ipv4_conntrack_inner", NULL, 0)), 4);
	assert_int_equal(give(on_hook, hook("ipv4_conntrack", NULL, 0)), 5);
	assert_int_equal(look.err, 0);
}

/* A dump that is taken again forgets what it gave, and not what the one before it gave. */
static void test_restart(void **state)
{
	(void)state;
	give(on_chain, chain(NFPROTO_IPV4, 2, NF_DROP, 0, NULL));
	look.n_before = list.n;
	give(on_chain, chain(NFPROTO_IPV4, 0, NF_DROP, 0, NULL));
	assert_int_equal(list.n, 2);
	restart(&look);
	assert_int_equal(list.n, 1);
}

/* Cut at every length, in a buffer just as long; a cut message is refused or is no more than the
 * whole one. */
static void give_cut(wr_nl_each *each, struct nl_msg *m)
{
	const struct nlmsghdr *whole = nlmsg_hdr(m);

	for (uint32_t len = NLMSG_HDRLEN; len < whole->nlmsg_len; len++) {
		struct nlmsghdr *cut = malloc(len);

		assert_non_null(cut);
		memcpy(cut, whole, len);
		cut->nlmsg_len = len;
		memset(&list, 0, sizeof(list));
		look.err = 0;
		each(&look, cut);
		assert_true(look.err == 0 || look.err == -EBADMSG);
		assert_true(list.n <= 2);
		free(cut);
	}
	nlmsg_free(m);
}

static void test_cut(void **state)
{
	static const char *const names[] = {"lo", "eth*", NULL};

	(void)state;
	give_cut(on_chain, chain(NFPROTO_NETDEV, 0, NF_DROP, 3, names));
	give_cut(on_hook, hook("f", "m", 2));
	/* Without names a chain is not silently none. */
	look.err = 0;
	give(on_chain, start(NFNL_SUBSYS_NFTABLES, NFT_MSG_NEWCHAIN, NFPROTO_IPV4));
	assert_int_equal(look.err, -EBADMSG);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	static const struct CMUnitTest tests[] = {
		T(test_chain_places), T(test_chain_content), T(test_chain_devices),
		T(test_flowtable),    T(test_hooks),         T(test_restart),
		T(test_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
