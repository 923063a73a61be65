/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The AF_XDP driver: one socket a queue, four rings a socket.
 *
 *   fill        free frames for the kernel to receive into        we produce
 *   rx          frames with a packet in them                      the kernel produces
 *   tx          frames to send                                    we produce
 *   completion  frames that were sent                             the kernel produces
 *
 * Registration. All ports use the same memory, but each registers it for itself and shares the
 * registration among its queues only. Zero-copy, multi-buffer and need-wakeup are properties of the
 * registration, and one that is shared stays tied to the first socket that was bound: shared by all
 * ports, a veth would take zero-copy from the NIC beside it, and the first interface could be
 * neither closed nor deleted before the last. The descriptors mean the same frames in all of them.
 * The rings are read and written with libxdp's inline functions. The sockets are made here: libxdp
 * keeps the rings of a bind that failed mapped, and a queue whose rings are mapped is never
 * released.
 *
 * Accounting. `in_kernel` has a bit for each frame that the kernel may touch, kept per queue, by
 * its worker. An address that the kernel gives back is good only if its bit is set; and what is set
 * when the socket is closed is what goes back to the depot. Frames for receiving (fill + rx) are at
 * most rx_descs, frames for sending (tx + completion) at most tx_descs.
 */
#include "lib/port/spec.h"
#include "lib/sys/ethtool.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <xdp/xsk.h>

/* Newer than the headers of Debian 12. */
#ifndef XDP_USE_SG
#define XDP_USE_SG (1 << 4)
#endif
#ifndef XDP_PKT_CONTD
#define XDP_PKT_CONTD (1 << 0)
#endif
#ifndef XDP_MAX_TX_SKB_BUDGET
#define XDP_MAX_TX_SKB_BUDGET 9
#endif
#ifndef SOL_XDP
#define SOL_XDP 283
#endif

enum {
	TX_BUDGET = 256,   /* packets a sendto() takes, where the kernel lets us say */
	RX_HEADROOM = 256, /* the kernel's XDP_PACKET_HEADROOM in front of what it receives */
	ETH_VLAN_BYTES = 14 + 4,
	MAX_FUTILE_KICKS = 4, /* in one flush */
	/* After as many a sleeper may sleep although frames wait in the TX ring. */
	MAX_FUTILE_FLUSHES = 1024,
	MIN_DESCS = 64,
	MAX_DESCS = 1 << 16,
	BIND_RETRY_MS = 5,
	/* A queue is free 12-37 ms after its socket is closed. */
	MAX_BIND_TRIES = 150 / BIND_RETRY_MS,
	SETTLE_MS = 20,           /* for what is being sent when the port is closed */
	ZERO_COPY_GRACE_MS = 100, /* until the NIC has surely let go of its frames */
};

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
	struct xdp_queue queues[];
};

static_assert(offsetof(struct xdp_queue, q) == 0, "a port_queue is the driver's own");

static struct xdp_queue *xdp_queue(struct port_queue *q)
{
	return (struct xdp_queue *)q;
}

static const struct xdp_queue *xdp_queue_const(const struct port_queue *q)
{
	return (const struct xdp_queue *)q;
}

/* --- which frames the kernel has -------------------------------------------------------------- */

static void set_number(uint32_t *number, uint32_t value)
{
	__atomic_store_n(number, value, __ATOMIC_RELAXED);
}

static void lend_frame(struct xdp_queue *x, const struct packet *frame)
{
	uint32_t idx = wr_frame_idx(x->umem, frame);

	x->in_kernel[idx / 64] |= UINT64_C(1) << (idx % 64);
}

/* The frame that the kernel gives back; NULL if it had no such frame. */
static struct packet *regain_frame(struct xdp_queue *x, uint64_t addr)
{
	uint64_t idx = addr >> x->umem->frame_shift;
	uint64_t bit = UINT64_C(1) << (idx % 64);

	if (wr_unlikely(idx >= x->umem->n_frames || !(x->in_kernel[idx / 64] & bit)))
		return NULL;
	x->in_kernel[idx / 64] &= ~bit;
	return &x->umem->packets[idx];
}

/* --- receive ---------------------------------------------------------------------------------- */

/* Fills the fill ring up from the pool. */
static void refill(struct xdp_queue *x)
{
	struct pool *pool = x->q.pool;
	uint32_t want = x->rx_descs - x->n_rx_side;
	uint32_t n = 0, idx;

	if (pool->n < want)
		wr_pool_refill(pool);
	while (n < want && pool->n && xsk_ring_prod__reserve(&x->fill, 1, &idx)) {
		struct packet *frame = pool->free[--pool->n];

		lend_frame(x, frame);
		*xsk_ring_prod__fill_addr(&x->fill, idx) = (uint64_t)wr_frame_idx(x->umem, frame)
							   << x->umem->frame_shift;
		n++;
		if (!pool->n && n < want)
			wr_pool_refill(pool);
	}
	if (n)
		xsk_ring_prod__submit(&x->fill, n);
	set_number(&x->n_rx_side, x->n_rx_side + n);
	if (want - n > x->n_short)
		wr_count(&x->q.counters.rx_no_frames, want - n - x->n_short);
	x->n_short = want - n;
}

