/* SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>

/* The n-th allocation from now on fails; 0: none does. */
static unsigned fault_at;

static bool fault(void)
{
	return fault_at && !--fault_at;
}

#define FIB4_FAULT() fault()
#include "cnet/fib/fib4.c"

/* --- chance ---------------------------------------------------------------------------------- */

static uint64_t seed;

/* xorshift64* */
static uint32_t rnd(void)
{
	seed ^= seed >> 12;
	seed ^= seed << 25;
	seed ^= seed >> 27;
	return (uint32_t)(seed * UINT64_C(0x2545f4914f6cdd1d) >> 32);
}

/* --- the oracle: a trie with one bit a step, all of it visible ------------------------------- */

enum { ORACLE_MAX = 1 << 20 };

struct oracle_node {
	uint32_t child[2];
	uint16_t value;
};

struct oracle {
	uint32_t n; /* nodes; 0 is the root; never freed */
	uint32_t n_routes;
	struct oracle_node node[ORACLE_MAX];
};

static uint16_t *oracle_at(struct oracle *o, struct prefix4 p)
{
	uint32_t idx = 0, addr = ip4_to(p.addr);

	for (unsigned i = 0; i < p.len; i++) {
		uint32_t *child = &o->node[idx].child[addr >> (31 - i) & 1];

		if (!*child) {
			assert_true(o->n + 1 < ORACLE_MAX);
			*child = ++o->n;
		}
		idx = *child;
	}
	return &o->node[idx].value;
}

static void oracle_put(struct oracle *o, struct prefix4 p, uint16_t value)
{
	uint16_t *at = oracle_at(o, p);

	o->n_routes += !*at && value;
	o->n_routes -= *at && !value;
	*at = value;
}

static uint16_t oracle_match(const struct oracle *o, uint32_t addr, struct prefix4 *ret_prefix)
{
	uint16_t best = o->node[0].value;
	uint32_t idx = 0;

	*ret_prefix = (struct prefix4){0};
	for (unsigned len = 1; len <= 32; len++) {
		idx = o->node[idx].child[addr >> (32 - len) & 1];
		if (!idx)
			break;
		if (o->node[idx].value) {
			best = o->node[idx].value;
			*ret_prefix =
				(struct prefix4){ip4_from(addr & ip4_mask(len)), (uint8_t)len};
		}
	}
	return best;
}

/* Every address of the window; it straddles borders of /15, /16, /17 and /18. */
enum { WINDOW_LO = 0x0a020000 - (1 << 14), WINDOW_SIZE = 1 << 15 };

static void oracle_paint(const struct oracle *o, uint32_t idx, uint64_t lo, unsigned len,
			 uint16_t cover, uint16_t *window)
{
	const struct oracle_node *n = &o->node[idx];
	uint64_t size = UINT64_C(1) << (32 - len);

	if (lo + size <= WINDOW_LO || lo >= WINDOW_LO + WINDOW_SIZE)
		return;
	cover = n->value ? n->value : cover;
	for (unsigned i = 0; i < 2; i++) {
		uint64_t from = lo + i * size / 2;
		uint64_t to = len == 32 ? lo + 1 : from + size / 2;

		if (len < 32 && n->child[i]) {
			oracle_paint(o, n->child[i], from, len + 1, cover, window);
			continue;
		}
		for (uint64_t a = from > WINDOW_LO ? from : WINDOW_LO;
		     a < to && a < WINDOW_LO + WINDOW_SIZE; a++)
			window[a - WINDOW_LO] = cover;
	}
}

/* --- one table, one oracle ------------------------------------------------------------------- */

struct pair {
	struct fib4 *fib;
	struct oracle *oracle;
	struct rcu_writer *rcu;
	struct ip4 *window_addrs;
};

static int setup(void **state)
{
	struct pair *t = test_calloc(1, sizeof(*t));

	seed = 20240607;
	fault_at = 0;
	t->oracle = calloc(1, sizeof(*t->oracle));
	t->rcu = test_calloc(1, sizeof(*t->rcu));
	t->window_addrs = test_calloc(WINDOW_SIZE, sizeof(*t->window_addrs));
	for (unsigned i = 0; i < WINDOW_SIZE; i++)
		t->window_addrs[i] = ip4_from(WINDOW_LO + i);
	assert_non_null(t->oracle);
	assert_int_equal(wr_fib4_create(t->rcu, &t->fib), 0);
	*state = t;
	return 0;
}

