/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The AF_XDP driver: one socket a queue, four rings a socket. Here is a queue at work; opening and
 * closing are in af_xdp_open.c and af_xdp_socket.c.
 *
 *   fill        free frames for the kernel to receive into        we produce
 *   rx          frames with a packet in them                      the kernel produces
 *   tx          frames to send                                    we produce
 *   completion  frames that were sent                             the kernel produces
 *
 * The rings are read and written with libxdp's inline functions.
 *
 * Checksums. Where the sockets have metadata (see af_xdp_socket.c) a packet with PKT_CSUM_PARTIAL
 * is sent as a local sender's: the kernel finishes its checksum if the interface cannot, and hands
 * it on unfinished if nobody will ever see it on a wire. So over a veth the far end gets what it
 * would get from the kernel forwarding in our place: a kernel, a packet marked as unfinished; an
 * AF_XDP socket or an XDP program, one whose field holds the pseudo-header's sum, as it must expect
 * of any local sender. `tx_checksum off` is for a far end that does not.
 *
 * The price: with metadata registered the kernel wants room for it in front of every segment, of
 * packets without it too, and what lacks it would be refused as invalid, frame lost. Received
 * frames have 256 bytes there; tx() moves the others.
 *
 * Busy polling, if asked for: the driver's receive loop runs on the worker's thread, called by rx()
 * when it has nothing to return, instead of in interrupts that take the core from the worker. It
 * helps on a NIC whose queue is served by the worker's own core and whose interrupts the operator
 * has deferred (napi_defer_hard_irqs and gro_flush_timeout of the interface, in sysfs); otherwise
 * it costs a system call a turn for nothing. An interface without interrupts of its own (veth, tap)
 * has nothing to poll. A worker with nothing to do sleeps all the same: the kernel's timer
 * (gro_flush_timeout) looks after the queue then.
 *
 * Accounting. `in_kernel` has a bit for each frame that the kernel may touch, kept per queue, by
 * its worker. An address that the kernel gives back is good only if its bit is set; and what is set
 * when the socket is closed is what goes back to the depot. Frames for receiving (fill + rx) are at
 * most rx_descs, frames for sending (tx + completion) at most tx_descs.
 */
#include "lib/mem/l4_csum.h"
#include "lib/port/af_xdp_private.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

enum {
	MAX_FUTILE_KICKS = 4, /* in one flush */
	/* After as many a sleeper may sleep although frames wait in the TX ring. */
	MAX_FUTILE_FLUSHES = 1024,
	MIN_REFILL = 16, /* free slots of the fill ring that are worth its cache line */
};

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

/* To the depot, what the kernel had when the socket was closed. */
void wr_af_xdp_return_frames(struct xdp_queue *x)
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
	if (x->rx_descs - x->n_rx_side < MIN_REFILL)
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

/* Has this thread do the driver's work. What it receives comes with the next rx(), or arm() sees
 * it. */
static void drive(struct xdp_queue *x)
{
	if (wr_unlikely(x->is_busy_polled))
		(void)recvfrom(x->fd, NULL, 0, MSG_DONTWAIT, NULL, NULL);
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
	if (!n) {
		drive(x);
		return 0;
	}
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

/* Tells the kernel that the checksum is unfinished. One that cannot be found stays as it is. The
 * packet may begin anywhere, so the metadata need not be aligned. */
static void describe_csum(const struct packet *pkt, struct xdp_desc *desc)
{
	struct tx_metadata meta = {.flags = XDP_TXMD_FLAGS_CHECKSUM};

	if (!wr_l4_csum_place(pkt, &meta.csum_start, &meta.csum_offset))
		return;
	memcpy(pkt->data - sizeof(meta), &meta, sizeof(meta));
	desc->options |= XDP_TX_METADATA;
}

static bool can_send(const struct xdp_queue *x, const struct packet *pkt)
{
	if (x->is_down || x->is_gone || pkt->len < ETH_HDR_BYTES || pkt->n_segs > WR_MAX_SEGS ||
	    (pkt->n_segs > 1 && !x->is_sg))
		return false;
	/* The kernel takes an empty descriptor for an invalid one and never gives the frame
	 * back. */
	for (const struct packet *seg = pkt; seg; seg = seg->next)
		if (!seg->seg_len)
			return false;
	return true;
}

/* Room for metadata in front of each segment; the packet may become another. */
static bool make_headroom(struct xdp_queue *x, struct packet **pkt)
{
	struct packet *ready;

	if (!x->has_tx_metadata || wr_packet_has_headroom(x->umem, *pkt, PORT_TX_HEADROOM))
		return true;
	ready = wr_packet_with_headroom(x->q.pool, *pkt, PORT_TX_HEADROOM);
	if (ready)
		*pkt = ready;
	return ready;
}

static bool has_room(const struct xdp_queue *x, const struct packet *pkt)
{
	return x->tx_descs - x->n_tx_side >= pkt->n_segs;
}

static void put_packet(struct xdp_queue *x, const struct packet *pkt)
{
	struct xdp_desc *first = xsk_ring_prod__tx_desc(&x->tx, x->tx.cached_prod);

	for (const struct packet *seg = pkt; seg; seg = seg->next) {
		/* There is room: the ring has a slot for every frame that n_tx_side may count. */
		struct xdp_desc *desc = xsk_ring_prod__tx_desc(&x->tx, x->tx.cached_prod++);

		desc->addr = wr_packet_addr(x->umem, seg);
		desc->len = seg->seg_len;
		desc->options = seg->next ? XDP_PKT_CONTD : 0;
		lend_frame(x, seg);
	}
	if (x->has_tx_metadata && (pkt->flags & PKT_CSUM_PARTIAL))
		describe_csum(pkt, first);
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
		if (wr_unlikely(!make_headroom(x, &pkts[i]) || !can_send(x, pkts[i]))) {
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
	emit(arg, "tx_checksum", xdp_queue_const(port->queues[0])->has_tx_metadata);
	emit(arg, "busy_poll", xdp_queue_const(port->queues[0])->is_busy_polled);
}

const struct port_ops wr_af_xdp_ops = {
	.scheme = "af_xdp",
	.start = af_xdp_start,
	.rx = af_xdp_rx,
	.tx = af_xdp_tx,
	.flush = af_xdp_flush,
	.fd = af_xdp_fd,
	.arm = af_xdp_arm,
	.discard = af_xdp_discard,
	.n_frames = af_xdp_n_frames,
	.close = wr_af_xdp_close,
	.facts = af_xdp_facts,
};