static void wake_fill(struct xdp_queue *x)
{
	if (wr_unlikely(xsk_ring_prod__needs_wakeup(&x->fill)))
		(void)recvfrom(x->fd, NULL, 0, MSG_DONTWAIT, NULL, NULL);
}

/* Refills once enough slots are free to be worth the ring's cache line. */
static void refill_if_low(struct xdp_queue *x)
{
	if (x->rx_descs - x->n_rx_side < MIN_DESCS / 4)
		return;
	refill(x);
	wake_fill(x);
}

/* Ends the packet being put together: returns it, or throws it away and returns NULL. */
static struct packet *end_chain(struct xdp_queue *x)
{
	struct packet *pkt = x->chain;

	if (wr_unlikely(x->is_chain_bad)) {
		wr_packet_free(x->q.pool, pkt);
		wr_count(&x->q.counters.rx_bad, 1);
		pkt = NULL;
	}
	x->chain = NULL;
	x->is_chain_bad = false;
	set_number(&x->n_chain, 0);
	return pkt;
}

/* Puts a segment behind the packet being put together, or throws it away if that is lost
 * already. */
static void add_to_chain(struct xdp_queue *x, struct packet *seg)
{
	if (x->is_chain_bad || (x->chain && x->chain->n_segs == WR_MAX_SEGS)) {
		x->is_chain_bad = true;
		wr_pool_put_frame(x->q.pool, seg);
		return;
	}
	if (x->chain) {
		x->chain_tail->next = seg;
		x->chain->len += seg->seg_len;
		x->chain->n_segs++;
	} else {
		x->chain = seg;
	}
	x->chain_tail = seg;
	set_number(&x->n_chain, x->n_chain + 1);
}

/* Takes one descriptor. Returns a packet if it was the last of one that is good. */
static struct packet *take_desc(struct xdp_queue *x, const struct xdp_desc *desc)
{
	uint32_t offset = (uint32_t)desc->addr & (x->umem->frame_bytes - 1);
	struct packet *seg = regain_frame(x, desc->addr);

	if (wr_likely(seg != NULL)) {
		bool fits = desc->len && desc->len <= x->umem->frame_bytes - offset;

		set_number(&x->n_rx_side, x->n_rx_side - 1);
		wr_packet_init(seg, x->umem->base + desc->addr, fits ? (uint16_t)desc->len : 0);
		if (wr_likely(fits && !x->chain && !x->is_chain_bad &&
			      !(desc->options & XDP_PKT_CONTD)))
			return seg;
		x->is_chain_bad |= !fits;
		add_to_chain(x, seg);
	} else {
		x->is_chain_bad = true; /* whose frame it is nobody knows: it comes back at close */
	}
	return desc->options & XDP_PKT_CONTD ? NULL : end_chain(x);
}

static unsigned af_xdp_rx(struct port_queue *q, struct packet **ret_pkts, unsigned max)
{
	struct xdp_queue *x = xdp_queue(q);
	uint64_t n_bytes = 0;
	unsigned n = 0;

	while (n < max) {
		uint32_t idx, n_descs = xsk_ring_cons__peek(&x->rx, max - n, &idx);

		if (!n_descs)
			break;
		for (uint32_t i = 0; i < n_descs; i++) {
			struct packet *pkt = take_desc(x, xsk_ring_cons__rx_desc(&x->rx, idx + i));

			if (!pkt)
				continue;
			pkt->rx_port = q->port->port_idx;
			n_bytes += pkt->len;
			ret_pkts[n++] = pkt;
		}
		xsk_ring_cons__release(&x->rx, n_descs);
	}
	if (!n)
		return 0;
	wr_count(&q->counters.rx_pkts, n);
	wr_count(&q->counters.rx_bytes, n_bytes);
	refill_if_low(x);
	return n;
}

static void af_xdp_discard(struct port_queue *q)
{
	struct xdp_queue *x = xdp_queue(q);
	uint32_t end = __atomic_load_n(x->rx.producer, __ATOMIC_ACQUIRE);
	uint32_t n_stale = 0, idx;

	/* What is received from here on is fresh: stop at the end as it was. */
	while (x->rx.cached_cons != end && xsk_ring_cons__peek(&x->rx, 1, &idx)) {
		struct packet *pkt = take_desc(x, xsk_ring_cons__rx_desc(&x->rx, idx));

		xsk_ring_cons__release(&x->rx, 1);
		if (!pkt)
			continue;
		wr_packet_free(q->pool, pkt);
		n_stale++;
	}
	wr_count(&q->counters.rx_stale, n_stale);
	refill_if_low(x);
}

/* --- send ------------------------------------------------------------------------------------- */

