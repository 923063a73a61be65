/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A wire in memory. For each queue there are two directions, each a ring with one producer (the
 * worker that sends) and one consumer (the worker that receives). What tx() writes the receiver
 * sees after flush(): head is published there, with a release that pairs with the receiver's
 * acquire, and in the same way tail gives the slots back.
 *
 * Sleep. The receiver that is about to sleep sets `is_armed` and looks once more; the sender
 * publishes and then looks at `is_armed`. Both with sequential consistency, so that at least one
 * sees the other. Only an armed receiver costs a write.
 *
 * The wire belongs to both ends and goes with the second one. A packet sent to an end that is
 * closed is refused.
 *
 * By name: the first to open "ring:NAME" makes the wire and gets one end. The other end waits in
 * the UMEM's list until somebody opens the same name; what is sent to it meanwhile is kept, up to
 * the ring's size. It goes with the first end if nobody came.
 */
#include "lib/port/spec.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { MAX_RING_DESCS = 1 << 20 };

struct direction {
	/* the sender's */
	uint32_t head wr_cache_aligned; /* next slot to write, not yet published */
	uint32_t head_public;
	uint32_t n_frames_in;
	/* the receiver's */
	uint32_t tail wr_cache_aligned;
	uint32_t n_frames_out;
	bool has_slept;
	/* both */
	bool is_armed wr_cache_aligned;
	bool is_closed; /* nobody receives here any more */
	int event_fd;
	struct packet **slots;
};

/* What one worker writes at every packet and the other does not. */
static_assert(offsetof(struct direction, tail) % WR_CACHE_LINE == 0 &&
		      offsetof(struct direction, is_armed) % WR_CACHE_LINE == 0 &&
		      sizeof(struct direction) % WR_CACHE_LINE == 0,
	      "sender and receiver have lines of their own");

struct wire {
	struct umem *umem;
	uint32_t n_descs, mask;
	uint16_t n_queues;
	uint8_t n_ends;
	bool keeps_metadata;
	struct direction directions[]; /* [2 * queue + end that receives] */
};

struct ring_queue {
	struct port_queue q;
	struct wire *wire;
	struct direction *in, *out;
};

struct ring_port {
	struct port port;
	struct wire *wire;
	struct ring_port *peer; /* the other end, as long as it waits in the UMEM's list */
	struct ring_port *next_waiting;
	struct ring_queue queues[];
};

static struct ring_queue *ring_queue(struct port_queue *q)
{
	return (struct ring_queue *)q;
}

static uint32_t load(const uint32_t *number)
{
	return __atomic_load_n(number, __ATOMIC_RELAXED);
}

static void store(uint32_t *number, uint32_t value)
{
	__atomic_store_n(number, value, __ATOMIC_RELAXED);
}

/* Before the first packet after a sleep: the event is used up, the sender need not write
 * another. */
static void disarm(struct direction *in)
{
	uint64_t n;

	__atomic_store_n(&in->is_armed, false, __ATOMIC_SEQ_CST);
	in->has_slept = false;
	(void)!read(in->event_fd, &n, sizeof(n));
}

static bool is_empty(const struct direction *in)
{
	return __atomic_load_n(&in->head_public, __ATOMIC_SEQ_CST) == in->tail;
}

/* The next packet received; NULL if there is none. */
static struct packet *take(const struct wire *wire, struct direction *in, uint32_t head)
{
	struct packet *pkt;

	if (in->tail == head)
		return NULL;
	pkt = in->slots[in->tail & wire->mask];
	store(&in->n_frames_out, in->n_frames_out + pkt->n_segs);
	__atomic_store_n(&in->tail, in->tail + 1, __ATOMIC_RELEASE);
	return pkt;
}

