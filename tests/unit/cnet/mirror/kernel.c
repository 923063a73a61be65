/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The mirror against the real kernel, in a network namespace of its own.
 *
 *   v0 .. v4 (ends of veth pairs p0 .. p4); v<i> has 10.0.<i>.1/24
 *   v0, v1, v2 are Weir's ports, v3 and v4 are not
 *   gateways 10.0.<i>.2 .. .7 are known neighbours, .8 and .9 are not
 *
 * Random batches of changes go to the kernel. When the mirror has settled, its list of routes must
 * be the kernel's dump to the letter and in order, and for thousands of destinations the kernel's
 * own lookup (RTM_GETROUTE, fib match) must be what the mirror and the fib say. Resyncs must find
 * nothing to mend: what the kernel does in silence was derived.
 *
 * WEIR_SEED replays a run; WEIR_ROUTES=1000000 measures the time and memory of as many routes.
 */
#include "cnet/fib/fib4_lookup.h"
#include "cnet/mirror/mirror_private.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if.h>
#include <linux/nexthop.h>
#include <malloc.h>
#include <netlink/msg.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum {
	N_LINKS = 5,
	N_PORTS = 3,
	N_PREFIXES = 1200,
	N_SINGLES = 24, /* next-hop objects 1 .. */
	N_GROUPS = 10,  /* and the ones after them */
	N_DESTINATIONS = 10000,
	BATCH_BYTES = 60000,
	SETTLE_S = 30,
	PLAIN_BASE = 0x1e000000,
};

struct bench {
	struct wr_loop *loop;
	struct rcu_writer rcu;
	struct fib *fib;
	struct mirror *m;
	struct nl_sock *sock; /* changes and questions */
	uint64_t random;
	uint32_t ifindex[N_LINKS];
	bool has_neighs[N_LINKS];
	struct {
		uint32_t addr;
		uint8_t len;
	} prefixes[N_PREFIXES];
	char batch[BATCH_BYTES];
	size_t batch_len;
	uint32_t n_plain; /* of the test with many routes */
};

static struct bench b;

static uint32_t rnd(uint32_t n)
{
	b.random = b.random * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return (uint32_t)(wr_mirror_mix(b.random) % n);
}

