/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Counts of numbers by their size, log-linear: each power of two is cut into HIST_STEPS equal
 * steps, so that a bucket is at most 1/HIST_STEPS of its lower bound wide. Numbers below
 * 2 * HIST_STEPS have buckets of their own.
 *
 * A percentile is the upper bound of the bucket that it falls into, but never above the maximum: it
 * is never too low and at most 1/64 (1.6 %) too high. Minimum, maximum and mean are exact. Larger
 * numbers than HIST_MAX are counted as HIST_MAX, and in n_above.
 */
#ifndef WR_GEN_HISTOGRAM_H
#define WR_GEN_HISTOGRAM_H

#include <stdint.h>

enum {
	HIST_STEP_BITS = 6,
	HIST_STEPS = 1 << HIST_STEP_BITS,
	HIST_MAX_BITS = 42, /* nanoseconds: 73 minutes */
	HIST_BUCKETS = (HIST_MAX_BITS - HIST_STEP_BITS + 1) * HIST_STEPS,
};
#define HIST_MAX ((UINT64_C(1) << HIST_MAX_BITS) - 1)

struct hist {
	uint64_t n, sum, min, max, n_above;
	uint64_t buckets[HIST_BUCKETS];
};

void wr_hist_init(struct hist *);
void wr_hist_add(struct hist *, uint64_t value);
/* `share` is 0..1: the smallest number that at least this share of all are not above. 0 if there
 * are none. */
uint64_t wr_hist_percentile(const struct hist *, double share);
double wr_hist_mean(const struct hist *);
/* The numbers that bucket `idx` counts. */
uint64_t wr_hist_low(unsigned idx);
uint64_t wr_hist_high(unsigned idx);

#endif
