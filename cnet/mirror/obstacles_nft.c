/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Netfilter by nfnetlink: nft's base chains and flowtables, and the list of hooks where the
 * kernel has one.
 *
 * Chains are judged one by one, from one dump over all families. A base chain at a hook that
 * packets in transit pass is an obstacle unless it has no rules and its policy is accept. The
 * kernel's count of a base chain's users is the number of its rules: nothing may jump to a base
 * chain. Chains of a dormant table are judged as if it were awake. Chains at an interface's
 * ingress concern the interfaces that they name; those at egress concern every packet, since what
 * comes in anywhere may leave there, and AF_XDP's packets do not pass that hook.
 *
 * iptables-nft makes chains like any other. Families bridge and arp never see a packet that is
 * routed by IPv4.
 *
 * The list of hooks (Linux 5.14, optional) says what else is registered: modules and BPF
 * programs. Connection tracking, reassembly and the NAT core are there whenever some rule once
 * asked for them; by themselves they change nothing for a packet that nobody filters or
 * translates, and NAT's rules are chains. Security modules register hooks on every system and act
 * on marks and labels that only netfilter rules, IPsec policies or IP options (which the kernel
 * keeps) put on a packet. These are no obstacles; every other function is one. Ingress hooks are
 * not asked for: chains and flowtables are all that can be there.
 */
#include "cnet/mirror/obstacles_src.h"

#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_hook.h>
#include <stdio.h>
#include <string.h>

enum {
	DEVICE_PREFIX = 2,      /* NFTA_DEVICE_PREFIX, Linux 6.16: "eth" of "eth*" */
	HOOK_TYPE_NFTABLES = 1, /* NFNL_HOOK_TYPE_NFTABLES */
	NAME_BYTES = 40,        /* of a sentence; the kernel allows 255 */
};

/* One look in progress. */
struct look {
	const struct obst_ask *ask;
	struct obst_list *list;
	const char *place;                /* of the hooks being listed */
	unsigned n_before, n_more_before; /* in the list when the present dump began */
	int err;                          /* the first message that could not be read */
};

static void restart(void *arg)
{
	struct look *look = arg;

	look->list->n = look->n_before;
	look->list->n_more = look->n_more_before;
	look->err = 0;
}

static uint16_t nfnl_type(unsigned subsys, unsigned msg)
{
	return (uint16_t)(subsys << 8 | msg);
}

static uint32_t be32_attr(const struct nlattr *a)
{
	return be32_to((be32){wr_nl_u32(a)});
}

static int dump(struct look *look, uint16_t type, const void *body, size_t body_bytes,
		wr_nl_each *each)
{
	int err;

	look->n_before = look->list->n;
	look->n_more_before = look->list->n_more;
	err = wr_obst_dump(look->ask->nfnl, type, body, body_bytes, each, restart, look);
	return err ? err : look->err;
}

/*
 * Interfaces that a hook names.
 */

/* Adds the obstacle for one interface; a name that no interface has yet concerns nobody until the
 * event of the link comes. */
static int add_for_device(struct look *look, const char *what, const char *name)
{
	uint32_t ifindex;
	int err = wr_obst_ifindex(look->ask, name, &ifindex);

	if (!err && ifindex)
		wr_obst_add(look->list, ifindex, true, "%.110s at ingress of %s" OBST_BYPASS, what,
			    name);
	return err;
}

static int add_for_attr(struct look *look, const char *what, const struct nlattr *a)
{
	char name[NAME_BYTES];

	wr_nl_str(a, name, sizeof(name));
	if ((a->nla_type & NLA_TYPE_MASK) == DEVICE_PREFIX) {
		wr_obst_add(look->list, 0, true, "%.110s at ingress of %s*" OBST_BYPASS, what,
			    name);
		return 0;
	}
	return add_for_device(look, what, name);
}

/* `devs` is a nest of names and prefixes, `dev` one name; either may be NULL, both may say the
 * same. */
static int add_for_devices(struct look *look, const char *what, const struct nlattr *devs,
			   const struct nlattr *dev)
{
	const struct nlattr *a = NULL;
	int err = 0;

	if (devs)
		err = wr_nl_attrs(wr_nl_data(devs), wr_nl_len(devs), NULL, 0, NULL);
	while (!err && devs && (a = wr_obst_next(a, wr_nl_data(devs), wr_nl_len(devs))))
		err = add_for_attr(look, what, a);
	if (!err && dev) {
		char name[NAME_BYTES];

		wr_nl_str(dev, name, sizeof(name));
		err = add_for_device(look, what, name);
	}
	return err;
}

