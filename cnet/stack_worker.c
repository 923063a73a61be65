/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which worker serves which queue, and how packets get from one to another.
 *
 * Queue i of a port belongs to worker i modulo their number, until somebody says otherwise. For
 * each way out a worker has either a queue of its own or a lane to the worker that serves one, so
 * any number of workers goes with any number of queues. There is a lane for each pair of workers,
 * made before their threads start and closed after they have ended. Queues that only receive
 * (port->n_rx_only) are no way out.
 *
 * A queue moves to another worker between two turns of each. The XDP program is told first: a frame
 * that starts the new worker's deadline is looked for as soon as the queue has arrived. What lies
 * in its rings goes along, so nothing is lost. And nothing overtakes: for that moment all workers
 * receive from each other only, until the lanes are empty, so what was received before the change
 * has left before what comes after it is looked at. The same when flows get other owners.
 */
#include "cnet/stack_private.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

enum {
	LANE_DESCS = 512,
	/* Frames in nobody's ring: each worker's pool may keep so many. */
	FRAMES_PER_WORKER = WR_POOL_MAX + WR_BURST,
};

/* --- how many, and where ---------------------------------------------------------------------- */

/* The CPUs that the process may use; at least one. */
static unsigned count_cpus(cpu_set_t *ret_cpus)
{
	CPU_ZERO(ret_cpus);
	if (sched_getaffinity(0, sizeof(*ret_cpus), ret_cpus) || !CPU_COUNT(ret_cpus))
		CPU_SET(0, ret_cpus);
	return (unsigned)CPU_COUNT(ret_cpus);
}

/* The n-th CPU that is set, counted round. */
static unsigned nth_cpu(const cpu_set_t *cpus, unsigned n)
{
	unsigned cpu = 0;

	n %= (unsigned)CPU_COUNT(cpus);
	while (!CPU_ISSET(cpu, cpus) || n--)
		cpu++;
	return cpu;
}

unsigned wr_stack_choose_workers(const struct conf *conf, unsigned most_queues)
{
	cpu_set_t cpus;
	unsigned n;

	if (conf->workers)
		return conf->workers;
	n = count_cpus(&cpus);
	if (conf->spread == CONF_SPREAD_QUEUE && n > most_queues)
		n = most_queues;
	if (n > WR_MAX_WORKERS)
		n = WR_MAX_WORKERS;
	return n ? n : 1;
}

uint32_t wr_stack_worker_frames(unsigned n_workers)
{
	return n_workers * FRAMES_PER_WORKER + n_workers * (n_workers - 1) * LANE_DESCS;
}

/* --- create ----------------------------------------------------------------------------------- */

/* A worker's share, never 0 of something: that would be no limit. */
static uint64_t share_of(const struct weir *weir, uint64_t limit_pps)
{
	return (limit_pps + weir->conf.workers - 1) / weir->conf.workers;
}

static int create_lane(struct weir *weir, unsigned a, unsigned b)
{
	const struct ring_conf conf = {.name_a = "lane",
				       .name_b = "lane",
				       .n_queues = 1,
				       .n_descs = LANE_DESCS,
				       .keeps_metadata = true};
	int rc = wr_port_ring_open_pair(weir->umem, &conf, &weir->lanes[a][b], &weir->lanes[b][a],
					NULL);

	if (!rc)
		rc = wr_worker_add_queue(weir->workers[a], weir->lanes[a][b]->queues[0],
					 WORKER_LANE_OUT + b, WORKER_LANE);
	if (!rc)
		rc = wr_worker_add_queue(weir->workers[b], weir->lanes[b][a]->queues[0],
					 WORKER_LANE_OUT + a, WORKER_LANE);
	return rc;
}

