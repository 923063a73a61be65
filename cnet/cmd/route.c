/* SPDX-License-Identifier: BSD-3-Clause */
#include "cnet/cmd/cmd.h"
#include "lib/wire/wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* As in iproute2's rt_protos, rt_scopes and rt_tables; FRR's daemons write 186 and up. */
static const struct cmd_name protocol_names[] = {
	{RTPROT_UNSPEC, "unspec"},
	{RTPROT_REDIRECT, "redirect"},
	{RTPROT_KERNEL, "kernel"},
	{RTPROT_BOOT, "boot"},
	{RTPROT_STATIC, "static"},
	{RTPROT_GATED, "gated"},
	{RTPROT_RA, "ra"},
	{RTPROT_MRT, "mrt"},
	{RTPROT_ZEBRA, "zebra"},
	{RTPROT_BIRD, "bird"},
	{RTPROT_DNROUTED, "dnrouted"},
	{RTPROT_XORP, "xorp"},
	{RTPROT_NTK, "ntk"},
	{RTPROT_DHCP, "dhcp"},
	{18, "keepalived"},
	{RTPROT_BABEL, "babel"},
	{99, "openr"},
	{RTPROT_BGP, "bgp"},
	{RTPROT_ISIS, "isis"},
	{RTPROT_OSPF, "ospf"},
	{RTPROT_RIP, "rip"},
	{RTPROT_EIGRP, "eigrp"},
};

static const struct cmd_name scope_names[] = {
	{RT_SCOPE_UNIVERSE, "global"}, {RT_SCOPE_SITE, "site"},       {RT_SCOPE_LINK, "link"},
	{RT_SCOPE_HOST, "host"},       {RT_SCOPE_NOWHERE, "nowhere"},
};

static const struct cmd_name table_names[] = {
	{RT_TABLE_DEFAULT, "default"},
	{RT_TABLE_MAIN, "main"},
	{RT_TABLE_LOCAL, "local"},
	{RT_TABLE_UNSPEC, "all"},
};

static const struct cmd_name type_names[] = {
	{RTN_UNICAST, "unicast"},
	{RTN_LOCAL, "local"},
	{RTN_BROADCAST, "broadcast"},
	{RTN_ANYCAST, "anycast"},
	{RTN_MULTICAST, "multicast"},
	{RTN_BLACKHOLE, "blackhole"},
	{RTN_UNREACHABLE, "unreachable"},
	{RTN_PROHIBIT, "prohibit"},
	{RTN_THROW, "throw"},
	{RTN_NAT, "nat"},
};

static const struct cmd_name flag_names[] = {
	{RTNH_F_DEAD, "dead"},       {RTNH_F_ONLINK, "onlink"},     {RTNH_F_PERVASIVE, "pervasive"},
	{RTNH_F_OFFLOAD, "offload"}, {RTNH_F_LINKDOWN, "linkdown"},
};

#define NAME(table, value) wr_cmd_name(table, wr_array_size(table), value)

/* Whether Weir itself does what the route says, and a sentence where that is not plain. */
struct verdict {
	bool via_weir;
	char why[200];
};

static struct verdict by_weir(const char *why)
{
	struct verdict v = {.via_weir = true};

	snprintf(v.why, sizeof(v.why), "%s", why);
	return v;
}

static struct verdict by_kernel(const char *why)
{
	struct verdict v = {.via_weir = false};

	snprintf(v.why, sizeof(v.why), "%s", why);
	return v;
}

static struct verdict judge_neighbour(const struct nexthop *nh, struct ip4 addr)
{
	struct verdict v = {.via_weir = nh && nh->is_resolved};
	char text[INET_ADDRSTRLEN];

	if (!v.via_weir)
		snprintf(v.why, sizeof(v.why),
			 "the MAC address of %s is not known yet: "
			 "the kernel is asked when packets come",
			 inet_ntop(AF_INET, &addr.raw, text, sizeof(text)));
	return v;
}

static bool is_ready(const struct fib *fib, uint16_t id)
{
	const struct nexthop *nh = wr_fib_nh(fib, id);

	return nh && ((nh->type == NH_NEIGH && nh->is_resolved) || nh->type == NH_ATTACHED);
}