static void sh(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void sh(const char *fmt, ...)
{
	char command[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(command, sizeof(command), fmt, ap);
	va_end(ap);
	if (system(command))
		fail_msg("failed: %s", command);
}

/*
 * Changes.
 */

/* Throws away the kernel's answers: many random changes are refused, and that is fine. */
static void drain_answers(void)
{
	char buf[16];

	while (recv(nl_socket_get_fd(b.sock), buf, sizeof(buf), MSG_DONTWAIT | MSG_TRUNC) >= 0 ||
	       errno == ENOBUFS)
		;
}

static void flush_batch(void)
{
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};

	if (!b.batch_len)
		return;
	assert_int_equal(sendto(nl_socket_get_fd(b.sock), b.batch, b.batch_len, 0,
				(struct sockaddr *)&kernel, sizeof(kernel)),
			 b.batch_len);
	b.batch_len = 0;
	drain_answers();
}

static void put(struct nl_msg *msg)
{
	struct nlmsghdr *h = nlmsg_hdr(msg);
	size_t len = NLMSG_ALIGN(h->nlmsg_len);

	if (b.batch_len + len > sizeof(b.batch))
		flush_batch();
	h->nlmsg_flags |= NLM_F_REQUEST;
	memcpy(b.batch + b.batch_len, h, h->nlmsg_len);
	b.batch_len += len;
	nlmsg_free(msg);
}

static struct nl_msg *message(uint16_t type, uint16_t flags, void *head, size_t head_bytes)
{
	struct nl_msg *msg = nlmsg_alloc_simple(type, flags);

	assert_non_null(msg);
	assert_int_equal(nlmsg_append(msg, head, head_bytes, NLMSG_ALIGNTO), 0);
	return msg;
}

static uint32_t gateway_on(unsigned link)
{
	return htonl(0x0a000000u | link << 8 | (2 + rnd(8)));
}

static void put_multipath(struct nl_msg *msg)
{
	char buf[8 * 64];
	size_t len = 0;
	unsigned n = 2 + rnd(4);

	for (unsigned i = 0; i < n; i++) {
		unsigned link = rnd(N_LINKS);
		struct rtnexthop nh = {.rtnh_len = sizeof(nh) + 8,
				       .rtnh_hops = rnd(2) ? 0 : (uint8_t)rnd(10),
				       .rtnh_ifindex = (int)b.ifindex[link]};
		struct nlattr a = {.nla_len = 8, .nla_type = RTA_GATEWAY};
		uint32_t gateway = gateway_on(link);

		memcpy(buf + len, &nh, sizeof(nh));
		memcpy(buf + len + sizeof(nh), &a, sizeof(a));
		memcpy(buf + len + sizeof(nh) + 4, &gateway, 4);
		len += sizeof(nh) + 8;
	}
	nla_put(msg, RTA_MULTIPATH, (int)len, buf);
}

static void put_next_hops(struct nl_msg *msg, struct rtmsg *rtm)
{
	unsigned link = rnd(N_LINKS);

	switch (rnd(10)) {
	case 0:
	case 1:
	case 2:
		nla_put_u32(msg, RTA_NH_ID, 1 + rnd(N_SINGLES + N_GROUPS));
		return;
	case 3:
	case 4:
		put_multipath(msg);
		break;
	case 5:
		nla_put_u32(msg, RTA_OIF, b.ifindex[link]);
		rtm->rtm_scope = RT_SCOPE_LINK;
		break;
	default:
		nla_put_u32(msg, RTA_GATEWAY, gateway_on(link));
		if (rnd(4) == 0)
			nla_put_u32(msg, RTA_PREFSRC, htonl(0x0a000001u | rnd(N_LINKS) << 8));
		break;
	}
	if (rnd(8) == 0) {
		struct nlattr *metrics = nla_nest_start(msg, RTA_METRICS);

		nla_put_u32(msg, RTAX_MTU, rnd(2) ? 1400 : 9000);
		nla_nest_end(msg, metrics);
	}
}

static const uint8_t types[] = {RTN_UNICAST, RTN_UNICAST,   RTN_UNICAST,     RTN_UNICAST,
				RTN_UNICAST, RTN_UNICAST,   RTN_UNICAST,     RTN_UNICAST,
				RTN_LOCAL,   RTN_BLACKHOLE, RTN_UNREACHABLE, RTN_PROHIBIT,
				RTN_THROW};
static const uint16_t new_flags[] = {NLM_F_CREATE, NLM_F_CREATE | NLM_F_EXCL,
				     NLM_F_CREATE | NLM_F_REPLACE, NLM_F_CREATE | NLM_F_APPEND};

static void random_route(bool is_new)
{
	unsigned i = rnd(N_PREFIXES);
	struct rtmsg rtm = {.rtm_family = AF_INET,
			    .rtm_dst_len = b.prefixes[i].len,
			    .rtm_table = RT_TABLE_MAIN,
			    .rtm_protocol = rnd(3) ? RTPROT_STATIC : RTPROT_BOOT,
			    .rtm_type = types[rnd(wr_array_size(types))]};
	uint16_t flags = is_new ? new_flags[rnd(4)] : 0;
	struct nl_msg *msg;

	/* Of several default routes the kernel's output lookup prefers a reachable one: not what
	 * forwarding does. */
	if (is_new && !rtm.rtm_dst_len)
		flags = NLM_F_CREATE | NLM_F_REPLACE;
	if (i % 50 == 0 && rnd(2))
		rtm.rtm_tos = 0x10;
	if (rtm.rtm_type == RTN_LOCAL) {
		/* Few and small ones in table local: what they cover is the kernel's. */
		rtm.rtm_table =
			rtm.rtm_dst_len >= 20 && i % 8 == 0 ? RT_TABLE_LOCAL : RT_TABLE_MAIN;
		rtm.rtm_scope = RT_SCOPE_HOST;
	}
	if (!is_new) {
		rtm.rtm_scope = RT_SCOPE_NOWHERE;
		rtm.rtm_protocol = 0;
		rtm.rtm_type = 0;
	}
	msg = message(is_new ? RTM_NEWROUTE : RTM_DELROUTE, flags, &rtm, sizeof(rtm));
	nla_put_u32(msg, RTA_DST, htonl(b.prefixes[i].addr));
	if (rtm.rtm_dst_len && rnd(2))
		nla_put_u32(msg, RTA_PRIORITY, 10 * rnd(3));
	if (is_new && rtm.rtm_type == RTN_UNICAST)
		put_next_hops(msg, nlmsg_data(nlmsg_hdr(msg)));
	if (is_new && rtm.rtm_type == RTN_LOCAL)
		nla_put_u32(msg, RTA_OIF, b.ifindex[rnd(N_LINKS)]);
	put(msg);
}

static void random_object(bool is_new)
{
	uint32_t id = 1 + rnd(N_SINGLES + N_GROUPS);
	struct nhmsg nhm = {.nh_family = is_new && id <= N_SINGLES ? AF_INET : AF_UNSPEC,
			    .nh_protocol = is_new ? RTPROT_STATIC : 0};
	struct nl_msg *msg = message(is_new ? RTM_NEWNEXTHOP : RTM_DELNEXTHOP,
				     is_new ? NLM_F_CREATE | NLM_F_REPLACE : 0, &nhm, sizeof(nhm));

	nla_put_u32(msg, NHA_ID, id);
	if (is_new && id > N_SINGLES) {
		struct nexthop_grp g[4];
		unsigned n = 1 + rnd(4);

		memset(g, 0, sizeof(g));
		for (unsigned i = 0; i < n; i++) {
			g[i].id = 1 + i * 6 + rnd(6);
			g[i].weight = rnd(2) ? 0 : (uint8_t)rnd(20);
		}
		nla_put(msg, NHA_GROUP, (int)(n * sizeof(g[0])), g);
	} else if (is_new && rnd(12) == 0) {
		nla_put_flag(msg, NHA_BLACKHOLE);
	} else if (is_new) {
		unsigned link = rnd(N_LINKS);

		nla_put_u32(msg, NHA_OIF, b.ifindex[link]);
		if (rnd(5))
			nla_put_u32(msg, NHA_GATEWAY, gateway_on(link));
	}
	put(msg);
}

static void random_batch(unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		unsigned what = rnd(100);

		if (what < 4)
			random_object(true);
		else if (what < 5)
			random_object(false);
		else
			random_route(what < 80);
	}
	flush_batch();
}

