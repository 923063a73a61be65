/* SPDX-License-Identifier: BSD-3-Clause */
#include "cnet/nodes.h"

/* clang-format off */
#define NODE(name, help)
#define NEXT(name, target) \
	static_assert((int)NODE_##target > (int)NODE_##name, "edges lead down the table");
#define PUNT(name, reason, cls, text) \
	static_assert((int)NODE_punt > (int)NODE_##name, "edges lead down the table");
#define DROP(name, reason, text) \
	static_assert((int)NODE_drop > (int)NODE_##name, "edges lead down the table");
#define END(name)
#include "cnet/nodes.def"
#undef NODE
#undef NEXT
#undef PUNT
#undef DROP
#undef END

#define NODE(name, help) static const struct graph_edge name##_edges[N_##name##_edges + 1] = {
#define NEXT(node, target_) [node##_to_##target_] = { \
	.name = #target_, .text = #target_, .kind = EDGE_NEXT, .target = NODE_##target_},
#define PUNT(node, reason, cls, text_) [node##_punt_##reason] = { \
	.name = #reason, .text = text_, .kind = EDGE_PUNT, .target = NODE_punt, \
	.detail = PUNT_##cls},
#define DROP(node, reason, text_) [node##_drop_##reason] = { \
	.name = #reason, .text = text_, .kind = EDGE_DROP, .target = NODE_drop},
#define END(name) };
#include "cnet/nodes.def"
#undef NODE
#undef NEXT
#undef PUNT
#undef DROP
#undef END

/* The running sum of edges before each node: an enum that counts through the table. */
enum edge_number {
#define NODE(name, help) FIRST_##name, FIRST_##name##_less_one = FIRST_##name - 1,
#define NEXT(name, target) NUMBER_##name##_to_##target,
#define PUNT(name, reason, cls, text) NUMBER_##name##_punt_##reason,
#define DROP(name, reason, text) NUMBER_##name##_drop_##reason,
#define END(name)
#include "cnet/nodes.def"
#undef NODE
#undef NEXT
#undef PUNT
#undef DROP
#undef END
};

static const struct graph_node nodes[N_NODES] = {
#define NODE(name_, help_) [NODE_##name_] = { \
	.name = #name_, .help = help_, .run = wr_node_##name_, .edges = name_##_edges, \
	.n_edges = N_##name_##_edges, .first_edge = FIRST_##name_},
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
};
/* clang-format on */

static_assert(sizeof(struct node_edge_layout) < UINT16_MAX, "packet.edge is 16 bits");

const struct graph_table wr_node_table = {.nodes = nodes, .n_nodes = N_NODES, .n_edges = N_EDGES};
