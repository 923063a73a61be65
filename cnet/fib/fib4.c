/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How the IPv4 table is changed. What readers see of it, and the layout of its nodes:
 * fib4_lookup.h.
 *
 * There are two structures:
 *
 *   the table   address -> value, for readers: a root of 2^18 entries, below it nodes of 64 slots
 *               stored as runs of equal slots. It knows nothing of prefixes.
 *   the RIB     every prefix, for the writer alone: a path-compressed binary trie, 16 bytes a
 *               node.
 *
 * A change. For some addresses the prefix that changes is the longest match: its range without the
 * ranges of longer prefixes in it. The RIB gives these gaps in order; all of them have one value
 * before and get one value after (that of the prefix, or of what covers it). They are painted over
 * the table: a slot within a gap becomes a leaf, a slot that a gap ends in is painted one level
 * below. What lies outside the gaps is not looked at, so a /24 costs one node, a default route in
 * a full table the nodes in which unrouted space begins or ends.
 *
 * Nothing is stored while painting. New nodes are built aside and each store is put on a plan; if
 * memory runs out, the plan is dropped and no reader has seen anything. Then the plan is
 * published, one release store a slot, and the nodes that fell out of the table wait in the limbo
 * for a grace period. A node with the same runs as before, as when a next hop changes, is not
 * replaced: its values are stored in place. Each address changes once, from its old value to its
 * new one, though not all at the same instant.
 *
 * Invariants, which the unit test checks:
 *
 *   canonical   neighbouring runs differ; a node has two runs at least; it is wide only if a node
 *               lies below. So the table depends on the map from addresses to values and on
 *               nothing else: equal routes, equal bytes, whatever came before. Hence a slot that
 *               lies wholly in a gap is a leaf already.
 *   immutable   `starts` of a published node; its runs change by single atomic stores.
 *   accounted   every block is in the table, in the limbo or free.
 *
 * Memory. The table is address space reserved once and made usable by 2 MiB, so it does not move,
 * a reference is an offset of 30 bits, and the same bytes could lie in a mapped BPF array. Nodes
 * are 16 to 512 bytes, in powers of two: one of 28 runs fits a cache line and none crosses more
 * lines than it must. Freed neighbours grow together again (buddies), so a table that was loaded
 * in random order, with all nodes growing, does not end as a heap of blocks too small.
 *
 * Why this and not another. DIR-16-8-8, DXR and the original poptrie were weighed by counting, not
 * built. Measured were this and the array of DIR-24-8, which is what users would pick instead: 1 M
 * routes in clusters, lengths as in the default-free zone, 64 next hops, on a virtual machine of 2
 * cores which others used, too (tests/bench/fib4.c, the least disturbed of three runs).
 *
 *                                       table     ns a lookup: uniform   uniform over routes
 *   this, in bulk                       4.0 MiB   5.0                    5.6
 *   this, one at a time                           7.6                    5.5
 *   DIR-24-8: 2^24 words, up to /24     64 MiB    11.0                   9.0
 *
 * The RIB takes 30 MiB. Routes a second: loaded in order 2.7 M, in random order 0.8 M, random
 * changes beside a reader 0.6 M, and 0.2 M while others took the cache and half of the cores, for a
 * random walk through the RIB is ten dependent misses. A default route changes in 30 ms.
 *
 *   DIR-16-8-8   one load a level and nothing to count, but 512 bytes for each /16 with a longer
 *                prefix: up to 28 MiB for a full table, which leaves the caches.
 *   DXR          a root and sorted ranges: as small as this, but a binary search of several steps,
 *                each of them either a branch that cannot be predicted or a load that waits for
 *                the one before.
 *   poptrie      is what this is made of: runs counted by popcount below a root. Its nodes and
 *                leaves are two arrays, three dependent loads for a /24; here values stand behind
 *                their bitmap, mostly in the same cache line, so two misses suffice. The price is
 *                a second kind of node for what is longer than /24.
 */
#include "cnet/fib/fib4.h"

#include "cnet/fib/fib4_lookup.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

/* Tests make the n-th allocation fail with it. */
#ifndef FIB4_FAULT
#define FIB4_FAULT() false
#endif

/* --- memory that grows and never moves ------------------------------------------------------- */

