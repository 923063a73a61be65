/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The mirror without a kernel: messages are fed, the fib is looked at.
 *
 *   link 1 lo; links 2, 3, 4 Ethernet and Weir's ports 0, 1, 2; link 5 Ethernet without a port
 */
#include "cnet/mirror/mirror.c"

#include "cnet/fib/fib4_lookup.h"

#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <netlink/msg.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { UP = IFF_UP | IFF_BROADCAST | IFF_RUNNING | IFF_LOWER_UP };

static struct {
	struct mirror *m;
	struct fib *fib;
	struct rcu_writer rcu;
	int n_local[256]; /* by the address's last byte */
	bool transit[WR_MAX_PORTS];
	char why[WR_MAX_PORTS][256];
	unsigned n_port_changes;
	bool is_gone;
} b;

static void on_local(void *arg, struct ip4 a, bool is_local)
{
	(void)arg;
	b.n_local[ip4_to(a) & 0xff] += is_local ? 1 : -1;
}

static void on_port(void *arg, unsigned port_idx, const struct mirror_link *link, bool gone)
{
	(void)arg;
	(void)port_idx;
	(void)link;
	b.n_port_changes++;
	b.is_gone = gone;
}

static void on_transit(void *arg, unsigned port_idx, bool on, const char *why)
{
	(void)arg;
	b.transit[port_idx] = on;
	snprintf(b.why[port_idx], sizeof(b.why[0]), "%s", why);
}

static const struct mirror_ops ops = {on_local, on_port, on_transit};

/*
 * Messages.
 */

static struct nl_msg *message(uint16_t type, uint16_t flags, void *head, size_t head_bytes)
{
	struct nl_msg *msg = nlmsg_alloc_simple(type, flags);

	assert_non_null(msg);
	assert_int_equal(nlmsg_append(msg, head, head_bytes, NLMSG_ALIGNTO), 0);
	return msg;
}

static void feed(struct nl_msg *msg)
{
	wr_mirror_feed(b.m, nlmsg_hdr(msg), nlmsg_hdr(msg)->nlmsg_len);
	nlmsg_free(msg);
}

static struct nl_msg *link_message(uint16_t type, unsigned ifindex, unsigned flags, unsigned mtu)
{
	struct ifinfomsg ifi = {.ifi_index = (int)ifindex,
				.ifi_type = ifindex == 1 ? ARPHRD_LOOPBACK : ARPHRD_ETHER,
				.ifi_flags = flags};
	struct nl_msg *msg = message(type, 0, &ifi, sizeof(ifi));
	const struct mac mac = {{2, 0, 0, 0, 0, (uint8_t)ifindex}};
	char name[16];

	snprintf(name, sizeof(name), "eth%u", ifindex);
	nla_put_string(msg, IFLA_IFNAME, name);
	nla_put_u32(msg, IFLA_MTU, mtu);
	nla_put(msg, IFLA_ADDRESS, sizeof(mac), &mac);
	return msg;
}

static void link_is(unsigned ifindex, unsigned flags)
{
	feed(link_message(RTM_NEWLINK, ifindex, flags, 1500));
}

static void netconf(int ifindex, int forwarding, int rp_filter)
{
	struct netconfmsg ncm = {.ncm_family = AF_INET};
	struct nl_msg *msg = message(RTM_NEWNETCONF, 0, &ncm, sizeof(ncm));

	nla_put_u32(msg, NETCONFA_IFINDEX, (uint32_t)ifindex);
	nla_put_u32(msg, NETCONFA_FORWARDING, (uint32_t)forwarding);
	nla_put_u32(msg, NETCONFA_RP_FILTER, (uint32_t)rp_filter);
	feed(msg);
}

static void address(uint16_t type, unsigned ifindex, uint32_t addr)
{
	struct ifaddrmsg ifa = {.ifa_family = AF_INET, .ifa_prefixlen = 24, .ifa_index = ifindex};
	struct nl_msg *msg = message(type, 0, &ifa, sizeof(ifa));

	nla_put_u32(msg, IFA_LOCAL, htobe32(addr));
	nla_put_u32(msg, IFA_ADDRESS, htobe32(addr));
	feed(msg);
}

static void neigh(uint16_t type, unsigned ifindex, uint32_t addr, uint16_t state, uint8_t last_byte)
{
	struct ndmsg ndm = {.ndm_family = AF_INET, .ndm_ifindex = (int)ifindex, .ndm_state = state};
	struct nl_msg *msg = message(type, 0, &ndm, sizeof(ndm));
	const struct mac mac = {{6, 0, 0, 0, 0, last_byte}};

	nla_put_u32(msg, NDA_DST, htobe32(addr));
	if (last_byte)
		nla_put(msg, NDA_LLADDR, sizeof(mac), &mac);
	feed(msg);
}

struct way_of_route {
	uint32_t gateway;
	unsigned oif, weight;
};

struct route_args {
	uint32_t addr;
	unsigned len, type, table, metric, tos, protocol, scope, mtu, nh_id, flags;
	uint32_t gateway, prefsrc;
	unsigned oif, n_paths;
	struct way_of_route paths[6];
	bool via6, encap, is_dead;
};

static void put_paths(struct nl_msg *msg, const struct route_args *r)
{
	struct nlattr *nest = nla_nest_start(msg, RTA_MULTIPATH);

	for (unsigned i = 0; i < r->n_paths; i++) {
		struct rtnexthop *nh = nlmsg_reserve(msg, sizeof(*nh), NLMSG_ALIGNTO);

		nh->rtnh_flags = 0;
		nh->rtnh_hops = (uint8_t)(r->paths[i].weight ? r->paths[i].weight - 1 : 0);
		nh->rtnh_ifindex = (int)r->paths[i].oif;
		nh->rtnh_len = sizeof(*nh) + 8;
		nla_put_u32(msg, RTA_GATEWAY, htobe32(r->paths[i].gateway));
	}
	nla_nest_end(msg, nest);
}

static struct nl_msg *route_message(uint16_t type, const struct route_args *r)
{
	struct rtmsg rtm = {.rtm_family = AF_INET,
			    .rtm_dst_len = (uint8_t)r->len,
			    .rtm_table = (uint8_t)(r->table ? r->table : RT_TABLE_MAIN),
			    .rtm_protocol = (uint8_t)(r->protocol ? r->protocol : RTPROT_STATIC),
			    .rtm_scope = (uint8_t)r->scope,
			    .rtm_tos = (uint8_t)r->tos,
			    .rtm_type = (uint8_t)(r->type ? r->type : RTN_UNICAST),
			    .rtm_flags = r->is_dead ? RTNH_F_DEAD : 0};
	struct nl_msg *msg = message(type, (uint16_t)r->flags, &rtm, sizeof(rtm));

