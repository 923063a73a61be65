/* SPDX-License-Identifier: BSD-3-Clause */
#include "lib/mem/l4_csum.h"

#include <string.h>

static uint8_t *l4_start(const struct packet *pkt)
{
	return pkt->data + ETH_HDR_BYTES + IP4_HDR_BYTES;
}

bool wr_l4_is_unfinished(const struct packet *pkt, const struct ip4_hdr *ip)
{
	unsigned offset = wr_l4_csum_offset(ip->protocol);
	uint16_t field;

	if (!offset || ip4_is_fragment(ip) ||
	    pkt->seg_len < ETH_HDR_BYTES + IP4_HDR_BYTES + offset + sizeof(field))
		return false;
	memcpy(&field, l4_start(pkt) + offset, sizeof(field));
	return field == wr_l4_pseudo_sum(ip, (uint16_t)(be16_to(ip->total_len) - IP4_HDR_BYTES));
}

bool wr_l4_csum_place(const struct packet *pkt, uint16_t *ret_start, uint16_t *ret_offset)
{
	const struct ip4_hdr *ip = (const struct ip4_hdr *)(pkt->data + ETH_HDR_BYTES);
	unsigned start, offset;

	if (pkt->seg_len < ETH_HDR_BYTES + IP4_HDR_BYTES)
		return false;
	start = ETH_HDR_BYTES + ip4_hdr_bytes(ip);
	offset = wr_l4_csum_offset(ip->protocol);
	if (!offset || ip4_hdr_bytes(ip) < IP4_HDR_BYTES ||
	    pkt->seg_len < start + offset + sizeof(uint16_t))
		return false;
	*ret_start = (uint16_t)start;
	*ret_offset = (uint16_t)offset;
	return true;
}

/* Segments of odd length shift the bytes of those behind. */
uint16_t wr_packet_sum(const struct packet *pkt, uint32_t from)
{
	uint64_t sum = 0;
	bool is_odd = false;

	for (; pkt; pkt = pkt->next) {
		uint32_t skipped = from < pkt->seg_len ? from : pkt->seg_len;
		size_t n = pkt->seg_len - skipped;
		uint16_t part = wr_csum_fold(wr_csum_add(0, pkt->data + skipped, n));

		from -= skipped;
		sum += is_odd ? __builtin_bswap16(part) : part;
		is_odd ^= n & 1;
	}
	return wr_csum_fold(sum);
}

/* The field holds the pseudo-header's sum, so summing over it as it stands adds just that. */
void wr_l4_finish(struct packet *pkt, const struct ip4_hdr *ip)
{
	uint16_t csum = (uint16_t)~wr_packet_sum(pkt, ETH_HDR_BYTES + IP4_HDR_BYTES);

	if (!csum && ip->protocol == IP_PROTO_UDP)
		csum = 0xffff;
	memcpy(l4_start(pkt) + wr_l4_csum_offset(ip->protocol), &csum, sizeof(csum));
}