static int teardown(void **state)
{
	struct pair *t = *state;

	wr_fib4_free(t->fib);
	wr_rcu_flush(t->rcu);
	test_free(t->rcu);
	free(t->oracle);
	test_free(t->window_addrs);
	test_free(t);
	return 0;
}

static struct prefix4 prefix(uint32_t addr, unsigned len)
{
	return (struct prefix4){ip4_from(addr & ip4_mask(len)), (uint8_t)len};
}

static void both_put(struct pair *t, struct prefix4 p, uint16_t value)
{
	if (value)
		assert_int_equal(wr_fib4_set(t->fib, p, value), 0);
	else
		assert_int_equal(wr_fib4_del(t->fib, p), *oracle_at(t->oracle, p) ? 0 : -ENOENT);
	oracle_put(t->oracle, p, value);
	assert_int_equal(wr_fib4_get(t->fib, p), value);
	assert_int_equal(wr_fib4_stats(t->fib).n_routes, t->oracle->n_routes);
}

static void check_address(const struct pair *t, uint32_t addr)
{
	struct prefix4 want_prefix, prefix = {0};
	uint16_t want = oracle_match(t->oracle, addr, &want_prefix);
	struct ip4 a = ip4_from(addr);
	uint16_t bulk;

	wr_fib4_lookup_bulk(t->fib, &a, &bulk, 1);
	if (wr_fib4_lookup(t->fib, a) != want || bulk != want)
		fail_msg("%08x: %u, in bulk %u, not %u", addr, wr_fib4_lookup(t->fib, a), bulk,
			 want);
	assert_int_equal(wr_fib4_match(t->fib, a, &prefix), want);
	if (want) {
		assert_int_equal(prefix.len, want_prefix.len);
		assert_int_equal(prefix.addr.raw, want_prefix.addr.raw);
	}
}

static void check_window(const struct pair *t)
{
	static uint16_t want[WINDOW_SIZE], got[WINDOW_SIZE];
	unsigned part = 1 + rnd() % 300;

	oracle_paint(t->oracle, 0, 0, 0, 0, want);
	for (unsigned i = 0; i < WINDOW_SIZE; i++) {
		uint16_t v = wr_fib4_lookup(t->fib, t->window_addrs[i]);

		if (v != want[i])
			fail_msg("%08x: %u, not %u", WINDOW_LO + i, v, want[i]);
	}
	for (unsigned i = 0; i < WINDOW_SIZE; i += part) {
		unsigned n = i + part < WINDOW_SIZE ? part : WINDOW_SIZE - i;

		wr_fib4_lookup_bulk(t->fib, t->window_addrs + i, got + i, n);
	}
	assert_memory_equal(got, want, sizeof(want));
}

static void check_edges(const struct pair *t, struct prefix4 p)
{
	uint32_t lo = ip4_to(p.addr), hi = lo | ~ip4_mask(p.len);

	check_address(t, lo);
	check_address(t, hi);
	check_address(t, lo - 1);
	check_address(t, hi + 1);
	check_address(t, lo + rnd() % ((uint64_t)hi - lo + 1));
}

struct walked {
	const struct pair *t;
	uint64_t n;
	uint64_t last; /* address and length of the one before */
	int stop_at;
};

static int check_walked(void *arg, struct prefix4 p, uint16_t value)
{
	struct walked *w = arg;
	uint64_t now = (uint64_t)ip4_to(p.addr) << 8 | p.len;

	assert_int_equal(value, *oracle_at(w->t->oracle, p));
	assert_true(value);
	assert_true(!w->n || now > w->last);
	w->last = now;
	w->n++;
	check_edges(w->t, p);
	return w->stop_at && (int)w->n == w->stop_at ? -EINTR : 0;
}

static void check_walk(const struct pair *t)
{
	struct walked w = {.t = t};

	assert_int_equal(wr_fib4_walk(t->fib, check_walked, &w), 0);
	assert_int_equal(w.n, t->oracle->n_routes);
	if (w.n < 2)
		return;
	w = (struct walked){.t = t, .stop_at = 2};
	assert_int_equal(wr_fib4_walk(t->fib, check_walked, &w), -EINTR);
	assert_int_equal(w.n, 2);
}

