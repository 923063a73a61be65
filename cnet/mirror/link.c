/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Links, and the settings that hang on them.
 *
 * A link that goes down takes its routes and next-hop objects with it and the kernel says nothing:
 * see way.c and nexthop.c.
 */
#include "cnet/mirror/mirror_private.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { L_IFNAME, L_ADDRESS, L_MTU, L_LINK, L_MASTER, L_LINKINFO, L_PARENT_BUS, L_N };

static const struct nl_want link_want[L_N] = {
	[L_IFNAME] = {IFLA_IFNAME, 1},
	[L_ADDRESS] = {IFLA_ADDRESS, 0},
	[L_MTU] = {IFLA_MTU, 4},
	[L_MASTER] = {IFLA_MASTER, 4},
	[L_LINK] = {IFLA_LINK, 4},
	[L_LINKINFO] = {IFLA_LINKINFO, 0},
	[L_PARENT_BUS] = {IFLA_PARENT_DEV_BUS_NAME, 1},
};

static const struct nl_want info_want[] = {{IFLA_INFO_KIND, 1}};

static struct link *find(const struct mirror *m, uint32_t ifindex)
{
	struct link *link = m->links[ifindex % LINK_BUCKETS];

	while (link && link->pub.ifindex != ifindex)
		link = link->next;
	return link;
}

struct link *wr_link_lookup(const struct mirror *m, uint32_t ifindex)
{
	struct link *link = find(m, ifindex);

	return link && link->is_known ? link : NULL;
}

struct link *wr_link_get(struct mirror *m, uint32_t ifindex)
{
	struct link *link = find(m, ifindex);
	struct link **bucket = &m->links[ifindex % LINK_BUCKETS];

	if (link)
		return link;
	link = calloc(1, sizeof(*link));
	if (!link)
		return NULL;
	link->pub.ifindex = ifindex;
	link->pub.port_idx = -1;
	link->own_redirects = true;
	link->pub.send_redirects = true;
	link->next = *bucket;
	*bucket = link;
	return link;
}

static void free_link(struct mirror *m, struct link *link)
{
	struct link **at = &m->links[link->pub.ifindex % LINK_BUCKETS];

	while (*at != link)
		at = &(*at)->next;
	*at = link->next;
	free(link);
}

void wr_link_dirty(struct mirror *m, struct link *link)
{
	link->is_dirty = true;
	m->are_links_dirty = true;
}

bool wr_link_is_ignored(const struct link *link)
{
	return link->pub.ignore_routes_with_linkdown && !link->pub.has_carrier;
}

void wr_link_settings(struct mirror *m, struct link *link)
{
	struct mirror_link before = link->pub;
	struct mirror_link *l = &link->pub;

	l->rp_filter =
		link->own_rp_filter > m->all_rp_filter ? link->own_rp_filter : m->all_rp_filter;
	l->ignore_routes_with_linkdown = link->own_ignore_linkdown || m->all_ignore_linkdown;
	l->send_redirects = link->own_redirects || m->all_redirects;
	if (before.rp_filter != l->rp_filter || before.send_redirects != l->send_redirects ||
	    before.ignore_routes_with_linkdown != l->ignore_routes_with_linkdown)
		wr_link_dirty(m, link);
}

