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

/* One interface as Weir has it: the port, its way into the kernel, its XDP program. */
struct stack_port {
	struct port *port;        /* NULL: free slot */
	struct port *punt;        /* where its punted packets go; may be NULL */
	struct steer_port *steer; /* NULL for drivers without an XDP program */
	char ifname[16];          /* as configured, or as renamed since; "": slot not in use */
	uint16_t max_queues;      /* the packet memory has frames for so many */
	/* The interface, or its TAP, was deleted: to be closed, and taken again when it is back. */
	bool is_gone;
	bool transit;
	char why_not[256]; /* why transit is off; "" if on */
	struct {
		uint64_t since_ns;
		unsigned n_said, n_unsaid;
	} say;              /* the log's limit, see stack_say.c */
	char why_mode[256]; /* why not native or zero-copy; "" if it is */
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
	struct wr_timer port_timer; /* looks after ports whose interface is gone */
	struct nl_sock *tap_events; /* what somebody does to the TAPs */
	struct wr_watch tap_watch;
	struct wr_timer say_timer;                       /* see stack_say.c */
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

/* What would be taken and how, as a sentence in `ret_say`; takes nothing. -errno with a sentence if
 * it could not be. */
int wr_stack_check_interface(struct weir *, const char *ifname, char *ret_say, size_t say_bytes,
			     struct wr_err *);

/* Frames of the UMEM: all, free (depot and pools), in the rings of ports. free + in_flight = total
 * between turns. */
struct stack_frames {
	uint32_t total, free, in_flight;
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

/* Answers one request of the control socket (cnet/commands.def). */
struct req_reply;
int wr_command(struct weir *, char *const *words, unsigned n_words, struct req_reply *,
	       struct wr_err *);

#endif
