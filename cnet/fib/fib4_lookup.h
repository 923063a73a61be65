/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The reader's half of the IPv4 table: its layout in memory and the walk. How it is changed:
 * fib4.c.
 *
 * The table is one piece of memory that never moves, so that references in it are offsets:
 *
 *   0        the null node, all zero: what a leaf's (absent) node is read from, so that the bulk
 *            lookup needs no branch
 *   64       the root: one entry for each value of the address's first 18 bits
 *   ...      nodes, in units of 16 bytes
 *
 * An entry is a leaf (a value) or a node of 64 slots, which divides the next 6 bits. Adjacent
 * slots with the same content form a run; a node stores each run once:
 *
 *   starts   bit i: slot i starts a new run (bit 0 is not set: slot 0 always does)
 *   runs     narrow node: 16-bit values; wide node: 32-bit entries, one of which at least is a
 *            node
 *
 * so the run of slot i is the number of bits set in starts[0..i]. The slots of a node below the
 * root stand for a /24, of the next for a /30; the last has 2 bits left, and its slots 0, 16, 32
 * and 48 are the addresses.
 */
#ifndef WR_CNET_FIB_FIB4_LOOKUP_H
#define WR_CNET_FIB_FIB4_LOOKUP_H

#include "cnet/fib/fib4.h"

enum {
	FIB4_ROOT_BITS = 18,
	FIB4_STRIDE_BITS = 6,
	FIB4_SLOTS = 1 << FIB4_STRIDE_BITS,
	FIB4_ROOT_OFFSET = WR_CACHE_LINE,
	FIB4_UNIT_BYTES = 16,
	FIB4_BATCH = 64, /* addresses whose memory accesses overlap in a bulk lookup */
};

#define FIB4_IS_NODE (UINT32_C(1) << 31)
#define FIB4_IS_WIDE (UINT32_C(1) << 30)      /* only together with FIB4_IS_NODE */
#define FIB4_OFFSET_MASK UINT32_C(0x3ffffff0) /* of a node, bytes from the table's start */

struct fib4_node {
	uint64_t starts;
	union {
		uint16_t value[4];
		uint32_t entry[2];
	}; /* as many as there are runs */
};

static_assert(sizeof(struct fib4_node) == FIB4_UNIT_BYTES, "the smallest node is one unit");
static_assert(FIB4_ROOT_OFFSET >= sizeof(struct fib4_node), "the null node lies before the root");

struct fib4 {
	const uint8_t *table; /* does not change */
	bool has_popcnt;      /* x86: the CPU counts bits in one instruction */
	struct fib4_writer *writer;
};

/* The number of bits set. x86 compilers use the instruction only when told that every CPU has it
 * (-mpopcnt). */
static inline unsigned fib4_count_bits(uint64_t x, bool has_popcnt)
{
#if defined(__x86_64__) && !defined(__POPCNT__)
	if (wr_likely(has_popcnt)) {
		__asm__("popcntq %0, %0" : "+r"(x) : : "cc");
		return (unsigned)x;
	}
#endif
	(void)has_popcnt;
	return (unsigned)__builtin_popcountll(x);
}

/* Which run an address belongs to. `rest` is what is left of it, its next bit on top; the shift
 * is 63 - slot. */
static inline unsigned fib4_run(uint64_t starts, uint32_t rest, bool has_popcnt)
{
	return fib4_count_bits(starts << (~rest >> (32 - FIB4_STRIDE_BITS)), has_popcnt);
}

/* Pairs with the writer's release store of a new node's entry: who sees the entry sees the node. */
static inline uint32_t fib4_root_load(const struct fib4 *fib, uint32_t addr)
{
	const uint32_t *root = (const uint32_t *)(const void *)(fib->table + FIB4_ROOT_OFFSET);

	return wr_rcu_load(root[addr >> (32 - FIB4_ROOT_BITS)]);
}

/* All ones for a node, 0 for a leaf. */
static inline uint32_t fib4_node_mask(uint32_t entry)
{
	return (uint32_t)((int32_t)entry >> 31);
}

