/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Rules (`ip rule`) beyond the three of every system, and routes in table default.
 *
 * Weir looks a packet up in local, then main. That is what the kernel does if the rules are
 * exactly these:
 *
 *   0: from all lookup local      32766: from all lookup main      32767: from all lookup default
 *
 * and table default is empty; if the third is missing, nothing is lost. Any other rule is an
 * obstacle, unless it can never match a packet in transit: `iif lo` matches what the host itself
 * sends, and a firewall mark that is not 0 is put on a packet by netfilter or tc, which is an
 * obstacle of its own. An inverted rule matches what these do not.
 *
 * A rule with `iif X` decides for packets that come in by X. It has a second effect: the kernel's
 * reverse path check of a packet that leaves by X asks as if the answer came in by X. So it
 * concerns also every interface that has rp_filter on. And a VRF stands for its members, which
 * the rule does not name.
 *
 * Routes of table default are announced in the same group as a million of table main, so nobody
 * listens: they are looked at when rules change, and by the slow timer.
 */
#include "cnet/mirror/obstacles_src.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/fib_rules.h>
#include <linux/if_link.h>
#include <linux/netconf.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

struct rule {
	uint32_t priority;
	uint32_t table;
	uint32_t mark, mask;
	uint32_t suppress_len;
	uint8_t action;
	uint8_t src_len, dst_len, tos;
	bool is_inverted;
	bool has_other; /* something that Weir does not know */
	struct ip4 src, dst;
	char iif[IF_NAMESIZE], oif[IF_NAMESIZE];
};

/* One look in progress. */
struct look {
	const struct obst_ask *ask;
	struct obst_list *list;
	bool has_local, has_main;
	char iif_rule[96]; /* a rule with `iif X`, printed; "" if there is none */
	uint32_t n_routes;
	int err;
};

static void restart(void *arg)
{
	struct look *look = arg;

	*look = (struct look){.ask = look->ask, .list = look->list};
	memset(look->list, 0, sizeof(*look->list));
}

/*
 * One rule.
 */

enum { PRIORITY, TABLE, SRC, DST, IIF, OIF, MARK, MASK, SUPPRESS, N_ATTRS };

static const struct nl_want rule_attrs[N_ATTRS] = {
	[PRIORITY] = {FRA_PRIORITY, 4},
	[TABLE] = {FRA_TABLE, 4},
	[SRC] = {FRA_SRC, 4},
	[DST] = {FRA_DST, 4},
	[IIF] = {FRA_IIFNAME, 1},
	[OIF] = {FRA_OIFNAME, 1},
	[MARK] = {FRA_FWMARK, 4},
	[MASK] = {FRA_FWMASK, 4},
	[SUPPRESS] = {FRA_SUPPRESS_PREFIXLEN, 4},
};

/* Whether there is an attribute beyond those read and those that say nothing of a packet (who
 * made the rule, padding). */
static bool has_other_attr(const void *attrs, size_t len)
{
	const struct nlattr *a = NULL;

	while ((a = wr_obst_next(a, attrs, len))) {
		uint16_t type = a->nla_type & NLA_TYPE_MASK;
		bool is_known = type == FRA_PROTOCOL || type == FRA_PAD;

		for (unsigned i = 0; i < N_ATTRS; i++)
			is_known |= type == rule_attrs[i].type;
		if (!is_known)
			return true;
	}
	return false;
}

static uint32_t u32_or(const struct nlattr *a, uint32_t otherwise)
{
	return a ? wr_nl_u32(a) : otherwise;
}

static int parse_rule(const struct nlmsghdr *h, struct rule *ret)
{
	const struct fib_rule_hdr *hdr =
		(const struct fib_rule_hdr *)((const char *)h + NLMSG_HDRLEN);
	const struct nlattr *a[N_ATTRS];
	const void *attrs;
	size_t len;

	if (wr_nl_body(h, sizeof(*hdr), &attrs, &len) ||
	    wr_nl_attrs(attrs, len, rule_attrs, N_ATTRS, a))
		return -EBADMSG;
	*ret = (struct rule){
		.priority = u32_or(a[PRIORITY], 0),
		.table = u32_or(a[TABLE], hdr->table),
		.mark = u32_or(a[MARK], 0),
		.mask = u32_or(a[MASK], a[MARK] ? UINT32_MAX : 0),
		.suppress_len = u32_or(a[SUPPRESS], UINT32_MAX),
		.action = hdr->action,
		.src_len = hdr->src_len,
		.dst_len = hdr->dst_len,
		.tos = hdr->tos,
		.is_inverted = hdr->flags & FIB_RULE_INVERT,
		.has_other = has_other_attr(attrs, len),
		.src = {u32_or(a[SRC], 0)},
		.dst = {u32_or(a[DST], 0)},
	};
	if (a[IIF])
		wr_nl_str(a[IIF], ret->iif, sizeof(ret->iif));
	if (a[OIF])
		wr_nl_str(a[OIF], ret->oif, sizeof(ret->oif));
	return 0;
}