enum {
	ARENA_STEP_BYTES = 2 << 20, /* a huge page */
	TABLE_MAX_BYTES =
		1 << 30, /* of address space; -ENOMEM beyond: some 10 M routes at the worst */
	RIB_MAX_BYTES = 1 << 30,
	PAGE_BYTES = 4096,
	ROOT_SLOTS = 1 << FIB4_ROOT_BITS,
	/* The null node and the root, and what is left of the page. */
	TABLE_HEAD_BYTES =
		(FIB4_ROOT_OFFSET + ROOT_SLOTS * 4 + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES,
};

struct arena {
	uint8_t *base; /* aligned to ARENA_STEP_BYTES */
	size_t used_bytes;
	size_t committed_bytes;
	size_t max_bytes;
	void *map;
};

static int arena_init(struct arena *a, size_t max_bytes)
{
	size_t map_bytes = max_bytes + ARENA_STEP_BYTES;
	void *map = mmap(NULL, map_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
			 -1, 0);
	uintptr_t base;

	if (map == MAP_FAILED)
		return -ENOMEM;
	base = ((uintptr_t)map + ARENA_STEP_BYTES - 1) & ~((uintptr_t)ARENA_STEP_BYTES - 1);
	*a = (struct arena){
		.base = (uint8_t *)map + (base - (uintptr_t)map),
		.max_bytes = max_bytes,
		.map = map,
	};
	/* A wish: without huge pages the table works, with more TLB misses. */
	(void)madvise(a->base, max_bytes, MADV_HUGEPAGE);
	return 0;
}

static void arena_fini(struct arena *a)
{
	if (a->map)
		munmap(a->map, a->max_bytes + ARENA_STEP_BYTES);
}

/* `bytes` more, zeroed; NULL if there are none. */
static void *arena_grow(struct arena *a, size_t bytes)
{
	uint8_t *start = a->base + a->used_bytes;
	size_t want = a->used_bytes + bytes;

	while (want > a->committed_bytes) {
		if (a->committed_bytes + ARENA_STEP_BYTES > a->max_bytes)
			return NULL;
		if (mprotect(a->base + a->committed_bytes, ARENA_STEP_BYTES,
			     PROT_READ | PROT_WRITE))
			return NULL;
		a->committed_bytes += ARENA_STEP_BYTES;
	}
	a->used_bytes = want;
	return start;
}

/* --- blocks for nodes: buddies within a page ------------------------------------------------- */

enum {
	N_ORDERS = 9, /* 16 << 0 .. 16 << 8 == PAGE_BYTES */
	PAGE_ORDER = N_ORDERS - 1,
	PAGE_UNITS = PAGE_BYTES / FIB4_UNIT_BYTES,
	TABLE_MAX_PAGES = TABLE_MAX_BYTES / PAGE_BYTES,
};

static_assert(FIB4_UNIT_BYTES << PAGE_ORDER == PAGE_BYTES, "the largest block is a page");
static_assert(TABLE_MAX_BYTES - FIB4_UNIT_BYTES == FIB4_OFFSET_MASK,
	      "an entry can refer to any unit");

/* Which blocks of a page are free, as a binary tree: bit 1 is the page, 2 and 3 its halves, ...
 * 256.. its units. */
struct page_map {
	uint64_t free[8];
};

/* Units; 0 ends a list, for unit 0 is the null node. */
struct free_block {
	uint32_t next;
	uint32_t prev;
};

static_assert(2 * PAGE_UNITS == 8 * 64, "a bit for each block of a page");
static_assert(sizeof(struct free_block) <= FIB4_UNIT_BYTES, "a free block holds its own links");

struct blocks {
	struct arena table;
	struct arena maps; /* struct page_map for each page of the table, head included */
	uint32_t free[N_ORDERS];
	size_t used_bytes;
};

static struct free_block *free_block(struct blocks *b, uint32_t unit)
{
	return (struct free_block *)(void *)(b->table.base + (size_t)unit * FIB4_UNIT_BYTES);
}

static unsigned block_bit(uint32_t unit, unsigned order)
{
	return (PAGE_UNITS + unit % PAGE_UNITS) >> order;
}

static uint64_t *block_word(struct blocks *b, uint32_t unit, unsigned order)
{
	struct page_map *maps = (struct page_map *)(void *)b->maps.base;

	return &maps[unit / PAGE_UNITS].free[block_bit(unit, order) / 64];
}

static bool block_is_free(struct blocks *b, uint32_t unit, unsigned order)
{
	return *block_word(b, unit, order) >> (block_bit(unit, order) % 64) & 1;
}

static void block_toggle(struct blocks *b, uint32_t unit, unsigned order)
{
	*block_word(b, unit, order) ^= UINT64_C(1) << (block_bit(unit, order) % 64);
}

static void free_list_add(struct blocks *b, uint32_t unit, unsigned order)
{
	uint32_t next = b->free[order];

	block_toggle(b, unit, order);
	*free_block(b, unit) = (struct free_block){.next = next};
	if (next)
		free_block(b, next)->prev = unit;
	b->free[order] = unit;
}

static void free_list_del(struct blocks *b, uint32_t unit, unsigned order)
{
	struct free_block *f = free_block(b, unit);

	block_toggle(b, unit, order);
	if (f->next)
		free_block(b, f->next)->prev = f->prev;
	if (f->prev)
		free_block(b, f->prev)->next = f->next;
	else
		b->free[order] = f->next;
}

static int blocks_add_page(struct blocks *b)
{
	const uint8_t *page;

	/* A map without a page is harmless: the next call finds it there. */
	while (b->maps.used_bytes / sizeof(struct page_map) <= b->table.used_bytes / PAGE_BYTES) {
		if (!arena_grow(&b->maps, sizeof(struct page_map)))
			return -ENOMEM;
	}
	page = arena_grow(&b->table, PAGE_BYTES);
	if (!page)
		return -ENOMEM;
	free_list_add(b, (uint32_t)((size_t)(page - b->table.base) / FIB4_UNIT_BYTES), PAGE_ORDER);
	return 0;
}

/* The block's first unit, or 0. */
static uint32_t block_alloc(struct blocks *b, unsigned order)
{
	unsigned have = order;
	uint32_t unit;

	if (FIB4_FAULT())
		return 0;
	while (have < N_ORDERS && !b->free[have])
		have++;
	if (have == N_ORDERS) {
		have = PAGE_ORDER;
		if (blocks_add_page(b) < 0)
			return 0;
	}
	unit = b->free[have];
	free_list_del(b, unit, have);
	while (have > order) {
		have--;
		free_list_add(b, unit + (1U << have), have);
	}
	b->used_bytes += (size_t)FIB4_UNIT_BYTES << order;
	return unit;
}

static void block_free(struct blocks *b, uint32_t unit, unsigned order)
{
	b->used_bytes -= (size_t)FIB4_UNIT_BYTES << order;
	for (; order < PAGE_ORDER; order++) {
		uint32_t buddy = unit ^ (1U << order);

		if (!block_is_free(b, buddy, order))
			break;
		free_list_del(b, buddy, order);
		unit &= ~(1U << order);
	}
	free_list_add(b, unit, order);
}

static void blocks_fini(struct blocks *b)
{
	arena_fini(&b->maps);
	arena_fini(&b->table);
}

static int blocks_init(struct blocks *b)
{
	*b = (struct blocks){0};
	if (arena_init(&b->table, TABLE_MAX_BYTES) < 0)
		return -ENOMEM;
	if (arena_init(&b->maps, TABLE_MAX_PAGES * sizeof(struct page_map)) < 0)
		goto err_maps;
	if (FIB4_FAULT() || !arena_grow(&b->table, TABLE_HEAD_BYTES))
		goto err_head;
	return 0;
err_head:
err_maps:
	blocks_fini(b);
	return -ENOMEM;
}

/* --- the RIB: every prefix, in a path-compressed binary trie --------------------------------- */

/* A prefix of the table (value above 0), or the point where two branches part (value 0, both
 * children). */
struct rib_node {
	uint32_t addr; /* bits beyond `len` are 0 */
	uint32_t child[2];
	uint16_t value;
	uint8_t len;
};

static_assert(sizeof(struct rib_node) == 16, "four a cache line");

enum { RIB_MAX_DEPTH = 33 + 1 }; /* nodes of a path, and the sibling that waits */

struct rib {
	struct arena nodes; /* index 0 is "none" */
	uint32_t root;
	uint32_t free; /* linked by child[0] */
	uint32_t n_nodes;
};

static struct rib_node *rib_node(const struct rib *rib, uint32_t idx)
{
	return (struct rib_node *)(void *)rib->nodes.base + idx;
}

static unsigned branch(uint32_t addr, unsigned len)
{
	return (uint64_t)addr << len >> 31 & 1;
}

static bool covers(const struct rib_node *n, uint32_t addr, unsigned len)
{
	return n->len <= len && !((n->addr ^ addr) & ip4_mask(n->len));
}

static uint32_t rib_alloc(struct rib *rib, uint32_t addr, unsigned len)
{
	uint32_t idx = rib->free;

	if (FIB4_FAULT())
		return 0;
	if (idx) {
		rib->free = rib_node(rib, idx)->child[0];
	} else {
		const uint8_t *start = arena_grow(&rib->nodes, sizeof(struct rib_node));

		if (!start)
			return 0;
		idx = (uint32_t)((size_t)(start - rib->nodes.base) / sizeof(struct rib_node));
	}
	*rib_node(rib, idx) = (struct rib_node){.addr = addr & ip4_mask(len), .len = (uint8_t)len};
	rib->n_nodes++;
	return idx;
}

static void rib_free(struct rib *rib, uint32_t idx)
{
	rib_node(rib, idx)->child[0] = rib->free;
	rib->free = idx;
	rib->n_nodes--;
}

/* Follows the path of a prefix until a node that does not lead further towards it. Returns the
 * link to that node (which may be empty); `ret_cover` is the value of the longest proper prefix
 * of it, 0 if none. */
static uint32_t *rib_seek(struct rib *rib, uint32_t addr, unsigned len, uint16_t *ret_cover)
{
	uint32_t *link = &rib->root;
	uint16_t cover = 0;

	while (*link) {
		struct rib_node *n = rib_node(rib, *link);

		if (n->len >= len || !covers(n, addr, len))
			break;
		if (n->value)
			cover = n->value;
		link = &n->child[branch(addr, n->len)];
	}
	*ret_cover = cover;
	return link;
}

/* The node of exactly this prefix, or 0. */
static uint32_t rib_find(struct rib *rib, uint32_t addr, unsigned len, uint16_t *ret_cover)
{
	uint32_t idx = *rib_seek(rib, addr, len, ret_cover);
	const struct rib_node *n = rib_node(rib, idx);

	return idx && n->len == len && n->addr == addr ? idx : 0;
}

/* Puts a node for the prefix above or beside the one at the link, which is not an ancestor of
 * it. */
static uint32_t rib_part(struct rib *rib, uint32_t *link, uint32_t addr, unsigned len)
{
	uint32_t other = *link;
	const struct rib_node *o = rib_node(rib, other);
	uint32_t differ = o->addr ^ addr;
	unsigned common = differ ? (unsigned)__builtin_clz(differ) : 32;
	uint32_t idx = rib_alloc(rib, addr, len);
	uint32_t fork = idx;

	if (!idx)
		return 0;
	if (common < len) {
		fork = rib_alloc(rib, addr, common);
		if (!fork) {
			rib_free(rib, idx);
			return 0;
		}
		rib_node(rib, fork)->child[branch(addr, common)] = idx;
	}
	rib_node(rib, fork)->child[branch(o->addr, rib_node(rib, fork)->len)] = other;
	*link = fork;
	return idx;
}

/* The node of the prefix, made if it was not there; 0 if memory is out. */
static uint32_t rib_insert(struct rib *rib, uint32_t addr, unsigned len, uint16_t *ret_cover)
{
	uint32_t *link = rib_seek(rib, addr, len, ret_cover);

	if (!*link) {
		*link = rib_alloc(rib, addr, len);
		return *link;
	}
	if (rib_node(rib, *link)->len == len && rib_node(rib, *link)->addr == addr)
		return *link;
	return rib_part(rib, link, addr, len);
}

/* Takes out the node at the link if it is neither a prefix nor a parting. */
static void rib_prune(struct rib *rib, uint32_t *link)
{
	const struct rib_node *n = rib_node(rib, *link);
	uint32_t idx = *link;

	if (n->value || (n->child[0] && n->child[1]))
		return;
	*link = n->child[0] ? n->child[0] : n->child[1];
	rib_free(rib, idx);
}

/* The prefix has a node. */
static void rib_remove(struct rib *rib, uint32_t addr, unsigned len)
{
	uint32_t *parent = NULL;
	uint32_t *link = &rib->root;

	while (rib_node(rib, *link)->len < len) {
		parent = link;
		link = &rib_node(rib, *link)->child[branch(addr, rib_node(rib, *link)->len)];
	}
	rib_node(rib, *link)->value = 0;
	rib_prune(rib, link);
	if (parent)
		rib_prune(rib, parent);
}

static int rib_init(struct rib *rib)
{
	*rib = (struct rib){0};
	if (arena_init(&rib->nodes, RIB_MAX_BYTES) < 0)
		return -ENOMEM;
	if (FIB4_FAULT() || !arena_grow(&rib->nodes, sizeof(struct rib_node))) {
		arena_fini(&rib->nodes);
		return -ENOMEM;
	}
	return 0;
}

/* Goes through a subtree in order of address, then length. */
struct rib_cursor {
	const struct rib *rib;
	unsigned n;
	uint32_t stack[RIB_MAX_DEPTH];
};

static void cursor_push(struct rib_cursor *c, uint32_t idx)
{
	if (idx)
		c->stack[c->n++] = idx;
}

static void cursor_push_children(struct rib_cursor *c, const struct rib_node *n)
{
	cursor_push(c, n->child[1]);
	cursor_push(c, n->child[0]);
}

/* The next prefix, NULL at the end. The caller pushes its children if they are wanted. */
static const struct rib_node *cursor_next(struct rib_cursor *c)
{
	while (c->n) {
		const struct rib_node *n = rib_node(c->rib, c->stack[--c->n]);

		if (n->value)
			return n;
		cursor_push_children(c, n);
	}
	return NULL;
}

/* --- gaps: what of a prefix is not hidden by longer ones ------------------------------------- */

/* Positions are addresses with 4 bits more, so that the last level's slots, too, divide 6 bits. */
enum {
	POS_EXTRA_BITS = FIB4_ROOT_BITS + 3 * FIB4_STRIDE_BITS - 32,
	ROOT_SHIFT = 3 * FIB4_STRIDE_BITS, /* of a position, to the root's slot */
};

#define NO_GAP UINT64_MAX

struct gaps {
	uint64_t lo; /* the gap at hand; NO_GAP after the last */
	uint64_t hi; /* inclusive */
	uint64_t next_lo;
	uint64_t end; /* inclusive */
	struct rib_cursor hiding;
};

static uint64_t first_pos(const struct rib_node *n)
{
	return (uint64_t)n->addr << POS_EXTRA_BITS;
}

static uint64_t last_pos(const struct rib_node *n)
{
	return first_pos(n) | ((UINT64_C(1) << (32 - n->len + POS_EXTRA_BITS)) - 1);
}

static void gaps_next(struct gaps *g)
{
	const struct rib_node *n;

	while ((n = cursor_next(&g->hiding))) {
		g->lo = g->next_lo;
		g->hi = first_pos(n) - 1; /* wraps only if the gap is empty */
		g->next_lo = last_pos(n) + 1;
		if (g->lo < first_pos(n))
			return;
	}
	g->lo = g->next_lo <= g->end ? g->next_lo : NO_GAP;
	g->hi = g->end;
	g->next_lo = g->end + 1;
}

static void gaps_start(struct gaps *g, const struct rib *rib, const struct rib_node *n)
{
	g->next_lo = first_pos(n);
	g->end = last_pos(n);
	g->hiding.rib = rib;
	g->hiding.n = 0;
	cursor_push_children(&g->hiding, n);
	gaps_next(g);
}

/* Everything before `pos` is done. */
static void gaps_skip(struct gaps *g, uint64_t pos)
{
	g->lo = pos;
	if (g->lo > g->hi)
		gaps_next(g);
}

/* --- the plan of a change -------------------------------------------------------------------- */

enum step_kind {
	STEP_ENTRY, /* store `entry` into `n` words from `at` on */
	STEP_VALUE, /* store `entry`, a value, at `at` */
	STEP_NEW,   /* node `entry` was made: freed if the plan is dropped */
	STEP_OLD,   /* node `entry` is not in the table any more once the plan is done */
};

struct step {
	void *at;
	uint32_t entry;
	uint32_t kind : 2;
	uint32_t n : 30;
};

static_assert(sizeof(struct step) == 16, "a default route may take a hundred thousand");

enum {
	PLAN_MIN = 256, /* steps that are kept room for between changes */
	/* Nodes that wait for a grace period; then the writer waits, too. */
	LIMBO_MAX = 4096,
};

struct fib4_writer {
	struct fib4 fib;
	struct blocks blocks;
	struct rib rib;
	struct rcu_writer *rcu;
	uint64_t n_routes;
	struct step *plan;
	unsigned n_steps;
	unsigned max_steps;
	unsigned n_limbo;
	uint32_t limbo[LIMBO_MAX]; /* entries of nodes */
};

static int plan_reserve(struct fib4_writer *w, unsigned n)
{
	unsigned max = w->max_steps ? w->max_steps : PLAN_MIN;
	struct step *plan;

	if (w->n_steps + n <= w->max_steps)
		return 0;
	while (max < w->n_steps + n)
		max *= 2;
	plan = FIB4_FAULT() ? NULL : realloc(w->plan, max * sizeof(*plan));
	if (!plan)
		return -ENOMEM;
	w->plan = plan;
	w->max_steps = max;
	return 0;
}

/* The room is reserved. */
static void plan_add(struct fib4_writer *w, enum step_kind kind, void *at, uint32_t entry,
		     uint32_t n)
{
	w->plan[w->n_steps++] = (struct step){.at = at, .entry = entry, .kind = kind, .n = n};
}

static void plan_clear(struct fib4_writer *w)
{
	w->n_steps = 0;
	if (w->max_steps > PLAN_MIN) {
		free(w->plan);
		w->plan = NULL;
		w->max_steps = 0;
	}
}

static struct fib4_node *node_of(struct fib4_writer *w, uint32_t entry)
{
	return (struct fib4_node *)(void *)(w->blocks.table.base + (entry & FIB4_OFFSET_MASK));
}

static unsigned node_order(unsigned n_runs, bool is_wide)
{
	size_t bytes = sizeof(uint64_t) + n_runs * (is_wide ? sizeof(uint32_t) : sizeof(uint16_t));
	unsigned order = 0;

	while ((size_t)FIB4_UNIT_BYTES << order < bytes)
		order++;
	return order;
}

static void node_free(struct fib4_writer *w, uint32_t entry)
{
	unsigned n_runs = fib4_count_bits(node_of(w, entry)->starts, w->fib.has_popcnt) + 1;

	block_free(&w->blocks, (entry & FIB4_OFFSET_MASK) / FIB4_UNIT_BYTES,
		   node_order(n_runs, entry & FIB4_IS_WIDE));
}

static void limbo_release(void *arg, void *ptr)
{
	struct fib4_writer *w = ptr;

	(void)arg;
	for (unsigned i = 0; i < w->n_limbo; i++)
		node_free(w, w->limbo[i]);
	w->n_limbo = 0;
}

/* The first in an empty limbo is retired for all that follow: whatever is in it when the grace
 * period starts (wr_rcu_flush(), on this thread) has left the table before. */
static void limbo_add(struct fib4_writer *w, uint32_t entry)
{
	if (w->n_limbo == LIMBO_MAX)
		wr_rcu_flush(w->rcu);
	if (!w->n_limbo)
		wr_rcu_retire(w->rcu, w, limbo_release, NULL);
	w->limbo[w->n_limbo++] = entry;
}

static void plan_drop(struct fib4_writer *w)
{
	for (unsigned i = 0; i < w->n_steps; i++) {
		if (w->plan[i].kind == STEP_NEW)
			node_free(w, w->plan[i].entry);
	}
	plan_clear(w);
}

/* The release stores pair with the readers' loads in fib4_root_load() and fib4_wide_step(), and
 * with what a value leads to: a next hop published before its route is seen by who sees the
 * route. */
static void step_store(const struct step *s)
{
	uint32_t *entry = s->at;

	if (s->kind == STEP_VALUE)
		wr_rcu_store(*(uint16_t *)s->at, (uint16_t)s->entry);
	if (s->kind != STEP_ENTRY)
		return;
	for (uint32_t i = 0; i < s->n; i++)
		wr_rcu_store(entry[i], s->entry);
}

/* Nothing may be retired before the last store: the grace period would start too early. */
static void plan_publish(struct fib4_writer *w)
{
	for (unsigned i = 0; i < w->n_steps; i++)
		step_store(&w->plan[i]);
	for (unsigned i = 0; i < w->n_steps; i++) {
		if (w->plan[i].kind == STEP_OLD)
			limbo_add(w, w->plan[i].entry);
	}
	plan_clear(w);
}

/* --- nodes: from and to 64 slots ------------------------------------------------------------- */

/* A node's slots as runs. */
struct runs {
	uint64_t starts;
	unsigned n;
	bool is_wide;
	uint32_t entry[FIB4_SLOTS];
};

static uint32_t node_run(const struct fib4_node *node, bool is_wide, unsigned run)
{
	const uint32_t *entries = node->entry;
	const uint16_t *values = node->value;

	return is_wide ? entries[run] : values[run];
}

/* The 64 slots that an entry, node or leaf, stands for. */
static void slots_read(struct fib4_writer *w, uint32_t entry, uint32_t *ret_slots)
{
	const struct fib4_node *node = node_of(w, entry);
	bool is_wide = entry & FIB4_IS_WIDE;
	bool is_node = entry & FIB4_IS_NODE;
	uint64_t starts = is_node ? node->starts : 0;
	uint32_t now = is_node ? node_run(node, is_wide, 0) : entry;
	unsigned run = 0;

	for (unsigned i = 0; i < FIB4_SLOTS; i++) {
		if (starts >> i & 1)
			now = node_run(node, is_wide, ++run);
		ret_slots[i] = now;
	}
}

static void runs_find(const uint32_t *slots, struct runs *ret_runs)
{
	uint64_t starts = 0;
	uint32_t any = slots[0];
	unsigned n = 1;

	ret_runs->entry[0] = slots[0];
	for (unsigned i = 1; i < FIB4_SLOTS; i++) {
		if (slots[i] == slots[i - 1])
			continue;
		starts |= UINT64_C(1) << i;
		any |= slots[i];
		ret_runs->entry[n++] = slots[i];
	}
	ret_runs->starts = starts;
	ret_runs->n = n;
	ret_runs->is_wide = any & FIB4_IS_NODE;
}

static void node_fill(struct fib4_node *node, const struct runs *runs)
{
	uint32_t *entries = node->entry;
	uint16_t *values = node->value;

	node->starts = runs->starts;
	for (unsigned i = 0; i < runs->n; i++) {
		if (runs->is_wide)
			entries[i] = runs->entry[i];
		else
			values[i] = (uint16_t)runs->entry[i];
	}
}

/* Same runs, other contents: each is stored where it stands. The room is reserved. */
static void plan_in_place(struct fib4_writer *w, uint32_t entry, const struct runs *runs)
{
	struct fib4_node *node = node_of(w, entry);
	uint32_t *entries = node->entry;
	uint16_t *values = node->value;

	for (unsigned i = 0; i < runs->n; i++) {
		if (node_run(node, runs->is_wide, i) == runs->entry[i])
			continue;
		if (runs->is_wide)
			plan_add(w, STEP_ENTRY, &entries[i], runs->entry[i], 1);
		else
			plan_add(w, STEP_VALUE, &values[i], runs->entry[i], 1);
	}
}

/* Plans that the slots take the place of `*entry`, which becomes what shall stand there. */
static int plan_slots(struct fib4_writer *w, const uint32_t *slots, uint32_t *entry)
{
	uint32_t old = *entry;
	struct runs runs;
	uint32_t unit;

	runs_find(slots, &runs);
	if (plan_reserve(w, FIB4_SLOTS) < 0)
		return -ENOMEM;
	if (old & FIB4_IS_NODE) {
		bool was_wide = old & FIB4_IS_WIDE;

		if (was_wide == runs.is_wide && node_of(w, old)->starts == runs.starts) {
			plan_in_place(w, old, &runs);
			return 0;
		}
		plan_add(w, STEP_OLD, NULL, old, 0);
	}
	if (runs.n == 1) {
		*entry = slots[0];
		return 0;
	}
	unit = block_alloc(&w->blocks, node_order(runs.n, runs.is_wide));
	if (!unit)
		return -ENOMEM;
	*entry = FIB4_IS_NODE | (runs.is_wide ? FIB4_IS_WIDE : 0) | unit * FIB4_UNIT_BYTES;
	node_fill(node_of(w, *entry), &runs);
	plan_add(w, STEP_NEW, NULL, *entry, 0);
	return 0;
}

/* --- painting the gaps ----------------------------------------------------------------------- */

/* Paints what gaps lie within the 64 slots of `*entry`: positions base .. base + (1 << shift) -
 * 1, not all of them. */
static int paint_node(struct fib4_writer *w, struct gaps *g, uint64_t base, unsigned shift,
		      uint16_t value, uint32_t *entry)
{
	uint64_t last = base | ((UINT64_C(1) << shift) - 1);
	unsigned sub = shift - FIB4_STRIDE_BITS;
	uint32_t slots[FIB4_SLOTS];

	slots_read(w, *entry, slots);
	while (g->lo <= last) {
		unsigned i = (unsigned)((g->lo - base) >> sub);
		uint64_t slot_lo = base + ((uint64_t)i << sub);
		uint64_t slot_end = slot_lo + (UINT64_C(1) << sub);

		if (g->lo == slot_lo && g->hi >= slot_end - 1) {
			slots[i] = value;
			gaps_skip(g, slot_end);
		} else if (paint_node(w, g, slot_lo, sub, value, &slots[i]) < 0) {
			return -ENOMEM;
		}
	}
	return plan_slots(w, slots, entry);
}

/* Plans the root's slot where the gap at hand starts, or all slots from there on that it fills. */
static int paint_root(struct fib4_writer *w, struct gaps *g, uint16_t value)
{
	uint32_t *root = (uint32_t *)(void *)(w->blocks.table.base + FIB4_ROOT_OFFSET);
	uint64_t slot = g->lo >> ROOT_SHIFT;
	uint64_t end = (g->hi + 1) >> ROOT_SHIFT;
	uint32_t entry = root[slot];
	uint32_t n = 1;

	if (g->lo == slot << ROOT_SHIFT && end > slot) {
		n = (uint32_t)(end - slot);
		entry = value;
		gaps_skip(g, end << ROOT_SHIFT);
	} else if (paint_node(w, g, slot << ROOT_SHIFT, ROOT_SHIFT, value, &entry) < 0) {
		return -ENOMEM;
	}
	if (entry == root[slot])
		return 0;
	if (plan_reserve(w, 1) < 0)
		return -ENOMEM;
	plan_add(w, STEP_ENTRY, &root[slot], entry, n);
	return 0;
}

/* Gives the addresses for which this prefix decides the value `to`; they have `from`. */
static int repaint(struct fib4_writer *w, const struct rib_node *n, uint16_t from, uint16_t to)
{
	struct gaps g;

	if (from == to)
		return 0;
	gaps_start(&g, &w->rib, n);
	while (g.lo != NO_GAP) {
		if (paint_root(w, &g, to) < 0) {
			plan_drop(w);
			return -ENOMEM;
		}
	}
	plan_publish(w);
	return 0;
}

/* --- interface ------------------------------------------------------------------------------- */

static bool is_valid(struct prefix4 p)
{
	return p.len <= 32 && !(ip4_to(p.addr) & ~ip4_mask(p.len));
}

int wr_fib4_set(struct fib4 *fib, struct prefix4 p, uint16_t value)
{
	struct fib4_writer *w = fib->writer;
	uint32_t addr = ip4_to(p.addr);
	uint16_t cover, old;
	uint32_t idx;

	if (!is_valid(p) || !value)
		return -EINVAL;
	idx = rib_insert(&w->rib, addr, p.len, &cover);
	if (!idx)
		return -ENOMEM;
	old = rib_node(&w->rib, idx)->value;
	if (repaint(w, rib_node(&w->rib, idx), old ? old : cover, value) < 0) {
		if (!old)
			rib_remove(&w->rib, addr, p.len);
		return -ENOMEM;
	}
	rib_node(&w->rib, idx)->value = value;
	w->n_routes += !old;
	return 0;
}

int wr_fib4_del(struct fib4 *fib, struct prefix4 p)
{
	struct fib4_writer *w = fib->writer;
	const struct rib_node *n;
	uint16_t cover;
	uint32_t idx;

	idx = is_valid(p) ? rib_find(&w->rib, ip4_to(p.addr), p.len, &cover) : 0;
	n = rib_node(&w->rib, idx);
	if (!idx || !n->value)
		return -ENOENT;
	if (repaint(w, n, n->value, cover) < 0)
		return -ENOMEM;
	rib_remove(&w->rib, ip4_to(p.addr), p.len);
	w->n_routes--;
	return 0;
}

uint16_t wr_fib4_get(const struct fib4 *fib, struct prefix4 p)
{
	struct rib *rib = &fib->writer->rib;
	uint16_t cover;
	uint32_t idx = is_valid(p) ? rib_find(rib, ip4_to(p.addr), p.len, &cover) : 0;

	return idx ? rib_node(rib, idx)->value : 0;
}

uint16_t wr_fib4_match(const struct fib4 *fib, struct ip4 a, struct prefix4 *ret_prefix)
{
	const struct rib *rib = &fib->writer->rib;
	const struct rib_node *best = NULL;
	uint32_t addr = ip4_to(a);
	uint32_t idx = rib->root;

	while (idx) {
		const struct rib_node *n = rib_node(rib, idx);

		if (!covers(n, addr, 32))
			break;
		if (n->value)
			best = n;
		idx = n->len < 32 ? n->child[branch(addr, n->len)] : 0;
	}
	if (!best)
		return 0;
	*ret_prefix = (struct prefix4){.addr = ip4_from(best->addr), .len = best->len};
	return best->value;
}

int wr_fib4_walk(const struct fib4 *fib, int (*each)(void *arg, struct prefix4, uint16_t value),
		 void *arg)
{
	struct rib_cursor c = {.rib = &fib->writer->rib};
	const struct rib_node *n;
	int r;

	cursor_push(&c, c.rib->root);
	while ((n = cursor_next(&c))) {
		struct prefix4 p = {.addr = ip4_from(n->addr), .len = n->len};

		r = each(arg, p, n->value);
		if (r)
			return r;
		cursor_push_children(&c, n);
	}
	return 0;
}

struct fib4_stats wr_fib4_stats(const struct fib4 *fib)
{
	const struct fib4_writer *w = fib->writer;