static inline const struct fib4_node *fib4_node(const struct fib4 *fib, uint32_t entry)
{
	return (const struct fib4_node *)(const void *)(fib->table + (entry & FIB4_OFFSET_MASK));
}

static inline uint32_t fib4_wide_step(const struct fib4 *fib, uint32_t entry, uint32_t rest)
{
	const struct fib4_node *node = fib4_node(fib, entry);
	const uint32_t *run = node->entry;

	return wr_rcu_load(run[fib4_run(node->starts, rest, fib->has_popcnt)]);
}

static inline uint16_t fib4_narrow_step(const struct fib4_node *node, uint32_t rest,
					bool has_popcnt)
{
	const uint16_t *run = node->value;

	return __atomic_load_n(&run[fib4_run(node->starts, rest, has_popcnt)], __ATOMIC_RELAXED);
}

/* The walk from an entry that the root gave for `addr`. */
static inline uint16_t fib4_walk_down(const struct fib4 *fib, uint32_t entry, uint32_t addr)
{
	uint32_t rest = addr << FIB4_ROOT_BITS;

	for (; entry & FIB4_IS_WIDE; rest <<= FIB4_STRIDE_BITS)
		entry = fib4_wide_step(fib, entry, rest);
	if (entry & FIB4_IS_NODE)
		return fib4_narrow_step(fib4_node(fib, entry), rest, fib->has_popcnt);
	return (uint16_t)entry;
}

/* The value of the longest prefix that matches, 0 if none. Any thread (RCU). */
static inline uint16_t wr_fib4_lookup(const struct fib4 *fib, struct ip4 addr)
{
	uint32_t a = ip4_to(addr);

	return fib4_walk_down(fib, fib4_root_load(fib, a), a);
}

/*
 * Whether an entry is a leaf cannot be predicted at random addresses, so leaf and narrow node take
 * the same instructions: a leaf is looked up in the null node, which gives 0. A wide node read as
 * if it were narrow gives rubbish from within that node; these addresses, rare in Internet tables,
 * are walked again. Two passes, so that more misses are under way than the CPU's instruction
 * window would hold.
 */
static inline __attribute__((always_inline)) void fib4_lookup_batch(const struct fib4 *fib,
								    const struct ip4 *addrs,
								    uint16_t *ret_values,
								    unsigned n, bool has_popcnt)
{
	uint32_t entry[FIB4_BATCH];
	uint32_t any = 0;

	for (unsigned i = 0; i < n; i++) {
		entry[i] = fib4_root_load(fib, ip4_to(addrs[i]));
		any |= entry[i];
	}
	for (unsigned i = 0; i < n; i++)
		__builtin_prefetch(fib4_node(fib, entry[i] & fib4_node_mask(entry[i])));
	for (unsigned i = 0; i < n; i++) {
		uint32_t mask = fib4_node_mask(entry[i]);
		const struct fib4_node *node = fib4_node(fib, entry[i] & mask);
		uint32_t rest = ip4_to(addrs[i]) << FIB4_ROOT_BITS;

		ret_values[i] =
			(uint16_t)(fib4_narrow_step(node, rest, has_popcnt) | (entry[i] & ~mask));
	}
	if (wr_likely(!(any & FIB4_IS_WIDE)))
		return;
	for (unsigned i = 0; i < n; i++) {
		if (entry[i] & FIB4_IS_WIDE)
			ret_values[i] = fib4_walk_down(fib, entry[i], ip4_to(addrs[i]));
	}
}

/* wr_fib4_lookup() for `n` addresses, their memory accesses overlapped. */
static inline void wr_fib4_lookup_bulk(const struct fib4 *fib, const struct ip4 *addrs,
				       uint16_t *ret_values, unsigned n)
{
	for (; n >= FIB4_BATCH; n -= FIB4_BATCH, addrs += FIB4_BATCH, ret_values += FIB4_BATCH) {
		if (wr_likely(fib->has_popcnt))
			fib4_lookup_batch(fib, addrs, ret_values, FIB4_BATCH, true);
		else
			fib4_lookup_batch(fib, addrs, ret_values, FIB4_BATCH, false);
	}
	fib4_lookup_batch(fib, addrs, ret_values, n, fib->has_popcnt);
}

#endif