/*
 * Settling and comparing.
 */

static void turn_for(unsigned ms)
{
	uint64_t end = wr_now_ns(wr_clock_monotonic()) + ms * WR_NS_PER_MS;

	while (wr_now_ns(wr_clock_monotonic()) < end)
		wr_loop_turn(b.loop, 5 * WR_NS_PER_MS);
}

static void settle(void)
{
	uint64_t end = wr_now_ns(wr_clock_monotonic()) + SETTLE_S * WR_NS_PER_S;

	do {
		wr_loop_turn(b.loop, 20 * WR_NS_PER_MS);
		if (wr_now_ns(wr_clock_monotonic()) > end)
			fail_msg("does not settle");
	} while (!wr_mirror_stats(b.m).is_settled);
}

/* The kernel tells of carriers when it finds the time. */
static void wait_carrier(unsigned link, bool has_carrier)
{
	for (unsigned i = 0;
	     i < 300 && wr_mirror_link(b.m, b.ifindex[link])->has_carrier != has_carrier; i++)
		turn_for(10);
	assert_int_equal(wr_mirror_link(b.m, b.ifindex[link])->has_carrier, has_carrier);
}

struct lines {
	char **at;
	size_t n, max;
};

struct text {
	char buf[2048];
	size_t len;
};

static void add(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void add(struct text *t, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	t->len += (size_t)vsnprintf(t->buf + t->len, sizeof(t->buf) - t->len, fmt, ap);
	va_end(ap);
	assert_true(t->len < sizeof(t->buf));
}

/* The kernel's dump goes on within a prefix in order of preference: the line's number keeps
 * that. */
static void add_line(struct lines *l, const struct text *t)
{
	if (l->n == l->max) {
		l->max = l->max ? l->max * 2 : 1024;
		l->at = realloc(l->at, l->max * sizeof(*l->at));
		assert_non_null(l->at);
	}
	l->at[l->n++] = strdup(t->buf);
}

static void free_lines(struct lines *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->at[i]);
	free(l->at);
	*l = (struct lines){0};
}

enum { SORT_KEY_CHARS = 14 }; /* "aaaaaaaa/ll t " */

static void key_text(struct text *t, uint32_t addr, unsigned len, uint32_t table)
{
	t->len = 0;
	add(t, "%08x/%02u %c ", addr, len, table == RT_TABLE_LOCAL ? 'a' : 'b');
}

static void path_text(struct text *t, struct ip4 gateway, uint32_t oif, unsigned weight,
		      unsigned flags)
{
	add(t, " [%08x dev %u weight %u%s]", ip4_to(gateway), oif, weight,
	    flags & RTNH_F_DEAD ? " dead" : "");
}

static int mirror_line(void *arg, const struct mirror_route *r)
{
	struct text t;

	key_text(&t, ip4_to(r->dst.addr), r->dst.len, r->table);
	add(&t, "tos %u metric %u type %u proto %u scope %u nh %u mtu %u src %08x", r->tos,
	    r->metric, r->type, r->protocol, r->scope, r->nh_id, r->mtu, ip4_to(r->prefsrc));
	for (unsigned i = 0; i < r->n_paths; i++)
		path_text(&t, r->paths[i].gateway, r->paths[i].oif, r->paths[i].weight,
			  r->nh_id ? 0 : r->paths[i].flags);
	add_line(arg, &t);
	return 0;
}

struct answer {
	int err;
	bool is_there;
	struct rtmsg rtm;
	uint32_t table, metric, nh_id, mtu;
	struct ip4 dst, prefsrc;
	unsigned n_paths;
	struct mirror_path paths[64];
};

static void read_path(struct answer *r, struct nlattr *attrs, int len, uint32_t oif,
		      unsigned weight, unsigned flags)
{
	struct nlattr *gateway = nla_find(attrs, len, RTA_GATEWAY);
	struct mirror_path *p = &r->paths[r->n_paths++];

	*p = (struct mirror_path){.oif = oif, .weight = (uint16_t)weight, .flags = (uint8_t)flags};
	if (gateway)
		p->gateway.raw = nla_get_u32(gateway);
}

