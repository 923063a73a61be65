/* SPDX-License-Identifier: BSD-3-Clause */
#include "cnet/stack_private.h"
#include "lib/sys/ethtool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The node that the interfaces are attached to, as a bit, if it is one; those of no node go with
 * any. */
static uint64_t numa_nodes_of(const struct conf *conf)
{
	uint64_t nodes = 0;

	for (unsigned i = 0; i < conf->n_ports; i++) {
		struct port_args args;
		int node;

		if (wr_port_parse(wr_conf_port(conf, i), &args, NULL) ||
		    args.driver != &wr_port_af_xdp_driver)
			continue;
		node = wr_ethtool_numa_node(args.names[0]);
		if (node >= 0 && node < 64)
			nodes |= UINT64_C(1) << node;
	}
	return nodes & (nodes - 1) ? 0 : nodes;
}

/* Room for every ring of every interface to be full at once; and with the interfaces known, how
 * many workers there is something to do for. */
static int create_memory(struct weir *weir, struct wr_err *err)
{
	struct conf *conf = &weir->conf;
	struct umem_conf umem = {.frame_bytes = conf->frame_bytes,
				 .numa_nodes = numa_nodes_of(conf)};
	unsigned most_queues = 1;

	for (unsigned i = 0; i < conf->n_ports; i++) {
		struct port_args args;
		int n_queues = wr_port_parse(wr_conf_port(conf, i), &args, err);

		if (!n_queues)
			n_queues = wr_stack_max_queues_of(weir, &args, err);
		if (n_queues < 0)
			return n_queues;
		umem.n_frames += wr_stack_frames_of(conf, &args, (unsigned)n_queues);
		weir->ports[i].max_queues = (uint16_t)n_queues;
		if ((unsigned)n_queues > most_queues)
			most_queues = (unsigned)n_queues;
	}
	conf->workers = wr_stack_choose_workers(conf, most_queues);
	umem.n_frames += wr_stack_worker_frames(conf->workers);
	return wr_umem_create(&umem, &weir->umem, err);
}

static int create_mirror(struct weir *weir, struct wr_err *err)
{
	const struct mirror_conf conf = {
		.loop = weir->loop,
		.log = &weir->log,
		.fib = weir->fib,
		.rcu = &weir->rcu,
		.ops = &wr_stack_mirror_ops,
		.arg = weir,
		.bypass_netfilter = weir->conf.bypass_netfilter,
		.audit_s = weir->conf.audit_s,
		.rcvbuf_bytes = weir->conf.netlink_rcvbuf_kib << 10,
	};

	return wr_mirror_create(&conf, &weir->mirror, err);
}

int wr_stack_create(const struct conf *conf, const struct wr_log *log, const struct wr_clock *clock,
		    struct weir **ret_weir, struct wr_err *err)
{
	struct weir *weir = calloc(1, sizeof(*weir));
	int code;

	if (!weir)
		return wr_err(err, -ENOMEM, "not enough memory for a stack");
	weir->conf = *conf;
	weir->log = *log;
	weir->clock = clock;
	weir->start_ns = wr_now_ns(clock);
	weir->tap_watch.fd = -1;
	code = wr_loop_create(clock, &weir->loop);
	if (code) {
		wr_err(err, code, "event loop: %s", strerror(-code));
		goto err_stack;
	}
	code = wr_fib_create(&weir->rcu, &weir->fib);
	if (code) {
		wr_err(err, code, "not enough memory for the forwarding tables");
		goto err_stack;
	}
	code = wr_steer_create(&weir->steer, err);
	if (!code)
		code = create_mirror(weir, err);
	if (!code)
		code = create_memory(weir, err);
	if (code)
		goto err_stack;
	code = wr_stack_create_workers(weir);
	if (code) {
		wr_err(err, code, "workers: %s", strerror(-code));
		goto err_stack;
	}
	code = wr_stack_mend_start(weir, err);
	if (code)
		goto err_stack;
	*ret_weir = weir;
	return 0;

err_stack:
	wr_stack_free(weir);
	return code;
}

