/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Between the files of a stack:
 *
 *   stack.c         its life, and what the commands ask
 *   stack_port.c    an interface becomes a port and stops being one; what the mirror tells
 *   stack_xdp.c     those of the kernel: XDP program and AF_XDP sockets
 *   stack_host.c    those that the kernel does not have: a TAP in its place
 *   stack_worker.c  queues and workers
 *   stack_mend.c    the ways into the kernel, and wires, watched over
 *   stack_say.c     the log of interfaces that flap
 */
#ifndef WR_CNET_STACK_PRIVATE_H
#define WR_CNET_STACK_PRIVATE_H

#include "cnet/stack.h"
#include "cnet/worker.h"

extern const struct mirror_ops wr_stack_mirror_ops; /* arg: struct weir */

/* --- stack_port.c --- */

int wr_stack_port_open(struct weir *, unsigned port_idx, struct wr_err *);
/* All ports are open, and packets may go from one to another: those that no XDP program holds back
 * are received from now on. */
int wr_stack_ports_listen(struct weir *, struct wr_err *);
/* The port cannot go on: closed as soon as the mirror is out of the way, and then taken anew. */
void wr_stack_port_renew(struct weir *, unsigned port_idx);
/* Safe on a slot without a port. */
void wr_stack_port_close(struct weir *, unsigned port_idx);

/* --- stack_xdp.c --- */

/* Receive queues of an interface that Weir can take, or -errno with a sentence. */
int wr_stack_queues_of(const struct weir *, const struct port_args *, struct wr_err *);
/* The same with those that its driver may add once the XDP program is attached. */
int wr_stack_max_queues_of(const struct weir *, const struct port_args *, struct wr_err *);
/* Frames that the interface's rings need when full. */
uint32_t wr_stack_frames_of(const struct conf *, const struct port_args *, unsigned n_queues);
/* Program loaded, sockets bound, way into the kernel made: nothing is taken yet. */
int wr_stack_xdp_open(struct weir *, unsigned port_idx, const struct port_args *,
		      const struct mirror_link *, struct wr_err *);
/* Workers serve the queues: sockets into the XSKMAP, program onto the interface; then the same for
 * queues that the driver has added for it. */
int wr_stack_xdp_attach(struct weir *, struct stack_port *, const struct port_args *,
			struct wr_err *);
/* Logs what of the interface's traffic no socket can have. */
void wr_stack_xdp_say_limits(const struct weir *, const struct stack_port *,
			     const struct port_args *);
/* A frame that the sockets cannot take would be lost: the kernel keeps it. */
void wr_stack_xdp_tell_mtu(struct stack_port *, uint32_t mtu);
int wr_stack_xdp_check(struct weir *, const struct port_args *, char *ret_say, size_t say_bytes,
		       struct wr_err *);
/* Whether the interface would forward now, and if not why. */
bool wr_stack_would_forward(struct weir *, const struct mirror_link *, char *ret_why,
			    size_t why_bytes);

/* --- stack_host.c --- */

/* The name of the interface in the kernel that stands for a port: as given, or "memif0". */
void wr_stack_host_name(const struct port_args *, unsigned port_idx, char ret_name[16]);
/* The port itself, and its interface; the mirror knows that one then. */
int wr_stack_host_open(struct weir *, unsigned port_idx, const struct port_args *, struct wr_err *);
int wr_stack_host_check(struct weir *, unsigned port_idx, const struct port_args *, char *ret_say,
			size_t say_bytes);

/* --- stack_worker.c --- */

/* As configured, or as many as there are CPUs and something to do for. */
unsigned wr_stack_choose_workers(const struct conf *, unsigned most_queues);
/* Frames that workers and lanes may keep, all rings aside. */
uint32_t wr_stack_worker_frames(unsigned n_workers);
/* conf.workers of them, with their lanes; not started. */
int wr_stack_create_workers(struct weir *);
/* Stops and frees them, closes the lanes. */
void wr_stack_free_workers(struct weir *);
/* Gives the port's queues, and those of its way into the kernel, to workers. -errno. */
int wr_stack_serve_port(struct weir *, struct stack_port *);
/* The port has got more queues, from `first` on. */
int wr_stack_serve_more(struct weir *, struct stack_port *, unsigned first);
/* Receives from a port that is only sent to so far. */
int wr_stack_listen(struct weir *, struct stack_port *);
/* No worker uses the port any more; what it had received has been sent. */
void wr_stack_leave_port(struct weir *, struct stack_port *);
/* The port's flags have changed. */
int wr_stack_tell_port(struct weir *, const struct port *);

/* --- stack_say.c --- */

/* Logs whether the port's transit is on, and if not why; within a limit. */
void wr_stack_say_transit(struct weir *, unsigned port_idx);

/* What the sockets of a port can have, against what the interface has. */
struct stack_limits {
	uint32_t max_mtu, mtu;
	unsigned n_queues;      /* of the interface */
	bool is_asked_for_some; /* queues= in the port's string */
};
/* Logs what stays with the kernel for it. */
void wr_stack_say_limits(const struct weir *, unsigned port_idx, const struct stack_limits *);

/* --- stack_mend.c --- */

/* Watches over the TAPs; stop is safe before start. */
int wr_stack_mend_start(struct weir *, struct wr_err *);
void wr_stack_mend_stop(struct weir *);
/* A port without an interface of the kernel has been opened: whether its wire is still there is
 * looked at from now on, if the driver can say so. */
void wr_stack_mend_wires(struct weir *);

#endif
