/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A worker: one core's life.
 *
 *   turn:   time is read once -> stale frames thrown away after a stall -> heartbeat
 *           -> each queue: rx burst, walk, tx -> flush (one kick a port) -> quiesce
 *   sleep:  no packet for spin_ns -> heartbeat says "asleep" -> queues armed
 *           -> poll() on all rings and the wake descriptor
 *
 * A worker shares nothing with others: queues, pool, graph counters and limits are its own. It
 * reads the tables in `fib` through RCU. The control thread changes a worker's lists only by
 * wr_worker_call(), which runs a function on the worker's thread between two turns.
 *
 * Without a thread (simulator, fuzzer, pcap) the owner calls wr_worker_turn() itself, with any
 * clock.
 */
#ifndef WR_CNET_WORKER_H
#define WR_CNET_WORKER_H

#include "cnet/fib/fib.h"
#include "cnet/nodes.h"
#include "lib/port/port.h"
#include "lib/steer/beat.h"
#include "lib/sys/clock.h"

#include <pthread.h>

/* A token bucket: `rate_pps` a second, bursts up to a tenth of that. rate 0: no limit. */
struct limiter {
	uint64_t rate_pps;
	uint64_t tokens; /* in packets times one second of nanoseconds: exact integers */
	uint64_t last_ns;
};

enum {
	/* Ways out of a worker: the ports, then each port's way into the kernel. */
	WORKER_MAX_OUTS = 2 * WR_MAX_PORTS,
	WORKER_PUNT_OUT = WR_MAX_PORTS,
	WORKER_MAX_QUEUES = 4 * WR_MAX_QUEUES,
};

struct worker_out {
	struct port_queue *queue; /* NULL: none */
	unsigned n;
	struct packet *pkts[WR_BURST];
};

struct worker_conf {
	unsigned worker_idx;
	const struct wr_clock *clock;
	struct fib *fib;
	struct umem *umem;
	uint64_t *beat; /* heartbeat of bpf/steer.h, NULL: none */
	uint64_t deadline_ns;
	uint64_t spin_ns; /* stay awake for so long after the last packet */
	/* Limit a reason of the class, 0: none; of this worker. */
	uint64_t punt_pps[N_PUNT_CLASSES];
};

struct worker {
	/* Read and written every turn. */
	uint64_t now_ns;
	uint64_t busy_ns; /* when the last packet came */
	const struct wr_clock *clock;
	struct fib *fib;
	struct graph *graph;
	struct beat beat;
	unsigned n_queues, n_rx_queues;
	uint8_t port_flags[WR_MAX_PORTS];             /* enum port_flags */
	struct port_queue *queues[WORKER_MAX_QUEUES]; /* those that it receives from come first */
	uint64_t touched[WORKER_MAX_OUTS / 64];       /* outs with packets */
	struct worker_out outs[WORKER_MAX_OUTS];
	struct limiter limits[N_EDGES];           /* of punt edges */
	uint64_t *port_edge_counts[WR_MAX_PORTS]; /* [N_EDGES]; drops and punts by interface */
	struct pool pool;

	/* Rarely. */
	struct worker_conf conf;
	uint64_t n_turns, n_sleeps, n_stalls;
	pthread_t thread;
	bool has_thread;
	int wake_fd;
	bool must_stop; /* atomic */
	struct {
		void (*fn)(struct worker *, void *arg); /* atomic; NULL: none */
		void *arg;
	} call;
};

int wr_worker_create(const struct worker_conf *, struct worker **ret_worker);
/* The thread must have been stopped. Frees frames that it holds. */
void wr_worker_free(struct worker *);

/* The worker serves the queue from now on: receives from it if `is_rx`, and sends by it what leaves
 * by `out_idx` (a port_idx, or WORKER_PUNT_OUT + port_idx). Before the thread starts, or from
 * within wr_worker_call(). -ENOMEM, -ENOSPC. */
int wr_worker_add_queue(struct worker *, struct port_queue *, unsigned out_idx, bool is_rx);
/* Forgets all queues of the port that leaves by `out_idx`. */
void wr_worker_del_queue(struct worker *, unsigned out_idx);

/* Whether the limit of a punt edge allows one more packet now; takes it if so. */
bool wr_worker_may_punt(struct worker *, unsigned edge);

/* One turn; returns packets received. */
unsigned wr_worker_turn(struct worker *);

/* The thread: turns until stopped, sleeps when idle. */
int wr_worker_start(struct worker *);
void wr_worker_stop(struct worker *);

/* Runs `fn` on the worker's thread (at once if it has none) and waits until it has run. Control
 * thread. */
void wr_worker_call(struct worker *, void (*fn)(struct worker *, void *arg), void *arg);

#endif