	if (r->len)
		nla_put_u32(msg, RTA_DST, htobe32(r->addr));
	if (r->metric)
		nla_put_u32(msg, RTA_PRIORITY, r->metric);
	if (r->prefsrc)
		nla_put_u32(msg, RTA_PREFSRC, htobe32(r->prefsrc));
	if (r->nh_id)
		nla_put_u32(msg, RTA_NH_ID, r->nh_id);
	if (r->gateway)
		nla_put_u32(msg, RTA_GATEWAY, htobe32(r->gateway));
	if (r->oif)
		nla_put_u32(msg, RTA_OIF, r->oif);
	if (r->via6)
		nla_put(msg, RTA_VIA, 18, "\x0a\0aaaaaaaaaaaaaaaa");
	if (r->encap)
		nla_put_u16(msg, RTA_ENCAP_TYPE, 1);
	if (r->n_paths)
		put_paths(msg, r);
	if (r->mtu) {
		struct nlattr *nest = nla_nest_start(msg, RTA_METRICS);

		nla_put_u32(msg, RTAX_MTU, r->mtu);
		nla_nest_end(msg, nest);
	}
	return msg;
}

#define ADD(...) feed(route_message(RTM_NEWROUTE, &(struct route_args){__VA_ARGS__}))
#define DEL(...) feed(route_message(RTM_DELROUTE, &(struct route_args){__VA_ARGS__}))

static struct nl_msg *object_message(uint16_t type, uint32_t id)
{
	struct nhmsg nhm = {.nh_family = AF_INET};
	struct nl_msg *msg = message(type, 0, &nhm, sizeof(nhm));

	nla_put_u32(msg, NHA_ID, id);
	return msg;
}

static void object(uint32_t id, uint32_t gateway, unsigned oif)
{
	struct nl_msg *msg = object_message(RTM_NEWNEXTHOP, id);

	nla_put_u32(msg, NHA_OIF, oif);
	if (gateway)
		nla_put_u32(msg, NHA_GATEWAY, htobe32(gateway));
	feed(msg);
}

static void group(uint32_t id, unsigned n, const uint32_t *members, bool is_resilient)
{
	struct nl_msg *msg = object_message(RTM_NEWNEXTHOP, id);
	struct nexthop_grp g[8];

	memset(g, 0, sizeof(g));
	for (unsigned i = 0; i < n; i++)
		g[i].id = members[i];
	nla_put(msg, NHA_GROUP, (int)(n * sizeof(g[0])), g);
	if (is_resilient)
		nla_put_u16(msg, NHA_GROUP_TYPE, NEXTHOP_GRP_TYPE_RES);
	feed(msg);
}

/*
 * Looking.
 */

static uint16_t value(uint32_t addr)
{
	return wr_fib4_lookup(b.fib->routes, ip4_from(addr));
}

static const struct nexthop *out(uint32_t addr)
{
	const struct nexthop *nh = wr_fib_nh(b.fib, value(addr));

	if (!nh)
		abort();
	return nh;
}

static const struct nexthop *member(uint16_t id)
{
	const struct nexthop *nh = wr_fib_nh(b.fib, id);

	if (!nh)
		abort();
	return nh;
}

static const struct nexthop *neighbour(uint32_t ifindex, uint32_t addr)
{
	const struct nexthop *nh = wr_fib_neigh_lookup(b.fib, ifindex, ip4_from(addr));

	if (!nh)
		abort();
	return nh;
}

static void assert_by(uint32_t addr, uint32_t gateway, unsigned oif)
{
	assert_int_equal(out(addr)->type, gateway ? NH_NEIGH : NH_ATTACHED);
	assert_int_equal(ip4_to(out(addr)->gateway), gateway);
	assert_int_equal(out(addr)->oif, oif);
}

static const char *why_kernel(uint32_t addr)
{
	struct mirror_route r;

	assert_int_equal(out(addr)->type, NH_KERNEL);
	assert_true(wr_mirror_route_get(b.m, ip4_from(addr), &r));
	return r.why_kernel;
}