/* The bytes of a node and of those below. It has no superfluous run and is no wider than it must
 * be. */
static size_t check_node(struct fib4_writer *w, uint32_t entry, unsigned depth)
{
	const struct fib4_node *node = node_of(w, entry);
	unsigned n = (unsigned)__builtin_popcountll(node->starts) + 1;
	bool is_wide = entry & FIB4_IS_WIDE, has_node = false;
	size_t bytes = (size_t)FIB4_UNIT_BYTES << node_order(n, is_wide);

	assert_true(depth < 3 && n > 1);
	assert_false(node->starts & 1);
	for (unsigned i = 0; i < n; i++) {
		uint32_t e = node_run(node, is_wide, i);

		assert_true(!i || e != node_run(node, is_wide, i - 1));
		if (e & FIB4_IS_NODE) {
			has_node = true;
			bytes += check_node(w, e, depth + 1);
		}
	}
	assert_int_equal(has_node, is_wide);
	return bytes;
}

/* Every block is in the table or free: nothing leaks. */
static void check_memory(const struct pair *t)
{
	struct fib4_writer *w = t->fib->writer;
	const uint32_t *root = (const uint32_t *)(const void *)(t->fib->table + FIB4_ROOT_OFFSET);
	const struct fib4_node *null_node = (const struct fib4_node *)(const void *)t->fib->table;
	size_t bytes = 0, free_bytes = 0;

	wr_rcu_flush(t->rcu);
	for (unsigned i = 0; i < ROOT_SLOTS; i++) {
		if (root[i] & FIB4_IS_NODE)
			bytes += check_node(w, root[i], 0);
	}
	assert_int_equal(bytes, w->blocks.used_bytes);
	assert_int_equal(wr_fib4_stats(t->fib).table_bytes, TABLE_HEAD_BYTES + bytes);
	for (unsigned order = 0; order < N_ORDERS; order++) {
		for (uint32_t u = w->blocks.free[order]; u; u = free_block(&w->blocks, u)->next)
			free_bytes += (size_t)FIB4_UNIT_BYTES << order;
	}
	assert_int_equal(TABLE_HEAD_BYTES + bytes + free_bytes, w->blocks.table.used_bytes);
	assert_true(null_node->starts == 0 && null_node->value[0] == 0);
	assert_true(w->rib.n_nodes <= 2 * w->n_routes);
}

static void check_empty(struct pair *t)
{
	struct fib4_stats s;

	check_memory(t);
	s = wr_fib4_stats(t->fib);
	assert_int_equal(s.n_routes, 0);
	assert_int_equal(s.table_bytes, TABLE_HEAD_BYTES);
	assert_int_equal(s.rib_bytes, 0);
	check_window(t);
	/* Blocks have grown together again: there are only whole pages. */
	for (unsigned order = 0; order < PAGE_ORDER; order++)
		assert_int_equal(t->fib->writer->blocks.free[order], 0);
}

static int collect(void *arg, struct prefix4 p, uint16_t value)
{
	struct prefix4 **next = arg;

	(void)value;
	*(*next)++ = p;
	return 0;
}

/* In random order. */
static void delete_all(struct pair *t)
{
	unsigned n = t->oracle->n_routes;
	struct prefix4 *all = calloc(n + 1, sizeof(*all)), *next = all;

	assert_non_null(all);
	assert_int_equal(wr_fib4_walk(t->fib, collect, &next), 0);
	for (; n > 0; n--) {
		unsigned k = rnd() % n;

		both_put(t, all[k], 0);
		if (n % 64 == 0)
			check_window(t);
		all[k] = all[n - 1];
	}
	free(all);
	check_empty(t);
}

/* Clusters, nests, borders; few distinct values, so that runs merge and nodes collapse. */
static struct prefix4 rnd_prefix(void)
{
	static const uint8_t border_len[] = {15, 16, 17, 18, 19, 23, 24, 25, 29, 30, 31, 32};
	uint32_t addr = WINDOW_LO + rnd() % WINDOW_SIZE;
	unsigned len = 14 + rnd() % 19;

	switch (rnd() % 8) {
	case 0:
		len = rnd() % 33;
		break;
	case 1:
		addr = 0x0a020000 - 4 + rnd() % 8;
		len = 24 + rnd() % 9;
		break;
	case 2:
		len = border_len[rnd() % wr_array_size(border_len)];
		break;
	case 3:
		addr = rnd() % 2 ? rnd() % 3 : ~(rnd() % 3);
		len = rnd() % 33;
		break;
	case 4:
		addr = rnd();
		break;
	default:
		break;
	}
	return prefix(addr, len);
}

