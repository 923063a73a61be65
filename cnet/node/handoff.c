/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The far end of a lane. Another worker has either found that this one owns the packet's flow, or
 * that this one serves the queue by which the packet leaves; which of them, the way out that it had
 * set says.
 */
#include "cnet/worker.h"

static inline enum handoff_edge handoff(struct worker *w, struct packet *pkt)
{
	if (pkt->tx_port >= WORKER_LANE_OUT)
		return handoff_to_ip4_lookup;
	if (wr_unlikely(!w->outs[pkt->tx_port].queue))
		return handoff_drop_no_way;
	return handoff_to_tx;
}

GRAPH_NODE(handoff, struct worker, &wr_node_table.nodes[NODE_handoff])
