/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The graph: packets walk through nodes, vector by vector.
 *
 * A node decides for one packet: an inlined function that looks at it and returns an edge.
 * Everything that is the same for all nodes is written here once: the loop over the vector,
 * prefetching, counting, the decision record, passing on.
 *
 * An edge leads to a later node, never back: the table of nodes is the order of execution, so one
 * pass over it runs a burst to its end. Edges are numbered through all nodes (first_edge + local
 * number). That number is the packet's decision record (packet.edge), the index of its counter, and
 * the reason shown for a drop or a punt: node and reason are one fact.
 *
 * The graph knows neither ports nor time. `ctx`, passed through to the nodes, is the owner's (cnet:
 * the worker). One thread per graph; counters are read by others with relaxed loads.
 */
#ifndef WR_GRAPH_GRAPH_H
#define WR_GRAPH_GRAPH_H

#include "lib/base/count.h"
#include "lib/mem/packet.h"

enum edge_kind {
	EDGE_NEXT, /* the packet goes on */
	EDGE_PUNT, /* to the kernel, as if received on its interface */
	EDGE_DROP,
};

struct graph_edge {
	const char *name; /* as in nodes.def: "no_route" */
	const char *text; /* a sentence a person can act on; the target's name for EDGE_NEXT */
	uint8_t kind;     /* enum edge_kind */
	uint8_t target;   /* node index, greater than that of the node it leaves */
	uint8_t detail;   /* owner's: for a punt its class, see cnet/nodes.def */
};

struct graph;

struct graph_node {
	const char *name;
	const char *help;
	void (*run)(struct graph *, void *ctx, struct packet **pkts, unsigned n);
	const struct graph_edge *edges;
	uint16_t n_edges;
	uint16_t first_edge; /* global number of edges[0] */
};

struct graph_table {
	const struct graph_node *nodes;
	uint16_t n_nodes;
	uint16_t n_edges; /* of all nodes */
};

struct graph_vector {
	unsigned n;
	struct packet *pkts[WR_BURST];
};

struct graph {
	const struct graph_table *table;
	uint64_t *edge_counts;  /* [n_edges] */
	uint64_t *node_vectors; /* [n_nodes]: how often a node ran */
	struct graph_vector vectors[];
};

/* The counters start at 0. NULL if memory is short. */
struct graph *wr_graph_create(const struct graph_table *);
void wr_graph_free(struct graph *);

/* Runs a burst (1 <= n <= WR_BURST) from the node `entry_idx` on until every packet has been taken
 * by a final node, one without edges. */
void wr_graph_walk(struct graph *, void *ctx, unsigned entry_idx, struct packet **pkts, unsigned n);

/* The node that a global edge number belongs to, and its edge. */
const struct graph_node *wr_graph_node_of_edge(const struct graph_table *, unsigned edge,
					       const struct graph_edge **ret_edge);

/*
 * A node's run: packets that leave it one after another by the same edge. All of them are counted,
 * and the length of the target's vector is told, when the run ends; between, a packet costs a
 * comparison and two stores. Nobody but the node's own loop sees the difference.
 */
struct graph_run {
	struct graph *g;
	const struct graph_node *node;
	struct packet **at; /* where the next packet goes */
	struct graph_vector *to;
	unsigned edge_idx;
	unsigned first_edge; /* the node's */
};

static inline void wr_graph_begin(struct graph_run *run, unsigned edge_idx)
{
	run->edge_idx = edge_idx;
	run->to = &run->g->vectors[run->node->edges[edge_idx].target];
	run->at = &run->to->pkts[run->to->n];
}

static inline void wr_graph_end(struct graph_run *run)
{
	const unsigned n = (unsigned)(run->at - run->to->pkts);

	wr_count(&run->g->edge_counts[run->first_edge + run->edge_idx], n - run->to->n);
	run->to->n = n;
}

static inline void wr_graph_leave(struct graph_run *run, unsigned edge_idx, struct packet *pkt)
{
	if (wr_unlikely(edge_idx != run->edge_idx)) {
		wr_graph_end(run);
		wr_graph_begin(run, edge_idx);
	}
	pkt->edge = (uint16_t)(run->first_edge + edge_idx);
	*run->at++ = pkt;
}

/*
 * Defines wr_node_NAME(), the node's vector loop, around `static inline enum NAME_edge
 * NAME(ctx_type *, struct packet *)`. `node_` is the node's row in the table. The packets' metadata
 * and the first line of their data are asked for GRAPH_AHEAD packets before they are needed.
 */
enum { GRAPH_AHEAD = 4 };

#define GRAPH_NODE(name, ctx_type, node_)                                                          \
	void wr_node_##name(struct graph *g, void *ctx, struct packet **pkts, unsigned n)          \
	{                                                                                          \
		const unsigned n_ahead = n > GRAPH_AHEAD ? n - GRAPH_AHEAD : 0;                    \
		struct graph_run run = {.g = g, .node = (node_)};                                  \
                                                                                                   \
		run.first_edge = run.node->first_edge;                                             \
		wr_graph_begin(&run, 0);                                                           \
		for (unsigned i = 0; i < n; i++) {                                                 \
			if (i < n_ahead)                                                           \
				__builtin_prefetch(pkts[i + GRAPH_AHEAD]->data);                   \
			wr_graph_leave(&run, name((ctx_type *)ctx, pkts[i]), pkts[i]);             \
		}                                                                                  \
		wr_graph_end(&run);                                                                \
	}

#endif
