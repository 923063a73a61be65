/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The AF_XDP driver's own: what its three files share.
 *
 *   af_xdp.c         a queue at work: receive, send, sleep
 *   af_xdp_socket.c  one socket: memory registered, rings mapped, bound
 *   af_xdp_open.c    the port: its mode, what is said if it cannot be had, closing, its string
 */
#ifndef WR_PORT_AF_XDP_PRIVATE_H
#define WR_PORT_AF_XDP_PRIVATE_H

#include "lib/port/port.h"

#include <xdp/xsk.h>

/* Newer than the headers of Debian 12. */
#ifndef XDP_USE_SG
#define XDP_USE_SG (1 << 4)
#endif
#ifndef XDP_PKT_CONTD
#define XDP_PKT_CONTD (1 << 0)
#endif
#ifndef XDP_TX_METADATA
#define XDP_TX_METADATA (1 << 1)
#endif
#ifndef XDP_TXMD_FLAGS_CHECKSUM
#define XDP_TXMD_FLAGS_CHECKSUM (1 << 1)
#endif
#ifndef XDP_UMEM_TX_METADATA_LEN
#define XDP_UMEM_TX_METADATA_LEN (1 << 2)
#endif
#ifndef XDP_MAX_TX_SKB_BUDGET
#define XDP_MAX_TX_SKB_BUDGET 9
#endif
#ifndef SOL_XDP
#define SOL_XDP 283
#endif

/* The kernel's struct xsk_tx_metadata, right in front of a packet that is sent with it. */
struct tx_metadata {
	uint64_t flags; /* XDP_TXMD_FLAGS_ */
	uint16_t csum_start, csum_offset;
	uint32_t spare;
	uint64_t launch_time_ns;
};

static_assert(sizeof(struct tx_metadata) == PORT_TX_HEADROOM, "what the kernel is told");

struct mapping {
	void *addr; /* NULL: none */
	size_t bytes;
};

enum { RING_RX, RING_TX, RING_FILL, RING_COMP, N_RINGS };

struct xdp_queue {
	struct port_queue q;
	struct umem *umem;
	int fd;            /* -1: not open */
	bool is_down;      /* the interface was down when last asked to send */
	bool is_gone;      /* the interface was deleted: the socket is dead */
	bool is_chain_bad; /* the packet being put together is to be thrown away */
	bool is_zero_copy;
	bool is_sg;
	bool has_tx_metadata;
	bool is_busy_polled;
	uint16_t n_futile; /* flushes since the kernel last took something */
	struct xsk_ring_cons rx;
	struct xsk_ring_prod tx;
	struct xsk_ring_prod fill;
	struct xsk_ring_cons comp;
	uint32_t rx_descs, tx_descs;
	uint32_t n_rx_side; /* frames in the fill and RX rings */
	uint32_t n_tx_side; /* frames in the TX and completion rings */
	uint32_t n_short;   /* slots of the fill ring that the last refill left empty */
	uint32_t n_chain;   /* frames of the packet being put together */
	struct packet *chain, *chain_tail;
	uint64_t *in_kernel; /* a bit a frame */
	struct mapping maps[N_RINGS];
};

struct xdp_port {
	struct port port;
	struct umem *umem;
	char why_copy[96];
	uint16_t max_queues;
	struct xdp_queue queues[]; /* [max_queues], of which port.n_queues are there */
};

static_assert(offsetof(struct xdp_queue, q) == 0, "a port_queue is the driver's own");

static inline struct xdp_queue *xdp_queue(struct port_queue *q)
{
	return (struct xdp_queue *)q;
}

static inline const struct xdp_queue *xdp_queue_const(const struct port_queue *q)
{
	return (const struct xdp_queue *)q;
}

/* Descriptors in the TX ring that the kernel has not taken. */
static inline uint32_t n_untaken(const struct xdp_queue *x)
{
	return x->tx.cached_prod - __atomic_load_n(x->tx.consumer, __ATOMIC_ACQUIRE);
}

/* --- af_xdp.c --------------------------------------------------------------------------------- */

extern const struct port_ops wr_af_xdp_ops;
/* To the depot, what the kernel had when the socket was closed. */
void wr_af_xdp_return_frames(struct xdp_queue *);

/* --- af_xdp_socket.c -------------------------------------------------------------------------- */

/* What failed, for the sentence. */
enum step { STEP_SOCKET, STEP_REGISTER, STEP_RINGS, STEP_BUSY_POLL, STEP_BIND };

/* Opens and binds the queue's socket, `flags` being those of bind(): with a registration of its
 * own, or, if `shared_fd` is not negative, with that socket's. 0 or -errno, and then nothing is
 * left of it. */
int wr_af_xdp_open_socket(struct xdp_queue *, const struct af_xdp_conf *, uint16_t flags,
			  int shared_fd, enum step *ret_step);
/* Unmaps and closes; does nothing to a queue that is closed. */
void wr_af_xdp_close_socket(struct xdp_queue *);

/* --- af_xdp_open.c ---------------------------------------------------------------------------- */

void wr_af_xdp_close(struct port *);

#endif