/* Frees what was sent. */
static void reclaim(struct xdp_queue *x)
{
	uint32_t idx, n = xsk_ring_cons__peek(&x->comp, x->tx_descs, &idx);
	uint32_t n_freed = 0;

	if (!n)
		return;
	for (uint32_t i = 0; i < n; i++) {
		struct packet *frame =
			regain_frame(x, *xsk_ring_cons__comp_addr(&x->comp, idx + i));

		if (wr_unlikely(!frame))
			continue;
		wr_pool_put_frame(x->q.pool, frame);
		n_freed++;
	}
	xsk_ring_cons__release(&x->comp, n);
	set_number(&x->n_tx_side, x->n_tx_side - n_freed);
}

/* Descriptors in the TX ring that the kernel has not taken. */
static uint32_t n_untaken(const struct xdp_queue *x)
{
	return x->tx.cached_prod - __atomic_load_n(x->tx.consumer, __ATOMIC_ACQUIRE);
}

/* The interface is deleted: what is in the TX ring will never leave. */
static void give_up(struct xdp_queue *x)
{
	uint32_t n_pkts = 0;

	for (uint32_t n = n_untaken(x); n; n--)
		n_pkts += !(xsk_ring_prod__tx_desc(&x->tx, x->tx.cached_prod - n)->options &
			    XDP_PKT_CONTD);
	wr_count(&x->q.counters.tx_errors, n_pkts);
	x->is_gone = true;
}

/* One system call; true if another may take more. */
static bool kick_once(struct xdp_queue *x)
{
	int rc;

	wr_count(&x->q.counters.tx_kicks, 1);
	rc = sendto(x->fd, NULL, 0, MSG_DONTWAIT, NULL, 0) < 0 ? errno : 0;
	switch (rc) {
	case 0:
	case EINTR:
	case EAGAIN: /* its budget is used up, or the completion ring or the socket's memory full */
		x->is_down = false;
		return !x->is_zero_copy;
	case EBUSY: /* took one packet and lost it: neither would the others arrive */
		x->is_down = false;
		wr_count(&x->q.counters.tx_errors, 1);
		return false;
	case ENETDOWN:
		x->is_down = true;
		return false;
	case ENXIO:
	case EBADF:
		give_up(x);
		return false;
	default: /* ENOBUFS, ENOMEM: the rest stays for the next flush */
		return false;
	}
}

/* Has the kernel take what is in the TX ring, as far as it will. */
static void kick(struct xdp_queue *x)
{
	uint32_t n_left = n_untaken(x);
	uint32_t n_before = n_left;
	unsigned n_futile = 0;
	bool go_on = n_left && !x->is_gone && xsk_ring_prod__needs_wakeup(&x->tx);

	while (go_on && n_left && n_futile < MAX_FUTILE_KICKS) {
		uint32_t n_now;

		go_on = kick_once(x);
		reclaim(x); /* or the kernel finds no room to say what it has sent */
		n_now = n_untaken(x);
		n_futile = n_now == n_left ? n_futile + 1 : 0;
		n_left = n_now;
	}
	if (n_left < n_before || !n_left)
		x->n_futile = 0;
	else if (x->n_futile < MAX_FUTILE_FLUSHES)
		x->n_futile++;
}

static bool can_send(const struct xdp_queue *x, const struct packet *pkt)
{
	if (x->is_down || x->is_gone || pkt->n_segs > WR_MAX_SEGS || (pkt->n_segs > 1 && !x->is_sg))
		return false;
	/* The kernel takes an empty descriptor for an invalid one and never gives the frame
	 * back. */
	for (const struct packet *seg = pkt; seg; seg = seg->next)
		if (!seg->seg_len)
			return false;
	return true;
}

static bool has_room(const struct xdp_queue *x, const struct packet *pkt)
{
	return x->tx_descs - x->n_tx_side >= pkt->n_segs;
}

static void put_packet(struct xdp_queue *x, const struct packet *pkt)
{
	for (const struct packet *seg = pkt; seg; seg = seg->next) {
		/* There is room: the ring has a slot for every frame that n_tx_side may count. */
		struct xdp_desc *desc = xsk_ring_prod__tx_desc(&x->tx, x->tx.cached_prod++);

		desc->addr = wr_packet_addr(x->umem, seg);
		desc->len = seg->seg_len;
		desc->options = seg->next ? XDP_PKT_CONTD : 0;
		lend_frame(x, seg);
	}
	set_number(&x->n_tx_side, x->n_tx_side + pkt->n_segs);
}

/* Shows the kernel the descriptors written since. */
static void submit(struct xdp_queue *x)
{
	__atomic_store_n(x->tx.producer, x->tx.cached_prod, __ATOMIC_RELEASE);
}