static int set_up(void **state)
{
	struct mirror_conf conf = {.ops = &ops, .rcu = &b.rcu};

	(void)state;
	memset(&b, 0, sizeof(b));
	assert_int_equal(wr_fib_create(&b.rcu, &b.fib), 0);
	conf.fib = b.fib;
	assert_int_equal(wr_mirror_create_detached(&conf, &b.m), 0);
	for (unsigned i = 1; i <= 5; i++) {
		link_is(i, i == 1 ? UP | IFF_LOOPBACK : UP);
		netconf((int)i, 1, 0);
	}
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(wr_mirror_port_add(b.m, i + 2, i), 0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	assert_int_equal(wr_mirror_stats(b.m).n_bad, 0);
	wr_mirror_free(b.m);
	wr_fib_free(b.fib);
	return 0;
}

/* After this nothing may be left in the fib. */
static void assert_empty(void)
{
	assert_int_equal(wr_mirror_stats(b.m).n_routes, 0);
	assert_null(b.m->all_ways);
	assert_int_equal(b.m->n_prefixes, 0);
	assert_int_equal(b.fib->n_nh, 0);
	assert_int_equal(wr_fib4_stats(b.fib->routes).n_routes, 0);
}

/* 10.N.0.0/16 */
#define NET(n) (0x0a000000u | (uint32_t)(n) << 16)
#define GW(n) (0xc0000200u | (uint32_t)(n))

/*
 * Tests.
 */

static void attached_and_gateway(void **state)
{
	(void)state;
	ADD(.addr = NET(1), .len = 16, .oif = 2, .scope = RT_SCOPE_LINK);
	ADD(.addr = NET(2), .len = 16, .gateway = GW(1), .oif = 3);
	assert_by(NET(1) + 7, 0, 2);
	assert_int_equal(out(NET(1))->port_idx, 0);
	assert_int_equal(out(NET(1))->mtu, 1500);
	assert_by(NET(2) + 7, GW(1), 3);
	assert_int_equal(out(NET(2))->port_idx, 1);
	assert_false(out(NET(2))->is_resolved);
	assert_int_equal(value(NET(3)), FIB_NH_NONE);
	DEL(.addr = NET(1), .len = 16, .oif = 2, .scope = RT_SCOPE_LINK);
	DEL(.addr = NET(2), .len = 16, .gateway = GW(1), .oif = 3);
	assert_int_equal(value(NET(2)), FIB_NH_NONE);
	assert_empty();
}

static void neighbours_resolve_next_hops(void **state)
{
	uint16_t id;

	(void)state;
	ADD(.addr = NET(2), .len = 16, .gateway = GW(1), .oif = 3);
	id = value(NET(2));
	neigh(RTM_NEWNEIGH, 3, GW(1), NUD_REACHABLE, 9);
	assert_true(out(NET(2))->is_resolved);
	assert_memory_equal(out(NET(2))->rewrite, "\6\0\0\0\0\x09\2\0\0\0\0\3\x08\0", 14);
	neigh(RTM_NEWNEIGH, 3, GW(1), NUD_STALE, 9);
	assert_true(out(NET(2))->is_resolved);
	neigh(RTM_NEWNEIGH, 3, GW(1), NUD_REACHABLE, 10); /* another MAC */
	assert_int_equal(out(NET(2))->rewrite[5], 10);
	neigh(RTM_NEWNEIGH, 2, GW(1), NUD_REACHABLE, 77); /* another link */
	assert_int_equal(out(NET(2))->rewrite[5], 10);
	neigh(RTM_NEWNEIGH, 3, GW(1), NUD_FAILED, 0);
	assert_false(out(NET(2))->is_resolved);
	neigh(RTM_NEWNEIGH, 3, GW(1), NUD_PERMANENT, 11);
	assert_true(out(NET(2))->is_resolved);
	neigh(RTM_DELNEIGH, 3, GW(1), NUD_PERMANENT, 11);
	assert_false(out(NET(2))->is_resolved);
	assert_int_equal(value(NET(2)), id); /* the route was never touched */
}

static void neighbours_of_ports_are_listed(void **state)
{
	const struct ip4 host = ip4_from(GW(5));

	(void)state;
	neigh(RTM_NEWNEIGH, 2, GW(5), NUD_REACHABLE, 5);
	neigh(RTM_NEWNEIGH, 5, GW(5), NUD_REACHABLE, 5); /* no port */
	neigh(RTM_NEWNEIGH, 3, GW(5), NUD_INCOMPLETE, 0);
	assert_int_equal(neighbour(2, GW(5))->rewrite[5], 5);
	assert_null(wr_fib_neigh_lookup(b.fib, 5, host));
	assert_null(wr_fib_neigh_lookup(b.fib, 3, host));
	wr_mirror_port_del(b.m, 0);
	assert_null(wr_fib_neigh_lookup(b.fib, 2, host));
	assert_int_equal(wr_mirror_port_add(b.m, 2, 3), 0);
	assert_int_equal(neighbour(2, GW(5))->port_idx, 3);
	neigh(RTM_DELNEIGH, 2, GW(5), NUD_REACHABLE, 5);
	assert_null(wr_fib_neigh_lookup(b.fib, 2, host));
}

static void lowest_metric_decides(void **state)
{
	(void)state;
	ADD(.addr = NET(1), .len = 16, .gateway = GW(2), .oif = 2, .metric = 20);
	ADD(.addr = NET(1), .len = 16, .gateway = GW(1), .oif = 2, .metric = 10);
	ADD(.addr = NET(1), .len = 16, .gateway = GW(3), .oif = 2, .metric = 30);
	assert_by(NET(1), GW(1), 2);
	assert_int_equal(b.fib->n_nh, 1); /* the others take no index */
	DEL(.addr = NET(1), .len = 16, .gateway = GW(1), .oif = 2, .metric = 10);
	assert_by(NET(1), GW(2), 2);
	DEL(.addr = NET(1), .len = 16, .gateway = GW(2), .oif = 2, .metric = 20);
	assert_by(NET(1), GW(3), 2);
	DEL(.addr = NET(1), .len = 16, .gateway = GW(3), .oif = 2, .metric = 30);
	assert_empty();
}

static void order_among_equals_follows_the_flags(void **state)
{
	(void)state;
	ADD(.addr = NET(1), .len = 16, .gateway = GW(1), .oif = 2, .flags = NLM_F_CREATE);
	ADD(.addr = NET(1), .len = 16, .gateway = GW(2), .oif = 2,
	    .flags = NLM_F_CREATE); /* first: 2 1 */
	assert_by(NET(1), GW(2), 2);
	ADD(.addr = NET(1), .len = 16, .gateway = GW(3), .oif = 2,
	    .flags = NLM_F_APPEND); /* last: 2 1 3 */
	assert_by(NET(1), GW(2), 2);
	ADD(.addr = NET(1), .len = 16, .gateway = GW(4), .oif = 2,
	    .flags = NLM_F_REPLACE); /* 4 1 3 */
	assert_by(NET(1), GW(4), 2);
	ADD(.addr = NET(1), .len = 16, .gateway = GW(1), .oif = 2,
	    .flags = NLM_F_CREATE); /* told twice */
	assert_int_equal(wr_mirror_stats(b.m).n_routes, 3);
	assert_by(NET(1), GW(4), 2);
	DEL(.addr = NET(1), .len = 16, .gateway = GW(4), .oif = 2);
	assert_by(NET(1), GW(1), 2);
	DEL(.addr = NET(1), .len = 16, .gateway = GW(1), .oif = 2);
	assert_by(NET(1), GW(3), 2);
	/* Another metric is not replaced. */
	ADD(.addr = NET(1), .len = 16, .gateway = GW(5), .oif = 2, .flags = NLM_F_REPLACE,
	    .metric = 5);
	assert_int_equal(wr_mirror_stats(b.m).n_routes, 2);
	assert_by(NET(1), GW(3), 2);
}

static void deletion_takes_the_one_that_matches(void **state)
{
	(void)state;
	ADD(.addr = NET(1), .len = 16, .gateway = GW(1), .oif = 2);
	ADD(.addr = NET(1), .len = 17, .gateway = GW(2), .oif = 2);
	ADD(.addr = NET(1), .len = 16, .gateway = GW(3), .oif = 2, .protocol = RTPROT_BGP);
	DEL(.addr = NET(1), .len = 16, .gateway = GW(2), .oif = 2); /* the other prefix's gateway */
	DEL(.addr = NET(1), .len = 18, .gateway = GW(2), .oif = 2);
	DEL(.addr = NET(1), .len = 16, .gateway = GW(3), .oif = 2); /* another protocol */
	assert_int_equal(wr_mirror_stats(b.m).n_routes, 3);
	DEL(.addr = NET(1), .len = 16, .gateway = GW(1), .oif = 2);
	assert_by(NET(1), GW(2), 2);
	assert_by(NET(1) + 0x8000, GW(3), 2);
}

static void types_become_what_they_say(void **state)
{
	static const struct {
		unsigned type, table;
		uint16_t value;
	} cases[] = {
		{RTN_LOCAL, RT_TABLE_LOCAL, FIB_NH_LOCAL},
		{RTN_BROADCAST, RT_TABLE_LOCAL, FIB_NH_LOCAL},
		{RTN_ANYCAST, RT_TABLE_LOCAL, FIB_NH_LOCAL},
		{RTN_MULTICAST, RT_TABLE_MAIN, FIB_NH_LOCAL},
		{RTN_BLACKHOLE, RT_TABLE_MAIN, FIB_NH_BLACKHOLE},
		{RTN_UNREACHABLE, RT_TABLE_MAIN, FIB_NH_REJECT},
		{RTN_PROHIBIT, RT_TABLE_MAIN, FIB_NH_REJECT},
		{RTN_THROW, RT_TABLE_MAIN, FIB_NH_REJECT},
		{RTN_THROW, RT_TABLE_LOCAL, FIB_NH_KERNEL},
		{RTN_NAT, RT_TABLE_MAIN, FIB_NH_KERNEL},
		{77, RT_TABLE_MAIN, FIB_NH_KERNEL},
	};

	(void)state;
	for (unsigned i = 0; i < wr_array_size(cases); i++) {
		ADD(.addr = NET(i), .len = 16, .type = cases[i].type, .table = cases[i].table);
		assert_int_equal(value(NET(i)), cases[i].value);
		DEL(.addr = NET(i), .len = 16, .type = cases[i].type, .table = cases[i].table);
	}
	ADD(.addr = NET(1), .len = 16, .type = RTN_BLACKHOLE, .table = RT_TABLE_DEFAULT);
	assert_empty();
}

static void table_local_comes_first(void **state)
{
	(void)state;
	ADD(.addr = NET(1), .len = 32, .gateway = GW(1), .oif = 2);
	ADD(.addr = NET(1), .len = 32, .type = RTN_LOCAL, .table = RT_TABLE_LOCAL, .oif = 2,
	    .metric = 99);
	assert_int_equal(value(NET(1)), FIB_NH_LOCAL);
	DEL(.addr = NET(1), .len = 32, .type = RTN_LOCAL, .table = RT_TABLE_LOCAL, .oif = 2,
	    .metric = 99);
	assert_by(NET(1), GW(1), 2);
}

static void covered_prefixes_are_the_kernels(void **state)
{
	(void)state;
	ADD(.addr = NET(1), .len = 16, .gateway = GW(1), .oif = 2);
	ADD(.addr = NET(2), .len = 16, .gateway = GW(1), .oif = 2);
	ADD(.addr = NET(0), .len = 15, .type = RTN_LOCAL, .table = RT_TABLE_LOCAL, .oif = 1);
	assert_string_equal(why_kernel(NET(1)), "a shorter prefix in table local covers it");
	assert_by(NET(2), GW(1), 2);
	ADD(.addr = NET(1) + 256, .len = 24, .gateway = GW(2), .oif = 2);
	assert_int_equal(value(NET(1) + 256), FIB_NH_KERNEL);
	DEL(.addr = NET(0), .len = 15, .type = RTN_LOCAL, .table = RT_TABLE_LOCAL, .oif = 1);
	assert_by(NET(1), GW(1), 2);
	assert_by(NET(1) + 256, GW(2), 2);
}

static void tos_leaves_the_prefix_to_the_kernel(void **state)
{
	struct mirror_route r;

	(void)state;
	ADD(.len = 0, .gateway = GW(9), .oif = 2);
	ADD(.addr = NET(1), .len = 16, .gateway = GW(1), .oif = 2);
	ADD(.addr = NET(1), .len = 16, .gateway = GW(2), .oif = 2, .tos = 0x10);
	assert_string_equal(why_kernel(NET(1)), "a route of this prefix depends on TOS");
	DEL(.addr = NET(1), .len = 16, .gateway = GW(1), .oif = 2);
	/* Without TOS the kernel goes on to the default route; Weir does not. */
	assert_int_equal(value(NET(1)), FIB_NH_KERNEL);
	assert_true(wr_mirror_route_get(b.m, ip4_from(NET(1)), &r));
	assert_int_equal(r.dst.len, 0);
	assert_int_equal(r.fib_nh, FIB_NH_KERNEL);
	assert_string_not_equal(r.why_kernel, "");
	DEL(.addr = NET(1), .len = 16, .gateway = GW(2), .oif = 2, .tos = 0x10);
	assert_by(NET(1), GW(9), 2);
}

static void what_weir_does_not_evaluate_is_the_kernels(void **state)
{
	(void)state;
	ADD(.addr = NET(1), .len = 16, .oif = 2, .via6 = true);
	assert_string_equal(why_kernel(NET(1)), "its gateway is not an IPv4 address");
	ADD(.addr = NET(2), .len = 16, .gateway = GW(1), .oif = 2, .encap = true);
	assert_string_equal(why_kernel(NET(2)), "it encapsulates");
	ADD(.addr = NET(3), .len = 16, .gateway = GW(1), .oif = 5);
	assert_string_equal(why_kernel(NET(3)), "Weir does not run on its interface");
	ADD(.addr = NET(4), .len = 16, .gateway = GW(1), .oif = 99);
	assert_string_equal(why_kernel(NET(4)), "its interface is not known");
	link_is(99, UP);
	assert_string_equal(why_kernel(NET(4)), "Weir does not run on its interface");
	assert_int_equal(wr_mirror_port_add(b.m, 99, 9), 0);
	assert_by(NET(4), GW(1), 99);
	link_is(99, UP | IFF_NOARP);
	assert_string_equal(why_kernel(NET(4)), "its interface is not Ethernet with ARP");
	assert_int_equal(wr_mirror_port_add(b.m, 5, 5), 0);
	assert_by(NET(3), GW(1), 5);
	wr_mirror_port_del(b.m, 5);
	assert_string_equal(why_kernel(NET(3)), "Weir does not run on its interface");
}

static void enslaved_links_are_the_kernels(void **state)
{
	struct nl_msg *msg = link_message(RTM_NEWLINK, 2, UP, 1500);

	(void)state;
	ADD(.addr = NET(1), .len = 16, .gateway = GW(1), .oif = 2);
	assert_true(b.transit[0]);
	nla_put_u32(msg, IFLA_MASTER, 5);
	feed(msg);
	assert_string_equal(why_kernel(NET(1)), "its interface is a port of another one");
	assert_false(b.transit[0]);
	assert_string_equal(b.why[0], "eth2 is a port of eth5: the kernel keeps its packets");
	link_is(2, UP);
	assert_by(NET(1), GW(1), 2);
	assert_true(b.transit[0]);
}

static void mtu_is_the_metrics_if_smaller(void **state)
{
	(void)state;
	ADD(.addr = NET(1), .len = 16, .gateway = GW(1), .oif = 2, .mtu = 1400);
	ADD(.addr = NET(2), .len = 16, .gateway = GW(1), .oif = 2, .mtu = 9000);
	assert_int_equal(out(NET(1))->mtu, 1400);
	assert_int_equal(out(NET(2))->mtu, 1500);
	neigh(RTM_NEWNEIGH, 2, GW(1), NUD_REACHABLE, 9);
	assert_true(out(NET(1))->is_resolved && out(NET(2))->is_resolved);
	feed(link_message(RTM_NEWLINK, 2, UP, 1300));
	assert_int_equal(out(NET(1))->mtu, 1300);
	assert_int_equal(b.fib->iface[0]->mtu, 1300);
	assert_int_equal(neighbour(2, GW(1))->mtu, 1300);
}

/* Buckets of the group that decides for `addr` that lead by this gateway. */
static unsigned count_buckets(uint32_t addr, uint32_t gateway)
{
	const struct nexthop *nh = out(addr);
	unsigned n = 0;

	assert_int_equal(nh->type, NH_GROUP);
	for (unsigned i = 0; i < nh->n_buckets; i++)
		n += ip4_to(member(nh->buckets[i])->gateway) == gateway;
	return n;
}

static void groups_share_by_weight(void **state)
{
	unsigned n;

	(void)state;
	ADD(.addr = NET(1), .len = 16, .n_paths = 3,
	    .paths = {{GW(1), 2, 1}, {GW(2), 3, 2}, {GW(3), 4, 5}});
	n = out(NET(1))->n_buckets;
	assert_int_equal(n & (n - 1), 0);
	assert_int_equal(out(NET(1))->n_members, 3);
	assert_in_range(count_buckets(NET(1), GW(1)), n / 8 - 1, n / 8 + 1);
	assert_in_range(count_buckets(NET(1), GW(2)), n / 4 - 1, n / 4 + 1);
	assert_in_range(count_buckets(NET(1), GW(3)), n * 5 / 8 - 1, n * 5 / 8 + 1);
	neigh(RTM_NEWNEIGH, 3, GW(2), NUD_REACHABLE, 9);
	for (unsigned i = 0; i < n; i++) {
		const struct nexthop *nh = member(out(NET(1))->buckets[i]);

		assert_int_equal(nh->is_resolved, ip4_to(nh->gateway) == GW(2));
	}
	DEL(.addr = NET(1), .len = 16, .n_paths = 3,
	    .paths = {{GW(1), 2, 1}, {GW(2), 3, 2}, {GW(3), 4, 5}});
	assert_empty();
}

/* The gateways of the buckets, in order. */
static void snapshot(uint32_t addr, uint32_t *ret)
{
	for (unsigned i = 0; i < out(addr)->n_buckets; i++)
		ret[i] = ip4_to(member(out(addr)->buckets[i])->gateway);
}

static void assert_only_moved_from(uint32_t addr, const uint32_t *before, uint32_t gateway)
{
	static uint32_t after[FIB_MAX_BUCKETS];

	snapshot(addr, after);
	for (unsigned i = 0; i < out(addr)->n_buckets; i++) {
		assert_int_not_equal(after[i], gateway);
		if (before[i] != gateway)
			assert_int_equal(after[i], before[i]);
	}
}

static void flows_on_other_members_stay(void **state)
{
	static uint32_t before[FIB_MAX_BUCKETS];

	(void)state;
	ADD(.addr = NET(1), .len = 16, .n_paths = 4,
	    .paths = {{GW(1), 2, 1}, {GW(2), 3, 2}, {GW(3), 4, 3}, {GW(4), 2, 1}});
	/* A member's link goes down: the same way. */
	snapshot(NET(1), before);
	link_is(3, UP & ~(unsigned)IFF_UP);
	assert_only_moved_from(NET(1), before, GW(2));
	/* The route is replaced by one without a member: another way. */
	snapshot(NET(1), before);
	ADD(.addr = NET(1), .len = 16, .n_paths = 2, .paths = {{GW(3), 4, 3}, {GW(4), 2, 1}},
	    .flags = NLM_F_REPLACE);
	assert_only_moved_from(NET(1), before, GW(1));
	/* And comes back: each gives what is due, no more. */
	snapshot(NET(1), before);
	ADD(.addr = NET(1), .len = 16, .n_paths = 3,
	    .paths = {{GW(1), 2, 1}, {GW(3), 4, 3}, {GW(4), 2, 1}}, .flags = NLM_F_REPLACE);
	{
		static uint32_t after[FIB_MAX_BUCKETS];

		snapshot(NET(1), after);
		for (unsigned i = 0; i < out(NET(1))->n_buckets; i++)
			assert_true(after[i] == before[i] || after[i] == GW(1));
	}
}

static void a_member_without_a_port_is_the_kernels(void **state)
{
	unsigned n_kernel = 0;

	(void)state;
	ADD(.addr = NET(1), .len = 16, .n_paths = 2, .paths = {{GW(1), 2, 1}, {GW(2), 5, 1}});
	assert_int_equal(out(NET(1))->type, NH_GROUP);
	for (unsigned i = 0; i < out(NET(1))->n_buckets; i++)
		n_kernel += member(out(NET(1))->buckets[i])->type == NH_KERNEL;
	assert_int_equal(n_kernel, out(NET(1))->n_buckets / 2);
}

static void equal_paths_are_one_member(void **state)
{
	(void)state;
	ADD(.addr = NET(1), .len = 16, .n_paths = 2, .paths = {{GW(1), 2, 1}, {GW(1), 2, 1}});
	assert_by(NET(1), GW(1), 2);
	ADD(.addr = NET(2), .len = 16, .n_paths = 3,
	    .paths = {{GW(1), 2, 1}, {GW(2), 2, 2}, {GW(1), 2, 1}});
	assert_int_equal(out(NET(2))->n_members, 2);
	assert_int_equal(count_buckets(NET(2), GW(1)), out(NET(2))->n_buckets / 2);
	DEL(.addr = NET(1), .len = 16, .n_paths = 2, .paths = {{GW(1), 2, 1}, {GW(1), 2, 1}});
	DEL(.addr = NET(2), .len = 16, .n_paths = 3,
	    .paths = {{GW(1), 2, 1}, {GW(2), 2, 2}, {GW(1), 2, 1}});
	assert_empty();
}

static void routes_share_their_way(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 200; i++)
		ADD(.addr = NET(i), .len = 16, .gateway = GW(1), .oif = 2);
	assert_int_equal(b.fib->n_nh, 1);
	ADD(.addr = NET(200), .len = 16, .gateway = GW(1), .oif = 2, .mtu = 1400);
	assert_int_equal(b.fib->n_nh, 2);
	assert_int_not_equal(value(NET(200)), value(NET(1)));
	DEL(.addr = NET(200), .len = 16, .gateway = GW(1), .oif = 2, .mtu = 1400);
	for (unsigned i = 0; i < 200; i++)
		DEL(.addr = NET(i), .len = 16, .gateway = GW(1), .oif = 2);
	assert_empty();
}

