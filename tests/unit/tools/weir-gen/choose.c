/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/weir-gen/choose.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { DRAWS = 1000000, MAX_N = 1000 };

/* xoshiro256** from the state 1, 2, 3, 4, by hand: 2 * 5 = 10, rotated by 7: 1280, * 9 = 11520;
 * then s = 7, 0, 262146, 6 << 45. */
static void the_generator_is_xoshiro(void **state)
{
	struct rng rng = {{1, 2, 3, 4}};

	(void)state;
	assert_int_equal(wr_rng_next(&rng), 11520);
	assert_int_equal(rng.s[0], 1 ^ 4 ^ 2);
	assert_int_equal(rng.s[1], 2 ^ 3 ^ 1);
	assert_int_equal(rng.s[2], 3 ^ 1 ^ (2 << 17));
	assert_int_equal(rng.s[3], UINT64_C(6) << 45);
	assert_int_equal(wr_rng_next(&rng), 0);
}

static void in_turn_each_is_next(void **state)
{
	struct choose choose;

	(void)state;
	assert_int_equal(wr_choose_init(&choose, CHOOSE_TURN, 0, 3, 1), 0);
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(wr_choose_next(&choose), i % 3);
	wr_choose_fini(&choose);
}

static void count(enum choose_how how, double exponent, uint32_t n, uint64_t seed, uint32_t *counts)
{
	struct choose choose;

	memset(counts, 0, MAX_N * sizeof(*counts));
	assert_int_equal(wr_choose_init(&choose, how, exponent, n, seed), 0);
	for (unsigned i = 0; i < DRAWS; i++) {
		const uint32_t idx = wr_choose_next(&choose);

		assert_true(idx < n);
		counts[idx]++;
	}
	wr_choose_fini(&choose);
}

/* Each count lies within five standard deviations of what it should be (and 1, for the rare). */
static void expect(const uint32_t *counts, uint32_t n, double exponent)
{
	double sum = 0;

	for (uint32_t i = 0; i < n; i++)
		sum += pow(i + 1, -exponent);
	for (uint32_t i = 0; i < n; i++) {
		const double p = pow(i + 1, -exponent) / sum;

		assert_true(fabs(counts[i] - DRAWS * p) <= 5 * sqrt(DRAWS * p * (1 - p)) + 1);
	}
}

static void frequencies_are_those_of_the_law(void **state)
{
	static const double exponents[] = {0, 0.5, 1, 1.2, 3};
	static const uint32_t sizes[] = {1, 2, 7, MAX_N};
	static uint32_t counts[MAX_N];

	(void)state;
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		count(CHOOSE_UNIFORM, 1, sizes[i], 7, counts);
		expect(counts, sizes[i], 0);
		for (unsigned k = 0; k < sizeof(exponents) / sizeof(exponents[0]); k++) {
			count(CHOOSE_ZIPF, exponents[k], sizes[i], 7 + k, counts);
			expect(counts, sizes[i], exponents[k]);
		}
	}
}

static void the_seed_decides(void **state)
{
	static uint32_t a[MAX_N], b[MAX_N];

	(void)state;
	count(CHOOSE_ZIPF, 1, MAX_N, 5, a);
	count(CHOOSE_ZIPF, 1, MAX_N, 5, b);
	assert_memory_equal(a, b, sizeof(a));
	count(CHOOSE_ZIPF, 1, MAX_N, 6, b);
	assert_memory_not_equal(a, b, sizeof(a));
}

int main(void)
{
#define TEST(name) cmocka_unit_test(name)
	const struct CMUnitTest tests[] = {
		TEST(the_generator_is_xoshiro),
		TEST(in_turn_each_is_next),
		TEST(frequencies_are_those_of_the_law),
		TEST(the_seed_decides),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