int wr_stack_create_workers(struct weir *weir)
{
	const struct conf *conf = &weir->conf;
	cpu_set_t cpus;
	int rc = 0;

	count_cpus(&cpus);
	for (unsigned i = 0; i < conf->workers && !rc; i++) {
		struct worker_conf own = {
			.worker_idx = i,
			.clock = weir->clock,
			.fib = weir->fib,
			.umem = weir->umem,
			.beat = wr_steer_beat(weir->steer, i),
			.deadline_ns = conf->heartbeat_ms * WR_NS_PER_MS,
			.spin_ns = conf->spin_us * WR_NS_PER_US,
			.yield_ns = conf->yield_us * WR_NS_PER_US,
			.is_pinned = conf->pin_workers,
			.cpu = nth_cpu(&cpus, i),
			.punt_pps = {[PUNT_CARRY] = share_of(weir, conf->punt_carry_pps),
				     [PUNT_ANSWER] = share_of(weir, conf->punt_answer_pps)},
		};

		rc = wr_worker_create(&own, &weir->workers[i]);
		weir->n_workers += !rc;
	}
	for (unsigned b = 1; b < weir->n_workers; b++)
		for (unsigned a = 0; a < b && !rc; a++)
			rc = create_lane(weir, a, b);
	if (!rc)
		wr_stack_set_spread(weir, conf->spread);
	return rc;
}

void wr_stack_free_workers(struct weir *weir)
{
	for (unsigned i = 0; i < weir->n_workers; i++)
		wr_worker_stop(weir->workers[i]);
	for (unsigned i = 0; i < weir->n_workers; i++)
		wr_worker_free(weir->workers[i]);
	for (unsigned a = 0; a < WR_MAX_WORKERS; a++)
		for (unsigned b = 0; b < WR_MAX_WORKERS; b++)
			if (weir->lanes[a][b])
				weir->lanes[a][b]->ops->close(weir->lanes[a][b]);
}

/* --- queues ----------------------------------------------------------------------------------- */

struct give_queue {
	struct port_queue *queue;
	unsigned out_idx;
	enum worker_role role;
	bool is_first; /* its ring is to be filled */
	int rc;
};

/* On the worker's thread: its pool fills the ring. */
static void give_queue(struct worker *w, void *arg)
{
	struct give_queue *give = arg;
	const struct port_ops *ops = give->queue->port->ops;

	give->rc = wr_worker_add_queue(w, give->queue, give->out_idx, give->role);
	if (!give->rc && give->is_first && ops->start)
		give->rc = ops->start(give->queue);
}

struct take_queue {
	struct port_queue *queue;
	struct port_queue *way_out; /* instead of it, if the worker had no other */
};

/* At no time is there no way out: the packets would be left to the kernel. */
static void take_queue(struct worker *w, void *arg)
{
	const struct take_queue *take = arg;
	const unsigned out_idx = take->queue->port->port_idx;

	wr_worker_del_queue(w, take->queue);
	if (!w->outs[out_idx].queue)
		wr_worker_set_out(w, out_idx, take->way_out);
}

struct know_port {
	const struct port *port;
	unsigned port_idx;
	int rc;
};

static void know_port(struct worker *w, void *arg)
{
	struct know_port *know = arg;
	int rc = wr_worker_know_port(w, know->port_idx, know->port);

	if (rc)
		know->rc = rc;
}

int wr_stack_tell_port(struct weir *weir, const struct port *port)
{
	struct know_port know = {.port = port, .port_idx = port->port_idx};

	for (unsigned i = 0; i < weir->n_workers; i++)
		wr_worker_call(weir->workers[i], know_port, &know);
	return know.rc;
}

struct set_out {
	unsigned out_idx;
	struct port_queue *queue;
};

static void set_out(struct worker *w, void *arg)
{
	const struct set_out *set = arg;

	wr_worker_set_out(w, set->out_idx, set->queue);
}

/* By which queue the worker sends to the port: its own, or that of the worker it leaves it to. */
static struct port_queue *way_out(const struct weir *weir, unsigned worker_idx,
				  const struct port *port, const uint8_t *worker_of)
{
	const unsigned n_tx = wr_port_n_tx_queues(port);

	assert(n_tx); /* all interfaces send by their first one */
	for (unsigned q = 0; q < n_tx; q++)
		if (worker_of[q] == worker_idx)
			return port->queues[q];
	return weir->lanes[worker_idx][worker_of[worker_idx % n_tx]]->queues[0];
}

