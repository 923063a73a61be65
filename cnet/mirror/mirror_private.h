/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inside the mirror: what it keeps, and how it becomes the fib.
 *
 *   links, addrs, neighs, objects   as the kernel has them, hashed by their key
 *   prefix -> route -> way          a prefix has its routes in the kernel's order; routes that go
 *                                   the same way (next hops, source, scope, MTU, or next-hop
 *                                   object) share one `struct way`
 *   way -> leg -> hop               only of ways that decide for some prefix: how it stands in
 *                                   fib->nh[]
 *
 * A way in use owns one index of fib->nh[] and keeps it while its next hops change, so that a
 * neighbour, a link or a next-hop object is one store and not a million routes. A hop (link,
 * gateway, MTU) is what ways share; as a member of a group it has an index of its own.
 *
 * Two steps. Messages change the first half and mark what they touched; wr_derive_commit() then
 * brings the fib in line: links, then ways, then prefixes, then what is no longer used is released,
 * then one grace period.
 *
 * Routes that vanish without an event hang on a way that is `flushed`: out of the hash, so that a
 * route added again gets a new one. The next commit drops them.
 */
#ifndef WR_CNET_MIRROR_MIRROR_PRIVATE_H
#define WR_CNET_MIRROR_MIRROR_PRIVATE_H

#include "cnet/mirror/mirror.h"
#include "cnet/mirror/obstacles.h"
#include "lib/nl/nl.h"

#include <linux/rtnetlink.h>

/* Items of one size, named by a 32-bit index; 0 is none. Their memory never moves and is kept
 * until the end. */
struct slab {
	uint32_t item_bytes;
	uint32_t n_items; /* indices given out so far, free ones included */
	uint32_t first_free;
	uint32_t n_chunks, max_chunks;
	char **chunks;
};

enum { SLAB_CHUNK_ITEMS = 4096 };

uint32_t wr_slab_alloc(struct slab *); /* zeroed; 0: no memory */
void wr_slab_free(struct slab *, uint32_t idx);
void wr_slab_fini(struct slab *);

static inline void *wr_slab_at(const struct slab *s, uint32_t idx)
{
	return s->chunks[idx / SLAB_CHUNK_ITEMS] + (size_t)(idx % SLAB_CHUNK_ITEMS) * s->item_bytes;
}

