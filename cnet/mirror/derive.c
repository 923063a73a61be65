/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From what the kernel has to what the workers read.
 *
 * For each prefix the first usable route decides. Table local and table main are one to the kernel
 * until the first `ip rule` is added, and two from then on, also when the rule is gone: a route of
 * table main below a shorter one of table local decides in the first case and is hidden in the
 * second, and nothing tells which it is. Such prefixes are left to the kernel.
 *
 * Order of withdrawal: a prefix leaves its way before the way's index is released, a group is
 * published without its member before the member's index is; the index itself is free after a grace
 * period (wr_fib_nh_release()).
 */
#include "cnet/mirror/mirror_private.h"

#include <linux/if.h>
#include <linux/if_arp.h>
#include <stdlib.h>
#include <string.h>

const char *wr_mirror_why_text(enum mirror_why why)
{
	static const char *const texts[] = {
		[WHY_NOT] = "",
		[WHY_TOS] = "a route of this prefix depends on TOS",
		[WHY_COVERED] = "a shorter prefix in table local covers it",
		[WHY_THROW] = "a throw route in table local",
		[WHY_TYPE] = "a type of route that Weir does not know",
		[WHY_VIA] = "its gateway is not an IPv4 address",
		[WHY_ENCAP] = "it encapsulates",
		[WHY_NO_LINK] = "its interface is not known",
		[WHY_NO_PORT] = "Weir does not run on its interface",
		[WHY_LINK_DOWN] = "its interface is down",
		[WHY_LINK_KIND] = "its interface is not Ethernet with ARP",
		[WHY_ENSLAVED] = "its interface is a port of another one",
		[WHY_NO_OBJECT] = "its next-hop object is not known",
		[WHY_OBJECT_KIND] = "its next-hop object is of a kind that Weir does not evaluate",
		[WHY_TOO_MANY] = "more next hops than Weir evaluates in a group",
		[WHY_FULL] = "Weir's table of next hops is full",
	};

	return texts[why];
}

enum mirror_why wr_derive_path_why(const struct mirror *m, const struct mirror_path *path)
{
	const struct link *link;

	if (path->why)
		return path->why;
	link = wr_link_lookup(m, path->oif);
	if (!link)
		return WHY_NO_LINK;
	if (link->pub.port_idx < 0)
		return WHY_NO_PORT;
	if (!(link->pub.flags & IFF_UP))
		return WHY_LINK_DOWN;
	if (link->type != ARPHRD_ETHER || (link->pub.flags & (IFF_NOARP | IFF_LOOPBACK)))
		return WHY_LINK_KIND;
	return link->pub.master ? WHY_ENSLAVED : WHY_NOT;
}

void wr_derive_rewrite(const struct link *link, const struct neigh *n, struct nexthop *nh)
{
	nh->port_idx = (uint8_t)link->pub.port_idx;
	nh->is_resolved = true;
	memcpy(nh->rewrite, &n->pub.mac, 6);
	memcpy(nh->rewrite + 6, &link->pub.mac, 6);
	nh->rewrite[12] = 0x08;
	nh->rewrite[13] = 0x00;
}

/* Publishes unless it stands there already; false: no memory, what stood there stays until a
 * resync. */
static bool publish(struct mirror *m, uint32_t id, const struct nexthop *nh)
{
	const struct nexthop *old = m->conf.fib->nh[id];

	/* The byte beside is_resolved is `used`, which workers write: an atomic load keeps the
	 * compiler from reading both as one word. */
	if (old && old->type == nh->type && old->port_idx == nh->port_idx && old->mtu == nh->mtu &&
	    __atomic_load_n(&old->is_resolved, __ATOMIC_RELAXED) == nh->is_resolved &&
	    old->oif == nh->oif && ip4_equal(old->gateway, nh->gateway) &&
	    old->n_buckets == nh->n_buckets && old->n_members == nh->n_members &&
	    !memcmp(old->rewrite, nh->rewrite, sizeof(nh->rewrite)) &&
	    (!nh->n_buckets ||
	     (!memcmp(old->buckets, nh->buckets, nh->n_buckets * sizeof(*nh->buckets)) &&
	      !memcmp(old->members, nh->members, nh->n_members * sizeof(*nh->members)))))
		return true;
	if (!wr_fib_nh_publish(m->conf.fib, id, nh))
		return true;
	wr_mirror_short(m);
	return false;
}