static void set_outs(struct weir *weir, const struct port *port, const uint8_t *worker_of,
		     unsigned out_idx)
{
	for (unsigned i = 0; i < weir->n_workers; i++) {
		struct set_out set = {.out_idx = out_idx,
				      .queue = way_out(weir, i, port, worker_of)};

		wr_worker_call(weir->workers[i], set_out, &set);
	}
}

/* From the queue `first` on. */
static int give_port(struct weir *weir, struct port *port, unsigned first, const uint8_t *worker_of,
		     unsigned out_idx, enum worker_role role)
{
	for (unsigned i = first; i < port->n_queues; i++) {
		struct give_queue give = {.queue = port->queues[i],
					  .out_idx = out_idx,
					  .role = role,
					  .is_first = true};

		wr_worker_call(weir->workers[worker_of[i]], give_queue, &give);
		if (give.rc)
			return give.rc;
	}
	set_outs(weir, port, worker_of, out_idx);
	return 0;
}

int wr_stack_serve_port(struct weir *weir, struct stack_port *sp)
{
	const unsigned port_idx = sp->port->port_idx;
	int rc = wr_stack_tell_port(weir, sp->port);

	for (unsigned i = 0; i < WR_MAX_QUEUES; i++) {
		if (!sp->has_workers) /* else they stay, should the port have been away */
			sp->worker_of[i] = (uint8_t)(i % weir->n_workers);
		sp->punt_worker_of[i] = (uint8_t)(i % weir->n_workers);
	}
	sp->has_workers = true;
	if (!rc)
		rc = give_port(weir, sp->punt, 0, sp->punt_worker_of, WORKER_PUNT_OUT + port_idx,
			       sp->is_host ? WORKER_HOST : WORKER_SENDS);
	/* A port that no XDP program holds back is received from once it can be forwarded. */
	if (!rc)
		rc = give_port(weir, sp->port, 0, sp->worker_of, port_idx,
			       sp->is_host ? WORKER_SENDS : WORKER_PORT);
	return rc;
}

int wr_stack_serve_more(struct weir *weir, struct stack_port *sp, unsigned first)
{
	return give_port(weir, sp->port, first, sp->worker_of, sp->port->port_idx, WORKER_PORT);
}

/* Sends by it already, and receives from it from now on. */
static void listen_on(struct worker *w, void *arg)
{
	struct give_queue *give = arg;

	wr_worker_del_queue(w, give->queue);
	give_queue(w, give);
}

int wr_stack_listen(struct weir *weir, struct stack_port *sp)
{
	for (unsigned i = 0; i < sp->port->n_queues; i++) {
		struct give_queue give = {.queue = sp->port->queues[i],
					  .out_idx = sp->port->port_idx,
					  .role = WORKER_WIRE};

		wr_worker_call(weir->workers[sp->worker_of[i]], listen_on, &give);
		if (give.rc)
			return give.rc;
	}
	return 0;
}

static void drain(struct worker *w, void *arg)
{
	enum { MAX_DRAIN_TURNS = 64 };

	(void)arg;
	for (unsigned i = 0; i < MAX_DRAIN_TURNS && wr_worker_turn(w); i++)
		;
}

/* What the workers have received is sent, what is in the lanes too. Twice, since a packet takes two
 * lanes at most: to the worker that owns its flow, and to the one that has its way out. */
static void drain_all(struct weir *weir)
{
	for (unsigned i = 0; i < 2 * weir->n_workers; i++)
		wr_worker_call(weir->workers[i % weir->n_workers], drain, NULL);
}

static void leave_port(struct worker *w, void *arg)
{
	const struct stack_port *sp = arg;

	wr_worker_set_out(w, sp->port->port_idx, NULL);
	wr_worker_set_out(w, WORKER_PUNT_OUT + sp->port->port_idx, NULL);
	for (unsigned i = 0; i < sp->port->n_queues; i++)
		wr_worker_del_queue(w, sp->port->queues[i]);
	for (unsigned i = 0; sp->punt && i < sp->punt->n_queues; i++)
		wr_worker_del_queue(w, sp->punt->queues[i]);
}