static inline uint64_t wr_mirror_mix(uint64_t x)
{
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

/* Why Weir leaves a route's packets to the kernel; the sentences are wr_mirror_why_text(). */
enum mirror_why {
	WHY_NOT,
	WHY_TOS,
	WHY_COVERED,
	WHY_THROW,
	WHY_TYPE,
	WHY_VIA,
	WHY_ENCAP,
	WHY_NO_LINK,
	WHY_NO_PORT,
	WHY_LINK_DOWN,
	WHY_LINK_KIND,
	WHY_ENSLAVED,
	WHY_NO_OBJECT,
	WHY_OBJECT_KIND,
	WHY_TOO_MANY,
	WHY_FULL,
};

struct link {
	struct mirror_link pub;
	struct link *next;
	bool is_known; /* false: settings came before the link itself */
	bool is_dirty;
	bool own_redirects;
	bool own_ignore_linkdown;
	uint8_t own_rp_filter;
	uint8_t gen;
	uint16_t type;  /* ARPHRD_* */
	uint32_t lower; /* ifindex of what it is on (a VLAN's device), 0 = nothing */
	uint32_t n_addrs;
	bool is_transit_told;
	bool transit;
	char why[256];
};

struct addr {
	struct addr *next;
	uint32_t ifindex;
	struct ip4 local, prefix;
	uint8_t len;
	uint8_t gen;
};

struct neigh {
	struct neigh *next;
	struct mirror_neigh pub;
	uint8_t gen;
	bool is_in_fib;
};

/* A next-hop object. */
struct object {
	struct object *next;
	struct object *next_group, **pprev_group; /* groups only */
	uint32_t id;
	uint8_t gen;
	uint8_t why; /* enum mirror_why: what in it Weir does not evaluate */
	bool is_group, is_blackhole, is_dirty;
	uint8_t flags; /* RTNH_F_ONLINK */
	uint32_t oif;
	struct ip4 gateway;
	uint32_t n_members;
	struct object_member {
		uint32_t id;
		uint16_t weight;
	} * members;
};

struct way;

/* A distinct next hop, shared by the ways through it. */
struct hop {
	struct hop *next;
	uint32_t oif;
	struct ip4 gateway; /* 0: the destination itself is the neighbour */
	uint32_t mtu;       /* the route's metric, 0 = none */
	uint32_t n_legs;
	uint32_t n_groups; /* legs of groups: `fib_id` is there while not 0 */
	uint16_t fib_id;
	struct leg *legs;
};

struct leg {
	struct hop *hop;
	struct way *way;
	uint32_t weight;
	struct leg *next, **pprev; /* in hop->legs */
};

/* What a way is made of, as read from a message. */
struct way_spec {
	uint32_t nh_id; /* then there are no paths of its own */
	uint32_t mtu;
	struct ip4 prefsrc;
	uint8_t scope;
	uint16_t n_paths;
	struct mirror_path *paths;
};

struct way {
	struct way *next; /* in its bucket */
	struct way *next_all, **pprev_all;
	struct way *next_idle;
	uint32_t n_routes;
	uint32_t n_used; /* prefixes whose value is fib_id */
	uint16_t fib_id; /* 0: not in the fib */
	uint16_t n_legs;
	struct leg *legs;
	bool is_flushed, is_dirty, is_usable, is_flipped, is_idle, is_starved;
	uint8_t why;          /* of the last publication */
	struct way_spec spec; /* paths point behind the struct */
};

enum { ROUTE_LOCAL = 1, ROUTE_REPLACED = 2 };

struct route {
	uint32_t next; /* in its prefix, in order of preference; slab index */
	uint32_t priority;
	struct way *way;
	uint8_t type, protocol, tos;
	/* ROUTE_LOCAL: table local, else main; ROUTE_REPLACED: put in by a replayed replace. */
	uint8_t flags : 4;
	uint8_t gen : 4; /* the low bits of mirror->gen */
};

static_assert(sizeof(struct route) <= 24, "a million of them");

enum { PREFIX_DIRTY = 1, PREFIX_LOCAL = 2, PREFIX_WIDE = 4, PREFIX_COVER = 8 };
enum { PREFIX_FREE_LEN = 0xff };

struct prefix {
	uint32_t next;  /* in its bucket; slab index */
	uint32_t addr;  /* host order */
	uint32_t first; /* route */
	uint16_t value; /* in fib4, 0 = not in it */
	uint8_t len;    /* PREFIX_FREE_LEN: free slot */
	uint8_t flags;
};

static_assert(sizeof(struct prefix) == 16, "a million of them");

/* Identity of a route beside its way. */
struct route_key {
	uint32_t addr; /* host order */
	uint32_t priority;
	uint8_t len, type, protocol, tos;
	bool is_local;
};

enum {
	LINK_BUCKETS = 1024,
	ADDR_BUCKETS = 1024,
	NEIGH_BUCKETS = 16384,
	OBJECT_BUCKETS = 16384,
	HOP_BUCKETS = 16384,
	WAY_BUCKETS = 65536,
	MAX_PATHS = 4096,               /* that fit into RTA_MULTIPATH */
	MAX_LEGS = FIB_MAX_BUCKETS / 2, /* of a group that Weir evaluates */
	MAX_COVERS = 64,
};

struct group_member {
	uint64_t key; /* what the member is, the same each time */
	uint32_t weight;
	uint16_t id;
};

struct mirror {
	struct mirror_conf conf;
	bool is_detached;
	struct nl_sock *events, *ask;
	struct wr_watch watch;
	struct wr_timer resync_timer, audit_timer, keepalive_timer;
	struct obstacles *obstacles;
	int conf_dir; /* /proc/sys/net/ipv4/conf of this network namespace */

	uint8_t gen;
	bool is_dumping, is_replaying;
	bool is_first_sync;
	bool is_resync_due;
	bool is_short; /* of memory: something was left out, a resync mends */
	uint64_t last_sync_end_ns;
	struct mirror_stats stats;

	uint8_t all_rp_filter;
	bool all_ignore_linkdown, all_redirects;
	struct link *ports[WR_MAX_PORTS];

	struct link *links[LINK_BUCKETS];
	struct addr *addrs[ADDR_BUCKETS];
	struct neigh *neighs[NEIGH_BUCKETS];
	struct object *objects[OBJECT_BUCKETS];
	struct object *groups;
	struct hop *hops[HOP_BUCKETS];
	struct way *ways[WAY_BUCKETS];
	struct way *all_ways, *idle_ways;
	struct way *way_of[FIB_MAX_NH];

	struct slab prefixes, routes;
	uint32_t *prefix_heads;
	uint32_t n_prefix_heads, n_prefixes;
	uint32_t n_of_len[33]; /* prefixes */
	uint32_t n_cover[33];  /* prefixes with routes in table local, shorter than 32 */
	uint32_t n_wide_locals;

	uint32_t *dirty; /* prefixes */
	uint32_t n_dirty, max_dirty;
	bool are_links_dirty, are_objects_dirty, are_ways_dirty, must_scan;

	struct mirror_path event_paths[MAX_PATHS]; /* of the message being read */
	struct mirror_path paths[MAX_PATHS];       /* of the way being looked at */
	struct group_member group[MAX_LEGS];       /* of the group being built */
	uint16_t buckets[FIB_MAX_BUCKETS], members[MAX_LEGS];
};

/* mirror.c */
/* The kernel changed something in silence, or events were lost: dump again soon. */
void wr_mirror_schedule(struct mirror *);
/* Memory ran short while applying a message. */
void wr_mirror_short(struct mirror *);
/* A dump has found a difference that no event had told. */
static inline void wr_mirror_mended(struct mirror *m)
{
	if (m->is_dumping && !m->is_first_sync)
		m->stats.n_mended++;
}

/* link.c. Messages return 0 or -EBADMSG. */
int wr_link_message(struct mirror *, const struct nlmsghdr *);
struct link *wr_link_lookup(const struct mirror *, uint32_t ifindex); /* known ones only */
struct link *wr_link_get(struct mirror *, uint32_t ifindex); /* made if need be; NULL: no memory */
void wr_link_dirty(struct mirror *, struct link *);
void wr_link_settings(struct mirror *, struct link *); /* pub from own and `all` */
/* Whether routes through the link are out of use for want of a carrier. */
bool wr_link_is_ignored(const struct link *);
void wr_link_read_redirects(struct mirror *);
void wr_link_sweep(struct mirror *);
void wr_link_fini(struct mirror *);

int wr_netconf_message(struct mirror *, const struct nlmsghdr *);

int wr_addr_message(struct mirror *, const struct nlmsghdr *);
void wr_addr_link_gone(struct mirror *, uint32_t ifindex);
void wr_addr_sweep(struct mirror *);
void wr_addr_fini(struct mirror *);

/* neigh.c */
int wr_neigh_message(struct mirror *, const struct nlmsghdr *);
struct neigh *wr_neigh_lookup(const struct mirror *, uint32_t ifindex, struct ip4);
bool wr_neigh_is_valid(const struct neigh *);
/* The link changed: its neighbours are put into the fib again, or taken out. */
void wr_neigh_link_changed(struct mirror *, const struct link *);
void wr_neigh_link_gone(struct mirror *, uint32_t ifindex);
/* Looks at what the workers used, and asks the kernel to probe what it has not confirmed. */
void wr_neigh_keepalive(struct mirror *);
bool wr_neigh_any_on_ports(const struct mirror *);
void wr_neigh_sweep(struct mirror *);
void wr_neigh_fini(struct mirror *);

/* nexthop.c */
int wr_nexthop_message(struct mirror *, const struct nlmsghdr *);
struct object *wr_object_lookup(const struct mirror *, uint32_t id);
void wr_nexthop_link_gone(struct mirror *, uint32_t ifindex);
void wr_nexthop_sweep(struct mirror *);
void wr_nexthop_fini(struct mirror *);

/* way.c */
struct way *wr_way_get(struct mirror *, const struct way_spec *); /* a reference; NULL: no memory */
void wr_way_put(struct mirror *, struct way *);
bool wr_way_is(const struct way *, const struct way_spec *);
/* What the kernel says of its paths now: RTNH_F_DEAD. */
void wr_way_note_flags(struct mirror *, struct way *, const struct way_spec *);
void wr_way_dirty(struct mirror *, struct way *);
void wr_way_idle(struct mirror *, struct way *);
/* All routes by it are gone from the kernel. */
void wr_way_flush(struct mirror *, struct way *);
void wr_way_flush_object(struct mirror *, uint32_t nh_id);
void wr_way_flush_prefsrc(struct mirror *, struct ip4);
/* The kernel's fib_sync_down_dev() and fib_sync_up(). */
enum way_down { WAY_LINK_DOWN, WAY_LINK_GONE, WAY_NO_ADDRESS };
void wr_way_link_down(struct mirror *, uint32_t ifindex, enum way_down);
void wr_way_link_up(struct mirror *, uint32_t ifindex);
/* Its paths, those of its object included, into mirror->paths; at most MAX_PATHS. */
unsigned wr_way_expand(struct mirror *, const struct way *, bool *ret_is_blackhole,
		       enum mirror_why *ret_why);
bool wr_way_path_is_alive(const struct mirror *, const struct way *, const struct mirror_path *);
bool wr_way_usable(struct mirror *, const struct way *);
void wr_way_free(struct mirror *, struct way *);

/* route.c */
int wr_route_message(struct mirror *, const struct nlmsghdr *);
struct prefix *wr_prefix_lookup(const struct mirror *, uint32_t addr, unsigned len,
				uint32_t *ret_idx);
void wr_prefix_dirty(struct mirror *, uint32_t prefix_idx);
void wr_prefix_free(struct mirror *, uint32_t prefix_idx);
/* Drops the routes whose way was flushed or, if `sweep`, that are not of this generation; marks
 * prefixes whose ways flipped. */
void wr_route_scan(struct mirror *, bool sweep);
void wr_route_fini(struct mirror *);

static inline unsigned wr_hop_bucket(uint32_t oif, struct ip4 gateway)
{
	return wr_mirror_mix((uint64_t)oif << 32 | gateway.raw) % HOP_BUCKETS;
}

/* derive.c */
struct decision {
	const struct route *route; /* NULL: none */
	struct way *way;           /* if it is the way that decides, else NULL and `value` counts */
	uint16_t value;
	enum mirror_why why;
};
void wr_derive_decide(const struct mirror *, const struct prefix *, struct decision *ret);
void wr_derive_neigh(struct mirror *, uint32_t ifindex, struct ip4);
void wr_derive_commit(struct mirror *);
void wr_derive_fini(struct mirror *);
/* Why a path's packets are the kernel's. */
enum mirror_why wr_derive_path_why(const struct mirror *, const struct mirror_path *);
const char *wr_mirror_why_text(enum mirror_why);
/* The nexthop of a valid neighbour on a port. */
void wr_derive_rewrite(const struct link *, const struct neigh *, struct nexthop *nh);

/* transit.c */
void wr_transit_port(struct mirror *, struct link *); /* publishes the interface, tells the owner */
void wr_transit_port_del(struct mirror *, struct link *);
void wr_transit_obstacles_changed(void *mirror);

/* group.c */
/*
 * Fills `ret_ids[n_buckets]` with the ids of `n` members, as many buckets each as its weight asks
 * for, at least one. Buckets of `base` (may be NULL) whose member is still one and within its share
 * stay as they are.
 */
unsigned wr_group_size(unsigned n);
void wr_group_fill(const struct group_member *, unsigned n, const uint16_t *base, uint16_t *ret_ids,
		   unsigned n_buckets);

#endif
