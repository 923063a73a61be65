/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A stack: everything one instance of Weir has. There is no other state; two stacks live in one
 * process.
 *
 * Who writes what: the control thread all of it, except what a `struct worker` says is its own.
 * Workers reach the tables through `fib`, their ports through their own list of queues, and nothing
 * else here.
 */
#ifndef WR_CNET_STACK_H
#define WR_CNET_STACK_H

#include "cnet/conf.h"
#include "cnet/fib/fib.h"
#include "cnet/mirror/mirror.h"
#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/graph/graph.h"
#include "lib/mem/packet.h"
#include "lib/mem/rcu.h"
#include "lib/port/port.h"
#include "lib/steer/steer.h"
#include "lib/sys/loop.h"

struct worker;

/*
 * One interface as Weir has it: the port, its way into the kernel, its XDP program.
 *
 * A port that is no interface of the kernel (memif, tap ...) gets one, a TAP: what is punted is
 * received on it, and what the kernel sends by it leaves by the port. Addresses, routes and OSPF go
 * there, as on any other interface.
 */
struct stack_port {
	struct port *port;          /* NULL: not open */
	struct port *punt;          /* where its punted packets go; may be NULL */
	struct steer_port *steer;   /* NULL for drivers without an XDP program */
	bool is_host;               /* `punt` is the interface itself */
	char spec[PORT_SPEC_BYTES]; /* as configured; "": slot not in use */
	char ifname[16];     /* of the kernel's interface: as configured, or as renamed since */
	uint16_t max_queues; /* the packet memory has frames for so many */
	bool has_workers;
	uint8_t worker_of[WR_MAX_QUEUES], punt_worker_of[WR_MAX_QUEUES];
	/* The interface, or its TAP, was deleted: to be closed, and taken again when it is back. */
	bool is_gone;
	bool transit;
	char why_not[256]; /* why transit is off; "" if on */
	struct {
		uint64_t since_ns;
		unsigned n_said, n_unsaid;
	} say;              /* the log's limit, see stack_say.c */
	char why_mode[256]; /* why not native, or not zero-copy; "" if both */
};

struct weir {
	struct conf conf;
	struct wr_log log;
	const struct wr_clock *clock;
	struct wr_loop *loop;
	struct rcu_writer rcu;
	struct umem *umem;
	struct fib *fib;
	struct mirror *mirror;
	struct steer *steer; /* NULL without AF_XDP ports */
	struct stack_port ports[WR_MAX_PORTS];
	struct worker *workers[WR_MAX_WORKERS];
	unsigned n_workers;
	/* [a][b]: the end at worker a of the wire between a and b; NULL where a == b. */
	struct port *lanes[WR_MAX_WORKERS][WR_MAX_WORKERS];
	struct wr_timer port_timer; /* looks after ports whose interface is gone */
	struct nl_sock *tap_events; /* what somebody does to the TAPs */
	struct wr_watch tap_watch;
	struct wr_timer wire_timer; /* looks whether TAPs and TUNs that are ports are still there */
	struct wr_timer say_timer;  /* see stack_say.c */
	struct port_counters closed_ports, closed_punts; /* of ports that are no more */
	uint64_t start_ns;
};

/* Everything but ports: loop, tables filled from the kernel, XDP program's shared maps, memory for
 * the interfaces of `conf`, workers (not yet started). Errors with a sentence; nothing left
 * behind. */
int wr_stack_create(const struct conf *conf, const struct wr_log *log, const struct wr_clock *clock,
		    struct weir **ret_weir, struct wr_err *);
/* Starts the workers and takes the interfaces of `conf`, one after the other; on an error those
 * taken are given back. */
int wr_stack_start(struct weir *, struct wr_err *);
/* Gives the interfaces back to the kernel without losing a packet: steering off, rings drained,
 * programs detached. Frees. */
void wr_stack_free(struct weir *);

/* How the port of `conf` would be taken, as a sentence in `ret_say`; takes nothing. -errno with a
 * sentence if it could not be. */
int wr_stack_check_port(struct weir *, unsigned port_idx, char *ret_say, size_t say_bytes,
			struct wr_err *);

/* Frames of the UMEM: all, free (depot and pools), in the rings of ports. free + in_flight = total
 * between turns. */
struct stack_frames {
	uint32_t total, free, in_flight;
	bool is_huge;  /* in huge pages */
	int numa_node; /* -1: unknown */
};
struct stack_frames wr_stack_frames(struct weir *);

/* Sum over the workers of one edge's counter; of one edge on one port (drops and punts only); any
 * thread. */
uint64_t wr_stack_edge_count(const struct weir *, unsigned edge);
uint64_t wr_stack_port_edge_count(const struct weir *, unsigned port_idx, unsigned edge);
/* How often a node ran. */
uint64_t wr_stack_node_vectors(const struct weir *, unsigned node_idx);

/* The graph's table of nodes (cnet/nodes.def). */
const struct graph_table *wr_stack_graph(void);

/* Sums over the ports, and over the punt ports, that were closed since the start: their packets
 * stay in the balance. */
void wr_stack_closed_counters(const struct weir *, struct port_counters *ret_ports,
			      struct port_counters *ret_punts);

/* What a worker got from the others (rx), gave to them (tx), and could not, since their lanes were
 * full: dropped (tx_full). Any thread. */
void wr_stack_lane_counters(const struct weir *, unsigned from, struct port_counters *ret_sum);

/* Live changes; the traffic goes on, whole and in order. The queue is served by another worker;
 * flows are spread, or not. -errno, and nothing has changed. */
int wr_stack_move_queue(struct weir *, unsigned port_idx, unsigned queue_idx, unsigned worker_idx);
void wr_stack_set_spread(struct weir *, enum conf_spread);

/* Answers one request of the control socket (cnet/commands.def). */
struct req_reply;
int wr_command(struct weir *, char *const *words, unsigned n_words, struct req_reply *,
	       struct wr_err *);

#endif