static void af_xdp_tx(struct port_queue *q, struct packet **pkts, unsigned n)
{
	struct xdp_queue *x = xdp_queue(q);
	uint64_t n_bytes = 0, n_refused = 0, n_full = 0;
	bool was_kicked = false;

	/* While the interface is down what was queued stays; if it is gone, poll() has sent it. */
	if (wr_unlikely(x->is_down) && !n_untaken(x))
		x->is_down = false;
	for (unsigned i = 0; i < n; i++) {
		if (wr_unlikely(!can_send(x, pkts[i]))) {
			n_refused++;
			n_bytes += pkts[i]->len;
			wr_packet_free(q->pool, pkts[i]);
			continue;
		}
		if (wr_unlikely(!has_room(x, pkts[i])) && !was_kicked) {
			submit(x);
			reclaim(x);
			kick(x);
			was_kicked = true;
		}
		if (wr_unlikely(!has_room(x, pkts[i]))) {
			n_full++;
			wr_packet_free(q->pool, pkts[i]);
			continue;
		}
		n_bytes += pkts[i]->len;
		put_packet(x, pkts[i]);
	}
	submit(x);
	wr_count(&q->counters.tx_pkts, n - n_full);
	wr_count(&q->counters.tx_bytes, n_bytes);
	if (wr_unlikely(n_full))
		wr_count(&q->counters.tx_full, n_full);
	if (wr_unlikely(n_refused))
		wr_count(&q->counters.tx_errors, n_refused);
}

static void af_xdp_flush(struct port_queue *q)
{
	struct xdp_queue *x = xdp_queue(q);

	reclaim(x);
	kick(x);
	refill_if_low(x);
}

/* --- sleep, facts ----------------------------------------------------------------------------- */

static int af_xdp_fd(const struct port_queue *q)
{
	return xdp_queue_const(q)->fd;
}

static bool af_xdp_arm(struct port_queue *q)
{
	struct xdp_queue *x = xdp_queue(q);

	wake_fill(x);
	if (n_untaken(x) && xsk_ring_prod__needs_wakeup(&x->tx) && !x->is_down && !x->is_gone &&
	    x->n_futile < MAX_FUTILE_FLUSHES)
		return true; /* nobody else would kick these */
	return xsk_cons_nb_avail(&x->rx, 1);
}

static uint32_t af_xdp_n_frames(const struct port_queue *q)
{
	const struct xdp_queue *x = xdp_queue_const(q);

	return __atomic_load_n(&x->n_rx_side, __ATOMIC_RELAXED) +
	       __atomic_load_n(&x->n_tx_side, __ATOMIC_RELAXED) +
	       __atomic_load_n(&x->n_chain, __ATOMIC_RELAXED);
}

static int af_xdp_start(struct port_queue *q)
{
	refill(xdp_queue(q));
	wake_fill(xdp_queue(q));
	return 0;
}

/* In the order of the kernel's struct xdp_statistics. */
static const char *const stat_names[] = {
	"rx_dropped",   "rx_invalid_descs",         "tx_invalid_descs",
	"rx_ring_full", "rx_fill_ring_empty_descs", "tx_ring_empty_descs",
};
static_assert(sizeof(struct xdp_statistics) == sizeof(uint64_t[wr_array_size(stat_names)]),
	      "a name for each");

static void af_xdp_facts(const struct port *port,
			 void (*emit)(void *arg, const char *name, uint64_t value), void *arg)
{
	uint64_t sum[wr_array_size(stat_names)] = {0};

	for (unsigned i = 0; i < port->n_queues; i++) {
		uint64_t stats[wr_array_size(stat_names)] = {0};
		socklen_t len = sizeof(stats);

		if (getsockopt(af_xdp_fd(port->queues[i]), SOL_XDP, XDP_STATISTICS, stats, &len))
			continue;
		for (unsigned k = 0; k < wr_array_size(stats); k++)
			sum[k] += stats[k];
	}
	for (unsigned k = 0; k < wr_array_size(sum); k++)
		emit(arg, stat_names[k], sum[k]);
	emit(arg, "zero_copy", xdp_queue_const(port->queues[0])->is_zero_copy);
	emit(arg, "multi_buffer", xdp_queue_const(port->queues[0])->is_sg);
}

/* --- close ------------------------------------------------------------------------------------ */

/* Gives the kernel a moment to send what is queued. The frames stay where they are: the pool may
 * be another thread's by now. */
static void settle(struct xdp_queue *x)
{
	for (unsigned ms = 0; ms < SETTLE_MS && x->n_tx_side && !x->is_gone; ms++) {
		uint32_t n_sent =
			__atomic_load_n(x->comp.producer, __ATOMIC_ACQUIRE) - x->comp.cached_cons;

		if (n_sent >= x->n_tx_side)
			return;
		if (n_untaken(x) && sendto(x->fd, NULL, 0, MSG_DONTWAIT, NULL, 0) < 0 &&
		    (errno == ENETDOWN || errno == ENXIO))
			return;
		poll(NULL, 0, 1);
	}
}

static void close_socket(struct xdp_queue *x)
{
	for (unsigned i = 0; i < N_RINGS; i++) {
		if (x->maps[i].addr)
			munmap(x->maps[i].addr, x->maps[i].bytes);
		x->maps[i].addr = NULL;
	}
	if (x->fd >= 0)
		close(x->fd);
	x->fd = -1;
}

/* To the depot, what the kernel had when the socket was closed. */
static void return_frames(struct xdp_queue *x)
{
	for (uint32_t word = 0; word <= (x->umem->n_frames - 1) / 64; word++) {
		for (uint64_t bits = x->in_kernel[word]; bits; bits &= bits - 1) {
			struct packet *frame =
				&x->umem->packets[word * 64 + (unsigned)__builtin_ctzll(bits)];

			wr_umem_give(x->umem, &frame, 1);
		}
	}
	while (x->chain) {
		struct packet *seg = x->chain;

		x->chain = seg->next;
		wr_umem_give(x->umem, &seg, 1);
	}
}