/* An index with something in it, 0 if there is none: an index is taken only by publishing. */
static uint16_t take_index(struct mirror *m)
{
	const struct nexthop nh = {.type = NH_KERNEL};
	int id = wr_fib_nh_alloc(m->conf.fib);

	if (id < 0)
		return 0;
	return publish(m, (uint32_t)id, &nh) ? (uint16_t)id : 0;
}

/*
 * Hops.
 */

static enum mirror_why hop_nexthop(const struct mirror *m, const struct hop *hop,
				   struct nexthop *nh)
{
	const struct mirror_path path = {.oif = hop->oif};
	enum mirror_why why = wr_derive_path_why(m, &path);
	const struct link *link;
	const struct neigh *n;

	*nh = (struct nexthop){.type = NH_KERNEL, .oif = hop->oif, .gateway = hop->gateway};
	if (why != WHY_NOT)
		return why;
	link = wr_link_lookup(m, hop->oif);
	nh->type = hop->gateway.raw ? NH_NEIGH : NH_ATTACHED;
	nh->port_idx = (uint8_t)link->pub.port_idx;
	/* A metric above the link's MTU: the larger packets are the kernel's to judge. */
	nh->mtu = hop->mtu && hop->mtu < link->pub.mtu ? hop->mtu : link->pub.mtu;
	n = hop->gateway.raw ? wr_neigh_lookup(m, hop->oif, hop->gateway) : NULL;
	if (n && wr_neigh_is_valid(n))
		wr_derive_rewrite(link, n, nh);
	return WHY_NOT;
}

static struct hop *hop_get(struct mirror *m, const struct mirror_path *path, uint32_t mtu)
{
	struct hop **bucket = &m->hops[wr_hop_bucket(path->oif, path->gateway)];
	struct hop *hop = *bucket;

	while (hop && !(hop->oif == path->oif && ip4_equal(hop->gateway, path->gateway) &&
			hop->mtu == mtu))
		hop = hop->next;
	if (!hop) {
		hop = calloc(1, sizeof(*hop));
		if (!hop)
			return NULL;
		hop->oif = path->oif;
		hop->gateway = path->gateway;
		hop->mtu = mtu;
		hop->next = *bucket;
		*bucket = hop;
	}
	hop->n_legs++;
	return hop;
}

static void hop_put(struct mirror *m, struct hop *hop)
{
	struct hop **at = &m->hops[wr_hop_bucket(hop->oif, hop->gateway)];

	if (--hop->n_legs)
		return;
	while (*at != hop)
		at = &(*at)->next;
	*at = hop->next;
	free(hop);
}

static void hop_publish(struct mirror *m, const struct hop *hop)
{
	struct nexthop nh;

	if (!hop->fib_id)
		return;
	(void)hop_nexthop(m, hop, &nh);
	(void)publish(m, hop->fib_id, &nh);
}

static bool hop_join_group(struct mirror *m, struct hop *hop)
{
	if (!hop->fib_id) {
		hop->fib_id = take_index(m);
		if (!hop->fib_id)
			return false;
		hop_publish(m, hop);
	}
	hop->n_groups++;
	return true;
}

static void hop_leave_group(struct mirror *m, struct hop *hop)
{
	if (--hop->n_groups)
		return;
	wr_fib_nh_release(m->conf.fib, hop->fib_id);
	hop->fib_id = 0;
}

/*
 * Ways.
 */

struct build {
	struct leg *legs;
	unsigned n;
	bool is_group; /* the hops have joined */
};

