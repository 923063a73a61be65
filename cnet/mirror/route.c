/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Routes: each prefix's list, in the order in which the kernel would try them.
 *
 * Sorted by table (local before main), TOS (high before low) and metric (low before high). Several
 * routes may agree in all three; then a new one goes first, or last (append), or takes the place of
 * the first (replace), as the event's flags say. A dump tells them in order. While the events that
 * came during a dump are replayed, a route that is there already is moved to where its event would
 * have put it: at the end the order is the kernel's.
 */
#include "cnet/mirror/mirror_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	R_DST,
	R_OIF,
	R_GATEWAY,
	R_PRIORITY,
	R_PREFSRC,
	R_METRICS,
	R_MULTIPATH,
	R_TABLE,
	R_VIA,
	R_ENCAP_TYPE,
	R_NH_ID,
	R_N
};

static const struct nl_want want[R_N] = {
	[R_DST] = {RTA_DST, 4},
	[R_OIF] = {RTA_OIF, 4},
	[R_GATEWAY] = {RTA_GATEWAY, 4},
	[R_PRIORITY] = {RTA_PRIORITY, 4},
	[R_PREFSRC] = {RTA_PREFSRC, 4},
	[R_METRICS] = {RTA_METRICS, 0},
	[R_MULTIPATH] = {RTA_MULTIPATH, 0},
	[R_TABLE] = {RTA_TABLE, 4},
	[R_VIA] = {RTA_VIA, 2},
	[R_ENCAP_TYPE] = {RTA_ENCAP_TYPE, 2},
	[R_NH_ID] = {RTA_NH_ID, 4},
};

enum { P_GATEWAY, P_VIA, P_ENCAP_TYPE, P_N };

static const struct nl_want path_want[P_N] = {
	[P_GATEWAY] = {RTA_GATEWAY, 4},
	[P_VIA] = {RTA_VIA, 2},
	[P_ENCAP_TYPE] = {RTA_ENCAP_TYPE, 2},
};

static const struct nl_want metric_want[] = {{RTAX_MTU, 4}};

enum { KEPT_FLAGS = RTNH_F_DEAD | RTNH_F_ONLINK };

/*
 * Reading.
 */

static enum mirror_why why_of(const struct nlattr *via, const struct nlattr *encap)
{
	if (encap)
		return WHY_ENCAP;
	return via ? WHY_VIA : WHY_NOT;
}

static int parse_path(const struct rtnexthop *nh, const char *attrs, size_t len,
		      struct mirror_path *path)
{
	const struct nlattr *a[P_N];
	int err = wr_nl_attrs(attrs, len, path_want, P_N, a);

	if (err)
		return err;
	*path = (struct mirror_path){
		.oif = (uint32_t)nh->rtnh_ifindex,
		.weight = (uint16_t)(nh->rtnh_hops + 1),
		.flags = nh->rtnh_flags & KEPT_FLAGS,
		.why = (uint8_t)why_of(a[P_VIA], a[P_ENCAP_TYPE]),
	};
	if (a[P_GATEWAY])
		path->gateway = wr_nl_ip4(a[P_GATEWAY]);
	return 0;
}

static int parse_multipath(const struct nlattr *a, struct way_spec *spec)
{
	const char *at = wr_nl_data(a);
	size_t len = wr_nl_len(a);

	while (len >= sizeof(struct rtnexthop)) {
		struct rtnexthop nh;
		size_t step;
		int err;

		memcpy(&nh, at, sizeof(nh));
		if (nh.rtnh_len < sizeof(nh) || nh.rtnh_len > len || spec->n_paths == MAX_PATHS)
			return -EBADMSG;
		err = parse_path(&nh, at + sizeof(nh), nh.rtnh_len - sizeof(nh),
				 &spec->paths[spec->n_paths]);
		if (err)
			return err;
		spec->n_paths++;
		step = RTNH_ALIGN((size_t)nh.rtnh_len);
		if (step >= len)
			return 0;
		at += step;
		len -= step;
	}
	return len ? -EBADMSG : 0;
}

