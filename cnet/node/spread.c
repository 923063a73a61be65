/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Flows spread over the workers by their hash, as a NIC with receive-side scaling would, for
 * interfaces that do not: one queue, or all flows in one. The packet goes by a lane to the worker
 * that owns its flow, and on from there. One lane leads from one worker to another, so a flow stays
 * in order.
 */
#include "cnet/node/flow.h"
#include "cnet/worker.h"

static inline enum spread_edge spread(struct worker *w, struct packet *pkt)
{
	const struct ip4_hdr *ip = (const struct ip4_hdr *)(pkt->data + ETH_HDR_BYTES);
	unsigned owner;

	pkt->flow_hash = wr_flow_hash(pkt, ip);
	owner = wr_flow_owner(pkt->flow_hash, w->n_owners);
	if (owner == w->conf.worker_idx)
		return spread_to_ip4_lookup;
	pkt->tx_port = (uint8_t)(WORKER_LANE_OUT + owner);
	return spread_to_tx;
}

GRAPH_NODE(spread, struct worker, &wr_node_table.nodes[NODE_spread])
