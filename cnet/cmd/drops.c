/* SPDX-License-Identifier: BSD-3-Clause */
#include "cnet/cmd/cmd.h"

/*
 * Reasons that are no edge of the graph: counters of a port. `kind` says whether they are in the
 * balance: "drop" is; "rx" was lost before Weir had the packet and "tx" after it was sent.
 */
static const struct port_reason {
	const char *reason, *kind, *text;
	size_t offset; /* in struct port_counters */
	bool of_punt;  /* the port's way into the kernel */
} port_reasons[] = {
	{"tx.full", "drop",
	 "the interface sends more slowly than packets come: no room in its ring",
	 offsetof(struct port_counters, tx_full), false},
	{"punt.full", "drop",
	 "the kernel takes packets more slowly than they come: no room in the TAP",
	 offsetof(struct port_counters, tx_full), true},
	{"rx.no_frames", "rx", "receive slots left empty: no free packet buffers",
	 offsetof(struct port_counters, rx_no_frames), false},
	{"rx.stale", "rx",
	 "received before the worker stalled, thrown away after: the kernel had taken over",
	 offsetof(struct port_counters, rx_stale), false},
	{"rx.bad", "rx", "frames that the driver refused: too many segments",
	 offsetof(struct port_counters, rx_bad), false},
	{"tx.errors", "tx", "packets that the kernel refused to send",
	 offsetof(struct port_counters, tx_errors), false},
	{"punt.errors", "tx", "punted packets that the kernel refused",
	 offsetof(struct port_counters, tx_errors), true},
};

struct row {
	const char *node; /* NULL: the reason is whole */
	const char *reason, *kind, *text;
	const char *dev; /* NULL: none */
	uint64_t count;
};

static void add_row(const struct cmd *cmd, const struct row *r)
{
	json_t *row = json_object();

	json_object_set_new(row, "reason",
			    r->node ? json_sprintf("%s.%s", r->node, r->reason)
				    : json_string(r->reason));
	if (r->dev)
		json_object_set_new(row, "dev", wr_cmd_text(r->dev));
	json_object_set_new(row, "count", wr_cmd_count(r->count));
	json_object_set_new(row, "kind", json_string(r->kind));
	json_object_set_new(row, "text", json_string(r->text));
	wr_req_reply_row(cmd->reply, row);
}

/* A row for each interface that has any; one without for what no interface counted, which tells of
 * a mistake in the counting. */
static void add_edge(const struct cmd *cmd, const struct graph_node *node, unsigned edge_idx,
		     bool with_zero)
{
	const struct graph_edge *edge = &node->edges[edge_idx];
	unsigned number = node->first_edge + edge_idx;
	struct row row = {
		.node = node->name,
		.reason = edge->name,
		.kind = edge->kind == EDGE_DROP ? "drop" : "punt",
		.text = edge->text,
	};
	/* Read before those of the ports, so that traffic in between makes no remainder. */
	uint64_t total = wr_stack_edge_count(cmd->weir, number), sum = 0;

	for (unsigned i = 0; i < WR_MAX_PORTS; i++) {
		row.count = wr_stack_port_edge_count(cmd->weir, i, number);
		if (!row.count)
			continue;
		sum += row.count;
		row.dev = cmd->weir->ports[i].ifname;
		add_row(cmd, &row);
	}
	row.dev = NULL;
	row.count = total > sum ? total - sum : 0;
	if (row.count || (with_zero && !sum))
		add_row(cmd, &row);
}

static void add_port_reason(const struct cmd *cmd, const struct port_reason *reason, bool with_zero)
{
	struct row row = {.reason = reason->reason, .kind = reason->kind, .text = reason->text};
	bool has_rows = false;

	for (unsigned i = 0; i < WR_MAX_PORTS; i++) {
		const struct stack_port *sp = &cmd->weir->ports[i];
		const struct port *port = reason->of_punt ? sp->punt : sp->port;
		struct port_counters sum;

		if (!sp->port || !port)
			continue;
		wr_port_counters(port, &sum);
		row.count = *(const uint64_t *)((const char *)&sum + reason->offset);
		if (!row.count)
			continue;
		row.dev = sp->ifname;
		has_rows = true;
		add_row(cmd, &row);
	}
	row.dev = NULL;
	row.count = 0;
	if (with_zero && !has_rows)
		add_row(cmd, &row);
}

static void add_lanes(const struct cmd *cmd, bool with_zero)
{
	struct row row = {.reason = "lane.full",
			  .kind = "drop",
			  .text = "the worker that a packet was for is slower than those that "
				  "handed it packets"};
	struct port_counters lanes;

	for (unsigned i = 0; i < cmd->weir->n_workers; i++) {
		wr_stack_lane_counters(cmd->weir, i, &lanes);
		row.count += lanes.tx_full;
	}
	if (row.count || with_zero)
		add_row(cmd, &row);
}

int wr_cmd_drops_show(const struct cmd *cmd)
{
	const struct graph_table *table = wr_stack_graph();
	bool with_zero = cmd->n_words && wr_cmd_is(cmd->words[0], "all");
	int rc = wr_cmd_no_more(cmd, with_zero ? 1 : 0);

	if (rc)
		return rc;
	wr_req_reply_list(cmd->reply);
	for (unsigned i = 0; i < table->n_nodes; i++) {
		const struct graph_node *node = &table->nodes[i];

		for (unsigned e = 0; e < node->n_edges; e++)
			if (node->edges[e].kind != EDGE_NEXT)
				add_edge(cmd, node, e, with_zero);
	}
	for (size_t i = 0; i < wr_array_size(port_reasons); i++)
		add_port_reason(cmd, &port_reasons[i], with_zero);
	add_lanes(cmd, with_zero);
	return 0;
}
