/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory that one thread writes all the time. On the heap two such blocks may share a cache line,
 * and two workers that share nothing else would then slow each other down.
 */
#ifndef WR_BASE_ALLOC_H
#define WR_BASE_ALLOC_H

#include "lib/base/types.h"

#include <stdlib.h>
#include <string.h>

/* Zeroed, whole cache lines, which nothing else lies in. Freed by free(); NULL if memory is
 * short. */
static inline void *wr_alloc_lines(size_t n_bytes)
{
	size_t n = (n_bytes + WR_CACHE_LINE - 1) / WR_CACHE_LINE * WR_CACHE_LINE;
	void *lines;

	if (posix_memalign(&lines, WR_CACHE_LINE, n))
		return NULL;
	return memset(lines, 0, n);
}

#endif
