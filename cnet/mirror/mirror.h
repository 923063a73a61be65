/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The mirror: the kernel's tables, kept as a copy that workers can read.
 *
 * It listens on rtnetlink and keeps what the kernel has: links, addresses, neighbours, next-hop
 * objects, routes (tables local and main), per-interface settings. From that it derives what the
 * data plane needs (cnet/fib): one way out per prefix. The kernel is the only source of truth;
 * nothing here is configuration.
 *
 *   - Subscribe first, then dump into a new generation, replay what queued, sweep what the dump did
 *     not name.
 *   - Events are applied as they come. Changes that the kernel makes without a route event (a link
 *     goes down, a next-hop object goes, an address that routes prefer as source is removed) are
 *     derived from who depends on whom, and a dump soon afterwards proves or mends the result.
 *   - ENOBUFS: mark stale, dump again, apply the difference. Forwarding never stops. An audit dump
 *     every `audit_s` catches the rest.
 *
 * Obedience: where the kernel has something that Weir does not evaluate, the mirror withdraws
 * `transit` from the interfaces concerned, and the reason is kept as text for people.
 *
 * Control thread only.
 */
#ifndef WR_CNET_MIRROR_MIRROR_H
#define WR_CNET_MIRROR_MIRROR_H

#include "cnet/fib/fib.h"
#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/sys/loop.h"

struct mirror;

/* A link as the kernel has it. */
struct mirror_link {
	uint32_t ifindex;
	char name[16];
	char kind[16]; /* IFLA_INFO_KIND: "veth", "bridge" ...; "" for a plain device */
	struct mac mac;
	uint32_t mtu;
	uint32_t flags;  /* IFF_* */
	uint32_t master; /* ifindex, 0 = none */
	bool has_carrier;
	bool is_virtual; /* no wire behind it: checksums may be unfinished */
	bool forwarding; /* conf.<link>.forwarding */
	bool ignore_routes_with_linkdown;
	uint8_t rp_filter;   /* in force: maximum of all and the interface's own */
	bool send_redirects; /* in force: all or the interface's own */
	int port_idx;        /* Weir's port on it, or -1 */
};

/* What the mirror tells its owner. Called from within mirror calls and the loop; must not call the
 * mirror back. */
struct mirror_ops {
	void (*local_changed)(void *arg, struct ip4,
			      bool is_local); /* also broadcast addresses; each once */
	/* A link with a port changed (MAC, MTU, up, name, settings), or is gone (`gone`; the port
	 * has left the mirror then). */
	void (*port_changed)(void *arg, unsigned port_idx, const struct mirror_link *, bool gone);
	/* Weir may, or may no longer, forward what comes in by this port; `why` is "" or a
	 * sentence. */
	void (*transit_changed)(void *arg, unsigned port_idx, bool transit, const char *why);
};

struct mirror_conf {
	struct wr_loop *loop;
	const struct wr_log *log;
	struct fib *fib;
	struct rcu_writer *rcu;
	const struct mirror_ops *ops;
	void *arg;
	bool bypass_netfilter;
	uint32_t audit_s;      /* seconds between audit dumps, 0 = none */
	uint32_t rcvbuf_bytes; /* of the event socket; 0 = 64 MiB */
};

/* Opens the sockets in the calling thread's network namespace, subscribes and takes the first
 * dumps; on return the tables are complete. Errors: -EPERM ..., with a sentence. */
int wr_mirror_create(const struct mirror_conf *, struct mirror **ret_mirror, struct wr_err *);
void wr_mirror_free(struct mirror *);

/* From now on the link is Weir's port `port_idx`: routes through it are forwarded. -ENODEV. */
int wr_mirror_port_add(struct mirror *, uint32_t ifindex, unsigned port_idx);
void wr_mirror_port_del(struct mirror *, unsigned port_idx);

const struct mirror_link *wr_mirror_link(const struct mirror *, uint32_t ifindex);
const struct mirror_link *wr_mirror_link_by_name(const struct mirror *, const char *name);
void wr_mirror_each_link(const struct mirror *, void (*each)(void *arg, const struct mirror_link *),
			 void *arg);

/* One path of a route, for people. */
struct mirror_path {
	struct ip4 gateway; /* 0.0.0.0: none */
	uint32_t oif;
	uint16_t weight; /* 1..256 */
	uint8_t flags;   /* RTNH_F_* */
	uint8_t why;     /* the mirror's own: 0, or what in it Weir does not evaluate */
};

struct mirror_route {
	struct prefix4 dst;
	uint32_t table;
	uint32_t metric;
	uint32_t nh_id; /* kernel's next-hop object, 0 = none */
	uint32_t mtu;   /* route metric, 0 = none */
	struct ip4 prefsrc;
	uint8_t type, protocol, scope, tos; /* RTN_*, RTPROT_* ... */
	uint16_t n_paths;
	const struct mirror_path *paths;
	bool in_use;            /* it is what decides for its prefix */
	uint32_t fib_nh;        /* the index in fib->nh[] if in_use */
	const char *why_kernel; /* "" or why Weir leaves packets by it to the kernel */
};

/* All routes, in order of address, length, preference. Borrowed for the call. Stops when `each`
 * returns non-zero. */
int wr_mirror_each_route(const struct mirror *, int (*each)(void *arg, const struct mirror_route *),
			 void *arg);
/* The route that decides for an address, as the mirror sees it. false: no route. */
bool wr_mirror_route_get(const struct mirror *, struct ip4, struct mirror_route *ret_route);

struct mirror_neigh {
	struct ip4 addr;
	uint32_t ifindex;
	struct mac mac;
	uint16_t state; /* NUD_* */
	bool is_used;   /* Weir forwards to it and keeps it alive */
};
void wr_mirror_each_neigh(const struct mirror *,
			  void (*each)(void *arg, const struct mirror_neigh *), void *arg);

/* Why Weir leaves packets to the kernel: one sentence each; `port_idx` -1: for all interfaces. */
void wr_mirror_each_obstacle(const struct mirror *,
			     void (*each)(void *arg, int port_idx, const char *sentence),
			     void *arg);

struct mirror_stats {
	uint64_t n_events;   /* netlink messages applied */
	uint64_t n_resyncs;  /* full dumps after the first */
	uint64_t n_overruns; /* ENOBUFS */
	uint64_t n_bad;      /* messages refused: malformed or not understood */
	uint64_t n_routes, n_neighs, n_nexthops, n_links;
	uint64_t n_mended;     /* differences that a dump found and mended */
	uint64_t last_sync_ns; /* duration of the last full dump */
	bool is_settled;       /* no event and no resync is pending */
};
struct mirror_stats wr_mirror_stats(struct mirror *);

/* Dumps again now (SIGHUP, tests). 0 or -errno. */
int wr_mirror_resync(struct mirror *);

/* Applies the events that have come so far: who has just made an interface finds its link. */
void wr_mirror_catch_up(struct mirror *);

/* Applies one netlink message as if it had come as an event; the fuzzer's and the unit tests' door.
 * `len` bytes at `msg` are what there is; nothing beyond them is read. */
void wr_mirror_feed(struct mirror *, const void *msg, size_t len);
/* A mirror without sockets, for feeding. */
int wr_mirror_create_detached(const struct mirror_conf *, struct mirror **ret_mirror);

#endif