static unsigned ring_rx(struct port_queue *q, struct packet **ret_pkts, unsigned max)
{
	struct ring_queue *r = ring_queue(q);
	uint32_t head;
	uint64_t n_bytes = 0;
	unsigned n;

	if (wr_unlikely(r->in->has_slept))
		disarm(r->in);
	head = __atomic_load_n(&r->in->head_public, __ATOMIC_ACQUIRE);
	for (n = 0; n < max; n++) {
		struct packet *pkt = take(r->wire, r->in, head);

		if (!pkt)
			break;
		if (wr_likely(!r->wire->keeps_metadata)) {
			pkt->flags = 0;
			pkt->gso_bytes = 0;
			pkt->rx_port = q->port->port_idx;
		}
		n_bytes += pkt->len;
		ret_pkts[n] = pkt;
	}
	wr_count(&q->counters.rx_pkts, n);
	wr_count(&q->counters.rx_bytes, n_bytes);
	return n;
}

static void ring_discard(struct port_queue *q)
{
	struct ring_queue *r = ring_queue(q);
	uint32_t head = __atomic_load_n(&r->in->head_public, __ATOMIC_ACQUIRE);
	struct packet *pkt;

	while ((pkt = take(r->wire, r->in, head))) {
		wr_packet_free(q->pool, pkt);
		wr_count(&q->counters.rx_stale, 1);
	}
}

static void ring_tx(struct port_queue *q, struct packet **pkts, unsigned n)
{
	struct ring_queue *r = ring_queue(q);
	struct direction *out = r->out;
	const bool is_closed = __atomic_load_n(&out->is_closed, __ATOMIC_RELAXED);
	uint64_t n_bytes = 0, n_full = 0;

	for (unsigned i = 0; i < n; i++) {
		if (!is_closed &&
		    out->head - __atomic_load_n(&out->tail, __ATOMIC_ACQUIRE) == r->wire->n_descs) {
			n_full++;
			wr_packet_free(q->pool, pkts[i]);
			continue;
		}
		n_bytes += pkts[i]->len;
		if (is_closed) {
			wr_packet_free(q->pool, pkts[i]);
			continue;
		}
		store(&out->n_frames_in, out->n_frames_in + pkts[i]->n_segs);
		out->slots[out->head++ & r->wire->mask] = pkts[i];
	}
	wr_count(&q->counters.tx_pkts, n - n_full);
	wr_count(&q->counters.tx_bytes, n_bytes);
	wr_count(&q->counters.tx_full, n_full);
	if (is_closed)
		wr_count(&q->counters.tx_errors, n);
}

static void ring_flush(struct port_queue *q)
{
	struct direction *out = ring_queue(q)->out;
	const uint64_t one = 1;

	if (out->head_public == out->head)
		return;
	__atomic_store_n(&out->head_public, out->head, __ATOMIC_SEQ_CST);
	if (wr_likely(!__atomic_load_n(&out->is_armed, __ATOMIC_SEQ_CST)))
		return;
	__atomic_store_n(&out->is_armed, false, __ATOMIC_SEQ_CST);
	wr_count(&q->counters.tx_kicks, 1);
	(void)!write(out->event_fd, &one, sizeof(one));
}

static int ring_fd(const struct port_queue *q)
{
	return ((const struct ring_queue *)q)->in->event_fd;
}

static bool ring_arm(struct port_queue *q)
{
	struct direction *in = ring_queue(q)->in;

	in->has_slept = true;
	__atomic_store_n(&in->is_armed, true, __ATOMIC_SEQ_CST);
	return !is_empty(in);
}

static uint32_t n_frames_of(const struct direction *d)
{
	return load(&d->n_frames_in) - load(&d->n_frames_out);
}

/* What was sent to this queue and not received: so each frame on the wire is counted by one end. An
 * end that nobody has come for yet counts nothing, so the first one does it. */
static uint32_t ring_n_frames(const struct port_queue *q)
{
	const struct ring_queue *r = (const struct ring_queue *)q;
	const struct ring_port *rp = (const struct ring_port *)q->port;

	return n_frames_of(r->in) + (rp->peer ? n_frames_of(r->out) : 0);
}

static int ring_start(struct port_queue *q)
{
	(void)q;
	return 0;
}

static void drain(struct wire *wire, struct direction *in, uint32_t head)
{
	struct packet *pkt;

	while ((pkt = take(wire, in, head))) {
		while (pkt) {
			struct packet *next = pkt->next;

			wr_umem_give(wire->umem, &pkt, 1);
			pkt = next;
		}
	}
}

