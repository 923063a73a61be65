/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which flow a packet belongs to: the same number for both directions, so that a flow stays on its
 * path and with its worker.
 *
 * Fragments carry no ports beyond the first, so all fragments of a datagram go by their addresses
 * alone.
 */
#ifndef WR_CNET_NODE_FLOW_H
#define WR_CNET_NODE_FLOW_H

#include "lib/mem/packet.h"
#include "lib/wire/wire.h"

#include <string.h>

static inline uint32_t wr_flow_mix(uint64_t v)
{
	v ^= v >> 32;
	v *= UINT64_C(0x9e3779b97f4a7c15);
	v ^= v >> 29;
	v *= UINT64_C(0xbf58476d1ce4e5b9);
	return (uint32_t)(v >> 32);
}

/* The IPv4 header (no options) was checked. Sums and products of the two sides are symmetric and
 * together keep pairs apart. */
static inline uint32_t wr_flow_hash(const struct packet *pkt, const struct ip4_hdr *ip)
{
	uint32_t a = ip4_to(ip->src), b = ip4_to(ip->dst);
	uint64_t key = (uint64_t)(a ^ b) << 32 | (uint32_t)(a + b);
	uint16_t ports[2] = {0, 0};

	if (!ip4_is_fragment(ip) &&
	    (ip->protocol == IP_PROTO_TCP || ip->protocol == IP_PROTO_UDP) &&
	    pkt->seg_len >= ETH_HDR_BYTES + IP4_HDR_BYTES + sizeof(ports)) {
		memcpy(ports, pkt->data + ETH_HDR_BYTES + IP4_HDR_BYTES, sizeof(ports));
		key += (uint64_t)(ports[0] ^ ports[1]) << 16 | (uint16_t)(ports[0] + ports[1]);
		key ^= (uint64_t)ip->protocol << 56;
	}
	return wr_flow_mix(key);
}

/* The worker, of `n`, that owns the flow: by the hash's high bits, since the paths of a group go by
 * the low ones. */
static inline unsigned wr_flow_owner(uint32_t flow_hash, unsigned n)
{
	return (unsigned)((uint64_t)flow_hash * n >> 32);
}

#endif
