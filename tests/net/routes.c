/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Random route tables, and whether a running router answers as the kernel does.
 *
 *   routes [--tables N] [--destinations N] [--seed N] SOCKET IF...
 *
 * Run in the router's namespace; IF number i has 10.0.i.1/24. Per table a new set of prefixes comes
 * and the old one goes, in random order, then routes and next-hop objects are added, replaced,
 * appended and deleted at random: the kernel refuses many of these, which is fine. When the router
 * says that it has settled, each destination is asked of the kernel (RTM_GETROUTE, fib match) and
 * of the router (`route get`); both answers, as text, must be equal.
 */
#include "lib/req/req.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <linux/nexthop.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	MAX_IFS = 8,
	N_PREFIXES = 1300,
	MIN_ROUTED = 1000, /* prefixes that a table has at least */
	N_CHANGES = 2500,  /* at random, after the new prefixes came */
	N_SINGLES = 24,    /* next-hop objects 1 .. */
	N_GROUPS = 10,     /* and the ones after them */
	MAX_GROUP = 4,
	BATCH_BYTES = 32768,
	ASK_AT_ONCE = 200,
	WORDS_AT_ONCE = 2000,
	TEXT_BYTES = 600,
	SETTLE_PAUSE_MS = 5,
	MAX_SETTLE_TRIES = 30 * 1000 / SETTLE_PAUSE_MS,
	ASK_MS = 20000,
	RCVBUF_BYTES = 16 << 20,
	MAX_COMPLAINTS = 10,
};

struct prefix {
	uint32_t addr; /* host byte order */
	uint8_t len;
};