static void link_down_takes_its_routes(void **state)
{
	(void)state;
	ADD(.addr = NET(1), .len = 16, .gateway = GW(1), .oif = 2, .metric = 1);
	ADD(.addr = NET(1), .len = 16, .gateway = GW(2), .oif = 3, .metric = 2);
	ADD(.addr = NET(2), .len = 16, .gateway = GW(1), .oif = 2);
	ADD(.addr = NET(3), .len = 16, .n_paths = 2, .paths = {{GW(1), 2, 1}, {GW(2), 3, 1}});
	ADD(.addr = NET(4), .len = 32, .type = RTN_LOCAL, .table = RT_TABLE_LOCAL, .oif = 2,
	    .scope = RT_SCOPE_HOST);
	ADD(.addr = NET(4) + 255, .len = 32, .type = RTN_BROADCAST, .table = RT_TABLE_LOCAL,
	    .oif = 2, .scope = RT_SCOPE_LINK);
	link_is(2, UP & ~(unsigned)IFF_UP);
	assert_by(NET(1), GW(2), 3);
	assert_int_equal(value(NET(2)), FIB_NH_NONE);
	assert_by(NET(3), GW(2), 3);                   /* the path that is left */
	assert_int_equal(value(NET(4)), FIB_NH_LOCAL); /* local with and without its link */
	assert_int_equal(value(NET(4) + 255), FIB_NH_NONE);
	assert_int_equal(wr_mirror_stats(b.m).n_routes, 3);
	assert_false(b.transit[0]);
	/* What is gone does not come back with the link, the dead path does. */
	link_is(2, UP);
	assert_int_equal(value(NET(2)), FIB_NH_NONE);
	assert_int_equal(out(NET(3))->type, NH_GROUP);
	ADD(.addr = NET(2), .len = 16, .gateway = GW(1), .oif = 2);
	assert_by(NET(2), GW(1), 2);
}

