/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/weir-gen/pace.c"

#include "lib/sys/clock.h"
#include "tools/weir-gen/rng.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { START = 12345, BURST = 64, BYTES = 100 };

/* Sends what is due whenever it is due, until `end_ns`, and comes up to `lag_ns` late. */
static uint64_t run(struct pace *pace, uint64_t end_ns, uint32_t lag_ns, unsigned *ret_n_turns)
{
	uint64_t now_ns = START, n_sent = 0;
	struct rng rng;

	wr_rng_init(&rng, 1);
	wr_pace_start(pace, START);
	for (*ret_n_turns = 0; now_ns < START + end_ns; ++*ret_n_turns) {
		const uint32_t n = wr_pace_due(pace, now_ns);

		wr_pace_sent(pace, n, (uint64_t)n * BYTES);
		n_sent += n;
		if (wr_pace_next_ns(pace) > now_ns)
			now_ns = wr_pace_next_ns(pace) + (lag_ns ? wr_rng_below(&rng, lag_ns) : 0);
		else
			assert_int_equal(n, BURST);
	}
	return n_sent;
}

static void the_rate_is_right_on_the_average(void **state)
{
	static const struct {
		struct pace_rate rate;
		double per_s; /* packets */
	} cases[] = {
		{{PACE_PACKETS, 1}, 1},
		{{PACE_PACKETS, 3}, 3},
		{{PACE_PACKETS, 999.5}, 999.5},
		{{PACE_PACKETS, 1e6}, 1e6},
		{{PACE_PACKETS, 14.88e6}, 14.88e6},
		{{PACE_BITS, 8000}, 10},
		{{PACE_BITS, 1e9}, 1e9 / (8 * BYTES)},
		{{PACE_WIRE_BITS, 9600}, 10},
		{{PACE_WIRE_BITS, 1e9}, 1e9 / (8 * (BYTES + 20))},
	};

	(void)state;
	for (size_t i = 0; i < wr_array_size(cases); i++)
		for (uint32_t lag_ns = 0; lag_ns <= 1000000; lag_ns += 100000) {
			const double wanted = 10 * cases[i].per_s;
			struct pace pace;
			unsigned n_turns;
			double n_sent;

			wr_pace_init(&pace, cases[i].rate, BYTES, BURST);
			n_sent = (double)run(&pace, 10 * WR_NS_PER_S, lag_ns, &n_turns);
			/* To one packet; and what is due when the time is up. */
			assert_true(fabs(n_sent - wanted) <=
				    1 + 2 * BURST + cases[i].per_s * lag_ns / 1e9);
			assert_true(pace.n_forgone == 0);
		}
}

/* So that one may sleep between two: each packet by itself, or bursts of 50 us. */
static void turns_are_few(void **state)
{
	struct pace pace;
	unsigned n_turns;

	(void)state;
	wr_pace_init(&pace, (struct pace_rate){PACE_PACKETS, 100}, BYTES, BURST);
	assert_int_equal(run(&pace, WR_NS_PER_S, 0, &n_turns), 100);
	assert_int_equal(n_turns, 100);
	wr_pace_init(&pace, (struct pace_rate){PACE_PACKETS, 1e6}, BYTES, BURST);
	run(&pace, WR_NS_PER_S, 0, &n_turns);
	assert_in_range(n_turns, 19000, 21000);
}

static void who_comes_much_too_late_has_lost_the_rest(void **state)
{
	struct pace pace;
	uint64_t n_sent = 0;
	uint32_t n;

	(void)state;
	wr_pace_init(&pace, (struct pace_rate){PACE_PACKETS, 1000}, BYTES, BURST);
	wr_pace_start(&pace, START);
	while ((n = wr_pace_due(&pace, START + 10 * WR_NS_PER_S))) {
		assert_in_range(n, 1, BURST);
		wr_pace_sent(&pace, n, 0);
		n_sent += n;
	}
	assert_in_range(n_sent, 100, 102); /* PACE_MAX_LAG_NS of them */
	assert_true(fabs((double)n_sent + pace.n_forgone - 10001) <= 1);
}

static void what_was_refused_is_due_again(void **state)
{
	struct pace pace;

	(void)state;
	wr_pace_init(&pace, (struct pace_rate){PACE_PACKETS, 1000}, BYTES, BURST);
	wr_pace_start(&pace, START);
	assert_int_equal(wr_pace_due(&pace, START + 9500000), 10);
	wr_pace_sent(&pace, 10, 0);
	assert_int_equal(wr_pace_due(&pace, START + 9500000), 0);
	wr_pace_refused(&pace, 4);
	assert_int_equal(wr_pace_due(&pace, START + 9500000), 4);
}

static void at_most_everything_is_due_at_once(void **state)
{
	struct pace pace;

	(void)state;
	wr_pace_init(&pace, (struct pace_rate){PACE_MAX, 0}, BYTES, BURST);
	wr_pace_start(&pace, START);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(wr_pace_due(&pace, START), BURST);
		wr_pace_sent(&pace, BURST, BURST * BYTES);
		assert_true(wr_pace_next_ns(&pace) <= START);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test(name)
	const struct CMUnitTest tests[] = {
		TEST(the_rate_is_right_on_the_average),
		TEST(turns_are_few),
		TEST(who_comes_much_too_late_has_lost_the_rest),
		TEST(what_was_refused_is_due_again),
		TEST(at_most_everything_is_due_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
