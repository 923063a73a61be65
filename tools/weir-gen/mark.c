/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/weir-gen/mark.h"

#include "lib/wire/csum.h"

void wr_pattern_init(struct pattern *pattern)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < PATTERN_BYTES; i++) {
		uint8_t byte = (uint8_t)((i * 167 + 13) ^ (i >> 8));

		pattern->bytes[i] = byte;
		pattern->sums[i] = wr_csum_fold(sum);
		sum += i % 2 ? byte : (uint64_t)byte << 8;
	}
	pattern->sums[PATTERN_BYTES] = wr_csum_fold(sum);
}

bool wr_mark_read(const uint8_t *at, size_t n, struct mark *ret_mark, bool *ret_is_whole)
{
	uint64_t flow;
	uint32_t head;

	if (n < MARK_SHORT_BYTES)
		return false;
	head = wr_get32(at);
	if (head >> 16 != MARK_MAGIC)
		return false;
	ret_mark->is_long = (head >> 8 & 0xff) == MARK_LONG;
	if ((!ret_mark->is_long && (head >> 8 & 0xff) != MARK_SHORT) ||
	    (ret_mark->is_long && n < MARK_LONG_BYTES))
		return false;
	flow = wr_get64(at + 4);
	ret_mark->stream = (uint8_t)head;
	ret_mark->flow = (uint32_t)(flow >> MARK_SEQ_BITS);
	ret_mark->flow_seq = flow & ((UINT64_C(1) << MARK_SEQ_BITS) - 1);
	ret_mark->time_ns = wr_get64(at + 10) & ((UINT64_C(1) << MARK_TIME_BITS) - 1);
	ret_mark->seq = ret_mark->is_long ? wr_get64(at + 18) : 0;
	*ret_is_whole = !ret_mark->is_long || wr_get32(at + 26) == wr_mark_check(ret_mark);
	return true;
}