static uint16_t rnd_value(void)
{
	return (uint16_t)(rnd() % 16 ? 1 + rnd() % 3 : 1 + rnd() % 65535);
}

/* --- tests ----------------------------------------------------------------------------------- */

static void test_rejects(void **state)
{
	struct pair *t = *state;
	struct prefix4 p = {ip4_from(0x0a000001), 24};

	assert_int_equal(wr_fib4_set(t->fib, p, 1), -EINVAL);
	assert_int_equal(wr_fib4_set(t->fib, (struct prefix4){ip4_from(0), 33}, 1), -EINVAL);
	assert_int_equal(wr_fib4_set(t->fib, (struct prefix4){ip4_from(1), 0}, 1), -EINVAL);
	assert_int_equal(wr_fib4_set(t->fib, prefix(0x0a000000, 24), 0), -EINVAL);
	assert_int_equal(wr_fib4_del(t->fib, p), -ENOENT);
	assert_int_equal(wr_fib4_del(t->fib, (struct prefix4){ip4_from(0), 33}), -ENOENT);
	assert_int_equal(wr_fib4_get(t->fib, p), 0);
	check_empty(t);
}

/* A prefix that is only a parting of two others is not a route; nor is a longer or shorter one. */
static void test_exact(void **state)
{
	struct pair *t = *state;

	both_put(t, prefix(0x0a010000, 17), 5);
	both_put(t, prefix(0x0a018000, 17), 6);
	assert_int_equal(wr_fib4_get(t->fib, prefix(0x0a010000, 16)), 0);
	assert_int_equal(wr_fib4_del(t->fib, prefix(0x0a010000, 16)), -ENOENT);
	assert_int_equal(wr_fib4_del(t->fib, prefix(0x0a010000, 18)), -ENOENT);
	assert_int_equal(wr_fib4_del(t->fib, prefix(0, 0)), -ENOENT);
	both_put(t, prefix(0x0a010000, 16), 7);
	both_put(t, prefix(0x0a010000, 17), 0);
	check_edges(t, prefix(0x0a010000, 17));
	check_walk(t);
	delete_all(t);
}

/* Each length alone, with a default route, and with a covering and a covered prefix, at both
 * ends of the address space. */
static void test_lengths(void **state)
{
	static const uint32_t addrs[] = {0,          0xffffffff, 0x0a01ffff,
					 0x0a020000, 0x80000000, 0x7fffffff};
	struct pair *t = *state;

	for (unsigned i = 0; i < wr_array_size(addrs); i++) {
		for (unsigned len = 0; len <= 32; len++) {
			struct prefix4 p = prefix(addrs[i], len);

			both_put(t, p, 7);
			check_walk(t);
			both_put(t, prefix(0, 0), 1);
			both_put(t, prefix(addrs[i], len + (len < 32)), 65535);
			both_put(t, prefix(addrs[i], len / 2), 3);
			check_walk(t);
			both_put(t, p, 0);
			check_walk(t);
			check_edges(t, p);
			delete_all(t);
		}
	}
}

/* All 64 slots of a node different: the largest nodes of each kind. */
static void test_full_nodes(void **state)
{
	struct pair *t = *state;

	for (unsigned i = 0; i < 64; i++)
		both_put(t, prefix(0x0a01c000 + (i << 8), 24), (uint16_t)(1000 + i));
	check_window(t);
	for (unsigned i = 0; i < 64; i++)
		both_put(t, prefix(0x0a01c000 + (i << 8) + 4 * i, 30), (uint16_t)(2000 + i));
	check_window(t);
	for (unsigned i = 0; i < 256; i++)
		both_put(t, prefix(0x0a01ff00 + i, 32), (uint16_t)(3000 + i));
	check_window(t);
	check_walk(t);
	check_memory(t);
	delete_all(t);
}

