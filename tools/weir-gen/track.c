/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/weir-gen/track.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { WORD_BITS = 64 };

/* What the words of a flow begin with; the bitmap follows. */
enum { NEXT, FIRST, BITMAP };

int wr_track_init(struct track *track, uint32_t n_flows, uint32_t window, bool is_joining)
{
	*track = (struct track){.n_flows = n_flows, .window = window, .is_joining = is_joining};
	/* Pages that no flow has touched cost nothing. */
	track->words = calloc(n_flows, sizeof(uint64_t) * (BITMAP + window / WORD_BITS));
	return track->words ? 0 : -ENOMEM;
}

void wr_track_fini(struct track *track)
{
	free(track->words);
	track->words = NULL;
}

/* Sets the bit of `seq`; whether it was set. */
static bool test_and_set(uint64_t *bitmap, uint32_t window, uint64_t seq)
{
	uint64_t *word = &bitmap[(seq & (window - 1)) / WORD_BITS];
	const uint64_t bit = UINT64_C(1) << seq % WORD_BITS;
	const bool was_set = *word & bit;

	*word |= bit;
	return was_set;
}

/* Forgets what has the places of `first` .. `end` - 1. */
static void clear_bits(uint64_t *bitmap, uint32_t window, uint64_t first, uint64_t end)
{
	if (end - first >= window) {
		memset(bitmap, 0, window / 8);
		return;
	}
	for (uint64_t seq = first; seq < end; seq++) {
		if (!(seq % WORD_BITS) && end - seq >= WORD_BITS) {
			bitmap[(seq & (window - 1)) / WORD_BITS] = 0;
			seq += WORD_BITS - 1;
			continue;
		}
		bitmap[(seq & (window - 1)) / WORD_BITS] &= ~(UINT64_C(1) << seq % WORD_BITS);
	}
}

static void see_new(struct track *track, uint64_t *flow, uint64_t seq)
{
	if (!flow[NEXT]) {
		track->stats.n_flows++;
		if (track->is_joining)
			flow[NEXT] = flow[FIRST] = seq;
	}
	track->stats.n_in_order++;
	track->stats.n_lost += seq - flow[NEXT];
	clear_bits(flow + BITMAP, track->window, flow[NEXT], seq + 1);
	test_and_set(flow + BITMAP, track->window, seq);
	flow[NEXT] = seq + 1;
}

static void see_old(struct track *track, uint64_t *flow, uint64_t seq)
{
	const uint64_t distance = flow[NEXT] - 1 - seq;

	if (distance >= track->window) {
		track->stats.n_too_late++;
	} else if (test_and_set(flow + BITMAP, track->window, seq)) {
		track->stats.n_duplicates++;
		return;
	} else {
		track->stats.n_reordered++;
		/* What came before the first one seen, where a flow was joined, was not lost. */
		track->stats.n_lost -= seq >= flow[FIRST];
	}
	if (distance > track->stats.max_distance)
		track->stats.max_distance = distance;
}

void wr_track_see(struct track *track, uint32_t flow_idx, uint64_t seq)
{
	uint64_t *flow = &track->words[(size_t)flow_idx * (BITMAP + track->window / WORD_BITS)];

	if (wr_likely(seq >= flow[NEXT]))
		see_new(track, flow, seq);
	else
		see_old(track, flow, seq);
}