static struct verdict judge_group(const struct fib *fib, const struct nexthop *group)
{
	struct verdict v = {.via_weir = false};
	unsigned n_ready = 0;

	for (unsigned i = 0; i < group->n_members; i++)
		n_ready += is_ready(fib, group->members[i]);
	v.via_weir = n_ready > 0;
	if (n_ready < group->n_members)
		snprintf(v.why, sizeof(v.why),
			 "%u of %u paths: the others are the kernel's, "
			 "or their neighbours are not known yet",
			 n_ready, group->n_members);
	return v;
}

/* Of routes that Weir has as one kind of next hop: what the kernel does by their type. */
static struct verdict judge_type(const struct mirror_route *route)
{
	switch (route->type) {
	case RTN_LOCAL:
		return by_kernel("for this host");
	case RTN_BROADCAST:
		return by_kernel("a broadcast address");
	case RTN_PROHIBIT:
		return by_kernel("the kernel answers that it is prohibited");
	case RTN_UNREACHABLE:
		return by_kernel("the kernel answers that the host is unreachable");
	case RTN_THROW:
		return by_kernel("the kernel looks in the next table, then answers network "
				 "unreachable");
	default:
		return by_kernel("its type is the kernel's to handle");
	}
}

/* `dst` is NULL if a whole route is meant. */
static struct verdict judge_nexthop(const struct fib *fib, const struct mirror_route *route,
				    const struct ip4 *dst)
{
	uint32_t id = route->fib_nh;
	const struct nexthop *nh = id < FIB_MAX_NH ? wr_fib_nh(fib, id) : NULL;

	if (!nh)
		return by_kernel("not in the forwarding table");
	switch ((enum nh_type)nh->type) {
	case NH_NONE:
		return by_kernel("no route: the kernel answers network unreachable");
	case NH_KERNEL:
		return by_kernel("the way out is the kernel's: an interface without Weir, "
				 "or a feature that Weir does not evaluate");
	case NH_BLACKHOLE:
		return by_weir("dropped, as the route says");
	case NH_LOCAL:
	case NH_REJECT:
		return judge_type(route);
	case NH_ATTACHED:
		if (!dst)
			return by_weir("");
		return judge_neighbour(wr_fib_neigh_lookup(fib, nh->oif, *dst), *dst);
	case NH_NEIGH:
		return judge_neighbour(nh, nh->gateway);
	case NH_GROUP:
		return judge_group(fib, nh);
	}
	return by_kernel("of a type unknown to this command");
}

static struct verdict judge(const struct weir *weir, const struct mirror_route *route,
			    const struct ip4 *dst)
{
	if (!route->in_use)
		return by_kernel("not in use: another route to this prefix is preferred");
	if (route->why_kernel && *route->why_kernel)
		return by_kernel(route->why_kernel);
	return judge_nexthop(weir->fib, route, dst);
}

static void add_path(const struct weir *weir, const struct mirror_path *path, json_t *row)
{
	if (path->gateway.raw)
		json_object_set_new(row, "gateway", wr_cmd_ip4(path->gateway));
	if (path->oif)
		json_object_set_new(row, "dev", wr_cmd_ifname(weir, path->oif));
}

static json_t *make_nexthops(const struct weir *weir, const struct mirror_route *route)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < route->n_paths; i++) {
		const struct mirror_path *path = &route->paths[i];
		json_t *row = json_object();

		add_path(weir, path, row);
		json_object_set_new(row, "weight", json_integer(path->weight));
		json_object_set_new(
			row, "flags",
			wr_cmd_flags(flag_names, wr_array_size(flag_names), path->flags));
		json_array_append_new(list, row);
	}
	return list;
}

/* The keys that say where to, in iproute2's order. */
static void add_way(const struct weir *weir, const struct mirror_route *route, json_t *row)
{
	if (route->nh_id)
		json_object_set_new(row, "nhid", json_integer(route->nh_id));
	if (route->n_paths == 1)
		add_path(weir, &route->paths[0], row);
}

