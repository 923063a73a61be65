/* SPDX-License-Identifier: BSD-3-Clause */
#include "cnet/worker.h"

#include "lib/base/alloc.h"
#include "lib/mem/rcu.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
	/* A sleeper wakes at least so often, should a wake-up ever get lost (a redirected frame
	 * that the socket dropped has started the heartbeat's deadline without waking anybody). */
	MAX_SLEEP_MS = 1000,
};

static_assert(WORKER_MAX_OUTS <= UINT8_MAX + 1, "packet.tx_port");

int wr_worker_create(const struct worker_conf *conf, struct worker **ret_worker)
{
	struct worker *w;
	int err;

	w = wr_alloc_lines(sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->conf = *conf;
	w->clock = conf->clock;
	w->fib = conf->fib;
	w->beat = (struct beat){.word = conf->beat, .deadline_ns = conf->deadline_ns};
	wr_pool_init(&w->pool, conf->umem);
	for (unsigned i = 0; i < N_EDGES; i++) {
		const struct graph_edge *edge;

		if (wr_graph_node_of_edge(&wr_node_table, i, &edge) && edge->kind == EDGE_PUNT)
			w->limits[i].rate_pps = conf->punt_pps[edge->detail];
	}
	w->graph = wr_graph_create(&wr_node_table);
	if (!w->graph) {
		err = -ENOMEM;
		goto err_graph;
	}
	w->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (w->wake_fd < 0) {
		err = -errno;
		goto err_eventfd;
	}
	*ret_worker = w;
	return 0;

err_eventfd:
	wr_graph_free(w->graph);
err_graph:
	wr_pool_fini(&w->pool);
	free(w);
	return err;
}

void wr_worker_free(struct worker *w)
{
	if (!w)
		return;
	close(w->wake_fd);
	for (unsigned i = 0; i < WR_MAX_PORTS; i++)
		free(w->ports[i].edge_counts);
	wr_graph_free(w->graph);
	wr_pool_fini(&w->pool);
	free(w);
}

int wr_worker_know_port(struct worker *w, unsigned port_idx, const struct port *port)
{
	struct worker_port *known = &w->ports[port_idx];

	if (!known->edge_counts)
		known->edge_counts = wr_alloc_lines(N_EDGES * sizeof(uint64_t));
	if (!known->edge_counts)
		return -ENOMEM;
	known->flags = port->flags;
	known->max_frame_bytes = port->max_frame_bytes;
	return 0;
}

void wr_worker_set_out(struct worker *w, unsigned out_idx, struct port_queue *q)
{
	w->outs[out_idx].queue = q;
}

/* In the places [0, n_rx_queues) are those that it receives from. */
static void put_queue(struct worker *w, unsigned at, struct port_queue *q, unsigned role)
{
	w->queues[at] = q;
	w->roles[at] = (uint8_t)role;
}

int wr_worker_add_queue(struct worker *w, struct port_queue *q, unsigned out_idx,
			enum worker_role role)
{
	int rc;

	if (w->n_queues == wr_array_size(w->queues))
		return -ENOSPC;
	if (out_idx < WORKER_PUNT_OUT) {
		rc = wr_worker_know_port(w, out_idx, q->port);
		if (rc)
			return rc;
	}
	q->pool = &w->pool;
	if (role == WORKER_SENDS) {
		put_queue(w, w->n_queues++, q, role);
	} else {
		put_queue(w, w->n_queues++, w->queues[w->n_rx_queues], w->roles[w->n_rx_queues]);
		put_queue(w, w->n_rx_queues++, q, role);
	}
	if (!w->outs[out_idx].queue)
		wr_worker_set_out(w, out_idx, q);
	return 0;
}

void wr_worker_del_queue(struct worker *w, struct port_queue *q)
{
	unsigned n = 0, n_rx = 0;

	for (unsigned i = 0; i < WORKER_MAX_OUTS; i++)
		if (w->outs[i].queue == q)
			w->outs[i].queue = NULL;
	for (unsigned i = 0; i < w->n_queues; i++) {
		if (w->queues[i] == q)
			continue;
		n_rx += i < w->n_rx_queues;
		put_queue(w, n++, w->queues[i], w->roles[i]);
	}
	w->n_queues = n;
	w->n_rx_queues = n_rx;
}

bool wr_worker_may_punt(struct worker *w, unsigned edge)
{
	struct limiter *l = &w->limits[edge];
	uint64_t elapsed_ns = w->now_ns - l->last_ns;
	uint64_t max_tokens = (l->rate_pps / 10 + 1) * WR_NS_PER_S;

	if (!l->rate_pps)
		return true;
	/* Beyond a second the bucket is full anyway; so the product cannot overflow. */
	if (!l->last_ns || elapsed_ns > WR_NS_PER_S)
		l->tokens = max_tokens;
	else
		l->tokens += elapsed_ns * l->rate_pps;
	if (l->tokens > max_tokens)
		l->tokens = max_tokens;
	l->last_ns = w->now_ns;
	if (l->tokens < WR_NS_PER_S)
		return false;
	l->tokens -= WR_NS_PER_S;
	return true;
}

/* --- a turn ---------------------------------------------------------------------------------- */

/* Sends what the walk left in the vectors of the ways out. */
static void send_outs(struct worker *w)
{
	for (unsigned i = 0; i < wr_array_size(w->touched); i++)
		while (w->touched[i]) {
			unsigned out_idx = i * 64 + (unsigned)__builtin_ctzll(w->touched[i]);
			struct worker_out *out = &w->outs[out_idx];

			w->touched[i] &= w->touched[i] - 1;
			wr_port_tx(out->queue, out->pkts, out->n);
			out->n = 0;
		}
}

static void store_beat(struct worker *w)
{
	if (wr_unlikely(wr_beat_is_stale(&w->beat, w->now_ns))) {
		wr_count(&w->n_stalls, 1);
		for (unsigned i = 0; i < w->n_rx_queues; i++) {
			struct port_queue *q = w->queues[i];

			if (w->roles[i] == WORKER_PORT && q->port->ops->discard)
				q->port->ops->discard(q);
		}
	}
	wr_beat_store(&w->beat, w->now_ns);
}

unsigned wr_worker_turn(struct worker *w)
{
	/* The node where the packets of a queue begin. */
	static const uint8_t entries[] = {
		[WORKER_PORT] = NODE_eth_input,
		[WORKER_WIRE] = NODE_eth_input,
		[WORKER_HOST] = NODE_host,
		[WORKER_LANE] = NODE_handoff,
	};
	struct packet *pkts[WR_BURST];
	unsigned n_total = 0;

	w->now_ns = wr_now_ns(w->clock);
	store_beat(w);
	for (unsigned i = 0; i < w->n_rx_queues; i++) {
		unsigned n;

		if (wr_unlikely(w->is_held) && w->roles[i] != WORKER_LANE)
			continue;
		n = wr_port_rx(w->queues[i], pkts, WR_BURST);
		if (!n)
			continue;
		n_total += n;
		wr_graph_walk(w->graph, w, entries[w->roles[i]], pkts, n);
		send_outs(w);
	}
	for (unsigned i = 0; i < w->n_queues; i++)
		w->queues[i]->port->ops->flush(w->queues[i]);
	wr_count(&w->n_turns, 1);
	if (n_total) {
		w->busy_ns = w->now_ns;
		wr_count(&w->n_busy_turns, 1);
		wr_count(&w->n_pkts, n_total);
	}
	return n_total;
}

/* --- the thread ------------------------------------------------------------------------------ */

static bool is_woken(const struct worker *w)
{
	return __atomic_load_n(&w->call.fn, __ATOMIC_ACQUIRE) ||
	       __atomic_load_n(&w->must_stop, __ATOMIC_ACQUIRE);
}

static void run_call(struct worker *w)
{
	void (*fn)(struct worker *, void *) = __atomic_load_n(&w->call.fn, __ATOMIC_ACQUIRE);

	if (!fn)
		return;
	fn(w, w->call.arg);
	__atomic_store_n(&w->call.fn, NULL, __ATOMIC_RELEASE);
}

/* Collects the descriptors to sleep on; false if some queue has something already. */
static bool arm_queues(struct worker *w, struct pollfd *fds, unsigned *ret_n)
{
	unsigned n = 0;

	fds[n++] = (struct pollfd){.fd = w->wake_fd, .events = POLLIN};
	for (unsigned i = 0; i < w->n_rx_queues; i++) {
		struct port_queue *q = w->queues[i];
		int fd = q->port->ops->fd(q);

		if (q->port->ops->arm && q->port->ops->arm(q))
			return false;
		if (fd >= 0)
			fds[n++] = (struct pollfd){.fd = fd, .events = POLLIN};
	}
	*ret_n = n;
	return true;
}

static void fall_asleep(struct worker *w)
{
	struct pollfd fds[1 + wr_array_size(w->queues)];
	uint64_t n_wakes;
	unsigned n;

	wr_beat_sleep(&w->beat);
	if (!arm_queues(w, fds, &n))
		return;
	wr_count(&w->n_sleeps, 1);
	wr_rcu_offline();
	if (!is_woken(w) && poll(fds, n, MAX_SLEEP_MS) > 0 && fds[0].revents)
		(void)!read(w->wake_fd, &n_wakes, sizeof(n_wakes));
	wr_rcu_online();
}

/* Nothing came: the longer ago something did, the deeper the rest. */
static void rest(struct worker *w)
{
	const uint64_t idle_ns = w->now_ns - w->busy_ns;

	if (idle_ns <= w->conf.spin_ns)
		return;
	if (idle_ns - w->conf.spin_ns > w->conf.yield_ns) {
		fall_asleep(w);
		return;
	}
	wr_count(&w->n_yields, 1);
	sched_yield();
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;

	wr_rcu_register();
	w->busy_ns = wr_now_ns(w->clock);
	while (!__atomic_load_n(&w->must_stop, __ATOMIC_ACQUIRE)) {
		wr_worker_turn(w);
		run_call(w);
		wr_rcu_quiesce();
		rest(w);
	}
	wr_beat_end(&w->beat);
	wr_rcu_unregister();
	return NULL;
}

/* A CPU that has left the process' set since is no reason not to run. */
static void run_on_cpu(struct worker *w)
{
	cpu_set_t cpus;

	if (!w->conf.is_pinned || w->conf.cpu >= CPU_SETSIZE)
		return;
	CPU_ZERO(&cpus);
	CPU_SET(w->conf.cpu, &cpus);
	(void)pthread_setaffinity_np(w->thread, sizeof(cpus), &cpus);
}

int wr_worker_start(struct worker *w)
{
	char name[16];
	int err = pthread_create(&w->thread, NULL, worker_main, w);

	if (err)
		return -err;
	w->has_thread = true;
	run_on_cpu(w);
	snprintf(name, sizeof(name), "weir-worker-%u", w->conf.worker_idx % 100);
	pthread_setname_np(w->thread, name);
	return 0;
}

static void wake(struct worker *w)
{
	uint64_t one = 1;

	/* A full counter wakes as well. */
	if (write(w->wake_fd, &one, sizeof(one)) < 0)
		return;
}

void wr_worker_stop(struct worker *w)
{
	if (!w->has_thread)
		return;
	__atomic_store_n(&w->must_stop, true, __ATOMIC_RELEASE);
	wake(w);
	pthread_join(w->thread, NULL);
	w->has_thread = false;
}

void wr_worker_call(struct worker *w, void (*fn)(struct worker *, void *arg), void *arg)
{
	if (!w->has_thread) {
		fn(w, arg);
		return;
	}
	w->call.arg = arg;
	__atomic_store_n(&w->call.fn, fn, __ATOMIC_RELEASE);
	wake(w);
	while (__atomic_load_n(&w->call.fn, __ATOMIC_ACQUIRE))
		usleep(50);
}
