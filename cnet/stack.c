/* SPDX-License-Identifier: BSD-3-Clause */
#include "cnet/stack_private.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	/* A worker stays awake for so long after its last packet: longer than the gaps of a busy
	 * link, shorter than anybody would notice. */
	SPIN_NS = 50 * 1000,
	/* Frames in nobody's ring: each worker's pool may keep so many. */
	FRAMES_PER_WORKER = WR_POOL_MAX + WR_BURST,
};

/* A worker's share, never 0 of something: that would be no limit. */
static uint64_t share_of(const struct weir *weir, uint64_t limit_pps)
{
	return (limit_pps + weir->conf.workers - 1) / weir->conf.workers;
}

static int create_workers(struct weir *weir)
{
	for (unsigned i = 0; i < weir->conf.workers; i++) {
		struct worker_conf conf = {
			.worker_idx = i,
			.clock = weir->clock,
			.fib = weir->fib,
			.umem = weir->umem,
			.beat = wr_steer_beat(weir->steer, i),
			.deadline_ns = weir->conf.heartbeat_ms * WR_NS_PER_MS,
			.spin_ns = SPIN_NS,
			.punt_pps = {[PUNT_CARRY] = share_of(weir, weir->conf.punt_carry_pps),
				     [PUNT_ANSWER] = share_of(weir, weir->conf.punt_answer_pps)},
		};
		int err = wr_worker_create(&conf, &weir->workers[i]);

		if (err)
			return err;
		weir->n_workers++;
	}
	return 0;
}

/* Room for every ring of every interface to be full at once. */
static int create_memory(struct weir *weir, struct wr_err *err)
{
	uint32_t n_frames = weir->conf.workers * FRAMES_PER_WORKER;

	for (unsigned i = 0; i < weir->conf.n_ifnames; i++) {
		int n_queues = wr_stack_queues_of(weir, weir->conf.ifnames[i], err);

		if (n_queues < 0)
			return n_queues;
		n_frames += wr_stack_frames_of(&weir->conf, (unsigned)n_queues);
		weir->ports[i].max_queues = (uint16_t)n_queues;
	}
	return wr_umem_create(
		&(struct umem_conf){.n_frames = n_frames, .frame_bytes = weir->conf.frame_bytes},
		&weir->umem, err);
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
	code = create_workers(weir);
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
	for (unsigned i = 0; i < weir->conf.n_ifnames; i++) {
		int code;

		memcpy(weir->ports[i].ifname, weir->conf.ifnames[i], sizeof(weir->ports[i].ifname));
		code = wr_stack_port_open(weir, i, err);
		if (code)
			return code;
	}
	return 0;
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
	for (unsigned i = 0; i < weir->n_workers; i++)
		wr_worker_stop(weir->workers[i]);
	for (unsigned i = 0; i < weir->n_workers; i++)
		wr_worker_free(weir->workers[i]);
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
		const uint64_t *counts = weir->workers[i]->port_edge_counts[port_idx];

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
	struct stack_frames frames = {.total = weir->umem->n_frames};

	for (unsigned i = 0; i < weir->n_workers; i++)
		wr_worker_call(weir->workers[i], count_frames, &frames);
	frames.free += wr_umem_audit(weir->umem);
	return frames;
}
