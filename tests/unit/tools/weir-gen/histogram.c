/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/weir-gen/histogram.c"

#include "tools/weir-gen/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

enum { N = 19997 }; /* no share of it is a whole number but all and nothing */

static void buckets_follow_each_other(void **state)
{
	(void)state;
	assert_int_equal(wr_hist_low(0), 0);
	for (unsigned i = 0; i < HIST_BUCKETS; i++) {
		const uint64_t low = wr_hist_low(i), high = wr_hist_high(i);

		assert_int_equal(bucket_of(low), i);
		assert_int_equal(bucket_of(high), i);
		assert_true((high - low) * HIST_STEPS <= low);
		if (i)
			assert_int_equal(low, wr_hist_high(i - 1) + 1);
	}
	assert_int_equal(wr_hist_high(HIST_BUCKETS - 1), HIST_MAX);
}

static int compare(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Against the numbers themselves, sorted. */
static void percentiles_are_within_the_error(void **state)
{
	static const double shares[] = {0, 0.0001, 0.01, 0.5, 0.9, 0.99, 0.999, 0.9999, 1};
	static uint64_t values[N];

	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		static struct hist hist;
		struct rng rng;
		uint64_t sum = 0;

		wr_rng_init(&rng, seed);
		wr_hist_init(&hist);
		/* All orders of magnitude, from 1 to 2^40. */
		for (unsigned i = 0; i < N; i++) {
			values[i] = wr_rng_next(&rng) >> (24 + wr_rng_below(&rng, 40));
			wr_hist_add(&hist, values[i]);
			sum += values[i];
		}
		qsort(values, N, sizeof(values[0]), compare);
		assert_int_equal(hist.n, N);
		assert_int_equal(hist.min, values[0]);
		assert_int_equal(hist.max, values[N - 1]);
		assert_true(fabs(wr_hist_mean(&hist) - (double)sum / N) < 1);
		for (unsigned i = 0; i < sizeof(shares) / sizeof(shares[0]); i++) {
			const double rank = ceil(shares[i] * N);
			const uint64_t exact = values[rank < 1 ? 0 : (unsigned)rank - 1];
			const uint64_t got = wr_hist_percentile(&hist, shares[i]);

			assert_true(got >= exact);
			assert_true(got - exact <= exact / HIST_STEPS);
		}
	}
}

static void nothing_is_nothing(void **state)
{
	static struct hist hist;

	(void)state;
	wr_hist_init(&hist);
	assert_int_equal(wr_hist_percentile(&hist, 0.5), 0);
	assert_true(wr_hist_mean(&hist) == 0);
}

static void what_is_too_large_is_in_the_last_bucket(void **state)
{
	static struct hist hist;

	(void)state;
	wr_hist_init(&hist);
	wr_hist_add(&hist, 5);
	wr_hist_add(&hist, HIST_MAX + 1);
	assert_int_equal(hist.n_above, 1);
	assert_int_equal(hist.buckets[HIST_BUCKETS - 1], 1);
	assert_int_equal(wr_hist_percentile(&hist, 0.5), 5);
	assert_int_equal(wr_hist_percentile(&hist, 1), HIST_MAX + 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test(name)
	const struct CMUnitTest tests[] = {
		TEST(buckets_follow_each_other),
		TEST(percentiles_are_within_the_error),
		TEST(nothing_is_nothing),
		TEST(what_is_too_large_is_in_the_last_bucket),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
