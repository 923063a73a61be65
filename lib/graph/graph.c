/* SPDX-License-Identifier: BSD-3-Clause */
#include "lib/graph/graph.h"

#include "lib/base/alloc.h"

#include <stdlib.h>

struct graph *wr_graph_create(const struct graph_table *table)
{
	struct graph *g = wr_alloc_lines(sizeof(*g) + table->n_nodes * sizeof(g->vectors[0]));

	if (!g)
		return NULL;
	g->table = table;
	g->edge_counts = wr_alloc_lines(table->n_edges * sizeof(*g->edge_counts));
	g->node_vectors = wr_alloc_lines(table->n_nodes * sizeof(*g->node_vectors));
	if (!g->edge_counts || !g->node_vectors) {
		wr_graph_free(g);
		return NULL;
	}
	return g;
}

void wr_graph_free(struct graph *g)
{
	if (!g)
		return;
	free(g->node_vectors);
	free(g->edge_counts);
	free(g);
}

static void run_node(struct graph *g, void *ctx, unsigned node_idx, struct packet **pkts,
		     unsigned n)
{
	wr_count(&g->node_vectors[node_idx], 1);
	g->table->nodes[node_idx].run(g, ctx, pkts, n);
}

void wr_graph_walk(struct graph *g, void *ctx, unsigned entry_idx, struct packet **pkts, unsigned n)
{
	const unsigned n_nodes = g->table->n_nodes;

	run_node(g, ctx, entry_idx, pkts, n);
	for (unsigned i = entry_idx + 1; i < n_nodes; i++) {
		struct graph_vector *v = &g->vectors[i];

		if (!v->n)
			continue;
		run_node(g, ctx, i, v->pkts, v->n);
		v->n = 0;
	}
}

const struct graph_node *wr_graph_node_of_edge(const struct graph_table *table, unsigned edge,
					       const struct graph_edge **ret_edge)
{
	for (unsigned i = 0; i < table->n_nodes; i++) {
		const struct graph_node *node = &table->nodes[i];

		if (edge >= node->first_edge && edge < (unsigned)node->first_edge + node->n_edges) {
			*ret_edge = &node->edges[edge - node->first_edge];
			return node;
		}
	}
	return NULL;
}