static void read_route(void *arg, const struct nlmsghdr *ch)
{
	struct nlmsghdr *h = (struct nlmsghdr *)(uintptr_t)ch;
	struct answer *r = arg;
	struct nlattr *attrs = nlmsg_attrdata(h, sizeof(struct rtmsg)), *a;
	int len = nlmsg_attrlen(h, sizeof(struct rtmsg));

	*r = (struct answer){.is_there = true};
	memcpy(&r->rtm, nlmsg_data(h), sizeof(r->rtm));
	r->table = r->rtm.rtm_table;
	if ((a = nla_find(attrs, len, RTA_TABLE)))
		r->table = nla_get_u32(a);
	if ((a = nla_find(attrs, len, RTA_DST)))
		r->dst.raw = nla_get_u32(a);
	if ((a = nla_find(attrs, len, RTA_PRIORITY)))
		r->metric = nla_get_u32(a);
	if ((a = nla_find(attrs, len, RTA_PREFSRC)))
		r->prefsrc.raw = nla_get_u32(a);
	if ((a = nla_find(attrs, len, RTA_NH_ID)))
		r->nh_id = nla_get_u32(a);
	if ((a = nla_find(attrs, len, RTA_METRICS)) &&
	    (a = nla_find(nla_data(a), nla_len(a), RTAX_MTU)))
		r->mtu = nla_get_u32(a);
	a = nla_find(attrs, len, RTA_MULTIPATH);
	if (a) {
		struct rtnexthop *nh = nla_data(a);
		int left = nla_len(a);

		for (; RTNH_OK(nh, left); left -= RTNH_ALIGN(nh->rtnh_len), nh = RTNH_NEXT(nh))
			read_path(r, (struct nlattr *)RTNH_DATA(nh),
				  nh->rtnh_len - (int)sizeof(*nh), (uint32_t)nh->rtnh_ifindex,
				  nh->rtnh_hops + 1u, nh->rtnh_flags);
	} else if ((a = nla_find(attrs, len, RTA_OIF))) {
		read_path(r, attrs, len, nla_get_u32(a), 1, r->rtm.rtm_flags);
	}
}

static void kernel_line(void *arg, const struct nlmsghdr *h)
{
	struct answer r;
	struct text t;

	read_route(&r, h);
	if (r.rtm.rtm_family != AF_INET || (r.table != RT_TABLE_MAIN && r.table != RT_TABLE_LOCAL))
		return;
	key_text(&t, ip4_to(r.dst), r.rtm.rtm_dst_len, r.table);
	add(&t, "tos %u metric %u type %u proto %u scope %u nh %u mtu %u src %08x", r.rtm.rtm_tos,
	    r.metric, r.rtm.rtm_type, r.rtm.rtm_protocol, r.rtm.rtm_scope, r.nh_id, r.mtu,
	    ip4_to(r.prefsrc));
	for (unsigned i = 0; i < r.n_paths && r.rtm.rtm_type != RTN_BLACKHOLE; i++)
		path_text(&t, r.paths[i].gateway, r.paths[i].oif, r.paths[i].weight,
			  r.nh_id ? 0 : r.paths[i].flags);
	add_line(arg, &t);
}

static int compare_lines(const void *a, const void *c)
{
	return strncmp(*(char *const *)a, *(char *const *)c, SORT_KEY_CHARS);
}

static unsigned compare_lists(void)
{
	const struct rtmsg rtm = {.rtm_family = AF_INET};
	struct lines kernel = {0}, mirror = {0};
	unsigned n_routes;

	assert_int_equal(wr_nl_dump(b.sock, RTM_GETROUTE, &rtm, sizeof(rtm), kernel_line, &kernel),
			 0);
	assert_int_equal(wr_mirror_each_route(b.m, mirror_line, &mirror), 0);
	/* glibc's qsort() is a merge sort for such sizes: stable. */
	qsort(kernel.at, kernel.n, sizeof(*kernel.at), compare_lines);
	qsort(mirror.at, mirror.n, sizeof(*mirror.at), compare_lines);
	for (size_t i = 0; i < kernel.n && i < mirror.n; i++)
		if (strcmp(kernel.at[i], mirror.at[i]))
			fail_msg("route %zu\nkernel: %s\nmirror: %s", i, kernel.at[i],
				 mirror.at[i]);
	assert_int_equal(kernel.n, mirror.n);
	assert_int_equal(kernel.n, wr_mirror_stats(b.m).n_routes);
	n_routes = (unsigned)kernel.n;
	free_lines(&kernel);
	free_lines(&mirror);
	return n_routes;
}

static void ask_kernel(struct ip4 addr, struct answer *ret)
{
	struct rtmsg rtm = {.rtm_family = AF_INET, .rtm_dst_len = 32, .rtm_flags = RTM_F_FIB_MATCH};
	struct nl_msg *msg = message(RTM_GETROUTE, 0, &rtm, sizeof(rtm));

	*ret = (struct answer){0};
	nla_put_u32(msg, RTA_DST, addr.raw);
	ret->err = wr_nl_ask(b.sock, msg, read_route, ret);
	if (ret->is_there)
		ret->err = 0;
}

static bool is_port(uint32_t oif)
{
	for (unsigned i = 0; i < N_PORTS; i++)
		if (b.ifindex[i] == oif)
			return true;
	return false;
}

static void check_hop(const struct nexthop *nh, const struct mirror_path *path)
{
	uint32_t host = ip4_to(path->gateway) & 0xff;

	if (!is_port(path->oif)) {
		assert_int_equal(nh->type, NH_KERNEL);
		return;
	}
	assert_int_equal(nh->type, path->gateway.raw ? NH_NEIGH : NH_ATTACHED);
	assert_int_equal(nh->oif, path->oif);
	assert_int_equal(nh->gateway.raw, path->gateway.raw);
	if (!path->gateway.raw)
		return;
	for (unsigned i = 0; i < N_PORTS; i++)
		if (b.ifindex[i] == path->oif)
			assert_int_equal(nh->is_resolved, b.has_neighs[i] && host < 8);
	if (nh->is_resolved) {
		assert_int_equal(nh->rewrite[5], host);
		assert_memory_equal(nh->rewrite + 6, &wr_mirror_link(b.m, path->oif)->mac, 6);
	}
}