static void af_xdp_close(struct port *port)
{
	struct xdp_port *xp = (struct xdp_port *)port;

	for (unsigned i = 0; i < port->n_queues; i++)
		if (xp->queues[i].fd >= 0)
			settle(&xp->queues[i]);
	/* The registration is the first queue's and goes last. */
	for (unsigned i = port->n_queues; i-- > 0;)
		close_socket(&xp->queues[i]);
	/* A closed socket writes to no frame in copy mode; a NIC does until its driver has taken
	 * the rings down. */
	if (xp->queues[0].is_zero_copy)
		poll(NULL, 0, ZERO_COPY_GRACE_MS);
	for (unsigned i = 0; i < port->n_queues; i++) {
		if (xp->queues[i].in_kernel)
			return_frames(&xp->queues[i]);
		free(xp->queues[i].in_kernel);
	}
	free(xp);
}

static const struct port_ops af_xdp_ops = {
	.scheme = "af_xdp",
	.start = af_xdp_start,
	.rx = af_xdp_rx,
	.tx = af_xdp_tx,
	.flush = af_xdp_flush,
	.fd = af_xdp_fd,
	.arm = af_xdp_arm,
	.discard = af_xdp_discard,
	.n_frames = af_xdp_n_frames,
	.close = af_xdp_close,
	.facts = af_xdp_facts,
};

/* --- open: one socket ------------------------------------------------------------------------- */

static int set_ring(int fd, int option, uint32_t n_descs)
{
	return setsockopt(fd, SOL_XDP, option, &n_descs, sizeof(n_descs)) ? -errno : 0;
}

static int map_ring(struct xdp_queue *x, unsigned ring, const struct xdp_ring_offset *off,
		    size_t desc_bytes, off_t page_offset)
{
	struct mapping *map = &x->maps[ring];
	void *addr;

	map->bytes = off->desc + desc_bytes;
	addr = mmap(NULL, map->bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, x->fd,
		    page_offset);
	if (addr == MAP_FAILED)
		return -errno;
	map->addr = addr;
	return 0;
}

/* libxdp has two types for a ring, with the same members. */
#define RING_AT(base, off, n_descs)                                                                \
	{                                                                                          \
		.mask = (n_descs)-1, .size = (n_descs),                                            \
		.producer = (void *)((base) + (off).producer),                                     \
		.consumer = (void *)((base) + (off).consumer),                                     \
		.ring = (void *)((base) + (off).desc), .flags = (void *)((base) + (off).flags),    \
	}

static void init_rings(struct xdp_queue *x, const struct xdp_mmap_offsets *off)
{
	uint8_t *rx = x->maps[RING_RX].addr, *tx = x->maps[RING_TX].addr;
	uint8_t *fill = x->maps[RING_FILL].addr, *comp = x->maps[RING_COMP].addr;

	x->rx = (struct xsk_ring_cons)RING_AT(rx, off->rx, x->rx_descs);
	x->tx = (struct xsk_ring_prod)RING_AT(tx, off->tx, x->tx_descs);
	x->fill = (struct xsk_ring_prod)RING_AT(fill, off->fr, x->rx_descs);
	x->comp = (struct xsk_ring_cons)RING_AT(comp, off->cr, x->tx_descs);
	/* libxdp keeps a producer's view of the consumer one ring ahead. */
	x->tx.cached_cons = x->tx_descs;
	x->fill.cached_cons = x->rx_descs;
}

static int make_rings(struct xdp_queue *x)
{
	const size_t fill_bytes = x->rx_descs * sizeof(uint64_t);
	const size_t comp_bytes = x->tx_descs * sizeof(uint64_t);
	const size_t rx_bytes = x->rx_descs * sizeof(struct xdp_desc);
	const size_t tx_bytes = x->tx_descs * sizeof(struct xdp_desc);
	struct xdp_mmap_offsets off;
	socklen_t len = sizeof(off);
	int rc;

	if ((rc = set_ring(x->fd, XDP_UMEM_FILL_RING, x->rx_descs)) ||
	    (rc = set_ring(x->fd, XDP_UMEM_COMPLETION_RING, x->tx_descs)) ||
	    (rc = set_ring(x->fd, XDP_RX_RING, x->rx_descs)) ||
	    (rc = set_ring(x->fd, XDP_TX_RING, x->tx_descs)))
		return rc;
	if (getsockopt(x->fd, SOL_XDP, XDP_MMAP_OFFSETS, &off, &len))
		return -errno;
	if (len != sizeof(off))
		return -EOPNOTSUPP; /* before Linux 5.4 there was no need-wakeup */
	if ((rc = map_ring(x, RING_RX, &off.rx, rx_bytes, XDP_PGOFF_RX_RING)) ||
	    (rc = map_ring(x, RING_TX, &off.tx, tx_bytes, XDP_PGOFF_TX_RING)) ||
	    (rc = map_ring(x, RING_FILL, &off.fr, fill_bytes, (off_t)XDP_UMEM_PGOFF_FILL_RING)) ||
	    (rc = map_ring(x, RING_COMP, &off.cr, comp_bytes,
			   (off_t)XDP_UMEM_PGOFF_COMPLETION_RING)))
		return rc;
	init_rings(x, &off);
	return 0;
}

