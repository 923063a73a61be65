/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sorts packets by the way they leave; the worker sends each way's vector when the walk is done.
 */
#include "cnet/worker.h"

void wr_node_tx(struct graph *g, void *ctx, struct packet **pkts, unsigned n)
{
	struct worker *w = ctx;
	struct worker_out *out = w->outs;
	unsigned out_idx = WORKER_MAX_OUTS; /* no packet's */

	(void)g;
	for (unsigned i = 0; i < n; i++) {
		/* Most leave as the one before did. */
		if (pkts[i]->tx_port != out_idx) {
			out_idx = pkts[i]->tx_port;
			out = &w->outs[out_idx];
			w->touched[out_idx / 64] |= UINT64_C(1) << (out_idx % 64);
		}
		out->pkts[out->n++] = pkts[i];
	}
}
