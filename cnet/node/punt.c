/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * To the kernel, as if received on the packet's interface, within the limit of the reason that
 * brought it here. A packet over the limit keeps that reason as the object of its drop.
 */
#include "cnet/worker.h"

static inline enum punt_edge punt(struct worker *w, struct packet *pkt)
{
	uint16_t reason = pkt->edge;

	w->port_edge_counts[pkt->rx_port][reason]++;
	if (wr_unlikely(!w->outs[WORKER_PUNT_OUT + pkt->rx_port].queue))
		return punt_drop_no_way;
	/* The redirect has asked for its share already. */
	if (reason != EDGE(ip4_forward_punt_redirect) &&
	    wr_unlikely(!wr_worker_may_punt(w, reason))) {
		pkt->object_id = reason;
		return punt_drop_over_limit;
	}
	pkt->tx_port = (uint8_t)(WORKER_PUNT_OUT + pkt->rx_port);
	return punt_to_tx;
}

GRAPH_NODE(punt, struct worker, &wr_node_table.nodes[NODE_punt])