static void check_group(const struct nexthop *nh, const struct answer *r)
{
	assert_int_equal(nh->type, NH_GROUP);
	for (unsigned i = 0; i < nh->n_members; i++) {
		const struct nexthop *member = wr_fib_nh(b.fib, nh->members[i]);
		bool is_found = false;

		assert_non_null(member);
		if (member->type == NH_KERNEL)
			continue;
		for (unsigned k = 0; k < r->n_paths; k++)
			is_found |= !(r->paths[k].flags & RTNH_F_DEAD) &&
				    member->oif == r->paths[k].oif &&
				    member->gateway.raw == r->paths[k].gateway.raw;
		assert_true(is_found);
	}
}

static void check_unicast(const struct nexthop *nh, const struct answer *r)
{
	struct mirror_path alive[64];
	unsigned n = 0;

	for (unsigned i = 0; i < r->n_paths; i++) {
		bool is_new = !(r->paths[i].flags & RTNH_F_DEAD);

		for (unsigned k = 0; k < n; k++)
			if (alive[k].oif == r->paths[i].oif &&
			    ip4_equal(alive[k].gateway, r->paths[i].gateway))
				is_new = false;
		if (is_new)
			alive[n++] = r->paths[i];
	}
	assert_true(n);
	if (n == 1)
		check_hop(nh, &alive[0]);
	else
		check_group(nh, r);
}

static enum nh_type type_of_error(int err)
{
	switch (err) {
	case -EINVAL:
		return NH_BLACKHOLE;
	case -EHOSTUNREACH:
	case -EACCES:
		return NH_REJECT;
	default:
		return NH_NONE;
	}
}

static bool check_destination(struct ip4 addr)
{
	const struct nexthop *nh = wr_fib_nh(b.fib, wr_fib4_lookup(b.fib->routes, addr));
	struct mirror_route route;
	struct answer r;
	bool is_there = wr_mirror_route_get(b.m, addr, &route);

	ask_kernel(addr, &r);
	assert_non_null(nh);
	if (!r.is_there) {
		enum nh_type expected = type_of_error(r.err);

		/* Throw in table main is answered as no route. */
		if (nh->type != NH_KERNEL && nh->type != expected)
			assert_true(expected == NH_NONE && nh->type == NH_REJECT && is_there &&
				    route.type == RTN_THROW);
		return false;
	}
	if (!is_there)
		fail_msg("%08x: kernel has %08x/%u", ip4_to(addr), ip4_to(r.dst),
			 r.rtm.rtm_dst_len);
	assert_int_equal(route.dst.len, r.rtm.rtm_dst_len);
	assert_int_equal(route.type, r.rtm.rtm_type);
	assert_int_equal(route.metric, r.metric);
	assert_int_equal(route.nh_id, r.nh_id);
	assert_int_equal(route.n_paths, r.n_paths);
	for (unsigned i = 0; i < r.n_paths; i++) {
		assert_int_equal(route.paths[i].oif, r.paths[i].oif);
		assert_int_equal(route.paths[i].gateway.raw, r.paths[i].gateway.raw);
		assert_int_equal(route.paths[i].weight, r.paths[i].weight);
	}
	if (nh->type == NH_KERNEL && route.why_kernel[0])
		return false;
	if (route.type == RTN_UNICAST)
		check_unicast(nh, &r);
	else
		assert_int_equal(nh->type, NH_LOCAL);
	return nh->type == NH_NEIGH || nh->type == NH_ATTACHED || nh->type == NH_GROUP;
}

static void compare(const char *when)
{
	struct mirror_stats stats;
	unsigned n_ours = 0, n_routes;

	settle();
	n_routes = compare_lists();
	for (unsigned i = 0; i < N_DESTINATIONS; i++) {
		unsigned k = rnd(N_PREFIXES);
		uint32_t addr = rnd(UINT32_MAX);

		if (rnd(8))
			addr = b.prefixes[k].addr | (addr & ~ip4_mask(b.prefixes[k].len));
		if (b.n_plain)
			addr = PLAIN_BASE + (addr % b.n_plain << 8 | addr >> 24);
		if (addr >> 28 >= 14 || addr >> 24 == 127 || addr >> 24 == 0)
			continue;
		n_ours += check_destination(ip4_from(addr));
	}
	stats = wr_mirror_stats(b.m);
	print_message(
		"           %-26s %6u routes, own way for %u of %u, %u next hops, %llu mended\n",
		when, n_routes, n_ours, N_DESTINATIONS, b.fib->n_nh,
		(unsigned long long)stats.n_mended);
}

/*
 * The bench.
 */

static void write_sysctl(const char *name, const char *value)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/sys/net/ipv4/%s", name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(value, f);
	assert_int_equal(fclose(f), 0);
}

static void set_neighs(unsigned link)
{
	for (unsigned k = 2; k < 8; k++)
		sh("ip neigh replace 10.0.%u.%u lladdr 02:00:00:00:%02x:%02x dev v%u", link, k,
		   link, k, link);
	b.has_neighs[link] = true;
}

