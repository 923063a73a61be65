/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Byte order and addresses as types.
 *
 * A number in network byte order is never an integer here: it is a one-member struct, so that
 * adding to it, comparing it with a host number or passing the wrong one does not compile. The
 * member `raw` is the bytes as they lie in the packet, for the few places that copy or hash them.
 */
#ifndef WR_BASE_TYPES_H
#define WR_BASE_TYPES_H

#include <assert.h>
#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
	uint16_t raw;
} be16;

typedef struct {
	uint32_t raw;
} be32;

static inline be16 be16_from(uint16_t host)
{
	return (be16){htobe16(host)};
}

static inline uint16_t be16_to(be16 v)
{
	return be16toh(v.raw);
}

static inline be32 be32_from(uint32_t host)
{
	return (be32){htobe32(host)};
}

static inline uint32_t be32_to(be32 v)
{
	return be32toh(v.raw);
}

/* An IPv4 address as in the packet. */
struct ip4 {
	uint32_t raw;
};

static inline struct ip4 ip4_from(uint32_t host)
{
	return (struct ip4){htobe32(host)};
}

static inline uint32_t ip4_to(struct ip4 a)
{
	return be32toh(a.raw);
}

static inline bool ip4_equal(struct ip4 a, struct ip4 b)
{
	return a.raw == b.raw;
}

/* The netmask of a prefix length 0..32, as a host number. */
static inline uint32_t ip4_mask(unsigned len)
{
	return len ? ~UINT32_C(0) << (32 - len) : 0;
}

/* A destination: the bits of `addr` beyond `len` are zero. */
struct prefix4 {
	struct ip4 addr;
	uint8_t len;
};

struct mac {
	uint8_t b[6];
};

static_assert(sizeof(struct ip4) == 4 && sizeof(struct mac) == 6, "as on the wire");

#define WR_CACHE_LINE 64
#define wr_cache_aligned __attribute__((aligned(WR_CACHE_LINE)))

#define wr_likely(x) __builtin_expect(!!(x), 1)
#define wr_unlikely(x) __builtin_expect(!!(x), 0)
#define wr_array_size(a) (sizeof(a) / sizeof((a)[0]))
#define wr_container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))
#define wr_printf(fmt, args) __attribute__((format(printf, fmt, args)))

#endif