/* -EBUSY right after another process has let the queue go is only a matter of milliseconds. */
static int bind_queue(const struct xdp_queue *x, uint32_t ifindex, uint16_t flags, int shared_fd)
{
	struct sockaddr_xdp addr = {
		.sxdp_family = AF_XDP,
		.sxdp_ifindex = ifindex,
		.sxdp_queue_id = x->q.queue_idx,
		.sxdp_flags = flags,
	};

	if (shared_fd >= 0) {
		addr.sxdp_flags = XDP_SHARED_UMEM; /* the rest is the registration's */
		addr.sxdp_shared_umem_fd = (uint32_t)shared_fd;
	}
	for (unsigned tries = 1;; tries++) {
		if (!bind(x->fd, (const struct sockaddr *)&addr, sizeof(addr)))
			return 0;
		if (errno != EBUSY || tries == MAX_BIND_TRIES)
			return -errno;
		poll(NULL, 0, BIND_RETRY_MS);
	}
}

static int register_umem(int fd, const struct umem *umem)
{
	struct xdp_umem_reg reg = {
		.addr = (uintptr_t)umem->base,
		.len = (uint64_t)umem->n_frames << umem->frame_shift,
		.chunk_size = umem->frame_bytes,
	};

	return setsockopt(fd, SOL_XDP, XDP_UMEM_REG, &reg, sizeof(reg)) ? -errno : 0;
}

static void read_options(struct xdp_queue *x, uint16_t flags)
{
	struct xdp_options options = {0};
	socklen_t len = sizeof(options);
	/* The kernel refuses more than the ring has slots. */
	uint32_t budget = x->tx_descs < TX_BUDGET ? x->tx_descs : TX_BUDGET;

	if (!getsockopt(x->fd, SOL_XDP, XDP_OPTIONS, &options, &len))
		x->is_zero_copy = options.flags & XDP_OPTIONS_ZEROCOPY;
	x->is_sg = flags & XDP_USE_SG;
	/* Since Linux 6.17; without it a sendto() takes 32 descriptors and kick() goes round
	 * more often. */
	if (!x->is_zero_copy)
		(void)setsockopt(x->fd, SOL_XDP, XDP_MAX_TX_SKB_BUDGET, &budget, sizeof(budget));
}

/* What failed, for the sentence. */
enum step { STEP_SOCKET, STEP_REGISTER, STEP_RINGS, STEP_BIND };

static int open_socket(struct xdp_queue *x, uint32_t ifindex, uint16_t flags, int shared_fd,
		       enum step *ret_step)
{
	int rc = 0;

	*ret_step = STEP_SOCKET;
	x->fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (x->fd < 0)
		return -errno;
	if (shared_fd < 0) {
		*ret_step = STEP_REGISTER;
		rc = register_umem(x->fd, x->umem);
	}
	if (!rc) {
		*ret_step = STEP_RINGS;
		rc = make_rings(x);
	}
	if (!rc) {
		*ret_step = STEP_BIND;
		rc = bind_queue(x, ifindex, flags, shared_fd);
	}
	if (rc) {
		close_socket(x);
		return rc;
	}
	read_options(x, flags);
	return 0;
}

/* --- open: the port --------------------------------------------------------------------------- */

/* Bytes of a packet received into one frame. */
static uint32_t rx_frame_bytes(const struct umem *umem)
{
	return umem->frame_bytes - RX_HEADROOM;
}

/* Where privileges allow: the kernel counts the packet memory once a port. Else the registration
 * says what is wrong. */