static void test_random(void **state)
{
	struct pair *t = *state;
	unsigned n_steps = 1200;

	for (unsigned i = 0; i < n_steps; i++) {
		struct prefix4 p = rnd_prefix();
		/* Grow, hold, shrink. */
		bool del = rnd() % 100 < (i < n_steps / 3 ? 20 : i < n_steps * 2 / 3 ? 50 : 70);

		both_put(t, p, del ? 0 : rnd_value());
		t->fib->has_popcnt = i % 2 ? cpu_has_popcnt() : false;
		check_edges(t, p);
		check_window(t);
		for (unsigned k = 0; k < 8; k++)
			check_address(t, rnd());
		if (i % 64 == 0) {
			check_walk(t);
			check_memory(t);
		}
	}
	t->fib->has_popcnt = cpu_has_popcnt();
	delete_all(t);
}

/* Many prefixes; then the short ones above them come and go, which touches all of the table. */
static void test_many(void **state)
{
	struct pair *t = *state;

	for (unsigned i = 0; i < 20000; i++) {
		uint32_t addr = rnd() % 4 ? (rnd() % 64) << 18 | (rnd() & 0x3ffff) : rnd();

		both_put(t, prefix(addr, rnd() % 8 ? 24 - rnd() % 6 : 25 + rnd() % 8), rnd_value());
	}
	check_walk(t);
	check_memory(t);
	for (unsigned i = 0; i < 60; i++) {
		both_put(t, prefix(rnd() % 2 ? 0 : rnd(), rnd() % 10), rnd() % 3 ? rnd_value() : 0);
		for (unsigned k = 0; k < 2000; k++)
			check_address(t, rnd() >> (rnd() % 9));
		check_window(t);
	}
	check_walk(t);
	check_memory(t);
	delete_all(t);
}

/* Without anybody flushing, the writer waits by itself and what waits for a grace period stays
 * bounded. */
static void test_limbo(void **state)
{
	struct pair *t = *state;

	for (unsigned i = 0; i < 6 * LIMBO_MAX; i++) {
		both_put(t, prefix(0x0a014000, 24), i % 2 ? 0 : 1);
		assert_true(t->fib->writer->n_limbo <= LIMBO_MAX);
		assert_true(t->rcu->n <= 1);
	}
	assert_true(t->rcu->n_grace_periods >= 2);
	check_empty(t);
}

static void test_blocks(void **state)
{
	enum { N = 2000 };
	static struct {
		uint32_t unit;
		unsigned order;
	} have[N];
	struct pair *t = *state;
	struct blocks *b = &t->fib->writer->blocks;

	for (unsigned i = 0; i < 100000; i++) {
		unsigned k = rnd() % N, order = rnd() % N_ORDERS;
		size_t bytes;

		if (have[k].unit) {
			const uint32_t *p = (const uint32_t *)(void *)free_block(b, have[k].unit);

			bytes = (size_t)FIB4_UNIT_BYTES << have[k].order;
			for (unsigned j = 0; j < bytes / 4; j++)
				assert_int_equal(p[j], k);
			block_free(b, have[k].unit, have[k].order);
		}
		if (i >= 90000) {
			have[k].unit = 0;
			continue;
		}
		have[k].order = order;
		have[k].unit = block_alloc(b, order);
		assert_true(have[k].unit);
		assert_int_equal(have[k].unit % (1U << order), 0);
		for (unsigned j = 0; j < FIB4_UNIT_BYTES / 4U << order; j++)
			((uint32_t *)(void *)free_block(b, have[k].unit))[j] = k;
	}
	for (unsigned k = 0; k < N; k++) {
		if (have[k].unit)
			block_free(b, have[k].unit, have[k].order);
	}
	check_empty(t);
}

/* --- memory runs out ------------------------------------------------------------------------- */

static void check_unchanged(const struct pair *t, struct fib4_stats before)
{
	struct fib4_stats now = wr_fib4_stats(t->fib);

	assert_memory_equal(&now, &before, sizeof(now));
	check_window(t);
}

/* Does it again and again, each time with a later allocation failing, until none does. Returns
 * how often it failed. */