static void deletion_of_what_is_gone_already(void **state)
{
	(void)state;
	ADD(.addr = NET(1), .len = 16, .gateway = GW(1), .oif = 3);
	ADD(.addr = NET(1), .len = 16, .gateway = GW(1), .oif = 2);
	link_is(2, UP & ~(unsigned)IFF_UP);
	assert_by(NET(1), GW(1), 3);
	DEL(.addr = NET(1), .len = 16, .gateway = GW(1), .oif = 2);
	assert_by(NET(1), GW(1), 3);
}

static void carrier_counts_where_the_kernel_is_told_so(void **state)
{
	struct netconfmsg ncm = {.ncm_family = AF_INET};
	struct nl_msg *msg = message(RTM_NEWNETCONF, 0, &ncm, sizeof(ncm));

	(void)state;
	ADD(.addr = NET(1), .len = 16, .gateway = GW(1), .oif = 2, .metric = 1);
	ADD(.addr = NET(1), .len = 16, .gateway = GW(2), .oif = 3, .metric = 2);
	link_is(2, IFF_UP | IFF_BROADCAST);
	assert_by(NET(1), GW(1), 2);
	nla_put_u32(msg, NETCONFA_IFINDEX, 2);
	nla_put_u32(msg, NETCONFA_IGNORE_ROUTES_WITH_LINKDOWN, 1);
	feed(msg);
	assert_by(NET(1), GW(2), 3);
	link_is(2, UP);
	assert_by(NET(1), GW(1), 2);
}

