/* SPDX-License-Identifier: BSD-3-Clause */
#include "cnet/worker.h"
#include "cnet/cmd/cmd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* --- show ------------------------------------------------------------------------------------- */

/* "eth0 0, eth1 0": the queues that the worker serves. */
static json_t *make_queues(const struct weir *weir, unsigned worker_idx)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < WR_MAX_PORTS; i++) {
		const struct stack_port *sp = &weir->ports[i];

		for (unsigned q = 0; sp->port && q < sp->port->n_queues; q++)
			if (sp->worker_of[q] == worker_idx)
				json_array_append_new(list, json_pack("{s:o, s:i}", "dev",
								      wr_cmd_text(sp->ifname),
								      "queue", (int)q));
	}
	return list;
}

/* Of a worker without a thread's own lock: each counter is read whole, all of them not at once. */
static json_t *make_row(const struct weir *weir, const struct worker *w)
{
	struct port_counters lanes;
	json_t *row = json_object();

	wr_stack_lane_counters(weir, w->conf.worker_idx, &lanes);
	json_object_set_new(row, "worker", json_integer(w->conf.worker_idx));
	if (w->conf.is_pinned)
		json_object_set_new(row, "cpu", json_integer(w->conf.cpu));
	json_object_set_new(row, "queues", make_queues(weir, w->conf.worker_idx));
	json_object_set_new(row, "rx_pkts", wr_cmd_count(wr_count_get(&w->n_pkts)));
	json_object_set_new(row, "handed_over", wr_cmd_count(lanes.tx_pkts));
	json_object_set_new(row, "taken_over", wr_cmd_count(lanes.rx_pkts));
	json_object_set_new(row, "lane_full", wr_cmd_count(lanes.tx_full));
	json_object_set_new(row, "turns", wr_cmd_count(wr_count_get(&w->n_turns)));
	json_object_set_new(row, "busy_turns", wr_cmd_count(wr_count_get(&w->n_busy_turns)));
	json_object_set_new(row, "yields", wr_cmd_count(wr_count_get(&w->n_yields)));
	json_object_set_new(row, "sleeps", wr_cmd_count(wr_count_get(&w->n_sleeps)));
	json_object_set_new(row, "stalls", wr_cmd_count(wr_count_get(&w->n_stalls)));
	return row;
}

int wr_cmd_worker_show(const struct cmd *cmd)
{
	const struct weir *weir = cmd->weir;
	int rc = wr_cmd_no_more(cmd, 0);

	if (rc)
		return rc;
	wr_req_reply_list(cmd->reply);
	for (unsigned i = 0; i < weir->n_workers; i++)
		wr_req_reply_row(cmd->reply, make_row(weir, weir->workers[i]));
	return 0;
}

/* --- set -------------------------------------------------------------------------------------- */

static int usage(const struct cmd *cmd)
{
	return wr_err(
		cmd->err, -EINVAL,
		"use: worker set spread queue|flow, or: worker set dev IFACE queue N worker W");
}

static int set_spread(const struct cmd *cmd)
{
	if (wr_cmd_is(cmd->words[1], "flow"))
		wr_stack_set_spread(cmd->weir, CONF_SPREAD_FLOW);
	else if (wr_cmd_is(cmd->words[1], "queue"))
		wr_stack_set_spread(cmd->weir, CONF_SPREAD_QUEUE);
	else
		return usage(cmd);
	return wr_req_reply(
		cmd->reply,
		json_pack("{s:s}", "spread",
			  cmd->weir->conf.spread == CONF_SPREAD_FLOW ? "flow" : "queue"));
}

static int find_port(const struct cmd *cmd, const char *ifname, unsigned *ret_port_idx)
{
	for (unsigned i = 0; i < WR_MAX_PORTS; i++)
		if (cmd->weir->ports[i].port && !strcmp(cmd->weir->ports[i].ifname, ifname)) {
			*ret_port_idx = i;
			return 0;
		}
	return wr_err(cmd->err, -ENODEV, "%.64s: not one of Weir's interfaces; see 'weir link'",
		      ifname);
}

static int parse_number(const struct cmd *cmd, const char *what, const char *word, unsigned n,
			unsigned *ret_number)
{
	char *end;
	unsigned long number = strtoul(word, &end, 10);

	if (!*word || *end || *word == '-' || number >= n)
		return wr_err(cmd->err, -EINVAL, "%s %.32s: there are %u, counted from 0", what,
			      word, n);
	*ret_number = (unsigned)number;
	return 0;
}

static int set_queue(const struct cmd *cmd)
{
	struct weir *weir = cmd->weir;
	unsigned port_idx = 0, queue_idx = 0, worker_idx = 0;
	int rc = find_port(cmd, cmd->words[1], &port_idx);

	if (!rc)
		rc = parse_number(cmd, "queue", cmd->words[3], weir->ports[port_idx].port->n_queues,
				  &queue_idx);
	if (!rc)
		rc = parse_number(cmd, "worker", cmd->words[5], weir->n_workers, &worker_idx);
	if (rc)
		return rc;
	rc = wr_stack_move_queue(weir, port_idx, queue_idx, worker_idx);
	if (rc)
		return wr_err(cmd->err, rc, "moving the queue: %s", strerror(-rc));
	return wr_req_reply(cmd->reply, json_pack("{s:s, s:i, s:i}", "dev", cmd->words[1], "queue",
						  (int)queue_idx, "worker", (int)worker_idx));
}

int wr_cmd_worker_set(const struct cmd *cmd)
{
	if (cmd->n_words == 2 && wr_cmd_is(cmd->words[0], "spread"))
		return set_spread(cmd);
	if (cmd->n_words == 6 && wr_cmd_is(cmd->words[0], "dev") &&
	    wr_cmd_is(cmd->words[2], "queue") && wr_cmd_is(cmd->words[4], "worker"))
		return set_queue(cmd);
	return usage(cmd);
}