static void free_legs(struct mirror *m, struct leg *legs, unsigned n, bool is_group)
{
	for (unsigned i = 0; i < n; i++) {
		struct leg *leg = &legs[i];

		*leg->pprev = leg->next;
		if (leg->next)
			leg->next->pprev = leg->pprev;
		if (is_group)
			hop_leave_group(m, leg->hop);
		hop_put(m, leg->hop);
	}
	free(legs);
}

static bool add_leg(struct mirror *m, struct way *way, struct build *b,
		    const struct mirror_path *path)
{
	struct hop *hop = hop_get(m, path, way->spec.mtu);
	struct leg *leg;

	if (!hop)
		return false;
	for (unsigned i = 0; i < b->n; i++)
		if (b->legs[i].hop == hop) {
			b->legs[i].weight += path->weight;
			hop->n_legs--;
			return true;
		}
	leg = &b->legs[b->n++];
	*leg = (struct leg){.hop = hop, .way = way, .weight = path->weight, .next = hop->legs};
	leg->pprev = &hop->legs;
	if (leg->next)
		leg->next->pprev = &leg->next;
	hop->legs = leg;
	return true;
}

/* One leg for each distinct hop that is alive. A path that Weir does not evaluate is a hop
 * without a link, hence the kernel's. */
static enum mirror_why build_legs(struct mirror *m, struct way *way, unsigned n_paths,
				  struct build *b)
{
	unsigned n_alive = 0;

	for (unsigned i = 0; i < n_paths; i++)
		n_alive += wr_way_path_is_alive(m, way, &m->paths[i]);
	if (n_alive > MAX_LEGS)
		return WHY_TOO_MANY;
	b->legs = calloc(n_alive + 1, sizeof(*b->legs));
	if (!b->legs)
		return WHY_FULL;
	for (unsigned i = 0; i < n_paths; i++) {
		struct mirror_path path = m->paths[i];

		if (!wr_way_path_is_alive(m, way, &path))
			continue;
		if (path.why)
			path.oif = 0;
		if (!add_leg(m, way, b, &path))
			return WHY_FULL;
	}
	return WHY_NOT;
}

static bool join_hops(struct mirror *m, struct build *b)
{
	for (unsigned i = 0; i < b->n; i++)
		if (!hop_join_group(m, b->legs[i].hop)) {
			while (i--)
				hop_leave_group(m, b->legs[i].hop);
			return false;
		}
	b->is_group = true;
	return true;
}

/* `base`: the index of the group whose flows go on by this one, 0 if there is none. */
static enum mirror_why group_nexthop(struct mirror *m, const struct build *b, uint16_t base,
				     struct nexthop *nh)
{
	const struct nexthop *old = base ? m->conf.fib->nh[base] : NULL;
	unsigned n_buckets = wr_group_size(b->n);
	enum mirror_why why = WHY_NOT;

	assert(b->legs); /* a group has some */
	*nh = (struct nexthop){.type = NH_GROUP, .mtu = UINT32_MAX};
	for (unsigned i = 0; i < b->n; i++) {
		const struct hop *hop = b->legs[i].hop;
		struct nexthop member;
		enum mirror_why member_why = hop_nexthop(m, hop, &member);

		if (why == WHY_NOT)
			why = member_why;
		if (member.mtu && member.mtu < nh->mtu)
			nh->mtu = member.mtu;
		m->group[i].key = wr_mirror_mix((uint64_t)hop->oif << 32 | hop->gateway.raw);
		m->group[i].weight = b->legs[i].weight;
		m->group[i].id = hop->fib_id;
		m->members[i] = hop->fib_id;
	}
	if (old && (old->type != NH_GROUP || old->n_buckets != n_buckets))
		old = NULL;
	wr_group_fill(m->group, b->n, old ? old->buckets : NULL, m->buckets, n_buckets);
	nh->n_buckets = (uint16_t)n_buckets;
	nh->n_members = (uint16_t)b->n;
	nh->buckets = m->buckets;
	nh->members = m->members;
	return why;
}