static void set_up_links(void)
{
	sh("ip link set lo up");
	write_sysctl("ip_forward", "1");
	for (unsigned i = 0; i < N_LINKS; i++) {
		sh("ip link add v%u type veth peer name p%u && ip link set v%u up && ip link set p%u up && "
		   "ip addr add 10.0.%u.1/24 dev v%u",
		   i, i, i, i, i, i);
		set_neighs(i);
	}
	usleep(300000); /* the peers' carrier */
}

static void draw_prefixes(void)
{
	for (unsigned i = 0; i < N_PREFIXES; i++) {
		unsigned len = i == 0 ? 0 : 6 + rnd(27);
		/* Close together, so that they nest. */
		uint32_t addr = (20u + rnd(8)) << 24 | rnd(16) << 18 | rnd(8) << 10 | rnd(256);

		b.prefixes[i].len = (uint8_t)len;
		b.prefixes[i].addr = addr & ip4_mask(len);
	}
}

static void open_mirror(uint32_t rcvbuf_bytes)
{
	struct wr_err err = {""};
	struct mirror_conf conf;

	assert_int_equal(wr_loop_create(wr_clock_monotonic(), &b.loop), 0);
	assert_int_equal(wr_fib_create(&b.rcu, &b.fib), 0);
	conf = (struct mirror_conf){
		.loop = b.loop, .fib = b.fib, .rcu = &b.rcu, .rcvbuf_bytes = rcvbuf_bytes};
	if (wr_mirror_create(&conf, &b.m, &err))
		fail_msg("%s", err.text);
	for (unsigned i = 0; i < N_PORTS; i++)
		assert_int_equal(wr_mirror_port_add(b.m, b.ifindex[i], i), 0);
}

static void close_mirror(void)
{
	wr_mirror_free(b.m);
	wr_rcu_flush(&b.rcu);
	wr_fib_free(b.fib);
	wr_loop_free(b.loop);
	b.m = NULL;
}

static int set_up(void **state)
{
	const char *seed = getenv("WEIR_SEED");

	(void)state;
	memset(&b, 0, sizeof(b));
	b.random = seed ? strtoull(seed, NULL, 0) : 1;
	if (unshare(CLONE_NEWNET))
		return -1;
	set_up_links();
	draw_prefixes();
	for (unsigned i = 0; i < N_LINKS; i++) {
		char name[8];

		snprintf(name, sizeof(name), "v%u", i);
		b.ifindex[i] = 0;
		sh("test -n %s", name);
	}
	assert_int_equal(wr_nl_open(NETLINK_ROUTE, 4 << 20, false, &b.sock, NULL), 0);
	return 0;
}

static void find_links(void)
{
	struct wr_err err = {""};
	struct mirror_conf conf;

	assert_int_equal(wr_loop_create(wr_clock_monotonic(), &b.loop), 0);
	assert_int_equal(wr_fib_create(&b.rcu, &b.fib), 0);
	conf = (struct mirror_conf){.loop = b.loop, .fib = b.fib, .rcu = &b.rcu};
	if (wr_mirror_create(&conf, &b.m, &err))
		fail_msg("%s", err.text);
	for (unsigned i = 0; i < N_LINKS; i++) {
		char name[8];

		snprintf(name, sizeof(name), "v%u", i);
		assert_non_null(wr_mirror_link_by_name(b.m, name));
		b.ifindex[i] = wr_mirror_link_by_name(b.m, name)->ifindex;
	}
	close_mirror();
}

static int tear_down(void **state)
{
	(void)state;
	wr_nl_close(b.sock);
	return 0;
}

/*
 * The tests.
 */

static void random_tables(void **state)
{
	(void)state;
	find_links();
	random_batch(4000);
	open_mirror(0);
	compare("first dump");
	for (unsigned round = 0; round < 12; round++) {
		random_batch(200 + rnd(3000));
		compare("random changes");
	}
	assert_int_equal(wr_mirror_resync(b.m), 0);
	compare("resync");
	assert_int_equal(wr_mirror_stats(b.m).n_mended, 0);
	close_mirror();
}

static void mended_nothing(const char *when)
{
	turn_for(150);
	compare(when);
	assert_int_equal(wr_mirror_resync(b.m), 0);
	if (wr_mirror_stats(b.m).n_mended)
		fail_msg("%s: a resync had to mend", when);
}

static void silent_changes(void **state)
{
	(void)state;
	find_links();
	for (unsigned i = 0; i < 3; i++)
		random_batch(3000);
	open_mirror(0);
	mended_nothing("before");
	sh("ip link set v1 down");
	b.has_neighs[1] = false;
	mended_nothing("link down");
	sh("ip link set v1 up");
	usleep(100000);
	set_neighs(1);
	random_batch(2000);
	mended_nothing("link up");
	sh("ip link set p2 down");
	wait_carrier(2, false);
	mended_nothing("carrier lost");
	write_sysctl("conf/v2/ignore_routes_with_linkdown", "1");
	turn_for(50);
	compare("ignore_routes_with_linkdown");
	write_sysctl("conf/v2/ignore_routes_with_linkdown", "0");
	sh("ip link set p2 up");
	wait_carrier(2, true);
	random_batch(2000);
	mended_nothing("carrier back");
	for (uint32_t id = 1; id <= 6; id++)
		sh("ip nexthop del id %u 2>/dev/null || true", id);
	mended_nothing("next-hop objects deleted");
	random_batch(2000);
	sh("ip addr del 10.0.0.1/24 dev v0");
	b.has_neighs[0] = false;
	mended_nothing("address deleted");
	sh("ip addr add 10.0.0.1/24 dev v0");
	set_neighs(0);
	random_batch(2000);
	mended_nothing("address back");
	close_mirror();
}