static void link_deleted(void **state)
{
	(void)state;
	ADD(.addr = NET(1), .len = 16, .gateway = GW(1), .oif = 2);
	ADD(.addr = NET(2), .len = 16, .n_paths = 2, .paths = {{GW(1), 2, 1}, {GW(2), 3, 1}});
	neigh(RTM_NEWNEIGH, 2, GW(1), NUD_REACHABLE, 1);
	address(RTM_NEWADDR, 2, GW(200));
	b.is_gone = false;
	feed(link_message(RTM_DELLINK, 2, 0, 1500));
	assert_true(b.is_gone);
	assert_null(wr_mirror_link(b.m, 2));
	assert_null(b.fib->iface[0]);
	assert_int_equal(value(NET(1)), FIB_NH_NONE);
	assert_int_equal(value(NET(2)),
			 FIB_NH_NONE); /* the kernel removes such a route as a whole */
	assert_int_equal(wr_mirror_stats(b.m).n_neighs, 0);
	assert_int_equal(b.fib->n_neighs, 0);
	assert_empty();
	assert_int_equal(wr_mirror_port_add(b.m, 2, 0), -ENODEV);
	link_is(2, UP);
	assert_int_equal(wr_mirror_port_add(b.m, 2, 0), 0);
	assert_false(b.fib->iface[0]->has_address);
	address(RTM_NEWADDR, 2, GW(200)); /* not the old one: it counts */
	assert_true(b.fib->iface[0]->has_address);
}

static void bridge_messages_are_not_links(void **state)
{
	struct ifinfomsg ifi = {.ifi_family = AF_BRIDGE, .ifi_index = 2, .ifi_type = ARPHRD_ETHER};

	(void)state;
	feed(message(RTM_DELLINK, 0, &ifi, sizeof(ifi)));
	assert_non_null(wr_mirror_link(b.m, 2));
}

static void links_are_renamed(void **state)
{
	struct nl_msg *msg = link_message(RTM_NEWLINK, 2, UP, 1500);

	(void)state;
	nla_put_string(msg, IFLA_IFNAME, "wan");
	feed(msg);
	assert_null(wr_mirror_link_by_name(b.m, "eth2"));
	assert_int_equal(wr_mirror_link_by_name(b.m, "wan")->ifindex, 2);
	assert_int_equal(wr_mirror_link_by_name(b.m, "wan")->port_idx, 0);
	assert_false(b.is_gone);
}

static void prefsrc_goes_with_its_address(void **state)
{
	(void)state;
	address(RTM_NEWADDR, 2, GW(200));
	address(RTM_NEWADDR, 2, GW(201));
	ADD(.addr = NET(1), .len = 16, .gateway = GW(1), .oif = 2, .prefsrc = GW(200));
	ADD(.addr = NET(2), .len = 16, .gateway = GW(1), .oif = 2, .prefsrc = GW(201));
	address(RTM_DELADDR, 2, GW(200));
	assert_int_equal(value(NET(1)), FIB_NH_NONE);
	assert_by(NET(2), GW(1), 2);
	assert_true(b.fib->iface[0]->has_address);
	/* The last address takes all routes of the link along. */
	ADD(.addr = NET(3), .len = 16, .gateway = GW(1), .oif = 2);
	address(RTM_DELADDR, 2, GW(201));
	assert_int_equal(value(NET(3)), FIB_NH_NONE);
	assert_false(b.fib->iface[0]->has_address);
	assert_empty();
}

static void objects_bind_later_and_change_in_place(void **state)
{
	const uint32_t both[] = {1, 2};
	uint16_t id;

	(void)state;
	ADD(.addr = NET(1), .len = 16, .nh_id = 1, .gateway = GW(1), .oif = 2);
	assert_string_equal(why_kernel(NET(1)), "its next-hop object is not known");
	id = value(NET(1));
	object(1, GW(1), 2);
	assert_by(NET(1), GW(1), 2);
	object(1, GW(7), 3);
	assert_by(NET(1), GW(7), 3);
	object(2, GW(2), 2);
	ADD(.addr = NET(2), .len = 16, .nh_id = 10);
	group(10, 2, both, false);
	assert_int_equal(out(NET(2))->n_members, 2);
	assert_int_equal(count_buckets(NET(2), GW(7)), out(NET(2))->n_buckets / 2);
	object(1, GW(8), 3); /* a member changes */
	assert_int_equal(count_buckets(NET(2), GW(8)), out(NET(2))->n_buckets / 2);
	group(10, 1, both, false);
	assert_by(NET(2), GW(8), 3);
	group(10, 2, both, true);
	assert_string_equal(why_kernel(NET(2)),
			    "its next-hop object is of a kind that Weir does not evaluate");
	assert_int_equal(value(NET(1)), id); /* all this without touching the route */
}

static void objects_take_their_routes_along(void **state)
{
	const uint32_t both[] = {1, 2};

	(void)state;
	object(1, GW(1), 2);
	object(2, GW(2), 3);
	group(10, 2, both, false);
	ADD(.addr = NET(1), .len = 16, .nh_id = 1);
	ADD(.addr = NET(2), .len = 16, .nh_id = 10);
	ADD(.addr = NET(2), .len = 16, .gateway = GW(9), .oif = 4, .metric = 5);
	feed(object_message(RTM_DELNEXTHOP, 1));
	assert_int_equal(value(NET(1)), FIB_NH_NONE);
	assert_by(NET(2), GW(2), 3); /* the group's other member */
	link_is(3,
		UP & ~(unsigned)IFF_UP); /* takes the object, the group empty then, and its route */
	assert_by(NET(2), GW(9), 4);
	assert_int_equal(wr_mirror_stats(b.m).n_nexthops, 0);
	assert_int_equal(wr_mirror_stats(b.m).n_routes, 1);
	/* A new object of the same id is another one. */
	object(1, GW(1), 2);
	assert_int_equal(value(NET(1)), FIB_NH_NONE);
	ADD(.addr = NET(1), .len = 16, .nh_id = 1);
	assert_by(NET(1), GW(1), 2);
}

