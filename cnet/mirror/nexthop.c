/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Next-hop objects, single ones and groups, as FRR writes them.
 *
 * When an object goes, the kernel takes it out of its groups, removes the groups that are empty
 * then, and with each the routes by it; all that it tells is the one DELNEXTHOP, or nothing if the
 * link went down.
 */
#include "cnet/mirror/mirror_private.h"

#include <errno.h>
#include <linux/nexthop.h>
#include <stdlib.h>
#include <string.h>

enum {
	H_ID,
	H_GROUP,
	H_GROUP_TYPE,
	H_BLACKHOLE,
	H_OIF,
	H_GATEWAY,
	H_ENCAP_TYPE,
	H_FDB,
	H_RES_GROUP,
	H_N
};

static const struct nl_want want[H_N] = {
	[H_ID] = {NHA_ID, 4},
	[H_GROUP] = {NHA_GROUP, sizeof(struct nexthop_grp)},
	[H_GROUP_TYPE] = {NHA_GROUP_TYPE, 2},
	[H_BLACKHOLE] = {NHA_BLACKHOLE, 0},
	[H_OIF] = {NHA_OIF, 4},
	[H_GATEWAY] = {NHA_GATEWAY, 4},
	[H_ENCAP_TYPE] = {NHA_ENCAP_TYPE, 2},
	[H_FDB] = {NHA_FDB, 0},
	[H_RES_GROUP] = {NHA_RES_GROUP, 0},
};

static struct object **slot(struct mirror *m, uint32_t id)
{
	struct object **at = &m->objects[wr_mirror_mix(id) % OBJECT_BUCKETS];

	while (*at && (*at)->id != id)
		at = &(*at)->next;
	return at;
}

struct object *wr_object_lookup(const struct mirror *m, uint32_t id)
{
	struct object *o = m->objects[wr_mirror_mix(id) % OBJECT_BUCKETS];

	while (o && o->id != id)
		o = o->next;
	return o;
}

static void list_group(struct mirror *m, struct object *o)
{
	o->next_group = m->groups;
	o->pprev_group = &m->groups;
	if (m->groups)
		m->groups->pprev_group = &o->next_group;
	m->groups = o;
}

static void unlist_group(struct object *o)
{
	*o->pprev_group = o->next_group;
	if (o->next_group)
		o->next_group->pprev_group = o->pprev_group;
}

static void set_dirty(struct mirror *m, struct object *o)
{
	o->is_dirty = true;
	m->are_objects_dirty = true;
}

static void drop_member(struct object *group, uint32_t id)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < group->n_members; i++)
		if (group->members[i].id != id)
			group->members[n++] = group->members[i];
	group->n_members = n;
}

static bool has_member(const struct object *group, uint32_t id)
{
	for (uint32_t i = 0; i < group->n_members; i++)
		if (group->members[i].id == id)
			return true;
	return false;
}

static void remove_one(struct mirror *m, uint32_t id)
{
	struct object **at = slot(m, id);
	struct object *o = *at;

	if (!o)
		return;
	*at = o->next;
	if (o->is_group)
		unlist_group(o);
	wr_way_flush_object(m, id);
	free(o->members);
	free(o);
	m->stats.n_nexthops--;
}

/* A group is never a member, so this ends after one level. */
static void remove_object(struct mirror *m, uint32_t id)
{
	struct object *group;

	remove_one(m, id);
	group = m->groups;
	while (group) {
		struct object *next = group->next_group;

		if (has_member(group, id)) {
			drop_member(group, id);
			set_dirty(m, group);
			if (!group->n_members)
				remove_one(m, group->id);
		}
		group = next;
	}
}

static int parse_members(const struct nlattr *a, struct object *o)
{
	size_t n = wr_nl_len(a) / sizeof(struct nexthop_grp);

	if (wr_nl_len(a) % sizeof(struct nexthop_grp))
		return -EBADMSG;
	o->members = calloc(n, sizeof(*o->members));
	if (!o->members)
		return -ENOMEM;
	o->n_members = (uint32_t)n;
	o->is_group = true;
	for (size_t i = 0; i < n; i++) {
		const uint8_t *g = (const uint8_t *)wr_nl_data(a) + i * sizeof(struct nexthop_grp);

		/* Byte 5 is the weight's high byte since 6.12, 0 before; headers call it
		 * differently. */
		memcpy(&o->members[i].id, g, sizeof(o->members[i].id));
		o->members[i].weight = (uint16_t)((g[4] | g[5] << 8) + 1);
	}
	return 0;
}

