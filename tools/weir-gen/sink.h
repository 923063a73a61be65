/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What has come: packets that bear the mark (mark.h) of a stream, counted, put in order (track.h)
 * and timed; others are counted as foreign.
 *
 * One-way latency is the time of receiving less the time in the mark, which means something if both
 * were read on one machine. The caller reads the clock once for a burst that it received, so it is
 * too long by what the burst took at most, never too short. A packet from the future (another
 * machine's clock) is counted in n_skewed and nowhere else in the latencies. Jitter is that of RFC
 * 3550, section 6.4.1, over all packets in the order of arrival.
 *
 * A long mark has a check of its own. With `is_verifying` length, checksums and every byte of the
 * pattern are looked at as well. What is corrupted counts as such and not as received: its number
 * cannot be trusted, and it remains among the lost.
 */
#ifndef WR_GEN_SINK_H
#define WR_GEN_SINK_H

#include "cnet/port.h"
#include "tools/weir-gen/histogram.h"
#include "tools/weir-gen/mark.h"
#include "tools/weir-gen/track.h"

enum { SINK_FRAME_BYTES = 65536, SINK_HEAD_BYTES = 14 + 60 + 60 + MARK_LONG_BYTES };

struct sink_conf {
	uint32_t n_flows, window;
	uint8_t stream;
	bool is_verifying, is_joining;
};

struct sink {
	struct sink_conf conf;
	struct track track;
	struct hist latency_ns;
	uint64_t n_packets, n_bytes; /* with the mark of the stream, whole; bytes with FCS */
	uint64_t n_foreign;          /* without it */
	uint64_t n_corrupted;
	uint64_t n_unknown_flow; /* of n_packets: flow number beyond n_flows, not tracked */
	uint64_t n_skewed;       /* of n_packets: sent in the future */
	uint64_t first_ns, last_ns;
	uint64_t last_latency_ns, jitter_16ths_ns;
	struct pattern pattern;
	uint8_t scratch[SINK_FRAME_BYTES];
};

/* -ENOMEM */
int wr_sink_create(const struct sink_conf *, struct sink **ret_sink);
void wr_sink_free(struct sink *);
/* Only looks at the packet. */
void wr_sink_take(struct sink *, const struct weir_packet *, uint64_t now_ns);

#endif