static int parse_paths(const struct rtmsg *rtm, const struct nlattr *const *a,
		       struct way_spec *spec)
{
	struct mirror_path *path = &spec->paths[0];

	if (a[R_MULTIPATH])
		return parse_multipath(a[R_MULTIPATH], spec);
	if (!a[R_OIF] && !a[R_GATEWAY] && !a[R_VIA])
		return 0;
	*path = (struct mirror_path){
		.oif = a[R_OIF] ? wr_nl_u32(a[R_OIF]) : 0,
		.weight = 1,
		.flags = rtm->rtm_flags & KEPT_FLAGS,
		.why = (uint8_t)why_of(a[R_VIA], a[R_ENCAP_TYPE]),
	};
	if (a[R_GATEWAY])
		path->gateway = wr_nl_ip4(a[R_GATEWAY]);
	spec->n_paths = 1;
	return 0;
}

static int parse_spec(const struct rtmsg *rtm, const struct nlattr *const *a, struct way_spec *spec)
{
	const struct nlattr *mtu = NULL;

	spec->scope = rtm->rtm_scope;
	if (a[R_PREFSRC])
		spec->prefsrc = wr_nl_ip4(a[R_PREFSRC]);
	if (a[R_METRICS]) {
		int err = wr_nl_attrs(wr_nl_data(a[R_METRICS]), wr_nl_len(a[R_METRICS]),
				      metric_want, 1, &mtu);

		if (err)
			return err;
		if (mtu)
			spec->mtu = wr_nl_u32(mtu);
	}
	if (a[R_NH_ID])
		spec->nh_id = wr_nl_u32(a[R_NH_ID]);
	return spec->nh_id ? 0 : parse_paths(rtm, a, spec);
}

static int parse_key(const struct rtmsg *rtm, const struct nlattr *const *a, struct route_key *key)
{
	*key = (struct route_key){
		.len = rtm->rtm_dst_len,
		.type = rtm->rtm_type,
		.protocol = rtm->rtm_protocol,
		.tos = rtm->rtm_tos,
		.addr = a[R_DST] ? be32toh(wr_nl_u32(a[R_DST])) : 0,
		.priority = a[R_PRIORITY] ? wr_nl_u32(a[R_PRIORITY]) : 0,
	};
	/* By a blackhole object: that is for the object to say, which may be replaced. */
	if (a[R_NH_ID] && key->type == RTN_BLACKHOLE)
		key->type = RTN_UNICAST;
	if (key->len > 32 || (key->addr & ~ip4_mask(key->len)) || rtm->rtm_src_len)
		return -EBADMSG;
	return 0;
}

/*
 * Prefixes.
 */

static uint32_t prefix_bucket(const struct mirror *m, uint32_t addr, unsigned len)
{
	return (uint32_t)wr_mirror_mix((uint64_t)len << 32 | addr) & (m->n_prefix_heads - 1);
}

struct prefix *wr_prefix_lookup(const struct mirror *m, uint32_t addr, unsigned len,
				uint32_t *ret_idx)
{
	uint32_t idx;

	if (!m->n_prefix_heads)
		return NULL;
	idx = m->prefix_heads[prefix_bucket(m, addr, len)];
	while (idx) {
		struct prefix *p = wr_slab_at(&m->prefixes, idx);

		if (p->addr == addr && p->len == len) {
			*ret_idx = idx;
			return p;
		}
		idx = p->next;
	}
	return NULL;
}

static void hash_prefix(struct mirror *m, uint32_t idx)
{
	struct prefix *p = wr_slab_at(&m->prefixes, idx);
	uint32_t *head = &m->prefix_heads[prefix_bucket(m, p->addr, p->len)];

	p->next = *head;
	*head = idx;
}

