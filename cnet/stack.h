/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A stack: everything one instance of Weir has. There is no other state; two stacks live in one process.
 *
 * Who writes what: the control thread all of it, except what a `struct worker` says is its own. Workers reach the tables through `fib`, their ports
 * through their own list of queues, and nothing else here.
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
	struct port *port; /* NULL: free slot */
	struct port *punt; /* where its punted packets go; may be NULL */
	struct steer_port *steer; /* NULL for drivers without an XDP program */
	bool transit;
	char why_not[256]; /* why transit is off; "" if on */
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
	uint64_t start_ns;
};

/* Sum over the workers of one edge's counter; of one edge on one port (drops and punts only); any thread. */
uint64_t wr_stack_edge_count(const struct weir *, unsigned edge);
uint64_t wr_stack_port_edge_count(const struct weir *, unsigned port_idx, unsigned edge);

/* The graph's table of nodes (cnet/nodes.def). */
const struct graph_table *wr_stack_graph(void);

/* Answers one request of the control socket (cnet/commands.def). */
struct req_reply;
int wr_command(struct weir *, char *const *words, unsigned n_words, struct req_reply *, struct wr_err *);

#endif
