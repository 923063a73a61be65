/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * memif: packets through memory that two processes share. VPP, DPDK and whatever links libmemif
 * speak it; no kernel and no privilege is involved once the two can reach one Unix socket.
 *
 * The protocol, version 2.0. The client connects to the server's socket, and the two agree by
 * messages of 128 bytes (memif_ctl.c). The client makes all the memory: regions, which are memfds
 * that it passes, and in them rings and buffers, a ring a queue and direction. A ring has 2^n
 * descriptors of 16 bytes (region, offset, length, "goes on in the next"), and two indices that
 * run freely: head is written by the client, tail by the server, whoever sends. To the server
 * (C2S) head says what was filled and tail what was taken; to the client (S2C) head says which
 * buffers are free and tail which were filled. A packet longer than a buffer takes several
 * descriptors. Each ring has an eventfd, and a flag by which its receiver says that it polls and
 * wants no interrupt.
 *
 * Who owns what. The channel, the listener, the timer and all connecting are queue 0's worker's,
 * in rx(), flush() and arm(); a look costs a system call, so a busy worker takes one every
 * MEMIF_CTL_CALLS calls, and one that slept takes one when it wakes. There is no thread and no
 * lock. A connection is a `struct memif_link`. It is published by one pointer; a queue that works
 * on it says so in `mq->link` and goes on until it sees that the pointer has changed. The end has
 * three phases: the pointer is cleared and all queues woken (make_dead), each queue lets go
 * (wr_memif_hold_slow), then the memory is unmapped (bury). Until then no new connection begins: a
 * queue that was used must go on being used, or nobody will be connected again.
 *
 * Packets are copied into and out of the shared memory. With zero-copy the other process could
 * change a packet after it was checked, would hold our frames for as long as it liked and could
 * read all others; so the driver holds no frames.
 *
 * Either side may vanish at any moment. While nobody is connected tx() frees all and counts them
 * as tx_errors, rx() has nothing; a client tries again every MEMIF_RETRY_MS, a server listens on.
 * A ring that is full is tx_full. A queue for which the peer has no ring is like one that is not
 * connected. What lay in the rings is lost with the connection, as on a wire.
 *
 * The peer is hostile. It may write anything into the rings, the descriptors and the packets at
 * any moment (memif_ring.c: load once, check, use), say anything on the channel (memif_ctl.c: a
 * table of what may be said when), pass files that would kill or stop who touches them
 * (memif_link.c, memif_bell.c), and ask for any amount (the bounds in memif_private.h). A bad
 * descriptor is one packet refused, a ring that makes no sense ends the connection, with a reason.
 * It can still waste its own share: send rubbish, wake us for nothing, connect over and over; and
 * a descriptor it passes is closed by us, which a file system of its own might delay.
 *
 * Not here: secrets (options are numbers and words), modes other than Ethernet, several ids on one
 * socket. A client's `buffer` should not be smaller than the peer's packet buffers: DPDK's server
 * (22.11) does not look at the room that a descriptor has.
 */
#include "lib/base/alloc.h"
#include "lib/port/memif_private.h"
#include "lib/port/spec.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum {
	MAX_EVENTS = 8,
	/* After unmasking, one more look. DPDK publishes its index and looks at the mask without a
	 * barrier between: the two can miss each other, and the packet would lie there until the
	 * next. Its store is visible after much less than this. */
	RECHECK_NS = 1000000,
};

/* --- sleeping and waking ---------------------------------------------------------------------- */