static enum mirror_why build_way(struct mirror *m, struct way *way, struct build *b,
				 struct nexthop *nh)
{
	bool is_blackhole;
	enum mirror_why why;
	unsigned n_paths = wr_way_expand(m, way, &is_blackhole, &why);

	*nh = (struct nexthop){.type = NH_KERNEL};
	if (is_blackhole)
		nh->type = NH_BLACKHOLE;
	if (why != WHY_NOT || !n_paths)
		return why;
	why = build_legs(m, way, n_paths, b);
	if (why != WHY_NOT || !b->n)
		return why;
	if (b->n == 1) {
		why = hop_nexthop(m, b->legs[0].hop, nh);
		for (unsigned i = 0; i < n_paths; i++)
			if (m->paths[i].why)
				why = m->paths[i].why;
		return why;
	}
	return join_hops(m, b) ? WHY_NOT : WHY_FULL;
}

static void way_publish(struct mirror *m, struct way *way, uint16_t base)
{
	struct build b = {0};
	struct nexthop nh;
	bool was_group = way->n_legs > 1;
	struct leg *old_legs = way->legs;
	unsigned n_old = way->n_legs;

	way->why = (uint8_t)build_way(m, way, &b, &nh);
	way->is_starved = way->why == WHY_FULL;
	if (way->is_starved && b.legs) {
		free_legs(m, b.legs, b.n, b.is_group);
		b = (struct build){0};
	}
	if (b.is_group)
		way->why = (uint8_t)group_nexthop(m, &b, base, &nh);
	if (!publish(m, way->fib_id, &nh)) {
		/* What is published still names the old members. */
		if (b.legs)
			free_legs(m, b.legs, b.n, b.is_group);
		wr_way_dirty(m, way);
		return;
	}
	way->legs = b.legs;
	way->n_legs = (uint16_t)b.n;
	if (old_legs)
		free_legs(m, old_legs, n_old, was_group);
}

static bool way_activate(struct mirror *m, struct way *way, uint16_t base)
{
	if (way->fib_id)
		return true;
	way->fib_id = take_index(m);
	way->is_starved = !way->fib_id;
	if (!way->fib_id)
		return false;
	m->way_of[way->fib_id] = way;
	way_publish(m, way, base);
	return true;
}

static void way_deactivate(struct mirror *m, struct way *way)
{
	if (!way->fib_id)
		return;
	m->way_of[way->fib_id] = NULL;
	wr_fib_nh_release(m->conf.fib, way->fib_id);
	way->fib_id = 0;
	if (way->legs)
		free_legs(m, way->legs, way->n_legs, way->n_legs > 1);
	way->legs = NULL;
	way->n_legs = 0;
}

void wr_derive_neigh(struct mirror *m, uint32_t ifindex, struct ip4 addr)
{
	struct hop *hop = m->hops[wr_hop_bucket(ifindex, addr)];

	for (; hop; hop = hop->next) {
		if (hop->oif != ifindex || !ip4_equal(hop->gateway, addr))
			continue;
		hop_publish(m, hop);
		for (struct leg *leg = hop->legs; leg; leg = leg->next) {
			struct nexthop nh;

			if (leg->way->n_legs != 1)
				continue;
			(void)hop_nexthop(m, hop, &nh);
			(void)publish(m, leg->way->fib_id, &nh);
		}
	}
}

/*
 * Prefixes.
 */

static bool is_covered(const struct mirror *m, const struct prefix *p)
{
	uint32_t idx;

	for (unsigned len = 0; len < p->len; len++) {
		const struct prefix *cover;

		if (!m->n_cover[len])
			continue;
		cover = wr_prefix_lookup(m, p->addr & ip4_mask(len), len, &idx);
		if (cover && (cover->flags & PREFIX_COVER))
			return true;
	}
	return false;
}

