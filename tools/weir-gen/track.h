/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Lost, duplicated, reordered: the packets of many flows by their numbers, in bounded memory.
 *
 * A flow has the number it expects next, which is one above the highest it has seen, and a bitmap
 * of the `window` numbers below that. A packet
 *
 *   with that number or a higher one is in order; those it leaps over are lost until they come;
 *   with a lower one that is not in the bitmap is reordered (RFC 4737, section 3.3), and no longer
 *     lost; its distance is by how many the highest number seen was ahead of it;
 *   with one that is in the bitmap is a duplicate;
 *   with one below the window is too late: whether it is a duplicate nobody knows any more, so its
 *     number remains lost if it was. A larger window costs `window` / 8 bytes a flow.
 *
 * Received packets are thus in order + reordered + duplicates + too late, and the numbers expected
 * are in order + reordered + lost.
 */
#ifndef WR_GEN_TRACK_H
#define WR_GEN_TRACK_H

#include "lib/base/types.h"

enum { TRACK_MIN_WINDOW = 64, TRACK_USUAL_WINDOW = 1024, TRACK_MAX_WINDOW = 1 << 20 };

struct track_stats {
	uint64_t n_in_order, n_reordered, n_duplicates, n_too_late;
	uint64_t n_lost;       /* leapt over and not come since */
	uint64_t max_distance; /* of reordered and too late ones */
	uint64_t n_flows;      /* that were seen */
};

struct track {
	uint32_t n_flows, window; /* a power of two */
	bool is_joining;          /* a flow begins with the first packet seen, not with number 0 */
	struct track_stats stats;
	uint64_t *words; /* n_flows of: next number, first number, bitmap */
};

/* `window` is a power of two, TRACK_MIN_WINDOW or more. -ENOMEM */
int wr_track_init(struct track *, uint32_t n_flows, uint32_t window, bool is_joining);
void wr_track_fini(struct track *);
/* `flow_idx` is below n_flows. */
void wr_track_see(struct track *, uint32_t flow_idx, uint64_t seq);

#endif
