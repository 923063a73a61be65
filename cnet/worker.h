/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A worker: one core's life.
 *
 *   turn:   time is read once -> stale frames thrown away after a stall -> heartbeat
 *           -> each queue: rx burst, walk, tx -> flush (one kick a port) -> quiesce
 *   rest:   no packet for spin_ns: the core is offered to others between turns (sched_yield);
 *           none for yield_ns more: heartbeat says "asleep" -> queues armed
 *           -> poll() on all rings and the wake descriptor, for a second at most
 *
 * A worker shares nothing with others: queues, pool, graph counters and limits are its own. It
 * reads the tables in `fib` through RCU. The control thread changes a worker's lists only by
 * wr_worker_call(), which runs a function on the worker's thread between two turns.
 *
 * Every queue of a port is served by one worker. A worker that has a packet for a queue of another
 * passes it on by a lane: a wire in memory between two workers (lib/port/ring.c), one for each
 * pair, served like any other queue. A lane that is full drops and counts; nobody waits.
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
	/* Ways out of a worker: the ports, each port's way into the kernel, the other workers. */
	WORKER_PUNT_OUT = WR_MAX_PORTS,
	WORKER_LANE_OUT = 2 * WR_MAX_PORTS,
	WORKER_MAX_OUTS = WORKER_LANE_OUT + WR_MAX_WORKERS,
	WORKER_MAX_QUEUES = 4 * WR_MAX_QUEUES + WR_MAX_WORKERS,
};

/* What a queue is to the worker that serves it. */
enum worker_role {
	WORKER_PORT,  /* an interface's: received packets begin at eth_input. While this worker is
		       * silent the kernel forwards, so what is late is thrown away */
	WORKER_WIRE,  /* a port's that the kernel does not have: the same, but nobody else would
		       * have taken its packets, so late ones are forwarded */
	WORKER_HOST,  /* the kernel's side of a port: what the kernel sends begins at host */
	WORKER_LANE,  /* from another worker: they begin at handoff */
	WORKER_SENDS, /* nothing is received by it */
};

struct worker_out {
	struct port_queue *queue; /* NULL: none */
	unsigned n;
	struct packet *pkts[WR_BURST];
};

/* What a worker knows of a port, its own or not. */
struct worker_port {
	uint64_t *edge_counts; /* [N_EDGES]; drops and punts of what came in by it */
	uint32_t max_frame_bytes;
	uint8_t flags; /* enum port_flags */
};

struct worker_conf {
	unsigned worker_idx;
	const struct wr_clock *clock;
	struct fib *fib;
	struct umem *umem;
	uint64_t *beat; /* heartbeat of bpf/steer.h, NULL: none */
	uint64_t deadline_ns;
	uint64_t spin_ns;  /* turn without a pause for so long after the last packet */
	uint64_t yield_ns; /* then yield between turns for so long, before sleeping */
	bool is_pinned;    /* to `cpu` */
	unsigned cpu;
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
	unsigned n_owners; /* flows are spread over so many workers; 0: each has what came to it */
	bool is_held;      /* it receives from other workers only, while the lanes are emptied */
	unsigned n_queues, n_rx_queues;
	struct worker_port ports[WR_MAX_PORTS];
	struct port_queue *queues[WORKER_MAX_QUEUES];  /* those that it receives from come first */
	uint8_t roles[WORKER_MAX_QUEUES];              /* enum worker_role */
	uint64_t touched[(WORKER_MAX_OUTS + 63) / 64]; /* outs with packets */
	struct worker_out outs[WORKER_MAX_OUTS];
	struct limiter limits[N_EDGES]; /* of punt edges */
	struct pool pool;

	/* Rarely. */
	struct worker_conf conf;
	uint64_t n_turns, n_busy_turns, n_yields, n_sleeps, n_stalls, n_pkts;
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

/* The worker learns of a port, so that packets that came in by it may be handed over to this
 * worker. Called again when the port's flags change. -ENOMEM. */
int wr_worker_know_port(struct worker *, unsigned port_idx, const struct port *);

/* The worker serves the queue from now on, and sends by it what leaves by `out_idx` (a port_idx,
 * WORKER_PUNT_OUT + port_idx, WORKER_LANE_OUT + worker_idx) unless it has a queue for that already.
 * Before the thread starts, or from within wr_worker_call(). -ENOMEM, -ENOSPC. */
int wr_worker_add_queue(struct worker *, struct port_queue *, unsigned out_idx, enum worker_role);
/* Forgets the queue, also as a way out. */
void wr_worker_del_queue(struct worker *, struct port_queue *);
/* What leaves by `out_idx` is queued here from now on: one of the worker's own queues, or a lane to
 * a worker that has one. NULL: no way out. */
void wr_worker_set_out(struct worker *, unsigned out_idx, struct port_queue *);

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