static void decide_by_type(const struct route *r, struct decision *ret)
{
	switch (r->type) {
	case RTN_UNICAST:
		ret->way = r->way;
		return;
	case RTN_LOCAL:
	case RTN_BROADCAST:
	case RTN_ANYCAST:
	case RTN_MULTICAST:
		ret->value = FIB_NH_LOCAL;
		return;
	case RTN_BLACKHOLE:
		ret->value = FIB_NH_BLACKHOLE;
		return;
	case RTN_UNREACHABLE:
	case RTN_PROHIBIT:
		ret->value = FIB_NH_REJECT;
		return;
	case RTN_THROW:
		/* In table main: nothing comes after it but table default, so the kernel
		 * answers. */
		ret->value = r->flags & ROUTE_LOCAL ? FIB_NH_KERNEL : FIB_NH_REJECT;
		ret->why = r->flags & ROUTE_LOCAL ? WHY_THROW : WHY_NOT;
		return;
	default:
		ret->value = FIB_NH_KERNEL;
		ret->why = WHY_TYPE;
	}
}

static bool is_usable(const struct route *r)
{
	switch (r->type) {
	case RTN_BLACKHOLE:
	case RTN_UNREACHABLE:
	case RTN_PROHIBIT:
	case RTN_THROW:
		return !r->way->is_flushed;
	default:
		return r->way->is_usable;
	}
}

void wr_derive_decide(const struct mirror *m, const struct prefix *p, struct decision *ret)
{
	bool has_tos = false;

	*ret = (struct decision){.value = FIB_NH_NONE};
	for (uint32_t idx = p->first; idx;) {
		const struct route *r = wr_slab_at(&m->routes, idx);

		has_tos |= r->tos != 0;
		if (!ret->route && !r->tos && is_usable(r))
			ret->route = r;
		idx = r->next;
	}
	if (has_tos) {
		ret->value = FIB_NH_KERNEL;
		ret->why = WHY_TOS;
		return;
	}
	if (!ret->route)
		return;
	if (!(ret->route->flags & ROUTE_LOCAL) && is_covered(m, p)) {
		ret->value = FIB_NH_KERNEL;
		ret->why = WHY_COVERED;
		return;
	}
	decide_by_type(ret->route, ret);
}

/* Points the prefix at the decision. False: no memory, it stays as it was. */
static bool set_value(struct mirror *m, struct prefix *p, const struct decision *d)
{
	const struct prefix4 key = {.addr = ip4_from(p->addr), .len = p->len};
	struct way *old = m->way_of[p->value];
	struct way *way = d->way;
	uint16_t value = d->value;

	if (way && way_activate(m, way, p->value))
		value = way->fib_id;
	else if (way) {
		way = NULL;
		value = FIB_NH_KERNEL;
	}
	if (way)
		wr_way_idle(m, way); /* if it comes to nothing below */
	if (value == p->value)
		return true;
	if (value ? wr_fib4_set(m->conf.fib->routes, key, value)
		  : wr_fib4_del(m->conf.fib->routes, key))
		return false;
	p->value = value;
	if (way)
		way->n_used++;
	if (old) {
		old->n_used--;
		wr_way_idle(m, old);
	}
	return true;
}

static bool has_local_route(const struct mirror *m, const struct prefix *p, bool with_broadcast)
{
	for (uint32_t idx = p->first; idx;) {
		const struct route *r = wr_slab_at(&m->routes, idx);

		if ((r->flags & ROUTE_LOCAL) && !r->way->is_flushed &&
		    (r->type == RTN_LOCAL || (with_broadcast && r->type == RTN_BROADCAST)))
			return true;
		idx = r->next;
	}
	return false;
}

static void set_local(struct mirror *m, struct prefix *p)
{
	const struct ip4 addr = ip4_from(p->addr);
	bool is_local = has_local_route(m, p, true);

	if (is_local == !!(p->flags & PREFIX_LOCAL))
		return;
	p->flags ^= PREFIX_LOCAL;
	if (is_local)
		wr_fib_local_add(m->conf.fib, addr);
	else
		wr_fib_local_del(m->conf.fib, addr);
	if (m->conf.ops && m->conf.ops->local_changed)
		m->conf.ops->local_changed(m->conf.arg, addr, is_local);
}