/* "from all lookup TABLE" with nothing else. */
static bool is_plain(const struct rule *r)
{
	return r->action == FR_ACT_TO_TBL && !r->is_inverted && !r->has_other && !r->src_len &&
	       !r->dst_len && !r->tos && !r->iif[0] && !r->oif[0] && !r->mark && !r->mask &&
	       r->suppress_len == UINT32_MAX;
}

static bool note_standard(struct look *look, const struct rule *r)
{
	if (!is_plain(r))
		return false;
	if (r->priority == 0 && r->table == RT_TABLE_LOCAL)
		return look->has_local = true;
	if (r->priority == 32766 && r->table == RT_TABLE_MAIN)
		return look->has_main = true;
	return r->priority == 32767 && r->table == RT_TABLE_DEFAULT;
}

static bool never_in_transit(const struct rule *r)
{
	return !r->is_inverted && (!strcmp(r->iif, "lo") || (r->mark & r->mask));
}

static void print_prefix(const char *word, struct ip4 addr, uint8_t len, char *buf, size_t n)
{
	char text[INET_ADDRSTRLEN];

	buf[0] = '\0';
	if (len)
		snprintf(buf, n, "%s %s/%u", word, inet_ntop(AF_INET, &addr, text, sizeof(text)),
			 len);
}

/* "ip rule 100 (not from 10.0.0.0/8 iif eth0)": enough to find it. */
static void print_rule(const struct rule *r, char *buf, size_t n)
{
	char from[32], to[32];

	print_prefix("from", r->src, r->src_len, from, sizeof(from));
	print_prefix(" to", r->dst, r->dst_len, to, sizeof(to));
	snprintf(buf, n, "ip rule %u (%s%s%s%s%s%s%s)", r->priority, r->is_inverted ? "not " : "",
		 r->src_len ? from : "from all", to, r->iif[0] ? " iif " : "", r->iif,
		 r->oif[0] ? " oif " : "", r->oif);
}

static bool is_vrf(const struct obst_ask *ask, const char *name)
{
	struct ethtool_drvinfo info = {.cmd = ETHTOOL_GDRVINFO};
	struct ifreq req = {.ifr_data = (void *)&info};

	memcpy(req.ifr_name, name, strnlen(name, sizeof(req.ifr_name) - 1));
	return !ioctl(ask->inet_fd, SIOCETHTOOL, &req) && !strcmp(info.driver, "vrf");
}

static void add_rule(struct look *look, uint32_t ifindex, const char *what)
{
	wr_obst_add(look->list, ifindex, false,
		    "%s: Weir does not evaluate rules; delete it, or the kernel forwards", what);
}

/* A rule that names one interface. */
static int judge_iif_rule(struct look *look, const struct rule *r, const char *what)
{
	uint32_t ifindex;
	int err = wr_obst_ifindex(look->ask, r->iif, &ifindex);

	/* No such interface now; the event of the link comes. */
	if (err || !ifindex)
		return err;
	if (is_vrf(look->ask, r->iif))
		ifindex = 0;
	add_rule(look, ifindex, what);
	if (ifindex)
		snprintf(look->iif_rule, sizeof(look->iif_rule), "%s", what);
	return 0;
}

static int judge_rule(struct look *look, const struct rule *r)
{
	char what[96];

	if (note_standard(look, r) || never_in_transit(r))
		return 0;
	print_rule(r, what, sizeof(what));
	if (r->iif[0] && !r->is_inverted)
		return judge_iif_rule(look, r, what);
	add_rule(look, 0, what);
	return 0;
}

static void on_rule(void *arg, const struct nlmsghdr *h)
{
	struct look *look = arg;
	struct rule r;

	if (look->err || h->nlmsg_type != RTM_NEWRULE)
		return;
	look->err = parse_rule(h, &r);
	if (!look->err)
		look->err = judge_rule(look, &r);
}

static void add_missing(struct look *look)
{
	static const char text[] = "ip rule: the rule for table %s is missing; put it back "
				   "(ip rule add priority %u lookup %s), or the kernel forwards";

	if (!look->has_local)
		wr_obst_add(look->list, 0, false, text, "local", 0, "local");
	if (!look->has_main)
		wr_obst_add(look->list, 0, false, text, "main", 32766, "main");
}

