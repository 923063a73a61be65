/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/weir-gen/pace.h"

#include <math.h>

static double cost_of(const struct pace *pace, double n_packets, double n_bytes)
{
	switch (pace->rate.unit) {
	case PACE_BITS:
		return n_bytes * 8;
	case PACE_WIRE_BITS:
		return (n_bytes + n_packets * WIRE_GAP_BYTES) * 8;
	default:
		return n_packets;
	}
}

void wr_pace_init(struct pace *pace, struct pace_rate rate, double mean_bytes, uint32_t max_burst)
{
	*pace = (struct pace){
		.rate = rate, .per_ns = rate.per_s / 1e9, .max_burst = max_burst, .mean_cost = 1};
	pace->mean_cost = cost_of(pace, 1, mean_bytes);
}

void wr_pace_start(struct pace *pace, uint64_t now_ns)
{
	pace->start_ns = now_ns;
	pace->n_used = 0;
}

uint32_t wr_pace_due(struct pace *pace, uint64_t now_ns)
{
	const double elapsed_ns = (double)(now_ns - pace->start_ns);
	const double max_behind = pace->per_ns * PACE_MAX_LAG_NS + pace->mean_cost;
	double behind, n;

	if (pace->rate.unit == PACE_MAX)
		return pace->max_burst;
	behind = elapsed_ns * pace->per_ns - pace->n_used;
	if (behind < 0)
		return 0;
	if (behind > max_behind) {
		pace->n_forgone += behind - max_behind;
		pace->n_used += behind - max_behind;
		behind = max_behind;
	}
	n = floor(behind / pace->mean_cost) + 1;
	return n < pace->max_burst ? (uint32_t)n : pace->max_burst;
}

void wr_pace_sent(struct pace *pace, uint32_t n_packets, uint64_t n_bytes)
{
	pace->n_used += cost_of(pace, n_packets, (double)n_bytes);
}

void wr_pace_refused(struct pace *pace, uint64_t n_packets)
{
	pace->n_used -= (double)n_packets * pace->mean_cost;
}

uint64_t wr_pace_next_ns(const struct pace *pace)
{
	double n = floor(pace->per_ns * PACE_BURST_NS / pace->mean_cost);

	if (pace->rate.unit == PACE_MAX)
		return 0;
	if (n > pace->max_burst)
		n = pace->max_burst;
	if (n < 1)
		n = 1;
	return pace->start_ns +
	       (uint64_t)ceil((pace->n_used + (n - 1) * pace->mean_cost) / pace->per_ns);
}