static unsigned put_with_faults(struct pair *t, struct prefix4 p, uint16_t value)
{
	struct fib4_stats before;

	wr_rcu_flush(t->rcu);
	before = wr_fib4_stats(t->fib);
	for (unsigned n = 1;; n++) {
		int r;

		fault_at = n;
		r = value ? wr_fib4_set(t->fib, p, value) : wr_fib4_del(t->fib, p);
		if (fault_at) {
			fault_at = 0;
			assert_int_equal(r, 0);
			oracle_put(t->oracle, p, value);
			assert_int_equal(wr_fib4_get(t->fib, p), value);
			check_window(t);
			return n - 1;
		}
		assert_int_equal(r, -ENOMEM);
		assert_int_equal(wr_fib4_get(t->fib, p), *oracle_at(t->oracle, p));
		check_unchanged(t, before);
		check_edges(t, p);
		assert_int_equal(t->fib->writer->n_limbo, 0);
	}
}

static void test_faults(void **state)
{
	struct pair *t = *state;
	unsigned n_failed = 0;

	for (unsigned i = 0; i < 200; i++) {
		struct prefix4 p = rnd_prefix();

		/* The plan's room is kept between changes; without it, it is allocated, and may
		 * fail, each time. */
		free(t->fib->writer->plan);
		t->fib->writer->plan = NULL;
		t->fib->writer->max_steps = 0;
		n_failed += put_with_faults(t, p, *oracle_at(t->oracle, p) ? 0 : rnd_value());
		if (i % 32 == 0) {
			check_walk(t);
			check_memory(t);
		}
	}
	n_failed += put_with_faults(t, prefix(0, 0), 77);
	n_failed += put_with_faults(t, prefix(0x0a000000, 8), 78);
	assert_true(n_failed > 400);
	check_walk(t);
	delete_all(t);
}

static void test_create_faults(void **state)
{
	struct rcu_writer *rcu = ((struct pair *)*state)->rcu;
	struct fib4 *fib = NULL;
	int r = -ENOMEM;
	unsigned n = 0;

	while (r < 0) {
		fault_at = ++n;
		r = wr_fib4_create(rcu, &fib);
		assert_true(r == 0 || (r == -ENOMEM && !fib));
	}
	fault_at = 0;
	assert_int_equal(n, 4);
	wr_fib4_free(fib);
	wr_fib4_free(NULL);
}

/* The address space of the table, then that of the RIB, is at its end. */
static void test_bounds(void **state)
{
	struct pair *t = *state;
	struct fib4_writer *w = t->fib->writer;
	struct fib4_stats before;
	uint32_t i = 0;
	int r;

	w->blocks.table.max_bytes = w->blocks.table.committed_bytes;
	do {
		before = wr_fib4_stats(t->fib);
		r = wr_fib4_set(t->fib, prefix(i << 14, 32), (uint16_t)(1 + i % 5));
		if (!r)
			oracle_put(t->oracle, prefix(i << 14, 32), (uint16_t)(1 + i % 5));
		i++;
	} while (!r);
	assert_int_equal(r, -ENOMEM);
	check_unchanged(t, before);
	w->blocks.table.max_bytes = TABLE_MAX_BYTES;
	w->rib.nodes.max_bytes = w->rib.nodes.committed_bytes;
	do {
		before = wr_fib4_stats(t->fib);
		r = wr_fib4_set(t->fib, prefix(++i << 12, 20), 9);
		if (!r)
			oracle_put(t->oracle, prefix(i << 12, 20), 9);
	} while (!r);
	assert_int_equal(r, -ENOMEM);
	check_unchanged(t, before);
	w->rib.nodes.max_bytes = RIB_MAX_BYTES;
	delete_all(t);
}

/* What waits for a grace period refers to the table; freeing the table takes it along. */
static void test_free_pending(void **state)
{
	struct rcu_writer *rcu = ((struct pair *)*state)->rcu;
	struct fib4 *fib = NULL;

	assert_int_equal(wr_fib4_create(rcu, &fib), 0);
	assert_int_equal(wr_fib4_set(fib, prefix(0x0a014000, 24), 1), 0);
	assert_int_equal(wr_fib4_del(fib, prefix(0x0a014000, 24)), 0);
	assert_int_equal(rcu->n, 1);
	wr_fib4_free(fib);
	assert_int_equal(rcu->n, 0);
}

/* --- a reader beside the writer -------------------------------------------------------------- */

/* Prefixes that come and go, none within another; so an address has its prefix's value or the
 * cover's. */
static const struct {
	uint32_t addr;
	uint8_t len;
} flapping[] = {
	{0x0a400000, 10}, {0x0a108000, 17}, {0x0a114000, 18}, {0x0a120000, 19}, {0x0a122000, 20},
	{0x0a124000, 24}, {0x0a124200, 24}, {0x0a124300, 25}, {0x0a124380, 26}, {0x0a1243f0, 29},
	{0x0a1243fc, 30}, {0x0a124400, 31}, {0x0a124402, 32}, {0x0a124403, 32}, {0x0a127f00, 24},
};