static void raise_memlock(void)
{
	const struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
	struct rlimit limit;

	if (!setrlimit(RLIMIT_MEMLOCK, &unlimited) || getrlimit(RLIMIT_MEMLOCK, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_MEMLOCK, &limit);
}

static int explain_register(const struct umem *umem, const char *ifname, int rc, struct wr_err *err)
{
	const unsigned long need_kib =
		(unsigned long)(((size_t)umem->n_frames << umem->frame_shift) >> 10);
	struct rlimit limit = {0};

	(void)getrlimit(RLIMIT_MEMLOCK, &limit);
	if (rc != -ENOBUFS)
		return wr_err(err, rc, "%s: cannot register %lu KiB of packet memory: %s", ifname,
			      need_kib, strerror(-rc));
	return wr_err(err, rc,
		      "%s: %lu KiB of packet memory, counted for each interface, exceed the "
		      "limit of %lu KiB for locked memory: raise it (ulimit -l, LimitMEMLOCK=) or "
		      "grant CAP_IPC_LOCK",
		      ifname, need_kib, (unsigned long)(limit.rlim_cur >> 10));
}

static int explain_bind(const struct af_xdp_conf *conf, unsigned queue_idx, int rc,
			struct wr_err *err)
{
	switch (rc) {
	case -EBUSY:
		return wr_err(err, rc,
			      "%s: receive queue %u is taken by another AF_XDP socket "
			      "(another Weir, DPDK, ...): stop that one first",
			      conf->ifname, queue_idx);
	case -ENODEV:
		return wr_err(err, rc, "%s: no such interface", conf->ifname);
	case -EINVAL:
		return wr_err(err, rc, "%s: has no queue %u: ask for fewer workers", conf->ifname,
			      queue_idx);
	case -EPERM:
		return wr_err(err, rc, "%s: binding an AF_XDP socket needs CAP_NET_RAW",
			      conf->ifname);
	default:
		return wr_err(err, rc, "%s: cannot bind an AF_XDP socket to queue %u: %s",
			      conf->ifname, queue_idx, strerror(-rc));
	}
}

static int explain(const struct umem *umem, const struct af_xdp_conf *conf, unsigned queue_idx,
		   enum step step, int rc, struct wr_err *err)
{
	switch (step) {
	case STEP_SOCKET:
		if (rc == -EPERM || rc == -EACCES)
			return wr_err(err, rc, "%s: an AF_XDP socket needs CAP_NET_RAW",
				      conf->ifname);
		if (rc == -EAFNOSUPPORT)
			return wr_err(err, rc,
				      "%s: this kernel has no AF_XDP: needs Linux 5.4 with "
				      "CONFIG_XDP_SOCKETS",
				      conf->ifname);
		return wr_err(err, rc, "%s: cannot open an AF_XDP socket: %s", conf->ifname,
			      strerror(-rc));
	case STEP_REGISTER:
		return explain_register(umem, conf->ifname, rc, err);
	case STEP_RINGS:
		return wr_err(err, rc, "%s: cannot make rings of %u and %u descriptors: %s",
			      conf->ifname, conf->rx_descs, conf->tx_descs, strerror(-rc));
	case STEP_BIND:
		break;
	}
	return explain_bind(conf, queue_idx, rc, err);
}

/* All queues in one mode, or none. */
static int open_queues(struct xdp_port *xp, const struct af_xdp_conf *conf, uint16_t flags,
		       struct wr_err *err)
{
	enum step step = STEP_SOCKET;
	unsigned i;
	int rc = 0;

	for (i = 0; i < conf->n_queues && !rc; i++)
		rc = open_socket(&xp->queues[i], conf->ifindex, flags, i ? xp->queues[0].fd : -1,
				 &step);
	if (!rc)
		return 0;
	for (unsigned k = i; k-- > 0;)
		close_socket(&xp->queues[k]);
	return explain(xp->umem, conf, i - 1, step, rc, err);
}

/* EINVAL comes from kernels that do not know a flag, EOPNOTSUPP from most drivers, and anything
 * else from some. */
static bool is_about_mode(int rc)
{
	return rc < 0 && rc != -EBUSY && rc != -EPERM && rc != -EACCES && rc != -ENODEV &&
	       rc != -ENOBUFS && rc != -EAFNOSUPPORT;
}

/* The best mode that the driver and the kernel have. */
static int open_best(struct xdp_port *xp, const struct af_xdp_conf *conf, struct wr_err *err)
{
	static const uint16_t modes[] = {XDP_ZEROCOPY | XDP_USE_SG, XDP_ZEROCOPY,
					 XDP_COPY | XDP_USE_SG, XDP_COPY};
	const bool copy_only = conf->generic || conf->force_copy;
	const bool sg_only = conf->mtu + ETH_VLAN_BYTES > rx_frame_bytes(xp->umem);
	int rc = -EOPNOTSUPP;

	for (unsigned i = 0; i < wr_array_size(modes); i++) {
		if ((modes[i] & XDP_ZEROCOPY) &&
		    (copy_only || (sg_only && !(modes[i] & XDP_USE_SG))))
			continue;
		rc = open_queues(xp, conf, modes[i] | XDP_USE_NEED_WAKEUP, err);
		if (!is_about_mode(rc))
			break;
	}
	return rc;
}

static bool is_ring_size(uint32_t n)
{
	return n >= MIN_DESCS && n <= MAX_DESCS && !(n & (n - 1));
}

static int check_conf(const struct af_xdp_conf *conf, struct wr_err *err)
{
	int n_queues;

	if (!conf->n_queues || conf->n_queues > WR_MAX_QUEUES)
		return wr_err(err, -EINVAL, "%s: %u queues: 1 to %u are possible", conf->ifname,
			      conf->n_queues, WR_MAX_QUEUES);
	if (!is_ring_size(conf->rx_descs) || !is_ring_size(conf->tx_descs))
		return wr_err(err, -EINVAL,
			      "%s: rings of %u and %u descriptors: powers of two from %u to %u "
			      "are possible",
			      conf->ifname, conf->rx_descs, conf->tx_descs, MIN_DESCS, MAX_DESCS);
	n_queues = wr_ethtool_n_rx_queues(conf->ifname);
	if (n_queues > 0 && conf->n_queues > n_queues)
		return wr_err(
			err, -EINVAL,
			"%s: has %d receive queues, %u were asked for: ask for fewer workers, "
			"or for more queues with 'ethtool -L %s'",
			conf->ifname, n_queues, conf->n_queues, conf->ifname);
	return 0;
}

static struct xdp_port *new_port(struct umem *umem, const struct af_xdp_conf *conf)
{
	const size_t bytes = sizeof(struct xdp_port) + conf->n_queues * sizeof(struct xdp_queue);
	struct xdp_port *xp = aligned_alloc(WR_CACHE_LINE, bytes);

	if (!xp)
		return NULL;
	memset(xp, 0, bytes);
	xp->umem = umem;
	xp->port.ops = &af_xdp_ops;
	snprintf(xp->port.name, sizeof(xp->port.name), "%s", conf->ifname);
	xp->port.ifindex = conf->ifindex;
	xp->port.n_queues = conf->n_queues;
	for (uint16_t i = 0; i < conf->n_queues; i++) {
		struct xdp_queue *x = &xp->queues[i];

		x->q.port = &xp->port;
		x->q.queue_idx = i;
		x->umem = umem;
		x->fd = -1;
		x->rx_descs = conf->rx_descs;
		x->tx_descs = conf->tx_descs;
		xp->port.queues[i] = &x->q;
		x->in_kernel = calloc((umem->n_frames + 63) / 64, sizeof(*x->in_kernel));
		if (!x->in_kernel) {
			af_xdp_close(&xp->port);
			return NULL;
		}
	}
	return xp;
}

int wr_port_af_xdp_open(struct umem *umem, const struct af_xdp_conf *conf, struct port **ret_port,
			struct wr_err *err)
{
	struct xdp_port *xp;
	int rc = check_conf(conf, err);

	if (rc < 0)
		return rc;
	xp = new_port(umem, conf);
	if (!xp)
		return wr_err(err, -ENOMEM, "%s: out of memory", conf->ifname);
	raise_memlock();
	rc = open_best(xp, conf, err);
	if (rc < 0) {
		af_xdp_close(&xp->port);
		return rc;
	}
	if (xp->queues[0].is_zero_copy)
		xp->port.mode = "native zero-copy";
	else
		xp->port.mode = conf->generic ? "generic copy" : "native copy";
	for (unsigned i = 1; i < conf->n_queues; i++)
		xp->queues[i].is_sg = xp->queues[0].is_sg;
	if (wr_ethtool_is_virtual(conf->ifname))
		xp->port.flags |= PORT_VIRTUAL;
	if (!xp->queues[0].is_sg)
		xp->port.flags |= PORT_ONE_BUFFER;
	*ret_port = &xp->port;
	return 0;
}

int wr_port_af_xdp_fd(const struct port *port, unsigned queue_idx)
{
	return queue_idx < port->n_queues ? af_xdp_fd(port->queues[queue_idx]) : -EINVAL;
}

uint32_t wr_port_af_xdp_max_bytes(const struct port *port)
{
	const uint32_t n_segs = port->flags & PORT_ONE_BUFFER ? 1 : WR_MAX_SEGS;

	return n_segs * rx_frame_bytes(xdp_queue_const(port->queues[0])->umem);
}

uint32_t wr_port_af_xdp_frames_per_queue(const struct af_xdp_conf *conf)
{
	return conf->rx_descs + conf->tx_descs;
}

/* --- its string ------------------------------------------------------------------------------- */

static const struct port_option af_xdp_options[] = {
	[AF_XDP_OPT_MODE] = {.name = "mode",
			     .words = "auto|native|generic",
			     .text = "how the XDP program is attached"},
	[AF_XDP_OPT_COPY] = {.name = "copy",
			     .words = "auto|on",
			     .text = "on: no zero-copy, although the driver has it"},
	[AF_XDP_OPT_QUEUES] = {.name = "queues",
			       .max = WR_MAX_QUEUES,
			       .text = "receive queues to take, the first ones; 0: all"},
	[AF_XDP_OPT_DESCS] = {.name = "descs",
			      .fallback = 2048,
			      .min = MIN_DESCS,
			      .max = MAX_DESCS,
			      .is_power_of_two = true,
			      .text = "size of each receive and transmit ring"},
};

static uint32_t af_xdp_max_frames(const struct port_args *args)
{
	int n_queues = (int)args->values[AF_XDP_OPT_QUEUES];

	if (!n_queues)
		n_queues = wr_ethtool_n_rx_queues(args->names[0]);
	return n_queues > 0 ? (uint32_t)n_queues * 2 * args->values[AF_XDP_OPT_DESCS] : 0;
}

const struct port_driver wr_port_af_xdp_driver = {
	.scheme = "af_xdp",
	.names = "INTERFACE",
	.text = "an interface of the kernel, by an XDP program and AF_XDP sockets",
	.min_names = 1,
	.max_names = 1,
	.n_options = wr_array_size(af_xdp_options),
	.options = af_xdp_options,
	.max_frames = af_xdp_max_frames,
};