/*
 * Base chains.
 */

struct chain {
	uint8_t family;
	uint32_t hook;
	uint32_t policy;
	uint32_t n_rules;
	char table[NAME_BYTES];
	char name[NAME_BYTES];
	const struct nlattr *dev, *devs;
};

static const struct place {
	uint8_t family;
	uint8_t hook;
	bool is_ingress; /* concerns the interfaces that it names; else all */
	const char *text;
} places[] = {
	{NFPROTO_IPV4, NF_INET_PRE_ROUTING, false, "prerouting"},
	{NFPROTO_IPV4, NF_INET_FORWARD, false, "forward"},
	{NFPROTO_IPV4, NF_INET_POST_ROUTING, false, "postrouting"},
	{NFPROTO_INET, NF_INET_PRE_ROUTING, false, "prerouting"},
	{NFPROTO_INET, NF_INET_FORWARD, false, "forward"},
	{NFPROTO_INET, NF_INET_POST_ROUTING, false, "postrouting"},
	{NFPROTO_INET, NF_INET_INGRESS, true, "ingress"},
	{NFPROTO_NETDEV, NF_NETDEV_INGRESS, true, "ingress"},
	{NFPROTO_NETDEV, NF_NETDEV_EGRESS, false, "egress"},
};

/* NULL: packets in transit do not pass there. */
static const struct place *find_place(uint8_t family, uint32_t hook)
{
	for (unsigned i = 0; i < wr_array_size(places); i++)
		if (places[i].family == family && places[i].hook == hook)
			return &places[i];
	return NULL;
}

/* 1 for a base chain, 0 for another, -EBADMSG. */
static int parse_chain_hook(const struct nlattr *hook, struct chain *ret)
{
	enum { NUM, DEV, DEVS, N };
	static const struct nl_want want[N] = {
		[NUM] = {NFTA_HOOK_HOOKNUM, 4},
		[DEV] = {NFTA_HOOK_DEV, 1},
		[DEVS] = {NFTA_HOOK_DEVS, 0},
	};
	const struct nlattr *a[N];

	if (!hook)
		return 0;
	if (wr_nl_attrs(wr_nl_data(hook), wr_nl_len(hook), want, N, a) || !a[NUM])
		return -EBADMSG;
	ret->hook = be32_attr(a[NUM]);
	ret->dev = a[DEV];
	ret->devs = a[DEVS];
	return 1;
}

/* 1 for a base chain, 0 for another, -EBADMSG. */
static int parse_chain(const struct nlmsghdr *h, struct chain *ret)
{
	enum { TABLE, NAME, HOOK, POLICY, USE, N };
	static const struct nl_want want[N] = {
		[TABLE] = {NFTA_CHAIN_TABLE, 1}, [NAME] = {NFTA_CHAIN_NAME, 1},
		[HOOK] = {NFTA_CHAIN_HOOK, 0},   [POLICY] = {NFTA_CHAIN_POLICY, 4},
		[USE] = {NFTA_CHAIN_USE, 4},
	};
	const struct nfgenmsg *gen = (const struct nfgenmsg *)((const char *)h + NLMSG_HDRLEN);
	const struct nlattr *a[N];
	const void *attrs;
	size_t len;

	if (wr_nl_body(h, sizeof(*gen), &attrs, &len) || wr_nl_attrs(attrs, len, want, N, a) ||
	    !a[TABLE] || !a[NAME])
		return -EBADMSG;
	memset(ret, 0, sizeof(*ret));
	ret->family = gen->nfgen_family;
	wr_nl_str(a[TABLE], ret->table, sizeof(ret->table));
	wr_nl_str(a[NAME], ret->name, sizeof(ret->name));
	ret->policy = a[POLICY] ? be32_attr(a[POLICY]) : NF_ACCEPT;
	/* A kernel that does not say how many there are may have any number. */
	ret->n_rules = a[USE] ? be32_attr(a[USE]) : UINT32_MAX;
	return parse_chain_hook(a[HOOK], ret);
}

static bool does_nothing(const struct chain *c)
{
	return !c->n_rules && c->policy == NF_ACCEPT;
}

static const char *family_name(uint8_t family)
{
	switch (family) {
	case NFPROTO_IPV4:
		return "ip";
	case NFPROTO_INET:
		return "inet";
	default:
		return "netdev";
	}
}

