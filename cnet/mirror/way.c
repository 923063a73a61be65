/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ways: what routes have in common.
 *
 * A path is dead while the kernel says so: it says it in messages about routes, and in silence when
 * a link goes down or up or loses its last address. The second is done here as the kernel does it
 * (fib_sync_down_dev(), fib_sync_up(), fib_sync_down_addr()), so that a way is usable exactly when
 * the kernel would use it.
 */
#include "cnet/mirror/mirror_private.h"

#include <linux/if.h>
#include <stdlib.h>
#include <string.h>

/* Ways by an object are hashed by it alone: what becomes of the object concerns all of them. */
static unsigned bucket_of(const struct way_spec *spec)
{
	uint64_t h;

	if (spec->nh_id)
		return wr_mirror_mix(spec->nh_id) % WAY_BUCKETS;
	h = (uint64_t)spec->prefsrc.raw << 32 | spec->mtu;
	for (unsigned i = 0; i < spec->n_paths; i++) {
		const struct mirror_path *p = &spec->paths[i];

		h = wr_mirror_mix(h ^ ((uint64_t)p->gateway.raw << 32 | p->oif)) + p->weight;
	}
	return wr_mirror_mix(h) % WAY_BUCKETS;
}

static bool is_same_path(const struct mirror_path *a, const struct mirror_path *b)
{
	return ip4_equal(a->gateway, b->gateway) && a->oif == b->oif && a->weight == b->weight &&
	       a->why == b->why && !((a->flags ^ b->flags) & RTNH_F_ONLINK);
}

bool wr_way_is(const struct way *way, const struct way_spec *spec)
{
	const struct way_spec *s = &way->spec;

	if (s->nh_id != spec->nh_id || s->mtu != spec->mtu ||
	    !ip4_equal(s->prefsrc, spec->prefsrc) || s->scope != spec->scope ||
	    s->n_paths != spec->n_paths)
		return false;
	for (unsigned i = 0; i < s->n_paths; i++)
		if (!is_same_path(&s->paths[i], &spec->paths[i]))
			return false;
	return true;
}

static struct way *create(struct mirror *m, const struct way_spec *spec)
{
	size_t paths_bytes = spec->n_paths * sizeof(*spec->paths);
	struct way *way = calloc(1, sizeof(*way) + paths_bytes);
	struct way **bucket = &m->ways[bucket_of(spec)];

	if (!way)
		return NULL;
	way->spec = *spec;
	way->spec.paths = (struct mirror_path *)(way + 1);
	if (paths_bytes)
		memcpy(way->spec.paths, spec->paths, paths_bytes);
	way->next = *bucket;
	*bucket = way;
	way->next_all = m->all_ways;
	way->pprev_all = &m->all_ways;
	if (m->all_ways)
		m->all_ways->pprev_all = &way->next_all;
	m->all_ways = way;
	way->is_usable = wr_way_usable(m, way);
	return way;
}

static void unhash(struct mirror *m, const struct way *way)
{
	struct way **at = &m->ways[bucket_of(&way->spec)];

	while (*at != way)
		at = &(*at)->next;
	*at = way->next;
}

struct way *wr_way_get(struct mirror *m, const struct way_spec *spec)
{
	struct way *way = m->ways[bucket_of(spec)];

	while (way && !wr_way_is(way, spec))
		way = way->next;
	if (way)
		wr_way_note_flags(m, way, spec);
	else
		way = create(m, spec);
	if (way)
		way->n_routes++;
	return way;
}

void wr_way_put(struct mirror *m, struct way *way)
{
	way->n_routes--;
	wr_way_idle(m, way);
}

/* The commit looks at it again when all routes have been brought in line. */
void wr_way_idle(struct mirror *m, struct way *way)
{
	if (way->is_idle)
		return;
	way->is_idle = true;
	way->next_idle = m->idle_ways;
	m->idle_ways = way;
}

void wr_way_free(struct mirror *m, struct way *way)
{
	if (!way->is_flushed)
		unhash(m, way);
	*way->pprev_all = way->next_all;
	if (way->next_all)
		way->next_all->pprev_all = way->pprev_all;
	free(way);
}

void wr_way_dirty(struct mirror *m, struct way *way)
{
	way->is_dirty = true;
	m->are_ways_dirty = true;
}

/* Where routes through links without carrier are out of use, the kernel reports their paths as
 * dead as well. */
static uint8_t dead_flag(const struct mirror *m, const struct mirror_path *reported)
{
	const struct link *link;

	if (!(reported->flags & RTNH_F_DEAD))
		return 0;
	link = wr_link_lookup(m, reported->oif);
	if (link && (link->pub.flags & IFF_UP) && wr_link_is_ignored(link))
		return 0;
	return RTNH_F_DEAD;
}

void wr_way_note_flags(struct mirror *m, struct way *way, const struct way_spec *spec)
{
	for (unsigned i = 0; i < way->spec.n_paths; i++) {
		struct mirror_path *path = &way->spec.paths[i];
		uint8_t dead = dead_flag(m, &spec->paths[i]);

		if ((path->flags & RTNH_F_DEAD) == dead)
			continue;
		path->flags = (uint8_t)((path->flags & ~RTNH_F_DEAD) | dead);
		wr_way_dirty(m, way);
	}
}

void wr_way_flush(struct mirror *m, struct way *way)
{
	if (way->is_flushed)
		return;
	unhash(m, way);
	way->is_flushed = true;
	wr_way_dirty(m, way);
	m->must_scan = true;
	wr_mirror_schedule(m);
}