static bool grow_heads(struct mirror *m)
{
	uint32_t n = m->n_prefix_heads ? m->n_prefix_heads * 2 : 4096;
	uint32_t *heads = calloc(n, sizeof(*heads));

	if (!heads)
		return m->n_prefix_heads; /* longer chains will do */
	free(m->prefix_heads);
	m->prefix_heads = heads;
	m->n_prefix_heads = n;
	for (uint32_t i = 1; i < m->prefixes.n_items; i++)
		if (((struct prefix *)wr_slab_at(&m->prefixes, i))->len != PREFIX_FREE_LEN)
			hash_prefix(m, i);
	return true;
}

static struct prefix *create_prefix(struct mirror *m, uint32_t addr, unsigned len,
				    uint32_t *ret_idx)
{
	struct prefix *p;
	uint32_t idx;

	if (m->n_prefixes >= m->n_prefix_heads && !grow_heads(m))
		return NULL;
	idx = wr_slab_alloc(&m->prefixes);
	if (!idx)
		return NULL;
	p = wr_slab_at(&m->prefixes, idx);
	p->addr = addr;
	p->len = (uint8_t)len;
	hash_prefix(m, idx);
	m->n_prefixes++;
	m->n_of_len[len]++;
	*ret_idx = idx;
	return p;
}

void wr_prefix_free(struct mirror *m, uint32_t prefix_idx)
{
	const struct prefix *p = wr_slab_at(&m->prefixes, prefix_idx);
	uint32_t *at = &m->prefix_heads[prefix_bucket(m, p->addr, p->len)];

	while (*at != prefix_idx)
		at = &((struct prefix *)wr_slab_at(&m->prefixes, *at))->next;
	*at = p->next;
	m->n_prefixes--;
	m->n_of_len[p->len]--;
	wr_slab_free(&m->prefixes, prefix_idx);
}

void wr_prefix_dirty(struct mirror *m, uint32_t prefix_idx)
{
	struct prefix *p = wr_slab_at(&m->prefixes, prefix_idx);

	if (p->flags & PREFIX_DIRTY)
		return;
	if (m->n_dirty == m->max_dirty) {
		uint32_t max = m->max_dirty ? m->max_dirty * 2 : 1024;
		uint32_t *dirty = realloc(m->dirty, max * sizeof(*dirty));

		if (!dirty) {
			wr_mirror_short(m);
			return;
		}
		m->dirty = dirty;
		m->max_dirty = max;
	}
	p->flags |= PREFIX_DIRTY;
	m->dirty[m->n_dirty++] = prefix_idx;
}

/*
 * The list.
 */

static struct route *route_at(const struct mirror *m, uint32_t idx)
{
	return wr_slab_at(&m->routes, idx);
}

static uint8_t gen_of(const struct mirror *m)
{
	return m->gen & 0xf;
}

/* Below 0: the route comes before one with this key; 0: same key. */
static int order(const struct route *r, const struct route_key *key)
{
	bool is_local = r->flags & ROUTE_LOCAL;

	if (is_local != key->is_local)
		return is_local ? -1 : 1;
	if (r->tos != key->tos)
		return r->tos > key->tos ? -1 : 1;
	if (r->priority != key->priority)
		return r->priority < key->priority ? -1 : 1;
	return 0;
}

static void drop(struct mirror *m, uint32_t *at)
{
	uint32_t idx = *at;
	struct route *r = route_at(m, idx);

	*at = r->next;
	wr_way_put(m, r->way);
	wr_slab_free(&m->routes, idx);
	m->stats.n_routes--;
}

/* Routes whose way was flushed are no longer the kernel's. */
static bool purge(struct mirror *m, struct prefix *p)
{
	uint32_t *at = &p->first;
	bool is_changed = false;

	while (*at) {
		struct route *r = route_at(m, *at);

		if (r->way->is_flushed) {
			drop(m, at);
			is_changed = true;
		} else {
			at = &r->next;
		}
	}
	return is_changed;
}

