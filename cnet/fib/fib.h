/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The forwarding tables: what the workers read for every packet.
 *
 *   fib4      prefix -> next-hop index          (fib4.h)
 *   nh[]      index -> struct nexthop           a distinct way out, shared by all its routes
 *   neigh     (port, address) -> nexthop        for hosts on attached networks
 *   iface[]   port_idx -> struct fib_iface      the kernel's settings of that interface
 *   locals    a filter of the host's own addresses, for the check of source addresses
 *
 * A change of a neighbour touches the next hops that use it, not their routes. Objects are
 * immutable once published and replaced whole (lib/mem/rcu.h); the one exception is `used`, which
 * workers set and the control thread clears.
 *
 * Written by the control thread (the mirror), read by workers. Index 0 is "no route" and always
 * there. There are at most FIB_MAX_NH objects; when they run out, wr_fib_nh_alloc() says so and the
 * mirror points the route at FIB_NH_KERNEL: the kernel forwards, nothing is lost.
 */
#ifndef WR_CNET_FIB_FIB_H
#define WR_CNET_FIB_FIB_H

#include "cnet/fib/fib4.h"
#include "lib/mem/packet.h"

enum {
	FIB_NH_NONE = 0, /* no route */
	FIB_NH_KERNEL =
		1, /* "the kernel forwards": table full, or a feature Weir does not evaluate */
	FIB_NH_LOCAL = 2,
	FIB_NH_BLACKHOLE = 3,
	FIB_NH_REJECT = 4, /* unreachable and prohibit: the kernel answers */
	FIB_NH_FIRST_FREE = 8,
	FIB_MAX_NH = 65536,
	FIB_MAX_BUCKETS = 512,
};

enum { FIB_LOCALS_BITS = 4096, FIB_NEIGH_MAX = 65536, FIB_NEIGH_BUCKETS = 16384 };

enum nh_type {
	NH_NONE,      /* no route: the kernel answers */
	NH_KERNEL,    /* the kernel forwards: interface without Weir, tunnel, TOS route ... */
	NH_LOCAL,     /* this host, a broadcast or multicast address */
	NH_BLACKHOLE, /* dropped without a word */
	NH_REJECT,    /* unreachable, prohibit */
	NH_ATTACHED,  /* on this link: look up the destination's own neighbour entry */
	NH_NEIGH,     /* by this neighbour */
	NH_GROUP,     /* one of several, by flow */
};

/* One cache line. */
struct nexthop {
	uint8_t type; /* enum nh_type */
	uint8_t port_idx;
	bool is_resolved; /* NH_NEIGH: `rewrite` is valid */
	uint8_t used;     /* a worker sent by it since the control thread last looked (relaxed) */
	uint32_t mtu;     /* bytes of IP; the route's own metric or the interface's */
	uint8_t rewrite[16]; /* destination MAC, source MAC, EtherType; 14 bytes used */
	uint32_t id;         /* its index in nh[], 0 for entries of the neighbour table */
	uint32_t oif;        /* kernel's ifindex of the way out, 0 for groups */
	struct ip4 gateway;  /* NH_NEIGH: the neighbour's address */
	/* NH_GROUP: next-hop indices. `buckets` has n_buckets (a power of two) entries, chosen by
	 * flow hash; `members` lists each next hop once, for checks of the reverse path. */
	uint16_t n_buckets;
	uint16_t n_members;
	const uint16_t *buckets;
	const uint16_t *members;
	struct nexthop *next; /* in its bucket of the neighbour table */
} wr_cache_aligned;

static_assert(sizeof(struct nexthop) == WR_CACHE_LINE, "one cache line a next hop");
static_assert(FIB_NEIGH_BUCKETS == 1 << (32 - 18), "as in wr_fib_neigh_bucket()");

/* What the kernel says about an interface that Weir runs on. */
struct fib_iface {
	uint32_t ifindex;
	uint32_t mtu;
	struct mac mac;
	bool is_up;
	bool transit; /* forwarding is on and nothing that Weir does not evaluate is in the way */
	bool has_address;    /* an IPv4 address is configured */
	bool send_redirects; /* the kernel would send them for what leaves where it came in */
	uint8_t rp_filter;   /* in force: 0 off, 1 strict, 2 loose */
};

struct fib {
	struct fib4 *routes;
	struct nexthop *nh[FIB_MAX_NH];
	struct nexthop *neigh[FIB_NEIGH_BUCKETS]; /* chains by (oif, gateway) */
	struct fib_iface *iface[WR_MAX_PORTS];
	uint64_t locals[FIB_LOCALS_BITS / 64];

	/* The control thread's. */
	struct rcu_writer *rcu;
	uint16_t *n_locals; /* addresses a bit of `locals` stands for */
	uint32_t nh_hint;   /* where the search for a free index starts */
	uint32_t n_nh;
	uint32_t n_neighs;
};

/* `rcu` is borrowed. The reserved next hops are in place. */
int wr_fib_create(struct rcu_writer *rcu, struct fib **ret_fib);
void wr_fib_free(struct fib *);

/* A free index, or -ENOSPC. Not visible to readers until published. */
int wr_fib_nh_alloc(struct fib *);
/* Publishes a copy of `nh` (its buckets and members too) under `id`; the old one is retired.
 * -ENOMEM. */
int wr_fib_nh_publish(struct fib *, uint32_t id, const struct nexthop *nh);
/* No route may point to it any more. */
void wr_fib_nh_release(struct fib *, uint32_t id);

/* Adds or replaces a neighbour of an attached network; nh->type is NH_NEIGH. -ENOMEM, -ENOSPC: its
 * packets are punted then. */
int wr_fib_neigh_set(struct fib *, uint32_t oif, struct ip4, const struct nexthop *nh);
void wr_fib_neigh_del(struct fib *, uint32_t oif, struct ip4);
static inline unsigned wr_fib_neigh_bucket(uint32_t oif, struct ip4 a)
{
	return ((a.raw ^ oif * UINT32_C(0x85ebca6b)) * UINT32_C(0x9e3779b1)) >> 18;
}

/* Any thread (RCU). NULL if there is none. */
static inline struct nexthop *wr_fib_neigh_lookup(const struct fib *fib, uint32_t oif, struct ip4 a)
{
	struct nexthop *nh = wr_rcu_load(fib->neigh[wr_fib_neigh_bucket(oif, a)]);

	while (nh && !(nh->gateway.raw == a.raw && nh->oif == oif))
		nh = wr_rcu_load(nh->next);
	return nh;
}

/* A copy is published; NULL takes the interface away. -ENOMEM. */
int wr_fib_iface_set(struct fib *, unsigned port_idx, const struct fib_iface *);

void wr_fib_local_add(struct fib *, struct ip4);
void wr_fib_local_del(struct fib *, struct ip4);

static inline unsigned wr_fib_local_bit(struct ip4 a)
{
	return (a.raw * UINT32_C(0x9e3779b1)) >> 20; /* 12 bits: FIB_LOCALS_BITS */
}

/* False: surely not an address of this host. True: perhaps, look it up. */
static inline bool wr_fib_maybe_local(const struct fib *fib, struct ip4 a)
{
	unsigned bit = wr_fib_local_bit(a);

	return __atomic_load_n(&fib->locals[bit / 64], __ATOMIC_RELAXED) >> (bit % 64) & 1;
}

static inline struct nexthop *wr_fib_nh(const struct fib *fib, uint32_t id)
{
	return wr_rcu_load(fib->nh[id]);
}

#endif
