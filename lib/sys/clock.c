/* SPDX-License-Identifier: BSD-3-Clause */
#include "lib/sys/clock.h"

#include <time.h>

static uint64_t monotonic_now_ns(const struct wr_clock *clock)
{
	struct timespec ts;

	(void)clock;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * WR_NS_PER_S + (uint64_t)ts.tv_nsec;
}

const struct wr_clock *wr_clock_monotonic(void)
{
	static const struct wr_clock clock = {.now_ns = monotonic_now_ns};

	return &clock;
}
