/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Time as an argument.
 *
 * Nothing in lib/ or cnet/ asks the machine for the time: it gets a `struct wr_clock`. The real one
 * reads CLOCK_MONOTONIC, which is also what bpf_ktime_get_ns() reads, so that the heartbeat can be
 * compared in the kernel. The simulator's advances by hand.
 */
#ifndef WR_SYS_CLOCK_H
#define WR_SYS_CLOCK_H

#include "lib/base/types.h"

#define WR_NS_PER_S UINT64_C(1000000000)
#define WR_NS_PER_MS UINT64_C(1000000)
#define WR_NS_PER_US UINT64_C(1000)

struct wr_clock {
	uint64_t (*now_ns)(
		const struct wr_clock *); /* monotonic, nanoseconds since an arbitrary start */
};

static inline uint64_t wr_now_ns(const struct wr_clock *clock)
{
	return clock->now_ns(clock);
}

/* CLOCK_MONOTONIC; static storage, any thread. */
const struct wr_clock *wr_clock_monotonic(void);

#endif