/* What a route says besides its way. iproute2 leaves out what is usual, and so does this. */
static void add_attributes(const struct weir *weir, const struct mirror_route *route, json_t *row)
{
	if (route->prefsrc.raw)
		json_object_set_new(row, "prefsrc", wr_cmd_ip4(route->prefsrc));
	if (route->metric)
		json_object_set_new(row, "metric", json_integer(route->metric));
	json_object_set_new(row, "flags",
			    wr_cmd_flags(flag_names, wr_array_size(flag_names),
					 route->n_paths == 1 ? route->paths[0].flags : 0));
	if (route->mtu)
		json_object_set_new(row, "metrics",
				    json_pack("[{s:I}]", "mtu", (json_int_t)route->mtu));
	if (route->n_paths > 1)
		json_object_set_new(row, "nexthops", make_nexthops(weir, route));
}

static void add_verdict(const struct verdict *v, json_t *row)
{
	json_object_set_new(row, "via_weir", json_boolean(v->via_weir));
	json_object_set_new(row, "why", wr_cmd_text(v->why));
}

struct listing {
	const struct cmd *cmd;
	uint32_t table; /* RT_TABLE_UNSPEC: all */
	bool has_prefix;
	struct prefix4 prefix;
};

static int add_route(void *arg, const struct mirror_route *route)
{
	const struct listing *listing = arg;
	const struct weir *weir = listing->cmd->weir;
	struct verdict v;
	json_t *row;

	if (listing->table != RT_TABLE_UNSPEC && listing->table != route->table)
		return 0;
	if (listing->has_prefix && (listing->prefix.len != route->dst.len ||
				    !ip4_equal(listing->prefix.addr, route->dst.addr)))
		return 0;
	v = judge(weir, route, NULL);
	row = json_object();
	if (route->type != RTN_UNICAST)
		json_object_set_new(row, "type", NAME(type_names, route->type));
	json_object_set_new(row, "dst", wr_cmd_prefix(route->dst));
	if (route->tos)
		json_object_set_new(row, "tos", json_sprintf("0x%02x", route->tos));
	add_way(weir, route, row);
	if (route->table != RT_TABLE_MAIN)
		json_object_set_new(row, "table", NAME(table_names, route->table));
	if (route->protocol != RTPROT_BOOT)
		json_object_set_new(row, "protocol", NAME(protocol_names, route->protocol));
	if (route->scope != RT_SCOPE_UNIVERSE)
		json_object_set_new(row, "scope", NAME(scope_names, route->scope));
	add_attributes(weir, route, row);
	add_verdict(&v, row);
	return wr_req_reply_row(listing->cmd->reply, row);
}

static bool parse_uint(const char *text, uint32_t max, uint32_t *ret)
{
	unsigned long long n;
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	n = strtoull(text, &end, 10);
	if (*end || errno || n > max)
		return false;
	*ret = (uint32_t)n;
	return true;
}

/* "default", "10.0.0.0/8", "10.1.2.3". */
static bool parse_prefix(const char *text, struct prefix4 *ret)
{
	const char *slash = strchrnul(text, '/');
	char addr[INET_ADDRSTRLEN];
	struct prefix4 prefix = {0};
	uint32_t len = 32;

	if (!strcmp(text, "default")) {
		*ret = prefix;
		return true;
	}
	if ((size_t)(slash - text) >= sizeof(addr))
		return false;
	snprintf(addr, sizeof(addr), "%.*s", (int)(slash - text), text);
	if (inet_pton(AF_INET, addr, &prefix.addr.raw) != 1)
		return false;
	if (*slash && !parse_uint(slash + 1, 32, &len))
		return false;
	prefix.len = (uint8_t)len;
	*ret = prefix;
	return !(ip4_to(prefix.addr) & ~ip4_mask(len));
}

static bool parse_table(const char *text, uint32_t *ret)
{
	for (size_t i = 0; i < wr_array_size(table_names); i++) {
		if (wr_cmd_is(text, table_names[i].name)) {
			*ret = table_names[i].value;
			return true;
		}
	}
	return parse_uint(text, UINT32_MAX, ret);
}

