/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/weir-gen/histogram.h"

#include <math.h>
#include <string.h>

void wr_hist_init(struct hist *hist)
{
	memset(hist, 0, sizeof(*hist));
	hist->min = UINT64_MAX;
}

/* The first row (shift 0) holds 0 .. 2 * HIST_STEPS - 1, each further one HIST_STEPS buckets. */
static unsigned bucket_of(uint64_t value)
{
	unsigned shift;

	if (value < UINT64_C(2) * HIST_STEPS)
		return (unsigned)value;
	shift = 63U - (unsigned)__builtin_clzll(value) - HIST_STEP_BITS;
	return shift * HIST_STEPS + (unsigned)(value >> shift);
}

static unsigned shift_of(unsigned idx)
{
	return idx < 2 * HIST_STEPS ? 0 : idx / HIST_STEPS - 1;
}

uint64_t wr_hist_low(unsigned idx)
{
	unsigned shift = shift_of(idx);

	return (uint64_t)(idx - shift * HIST_STEPS) << shift;
}

uint64_t wr_hist_high(unsigned idx)
{
	return wr_hist_low(idx) + (UINT64_C(1) << shift_of(idx)) - 1;
}

void wr_hist_add(struct hist *hist, uint64_t value)
{
	hist->n++;
	hist->sum += value;
	if (value < hist->min)
		hist->min = value;
	if (value > hist->max)
		hist->max = value;
	if (value > HIST_MAX) {
		hist->n_above++;
		value = HIST_MAX;
	}
	hist->buckets[bucket_of(value)]++;
}

uint64_t wr_hist_percentile(const struct hist *hist, double share)
{
	const double wanted = ceil(share * (double)hist->n);
	uint64_t n = 0, high;

	for (unsigned i = 0; i < HIST_BUCKETS; i++) {
		n += hist->buckets[i];
		if (!n || (double)n < wanted)
			continue;
		high = wr_hist_high(i);
		return high < hist->max && high < HIST_MAX ? high : hist->max;
	}
	return 0;
}

double wr_hist_mean(const struct hist *hist)
{
	return hist->n ? (double)hist->sum / (double)hist->n : 0;
}
