/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sorts packets by the way they leave; the worker sends each way's vector when the walk is done.
 */
#include "cnet/worker.h"

void wr_node_tx(struct graph *g, void *ctx, struct packet **pkts, unsigned n)
{
	struct worker *w = ctx;

	(void)g;
	for (unsigned i = 0; i < n; i++) {
		unsigned out_idx = pkts[i]->tx_port;
		struct worker_out *out = &w->outs[out_idx];

		out->pkts[out->n++] = pkts[i];
		w->touched[out_idx / 64] |= UINT64_C(1) << (out_idx % 64);
	}
}
