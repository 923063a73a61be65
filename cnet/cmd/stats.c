/* SPDX-License-Identifier: BSD-3-Clause */
#include "cnet/cmd/cmd.h"

#include <ctype.h>
#include <stdio.h>

/* The terms of the balance. */
struct sums {
	uint64_t rx, tx, delivered, punted, dropped;
};

static json_t *make_verdicts(const struct steer_port *steer)
{
	static const char *const names[] = {
#define V(name, what, text) #name,
		STEER_VERDICTS(V)
#undef V
	};
	uint64_t counts[STEER_N_VERDICTS] = {0};
	json_t *json = json_object();

	if (!steer || wr_steer_port_counts(steer, counts))
		return json;
	for (unsigned i = 0; i < STEER_N_VERDICTS; i++) {
		char name[32];

		snprintf(name, sizeof(name), "%s", names[i]);
		for (char *c = name; *c; c++)
			*c = (char)tolower((unsigned char)*c);
		json_object_set_new(json, name, wr_cmd_count(counts[i]));
	}
	return json;
}

static void add_fact(void *arg, const char *name, uint64_t value)
{
	json_object_set_new(arg, name, wr_cmd_count(value));
}

static json_t *make_facts(const struct port *port)
{
	json_t *json = json_object();

	if (port->ops->facts)
		port->ops->facts(port, add_fact, json);
	return json;
}

/* Drops of packets that came in by this port. */
static uint64_t n_port_drops(const struct weir *weir, unsigned port_idx)
{
	const struct graph_table *table = wr_stack_graph();
	uint64_t sum = 0;

	for (unsigned i = 0; i < table->n_nodes; i++)
		for (unsigned e = 0; e < table->nodes[i].n_edges; e++)
			if (table->nodes[i].edges[e].kind == EDGE_DROP)
				sum += wr_stack_port_edge_count(weir, port_idx,
								table->nodes[i].first_edge + e);
	return sum;
}

static uint64_t n_drops(const struct weir *weir)
{
	const struct graph_table *table = wr_stack_graph();
	uint64_t sum = 0;

	for (unsigned i = 0; i < table->n_nodes; i++)
		for (unsigned e = 0; e < table->nodes[i].n_edges; e++)
			if (table->nodes[i].edges[e].kind == EDGE_DROP)
				sum += wr_stack_edge_count(weir, table->nodes[i].first_edge + e);
	return sum;
}

static json_t *make_port(const struct weir *weir, unsigned port_idx, struct sums *sums)
{
	const struct stack_port *sp = &weir->ports[port_idx];
	struct port_counters own, punt = {0};
	json_t *row = json_object();

	wr_port_counters(sp->port, &own);
	if (sp->punt)
		wr_port_counters(sp->punt, &punt);
	/* What the kernel sends by an interface of Weir's own has come in, too. */
	sums->rx += own.rx_pkts + punt.rx_pkts;
	sums->tx += own.tx_pkts;
	sums->punted += punt.tx_pkts;
	sums->dropped += own.tx_full + punt.tx_full;
	json_object_set_new(row, "name", wr_cmd_text(sp->ifname));
	json_object_set_new(row, "rx_pkts", wr_cmd_count(own.rx_pkts));
	json_object_set_new(row, "rx_bytes", wr_cmd_count(own.rx_bytes));
	json_object_set_new(row, "tx_pkts", wr_cmd_count(own.tx_pkts));
	json_object_set_new(row, "tx_bytes", wr_cmd_count(own.tx_bytes));
	json_object_set_new(row, "punted", wr_cmd_count(punt.tx_pkts));
	json_object_set_new(row, "from_kernel", wr_cmd_count(punt.rx_pkts));
	json_object_set_new(
		row, "dropped",
		wr_cmd_count(n_port_drops(weir, port_idx) + own.tx_full + punt.tx_full));
	json_object_set_new(row, "tx_full", wr_cmd_count(own.tx_full));
	json_object_set_new(row, "tx_errors", wr_cmd_count(own.tx_errors));
	json_object_set_new(row, "rx_no_frames", wr_cmd_count(own.rx_no_frames));
	json_object_set_new(row, "rx_stale", wr_cmd_count(own.rx_stale));
	json_object_set_new(row, "rx_bad", wr_cmd_count(own.rx_bad));
	json_object_set_new(row, "tx_kicks", wr_cmd_count(own.tx_kicks));
	json_object_set_new(row, "verdicts", make_verdicts(sp->steer));
	json_object_set_new(row, "facts", make_facts(sp->port));
	return row;
}

static json_t *make_frames(struct weir *weir)
{
	struct stack_frames frames = wr_stack_frames(weir);
	json_t *json = json_object();

	json_object_set_new(json, "total", wr_cmd_count(frames.total));
	json_object_set_new(json, "free", wr_cmd_count(frames.free));
	json_object_set_new(json, "in_flight", wr_cmd_count(frames.in_flight));
	json_object_set_new(json, "huge", json_boolean(frames.is_huge));
	json_object_set_new(json, "numa_node",
			    frames.numa_node < 0 ? json_null() : json_integer(frames.numa_node));
	return json;
}

static void add_closed(const struct weir *weir, struct sums *sums)
{
	struct port_counters ports = {0}, punts = {0};

	wr_stack_closed_counters(weir, &ports, &punts);
	sums->rx += ports.rx_pkts + punts.rx_pkts;
	sums->tx += ports.tx_pkts;
	sums->punted += punts.tx_pkts;
	sums->dropped += ports.tx_full + punts.tx_full;
}

/* Packets that found the way to another worker full. */
static uint64_t n_lane_drops(const struct weir *weir)
{
	struct port_counters lanes;
	uint64_t sum = 0;

	for (unsigned i = 0; i < weir->n_workers; i++) {
		wr_stack_lane_counters(weir, i, &lanes);
		sum += lanes.tx_full;
	}
	return sum;
}

int wr_cmd_stats_show(const struct cmd *cmd)
{
	struct weir *weir = cmd->weir;
	json_t *json, *ports;
	struct sums s = {0};
	int rc = wr_cmd_no_more(cmd, 0);

	if (rc)
		return rc;
	json = json_object();
	ports = json_array();
	for (unsigned i = 0; i < WR_MAX_PORTS; i++)
		if (weir->ports[i].port)
			json_array_append_new(ports, make_port(weir, i, &s));
	add_closed(weir, &s);
	s.dropped += n_drops(weir) + n_lane_drops(weir);
	json_object_set_new(json, "ports", ports);
	json_object_set_new(json, "rx_pkts", wr_cmd_count(s.rx));
	json_object_set_new(json, "tx_pkts", wr_cmd_count(s.tx));
	json_object_set_new(json, "delivered", wr_cmd_count(s.delivered));
	json_object_set_new(json, "punted", wr_cmd_count(s.punted));
	json_object_set_new(json, "dropped", wr_cmd_count(s.dropped));
	/* 0 when traffic stops; else what the workers hold, or negative by what came after rx was
	 * read. */
	json_object_set_new(json, "balance",
			    wr_cmd_count(s.rx - (s.tx + s.delivered + s.punted + s.dropped)));
	json_object_set_new(json, "frames", make_frames(weir));
	json_object_set_new(json, "mirror", wr_cmd_mirror(weir));
	return wr_req_reply(cmd->reply, json);
}