static void blackhole_objects(void **state)
{
	struct nl_msg *msg = object_message(RTM_NEWNEXTHOP, 3);
	const uint32_t member[] = {3};
	struct mirror_route r;

	(void)state;
	nla_put_flag(msg, NHA_BLACKHOLE);
	feed(msg);
	group(10, 1, member, false);
	ADD(.addr = NET(1), .len = 16, .nh_id = 3, .type = RTN_BLACKHOLE);
	ADD(.addr = NET(2), .len = 16, .nh_id = 10);
	assert_int_equal(out(NET(1))->type, NH_BLACKHOLE);
	assert_int_equal(out(NET(2))->type, NH_BLACKHOLE);
	assert_true(wr_mirror_route_get(b.m, ip4_from(NET(1)), &r));
	assert_int_equal(r.type, RTN_BLACKHOLE);
	object(3, GW(1), 2);
	assert_by(NET(1), GW(1), 2);
	assert_by(NET(2), GW(1), 2);
}

static void local_addresses_are_told_once(void **state)
{
	(void)state;
	ADD(.addr = NET(1) + 9, .len = 32, .type = RTN_LOCAL, .table = RT_TABLE_LOCAL, .oif = 2,
	    .scope = RT_SCOPE_HOST);
	ADD(.addr = NET(1) + 9, .len = 32, .type = RTN_LOCAL, .table = RT_TABLE_LOCAL, .oif = 3,
	    .scope = RT_SCOPE_HOST, .flags = NLM_F_APPEND);
	ADD(.addr = NET(1) + 255, .len = 32, .type = RTN_BROADCAST, .table = RT_TABLE_LOCAL,
	    .oif = 2);
	ADD(.addr = NET(1) + 10, .len = 32, .gateway = GW(1), .oif = 2);
	assert_int_equal(b.n_local[9], 1);
	assert_int_equal(b.n_local[255], 1);
	assert_int_equal(b.n_local[10], 0);
	assert_true(wr_fib_maybe_local(b.fib, ip4_from(NET(1) + 9)));
	DEL(.addr = NET(1) + 9, .len = 32, .type = RTN_LOCAL, .table = RT_TABLE_LOCAL, .oif = 2,
	    .scope = RT_SCOPE_HOST);
	assert_int_equal(b.n_local[9], 1);
	DEL(.addr = NET(1) + 9, .len = 32, .type = RTN_LOCAL, .table = RT_TABLE_LOCAL, .oif = 3,
	    .scope = RT_SCOPE_HOST);
	assert_int_equal(b.n_local[9], 0);
	assert_false(wr_fib_maybe_local(b.fib, ip4_from(NET(1) + 9)));
}

static void whole_networks_may_be_local(void **state)
{
	(void)state;
	ADD(.addr = 0x7f000000, .len = 8, .type = RTN_LOCAL, .table = RT_TABLE_LOCAL, .oif = 1);
	assert_false(wr_fib_maybe_local(b.fib, ip4_from(NET(1) + 77)));
	ADD(.addr = NET(1), .len = 24, .type = RTN_LOCAL, .table = RT_TABLE_LOCAL, .oif = 1);
	for (unsigned i = 0; i < 256; i++)
		assert_true(wr_fib_maybe_local(b.fib, ip4_from(NET(1) + i)));
	DEL(.addr = NET(1), .len = 24, .type = RTN_LOCAL, .table = RT_TABLE_LOCAL, .oif = 1);
	for (unsigned i = 0; i < FIB_LOCALS_BITS / 64; i++)
		assert_int_equal(b.fib->locals[i], 0);
}

static void settings_in_force(void **state)
{
	(void)state;
	assert_true(b.transit[0]);
	assert_string_equal(b.why[0], "");
	netconf(2, 0, 1);
	assert_false(b.transit[0]);
	assert_non_null(strstr(b.why[0], "forwarding is off on eth2"));
	assert_int_equal(b.fib->iface[0]->rp_filter, 1);
	netconf(NETCONFA_IFINDEX_ALL, 1, 2);
	assert_int_equal(b.fib->iface[0]->rp_filter, 2);
	netconf(NETCONFA_IFINDEX_ALL, 1, 0);
	assert_int_equal(b.fib->iface[0]->rp_filter, 1);
	netconf(2, 1, 0);
	assert_true(b.transit[0]);
	assert_true(b.fib->iface[0]->transit);
	assert_true(b.fib->iface[0]->send_redirects); /* not readable: on */
	/* Settings come before the link, when it is new. */
	netconf(50, 1, 1);
	assert_null(wr_mirror_link(b.m, 50));
	link_is(50, UP);
	assert_true(wr_mirror_link(b.m, 50)->forwarding);
	assert_int_equal(wr_mirror_link(b.m, 50)->rp_filter, 1);
}

static void virtual_interfaces_are_known(void **state)
{
	struct nl_msg *msg = link_message(RTM_NEWLINK, 2, UP, 1500);
	struct nlattr *nest = nla_nest_start(msg, IFLA_LINKINFO);

	(void)state;
	assert_false(wr_mirror_link(b.m, 3)->is_virtual);
	nla_put_string(msg, IFLA_INFO_KIND, "veth");
	nla_nest_end(msg, nest);
	feed(msg);
	assert_true(wr_mirror_link(b.m, 2)->is_virtual);
	assert_string_equal(wr_mirror_link(b.m, 2)->kind, "veth");
	msg = link_message(RTM_NEWLINK, 3, UP, 1500);
	nla_put_string(msg, IFLA_PARENT_DEV_BUS_NAME, "virtio");
	feed(msg);
	assert_true(wr_mirror_link(b.m, 3)->is_virtual);
}

struct listing {
	unsigned n, n_in_use;
	uint64_t last;
};

static int list_route(void *arg, const struct mirror_route *r)
{
	struct listing *l = arg;
	uint64_t key = (uint64_t)ip4_to(r->dst.addr) << 32 | (uint64_t)r->dst.len << 16 | r->metric;

	assert_true(!l->n || key > l->last);
	l->last = key;
	l->n++;
	l->n_in_use += r->in_use;
	return l->n == 1000;
}

static void routes_are_listed_in_order(void **state)
{
	struct listing l = {0};

	(void)state;
	for (unsigned i = 0; i < 400; i++) {
		unsigned k = i * 7919 % 400;

		ADD(.addr = NET(k % 200), .len = 16 + k / 200, .gateway = GW(1), .oif = 2,
		    .metric = 20);
		ADD(.addr = NET(k % 200), .len = 16 + k / 200, .gateway = GW(2), .oif = 2,
		    .metric = 10);
	}
	assert_int_equal(wr_mirror_each_route(b.m, list_route, &l), 0);
	assert_int_equal(l.n, 800);
	assert_int_equal(l.n_in_use, 400);
}

