/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Validation of the IPv4 header, RFC 1812 5.2.2, in the order of Linux's ip_rcv_core(), so that
 * both count the same packets as bad.
 *
 * After this node the packet has a header of 20 bytes within its first segment, a right checksum,
 * and exactly its total length.
 */
#include "cnet/worker.h"
#include "lib/mem/l4_csum.h"

static inline enum ip4_input_edge ip4_input(struct worker *w, struct packet *pkt)
{
	const struct ip4_hdr *ip = (const struct ip4_hdr *)(pkt->data + ETH_HDR_BYTES);
	uint32_t ip_bytes = pkt->len - ETH_HDR_BYTES;
	unsigned hdr_bytes, total_bytes;

	if (wr_unlikely(pkt->seg_len < ETH_HDR_BYTES + IP4_HDR_BYTES))
		return ip4_input_drop_too_short;
	if (wr_unlikely(ip4_version(ip) != 4))
		return ip4_input_drop_bad_version;
	hdr_bytes = ip4_hdr_bytes(ip);
	total_bytes = be16_to(ip->total_len);
	if (wr_unlikely(hdr_bytes < IP4_HDR_BYTES || hdr_bytes > total_bytes))
		return ip4_input_drop_bad_header_len;
	if (wr_unlikely(total_bytes > ip_bytes))
		return ip4_input_drop_bad_total_len;
	if (wr_unlikely(hdr_bytes > IP4_HDR_BYTES))
		return ip4_input_punt_options;
	if (wr_unlikely(wr_ip4_hdr_sum(ip) != 0xffff))
		return ip4_input_drop_bad_checksum;
	if (wr_unlikely(ip4_is_special(ip->dst)))
		return ip4_input_punt_special_target;
	if (wr_unlikely(ip4_is_special(ip->src)))
		return ip4_input_punt_special_source;
	if (wr_unlikely(ip->ttl <= 1))
		return ip4_input_punt_ttl_expired;
	if (total_bytes < ip_bytes)
		wr_packet_trim(&w->pool, pkt, ETH_HDR_BYTES + total_bytes);
	pkt->gso_bytes = 0;
	if ((w->ports[pkt->rx_port].flags & PORT_VIRTUAL) && wr_l4_is_unfinished(pkt, ip))
		pkt->flags |= PKT_CSUM_PARTIAL;
	return wr_likely(!w->n_owners) ? ip4_input_to_ip4_lookup : ip4_input_to_spread;
}

GRAPH_NODE(ip4_input, struct worker, &wr_node_table.nodes[NODE_ip4_input])
