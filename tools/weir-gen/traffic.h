/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The packets to send: so many flows of UDP or TCP in IPv4, each with addresses and ports of its
 * own, sizes by a rule, and a mark (mark.h) with a pattern behind it as payload.
 *
 * Made for speed. All packets begin with the same head; a flow is 32 bytes: addresses, ports, their
 * checksums and the next number. A packet is the head copied, the flow's fields and the mark
 * written over it, the pattern copied behind it. Checksums are put together from sums that are
 * known: the head's, the flow's, the mark's, and the pattern's by its length.
 *
 * Flow i has the i-th combination of destination, source, source port and destination port, the
 * first varying fastest. With `is_shuffled` the addresses within a prefix come in another order (a
 * multiplication by an odd number, so each comes once), which spreads few flows over a large
 * prefix.
 *
 * "TCP" is segments of data with ACK set and the same sequence number: enough for what looks at
 * headers, not for an endpoint.
 */
#ifndef WR_GEN_TRAFFIC_H
#define WR_GEN_TRAFFIC_H

#include "lib/base/err.h"
#include "lib/wire/wire.h"
#include "tools/weir-gen/choose.h"
#include "tools/weir-gen/mark.h"

enum {
	UDP_HDR_BYTES = 8,
	TCP_HDR_BYTES = 20,
	MAX_HEAD_BYTES = ETH_HDR_BYTES + IP4_HDR_BYTES + TCP_HDR_BYTES,
	MIN_FRAME_BYTES = 64, /* with FCS, as all sizes that users give */
	MAX_FRAME_BYTES = PATTERN_BYTES,
};

/* RFC 6985 calls it a genome: 7 : 4 : 1 of 64, 594 and 1518 bytes, drawn at random. */
struct size_rule {
	bool is_imix;
	uint16_t low, high; /* with FCS */
};

struct port_range {
	uint16_t low, high;
};

struct traffic_conf {
	struct size_rule size;
	uint8_t protocol; /* IP_PROTO_UDP or IP_PROTO_TCP */
	struct prefix4 src, dst;
	struct port_range sport, dport;
	struct mac smac, dmac;
	uint8_t ttl, tos, stream;
	uint32_t n_flows;
	enum choose_how choose;
	double exponent;
	bool is_shuffled;
	bool no_udp_checksum;
	uint64_t seed;
};

struct flow {
	struct ip4 src, dst;
	be16 sport, dport;
	uint32_t addr_sum, l4_sum; /* the latter with the former */
	uint64_t next_seq;
};

static_assert(sizeof(struct flow) == 32, "two a cache line");

struct traffic {
	uint8_t head[MAX_HEAD_BYTES]; /* of all packets */
	unsigned head_bytes;
	unsigned n_lengths;      /* of the L4 packet, in the sum over it: UDP's is there twice */
	uint32_t ip_sum, l4_sum; /* of the head */
	struct size_rule size;
	uint8_t stream;
	bool is_udp, has_l4_sum;
	uint64_t next_seq;
	struct flow *flows;
	uint32_t n_flows;
	struct choose choose;
	struct rng rng; /* of the sizes */
	struct pattern pattern;
};

/* Smallest frame that a mark fits into, with FCS. */
static inline unsigned wr_traffic_min_bytes(uint8_t protocol)
{
	return protocol == IP_PROTO_UDP ? MIN_FRAME_BYTES
					: MIN_FRAME_BYTES + (TCP_HDR_BYTES - UDP_HDR_BYTES);
}

/* Combinations of addresses and ports: flows beyond that could not be told apart. */
uint64_t wr_traffic_max_flows(const struct traffic_conf *);
/* What wr_traffic_max_flows() and wr_traffic_min_bytes() allow has been checked. -ENOMEM */
int wr_traffic_create(const struct traffic_conf *, struct traffic **ret_traffic);
void wr_traffic_free(struct traffic *);
/* The mean and the largest size, with FCS. */
double wr_traffic_mean_bytes(const struct size_rule *);
unsigned wr_traffic_max_bytes(const struct size_rule *);
/* Writes the next frame, without FCS; returns its length. `frame` has room for the largest. */
unsigned wr_traffic_build(struct traffic *, uint64_t now_ns, uint8_t *frame);

#endif