/* Anything unreadable counts as on: then the kernel gets the packets that might be redirected. */
static bool read_redirects(const struct mirror *m, const char *name)
{
	char path[64];
	char value = '1';
	int fd;

	if (m->conf_dir < 0)
		return true;
	snprintf(path, sizeof(path), "%s/send_redirects", name);
	fd = openat(m->conf_dir, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return true;
	if (read(fd, &value, 1) != 1)
		value = '1';
	close(fd);
	return value != '0';
}

/* There is no event for this setting. Only ports matter. */
void wr_link_read_redirects(struct mirror *m)
{
	bool is_read = false;

	for (unsigned i = 0; i < WR_MAX_PORTS; i++) {
		struct link *link = m->ports[i];

		if (!link)
			continue;
		if (!is_read)
			m->all_redirects = read_redirects(m, "all");
		is_read = true;
		link->own_redirects = read_redirects(m, link->pub.name);
		wr_link_settings(m, link);
	}
}

static void parse_kind(struct mirror_link *l, const struct nlattr *const *a)
{
	const struct nlattr *kind = NULL;
	char bus[16] = "";

	if (a[L_LINKINFO] &&
	    !wr_nl_attrs(wr_nl_data(a[L_LINKINFO]), wr_nl_len(a[L_LINKINFO]), info_want, 1,
			 &kind) &&
	    kind)
		wr_nl_str(kind, l->kind, sizeof(l->kind));
	if (a[L_PARENT_BUS])
		wr_nl_str(a[L_PARENT_BUS], bus, sizeof(bus));
	if (l->kind[0] || !strcmp(bus, "virtio"))
		l->is_virtual = true;
}

/* Some messages tell only a part: what is absent stays as it was. */
static void parse_link(struct link *link, const struct ifinfomsg *ifi,
		       const struct nlattr *const *a)
{
	struct mirror_link *l = &link->pub;

	link->type = ifi->ifi_type;
	l->flags = ifi->ifi_flags;
	l->has_carrier = ifi->ifi_flags & (IFF_RUNNING | IFF_LOWER_UP);
	if (a[L_IFNAME])
		wr_nl_str(a[L_IFNAME], l->name, sizeof(l->name));
	if (a[L_ADDRESS] && wr_nl_len(a[L_ADDRESS]) == sizeof(l->mac))
		memcpy(&l->mac, wr_nl_data(a[L_ADDRESS]), sizeof(l->mac));
	if (a[L_MTU])
		l->mtu = wr_nl_u32(a[L_MTU]);
	l->master = a[L_MASTER] ? wr_nl_u32(a[L_MASTER]) : 0;
	if (a[L_LINK])
		link->lower = wr_nl_u32(a[L_LINK]);
	parse_kind(l, a);
}

/* By what a link message tells. */
static bool is_as_before(const struct mirror_link *a, const struct mirror_link *b)
{
	return !strcmp(a->name, b->name) && !strcmp(a->kind, b->kind) &&
	       memcmp(&a->mac, &b->mac, sizeof(a->mac)) == 0 && a->mtu == b->mtu &&
	       a->flags == b->flags && a->master == b->master && a->is_virtual == b->is_virtual;
}

/* What else the kernel has just done without a word. */
static void follow_state(struct mirror *m, struct link *link, uint32_t old_flags, bool had_carrier)
{
	uint32_t ifindex = link->pub.ifindex;
	bool is_up = link->pub.flags & IFF_UP;

	if ((old_flags & IFF_UP) && !is_up) {
		wr_way_link_down(m, ifindex, WAY_LINK_DOWN);
		wr_nexthop_link_gone(m, ifindex);
		wr_mirror_schedule(m);
	} else if (had_carrier && !link->pub.has_carrier) {
		wr_nexthop_link_gone(m, ifindex);
		wr_mirror_schedule(m);
	}
	if (!(old_flags & IFF_UP) && is_up)
		wr_way_link_up(m, ifindex);
}

/* The one below sees its transit judged anew. */
static void lower_dirty(struct mirror *m, const struct link *link)
{
	struct link *lower = link->lower ? wr_link_lookup(m, link->lower) : NULL;

	if (lower)
		wr_link_dirty(m, lower);
}

static void link_gone(struct mirror *m, struct link *link)
{
	uint32_t ifindex = link->pub.ifindex;
	int port_idx = link->pub.port_idx;

	link->is_known = false;
	lower_dirty(m, link);
	m->are_links_dirty = true; /* hops through it */
	m->stats.n_links--;
	wr_way_link_down(m, ifindex, WAY_LINK_GONE);
	wr_nexthop_link_gone(m, ifindex);
	wr_addr_link_gone(m, ifindex);
	if (port_idx >= 0)
		wr_transit_port_del(m, link);
	wr_neigh_link_gone(m, ifindex);
	if (port_idx >= 0 && m->conf.ops && m->conf.ops->port_changed)
		m->conf.ops->port_changed(m->conf.arg, (unsigned)port_idx, &link->pub, true);
	free_link(m, link);
	wr_mirror_schedule(m);
}

static int link_changed(struct mirror *m, const struct ifinfomsg *ifi,
			const struct nlattr *const *a)
{
	struct link *link = wr_link_get(m, (uint32_t)ifi->ifi_index);
	struct mirror_link before;
	uint16_t old_type;

	if (!link) {
		wr_mirror_short(m);
		return 0;
	}
	before = link->pub;
	old_type = link->type;
	parse_link(link, ifi, a);
	link->gen = m->gen;
	if (!link->is_known) {
		link->is_known = true;
		m->stats.n_links++;
		wr_link_settings(m, link);
		wr_link_dirty(m, link);
		lower_dirty(m, link);
		wr_mirror_mended(m);
		return 0;
	}
	if (!is_as_before(&before, &link->pub) || old_type != link->type) {
		wr_link_dirty(m, link);
		wr_mirror_mended(m);
		follow_state(m, link, before.flags, before.has_carrier);
	}
	return 0;
}

int wr_link_message(struct mirror *m, const struct nlmsghdr *h)
{
	const struct nlattr *a[L_N];
	struct ifinfomsg ifi;
	const void *attrs;
	struct link *link;
	size_t len;
	int err = wr_nl_body(h, sizeof(ifi), &attrs, &len);

	if (!err)
		err = wr_nl_attrs(attrs, len, link_want, L_N, a);
	if (err)
		return err;
	memcpy(&ifi, wr_nl_head(h), sizeof(ifi));
	/* A bridge tells of its ports in messages of the same type. */
	if (ifi.ifi_family != AF_UNSPEC)
		return 0;
	if (ifi.ifi_index <= 0)
		return -EBADMSG;
	if (h->nlmsg_type == RTM_NEWLINK)
		return link_changed(m, &ifi, a);
	link = wr_link_lookup(m, (uint32_t)ifi.ifi_index);
	if (link)
		link_gone(m, link);
	return 0;
}

void wr_link_sweep(struct mirror *m)
{
	for (unsigned i = 0; i < LINK_BUCKETS; i++) {
		struct link *link = m->links[i];

		while (link) {
			struct link *next = link->next;

			if (link->gen != m->gen) {
				wr_mirror_mended(m);
				if (link->is_known)
					link_gone(m, link);
				else
					free_link(m, link);
			}
			link = next;
		}
	}
}

void wr_link_fini(struct mirror *m)
{
	for (unsigned i = 0; i < LINK_BUCKETS; i++)
		for (struct link *link = m->links[i], *next; link; link = next) {
			next = link->next;
			free(link);
		}
}

const struct mirror_link *wr_mirror_link(const struct mirror *m, uint32_t ifindex)
{
	const struct link *link = wr_link_lookup(m, ifindex);

	return link ? &link->pub : NULL;
}

const struct mirror_link *wr_mirror_link_by_name(const struct mirror *m, const char *name)
{
	for (unsigned i = 0; i < LINK_BUCKETS; i++)
		for (const struct link *link = m->links[i]; link; link = link->next)
			if (link->is_known && !strcmp(link->pub.name, name))
				return &link->pub;
	return NULL;
}

void wr_mirror_each_link(const struct mirror *m,
			 void (*each)(void *arg, const struct mirror_link *), void *arg)
{
	for (unsigned i = 0; i < LINK_BUCKETS; i++)
		for (const struct link *link = m->links[i]; link; link = link->next)
			if (link->is_known)
				each(arg, &link->pub);
}
