/* SPDX-License-Identifier: BSD-3-Clause */
/* Between stack.c (a stack's life) and stack_port.c (its interfaces). */
#ifndef WR_CNET_STACK_PRIVATE_H
#define WR_CNET_STACK_PRIVATE_H

#include "cnet/stack.h"
#include "cnet/worker.h"

extern const struct mirror_ops wr_stack_mirror_ops; /* arg: struct weir */

/* Receive queues of an interface that Weir can take, or -errno with a sentence. */
int wr_stack_queues_of(const struct weir *, const char *ifname, struct wr_err *);
/* Frames that the interface's rings need when full. */
uint32_t wr_stack_frames_of(const struct conf *, unsigned n_queues);
int wr_stack_port_open(struct weir *, unsigned port_idx, struct wr_err *);
/* The port cannot go on: closed as soon as the mirror is out of the way, and then taken anew. */
void wr_stack_port_renew(struct weir *, unsigned port_idx);
/* Safe on a slot without a port. */
void wr_stack_port_close(struct weir *, unsigned port_idx);

/* Logs whether the port's transit is on, and if not why; within a limit. */
void wr_stack_say_transit(struct weir *, unsigned port_idx);

/* Watches over the TAPs; stop is safe before start. */
int wr_stack_mend_start(struct weir *, struct wr_err *);
void wr_stack_mend_stop(struct weir *);

#endif
