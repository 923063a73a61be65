/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A heartbeat, from the side of the thread that has it (bpf/steer.h has the other).
 *
 * Each turn the thread stores the time; before it sleeps, "asleep". A thread without one (`word` is
 * NULL) may call all of these.
 */
#ifndef WR_STEER_BEAT_H
#define WR_STEER_BEAT_H

#include "bpf/steer.h"
#include "lib/base/types.h"

struct beat {
	uint64_t *word;     /* mapped; NULL: none */
	uint64_t stored_ns; /* what this thread stored last */
	uint64_t deadline_ns;
};

/*
 * True: this thread has been silent for longer than the deadline, the kernel has been forwarding,
 * and what lies in the rings would come out late and reordered. It is to be thrown away before
 * wr_beat_store() lets new frames in.
 */
static inline bool wr_beat_is_stale(const struct beat *b, uint64_t now_ns)
{
	uint64_t stored_ns = b->stored_ns;

	if (!b->word)
		return false;
	/* While asleep the XDP program may have started the deadline. */
	if (stored_ns == STEER_ASLEEP)
		stored_ns = __atomic_load_n(b->word, __ATOMIC_RELAXED);
	return stored_ns && stored_ns != STEER_ASLEEP && now_ns > stored_ns &&
	       now_ns - stored_ns > b->deadline_ns;
}

static inline void wr_beat_store(struct beat *b, uint64_t now_ns)
{
	if (!b->word)
		return;
	b->stored_ns = now_ns;
	__atomic_store_n(b->word, now_ns, __ATOMIC_RELAXED);
}

/* Before the rings are looked at for the last time: a frame that the XDP program sends after it saw
 * this store finds a ring that poll() watches; one sent before is seen by the port's arm(). */
static inline void wr_beat_sleep(struct beat *b)
{
	if (!b->word)
		return;
	b->stored_ns = STEER_ASLEEP;
	__atomic_store_n(b->word, STEER_ASLEEP, __ATOMIC_SEQ_CST);
}

/* The thread ends: the kernel keeps everything from here on. */
static inline void wr_beat_end(struct beat *b)
{
	if (b->word)
		__atomic_store_n(b->word, 0, __ATOMIC_RELAXED);
}

#endif