static uint32_t *find_same(const struct mirror *m, struct prefix *p, const struct route_key *key,
			   const struct way_spec *spec)
{
	uint32_t *at = &p->first;

	while (*at) {
		struct route *r = route_at(m, *at);

		if (!order(r, key) && r->type == key->type && r->protocol == key->protocol &&
		    wr_way_is(r->way, spec))
			return at;
		at = &r->next;
	}
	return NULL;
}

/* Where the first route with the key is, or would be; and the slot behind the last one. */
static uint32_t *find_place(const struct mirror *m, struct prefix *p, const struct route_key *key,
			    bool is_last)
{
	uint32_t *at = &p->first;

	while (*at) {
		struct route *r = route_at(m, *at);
		int o = order(r, key);

		if (o > 0 || (o == 0 && !is_last))
			break;
		at = &r->next;
	}
	return at;
}

static bool is_alone(const struct mirror *m, struct prefix *p, const struct route_key *key)
{
	const uint32_t *first = find_place(m, p, key, false);
	uint32_t second = *first ? route_at(m, *first)->next : 0;

	return !second || order(route_at(m, second), key);
}

static void insert(struct mirror *m, struct prefix *p, const struct route_key *key, uint32_t idx,
		   uint16_t nl_flags)
{
	bool is_last = m->is_dumping || (nl_flags & NLM_F_APPEND);
	bool is_replace = !m->is_dumping && (nl_flags & NLM_F_REPLACE);
	uint32_t *at = find_place(m, p, key, is_last && !is_replace);
	struct route *r = route_at(m, idx);

	if (is_replace && *at && !order(route_at(m, *at), key)) {
		drop(m, at);
		if (m->is_replaying)
			r->flags |= ROUTE_REPLACED;
	}
	r->next = *at;
	*at = idx;
}

static uint32_t create_route(struct mirror *m, const struct route_key *key,
			     const struct way_spec *spec)
{
	uint32_t idx = wr_slab_alloc(&m->routes);
	struct route *r;

	if (!idx)
		return 0;
	r = route_at(m, idx);
	r->way = wr_way_get(m, spec);
	if (!r->way) {
		wr_slab_free(&m->routes, idx);
		return 0;
	}
	r->priority = key->priority;
	r->type = key->type;
	r->protocol = key->protocol;
	r->tos = key->tos;
	r->flags = key->is_local ? ROUTE_LOCAL : 0;
	m->stats.n_routes++;
	return idx;
}

/* A route that is there already. True: its place is not certain, it was taken out to be put in
 * again. */
static bool touch(struct mirror *m, struct prefix *p, uint32_t *same, const struct route_key *key,
		  const struct way_spec *spec, uint16_t nl_flags)
{
	struct route *r = route_at(m, *same);

	wr_way_note_flags(m, r->way, spec);
	r->gen = gen_of(m) & 0xf;
	r->flags &= (uint8_t)~ROUTE_REPLACED & 0xf;
	if (!m->is_dumping && (!m->is_replaying || (nl_flags & NLM_F_REPLACE)))
		return false;
	if (is_alone(m, p, key))
		return false;
	*same = r->next;
	return true;
}

static void new_route(struct mirror *m, const struct route_key *key, const struct way_spec *spec,
		      uint16_t nl_flags)
{
	uint32_t prefix_idx, idx;
	struct prefix *p = wr_prefix_lookup(m, key->addr, key->len, &prefix_idx);
	uint32_t *same;

	if (!p)
		p = create_prefix(m, key->addr, key->len, &prefix_idx);
	if (!p) {
		wr_mirror_short(m);
		return;
	}
	if (purge(m, p))
		wr_prefix_dirty(m, prefix_idx);
	same = find_same(m, p, key, spec);
	if (same) {
		idx = *same;
		if (!touch(m, p, same, key, spec, nl_flags))
			return;
	} else {
		idx = create_route(m, key, spec);
		wr_mirror_mended(m);
	}
	wr_prefix_dirty(m, prefix_idx);
	if (!idx) {
		wr_mirror_short(m);
		return;
	}
	route_at(m, idx)->gen = gen_of(m) & 0xf;
	insert(m, p, key, idx, nl_flags);
}