static void flapping(void **state)
{
	(void)state;
	find_links();
	random_batch(3000);
	open_mirror(0);
	for (unsigned i = 0; i < 15; i++) {
		unsigned link = rnd(N_LINKS);

		random_batch(500);
		sh("ip link set v%u down", link);
		if (rnd(2))
			turn_for(30);
		random_batch(200);
		sh("ip link set v%u up", link);
		set_neighs(link);
		if (rnd(2))
			turn_for(30);
	}
	compare("flapping");
	sh("ip link del v1");
	turn_for(50);
	assert_null(wr_mirror_link(b.m, b.ifindex[1]));
	b.ifindex[1] = 0;
	compare("link deleted");
	close_mirror();
}

static void overrun(void **state)
{
	(void)state;
	find_links();
	random_batch(2000);
	open_mirror(4096);
	for (unsigned i = 0; i < 5; i++) {
		random_batch(5000);
		compare("receive buffer overrun");
	}
	assert_true(wr_mirror_stats(b.m).n_overruns > 0);
	close_mirror();
}

/* Changes go on while dumps are being taken. */
static void resync_under_change(void **state)
{
	(void)state;
	find_links();
	random_batch(6000);
	open_mirror(0);
	for (unsigned i = 0; i < 6; i++) {
		pid_t pid;

		flush_batch();
		pid = fork();
		if (!pid) {
			b.random += 77 * i;
			for (unsigned k = 0; k < 40; k++)
				random_batch(100);
			_exit(0);
		}
		for (unsigned k = 0; k < 5; k++) {
			assert_int_equal(wr_mirror_resync(b.m), 0);
			turn_for(10);
		}
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		b.random++;
		compare("resync under change");
	}
	close_mirror();
}

static size_t in_use(void)
{
	struct mallinfo2 mi = mallinfo2();

	return mi.uordblks + mi.hblkhd;
}

static void put_plain_route(uint32_t i, uint16_t type)
{
	struct rtmsg rtm = {.rtm_family = AF_INET,
			    .rtm_dst_len = 24,
			    .rtm_table = RT_TABLE_MAIN,
			    .rtm_protocol = type == RTM_NEWROUTE ? RTPROT_BGP : 0,
			    .rtm_scope =
				    type == RTM_NEWROUTE ? RT_SCOPE_UNIVERSE : RT_SCOPE_NOWHERE,
			    .rtm_type = type == RTM_NEWROUTE ? RTN_UNICAST : 0};
	struct nl_msg *msg =
		message(type, type == RTM_NEWROUTE ? NLM_F_CREATE : 0, &rtm, sizeof(rtm));
	unsigned link = i % N_PORTS;

	nla_put_u32(msg, RTA_DST, htonl(PLAIN_BASE + (i << 8)));
	nla_put_u32(msg, RTA_PRIORITY, 20);
	if (type == RTM_NEWROUTE)
		nla_put_u32(msg, RTA_GATEWAY, htonl(0x0a000002u | link << 8 | (i / 3 % 6)));
	put(msg);
}

static double seconds_since(uint64_t start)
{
	return (double)(wr_now_ns(wr_clock_monotonic()) - start) / 1e9;
}

static void many_routes(void **state)
{
	const char *wanted = getenv("WEIR_ROUTES");
	uint32_t n = wanted ? (uint32_t)strtoul(wanted, NULL, 0) : 100000;
	size_t before;
	uint64_t start;

	(void)state;
	find_links();
	open_mirror(0);
	compare("empty");
	b.n_plain = n;
	before = in_use();
	start = wr_now_ns(wr_clock_monotonic());
	for (uint32_t i = 0; i < n; i++)
		put_plain_route(i, RTM_NEWROUTE);
	flush_batch();
	print_message("           kernel took %u routes in %.2f s\n", n, seconds_since(start));
	start = wr_now_ns(wr_clock_monotonic());
	settle();
	if (wr_mirror_stats(b.m).n_routes < n)
		turn_for(2000);
	print_message(
		"           mirrored by events in %.2f s, %llu overruns, %zu bytes a route with fib4\n",
		seconds_since(start), (unsigned long long)wr_mirror_stats(b.m).n_overruns,
		(in_use() - before) / n);
	assert_true(wr_mirror_stats(b.m).n_routes >= n);
	print_message("           of these fib4 says %llu + %llu bytes\n",
		      (unsigned long long)wr_fib4_stats(b.fib->routes).table_bytes / n,
		      (unsigned long long)wr_fib4_stats(b.fib->routes).rib_bytes / n);
	start = wr_now_ns(wr_clock_monotonic());
	assert_int_equal(wr_mirror_resync(b.m), 0);
	print_message("           resync in %.2f s\n", seconds_since(start));
	close_mirror();
	start = wr_now_ns(wr_clock_monotonic());
	open_mirror(0);
	print_message("           mirrored by the first dump in %.2f s\n", seconds_since(start));
	compare("many routes");
	start = wr_now_ns(wr_clock_monotonic());
	sh("ip link set v1 down");
	turn_for(20);
	print_message("           a third of them gone with their link in %.2f s\n",
		      seconds_since(start));
	compare("link down");
	for (uint32_t i = 0; i < n; i++)
		put_plain_route(i, RTM_DELROUTE);
	flush_batch();
	compare("deleted");
	assert_true(wr_mirror_stats(b.m).n_routes < 100);
	close_mirror();
}

