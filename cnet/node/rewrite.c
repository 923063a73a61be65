/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The link's header of the next hop, and the port. Marks the neighbour as used, so that the control
 * thread keeps it alive in the kernel although no traffic of the kernel's does.
 */
#include "cnet/worker.h"
#include "lib/wire/wire.h"

#include <string.h>

static inline enum rewrite_edge rewrite(struct worker *w, struct packet *pkt)
{
	(void)w;
	/* `used` is the one field of a published next hop that may be written. */
	struct nexthop *nh = (struct nexthop *)(uintptr_t)pkt->decision;

	memcpy(pkt->data, nh->rewrite, ETH_HDR_BYTES);
	if (wr_unlikely(!__atomic_load_n(&nh->used, __ATOMIC_RELAXED)))
		__atomic_store_n(&nh->used, 1, __ATOMIC_RELAXED);
	pkt->tx_port = nh->port_idx;
	return rewrite_to_tx;
}

GRAPH_NODE(rewrite, struct worker, &wr_node_table.nodes[NODE_rewrite])
