/* SPDX-License-Identifier: BSD-3-Clause */
#include "lib/wire/csum.h"

#include <string.h>

/* Four accumulators of 32-bit words in 64 bits: no carries to chase, and gcc makes vectors of
 * it. */
uint64_t wr_csum_add(uint64_t sum, const void *data, size_t n)
{
	const uint8_t *p = data;
	uint64_t acc[4] = {0};
	uint32_t w;

	for (; n >= 16; n -= 16, p += 16) {
		uint32_t v[4];

		memcpy(v, p, sizeof(v));
		for (unsigned i = 0; i < 4; i++)
			acc[i] += v[i];
	}
	for (; n >= 4; n -= 4, p += 4) {
		memcpy(&w, p, sizeof(w));
		acc[0] += w;
	}
	if (n) {
		w = 0;
		memcpy(&w, p, n);
		acc[1] += w;
	}
	for (unsigned i = 0; i < 4; i++)
		sum += wr_csum_fold(acc[i]);
	return sum;
}
