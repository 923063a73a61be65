/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/weir-gen/track.c"

#include "tools/weir-gen/rng.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { N_FLOWS = 5, N_SEQS = 4000, N_EVENTS = 6000 };

/* The same in plain words: what each flow has had, number by number. */
struct oracle {
	bool has_come[N_FLOWS][N_SEQS];
	bool is_begun[N_FLOWS];
	uint64_t next[N_FLOWS], first[N_FLOWS];
	uint32_t window;
	struct track_stats stats;
};

static void oracle_see(struct oracle *o, unsigned flow, uint64_t seq, bool is_joining)
{
	uint64_t distance;

	if (!o->is_begun[flow]) {
		o->is_begun[flow] = true;
		o->stats.n_flows++;
		o->first[flow] = o->next[flow] = is_joining ? seq : 0;
	}
	if (seq >= o->next[flow]) {
		o->stats.n_in_order++;
		o->has_come[flow][seq] = true;
		o->next[flow] = seq + 1;
		return;
	}
	distance = o->next[flow] - 1 - seq;
	if (distance < o->window && o->has_come[flow][seq]) {
		o->stats.n_duplicates++;
		return;
	}
	if (distance > o->stats.max_distance)
		o->stats.max_distance = distance;
	if (distance >= o->window) {
		o->stats.n_too_late++;
		return;
	}
	o->stats.n_reordered++;
	o->has_come[flow][seq] = true;
}

static void oracle_count_lost(struct oracle *o)
{
	o->stats.n_lost = 0;
	for (unsigned flow = 0; flow < N_FLOWS; flow++)
		for (uint64_t seq = o->first[flow]; seq < o->next[flow]; seq++)
			o->stats.n_lost += !o->has_come[flow][seq];
}

/* Mostly forward, with leaps of every size, and back by every distance. */
static uint64_t draw_seq(struct rng *rng, uint64_t next)
{
	const uint32_t kind = wr_rng_below(rng, 10);
	const uint32_t span = 1U << wr_rng_below(rng, 9);
	uint64_t seq = next;

	if (kind == 9)
		seq += wr_rng_below(rng, span);
	else if (kind > 5 && next)
		seq -= 1 + wr_rng_below(rng, span < next ? span : (uint32_t)next);
	return seq < N_SEQS ? seq : N_SEQS - 1;
}

static void compare_runs(uint64_t seed, uint32_t window, bool is_joining)
{
	struct oracle *o = calloc(1, sizeof(*o));
	struct track track;
	struct rng rng;

	assert_non_null(o);
	o->window = window;
	wr_rng_init(&rng, seed);
	assert_int_equal(wr_track_init(&track, N_FLOWS, window, is_joining), 0);
	for (unsigned i = 0; i < N_EVENTS; i++) {
		const unsigned flow = wr_rng_below(&rng, N_FLOWS);
		uint64_t seq =
			draw_seq(&rng, o->is_begun[flow] || !is_joining ? o->next[flow] : 50);

		wr_track_see(&track, flow, seq);
		oracle_see(o, flow, seq, is_joining);
		if (i % 500 == 0 || i == N_EVENTS - 1) {
			oracle_count_lost(o);
			assert_memory_equal(&track.stats, &o->stats, sizeof(o->stats));
		}
	}
	assert_true(o->stats.n_lost && o->stats.n_reordered && o->stats.n_duplicates);
	assert_true(window > 64 || o->stats.n_too_late);
	wr_track_fini(&track);
	free(o);
}

static void it_counts_as_the_oracle_does(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 30; seed++)
		for (uint32_t window = 64; window <= 4096; window *= 2) {
			compare_runs(seed, window, false);
			compare_runs(seed, window, true);
		}
}

static void a_leap_over_the_whole_window_forgets_it(void **state)
{
	struct track track;

	(void)state;
	assert_int_equal(wr_track_init(&track, 1, 64, false), 0);
	for (uint64_t seq = 0; seq < 64; seq++)
		wr_track_see(&track, 0, seq);
	wr_track_see(&track, 0, UINT64_C(1) << 39);
	assert_int_equal(track.stats.n_lost, (UINT64_C(1) << 39) - 64);
	wr_track_see(&track, 0, (UINT64_C(1) << 39) - 63);
	assert_int_equal(track.stats.n_reordered, 1);
	wr_track_see(&track, 0, (UINT64_C(1) << 39) - 64);
	assert_int_equal(track.stats.n_too_late, 1);
	assert_int_equal(track.stats.max_distance, 64);
	wr_track_fini(&track);
}

static void before_the_first_one_seen_nothing_was_lost(void **state)
{
	struct track track;

	(void)state;
	assert_int_equal(wr_track_init(&track, 1, 64, true), 0);
	wr_track_see(&track, 0, 1000);
	wr_track_see(&track, 0, 999);
	assert_int_equal(track.stats.n_lost, 0);
	assert_int_equal(track.stats.n_reordered, 1);
	wr_track_see(&track, 0, 999);
	assert_int_equal(track.stats.n_duplicates, 1);
	wr_track_fini(&track);
}

int main(void)
{
#define TEST(name) cmocka_unit_test(name)
	const struct CMUnitTest tests[] = {
		TEST(it_counts_as_the_oracle_does),
		TEST(a_leap_over_the_whole_window_forgets_it),
		TEST(before_the_first_one_seen_nothing_was_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