static void indices_run_out(void **state)
{
	const unsigned n = FIB_MAX_NH - FIB_NH_FIRST_FREE;

	(void)state;
	for (unsigned i = 0; i <= n; i++)
		ADD(.addr = 0x14000000 + (i << 8), .len = 24, .gateway = 0x1e000000 + i, .oif = 2);
	assert_by(0x14000000, 0x1e000000, 2);
	assert_int_equal(value(0x14000000 + (n << 8)), FIB_NH_KERNEL);
	assert_string_equal(why_kernel(0x14000000 + (n << 8)), "Weir's table of next hops is full");
	DEL(.addr = 0x14000000, .len = 24, .gateway = 0x1e000000, .oif = 2);
	retry_short(b.m);
	wr_derive_commit(b.m);
	assert_by(0x14000000 + (n << 8), 0x1e000000 + n, 2);
}

/*
 * Groups by themselves.
 */

static unsigned count_id(const uint16_t *ids, unsigned n, uint16_t id)
{
	unsigned count = 0;

	for (unsigned i = 0; i < n; i++)
		count += ids[i] == id;
	return count;
}

static void shares_are_fair_and_steady(void **state)
{
	static struct group_member g[64], less[64];
	static uint16_t ids[FIB_MAX_BUCKETS], again[FIB_MAX_BUCKETS];
	uint64_t seed = 1;

	(void)state;
	for (unsigned round = 0; round < 200; round++) {
		unsigned n = 2 + round % 30, n_buckets = wr_group_size(n), total = 0,
			 gone = round % n;

		for (unsigned i = 0; i < n; i++) {
			seed = wr_mirror_mix(seed + i + 1);
			g[i] = (struct group_member){
				.key = seed, .weight = 1 + seed % 9, .id = (uint16_t)(10 + i)};
			total += g[i].weight;
		}
		wr_group_fill(g, n, NULL, ids, n_buckets);
		for (unsigned i = 0; i < n; i++) {
			double due = (double)n_buckets * g[i].weight / total;
			unsigned has = count_id(ids, n_buckets, g[i].id);

			assert_true(has >= 1 && has > due - 1.5 && has < due + 1.5);
		}
		memcpy(less, g, sizeof(g));
		less[gone] = g[n - 1];
		wr_group_fill(less, n - 1, ids, again, n_buckets);
		for (unsigned i = 0; i < n_buckets; i++)
			if (ids[i] != g[gone].id)
				assert_int_equal(again[i], ids[i]);
	}
}

/*
 * Hostile input.
 */

static int tear_down_hostile(void **state)
{
	(void)state;
	wr_mirror_free(b.m);
	wr_fib_free(b.fib);
	return 0;
}

static struct nl_msg *samples(unsigned i)
{
	const struct route_args multipath = {.addr = NET(1),
					     .len = 16,
					     .n_paths = 2,
					     .mtu = 1400,
					     .metric = 7,
					     .paths = {{GW(1), 2, 1}, {GW(2), 3, 1}}};
	struct nl_msg *msg;

	switch (i) {
	case 0:
		return route_message(RTM_NEWROUTE, &multipath);
	case 1:
		msg = object_message(RTM_NEWNEXTHOP, 7);
		nla_put(msg, NHA_GROUP, 16, "\1\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0");
		return msg;
	default:
		msg = link_message(RTM_NEWLINK, 2, UP, 1500);
		nla_put(msg, IFLA_LINKINFO, 12, "\x09\0\1\0veth\0\0\0\0");
		return msg;
	}
}

/* Each prefix of a message, whatever length it claims, and each single changed byte. */
static void damaged_messages_are_survived(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		struct nl_msg *msg = samples(i);
		size_t len = nlmsg_hdr(msg)->nlmsg_len;
		char *copy = malloc(len + 1);

		for (size_t cut = 0; cut < len; cut++) {
			memcpy(copy, nlmsg_hdr(msg), len);
			wr_mirror_feed(b.m, copy, cut);
			if (cut < NLMSG_HDRLEN)
				continue;
			((struct nlmsghdr *)copy)->nlmsg_len = (uint32_t)cut;
			wr_mirror_feed(b.m, copy, cut);
			for (unsigned value_of_byte = 0; value_of_byte < 256; value_of_byte += 5) {
				memcpy(copy + 1, nlmsg_hdr(msg), len); /* not aligned either */
				copy[1 + cut] = (char)value_of_byte;
				wr_mirror_feed(b.m, copy + 1, len);
			}
		}
		free(copy);
		nlmsg_free(msg);
	}
	assert_true(wr_mirror_stats(b.m).n_bad > 100);
}

static void contradictions_are_refused(void **state)
{
	struct rtmsg rtm = {.rtm_family = AF_INET, .rtm_dst_len = 33, .rtm_table = RT_TABLE_MAIN};

	(void)state;
	feed(message(RTM_NEWROUTE, 0, &rtm, sizeof(rtm)));
	assert_int_equal(wr_mirror_stats(b.m).n_bad, 1);
	ADD(.addr = NET(1) + 1, .len = 16, .oif = 2); /* bits beyond the length */
	assert_int_equal(wr_mirror_stats(b.m).n_bad, 2);
	link_is(0, UP);
	assert_int_equal(wr_mirror_stats(b.m).n_bad, 3);
	assert_int_equal(wr_mirror_stats(b.m).n_routes, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(attached_and_gateway),
		T(neighbours_resolve_next_hops),
		T(neighbours_of_ports_are_listed),
		T(lowest_metric_decides),
		T(order_among_equals_follows_the_flags),
		T(deletion_takes_the_one_that_matches),
		T(types_become_what_they_say),
		T(table_local_comes_first),
		T(covered_prefixes_are_the_kernels),
		T(tos_leaves_the_prefix_to_the_kernel),
		T(what_weir_does_not_evaluate_is_the_kernels),
		T(enslaved_links_are_the_kernels),
		T(mtu_is_the_metrics_if_smaller),
		T(groups_share_by_weight),
		T(flows_on_other_members_stay),
		T(a_member_without_a_port_is_the_kernels),
		T(equal_paths_are_one_member),
		T(routes_share_their_way),
		T(link_down_takes_its_routes),
		T(deletion_of_what_is_gone_already),
		T(carrier_counts_where_the_kernel_is_told_so),
		T(link_deleted),
		T(bridge_messages_are_not_links),
		T(links_are_renamed),
		T(prefsrc_goes_with_its_address),
		T(objects_bind_later_and_change_in_place),
		T(objects_take_their_routes_along),
		T(blackhole_objects),
		T(local_addresses_are_told_once),
		T(whole_networks_may_be_local),
		T(settings_in_force),
		T(virtual_interfaces_are_known),
		T(routes_are_listed_in_order),
		T(indices_run_out),
		cmocka_unit_test(shares_are_fair_and_steady),
		cmocka_unit_test_setup_teardown(damaged_messages_are_survived, set_up,
						tear_down_hostile),
		cmocka_unit_test_setup_teardown(contradictions_are_refused, set_up,
						tear_down_hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