enum {
	COVER = 2,
	DEFAULT_A = 1,
	DEFAULT_B = 3,
	FIRST_FLAPPING = 100,
	N_FLIPS = 20000,
	N_READ = 256
};

struct race {
	struct fib4 *fib;
	bool stop;
	bool started;
	unsigned n_wrong;
	struct ip4 addrs[N_READ];
	uint16_t allowed[N_READ][2];
};

static void race_addr(struct race *r, unsigned i)
{
	unsigned k = rnd() % (wr_array_size(flapping) + 2);
	uint32_t addr;

	if (k < wr_array_size(flapping)) {
		addr = flapping[k].addr | (rnd() & ~ip4_mask(flapping[k].len));
		r->allowed[i][0] = (uint16_t)(FIRST_FLAPPING + k);
		r->allowed[i][1] = COVER;
	} else if (k == wr_array_size(flapping)) {
		addr = 0x0b000000 + rnd() % 0x1000000;
		r->allowed[i][0] = DEFAULT_A;
		r->allowed[i][1] = DEFAULT_B;
	} else { /* between those that flap: never changes */
		addr = 0x0a124100 + rnd() % 256;
		r->allowed[i][0] = r->allowed[i][1] = COVER;
	}
	r->addrs[i] = ip4_from(addr);
}

static void *race_reader(void *arg)
{
	struct race *r = arg;
	uint16_t got[N_READ];
	unsigned n_wrong = 0;

	wr_rcu_register();
	__atomic_store_n(&r->started, true, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&r->stop, __ATOMIC_ACQUIRE)) {
		wr_fib4_lookup_bulk(r->fib, r->addrs, got, N_READ);
		for (unsigned i = 0; i < N_READ; i++) {
			uint16_t one = wr_fib4_lookup(r->fib, r->addrs[i]);

			n_wrong += got[i] != r->allowed[i][0] && got[i] != r->allowed[i][1];
			n_wrong += one != r->allowed[i][0] && one != r->allowed[i][1];
		}
		wr_rcu_quiesce();
	}
	wr_rcu_unregister();
	r->n_wrong = n_wrong;
	return NULL;
}

static void race_write(struct pair *t)
{
	for (unsigned i = 0; i < N_FLIPS; i++) {
		unsigned k = rnd() % wr_array_size(flapping);
		struct prefix4 p = prefix(flapping[k].addr, flapping[k].len);

		both_put(t, p, wr_fib4_get(t->fib, p) ? 0 : (uint16_t)(FIRST_FLAPPING + k));
		if (i % 64 == 0)
			both_put(t, prefix(0, 0), i / 64 % 2 ? DEFAULT_A : DEFAULT_B);
		/* Freed nodes are used again at once: a reader that still held one would see it. */
		if (i % 16 == 0)
			wr_rcu_flush(t->rcu);
	}
}

static void test_race(void **state)
{
	struct pair *t = *state;
	struct race *r = test_calloc(1, sizeof(*r));
	pthread_t thread;

	r->fib = t->fib;
	for (unsigned i = 0; i < N_READ; i++)
		race_addr(r, i);
	both_put(t, prefix(0, 0), DEFAULT_A);
	both_put(t, prefix(0x0a000000, 8), COVER);
	assert_int_equal(pthread_create(&thread, NULL, race_reader, r), 0);
	while (!__atomic_load_n(&r->started, __ATOMIC_ACQUIRE))
		sched_yield();
	race_write(t);
	__atomic_store_n(&r->stop, true, __ATOMIC_RELEASE);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(r->n_wrong, 0);
	test_free(r);
	check_walk(t);
	delete_all(t);
}

#define unit(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		unit(test_rejects),       unit(test_exact),  unit(test_lengths),
		unit(test_full_nodes),    unit(test_random), unit(test_many),
		unit(test_limbo),         unit(test_blocks), unit(test_faults),
		unit(test_create_faults), unit(test_bounds), unit(test_free_pending),
		unit(test_race),
	};

	return cmocka_run_group_tests_name("fib4", tests, NULL, NULL);
}
