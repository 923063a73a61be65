/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Headers as bytes: checked once for length, then read and written by accessors that cannot fail.
 *
 * A header struct here is a view of packet bytes: packed, all fields in network order by type. The
 * caller has made sure that the bytes are there, after that nothing is checked again.
 */
#ifndef WR_WIRE_WIRE_H
#define WR_WIRE_WIRE_H

#include "lib/base/types.h"

enum { ETHERTYPE_IP4 = 0x0800 };
enum { IP_PROTO_ICMP = 1, IP_PROTO_TCP = 6, IP_PROTO_UDP = 17 };
enum { IP4_DF = 0x4000, IP4_MF = 0x2000, IP4_OFFSET_MASK = 0x1fff }; /* of frag_off, host order */

struct eth_hdr {
	struct mac dst;
	struct mac src;
	be16 type;
} __attribute__((packed, aligned(2)));

struct ip4_hdr {
	uint8_t version_ihl;
	uint8_t tos;
	be16 total_len;
	be16 id;
	be16 frag_off;
	uint8_t ttl;
	uint8_t protocol;
	be16 checksum;
	struct ip4 src;
	struct ip4 dst;
} __attribute__((packed, aligned(2)));

static_assert(sizeof(struct eth_hdr) == 14, "Ethernet II");
static_assert(sizeof(struct ip4_hdr) == 20, "RFC 791 without options");

enum { ETH_HDR_BYTES = 14, IP4_HDR_BYTES = 20 };

static inline unsigned ip4_version(const struct ip4_hdr *ip)
{
	return ip->version_ihl >> 4;
}

static inline unsigned ip4_hdr_bytes(const struct ip4_hdr *ip)
{
	return (ip->version_ihl & 15) * 4U;
}

static inline bool ip4_is_fragment(const struct ip4_hdr *ip)
{
	return be16_to(ip->frag_off) & (IP4_MF | IP4_OFFSET_MASK);
}

/* Zero, loopback, multicast, reserved-for-multicast and limited broadcast: never a unicast station
 * in transit (RFC 1812 5.3.7; class E apart, which Linux forwards but Weir leaves to it). */
static inline bool ip4_is_special(struct ip4 a)
{
	uint8_t first = (uint8_t)(ip4_to(a) >> 24);

	return first == 0 || first == 127 || first >= 224;
}

#endif