	return (struct fib4_stats){
		.n_routes = w->n_routes,
		.table_bytes = TABLE_HEAD_BYTES + w->blocks.used_bytes,
		.rib_bytes = w->rib.n_nodes * sizeof(struct rib_node),
	};
}

static bool cpu_has_popcnt(void)
{
#ifdef __x86_64__
	return __builtin_cpu_supports("popcnt");
#else
	return true;
#endif
}

int wr_fib4_create(struct rcu_writer *rcu, struct fib4 **ret_fib)
{
	struct fib4_writer *w = FIB4_FAULT() ? NULL : calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	if (blocks_init(&w->blocks) < 0)
		goto err_blocks;
	if (rib_init(&w->rib) < 0)
		goto err_rib;
	w->rcu = rcu;
	w->fib = (struct fib4){
		.table = w->blocks.table.base,
		.has_popcnt = cpu_has_popcnt(),
		.writer = w,
	};
	*ret_fib = &w->fib;
	return 0;
err_rib:
	blocks_fini(&w->blocks);
err_blocks:
	free(w);
	return -ENOMEM;
}

void wr_fib4_free(struct fib4 *fib)
{
	struct fib4_writer *w = fib ? fib->writer : NULL;

	if (!w)
		return;
	/* What is retired points to `w`. */
	if (w->n_limbo)
		wr_rcu_flush(w->rcu);
	arena_fini(&w->rib.nodes);
	blocks_fini(&w->blocks);
	free(w->plan);
	free(w);
}