static void del_route(struct mirror *m, const struct route_key *key, const struct way_spec *spec)
{
	uint32_t prefix_idx;
	struct prefix *p = wr_prefix_lookup(m, key->addr, key->len, &prefix_idx);
	uint32_t *at;

	/* One whose way was flushed counts as well: the kernel tells of some of those
	 * afterwards. */
	at = p ? find_same(m, p, key, spec) : NULL;
	if (!at) {
		/* Gone already when the dump was taken, or the mirror is wrong. */
		if (!m->is_replaying)
			wr_mirror_schedule(m);
		return;
	}
	/* What it had replaced in the replay may in truth have been another route, which is
	 * still there. */
	if (m->is_replaying && (route_at(m, *at)->flags & ROUTE_REPLACED))
		wr_mirror_schedule(m);
	drop(m, at);
	wr_prefix_dirty(m, prefix_idx);
}

int wr_route_message(struct mirror *m, const struct nlmsghdr *h)
{
	struct way_spec spec = {.paths = m->event_paths};
	const struct nlattr *a[R_N];
	struct route_key key;
	struct rtmsg rtm;
	const void *attrs;
	uint32_t table;
	size_t len;
	int err = wr_nl_body(h, sizeof(rtm), &attrs, &len);

	if (err)
		return err;
	memcpy(&rtm, wr_nl_head(h), sizeof(rtm));
	if (rtm.rtm_family != AF_INET || (rtm.rtm_flags & RTM_F_CLONED))
		return 0;
	err = wr_nl_attrs(attrs, len, want, R_N, a);
	if (err)
		return err;
	table = a[R_TABLE] ? wr_nl_u32(a[R_TABLE]) : rtm.rtm_table;
	if (table != RT_TABLE_LOCAL && table != RT_TABLE_MAIN)
		return 0;
	err = parse_key(&rtm, a, &key);
	if (!err)
		err = parse_spec(&rtm, a, &spec);
	if (err)
		return err;
	key.is_local = table == RT_TABLE_LOCAL;
	if (h->nlmsg_type == RTM_NEWROUTE)
		new_route(m, &key, &spec, h->nlmsg_flags);
	else
		del_route(m, &key, &spec);
	return 0;
}

/* Returns whether the prefix must be derived anew. */
static bool scan_prefix(struct mirror *m, struct prefix *p, bool sweep)
{
	uint32_t *at = &p->first;
	bool is_changed = false;

	while (*at) {
		struct route *r = route_at(m, *at);
		bool is_old = sweep && r->gen != gen_of(m);

		is_changed |= is_old || r->way->is_flushed || r->way->is_flipped;
		if (is_old && !r->way->is_flushed)
			m->stats.n_mended++;
		if (is_old || r->way->is_flushed)
			drop(m, at);
		else
			at = &r->next;
	}
	return is_changed;
}

void wr_route_scan(struct mirror *m, bool sweep)
{
	for (uint32_t i = 1; i < m->prefixes.n_items; i++) {
		struct prefix *p = wr_slab_at(&m->prefixes, i);

		if (p->len != PREFIX_FREE_LEN && scan_prefix(m, p, sweep))
			wr_prefix_dirty(m, i);
	}
}

void wr_route_fini(struct mirror *m)
{
	wr_slab_fini(&m->routes);
	wr_slab_fini(&m->prefixes);
	free(m->prefix_heads);
	free(m->dirty);
	while (m->all_ways) {
		free(m->all_ways->legs);
		wr_way_free(m, m->all_ways);
	}
}

/*
 * For people.
 */

static void show(struct mirror *m, const struct prefix *p, const struct route *r,
		 struct mirror_route *ret)
{
	const struct way_spec *spec = &r->way->spec;
	struct decision d;
	bool is_blackhole;
	enum mirror_why why;

