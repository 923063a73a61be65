/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Times the IPv4 table with a table like the Internet's: bytes, build, lookups, updates under a
 * reader. Beside it, what it replaces: DIR-24-8 as one array of 2^24 words (enough for prefixes up
 * to /24), filled from the same routes.
 *
 *   fib4 [ROUTES [SEED]]
 */
#include "cnet/fib/fib4_lookup.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

enum { N_ADDRS = 1 << 20, N_VALUES = 64, N_UPDATES = 1000000, VECTOR = 256, ROUNDS = 5 };

struct route {
	struct prefix4 prefix;
	uint16_t value;
};

struct table {
	unsigned n;
	struct route *route;
};

struct bench {
	struct fib4 *fib;
	uint32_t *dir24;
	struct ip4 *addrs;
	uint64_t rnd;
	bool stop;
	uint64_t n_read;
	unsigned sink; /* so that the compiler keeps the lookups */
};

static double now_s(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* xorshift64* */
static uint32_t rnd(struct bench *b)
{
	b->rnd ^= b->rnd >> 12;
	b->rnd ^= b->rnd << 25;
	b->rnd ^= b->rnd >> 27;
	return (uint32_t)(b->rnd * UINT64_C(0x2545f4914f6cdd1d) >> 32);
}

/* Per mille of the routes with each length, roughly as seen in the default-free zone. */
static const struct {
	uint8_t len;
	uint16_t per_mille;
} lengths[] = {
	{24, 600}, {23, 110}, {22, 110}, {21, 60}, {20, 45}, {19, 30}, {18, 15}, {17, 9},
	{16, 14},  {15, 2},   {14, 2},   {13, 1},  {12, 1},  {11, 0},  {10, 0},  {8, 1},
};

static unsigned rnd_len(struct bench *b)
{
	unsigned r = rnd(b) % 1000, sum = 0;

	for (unsigned i = 0; i < wr_array_size(lengths); i++) {
		sum += lengths[i].per_mille;
		if (r < sum)
			return lengths[i].len;
	}
	return 24;
}

/* Routes come in clusters: many neighbours of the same length, with a few next hops among them.
 * Unicast space. */
static void table_make(struct bench *b, struct table *t)
{
	struct fib4 *seen = b->fib;
	unsigned n = 0;

	while (n < t->n) {
		unsigned len = rnd_len(b), burst = 1 + rnd(b) % (len > 20 ? 24 : 4);
		uint32_t addr = ((rnd(b) % 223 + 1) << 24 | (rnd(b) & 0xffffff)) & ip4_mask(len);
		uint16_t value = (uint16_t)(1 + rnd(b) % N_VALUES);

		for (; burst && n < t->n && addr >> 24 < 224; burst--, addr += ~ip4_mask(len) + 1) {
			struct prefix4 p = {ip4_from(addr), (uint8_t)len};

			if (rnd(b) % 3 == 0)
				value = (uint16_t)(1 + rnd(b) % N_VALUES);
			if (rnd(b) % 8 == 0 || wr_fib4_get(seen, p))
				continue;
			if (wr_fib4_set(seen, p, value) < 0)
				exit(1);
			t->route[n++] = (struct route){p, value};
		}
	}
	for (unsigned i = 0; i < n; i++)
		(void)wr_fib4_del(seen, t->route[i].prefix);
}

static int cmp_route(const void *a, const void *b)
{
	const struct prefix4 *p = &((const struct route *)a)->prefix;
	const struct prefix4 *q = &((const struct route *)b)->prefix;

	if (p->addr.raw == q->addr.raw)
		return p->len - q->len;
	return ip4_to(p->addr) < ip4_to(q->addr) ? -1 : 1;
}

static void table_load(struct bench *b, const struct table *t, const char *what)
{
	double start = now_s();

	for (unsigned i = 0; i < t->n; i++) {
		if (wr_fib4_set(b->fib, t->route[i].prefix, t->route[i].value) < 0)
			exit(1);
	}
	printf("%-34s %8.0f ms  %6.2f M routes/s\n", what, (now_s() - start) * 1e3,
	       t->n / (now_s() - start) / 1e6);
}

static void table_unload(struct bench *b, const struct table *t)
{
	double start = now_s();

	for (unsigned i = 0; i < t->n; i++)
		(void)wr_fib4_del(b->fib, t->route[i].prefix);
	printf("%-34s %8.0f ms\n", "withdraw all", (now_s() - start) * 1e3);
}

static void report_stats(const struct bench *b, const char *what)
{
	struct fib4_stats s = wr_fib4_stats(b->fib);

	printf("%-34s %8llu routes, table %.2f MiB, rib %.2f MiB\n", what,
	       (unsigned long long)s.n_routes, (double)s.table_bytes / 1048576,
	       (double)s.rib_bytes / 1048576);
}

static void dir24_fill(struct bench *b)
{
	size_t bytes = sizeof(uint32_t) << 24;

	b->dir24 = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (b->dir24 == MAP_FAILED)
		exit(1);
	(void)madvise(b->dir24, bytes, MADV_HUGEPAGE);
	for (uint32_t i = 0; i < 1U << 24; i++)
		b->dir24[i] = 1U << 24 | wr_fib4_lookup(b->fib, ip4_from(i << 8));
}

static unsigned run_single(const struct bench *b, const struct ip4 *a)
{
	unsigned sum = 0;

	for (unsigned i = 0; i < VECTOR; i++)
		sum += wr_fib4_lookup(b->fib, a[i]);
	return sum;
}

static unsigned run_bulk(const struct bench *b, const struct ip4 *a)
{
	uint16_t values[VECTOR];
	unsigned sum = 0;

	wr_fib4_lookup_bulk(b->fib, a, values, VECTOR);
	for (unsigned i = 0; i < VECTOR; i++)
		sum += values[i];
	return sum;
}

static unsigned run_dir24(const struct bench *b, const struct ip4 *a)
{
	unsigned sum = 0;

	for (unsigned i = 0; i < VECTOR; i++) {
		uint32_t e = b->dir24[ip4_to(a[i]) >> 8];

		if (wr_unlikely((e & 3U << 24) == 3U << 24))
			e = 0;
		sum += e & 0xffff;
	}
	return sum;
}

/* Each lookup starts when the one before is done. */
static unsigned run_chain(const struct bench *b, const struct ip4 *a)
{
	unsigned sum = 0;

	for (unsigned i = 0; i < VECTOR; i++)
		sum += wr_fib4_lookup(b->fib, (struct ip4){a[i].raw ^ (sum & 0x40000000)});
	return sum;
}

static double time_lookups(const struct bench *b,
			   unsigned (*run)(const struct bench *, const struct ip4 *))
{
	static volatile unsigned sink;
	double start = now_s();

	for (unsigned i = 0; i < N_ADDRS; i += VECTOR)
		sink = sink + run(b, b->addrs + i);
	return (now_s() - start) * 1e9 / N_ADDRS;
}

static int cmp_double(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void bench_lookups(const struct bench *b, const char *what)
{
	static unsigned (*const runs[])(const struct bench *, const struct ip4 *) = {
		run_bulk, run_single, run_chain, run_dir24};
	double ns[wr_array_size(runs)][ROUNDS];

	for (unsigned round = 0; round < ROUNDS; round++) {
		for (unsigned i = 0; i < wr_array_size(runs); i++)
			ns[i][round] = time_lookups(b, runs[i]);
	}
	for (unsigned i = 0; i < wr_array_size(runs); i++)
		qsort(ns[i], ROUNDS, sizeof(double), cmp_double);
	printf("%-34s bulk %5.2f  single %5.2f  chained %5.2f  dir-24-8 %5.2f  ratio %.2f\n", what,
	       ns[0][ROUNDS / 2], ns[1][ROUNDS / 2], ns[2][ROUNDS / 2], ns[3][ROUNDS / 2],
	       ns[3][ROUNDS / 2] / ns[0][ROUNDS / 2]);
}

static void *reader(void *arg)
{
	struct bench *b = arg;
	unsigned sum = 0;
	uint64_t n = 0;

	wr_rcu_register();
	for (unsigned i = 0; !__atomic_load_n(&b->stop, __ATOMIC_RELAXED);
	     i = (i + VECTOR) % N_ADDRS) {
		sum += run_bulk(b, b->addrs + i);
		n += VECTOR;
		wr_rcu_quiesce();
	}
	wr_rcu_unregister();
	b->n_read = n;
	b->sink = sum;
	return NULL;
}

/* A third each: withdraw, announce again, change the next hop. */
static void bench_updates(struct bench *b, const struct table *t, const struct rcu_writer *rcu)
{
	uint64_t before = rcu->n_grace_periods;
	pthread_t thread;
	double start, took;

	b->stop = false;
	if (pthread_create(&thread, NULL, reader, b))
		exit(1);
	start = now_s();
	for (unsigned i = 0; i < N_UPDATES / 3; i++) {
		unsigned k = rnd(b) % t->n, m = rnd(b) % t->n;

		(void)wr_fib4_del(b->fib, t->route[k].prefix);
		(void)wr_fib4_set(b->fib, t->route[k].prefix, t->route[k].value);
		(void)wr_fib4_set(b->fib, t->route[m].prefix, (uint16_t)(1 + rnd(b) % N_VALUES));
	}
	took = now_s() - start;
	__atomic_store_n(&b->stop, true, __ATOMIC_RELAXED);
	(void)pthread_join(thread, NULL);
	printf("%-34s %8.0f ms  %6.2f M routes/s, %llu grace periods, reader at %.1f ns a lookup\n",
	       "updates, a reader running", took * 1e3, N_UPDATES / took / 1e6,
	       (unsigned long long)(rcu->n_grace_periods - before), took * 1e9 / (double)b->n_read);
}

static void bench_default(struct bench *b)
{
	struct prefix4 any = {ip4_from(0), 0};
	double start = now_s(), set, change;

	(void)wr_fib4_set(b->fib, any, 1);
	set = now_s();
	(void)wr_fib4_set(b->fib, any, 2);
	change = now_s();
	report_stats(b, "with a default route");
	(void)wr_fib4_del(b->fib, any);
	printf("%-34s add %.0f ms, change %.0f ms, delete %.0f ms\n", "default route",
	       (set - start) * 1e3, (change - set) * 1e3, (now_s() - change) * 1e3);
}

static void shuffle(struct bench *b, struct table *t)
{
	for (unsigned i = t->n - 1; i > 0; i--) {
		unsigned k = rnd(b) % (i + 1);
		struct route r = t->route[i];

		t->route[i] = t->route[k];
		t->route[k] = r;
	}
}

int main(int argc, char **argv)
{
	struct table t = {.n = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 1000000};
	struct bench b = {.rnd = argc > 2 ? strtoull(argv[2], NULL, 10) : 1};
	struct rcu_writer *rcu = calloc(1, sizeof(*rcu));

	t.route = calloc(t.n, sizeof(*t.route));
	b.addrs = calloc(N_ADDRS, sizeof(*b.addrs));
	if (!rcu || !t.route || !b.addrs || wr_fib4_create(rcu, &b.fib) < 0)
		exit(1);
	table_make(&b, &t);
	wr_rcu_flush(rcu);
	report_stats(&b, "empty");
	shuffle(&b, &t);
	table_load(&b, &t, "load in random order");
	report_stats(&b, "loaded");
	table_unload(&b, &t);
	wr_rcu_flush(rcu);
	qsort(t.route, t.n, sizeof(*t.route), cmp_route);
	table_load(&b, &t, "load in order");
	wr_rcu_flush(rcu);
	report_stats(&b, "loaded");

	dir24_fill(&b);
	for (unsigned i = 0; i < N_ADDRS; i++)
		b.addrs[i] = (struct ip4){rnd(&b)};
	bench_lookups(&b, "ns, uniform over 2^32");
	for (unsigned i = 0; i < N_ADDRS; i++) {
		struct prefix4 p = t.route[rnd(&b) % t.n].prefix;

		b.addrs[i] = ip4_from(ip4_to(p.addr) | (rnd(&b) & ~ip4_mask(p.len)));
	}
	bench_lookups(&b, "ns, uniform over routes");
	bench_updates(&b, &t, rcu);
	report_stats(&b, "after updates");
	bench_default(&b);
	table_unload(&b, &t);
	wr_rcu_flush(rcu);
	report_stats(&b, "empty");
	wr_fib4_free(b.fib);
	return 0;
}
