/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The end of a packet: counted by its reason and the interface it came in by, then freed.
 */
#include "cnet/worker.h"

void wr_node_drop(struct graph *g, void *ctx, struct packet **pkts, unsigned n)
{
	struct worker *w = ctx;

	(void)g;
	for (unsigned i = 0; i < n; i++) {
		wr_count(&w->ports[pkts[i]->rx_port].edge_counts[pkts[i]->edge], 1);
		wr_packet_free(&w->pool, pkts[i]);
	}
}
