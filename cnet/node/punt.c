/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * To the kernel, as if received on the packet's interface, within the limit of the reason that
 * brought it here. A packet over the limit keeps that reason as the object of its drop.
 */
#include "cnet/worker.h"
#include "lib/mem/l4_csum.h"

/* The largest packet that every link takes (RFC 791): to cut to when the way out is not known. */
enum { LEAST_MTU = 576, TCP_MAX_HDR_BYTES = 60 };

/* What left the way before ip4_input came to its checksum: the kernel must be told of it all the
 * same. */
static void note_unfinished(const struct worker *w, struct packet *pkt)
{
	const struct eth_hdr *eth = (const struct eth_hdr *)pkt->data;
	const struct ip4_hdr *ip = (const struct ip4_hdr *)(eth + 1);

	if (!(w->ports[pkt->rx_port].flags & PORT_VIRTUAL) ||
	    pkt->seg_len < ETH_HDR_BYTES + IP4_HDR_BYTES || be16_to(eth->type) != ETHERTYPE_IP4 ||
	    ip->version_ihl != 0x45 || be16_to(ip->total_len) < IP4_HDR_BYTES ||
	    be16_to(ip->total_len) > pkt->len - ETH_HDR_BYTES)
		return;
	pkt->gso_bytes = 0;
	if (wr_l4_is_unfinished(pkt, ip))
		pkt->flags |= PKT_CSUM_PARTIAL;
}

/*
 * A TCP packet with an unfinished checksum, from a port that may have merged several: the kernel
 * gets it as what it was, something to cut to the size of the link. Taken for one packet it would
 * be refused as too large.
 */
static bool may_be_merged(const struct worker *w, const struct packet *pkt)
{
	const struct ip4_hdr *ip = (const struct ip4_hdr *)(pkt->data + ETH_HDR_BYTES);

	return (pkt->flags & PKT_CSUM_PARTIAL) && (w->ports[pkt->rx_port].flags & PORT_MERGED) &&
	       ip->protocol == IP_PROTO_TCP;
}

static uint16_t cut_to(const struct packet *pkt, unsigned reason)
{
	uint32_t mtu = reason == EDGE(ip4_forward_punt_too_big) ? pkt->mtu : LEAST_MTU;

	if (mtu < LEAST_MTU)
		mtu = LEAST_MTU;
	return (uint16_t)(mtu - IP4_HDR_BYTES - TCP_MAX_HDR_BYTES);
}

static inline enum punt_edge punt(struct worker *w, struct packet *pkt)
{
	uint16_t reason = pkt->edge;

	wr_count(&w->ports[pkt->rx_port].edge_counts[reason], 1);
	if (wr_unlikely(!w->outs[WORKER_PUNT_OUT + pkt->rx_port].queue))
		return punt_drop_no_way;
	/* The redirect has asked for its share already. */
	if (reason != EDGE(ip4_forward_punt_redirect) &&
	    wr_unlikely(!wr_worker_may_punt(w, reason))) {
		pkt->object_id = reason;
		return punt_drop_over_limit;
	}
	if (reason < EDGE(ip4_lookup_to_ip4_forward))
		note_unfinished(w, pkt);
	if (wr_unlikely(may_be_merged(w, pkt)))
		pkt->gso_bytes = cut_to(pkt, reason);
	pkt->tx_port = (uint8_t)(WORKER_PUNT_OUT + pkt->rx_port);
	return punt_to_tx;
}

GRAPH_NODE(punt, struct worker, &wr_node_table.nodes[NODE_punt])
