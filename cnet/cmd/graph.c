/* SPDX-License-Identifier: BSD-3-Clause */
#include "cnet/cmd/cmd.h"

static const char *const kinds[] = {
	[EDGE_NEXT] = "next", [EDGE_PUNT] = "punt", [EDGE_DROP] = "drop"};

/* What has entered a node has left it; by which edges it came into a final one, those that lead
 * there say. */
static uint64_t n_entered(const struct weir *weir, const struct graph_table *table,
			  unsigned node_idx)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < table->n_nodes; i++) {
		const struct graph_node *node = &table->nodes[i];

		for (unsigned e = 0; e < node->n_edges; e++)
			if (table->nodes[node_idx].n_edges ? i == node_idx
							   : node->edges[e].target == node_idx)
				sum += wr_stack_edge_count(weir, node->first_edge + e);
	}
	return sum;
}

static json_t *make_edges(const struct weir *weir, const struct graph_table *table,
			  const struct graph_node *node)
{
	json_t *list = json_array();

	for (unsigned e = 0; e < node->n_edges; e++) {
		const struct graph_edge *edge = &node->edges[e];
		json_t *row = json_object();

		json_object_set_new(row, "name", json_string(edge->name));
		json_object_set_new(row, "kind", json_string(kinds[edge->kind]));
		json_object_set_new(row, "target", json_string(table->nodes[edge->target].name));
		json_object_set_new(row, "packets",
				    wr_cmd_count(wr_stack_edge_count(weir, node->first_edge + e)));
		json_array_append_new(list, row);
	}
	return list;
}

/* To one decimal. */
static double average(uint64_t n_pkts, uint64_t n_vectors)
{
	uint64_t tenths = n_vectors ? n_pkts * 10 / n_vectors : 0;

	return (double)tenths / 10;
}

int wr_cmd_graph_show(const struct cmd *cmd)
{
	const struct graph_table *table = wr_stack_graph();
	int rc = wr_cmd_no_more(cmd, 0);

	if (rc)
		return rc;
	wr_req_reply_list(cmd->reply);
	for (unsigned i = 0; i < table->n_nodes; i++) {
		const struct graph_node *node = &table->nodes[i];
		uint64_t n_vectors = wr_stack_node_vectors(cmd->weir, i);
		uint64_t n_pkts = n_entered(cmd->weir, table, i);
		json_t *row = json_object();

		json_object_set_new(row, "node", json_string(node->name));
		json_object_set_new(row, "packets", wr_cmd_count(n_pkts));
		json_object_set_new(row, "vectors", wr_cmd_count(n_vectors));
		json_object_set_new(row, "pkts_per_vector", json_real(average(n_pkts, n_vectors)));
		json_object_set_new(row, "help", json_string(node->help));
		json_object_set_new(row, "edges", make_edges(cmd->weir, table, node));
		wr_req_reply_row(cmd->reply, row);
	}
	return 0;
}