static bool transit[N_PORTS];
static char why[N_PORTS][256];

static void on_transit(void *arg, unsigned port_idx, bool on, const char *text)
{
	(void)arg;
	transit[port_idx] = on;
	snprintf(why[port_idx], sizeof(why[0]), "%s", text);
}

static void settings_are_followed(void **state)
{
	static const struct mirror_ops ops = {.transit_changed = on_transit};
	struct wr_err err = {""};
	struct mirror_conf conf;

	(void)state;
	find_links();
	assert_int_equal(wr_loop_create(wr_clock_monotonic(), &b.loop), 0);
	assert_int_equal(wr_fib_create(&b.rcu, &b.fib), 0);
	conf = (struct mirror_conf){.loop = b.loop, .fib = b.fib, .rcu = &b.rcu, .ops = &ops};
	if (wr_mirror_create(&conf, &b.m, &err))
		fail_msg("%s", err.text);
	assert_int_equal(wr_mirror_port_add(b.m, b.ifindex[0], 0), 0);
	if (!transit[0])
		fail_msg("no transit: %s", why[0]);
	write_sysctl("ip_forward", "0");
	turn_for(50);
	assert_false(transit[0]);
	assert_non_null(strstr(why[0], "forwarding is off on v0"));
	write_sysctl("conf/v0/forwarding", "1");
	turn_for(50);
	assert_true(transit[0]);
	write_sysctl("conf/all/rp_filter", "2");
	write_sysctl("conf/v0/rp_filter", "1");
	turn_for(50);
	assert_int_equal(b.fib->iface[0]->rp_filter, 2);
	write_sysctl("conf/all/rp_filter", "0");
	turn_for(50);
	assert_int_equal(b.fib->iface[0]->rp_filter, 1);
	write_sysctl("conf/all/send_redirects", "0");
	write_sysctl("conf/v0/send_redirects", "0");
	assert_int_equal(wr_mirror_resync(b.m), 0);
	assert_false(b.fib->iface[0]->send_redirects);
	write_sysctl("conf/all/send_redirects", "1");
	assert_int_equal(wr_mirror_resync(b.m), 0);
	assert_true(b.fib->iface[0]->send_redirects);
	sh("ip link add br0 type bridge && ip link set v0 master br0");
	turn_for(50);
	assert_false(transit[0]);
	assert_non_null(strstr(why[0], "v0 is a port of br0"));
	sh("ip link set v0 nomaster");
	turn_for(50);
	assert_true(transit[0]);
	sh("ip link set v0 down && ip link set v0 name w0 mtu 1300");
	turn_for(50);
	assert_false(transit[0]);
	sh("ip link set w0 up");
	turn_for(150);
	assert_true(transit[0]);
	assert_string_equal(wr_mirror_link(b.m, b.ifindex[0])->name, "w0");
	assert_int_equal(b.fib->iface[0]->mtu, 1300);
	assert_true(wr_mirror_link(b.m, b.ifindex[0])->is_virtual);
	close_mirror();
}

static void neighbours_in_use_are_kept_alive(void **state)
{
	const struct ip4 host = ip4_from(0x0a000002);
	struct nexthop *nh;
	struct neigh *n;

	(void)state;
	find_links();
	/* The other end answers ARP in a namespace-free way: it has the address itself. */
	sh("ip addr add 10.0.0.200/32 dev p0");
	sh("ip neigh replace 10.0.0.2 lladdr 02:00:00:00:00:02 nud stale dev v0");
	open_mirror(0);
	n = wr_neigh_lookup(b.m, b.ifindex[0], host);
	assert_non_null(n);
	assert_int_equal(n->pub.state, NUD_STALE);
	wr_neigh_keepalive(b.m);
	turn_for(50);
	assert_int_equal(n->pub.state, NUD_STALE); /* nobody uses it */
	nh = wr_fib_neigh_lookup(b.fib, b.ifindex[0], host);
	if (!nh)
		abort();
	nh->used = 1;
	wr_neigh_keepalive(b.m);
	assert_true(n->pub.is_used);
	for (unsigned i = 0; i < 80 && n->pub.state == NUD_STALE; i++)
		turn_for(100);
	assert_int_not_equal(n->pub.state, NUD_STALE);
	close_mirror();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(settings_are_followed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(random_tables, set_up, tear_down),
		cmocka_unit_test_setup_teardown(silent_changes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(flapping, set_up, tear_down),
		cmocka_unit_test_setup_teardown(overrun, set_up, tear_down),
		cmocka_unit_test_setup_teardown(resync_under_change, set_up, tear_down),
		cmocka_unit_test_setup_teardown(neighbours_in_use_are_kept_alive, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(many_routes, set_up, tear_down),
	};

	if (geteuid()) {
		printf("skip: needs root for a network namespace\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