void wr_stack_leave_port(struct weir *weir, struct stack_port *sp)
{
	/* What the socket received before it left the XSKMAP is still forwarded. */
	drain_all(weir);
	for (unsigned i = 0; i < weir->n_workers; i++)
		wr_worker_call(weir->workers[i], leave_port, sp);
}

/* --- change ----------------------------------------------------------------------------------- */

static void set_held(struct worker *w, void *arg)
{
	w->is_held = *(const bool *)arg;
}

/* The lanes are empty, and stay so until resume(). */
static void hold(struct weir *weir)
{
	bool is_held = true;

	for (unsigned i = 0; i < weir->n_workers; i++)
		wr_worker_call(weir->workers[i], set_held, &is_held);
	drain_all(weir);
}

static void resume(struct weir *weir)
{
	bool is_held = false;

	for (unsigned i = 0; i < weir->n_workers; i++)
		wr_worker_call(weir->workers[i], set_held, &is_held);
}

static int steer_queue(const struct stack_port *sp, unsigned queue_idx, unsigned worker_idx)
{
	if (!sp->steer)
		return 0;
	return wr_steer_port_set_socket(sp->steer, queue_idx, worker_idx,
					wr_port_af_xdp_fd(sp->port, queue_idx));
}

/* From one worker's list into another's; back into the first, should the other's be full. */
static int pass_on(struct weir *weir, struct stack_port *sp, unsigned queue_idx, unsigned from,
		   unsigned to)
{
	struct take_queue take = {.queue = sp->port->queues[queue_idx],
				  .way_out = weir->lanes[from][to]->queues[0]};
	struct give_queue give = {.queue = take.queue,
				  .out_idx = sp->port->port_idx,
				  .role = sp->is_host ? WORKER_WIRE : WORKER_PORT};
	int rc;

	wr_worker_call(weir->workers[from], take_queue, &take);
	wr_worker_call(weir->workers[to], give_queue, &give);
	rc = give.rc;
	if (rc)
		wr_worker_call(weir->workers[from], give_queue, &give);
	else
		sp->worker_of[queue_idx] = (uint8_t)to;
	set_outs(weir, sp->port, sp->worker_of, sp->port->port_idx);
	return rc;
}

int wr_stack_move_queue(struct weir *weir, unsigned port_idx, unsigned queue_idx,
			unsigned worker_idx)
{
	struct stack_port *sp = &weir->ports[port_idx];
	const unsigned from = sp->worker_of[queue_idx];
	int rc;

	if (from == worker_idx)
		return 0;
	rc = steer_queue(sp, queue_idx, worker_idx);
	if (!rc) {
		hold(weir);
		rc = pass_on(weir, sp, queue_idx, from, worker_idx);
		resume(weir);
	}
	if (rc)
		(void)steer_queue(sp, queue_idx, from);
	return rc;
}

static void set_owners(struct worker *w, void *arg)
{
	w->n_owners = *(const unsigned *)arg;
}

void wr_stack_set_spread(struct weir *weir, enum conf_spread spread)
{
	unsigned n_owners = spread == CONF_SPREAD_FLOW && weir->n_workers > 1 ? weir->n_workers : 0;

	weir->conf.spread = spread;
	hold(weir);
	for (unsigned i = 0; i < weir->n_workers; i++)
		wr_worker_call(weir->workers[i], set_owners, &n_owners);
	resume(weir);
}

void wr_stack_lane_counters(const struct weir *weir, unsigned from, struct port_counters *ret_sum)
{
	struct port_counters one;

	*ret_sum = (struct port_counters){0};
	for (unsigned to = 0; to < weir->n_workers; to++) {
		if (!weir->lanes[from][to])
			continue;
		wr_port_counters(weir->lanes[from][to], &one);
		ret_sum->rx_pkts += one.rx_pkts;
		ret_sum->tx_pkts += one.tx_pkts;
		ret_sum->tx_full += one.tx_full;
	}
}
