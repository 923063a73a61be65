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
/* Safe on a slot without a port. */
void wr_stack_port_close(struct weir *, unsigned port_idx);

#endif