	wr_derive_decide(m, p, &d);
	*ret = (struct mirror_route){
		.dst = {.addr = ip4_from(p->addr), .len = p->len},
		.table = r->flags & ROUTE_LOCAL ? RT_TABLE_LOCAL : RT_TABLE_MAIN,
		.metric = r->priority,
		.nh_id = spec->nh_id,
		.mtu = spec->mtu,
		.prefsrc = spec->prefsrc,
		.type = r->type,
		.protocol = r->protocol,
		.scope = spec->scope,
		.tos = r->tos,
		.in_use = r == d.route,
		.why_kernel = "",
	};
	if (ret->in_use) {
		ret->fib_nh = p->value;
		why = d.why == WHY_NOT && d.way && p->value == FIB_NH_KERNEL ? WHY_FULL : d.why;
		if (why == WHY_NOT && d.way)
			why = d.way->why;
		ret->why_kernel = wr_mirror_why_text(why);
	}
	ret->n_paths = (uint16_t)wr_way_expand(m, r->way, &is_blackhole, &why);
	ret->paths = m->paths;
	if (is_blackhole)
		ret->type = RTN_BLACKHOLE;
	if (ret->n_paths == 1)
		m->paths[0].weight = 1;
	for (unsigned i = 0; i < ret->n_paths; i++) {
		const struct link *link = wr_link_lookup(m, m->paths[i].oif);

		if (link && !link->pub.has_carrier)
			m->paths[i].flags |= RTNH_F_LINKDOWN;
		if (!wr_way_path_is_alive(m, r->way, &m->paths[i]))
			m->paths[i].flags |= RTNH_F_DEAD;
	}
}

static int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Showing expands ways into the mirror's own scratch array. */
static struct mirror *scratch_of(const struct mirror *m)
{
	return (struct mirror *)(uintptr_t)m;
}

int wr_mirror_each_route(const struct mirror *m,
			 int (*each)(void *arg, const struct mirror_route *), void *arg)
{
	uint64_t *keys = malloc((m->n_prefixes + 1) * sizeof(*keys));
	uint32_t n = 0;
	int stop = 0;

	if (!keys)
		return -ENOMEM;
	for (uint32_t i = 1; i < m->prefixes.n_items; i++) {
		const struct prefix *p = wr_slab_at(&m->prefixes, i);

		if (p->len != PREFIX_FREE_LEN)
			keys[n++] = (uint64_t)p->addr << 8 | p->len;
	}
	qsort(keys, n, sizeof(*keys), compare_u64);
	for (uint32_t i = 0; i < n && !stop; i++) {
		uint32_t idx = 0;
		const struct prefix *p =
			wr_prefix_lookup(m, (uint32_t)(keys[i] >> 8), keys[i] & 0xff, &idx);

		for (idx = p ? p->first : 0; idx && !stop; idx = route_at(m, idx)->next) {
			struct mirror_route route;

			show(scratch_of(m), p, route_at(m, idx), &route);
			stop = each(arg, &route);
		}
	}
	free(keys);
	return stop;
}

bool wr_mirror_route_get(const struct mirror *m, struct ip4 addr, struct mirror_route *ret_route)
{
	enum mirror_why why = WHY_NOT;

	for (int len = 32; len >= 0; len--) {
		const struct prefix *p;
		struct decision d;
		uint32_t idx;

		if (!m->n_of_len[len])
			continue;
		p = wr_prefix_lookup(m, ip4_to(addr) & ip4_mask((unsigned)len), (unsigned)len,
				     &idx);
		if (!p)
			continue;
		wr_derive_decide(m, p, &d);
		if (d.route) {
			show(scratch_of(m), p, d.route, ret_route);
			if (why != WHY_NOT) {
				ret_route->fib_nh = FIB_NH_KERNEL;
				ret_route->why_kernel = wr_mirror_why_text(why);
			}
			return true;
		}
		/* A longer prefix whose routes are for other TOS only: the kernel comes as far
		 * as this, Weir leaves it there. */
		if (d.value)
			why = d.why;
	}
	return false;
}