int wr_stack_start(struct weir *weir, struct wr_err *err)
{
	for (unsigned i = 0; i < weir->n_workers; i++) {
		int code = wr_worker_start(weir->workers[i]);

		if (code)
			return wr_err(err, code, "worker %u: %s", i, strerror(-code));
	}
	for (unsigned i = 0; i < weir->conf.n_ports; i++) {
		int code;

		snprintf(weir->ports[i].spec, sizeof(weir->ports[i].spec), "%s",
			 wr_conf_port(&weir->conf, i));
		code = wr_stack_port_open(weir, i, err);
		if (code)
			return code;
	}
	return wr_stack_ports_listen(weir, err);
}

void wr_stack_free(struct weir *weir)
{
	if (!weir)
		return;
	if (weir->loop)
		wr_timer_stop(weir->loop, &weir->port_timer);
	if (weir->loop)
		wr_timer_stop(weir->loop, &weir->say_timer);
	wr_stack_mend_stop(weir);
	/* All of them first: what comes in by one may leave by another. */
	for (unsigned i = 0; i < WR_MAX_PORTS; i++)
		if (weir->ports[i].steer)
			wr_steer_port_set_transit(weir->ports[i].steer, false);
	for (unsigned i = 0; i < WR_MAX_PORTS; i++)
		wr_stack_port_close(weir, i);
	wr_stack_free_workers(weir);
	wr_mirror_free(weir->mirror);
	wr_fib_free(weir->fib);
	wr_rcu_flush(&weir->rcu);
	if (weir->umem)
		wr_umem_free(weir->umem);
	if (weir->steer)
		wr_steer_free(weir->steer);
	wr_loop_free(weir->loop);
	free(weir);
}

/* --- what the commands ask ------------------------------------------------------------------- */

uint64_t wr_stack_edge_count(const struct weir *weir, unsigned edge)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < weir->n_workers; i++)
		sum += __atomic_load_n(&weir->workers[i]->graph->edge_counts[edge],
				       __ATOMIC_RELAXED);
	return sum;
}

uint64_t wr_stack_port_edge_count(const struct weir *weir, unsigned port_idx, unsigned edge)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < weir->n_workers; i++) {
		const uint64_t *counts = weir->workers[i]->ports[port_idx].edge_counts;

		if (counts)
			sum += __atomic_load_n(&counts[edge], __ATOMIC_RELAXED);
	}
	return sum;
}

uint64_t wr_stack_node_vectors(const struct weir *weir, unsigned node_idx)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < weir->n_workers; i++)
		sum += __atomic_load_n(&weir->workers[i]->graph->node_vectors[node_idx],
				       __ATOMIC_RELAXED);
	return sum;
}

void wr_stack_closed_counters(const struct weir *weir, struct port_counters *ret_ports,
			      struct port_counters *ret_punts)
{
	*ret_ports = weir->closed_ports;
	*ret_punts = weir->closed_punts;
}

const struct graph_table *wr_stack_graph(void)
{
	return &wr_node_table;
}

static void count_frames(struct worker *w, void *arg)
{
	struct stack_frames *frames = arg;

	frames->free += w->pool.n;
	for (unsigned i = 0; i < w->n_queues; i++)
		if (w->queues[i]->port->ops->n_frames)
			frames->in_flight += w->queues[i]->port->ops->n_frames(w->queues[i]);
}

struct stack_frames wr_stack_frames(struct weir *weir)
{
	struct stack_frames frames = {.total = weir->umem->n_frames,
				      .is_huge = weir->umem->is_huge,
				      .numa_node = weir->umem->numa_node};

	for (unsigned i = 0; i < weir->n_workers; i++)
		wr_worker_call(weir->workers[i], count_frames, &frames);
	frames.free += wr_umem_audit(weir->umem);
	return frames;
}
