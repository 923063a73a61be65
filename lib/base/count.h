/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Counters with one writer and any number of readers.
 *
 * The writer needs no locked instruction, since nobody else writes; the relaxed store only promises
 * that a reader never sees half a number. Readers use wr_count_get().
 */
#ifndef WR_BASE_COUNT_H
#define WR_BASE_COUNT_H

#include <stdint.h>

static inline void wr_count(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

static inline uint64_t wr_count_get(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

#endif
