/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a packet says of itself, at the start of its TCP or UDP payload, in network byte order:
 *
 *     0   2  "WG"
 *     2   1  format: 1 short, 2 long
 *     3   1  stream: whose packets these are, so that runs side by side are told apart
 *     4   3  flow
 *     7   5  number of the packet within its flow, from 0
 *    12   6  time of sending, CLOCK_MONOTONIC in nanoseconds, its low 48 bits
 *    18   8  number of the packet within the stream, from 0          long only
 *    26   4  check over all of the above                             long only
 *
 * The short form is made for the smallest frame: 64 bytes with FCS leave 18 for the payload of UDP.
 * 40 bits of numbers do not wrap (30 hours at 10 million packets/s in one flow); 48 bits of time
 * wrap after 78 hours, which the difference of two does not mind.
 *
 * Behind the mark lies a pattern that depends on the place only, so that what was cut, shifted or
 * spoiled is seen. `sums` are its checksums by length: no packet's payload is summed up.
 */
#ifndef WR_GEN_MARK_H
#define WR_GEN_MARK_H

#include "lib/base/types.h"

#include <string.h>

enum {
	MARK_MAGIC = 0x5747,
	MARK_SHORT = 1,
	MARK_LONG = 2,
	MARK_SHORT_BYTES = 18,
	MARK_LONG_BYTES = 30,
	MARK_MAX_FLOWS = 1 << 24,
	MARK_SEQ_BITS = 40,
	MARK_TIME_BITS = 48,
	PATTERN_BYTES = 9216,
};

struct mark {
	uint8_t stream;
	bool is_long;
	uint32_t flow;
	uint64_t flow_seq;
	uint64_t time_ns; /* MARK_TIME_BITS of it */
	uint64_t seq;     /* long only */
};

struct pattern {
	uint8_t bytes[PATTERN_BYTES];
	uint16_t sums[PATTERN_BYTES + 1]; /* of the first n bytes, as big-endian words */
};

void wr_pattern_init(struct pattern *);

static inline unsigned wr_mark_bytes(unsigned payload_bytes)
{
	return payload_bytes < MARK_LONG_BYTES ? MARK_SHORT_BYTES : MARK_LONG_BYTES;
}

static inline void wr_put64(uint8_t *at, uint64_t value)
{
	value = htobe64(value);
	memcpy(at, &value, sizeof(value));
}

static inline void wr_put32(uint8_t *at, uint32_t value)
{
	value = htobe32(value);
	memcpy(at, &value, sizeof(value));
}

static inline uint64_t wr_get64(const uint8_t *at)
{
	uint64_t value;

	memcpy(&value, at, sizeof(value));
	return be64toh(value);
}

static inline uint32_t wr_get32(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return be32toh(value);
}

static inline uint32_t wr_mark_check(const struct mark *mark)
{
	uint64_t mix = ((uint64_t)mark->flow << MARK_SEQ_BITS | mark->flow_seq) ^ mark->stream;

	mix = (mix ^ mark->time_ns * 0x9e3779b97f4a7c15) * 0xbf58476d1ce4e5b9;
	mix = ((mix ^ (mix >> 32)) + mark->seq) * 0x94d049bb133111eb;
	return (uint32_t)(mix >> 32);
}

static inline uint64_t wr_sum_words64(uint64_t value)
{
	return (value >> 32) + (value & 0xffffffff);
}

/* Writes the mark; returns its checksum, not folded. `mark->time_ns` has MARK_TIME_BITS. */
static inline uint64_t wr_mark_write(uint8_t *at, const struct mark *mark)
{
	const uint32_t head =
		MARK_MAGIC << 16 | (mark->is_long ? MARK_LONG : MARK_SHORT) << 8 | mark->stream;
	const uint64_t flow = (uint64_t)mark->flow << MARK_SEQ_BITS | mark->flow_seq;
	uint64_t sum = head + wr_sum_words64(flow) + wr_sum_words64(mark->time_ns);
	uint32_t check;

	wr_put32(at, head);
	wr_put64(at + 4, flow);
	/* Eight bytes for six: the first two are the end of the flow's number again. */
	wr_put64(at + 10, flow << MARK_TIME_BITS | mark->time_ns);
	if (!mark->is_long)
		return sum;
	check = wr_mark_check(mark);
	wr_put64(at + 18, mark->seq);
	wr_put32(at + 26, check);
	return sum + wr_sum_words64(mark->seq) + check;
}

/* False: no mark here. `ret_is_whole`: its check, if it has one, is right. */
bool wr_mark_read(const uint8_t *at, size_t n, struct mark *ret_mark, bool *ret_is_whole);

#endif