static void free_wire(struct wire *wire)
{
	for (unsigned i = 0; i < 2U * wire->n_queues; i++) {
		struct direction *d = &wire->directions[i];

		free(d->slots);
		if (d->event_fd >= 0)
			close(d->event_fd);
	}
	free(wire);
}

/* `rp` is in the list. */
static void leave_list(struct ring_port *rp)
{
	struct ring_port **p = &rp->wire->umem->rings;

	while (*p != rp)
		p = &(*p)->next_waiting;
	*p = rp->next_waiting;
	rp->peer->peer = NULL;
	rp->peer = NULL;
}

static void close_end(struct ring_port *rp)
{
	struct port *port = &rp->port;

	for (unsigned i = 0; i < port->n_queues; i++) {
		struct direction *in = rp->queues[i].in;

		__atomic_store_n(&in->is_closed, true, __ATOMIC_RELAXED);
		drain(rp->wire, in, __atomic_load_n(&in->head_public, __ATOMIC_ACQUIRE));
		/* What was sent without a flush arrives all the same, or nobody would count it. */
		__atomic_store_n(&rp->queues[i].out->head_public, rp->queues[i].out->head,
				 __ATOMIC_RELEASE);
	}
	if (--rp->wire->n_ends == 0) {
		/* What the other worker sent while this end was being closed. */
		for (unsigned i = 0; i < 2U * rp->wire->n_queues; i++)
			drain(rp->wire, &rp->wire->directions[i], rp->wire->directions[i].head);
		free_wire(rp->wire);
	}
	free(rp);
}

static void ring_close(struct port *port)
{
	struct ring_port *rp = (struct ring_port *)port;
	struct ring_port *other = rp->peer;

	if (other) { /* nobody came for it */
		leave_list(other);
		close_end(other);
	}
	close_end(rp);
}

static const struct port_ops ring_ops = {
	.scheme = "ring",
	.start = ring_start,
	.rx = ring_rx,
	.tx = ring_tx,
	.flush = ring_flush,
	.fd = ring_fd,
	.arm = ring_arm,
	.discard = ring_discard,
	.n_frames = ring_n_frames,
	.close = ring_close,
};

static struct wire *new_wire(struct umem *umem, uint16_t n_queues, uint32_t n_descs)
{
	const size_t bytes = sizeof(struct wire) + sizeof(struct direction) * 2 * n_queues;
	struct wire *wire = aligned_alloc(WR_CACHE_LINE, bytes);
	uint32_t n_slots = 1;
	bool is_whole = true;

	if (!wire)
		return NULL;
	while (n_slots < n_descs)
		n_slots *= 2;
	memset(wire, 0, bytes);
	wire->umem = umem;
	wire->n_descs = n_descs;
	wire->mask = n_slots - 1;
	wire->n_queues = n_queues;
	for (unsigned i = 0; i < 2U * n_queues; i++) {
		struct direction *d = &wire->directions[i];

		d->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		d->slots = calloc(n_slots, sizeof(struct packet *));
		is_whole &= d->event_fd >= 0 && d->slots;
	}
	if (is_whole)
		return wire;
	free_wire(wire);
	return NULL;
}

static struct ring_port *new_end(struct wire *wire, const char *name, unsigned end)
{
	const size_t bytes = sizeof(struct ring_port) + wire->n_queues * sizeof(struct ring_queue);
	struct ring_port *rp = aligned_alloc(WR_CACHE_LINE, bytes);

	if (!rp)
		return NULL;
	memset(rp, 0, bytes);
	rp->wire = wire;
	rp->port.ops = &ring_ops;
	rp->port.mode = "memory";
	rp->port.n_queues = wire->n_queues;
	snprintf(rp->port.name, sizeof(rp->port.name), "%s", name);
	for (uint16_t i = 0; i < wire->n_queues; i++) {
		struct ring_queue *r = &rp->queues[i];

		r->q.port = &rp->port;
		r->q.queue_idx = i;
		r->wire = wire;
		r->in = &wire->directions[2 * i + end];
		r->out = &wire->directions[2 * i + !end];
		rp->port.queues[i] = &r->q;
	}
	return rp;
}

int wr_port_ring_open_pair(struct umem *umem, const struct ring_conf *conf, struct port **ret_a,
			   struct port **ret_b, struct wr_err *err)
{
	struct ring_port *a, *b;
	struct wire *wire;

