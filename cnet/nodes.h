/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the compiler makes of cnet/nodes.def.
 *
 * For each node an index NODE_<name> and an enum <name>_edge with one member an edge:
 * <name>_to_<target>, <name>_punt_<reason>, <name>_drop_<reason>. A node's function returns its own
 * enum, so returning another node's edge does not compile.
 */
#ifndef WR_CNET_NODES_H
#define WR_CNET_NODES_H

#include "lib/graph/graph.h"

/* clang-format off */
enum node_idx {
#define NODE(name, help) NODE_##name,
#define NEXT(name, target)
#define PUNT(name, reason, cls, text)
#define DROP(name, reason, text)
#define END(name)
#include "cnet/nodes.def"
	N_NODES
#undef NODE
#undef NEXT
#undef PUNT
#undef DROP
#undef END
};

#define NODE(name, help) enum name##_edge {
#define NEXT(name, target) name##_to_##target,
#define PUNT(name, reason, cls, text) name##_punt_##reason,
#define DROP(name, reason, text) name##_drop_##reason,
#define END(name) N_##name##_edges };
#include "cnet/nodes.def"
#undef NODE
#undef NEXT
#undef PUNT
#undef DROP
#undef END

/* FIRST_<name>: the global number of a node's edge 0. The struct has a byte for each edge of all
 * nodes. */
struct node_edge_layout {
#define NODE(name, help)
#define NEXT(name, target) char name##_to_##target;
#define PUNT(name, reason, cls, text) char name##_punt_##reason;
#define DROP(name, reason, text) char name##_drop_##reason;
#define END(name)
#include "cnet/nodes.def"
#undef NODE
#undef NEXT
#undef PUNT
#undef DROP
#undef END
};
/* clang-format on */

enum { N_EDGES = sizeof(struct node_edge_layout) };

/* The global number of an edge: EDGE(ip4_lookup_drop_blackhole). */
#define EDGE(edge) offsetof(struct node_edge_layout, edge)

/* Classes of punts (graph_edge.detail). */
enum punt_class { PUNT_CARRY, PUNT_ANSWER, N_PUNT_CLASSES };

/* The vector loop of each node. */
/* clang-format off */
#define NODE(name, help) void wr_node_##name(struct graph *, void *, struct packet **, unsigned n);
#define NEXT(name, target)
#define PUNT(name, reason, cls, text)
#define DROP(name, reason, text)
#define END(name)
#include "cnet/nodes.def"
#undef NODE
#undef NEXT
#undef PUNT
#undef DROP
#undef END
/* clang-format on */

extern const struct graph_table wr_node_table;

#endif
