/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * IPv4 longest prefix match: address -> 16-bit next-hop index.
 *
 * For a full Internet table: a million prefixes, memory small enough to live in the L2/L3 cache,
 * lookups without a lock, updates that touch only what lies under the changed prefix.
 *
 * The value 0 means "no route"; it is what lookup returns when nothing matches.
 *
 * Threads: one writer (the control thread); any number of readers, each a registered RCU reader
 * (lib/mem/rcu.h). A reader sees, for each address, the value before or after an update, never
 * anything else. Memory that readers may hold is retired through the writer's `rcu`; when much of
 * it waits, a change waits for a grace period by itself, so the writer must not be an online
 * reader.
 */
#ifndef WR_CNET_FIB_FIB4_H
#define WR_CNET_FIB_FIB4_H

#include "lib/base/types.h"
#include "lib/mem/rcu.h"

struct fib4;

struct fib4_stats {
	uint64_t n_routes;
	uint64_t table_bytes; /* what readers touch, and what waits for a grace period */
	uint64_t rib_bytes;   /* what only the writer touches */
};

/* -ENOMEM. */
int wr_fib4_create(struct rcu_writer *rcu, struct fib4 **ret_fib);
/* No reader may be left; what was retired is flushed. */
void wr_fib4_free(struct fib4 *);

/* Adds the prefix or replaces its value (1..65535). 0; -ENOMEM (then nothing changed); -EINVAL:
 * length above 32, bits set beyond it, or value 0. */
int wr_fib4_set(struct fib4 *, struct prefix4, uint16_t value);
/* Removes exactly this prefix. 0; -ENOENT; -ENOMEM (then nothing changed). */
int wr_fib4_del(struct fib4 *, struct prefix4);
/* The value of exactly this prefix, 0 if it is not in the table. Writer only. */
uint16_t wr_fib4_get(const struct fib4 *, struct prefix4);
/* The longest prefix that matches, for people: writer only. Returns its value and the prefix, or
 * 0. */
uint16_t wr_fib4_match(const struct fib4 *, struct ip4, struct prefix4 *ret_prefix);
/* All prefixes in order of address, then length, until `each` returns non-zero, which is returned.
 * Writer only; `each` must not change the table. */
int wr_fib4_walk(const struct fib4 *, int (*each)(void *arg, struct prefix4, uint16_t value),
		 void *arg);

struct fib4_stats wr_fib4_stats(const struct fib4 *);

/* The readers' side, wr_fib4_lookup() and wr_fib4_lookup_bulk(), is inline in fib4_lookup.h. */

#endif