/*
 * Reverse path checks that a rule with `iif` takes part in.
 */

static void add_rp_filter(struct look *look, int32_t ifindex)
{
	char name[IF_NAMESIZE] = "all";

	if (ifindex != NETCONFA_IFINDEX_ALL)
		wr_obst_ifname(look->ask, (uint32_t)ifindex, name);
	wr_obst_add(look->list, ifindex == NETCONFA_IFINDEX_ALL ? 0 : (uint32_t)ifindex, false,
		    "%s takes part in %s's reverse path check; switch rp_filter off there or "
		    "delete the rule, or the kernel forwards",
		    look->iif_rule, name);
}

static void on_netconf(void *arg, const struct nlmsghdr *h)
{
	enum { IFINDEX, RP_FILTER, N };
	static const struct nl_want want[N] = {
		[IFINDEX] = {NETCONFA_IFINDEX, 4},
		[RP_FILTER] = {NETCONFA_RP_FILTER, 4},
	};
	const struct nlattr *a[N];
	struct look *look = arg;
	const void *attrs;
	int32_t ifindex;
	size_t len;

	if (look->err || h->nlmsg_type != RTM_NEWNETCONF)
		return;
	if (wr_nl_body(h, sizeof(struct netconfmsg), &attrs, &len) ||
	    wr_nl_attrs(attrs, len, want, N, a)) {
		look->err = -EBADMSG;
		return;
	}
	if (!a[IFINDEX] || !a[RP_FILTER])
		return;
	ifindex = (int32_t)wr_nl_u32(a[IFINDEX]);
	if (ifindex != NETCONFA_IFINDEX_DEFAULT && wr_nl_u32(a[RP_FILTER]))
		add_rp_filter(look, ifindex);
}

/* What an interrupted dump added was true when it was said; the next one only adds. */
static void keep(void *arg)
{
	(void)arg;
}

static int look_rp_filter(struct look *look)
{
	const struct netconfmsg all = {.ncm_family = AF_INET};

	return wr_obst_dump(look->ask->rtnl, RTM_GETNETCONF, &all, sizeof(all), on_netconf, keep,
			    look);
}

int wr_obst_rules(const struct obst_ask *ask, struct obst_list *list)
{
	const struct fib_rule_hdr ip4 = {.family = AF_INET};
	struct look look = {.ask = ask, .list = list};
	int err = wr_obst_dump(ask->rtnl, RTM_GETRULE, &ip4, sizeof(ip4), on_rule, restart, &look);

	if (err || look.err)
		return err ? err : look.err;
	add_missing(&look);
	if (look.iif_rule[0])
		err = look_rp_filter(&look);
	return err ? err : look.err;
}

/*
 * Table default.
 */

static void on_route(void *arg, const struct nlmsghdr *h)
{
	static const struct nl_want want = {RTA_TABLE, 4};
	const struct rtmsg *rt = (const struct rtmsg *)((const char *)h + NLMSG_HDRLEN);
	const struct nlattr *table;
	struct look *look = arg;
	const void *attrs;
	size_t len;

	if (look->err || h->nlmsg_type != RTM_NEWROUTE)
		return;
	if (wr_nl_body(h, sizeof(*rt), &attrs, &len) || wr_nl_attrs(attrs, len, &want, 1, &table))
		look->err = -EBADMSG;
	else if (u32_or(table, rt->rtm_table) == RT_TABLE_DEFAULT)
		look->n_routes++;
}

int wr_obst_table_default(const struct obst_ask *ask, struct obst_list *list)
{
	const struct {
		struct rtmsg rt;
		struct nlattr attr;
		uint32_t table;
	} body = {
		.rt = {.rtm_family = AF_INET, .rtm_table = RT_TABLE_DEFAULT},
		.attr = {.nla_len = NLA_HDRLEN + 4, .nla_type = RTA_TABLE},
		.table = RT_TABLE_DEFAULT,
	};
	struct look look = {.ask = ask, .list = list};
	int err = wr_obst_dump(ask->rtnl, RTM_GETROUTE, &body, sizeof(body), on_route, restart,
			       &look);

	/* The table has never had a route. */
	if (err == -ENOENT)
		return 0;
	if (err || look.err)
		return err ? err : look.err;
	if (look.n_routes)
		wr_obst_add(list, 0, false,
			    "%u route%s in table default, which Weir does not read; move them to "
			    "table main, or the kernel forwards",
			    look.n_routes, look.n_routes == 1 ? "" : "s");
	return 0;
}
