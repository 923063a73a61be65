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

/* The sum over the packet after its IP header; segments of odd length shift the bytes of those
 * behind. */
static uint64_t sum_payload(const struct packet *pkt)
{
	const uint8_t *p = l4_start(pkt);
	size_t n = pkt->seg_len - (size_t)(p - pkt->data);
	uint64_t sum = 0;
	bool is_odd = false;

	for (;;) {
		uint16_t part = wr_csum_fold(wr_csum_add(0, p, n));

		sum += is_odd ? __builtin_bswap16(part) : part;
		is_odd ^= n & 1;
		pkt = pkt->next;
		if (!pkt)
			return sum;
		p = pkt->data;
		n = pkt->seg_len;
	}
}

/* The field holds the pseudo-header's sum, so summing over it as it stands adds just that. */
void wr_l4_finish(struct packet *pkt, const struct ip4_hdr *ip)
{
	uint16_t csum = (uint16_t)~wr_csum_fold(sum_payload(pkt));

	if (!csum && ip->protocol == IP_PROTO_UDP)
		csum = 0xffff;
	memcpy(l4_start(pkt) + wr_l4_csum_offset(ip->protocol), &csum, sizeof(csum));
}