/* A whole network that is local (127/8 aside, which the graph knows): the filter of local addresses
 * is by single ones, so each of its bits gets an address, and each source is looked up. */
static void fill_locals(struct mirror *m, bool on)
{
	uint64_t is_done[FIB_LOCALS_BITS / 64] = {0};
	unsigned n_left = FIB_LOCALS_BITS;

	for (uint32_t i = 0; n_left; i++) {
		const struct ip4 addr = {i * UINT32_C(0x01000193)};
		unsigned bit = wr_fib_local_bit(addr);

		if (is_done[bit / 64] >> (bit % 64) & 1)
			continue;
		is_done[bit / 64] |= UINT64_C(1) << (bit % 64);
		n_left--;
		if (on)
			wr_fib_local_add(m->conf.fib, addr);
		else
			wr_fib_local_del(m->conf.fib, addr);
	}
}

static void set_wide(struct mirror *m, struct prefix *p)
{
	bool is_loopback = p->len >= 8 && p->addr >> 24 == 127;
	bool is_wide = !is_loopback && has_local_route(m, p, false);

	if (is_wide == !!(p->flags & PREFIX_WIDE))
		return;
	p->flags ^= PREFIX_WIDE;
	if (is_wide && m->n_wide_locals++ == 0)
		fill_locals(m, true);
	if (!is_wide && --m->n_wide_locals == 0)
		fill_locals(m, false);
}

static void derive_prefix(struct mirror *m, uint32_t idx)
{
	struct prefix *p = wr_slab_at(&m->prefixes, idx);
	struct decision d;

	p->flags &= (uint8_t)~PREFIX_DIRTY;
	if (p->len == 32)
		set_local(m, p);
	else
		set_wide(m, p);
	wr_derive_decide(m, p, &d);
	if (!set_value(m, p, &d)) {
		wr_mirror_short(m);
		return;
	}
	if (!p->first)
		wr_prefix_free(m, idx);
}

/*
 * Covers: prefixes of table local that are shorter than an address.
 */

struct cover {
	uint32_t addr;
	uint8_t len;
};

static bool is_below_any(const struct prefix *p, const struct cover *covers, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (p->len > covers[i].len && (p->addr & ip4_mask(covers[i].len)) == covers[i].addr)
			return true;
	return false;
}

static void dirty_below(struct mirror *m, const struct cover *covers, unsigned n)
{
	for (uint32_t i = 1; i < m->prefixes.n_items; i++) {
		const struct prefix *p = wr_slab_at(&m->prefixes, i);

		if (p->len != PREFIX_FREE_LEN && (n > MAX_COVERS || is_below_any(p, covers, n)))
			wr_prefix_dirty(m, i);
	}
}

static void commit_covers(struct mirror *m)
{
	struct cover covers[MAX_COVERS];
	unsigned n = 0;

	for (uint32_t i = 0; i < m->n_dirty; i++) {
		struct prefix *p = wr_slab_at(&m->prefixes, m->dirty[i]);
		const struct route *first = p->first ? wr_slab_at(&m->routes, p->first) : NULL;
		bool is_cover = p->len < 32 && first && (first->flags & ROUTE_LOCAL);

		if (is_cover == !!(p->flags & PREFIX_COVER))
			continue;
		p->flags ^= PREFIX_COVER;
		m->n_cover[p->len] += is_cover ? 1 : -1;
		if (n < MAX_COVERS)
			covers[n] = (struct cover){p->addr, p->len};
		n++;
	}
	if (n)
		dirty_below(m, covers, n);
}

/*
 * The commit.
 */

static void commit_links(struct mirror *m)
{
	for (unsigned i = 0; i < HOP_BUCKETS; i++)
		for (struct hop *hop = m->hops[i]; hop; hop = hop->next) {
			const struct link *link = wr_link_lookup(m, hop->oif);

			if (!link || link->is_dirty)
				hop_publish(m, hop);
		}
	for (unsigned i = 0; i < LINK_BUCKETS; i++)
		for (struct link *link = m->links[i]; link; link = link->next) {
			if (!link->is_dirty || !link->is_known)
				continue;
			if (link->pub.port_idx >= 0) {
				wr_neigh_link_changed(m, link);
				wr_transit_port(m, link);
			}
		}
}