/* "nft chain inet filter forward (hook forward, 12 rules, policy drop)" */
static void print_chain(const struct chain *c, const struct place *place, char *buf, size_t n)
{
	char rules[24] = "rules";

	if (c->n_rules != UINT32_MAX)
		snprintf(rules, sizeof(rules), "%u rule%s", c->n_rules, c->n_rules == 1 ? "" : "s");
	snprintf(buf, n, "nft chain %s %.32s %.32s (hook %s, %s, policy %s)",
		 family_name(c->family), c->table, c->name, place->text, rules,
		 c->policy == NF_ACCEPT ? "accept" : "drop");
}

static int judge_chain(struct look *look, const struct chain *c)
{
	const struct place *place = find_place(c->family, c->hook);
	char what[160];

	if (!place || does_nothing(c))
		return 0;
	print_chain(c, place, what, sizeof(what));
	if (place->is_ingress)
		return add_for_devices(look, what, c->devs, c->dev);
	wr_obst_add(look->list, 0, true, "%s" OBST_BYPASS, what);
	return 0;
}

static void on_chain(void *arg, const struct nlmsghdr *h)
{
	struct look *look = arg;
	struct chain c;
	int is_base;

	if (look->err || h->nlmsg_type != nfnl_type(NFNL_SUBSYS_NFTABLES, NFT_MSG_NEWCHAIN))
		return;
	is_base = parse_chain(h, &c);
	look->err = is_base > 0 ? judge_chain(look, &c) : is_base;
}

/*
 * Flowtables: they forward established flows past the routing table.
 */

static int parse_flowtable(const struct nlmsghdr *h, char *ret_what, size_t n,
			   const struct nlattr **ret_devs)
{
	enum { TABLE, NAME, HOOK, N };
	static const struct nl_want want[N] = {
		[TABLE] = {NFTA_FLOWTABLE_TABLE, 1},
		[NAME] = {NFTA_FLOWTABLE_NAME, 1},
		[HOOK] = {NFTA_FLOWTABLE_HOOK, 0},
	};
	static const struct nl_want want_devs = {NFTA_FLOWTABLE_HOOK_DEVS, 0};
	char table[NAME_BYTES], name[NAME_BYTES];
	const struct nlattr *a[N];
	const void *attrs;
	size_t len;

	if (wr_nl_body(h, sizeof(struct nfgenmsg), &attrs, &len) ||
	    wr_nl_attrs(attrs, len, want, N, a) || !a[TABLE] || !a[NAME] || !a[HOOK] ||
	    wr_nl_attrs(wr_nl_data(a[HOOK]), wr_nl_len(a[HOOK]), &want_devs, 1, ret_devs))
		return -EBADMSG;
	wr_nl_str(a[TABLE], table, sizeof(table));
	wr_nl_str(a[NAME], name, sizeof(name));
	snprintf(ret_what, n, "nft flowtable %.32s %.32s", table, name);
	return 0;
}

static void on_flowtable(void *arg, const struct nlmsghdr *h)
{
	const struct nfgenmsg *gen = (const struct nfgenmsg *)((const char *)h + NLMSG_HDRLEN);
	struct look *look = arg;
	const struct nlattr *devs;
	char what[160];

	if (look->err || h->nlmsg_type != nfnl_type(NFNL_SUBSYS_NFTABLES, NFT_MSG_NEWFLOWTABLE))
		return;
	look->err = parse_flowtable(h, what, sizeof(what), &devs);
	if (!look->err && gen->nfgen_family != NFPROTO_IPV6)
		look->err = add_for_devices(look, what, devs, NULL);
}

static int dump_nft(struct look *look, unsigned msg, wr_nl_each *each)
{
	const struct nfgenmsg all_families = {.nfgen_family = NFPROTO_UNSPEC};

	return dump(look, nfnl_type(NFNL_SUBSYS_NFTABLES, msg), &all_families, sizeof(all_families),
		    each);
}

int wr_obst_nft(const struct obst_ask *ask, struct obst_list *list)
{
	struct look look = {.ask = ask, .list = list};
	int err;

	if (!ask->nfnl)
		return 0;
	err = dump_nft(&look, NFT_MSG_GETCHAIN, on_chain);
	/* nfnetlink's answer where nobody serves the subsystem: a kernel without nf_tables has no
	 * chains. */
	if (err == -EINVAL)
		return 0;
	return err ? err : dump_nft(&look, NFT_MSG_GETFLOWTABLE, on_flowtable);
}