static struct test {
	const char *socket;
	unsigned n_links;
	uint32_t ifindex[MAX_IFS];
	unsigned n_tables, n_destinations;
	uint64_t rng;
	int fd;
	struct prefix prefixes[N_PREFIXES], old[N_PREFIXES];
	size_t n_batch;
	uint8_t batch[BATCH_BYTES];
	uint64_t n_asked, n_refused, n_grouped, n_wrong, n_changes;
} the_test = {.n_tables = 100, .n_destinations = 10000, .rng = 1, .fd = -1};

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "routes: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* splitmix64 */
static uint32_t rnd(struct test *t, uint32_t n)
{
	uint64_t z = (t->rng += 0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return (uint32_t)((z ^ (z >> 31)) % n);
}

static uint32_t mask_of(unsigned len)
{
	return len ? ~(uint32_t)0 << (32 - len) : 0;
}

/* --- messages --------------------------------------------------------------------------------- */

struct message {
	struct nlmsghdr hdr;
	uint8_t body[500];
};

static void *add_bytes(struct message *m, const void *data, size_t len)
{
	uint8_t *at = (uint8_t *)m + NLMSG_ALIGN(m->hdr.nlmsg_len);

	if (at + len > (uint8_t *)m + sizeof(*m))
		abort();
	if (data)
		memcpy(at, data, len);
	m->hdr.nlmsg_len = (uint32_t)(at + len - (uint8_t *)m);
	return at;
}

static void begin(struct message *m, uint16_t type, uint16_t flags, const void *head, size_t len)
{
	memset(m, 0, sizeof(*m));
	m->hdr = (struct nlmsghdr){.nlmsg_len = NLMSG_HDRLEN,
				   .nlmsg_type = type,
				   .nlmsg_flags = flags | NLM_F_REQUEST};
	add_bytes(m, head, len);
}

static struct rtattr *add_attr(struct message *m, uint16_t type, const void *data, size_t len)
{
	struct rtattr attr = {.rta_len = (uint16_t)RTA_LENGTH(len), .rta_type = type};
	struct rtattr *at = add_bytes(m, &attr, sizeof(attr));

	add_bytes(m, data, len);
	return at;
}

static void add_u32(struct message *m, uint16_t type, uint32_t value)
{
	add_attr(m, type, &value, sizeof(value));
}

static void end_nest(struct message *m, struct rtattr *nest)
{
	nest->rta_len = (uint16_t)((uint8_t *)m + m->hdr.nlmsg_len - (uint8_t *)nest);
}

/* What the kernel says to the changes does not matter. */
static void drop_answers(struct test *t)
{
	char buf[64];

	while (recv(t->fd, buf, sizeof(buf), MSG_DONTWAIT) >= 0 || errno == ENOBUFS)
		;
}

static void send_batch(struct test *t)
{
	if (t->n_batch && send(t->fd, t->batch, t->n_batch, 0) != (ssize_t)t->n_batch)
		die("netlink");
	t->n_batch = 0;
}

static void queue(struct test *t, const struct message *m)
{
	size_t len = NLMSG_ALIGN(m->hdr.nlmsg_len);

	if (t->n_batch + len > sizeof(t->batch))
		send_batch(t);
	memcpy(t->batch + t->n_batch, m, len);
	t->n_batch += len;
}

static void change(struct test *t, const struct message *m)
{
	size_t was = t->n_batch;

	queue(t, m);
	t->n_changes++;
	if (t->n_batch < was) /* it did not fit, the batch went out */
		drop_answers(t);
}

/* --- random changes --------------------------------------------------------------------------- */

/* Close together, so that they nest. */
static struct prefix draw_prefix(struct test *t, bool is_default)
{
	unsigned len = is_default ? 0 : 6 + rnd(t, 27);
	uint32_t addr = (20 + rnd(t, 8)) << 24 | rnd(t, 16) << 18 | rnd(t, 8) << 10 | rnd(t, 256);

	return (struct prefix){addr & mask_of(len), (uint8_t)len};
}

/* Those up to .7 are known neighbours, .8 and .9 do not answer. */
static uint32_t gateway_on(struct test *t, unsigned link)
{
	return htonl(0x0a000000 | link << 8 | (2 + rnd(t, 8)));
}

static void add_path(struct test *t, struct message *m)
{
	unsigned link = rnd(t, t->n_links);
	struct rtnexthop nh = {.rtnh_len = sizeof(nh),
			       .rtnh_hops = rnd(t, 2) ? 0 : (uint8_t)rnd(t, 10),
			       .rtnh_ifindex = (int)t->ifindex[link]};
	struct rtnexthop *at = add_bytes(m, &nh, sizeof(nh));

	add_u32(m, RTA_GATEWAY, gateway_on(t, link));
	at->rtnh_len = (uint16_t)((uint8_t *)m + m->hdr.nlmsg_len - (uint8_t *)at);
}

static void add_multipath(struct test *t, struct message *m)
{
	struct rtattr *nest = add_attr(m, RTA_MULTIPATH, NULL, 0);
	unsigned n = 2 + rnd(t, 4);

	for (unsigned i = 0; i < n; i++)
		add_path(t, m);
	end_nest(m, nest);
}

static void add_metrics(struct test *t, struct message *m)
{
	struct rtattr *nest = add_attr(m, RTA_METRICS, NULL, 0);

	add_u32(m, RTAX_MTU, rnd(t, 2) ? 1400 : 9000);
	end_nest(m, nest);
}

static void add_way(struct test *t, struct message *m, struct rtmsg *rtm)
{
	unsigned link = rnd(t, t->n_links);

	switch (rnd(t, 12)) {
	case 0:
	case 1:
	case 2:
		add_u32(m, RTA_NH_ID, 1 + rnd(t, N_SINGLES + N_GROUPS));
		return;
	case 3:
	case 4:
		add_multipath(t, m);
		break;
	case 5:
		add_u32(m, RTA_OIF, t->ifindex[link]);
		rtm->rtm_scope = RT_SCOPE_LINK;
		break;
	case 6:
		rtm->rtm_flags = RTNH_F_ONLINK;
		add_u32(m, RTA_GATEWAY, htonl(0xac100000 | rnd(t, 1000)));
		add_u32(m, RTA_OIF, t->ifindex[link]);
		break;
	default:
		add_u32(m, RTA_GATEWAY, gateway_on(t, link));
		if (!rnd(t, 4))
			add_u32(m, RTA_PREFSRC, htonl(0x0a000001 | rnd(t, t->n_links) << 8));
		break;
	}
	if (!rnd(t, 8))
		add_metrics(t, m);
}

static const uint8_t TYPES[] = {
	RTN_UNICAST,     RTN_UNICAST,  RTN_UNICAST, RTN_UNICAST,   RTN_UNICAST,
	RTN_UNICAST,     RTN_UNICAST,  RTN_UNICAST, RTN_LOCAL,     RTN_BLACKHOLE,
	RTN_UNREACHABLE, RTN_PROHIBIT, RTN_THROW,   RTN_BROADCAST,
};

static void add_route(struct test *t, unsigned i, uint16_t flags)
{
	struct prefix p = t->prefixes[i];
	struct rtmsg head = {.rtm_family = AF_INET,
			     .rtm_dst_len = p.len,
			     .rtm_table = RT_TABLE_MAIN,
			     .rtm_protocol = RTPROT_STATIC,
			     .rtm_type = TYPES[rnd(t, sizeof(TYPES))]},
		     *rtm;
	struct message m;

	/* Among several default routes the kernel chooses a reachable one for its own packets, the
	 * only ones that it can be asked about. */
	if (!p.len)
		flags = NLM_F_CREATE | NLM_F_REPLACE;
	if (i % 50 == 7 && rnd(t, 2))
		head.rtm_tos = 0x10;
	if (head.rtm_type == RTN_BROADCAST && p.len < 28)
		head.rtm_type = RTN_UNICAST;
	begin(&m, RTM_NEWROUTE, flags, &head, sizeof(head));
	rtm = (struct rtmsg *)m.body;
	add_u32(&m, RTA_DST, htonl(p.addr));
	if (p.len && rnd(t, 2))
		add_u32(&m, RTA_PRIORITY, 10 * rnd(t, 3));
	switch (head.rtm_type) {
	case RTN_UNICAST:
		add_way(t, &m, rtm);
		break;
	case RTN_LOCAL:
		/* Few and small ones in table local. */
		if (p.len >= 20 && i % 8 == 0)
			rtm->rtm_table = RT_TABLE_LOCAL;
		rtm->rtm_scope = RT_SCOPE_HOST;
		add_u32(&m, RTA_OIF, t->ifindex[rnd(t, t->n_links)]);
		break;
	case RTN_BROADCAST:
		rtm->rtm_scope = RT_SCOPE_LINK;
		add_u32(&m, RTA_OIF, t->ifindex[rnd(t, t->n_links)]);
		break;
	}
	change(t, &m);
}

static void del_route(struct test *t, struct prefix p, uint8_t table)
{
	struct rtmsg head = {.rtm_family = AF_INET,
			     .rtm_dst_len = p.len,
			     .rtm_table = table,
			     .rtm_scope = RT_SCOPE_NOWHERE};
	struct message m;

	begin(&m, RTM_DELROUTE, 0, &head, sizeof(head));
	add_u32(&m, RTA_DST, htonl(p.addr));
	change(t, &m);
}

static void add_group(struct test *t, struct message *m)
{
	struct nexthop_grp group[MAX_GROUP] = {0};
	unsigned n = 1 + rnd(t, MAX_GROUP);

	for (unsigned i = 0; i < n; i++) {
		group[i].id = 1 + i * (N_SINGLES / MAX_GROUP) + rnd(t, N_SINGLES / MAX_GROUP);
		group[i].weight = rnd(t, 2) ? 0 : (uint8_t)rnd(t, 20);
	}
	add_attr(m, NHA_GROUP, group, n * sizeof(group[0]));
}

static void add_object(struct test *t, uint32_t id)
{
	struct nhmsg head = {.nh_family = id <= N_SINGLES ? AF_INET : AF_UNSPEC,
			     .nh_protocol = RTPROT_STATIC};
	unsigned link = rnd(t, t->n_links);
	struct message m;

	begin(&m, RTM_NEWNEXTHOP, NLM_F_CREATE | NLM_F_REPLACE, &head, sizeof(head));
	add_u32(&m, NHA_ID, id);
	if (id > N_SINGLES) {
		add_group(t, &m);
	} else if (!rnd(t, 12)) {
		add_attr(&m, NHA_BLACKHOLE, NULL, 0);
	} else {
		add_u32(&m, NHA_OIF, t->ifindex[link]);
		if (rnd(t, 5))
			add_u32(&m, NHA_GATEWAY, gateway_on(t, link));
	}
	change(t, &m);
}

static void del_object(struct test *t, uint32_t id)
{
	struct nhmsg head = {.nh_family = AF_UNSPEC};
	struct message m;

	begin(&m, RTM_DELNEXTHOP, 0, &head, sizeof(head));
	add_u32(&m, NHA_ID, id);
	change(t, &m);
}

static void change_at_random(struct test *t)
{
	static const uint16_t flags[] = {NLM_F_CREATE | NLM_F_EXCL, NLM_F_CREATE | NLM_F_REPLACE,
					 NLM_F_CREATE | NLM_F_APPEND, NLM_F_CREATE};
	unsigned what = rnd(t, 200), i = rnd(t, N_PREFIXES);

	if (what == 0)
		del_object(t, 1 + rnd(t, N_SINGLES + N_GROUPS));
	else if (what < 10)
		add_object(t, 1 + rnd(t, N_SINGLES + N_GROUPS));
	else if (what < 40)
		del_route(t, t->prefixes[i], RT_TABLE_MAIN);
	else
		add_route(t, i, flags[rnd(t, 4)]);
}

static void shuffle(struct test *t, unsigned *list, unsigned n)
{
	for (unsigned i = n - 1; i > 0; i--) {
		unsigned k = rnd(t, i + 1), was = list[i];

		list[i] = list[k];
		list[k] = was;
	}
}

/* The routes of several metrics to a prefix are as many deletions. */
static void del_prefix(struct test *t, struct prefix p)
{
	for (unsigned i = 0; i < 4; i++)
		del_route(t, p, RT_TABLE_MAIN);
	if (p.len >= 20)
		del_route(t, p, RT_TABLE_LOCAL);
}

static void next_table(struct test *t)
{
	static unsigned order[2 * N_PREFIXES];

	memcpy(t->old, t->prefixes, sizeof(t->old));
	for (unsigned i = 0; i < N_PREFIXES; i++)
		t->prefixes[i] = draw_prefix(t, i == 0);
	for (unsigned i = 0; i < 2 * N_PREFIXES; i++)
		order[i] = i;
	shuffle(t, order, 2 * N_PREFIXES);
	for (uint32_t id = 1; id <= N_SINGLES + N_GROUPS; id++)
		if (!rnd(t, 8))
			add_object(t, id);
	for (unsigned i = 0; i < 2 * N_PREFIXES; i++) {
		if (order[i] < N_PREFIXES)
			add_route(t, order[i], NLM_F_CREATE | NLM_F_REPLACE);
		else if (t->old[order[i] - N_PREFIXES].len)
			del_prefix(t, t->old[order[i] - N_PREFIXES]);
	}
	for (unsigned i = 0; i < N_CHANGES; i++)
		change_at_random(t);
	send_batch(t);
	drop_answers(t);
}

/* --- one answer as text ----------------------------------------------------------------------- */

struct text {
	char buf[TEXT_BYTES];
	size_t len;
};

static void add(struct text *text, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void add(struct text *text, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	text->len +=
		(size_t)vsnprintf(text->buf + text->len, sizeof(text->buf) - text->len, fmt, ap);
	va_end(ap);
	if (text->len >= sizeof(text->buf))
		abort();
}

static const char *const TYPE_NAMES[] = {
	[RTN_UNICAST] = "unicast",
	[RTN_LOCAL] = "local",
	[RTN_BROADCAST] = "broadcast",
	[RTN_BLACKHOLE] = "blackhole",
	[RTN_UNREACHABLE] = "unreachable",
	[RTN_PROHIBIT] = "prohibit",
	[RTN_THROW] = "throw",
};

static const char *ifname_of(struct test *t, uint32_t ifindex)
{
	static char names[MAX_IFS][IF_NAMESIZE];

	for (unsigned i = 0; i < t->n_links; i++) {
		if (t->ifindex[i] != ifindex)
			continue;
		if (!names[i][0])
			if_indextoname(ifindex, names[i]);
		return names[i];
	}
	return "?";
}

typedef struct rtattr *attrs_t[RTA_MAX + 1];

static void split_attrs(struct rtattr *attr, int len, attrs_t ret_attrs)
{
	memset(ret_attrs, 0, sizeof(attrs_t));
	for (; RTA_OK(attr, len); attr = RTA_NEXT(attr, len))
		if (attr->rta_type <= RTA_MAX)
			ret_attrs[attr->rta_type] = attr;
}

static uint32_t u32_of(struct rtattr *attr)
{
	uint32_t value = 0;

	if (attr)
		memcpy(&value, RTA_DATA(attr), sizeof(value));
	return value;
}

static void add_address(struct text *text, const char *before, uint32_t addr_be)
{
	char buf[INET_ADDRSTRLEN];

	if (addr_be)
		add(text, "%s%s", before, inet_ntop(AF_INET, &addr_be, buf, sizeof(buf)));
}

static void add_kernel_paths(struct test *t, struct text *text, struct rtattr *multipath)
{
	struct rtnexthop *nh = RTA_DATA(multipath);
	int left = (int)RTA_PAYLOAD(multipath);

	for (; RTNH_OK(nh, left); left -= RTNH_ALIGN(nh->rtnh_len), nh = RTNH_NEXT(nh)) {
		attrs_t a;

		split_attrs(RTNH_DATA(nh), (int)(nh->rtnh_len - sizeof(*nh)), a);
		add(text, " [");
		add_address(text, "via ", u32_of(a[RTA_GATEWAY]));
		add(text, " dev %s weight %u]", ifname_of(t, (uint32_t)nh->rtnh_ifindex),
		    nh->rtnh_hops + 1U);
	}
}

static void kernel_text(struct test *t, struct nlmsghdr *hdr, struct text *text)
{
	struct rtmsg *rtm = NLMSG_DATA(hdr);
	attrs_t a, metrics = {NULL};
	uint32_t dst;

	split_attrs(RTM_RTA(rtm), (int)RTM_PAYLOAD(hdr), a);
	if (a[RTA_METRICS])
		split_attrs(RTA_DATA(a[RTA_METRICS]), (int)RTA_PAYLOAD(a[RTA_METRICS]), metrics);
	dst = u32_of(a[RTA_DST]);
	add(text, "%s %08x/%u", TYPE_NAMES[rtm->rtm_type], ntohl(dst), rtm->rtm_dst_len);
	add(text, " metric %u nhid %u mtu %u", u32_of(a[RTA_PRIORITY]), u32_of(a[RTA_NH_ID]),
	    u32_of(metrics[RTAX_MTU]));
	add_address(text, " src ", u32_of(a[RTA_PREFSRC]));
	add_address(text, " via ", u32_of(a[RTA_GATEWAY]));
	if (a[RTA_OIF])
		add(text, " dev %s",
		    rtm->rtm_type == RTN_LOCAL ? "lo" : ifname_of(t, u32_of(a[RTA_OIF])));
	if (a[RTA_MULTIPATH])
		add_kernel_paths(t, text, a[RTA_MULTIPATH]);
}

/* The kernel answers with an error of its own for each kind of refusal, and names no route. */
static const char *refusal_of(int err)
{
	switch (err) {
	case -EINVAL:
		return "refused: blackhole";
	case -EHOSTUNREACH:
		return "refused: unreachable";
	case -EACCES:
		return "refused: prohibit";
	case -ENETUNREACH:
		return "refused: no route";
	default:
		return strerror(-err);
	}
}

static const char *string_of(json_t *row, const char *key, const char *otherwise)
{
	const char *value = json_string_value(json_object_get(row, key));

	return value ? value : otherwise;
}

static unsigned number_of(json_t *row, const char *key)
{
	return (unsigned)json_integer_value(json_object_get(row, key));
}

/* NULL: it does not refuse. A next-hop object may be a black hole under a plain route. */
static const char *weir_refusal(json_t *row, const char *type)
{
	if (json_object_get(row, "error") || !strcmp(type, "throw"))
		return "no route";
	if (!strcmp(type, "unreachable") || !strcmp(type, "prohibit") || !strcmp(type, "blackhole"))
		return type;
	return strstr(string_of(row, "why", ""), "dropped, as") ? "blackhole" : NULL;
}

/* What does not parse differs from the kernel's. */
static void add_weir_prefix(struct text *text, const char *route)
{
	char addr[INET_ADDRSTRLEN] = "0.0.0.0";
	unsigned len = strcmp(route, "default") != 0 ? 32 : 0;
	struct in_addr in = {0};

	/* NOLINTNEXTLINE(cert-err34-c) */
	if (len && sscanf(route, "%15[0-9.]/%u", addr, &len) >= 1)
		inet_pton(AF_INET, addr, &in);
	add(text, " %08x/%u", ntohl(in.s_addr), len);
}

static void add_weir_way(struct text *text, json_t *row)
{
	const char *gateway = string_of(row, "gateway", NULL), *dev = string_of(row, "dev", NULL);
	json_t *path;
	size_t i;

	if (gateway)
		add(text, " via %s", gateway);
	if (dev)
		add(text, " dev %s", dev);
	json_array_foreach(json_object_get(row, "nexthops"), i, path)
	{
		gateway = string_of(path, "gateway", NULL);
		add(text, " [%s%s dev %s weight %u]", gateway ? "via " : "", gateway ? gateway : "",
		    string_of(path, "dev", "?"), number_of(path, "weight"));
	}
}

static void weir_text(json_t *row, struct text *text)
{
	const char *type = string_of(row, "type", "unicast"), *refusal = weir_refusal(row, type);
	const char *src = string_of(row, "prefsrc", NULL);

	if (refusal) {
		add(text, "refused: %s", refusal);
		return;
	}
	add(text, "%s", type);
	add_weir_prefix(text, string_of(row, "route", "?"));
	add(text, " metric %u nhid %u mtu %u", number_of(row, "metric"), number_of(row, "nhid"),
	    number_of(json_array_get(json_object_get(row, "metrics"), 0), "mtu"));
	if (src)
		add(text, " src %s", src);
	add_weir_way(text, row);
}

/* --- asking both ------------------------------------------------------------------------------ */

static void ask_kernel(struct test *t, uint32_t addr, uint32_t seq)
{
	struct rtmsg head = {
		.rtm_family = AF_INET, .rtm_dst_len = 32, .rtm_flags = RTM_F_FIB_MATCH};
	struct message m;

	begin(&m, RTM_GETROUTE, 0, &head, sizeof(head));
	m.hdr.nlmsg_seq = seq;
	add_u32(&m, RTA_DST, htonl(addr));
	queue(t, &m);
}

/* The answers come in the order of the questions, one datagram each. */
static void read_answer(struct test *t, uint32_t seq, struct text *text)
{
	static char buf[16384] __attribute__((aligned(8)));
	struct nlmsghdr *hdr = (struct nlmsghdr *)buf;
	ssize_t len = recv(t->fd, buf, sizeof(buf), 0);

	if (len < (ssize_t)sizeof(*hdr) || !NLMSG_OK(hdr, (unsigned)len) || hdr->nlmsg_seq != seq)
		die("the kernel's answer");
	text->len = 0;
	if (hdr->nlmsg_type == NLMSG_ERROR)
		add(text, "%s", refusal_of(((struct nlmsgerr *)NLMSG_DATA(hdr))->error));
	else
		kernel_text(t, hdr, text);
}

static void kernel_answers(struct test *t, const uint32_t *addrs, unsigned n, struct text *ret)
{
	for (unsigned done = 0; done < n;) {
		unsigned end = done + ASK_AT_ONCE < n ? done + ASK_AT_ONCE : n;

		for (unsigned i = done; i < end; i++)
			ask_kernel(t, addrs[i], i + 1);
		send_batch(t);
		for (; done < end; done++)
			read_answer(t, done + 1, &ret[done]);
	}
}

static json_t *ask_weir(struct test *t, char **words, unsigned n)
{
	struct wr_err err = {.text = ""};
	json_error_t why;
	json_t *json;
	char *text;

	if (wr_req_ask(t->socket, words, n, ASK_MS, &text, &err)) {
		fprintf(stderr, "routes: the router: %s\n", err.text);
		exit(1);
	}
	json = json_loads(text, 0, &why);
	free(text);
	if (!json) {
		fprintf(stderr, "routes: the router's answer: %s\n", why.text);
		exit(1);
	}
	return json;
}

static json_t *weir_answers(struct test *t, const uint32_t *addrs, unsigned n)
{
	static char buf[WORDS_AT_ONCE][INET_ADDRSTRLEN];
	static char route[] = "route", get[] = "get";
	static char *words[WORDS_AT_ONCE + 2] = {route, get};

	for (unsigned i = 0; i < n; i++) {
		uint32_t addr_be = htonl(addrs[i]);

		inet_ntop(AF_INET, &addr_be, buf[i], sizeof(buf[i]));
		words[i + 2] = buf[i];
	}
	return ask_weir(t, words, n + 2);
}

static bool is_settled(struct test *t)
{
	static char status[] = "status";
	char *words[] = {status};
	json_t *json = ask_weir(t, words, 1);
	bool settled = json_is_true(json_object_get(json_object_get(json, "mirror"), "settled"));

	json_decref(json);
	return settled;
}

static void settle(struct test *t)
{
	const struct timespec pause = {.tv_nsec = SETTLE_PAUSE_MS * 1000000L};

	for (unsigned i = 0; !is_settled(t); i++) {
		if (i == MAX_SETTLE_TRIES) {
			fprintf(stderr, "routes: the router does not settle\n");
			exit(1);
		}
		nanosleep(&pause, NULL);
	}
}

/* --- comparing -------------------------------------------------------------------------------- */

static uint32_t draw_destination(struct test *t)
{
	for (;;) {
		const struct prefix *p = &t->prefixes[rnd(t, N_PREFIXES)];
		uint32_t addr = rnd(t, UINT32_MAX), octet;

		if (rnd(t, 8))
			addr = p->addr | (addr & ~mask_of(p->len));
		octet = addr >> 24;
		if (octet > 0 && octet < 224 && octet != 127)
			return addr;
	}
}

static void compare_some(struct test *t, unsigned n)
{
	static struct text kernel[WORDS_AT_ONCE];
	static uint32_t addrs[WORDS_AT_ONCE];
	json_t *rows;

	for (unsigned i = 0; i < n; i++)
		addrs[i] = draw_destination(t);
	kernel_answers(t, addrs, n, kernel);
	rows = weir_answers(t, addrs, n);
	for (unsigned i = 0; i < n; i++) {
		struct text weir = {.len = 0};

		weir_text(json_array_get(rows, i), &weir);
		t->n_asked++;
		t->n_refused += !strncmp(weir.buf, "refused", 7);
		t->n_grouped += strstr(weir.buf, "weight") != NULL;
		if (!strcmp(weir.buf, kernel[i].buf))
			continue;
		if (t->n_wrong++ < MAX_COMPLAINTS)
			printf("%u.%u.%u.%u\n\tkernel: %s\n\tweir:   %s\n", addrs[i] >> 24,
			       addrs[i] >> 16 & 255, addrs[i] >> 8 & 255, addrs[i] & 255,
			       kernel[i].buf, weir.buf);
	}
	json_decref(rows);
}

/* Prefixes of ours that the kernel has. */
static unsigned count_routed(struct test *t)
{
	static char buf[65536] __attribute__((aligned(8)));
	struct rtmsg head = {.rtm_family = AF_INET};
	unsigned n = 0;
	struct message m;

	begin(&m, RTM_GETROUTE, NLM_F_DUMP, &head, sizeof(head));
	queue(t, &m);
	send_batch(t);
	for (;;) {
		int len = (int)recv(t->fd, buf, sizeof(buf), 0);

		for (struct nlmsghdr *hdr = (struct nlmsghdr *)buf;
		     len > 0 && NLMSG_OK(hdr, (unsigned)len); hdr = NLMSG_NEXT(hdr, len)) {
			if (hdr->nlmsg_type == NLMSG_DONE)
				return n;
			n += ((struct rtmsg *)NLMSG_DATA(hdr))->rtm_protocol == RTPROT_STATIC;
		}
		if (len < 0)
			die("dump");
	}
}

static void one_table(struct test *t, unsigned nr)
{
	unsigned n_routed;

	next_table(t);
	settle(t);
	n_routed = count_routed(t);
	for (unsigned done = 0; done < t->n_destinations;) {
		unsigned n = t->n_destinations - done;

		n = n < WORDS_AT_ONCE ? n : WORDS_AT_ONCE;
		compare_some(t, n);
		done += n;
	}
	if (t->n_wrong || n_routed < MIN_ROUTED) {
		printf("table %u: %u routes, %llu answers differ\n", nr, n_routed,
		       (unsigned long long)t->n_wrong);
		exit(1);
	}
}

/* --- the command line ------------------------------------------------------------------------- */

static _Noreturn void usage(void)
{
	fputs("usage: routes [--tables N] [--destinations N] [--seed N] SOCKET IF...\n", stderr);
	exit(2);
}

static void open_netlink(struct test *t)
{
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	int bytes = RCVBUF_BYTES;

	t->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (t->fd < 0 || connect(t->fd, (struct sockaddr *)&kernel, sizeof(kernel)) < 0)
		die("netlink");
	if (setsockopt(t->fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) < 0)
		die("SO_RCVBUFFORCE");
}

static void find_links(struct test *t, char **names, unsigned n)
{
	if (!n || n > MAX_IFS)
		usage();
	for (unsigned i = 0; i < n; i++) {
		t->ifindex[i] = if_nametoindex(names[i]);
		if (!t->ifindex[i])
			die(names[i]);
	}
	t->n_links = n;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"tables", 1, NULL, 't'},
						{"destinations", 1, NULL, 'd'},
						{"seed", 1, NULL, 's'},
						{0}};
	struct test *t = &the_test;
	int opt;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		unsigned long long n = optarg ? strtoull(optarg, NULL, 0) : 0;

		if (opt == 't')
			t->n_tables = (unsigned)n;
		else if (opt == 'd')
			t->n_destinations = (unsigned)n;
		else if (opt == 's')
			t->rng = n;
		else
			usage();
	}
	if (argc - optind < 2)
		usage();
	t->socket = argv[optind];
	find_links(t, argv + optind + 1, (unsigned)(argc - optind - 1));
	open_netlink(t);
	for (unsigned i = 0; i < t->n_tables; i++)
		one_table(t, i);
	printf("%u tables, %llu changes, %llu destinations: %llu refused, %llu with several paths; "
	       "all answers equal\n",
	       t->n_tables, (unsigned long long)t->n_changes, (unsigned long long)t->n_asked,
	       (unsigned long long)t->n_refused, (unsigned long long)t->n_grouped);
	close(t->fd);
	return 0;
}