static bool is_touched(struct mirror *m, const struct way *way)
{
	enum mirror_why why;
	bool is_blackhole;
	unsigned n;

	if (way->spec.nh_id) {
		const struct object *o = wr_object_lookup(m, way->spec.nh_id);

		if (!o || o->is_dirty)
			return true;
		for (uint32_t i = 0; i < o->n_members; i++) {
			const struct object *member = wr_object_lookup(m, o->members[i].id);

			if (!member || member->is_dirty)
				return true;
		}
	}
	n = wr_way_expand(m, way, &is_blackhole, &why);
	for (unsigned i = 0; i < n; i++) {
		const struct link *link = wr_link_lookup(m, m->paths[i].oif);

		if (!link || link->is_dirty)
			return true;
	}
	return false;
}

static void clear_dirty(struct mirror *m)
{
	for (unsigned i = 0; i < LINK_BUCKETS && m->are_links_dirty; i++)
		for (struct link *link = m->links[i]; link; link = link->next)
			link->is_dirty = false;
	for (unsigned i = 0; i < OBJECT_BUCKETS && m->are_objects_dirty; i++)
		for (struct object *o = m->objects[i]; o; o = o->next)
			o->is_dirty = false;
	m->are_links_dirty = false;
	m->are_objects_dirty = false;
}

static void commit_way(struct mirror *m, struct way *way)
{
	bool is_usable_now = wr_way_usable(m, way);

	way->is_dirty = false;
	if (way->is_usable != is_usable_now) {
		way->is_usable = is_usable_now;
		way->is_flipped = true;
		m->must_scan = true;
	}
	if (way->fib_id)
		way_publish(m, way, way->fib_id);
}

static void commit_ways(struct mirror *m)
{
	if (m->are_links_dirty || m->are_objects_dirty)
		for (struct way *way = m->all_ways; way; way = way->next_all)
			if (!way->is_dirty && is_touched(m, way))
				wr_way_dirty(m, way);
	clear_dirty(m);
	if (!m->are_ways_dirty)
		return;
	m->are_ways_dirty = false;
	for (struct way *way = m->all_ways; way; way = way->next_all)
		if (way->is_dirty)
			commit_way(m, way);
}

static void commit_scan(struct mirror *m)
{
	if (!m->must_scan)
		return;
	m->must_scan = false;
	wr_route_scan(m, false);
	for (struct way *way = m->all_ways; way; way = way->next_all)
		way->is_flipped = false;
}

/* What no prefix points at any more leaves the fib; what no route has is freed. */
static void commit_idle(struct mirror *m)
{
	struct way *way = m->idle_ways;

	m->idle_ways = NULL;
	while (way) {
		struct way *next = way->next_idle;

		way->is_idle = false;
		if (!way->n_used)
			way_deactivate(m, way);
		if (!way->n_used && !way->n_routes)
			wr_way_free(m, way);
		way = next;
	}
}

void wr_derive_commit(struct mirror *m)
{
	if (m->are_links_dirty)
		commit_links(m);
	commit_ways(m);
	commit_scan(m);
	commit_covers(m);
	for (uint32_t i = 0; i < m->n_dirty; i++)
		derive_prefix(m, m->dirty[i]);
	m->n_dirty = 0;
	commit_idle(m);
	wr_rcu_flush(m->conf.rcu);
}

/* The fib stays as it is: its owner frees it, or goes on with it. */
void wr_derive_fini(struct mirror *m)
{
	for (unsigned i = 0; i < HOP_BUCKETS; i++)
		while (m->hops[i]) {
			struct hop *hop = m->hops[i];

			m->hops[i] = hop->next;
			free(hop);
		}
}