/*
 * Hooks that are not nft's.
 */

/* See the top; a name ends at the compiler's or linker's suffix. ipt_do_table runs legacy tables,
 * which obstacles_iptables.c judges; ip_sabotage_in spares bridged packets a second pass. */
static const char *const harmless_hooks[] = {
	"ipv4_conntrack_in",    "ipv4_conntrack_defrag", "ipv4_confirm",
	"nf_confirm",           "nf_nat_ipv4_in",        "nf_nat_ipv4_pre_routing",
	"nf_nat_ipv4_out",      "ipt_do_table",          "ip_sabotage_in",
	"selinux_ip_forward",   "selinux_ipv4_forward",  "selinux_ipv4_postroute",
	"selinux_ip_postroute", "apparmor_ip_postroute",
};

static bool is_harmless(const char *function)
{
	size_t len = strcspn(function, ".");

	for (unsigned i = 0; i < wr_array_size(harmless_hooks); i++)
		if (strlen(harmless_hooks[i]) == len && !memcmp(harmless_hooks[i], function, len))
			return true;
	return false;
}

/* Whether the hook is an nft chain, which the list of chains judges; or -EBADMSG. */
static int is_nft_hook(const struct nlattr *chain_info)
{
	static const struct nl_want want = {NFNLA_HOOK_INFO_TYPE, 4};
	const struct nlattr *type;

	if (!chain_info)
		return 0;
	if (wr_nl_attrs(wr_nl_data(chain_info), wr_nl_len(chain_info), &want, 1, &type))
		return -EBADMSG;
	return type && be32_attr(type) == HOOK_TYPE_NFTABLES;
}

static int judge_hook(struct look *look, const struct nlmsghdr *h)
{
	enum { FUNCTION, MODULE, INFO, N };
	static const struct nl_want want[N] = {
		[FUNCTION] = {NFNLA_HOOK_FUNCTION_NAME, 1},
		[MODULE] = {NFNLA_HOOK_MODULE_NAME, 1},
		[INFO] = {NFNLA_HOOK_CHAIN_INFO, 0},
	};
	char function[NAME_BYTES] = "a function without a name", module[NAME_BYTES] = "";
	const struct nlattr *a[N];
	const void *attrs;
	size_t len;
	int is_nft;

	if (wr_nl_body(h, sizeof(struct nfgenmsg), &attrs, &len) ||
	    wr_nl_attrs(attrs, len, want, N, a))
		return -EBADMSG;
	is_nft = is_nft_hook(a[INFO]);
	if (is_nft)
		return is_nft < 0 ? is_nft : 0;
	if (a[FUNCTION])
		wr_nl_str(a[FUNCTION], function, sizeof(function));
	if (a[MODULE])
		wr_nl_str(a[MODULE], module, sizeof(module));
	if (is_harmless(function))
		return 0;
	wr_obst_add(look->list, 0, true, "netfilter hook %s: %s%s%s" OBST_BYPASS, look->place,
		    function, *module ? " of module " : "", module);
	return 0;
}

static void on_hook(void *arg, const struct nlmsghdr *h)
{
	struct look *look = arg;

	if (!look->err && h->nlmsg_type == nfnl_type(NFNL_SUBSYS_HOOK, NFNL_MSG_HOOK_GET))
		look->err = judge_hook(look, h);
}

static int dump_hooks(struct look *look, const struct place *place)
{
	const struct {
		struct nfgenmsg gen;
		struct nlattr attr;
		uint32_t hook_be;
	} body = {
		.gen = {.nfgen_family = place->family},
		.attr = {.nla_len = NLA_HDRLEN + 4, .nla_type = NFNLA_HOOK_HOOKNUM},
		.hook_be = htobe32(place->hook),
	};

	look->place = place->text;
	return dump(look, nfnl_type(NFNL_SUBSYS_HOOK, NFNL_MSG_HOOK_GET), &body, sizeof(body),
		    on_hook);
}

int wr_obst_hooks(const struct obst_ask *ask, struct obst_list *list)
{
	struct look look = {.ask = ask, .list = list};
	int err = 0;

	for (unsigned i = 0; i < wr_array_size(places) && ask->nfnl && !err; i++)
		if (places[i].family == NFPROTO_IPV4)
			err = dump_hooks(&look, &places[i]);
	/* No list of hooks in this kernel: then chains and legacy tables are what can be known. */
	return err == -EINVAL || err == -EOPNOTSUPP ? 0 : err;
}