	if (!conf->n_queues || conf->n_queues > WR_MAX_QUEUES || !conf->n_descs ||
	    conf->n_descs > MAX_RING_DESCS)
		return wr_err(err, -EINVAL, "%s: %u queues of %u packets: 1 to %u, of 1 to %u",
			      conf->name_a, conf->n_queues, conf->n_descs, WR_MAX_QUEUES,
			      MAX_RING_DESCS);
	wire = new_wire(umem, conf->n_queues, conf->n_descs);
	if (!wire)
		return wr_err(err, -ENOMEM, "%s: out of memory", conf->name_a);
	wire->keeps_metadata = conf->keeps_metadata;
	a = new_end(wire, conf->name_a, 0);
	b = new_end(wire, conf->name_b, 1);
	if (!a || !b) {
		free(a);
		free(b);
		free_wire(wire);
		return wr_err(err, -ENOMEM, "%s: out of memory", conf->name_a);
	}
	wire->n_ends = 2;
	*ret_a = &a->port;
	*ret_b = &b->port;
	return 0;
}

/* --- by name ---------------------------------------------------------------------------------- */

enum { OPT_QUEUES, OPT_DESCS };

static const struct port_option ring_options[] = {
	[OPT_QUEUES] = {.name = "queues",
			.fallback = 1,
			.min = 1,
			.max = WR_MAX_QUEUES,
			.text = "queues of each end"},
	[OPT_DESCS] = {.name = "descs",
		       .fallback = 1024,
		       .min = 1,
		       .max = MAX_RING_DESCS,
		       .text = "packets that a queue holds"},
};

/* The second end of the wire. What it says of sizes must be what they are. */
static int take_waiting(struct ring_port *rp, const struct port_args *args, struct port **ret_port,
			struct wr_err *err)
{
	const struct wire *wire = rp->wire;

	if ((args->is_given[OPT_QUEUES] && args->values[OPT_QUEUES] != wire->n_queues) ||
	    (args->is_given[OPT_DESCS] && args->values[OPT_DESCS] != wire->n_descs))
		return wr_err(
			err, -EINVAL,
			"%.100s: the other end has queues=%u,descs=%u: say the same or nothing",
			args->text, wire->n_queues, wire->n_descs);
	leave_list(rp);
	*ret_port = &rp->port;
	return 0;
}

static int ring_open(struct umem *umem, const struct port_args *args, struct port **ret_port,
		     struct wr_err *err)
{
	const struct ring_conf conf = {
		.name_a = args->names[0],
		.name_b = args->names[0],
		.n_queues = (uint16_t)args->values[OPT_QUEUES],
		.n_descs = args->values[OPT_DESCS],
	};
	struct port *other = NULL;
	struct ring_port *rp;
	int rc;

	for (rp = umem->rings; rp; rp = rp->next_waiting)
		if (!strcmp(rp->port.name, args->names[0]))
			return take_waiting(rp, args, ret_port, err);
	if (strlen(args->names[0]) >= sizeof(rp->port.name))
		return wr_err(err, -EINVAL, "%.100s: the name is longer than %zu characters",
			      args->text, sizeof(rp->port.name) - 1);
	rc = wr_port_ring_open_pair(umem, &conf, ret_port, &other, err);
	if (rc || !other)
		return rc;
	rp = (struct ring_port *)other;
	rp->peer = (struct ring_port *)*ret_port;
	rp->peer->peer = rp;
	rp->next_waiting = umem->rings;
	umem->rings = rp;
	return 0;
}

/* Both ends: who opens the second finds room in the UMEM all the same. */
static uint32_t ring_max_frames(const struct port_args *args)
{
	return args->values[OPT_QUEUES] * args->values[OPT_DESCS];
}

const struct port_driver wr_port_ring_driver = {
	.scheme = "ring",
	.names = "NAME",
	.text = "a wire in memory; who opens the name next, in the same process, has its other end",
	.min_names = 1,
	.max_names = 1,
	.n_options = wr_array_size(ring_options),
	.options = ring_options,
	.open = ring_open,
	.max_frames = ring_max_frames,
};
