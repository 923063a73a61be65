/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The Internet checksum (RFC 1071) and its incremental update (RFC 1624).
 */
#ifndef WR_WIRE_CSUM_H
#define WR_WIRE_CSUM_H

#include "lib/wire/wire.h"

/* Sums are kept as if the data were little- or big-endian words as they lie: the ones' complement
 * sum does not care. */
static inline uint16_t wr_csum_fold(uint64_t sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

/* Ones' complement sum of `n` bytes, unfolded, added to `sum`. Chunks before the last must be of
 * even length. */
uint64_t wr_csum_add(uint64_t sum, const void *data, size_t n);

/* The sum over a header without options; 0xffff when its checksum is right. */
static inline uint16_t wr_ip4_hdr_sum(const struct ip4_hdr *ip)
{
	uint32_t w[5];

	__builtin_memcpy(w, ip, sizeof(w));
	return wr_csum_fold((uint64_t)w[0] + w[1] + w[2] + w[3] + w[4]);
}

/* Sets the header checksum (no options). */
static inline void wr_ip4_hdr_finish(struct ip4_hdr *ip)
{
	ip->checksum.raw = 0;
	ip->checksum.raw = (uint16_t)~wr_ip4_hdr_sum(ip);
}

/*
 * TTL - 1 and the checksum with it, as Linux does (RFC 1624 eqn 3 for one word whose high byte
 * falls by one: the checksum rises by 0x0100 with end-around carry). 0xffff becomes 0x0000 where
 * the sum says so, never the other way round.
 */
static inline void wr_ip4_decrement_ttl(struct ip4_hdr *ip)
{
	uint32_t sum = (uint32_t)ip->checksum.raw + be16_from(0x0100).raw;

	ip->checksum.raw = (uint16_t)(sum + (sum >= 0xffff));
	ip->ttl--;
}

/* Folded pseudo-header sum, not inverted, for `l4_bytes` of payload after the IP header. */
static inline uint16_t wr_l4_pseudo_sum(const struct ip4_hdr *ip, uint16_t l4_bytes)
{
	return wr_csum_fold((uint64_t)ip->src.raw + ip->dst.raw + be16_from(ip->protocol).raw +
			    be16_from(l4_bytes).raw);
}

/* Offset of the checksum within the L4 header, 0 for protocols other than TCP and UDP. */
static inline unsigned wr_l4_csum_offset(uint8_t protocol)
{
	return protocol == IP_PROTO_TCP ? 16 : protocol == IP_PROTO_UDP ? 6 : 0;
}

#endif
