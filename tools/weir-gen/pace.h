/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * When to send. Time is an argument: nanoseconds of CLOCK_MONOTONIC.
 *
 * The k-th unit (packet or bit, from 0) is due at start + k / rate. What is due is what should have
 * been sent by now less what has been, so the rate is right on the average however late the caller
 * comes; a caller that comes later than PACE_MAX_LAG_NS has lost the rest, which `n_forgone`
 * counts, for a burst of all that was missed would be another test than the one asked for.
 *
 * Packets are sent in bursts that grow with the rate, of PACE_BURST_NS at most, so that a sleep
 * between two is worth it. At a low rate each packet goes by itself.
 */
#ifndef WR_GEN_PACE_H
#define WR_GEN_PACE_H

#include "lib/base/types.h"

enum { PACE_MAX_LAG_NS = 100 * 1000 * 1000, PACE_BURST_NS = 50 * 1000 };

/* Bits count the frame with FCS, PACE_WIRE_BITS also preamble and gap. PACE_OWN: as captured, of
 * replays. */
enum pace_unit { PACE_MAX, PACE_PACKETS, PACE_BITS, PACE_WIRE_BITS, PACE_OWN };
enum { FCS_BYTES = 4, WIRE_GAP_BYTES = 20 };

struct pace_rate {
	enum pace_unit unit;
	double per_s;
};

struct pace {
	struct pace_rate rate;
	double per_ns;
	double mean_cost; /* units of a packet, on the average */
	uint32_t max_burst;
	uint64_t start_ns;
	double n_used; /* units sent */
	double n_forgone;
};

/* `mean_bytes` of a frame, with FCS. */
void wr_pace_init(struct pace *, struct pace_rate, double mean_bytes, uint32_t max_burst);
void wr_pace_start(struct pace *, uint64_t now_ns);
/* Packets that may be sent now: at most max_burst. */
uint32_t wr_pace_due(struct pace *, uint64_t now_ns);
/* They were sent; `n_bytes` with FCS. */
void wr_pace_sent(struct pace *, uint32_t n_packets, uint64_t n_bytes);
/* They were not, after all: the port had no room. */
void wr_pace_refused(struct pace *, uint64_t n_packets);
/* When the next burst is due. */
uint64_t wr_pace_next_ns(const struct pace *);

#endif