static int parse_listing(const struct cmd *cmd, struct listing *ret)
{
	for (unsigned i = 0; i < cmd->n_words; i++) {
		const char *word = cmd->words[i];

		if (!ret->has_prefix && parse_prefix(word, &ret->prefix)) {
			ret->has_prefix = true;
		} else if (wr_cmd_is(word, "table") && i + 1 < cmd->n_words) {
			if (!parse_table(cmd->words[++i], &ret->table))
				return wr_err(
					cmd->err, -EINVAL,
					"'%.64s' is not a table; use main, local, all or a number",
					cmd->words[i]);
		} else {
			return wr_err(cmd->err, -EINVAL,
				      "'%.64s' is not expected here; possible: "
				      "a prefix such as 10.0.0.0/24, "
				      "default, table NAME, or 'route get ADDRESS'",
				      word);
		}
	}
	return 0;
}

int wr_cmd_route_show(const struct cmd *cmd)
{
	struct listing listing = {.cmd = cmd, .table = RT_TABLE_MAIN};
	int rc = parse_listing(cmd, &listing);

	if (rc)
		return rc;
	rc = wr_req_reply_list(cmd->reply);
	return rc ? rc : wr_mirror_each_route(cmd->weir->mirror, add_route, &listing);
}

static bool is_any_transit(const struct weir *weir)
{
	unsigned n_ports = 0, n_transit = 0;

	for (unsigned i = 0; i < WR_MAX_PORTS; i++) {
		n_ports += weir->ports[i].port != NULL;
		n_transit += weir->ports[i].port && weir->ports[i].transit;
	}
	return n_transit || !n_ports;
}

static const char special_address[] =
	"multicast, broadcast and reserved addresses are the kernel's";

/* What decides before the route does, too. */
static struct verdict judge_destination(const struct weir *weir, const struct mirror_route *route,
					struct ip4 addr)
{
	struct verdict v = judge(weir, route, &addr);

	if (route->type == RTN_UNICAST && ip4_is_special(addr))
		return by_kernel(special_address);
	if (v.via_weir && !is_any_transit(weir))
		return by_kernel("the kernel forwards on all interfaces: see 'weir status'");
	return v;
}

/*
 * Keys as `ip -j route get` has them, and "route", the prefix that matched. The kernel names one
 * path of several, by a hash of its own; this names all, because which one is taken depends on the
 * flow. "prefsrc" is there if the route has one.
 */
static json_t *make_answer(const struct weir *weir, struct ip4 addr)
{
	struct mirror_route route = {0};
	bool is_found = wr_mirror_route_get(weir->mirror, addr, &route);
	json_t *row = json_object();
	struct verdict v;

	if (!is_found) {
		v = by_kernel(ip4_is_special(addr)
				      ? special_address
				      : "no route: the kernel answers network unreachable");
		json_object_set_new(row, "dst", wr_cmd_ip4(addr));
		json_object_set_new(row, "error", json_string("network unreachable"));
		json_object_set_new(row, "flags", json_array());
		add_verdict(&v, row);
		return row;
	}
	v = judge_destination(weir, &route, addr);
	if (route.type != RTN_UNICAST)
		json_object_set_new(row, "type", NAME(type_names, route.type));
	json_object_set_new(row, "dst", wr_cmd_ip4(addr));
	add_way(weir, &route, row);
	if (route.type == RTN_LOCAL) /* its packets do not leave by the address's interface */
		json_object_set_new(row, "dev", json_string("lo"));
	add_attributes(weir, &route, row);
	json_object_set_new(row, "route", wr_cmd_prefix(route.dst));
	add_verdict(&v, row);
	return row;
}

int wr_cmd_route_get(const struct cmd *cmd)
{
	if (!cmd->n_words)
		return wr_err(cmd->err, -EINVAL, "route get: an address is missing");
	for (unsigned i = 0; i < cmd->n_words; i++) {
		struct ip4 addr;

		if (inet_pton(AF_INET, cmd->words[i], &addr.raw) != 1)
			return wr_err(cmd->err, -EINVAL, "'%.64s' is not an IPv4 address",
				      cmd->words[i]);
		wr_req_reply_row(cmd->reply, make_answer(cmd->weir, addr));
	}
	return 0;
}