int wr_memif_watch(const struct memif_queue *mq, int fd, uint32_t events, enum memif_event what)
{
	struct epoll_event event = {.events = events, .data.u32 = what};

	return epoll_ctl(mq->epoll_fd, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

void wr_memif_wake(const struct memif_queue *mq)
{
	const uint64_t one = 1;

	(void)!write(mq->wake_fd, &one, sizeof(one));
}

static bool is_control(const struct memif_queue *mq)
{
	return mq->q.queue_idx == 0;
}

/* Takes what has woken the queue, or would. The peer's eventfd is not read, since that might wait
 * for ever: it is watched for edges, and epoll_wait() has used this one up. */
static void turn(struct memif_queue *mq)
{
	struct epoll_event events[MAX_EVENTS];
	const int n = epoll_wait(mq->epoll_fd, events, MAX_EVENTS, 0);
	uint64_t count;

	mq->n_calls = 0;
	for (int i = 0; i < n; i++) {
		switch (events[i].data.u32) {
		case MEMIF_EVENT_INTERRUPT:
			break;
		case MEMIF_EVENT_WAKE:
			(void)!read(mq->wake_fd, &count, sizeof(count));
			break;
		case MEMIF_EVENT_RECHECK:
			(void)!read(mq->recheck_fd, &count, sizeof(count));
			break;
		default:
			wr_memif_ctl_event(wr_memif_port(mq), events[i].data.u32);
		}
	}
	if (is_control(mq))
		wr_memif_ctl_tend(wr_memif_port(mq));
}

/* The control worker's look at the channel, now and then. */
static void turn_if_due(struct memif_queue *mq)
{
	if (is_control(mq) && ++mq->n_calls >= MEMIF_CTL_CALLS)
		turn(mq);
}

/* --- which link ------------------------------------------------------------------------------- */

static const struct memif_ring *rx_ring_of(const struct memif_queue *mq,
					   const struct memif_link *link)
{
	return mq->q.queue_idx < link->n_rx ? &link->rx[mq->q.queue_idx] : NULL;
}

/* Second phase of the end. The control worker may be waiting for it. */
static void let_go(struct memif_queue *mq)
{
	const struct memif_ring *ring;

	if (!mq->link)
		return;
	ring = rx_ring_of(mq, mq->link);
	if (ring) /* closing it is not enough: the peer has it as well */
		(void)epoll_ctl(mq->epoll_fd, EPOLL_CTL_DEL, ring->event_fd, NULL);
	wr_count(&mq->q.counters.tx_errors, mq->n_unflushed);
	mq->n_unflushed = 0;
	/* Pairs with the load in bury(): nothing is touched any more. */
	__atomic_store_n(&mq->link, NULL, __ATOMIC_SEQ_CST);
	if (!is_control(mq))
		wr_memif_wake(&wr_memif_port(mq)->queues[0]);
}

static struct memif_link *enter(struct memif_queue *mq, struct memif_link *link)
{
	const struct memif_ring *ring = rx_ring_of(mq, link);

	mq->rx_next = 0;
	mq->tx_next = 0;
	mq->tx_public = 0;
	mq->is_skipping = false;
	mq->is_broken = false;
	mq->is_masked = false;
	if (!ring)
		return link;
	__atomic_store_n(&ring->shm->flags, 0, __ATOMIC_SEQ_CST);
	if (wr_memif_watch(mq, ring->event_fd, EPOLLIN | EPOLLET, MEMIF_EVENT_INTERRUPT) < 0) {
		__atomic_store_n(&link->broken, "a ring's interrupt cannot be waited for",
				 __ATOMIC_RELEASE);
		wr_memif_wake(&wr_memif_port(mq)->queues[0]);
	}
	return link;
}

struct memif_link *wr_memif_hold_slow(struct memif_queue *mq)
{
	struct memif_port *mp = wr_memif_port(mq);

	let_go(mq);
	for (;;) {
		struct memif_link *link = __atomic_load_n(&mp->link, __ATOMIC_ACQUIRE);

		if (!link)
			return NULL;
		/* Says so, then looks again: either it is still the one, or the control worker,
		 * which clears the pointer and then looks here, has not missed us. */
		__atomic_store_n(&mq->link, link, __ATOMIC_SEQ_CST);
		if (__atomic_load_n(&mp->link, __ATOMIC_SEQ_CST) == link)
			return enter(mq, link);
		__atomic_store_n(&mq->link, NULL, __ATOMIC_SEQ_CST);
		wr_memif_wake(&mp->queues[0]);
	}
}

/* --- the queue -------------------------------------------------------------------------------- */

static int memif_start(struct port_queue *q)
{
	(void)q;
	return 0;
}

static unsigned memif_rx(struct port_queue *q, struct packet **ret_pkts, unsigned max)
{
	struct memif_queue *mq = wr_memif_queue(q);

	if (wr_unlikely(mq->has_slept)) {
		mq->has_slept = false;
		turn(mq);
	}
	turn_if_due(mq);
	return wr_memif_ring_rx(mq, ret_pkts, max);
}

static void memif_tx(struct port_queue *q, struct packet **pkts, unsigned n)
{
	wr_memif_ring_tx(wr_memif_queue(q), pkts, n);
}

static void memif_flush(struct port_queue *q)
{
	struct memif_queue *mq = wr_memif_queue(q);

	wr_memif_ring_flush(mq);
	turn_if_due(mq);
}

static int memif_fd(const struct port_queue *q)
{
	return ((const struct memif_queue *)q)->epoll_fd;
}

static bool memif_arm(struct port_queue *q)
{
	const struct itimerspec soon = {.it_value.tv_nsec = RECHECK_NS};
	struct memif_queue *mq = wr_memif_queue(q);
	const bool was_masked = mq->is_masked;

	turn(mq);
	mq->has_slept = true;
	if (wr_memif_ring_arm(mq))
		return true;
	if (was_masked)
		(void)timerfd_settime(mq->recheck_fd, 0, &soon, NULL);
	return false;
}

static void memif_discard(struct port_queue *q)
{
	wr_memif_ring_discard(wr_memif_queue(q));
}

static uint32_t memif_n_frames(const struct port_queue *q)
{
	(void)q;
	return 0;
}

static void memif_facts(const struct port *port,
			void (*emit)(void *arg, const char *name, uint64_t value), void *arg)
{
	const struct memif_port *mp = (const struct memif_port *)port;

	emit(arg, "connected", !!__atomic_load_n(&mp->link, __ATOMIC_RELAXED));
	emit(arg, "is_server", !mp->is_client);
	emit(arg, "id", mp->id);
	emit(arg, "n_connects", wr_count_get(&mp->n_connects));
	emit(arg, "n_refused", wr_count_get(&mp->n_refused));
	emit(arg, "n_protocol_errors", wr_count_get(&mp->n_protocol_errors));
	emit(arg, "region_bytes", wr_count_get(&mp->n_link_bytes));
}

/* --- open and close --------------------------------------------------------------------------- */

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

static void memif_close(struct port *port)
{
	struct memif_port *mp = (struct memif_port *)port;

	wr_memif_ctl_close(mp);
	for (unsigned i = 0; i < port->n_queues; i++) {
		struct memif_queue *mq = &mp->queues[i];

		wr_memif_bell_fini(&mq->bell);
		close_fd(mq->epoll_fd);
		close_fd(mq->wake_fd);
		close_fd(mq->recheck_fd);
	}
	free(mp);
}

static const struct port_ops memif_ops = {
	.scheme = "memif",
	.start = memif_start,
	.rx = memif_rx,
	.tx = memif_tx,
	.flush = memif_flush,
	.fd = memif_fd,
	.arm = memif_arm,
	.discard = memif_discard,
	.n_frames = memif_n_frames,
	.close = memif_close,
	.facts = memif_facts,
};

enum { OPT_ROLE, OPT_ID, OPT_QUEUES, OPT_DESCS, OPT_BUFFER, OPT_MODE };
enum { ROLE_CLIENT, ROLE_SERVER };

static const struct port_option memif_options[] = {
	[OPT_ROLE] = {.name = "role",
		      .words = "client|server",
		      .fallback = ROLE_CLIENT,
		      .text = "who listens on the socket, and who makes the memory"},
	[OPT_ID] = {.name = "id",
		    .fallback = 0,
		    .min = 0,
		    .max = UINT32_MAX,
		    .text = "number of the interface; both sides say the same"},
	[OPT_QUEUES] = {.name = "queues",
			.fallback = 1,
			.min = 1,
			.max = WR_MAX_QUEUES,
			.text = "queues; the side that has fewer decides"},
	[OPT_DESCS] = {.name = "descs",
		       .fallback = 1024,
		       .min = 16,
		       .max = 1 << MEMIF_MAX_LOG2_DESCS,
		       .is_power_of_two = true,
		       .text = "slots of a ring; the client decides"},
	[OPT_BUFFER] = {.name = "buffer",
			.fallback = 2048,
			.min = 128,
			.max = 16384,
			.text = "bytes of a slot; the client decides"},
	[OPT_MODE] = {.name = "mode",
		      .words = "ethernet|ip|punt-inject",
		      .fallback = MIF_MODE_ETHERNET,
		      .text = "what a packet begins with: ethernet only"},
};

/* 0 or -errno. */
static int open_queue(struct memif_queue *mq)
{
	int rc;

	mq->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	mq->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	mq->recheck_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (mq->epoll_fd < 0 || mq->wake_fd < 0 || mq->recheck_fd < 0)
		return -errno;
	rc = wr_memif_watch(mq, mq->wake_fd, EPOLLIN, MEMIF_EVENT_WAKE);
	if (!rc)
		rc = wr_memif_watch(mq, mq->recheck_fd, EPOLLIN, MEMIF_EVENT_RECHECK);
	return rc < 0 ? rc : wr_memif_bell_init(&mq->bell, mq->wake_fd);
}

static int open_queues(struct memif_port *mp, const char *text, struct wr_err *err)
{
	for (unsigned i = 0; i < mp->port.n_queues; i++) {
		int rc = open_queue(&mp->queues[i]);

		if (rc < 0)
			return wr_err(err, rc,
				      "%.100s: queue %u: %s: needs CONFIG_AIO, and room below "
				      "'ulimit -n' and fs.aio-max-nr",
				      text, i, strerror(-rc));
	}
	return 0;
}

/* The socket's file name, with the id where there is one. */
static void name_port(struct memif_port *mp, const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *base = slash ? slash + 1 : path;

	if (mp->id)
		snprintf(mp->port.name, sizeof(mp->port.name), "%.20s#%u", base, mp->id);
	else
		snprintf(mp->port.name, sizeof(mp->port.name), "%.31s", base);
}

/* The longest that fits into the frames of a packet, and into a client's own ring. */
static uint32_t max_frame_bytes(const struct memif_port *mp)
{
	const uint64_t ring_bytes = (uint64_t)mp->shape.buffer_bytes << mp->shape.log2_descs;

	return mp->is_client && ring_bytes < mp->max_rx_bytes ? (uint32_t)ring_bytes
							      : mp->max_rx_bytes;
}

static struct memif_port *new_port(struct umem *umem, const struct port_args *args)
{
	const uint32_t *values = args->values;
	const uint16_t n = (uint16_t)values[OPT_QUEUES];
	struct memif_port *mp = wr_alloc_lines(sizeof(*mp) + n * sizeof(mp->queues[0]));

	if (!mp)
		return NULL;
	mp->umem = umem;
	mp->is_client = values[OPT_ROLE] == ROLE_CLIENT;
	mp->id = values[OPT_ID];
	mp->shape = (struct memif_shape){
		.n_c2s = n,
		.n_s2c = n,
		.log2_descs = (unsigned)__builtin_ctz(values[OPT_DESCS]),
		.buffer_bytes = values[OPT_BUFFER],
	};
	mp->max_rx_bytes = WR_MAX_SEGS * umem->frame_bytes;
	mp->ctl.listener_fd = mp->ctl.sock_fd = mp->ctl.timer_fd = -1;
	mp->port.ops = &memif_ops;
	mp->port.mode = mp->is_client ? "memif client" : "memif server";
	mp->port.n_queues = n;
	mp->port.max_frame_bytes = max_frame_bytes(mp);
	name_port(mp, args->names[0]);
	for (uint16_t i = 0; i < n; i++) {
		struct memif_queue *mq = &mp->queues[i];

		mq->q.port = &mp->port;
		mq->q.queue_idx = i;
		mq->epoll_fd = mq->wake_fd = mq->recheck_fd = -1;
		mp->port.queues[i] = &mq->q;
	}
	return mp;
}

static int check_args(const struct port_args *args, const struct memif_port *mp, struct wr_err *err)
{
	if (args->values[OPT_MODE] != MIF_MODE_ETHERNET)
		return wr_err(
			err, -EOPNOTSUPP,
			"%.100s: packets begin with an Ethernet header here: use mode=ethernet",
			args->text);
	if (mp->is_client && wr_memif_shape_bytes(&mp->shape) > MEMIF_MAX_LINK_BYTES)
		return wr_err(err, -EINVAL,
			      "%.100s: that is %llu MiB of memory, %d at most: use fewer queues, "
			      "descs or a smaller buffer",
			      args->text,
			      (unsigned long long)wr_memif_shape_bytes(&mp->shape) >> 20,
			      MEMIF_MAX_LINK_BYTES >> 20);
	return 0;
}

static int memif_open(struct umem *umem, const struct port_args *args, struct port **ret_port,
		      struct wr_err *err)
{
	struct memif_port *mp = new_port(umem, args);
	int rc;

	if (!mp)
		return wr_err(err, -ENOMEM, "%.100s: out of memory", args->text);
	rc = check_args(args, mp, err);
	if (!rc)
		rc = open_queues(mp, args->text, err);
	if (!rc)
		rc = wr_memif_ctl_open(mp, args->names[0], args->text, err);
	if (rc < 0) {
		memif_close(&mp->port);
		return rc;
	}
	*ret_port = &mp->port;
	return 0;
}

/* Packets are copied. */
static uint32_t memif_max_frames(const struct port_args *args)
{
	(void)args;
	return 0;
}

const struct port_driver wr_port_memif_driver = {
	.scheme = "memif",
	.names = "SOCKET",
	.text = "memory shared with another process (VPP, DPDK); '@NAME': an abstract socket",
	.min_names = 1,
	.max_names = 1,
	.n_options = wr_array_size(memif_options),
	.options = memif_options,
	.open = memif_open,
	.max_frames = memif_max_frames,
};