void wr_way_flush_object(struct mirror *m, uint32_t nh_id)
{
	struct way *way = m->ways[wr_mirror_mix(nh_id) % WAY_BUCKETS];

	while (way) {
		struct way *next = way->next;

		if (way->spec.nh_id == nh_id)
			wr_way_flush(m, way);
		way = next;
	}
}

void wr_way_flush_prefsrc(struct mirror *m, struct ip4 addr)
{
	for (struct way *way = m->all_ways; way; way = way->next_all)
		if (ip4_equal(way->spec.prefsrc, addr))
			wr_way_flush(m, way);
}

static void path_down(struct mirror *m, struct way *way, struct mirror_path *path,
		      enum way_down how)
{
	/* Next hops of local addresses (scope host) outlive the link's being down. */
	if (how == WAY_LINK_DOWN && way->spec.scope == RT_SCOPE_HOST)
		return;
	if (path->flags & RTNH_F_DEAD)
		return;
	path->flags |= RTNH_F_DEAD;
	wr_way_dirty(m, way);
}

static void way_down(struct mirror *m, struct way *way, uint32_t ifindex, enum way_down how)
{
	unsigned n_dead = 0;
	bool is_through = false;

	for (unsigned i = 0; i < way->spec.n_paths; i++) {
		struct mirror_path *path = &way->spec.paths[i];

		if (path->oif == ifindex) {
			is_through = true;
			path_down(m, way, path, how);
		}
		n_dead += !!(path->flags & RTNH_F_DEAD);
	}
	if (is_through && (n_dead == way->spec.n_paths || how == WAY_LINK_GONE))
		wr_way_flush(m, way);
}

void wr_way_link_down(struct mirror *m, uint32_t ifindex, enum way_down how)
{
	for (struct way *way = m->all_ways; way; way = way->next_all)
		if (!way->is_flushed)
			way_down(m, way, ifindex, how);
}

void wr_way_link_up(struct mirror *m, uint32_t ifindex)
{
	for (struct way *way = m->all_ways; way; way = way->next_all)
		for (unsigned i = 0; i < way->spec.n_paths; i++) {
			struct mirror_path *path = &way->spec.paths[i];

			if (path->oif != ifindex || !(path->flags & RTNH_F_DEAD))
				continue;
			path->flags &= (uint8_t)~RTNH_F_DEAD;
			wr_way_dirty(m, way);
		}
}

static struct mirror_path path_of_object(const struct object *o, uint16_t weight)
{
	return (struct mirror_path){.gateway = o->gateway,
				    .oif = o->oif,
				    .weight = weight,
				    .flags = o->flags,
				    .why = o->why};
}

/* A group may have a blackhole as its only member. */
static bool is_blackhole(const struct mirror *m, const struct object *o)
{
	if (o->is_group && o->n_members == 1)
		o = wr_object_lookup(m, o->members[0].id);
	return o && o->is_blackhole;
}

static unsigned expand_group(struct mirror *m, const struct object *group, enum mirror_why *ret_why)
{
	unsigned n = 0;

	for (unsigned i = 0; i < group->n_members && n < MAX_PATHS; i++) {
		const struct object *o = wr_object_lookup(m, group->members[i].id);

		if (!o || o->is_group || o->is_blackhole) {
			*ret_why = o ? WHY_OBJECT_KIND : WHY_NO_OBJECT;
			continue;
		}
		m->paths[n++] = path_of_object(o, group->members[i].weight);
	}
	return n;
}

unsigned wr_way_expand(struct mirror *m, const struct way *way, bool *ret_is_blackhole,
		       enum mirror_why *ret_why)
{
	const struct way_spec *spec = &way->spec;
	const struct object *o;

	*ret_is_blackhole = false;
	*ret_why = WHY_NOT;
	if (!spec->nh_id) {
		if (spec->n_paths)
			memcpy(m->paths, spec->paths, spec->n_paths * sizeof(*m->paths));
		return spec->n_paths;
	}
	o = wr_object_lookup(m, spec->nh_id);
	if (!o) {
		*ret_why = WHY_NO_OBJECT;
		return 0;
	}
	*ret_is_blackhole = is_blackhole(m, o);
	if (*ret_is_blackhole)
		return 0;
	if (o->is_group) {
		*ret_why = o->why;
		return expand_group(m, o, ret_why);
	}
	m->paths[0] = path_of_object(o, 1);
	return 1;
}

bool wr_way_path_is_alive(const struct mirror *m, const struct way *way,
			  const struct mirror_path *path)
{
	const struct link *link;

	if (path->flags & RTNH_F_DEAD)
		return false;
	/* Local addresses are local with and without a carrier. */
	if (way->spec.scope == RT_SCOPE_HOST)
		return true;
	link = wr_link_lookup(m, path->oif);
	return !link || !wr_link_is_ignored(link);
}

bool wr_way_usable(struct mirror *m, const struct way *way)
{
	enum mirror_why why;
	bool is_blackhole;
	unsigned n;

	if (way->is_flushed)
		return false;
	n = wr_way_expand(m, way, &is_blackhole, &why);
	if (!n)
		return true; /* nothing to be dead: a blackhole, or only the kernel can judge */
	for (unsigned i = 0; i < n; i++)
		if (wr_way_path_is_alive(m, way, &m->paths[i]))
			return true;
	return false;
}