static enum mirror_why why_not(const struct nhmsg *nhm, const struct nlattr *const *a)
{
	if (a[H_FDB] || a[H_RES_GROUP] || (a[H_GROUP_TYPE] && wr_nl_u16(a[H_GROUP_TYPE]) != 0))
		return WHY_OBJECT_KIND;
	if (a[H_ENCAP_TYPE])
		return WHY_ENCAP;
	if (a[H_GATEWAY] && (nhm->nh_family != AF_INET || wr_nl_len(a[H_GATEWAY]) != 4))
		return WHY_VIA;
	return WHY_NOT;
}

static int parse_object(const struct nhmsg *nhm, const struct nlattr *const *a, struct object *o)
{
	o->id = wr_nl_u32(a[H_ID]);
	o->why = why_not(nhm, a);
	o->is_blackhole = a[H_BLACKHOLE];
	o->flags = nhm->nh_flags & RTNH_F_ONLINK;
	if (a[H_OIF])
		o->oif = wr_nl_u32(a[H_OIF]);
	if (a[H_GATEWAY] && o->why == WHY_NOT)
		o->gateway = wr_nl_ip4(a[H_GATEWAY]);
	return a[H_GROUP] ? parse_members(a[H_GROUP], o) : 0;
}

static bool is_same(const struct object *a, const struct object *b)
{
	if (a->why != b->why || a->is_group != b->is_group || a->is_blackhole != b->is_blackhole ||
	    a->flags != b->flags || a->oif != b->oif || !ip4_equal(a->gateway, b->gateway) ||
	    a->n_members != b->n_members)
		return false;
	for (uint32_t i = 0; i < a->n_members; i++)
		if (a->members[i].id != b->members[i].id ||
		    a->members[i].weight != b->members[i].weight)
			return false;
	return true;
}

/* Takes over what `o` holds. */
static void put_object(struct mirror *m, struct object *o)
{
	struct object **at = slot(m, o->id);
	struct object *old = *at;
	struct object *next = NULL;

	if (old) {
		if (is_same(old, o)) {
			old->gen = m->gen;
			free(o->members);
			free(o);
			return;
		}
		next = old->next;
		if (old->is_group)
			unlist_group(old);
		free(old->members);
		free(old);
	} else {
		m->stats.n_nexthops++;
	}
	o->next = next;
	*at = o;
	if (o->is_group)
		list_group(m, o);
	set_dirty(m, o);
	wr_mirror_mended(m);
}

static int new_object(struct mirror *m, const struct nhmsg *nhm, const struct nlattr *const *a)
{
	struct object *o = calloc(1, sizeof(*o));
	int err = o ? parse_object(nhm, a, o) : -ENOMEM;

	if (err) {
		free(o);
		if (err != -ENOMEM)
			return err;
		wr_mirror_short(m);
		return 0;
	}
	o->gen = m->gen;
	put_object(m, o);
	return 0;
}

int wr_nexthop_message(struct mirror *m, const struct nlmsghdr *h)
{
	const struct nlattr *a[H_N];
	struct nhmsg nhm;
	const void *attrs;
	size_t len;
	int err = wr_nl_body(h, sizeof(nhm), &attrs, &len);

	if (!err)
		err = wr_nl_attrs(attrs, len, want, H_N, a);
	if (err)
		return err;
	if (!a[H_ID] || !wr_nl_u32(a[H_ID]))
		return -EBADMSG;
	memcpy(&nhm, wr_nl_head(h), sizeof(nhm));
	if (h->nlmsg_type == RTM_NEWNEXTHOP)
		return new_object(m, &nhm, a);
	remove_object(m, wr_nl_u32(a[H_ID]));
	return 0;
}

static void remove_where(struct mirror *m,
			 bool (*is_over)(const struct mirror *, const struct object *, uint32_t),
			 uint32_t ifindex)
{
	for (unsigned i = 0; i < OBJECT_BUCKETS; i++) {
		struct object *o = m->objects[i];

		while (o) {
			if (!is_over(m, o, ifindex)) {
				o = o->next;
				continue;
			}
			/* That may take other objects out of this bucket, too: from its start. */
			remove_object(m, o->id);
			o = m->objects[i];
		}
	}
}

static bool is_of_link(const struct mirror *m, const struct object *o, uint32_t ifindex)
{
	(void)m;
	return !o->is_group && o->oif == ifindex;
}

static bool is_old(const struct mirror *m, const struct object *o, uint32_t ifindex)
{
	(void)ifindex;
	return o->gen != m->gen;
}

void wr_nexthop_link_gone(struct mirror *m, uint32_t ifindex)
{
	remove_where(m, is_of_link, ifindex);
}

void wr_nexthop_sweep(struct mirror *m)
{
	remove_where(m, is_old, 0);
}

void wr_nexthop_fini(struct mirror *m)
{
	for (unsigned i = 0; i < OBJECT_BUCKETS; i++)
		while (m->objects[i]) {
			struct object *o = m->objects[i];

			m->objects[i] = o->next;
			free(o->members);
			free(o);
		}
}
