/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Packets in and out of shared memory that somebody else writes to at the same time.
 *
 * Each word of it is loaded once, into a variable of our own, checked there and then used: what the
 * peer makes of it afterwards changes nothing. The bytes of packets are copied before anything
 * looks at them. An index may say anything: the distance to our own must not exceed the ring, or
 * the ring makes no sense and the connection ends. A descriptor may say anything: it is one packet
 * that is refused and counted (rx_bad; of packets to send, tx_errors).
 *
 * Indices run freely, 16 bits, and are cut to the ring when used. The client writes head, the
 * server tail, in both directions:
 *
 *                 the sender has            the receiver has
 *     C2S         n_slots - (head - tail)   head - tail
 *     S2C         head - tail               tail - (the slot it takes next); it writes head =
 *                                           that slot + n_slots, which gives the buffers back
 */
#include "lib/port/memif_private.h"

#include <string.h>

enum {
	N_PIECES = MEMIF_MAX_CHAIN, /* descriptors looked at together */
	MIN_FRAME_BYTES = 14,       /* an Ethernet header */
};

static struct mif_desc load_desc(const struct mif_desc *desc)
{
	struct mif_desc d;
	uint64_t words[2];

	words[0] = __atomic_load_n((const uint64_t *)(const void *)desc, __ATOMIC_RELAXED);
	words[1] = __atomic_load_n((const uint64_t *)(const void *)desc + 1, __ATOMIC_RELAXED);
	memcpy(&d, words, sizeof(d));
	return d;
}

static void store_desc(struct mif_desc *desc, const struct mif_desc *d)
{
	uint64_t words[2];

	memcpy(words, d, sizeof(words));
	__atomic_store_n((uint64_t *)(void *)desc, words[0], __ATOMIC_RELAXED);
	__atomic_store_n((uint64_t *)(void *)desc + 1, words[1], __ATOMIC_RELAXED);
}

static struct mif_desc *slot_at(const struct memif_ring *ring, uint16_t slot)
{
	return &ring->shm->descs[slot & (ring->n_slots - 1)];
}

/* A client's own slot, empty. */
static struct mif_desc own_desc(const struct memif_link *link, const struct memif_ring *ring,
				uint16_t slot)
{
	return (struct mif_desc){
		.n_bytes = link->buffer_bytes,
		.offset = ring->buffers_offset + (slot & (ring->n_slots - 1)) * link->buffer_bytes,
	};
}

/* Where the descriptor's bytes lie; NULL: not where they may. `d` is our own copy. */
static uint8_t *buffer_of(const struct memif_link *link, const struct memif_ring *ring,
			  uint16_t slot, const struct mif_desc *d)
{
	const struct memif_region *region;

	if (ring->buffers) {
		if (d->n_bytes > link->buffer_bytes)
			return NULL;
		return ring->buffers + (size_t)(slot & (ring->n_slots - 1)) * link->buffer_bytes;
	}
	if (d->region_idx >= link->n_regions)
		return NULL;
	region = &link->regions[d->region_idx];
	if (d->offset > region->n_bytes || d->n_bytes > region->n_bytes - d->offset)
		return NULL;
	return region->base + d->offset;
}

/* The ring is nonsense: this queue leaves it alone from now on, and the control worker ends it. */
static void give_up(struct memif_queue *mq, const char *why)
{
	mq->is_broken = true;
	__atomic_store_n(&mq->link->broken, why, __ATOMIC_RELEASE);
	wr_memif_wake(&wr_memif_port(mq)->queues[0]);
}

/* --- receive ---------------------------------------------------------------------------------- */

struct piece {
	const uint8_t *data; /* NULL: a bad descriptor */
	uint32_t n_bytes;
	bool is_last;
};

static const struct memif_ring *rx_ring(struct memif_queue *mq)
{
	const struct memif_link *link = wr_memif_hold(mq);

	return link && mq->q.queue_idx < link->n_rx && !mq->is_broken ? &link->rx[mq->q.queue_idx]
								      : NULL;
}

/* Slots that have come. The acquire pairs with the peer's release of its index: what it wrote into
 * the slots before is seen. */
static uint32_t n_come(struct memif_queue *mq, const struct memif_ring *ring, int order)
{
	const uint16_t peer = order == __ATOMIC_SEQ_CST
				      ? __atomic_load_n(ring->peer, __ATOMIC_SEQ_CST)
				      : __atomic_load_n(ring->peer, __ATOMIC_ACQUIRE);
	const uint16_t n = (uint16_t)(peer - mq->rx_next);

	if (wr_likely(n <= ring->n_slots))
		return n;
	give_up(mq, "a receive ring's index is beyond the ring");
	return 0;
}

static void read_piece(const struct memif_link *link, const struct memif_ring *ring, uint16_t slot,
		       struct piece *ret)
{
	const struct mif_desc d = load_desc(slot_at(ring, slot));

	ret->data = buffer_of(link, ring, slot, &d);
	ret->n_bytes = d.n_bytes;
	ret->is_last = !(d.flags & MIF_DESC_NEXT);
	__builtin_prefetch(ret->data);
}

/* Gives `n` slots back, not yet told to the peer. A client's are made anew, whatever the server
 * wrote there. A server takes a chain's mark off: DPDK's client sets it and never takes it off. */
static void retire(struct memif_queue *mq, const struct memif_ring *ring,
		   const struct piece *pieces, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++, mq->rx_next++) {
		if (ring->buffers) {
			const struct mif_desc d = own_desc(mq->link, ring, mq->rx_next);

			store_desc(slot_at(ring, mq->rx_next), &d);
		} else if (!pieces[i].is_last) {
			__atomic_store_n(&slot_at(ring, mq->rx_next)->flags, 0, __ATOMIC_RELAXED);
		}
	}
}

/* Pairs with the peer's acquire: it may write into the slots again. */
static void publish_rx(const struct memif_queue *mq, const struct memif_ring *ring)
{
	const uint32_t ahead = ring->buffers ? ring->n_slots : 0;

	__atomic_store_n(ring->own, (uint16_t)(mq->rx_next + ahead), __ATOMIC_RELEASE);
}

/* Bytes of a packet that may be taken; 0: it is refused. */
static uint32_t measure(const struct piece *pieces, uint32_t n, uint32_t max_bytes)
{
	uint64_t n_bytes = 0;

	for (uint32_t i = 0; i < n; i++) {
		if (!pieces[i].data)
			return 0;
		n_bytes += pieces[i].n_bytes;
	}
	return n_bytes >= MIN_FRAME_BYTES && n_bytes <= max_bytes ? (uint32_t)n_bytes : 0;
}

/* `n_bytes` long, of empty segments; NULL: frames are short. */
static struct packet *new_packet(struct pool *pool, uint32_t n_bytes)
{
	const uint32_t frame_bytes = pool->umem->frame_bytes;
	const uint32_t n = (n_bytes + frame_bytes - 1) / frame_bytes;
	struct packet *segs[WR_MAX_SEGS];
	uint32_t n_had = wr_pool_get(pool, segs, n);

	if (wr_unlikely(!n_had || n_had < n)) {
		while (n_had)
			wr_pool_put_frame(pool, segs[--n_had]);
		return NULL;
	}
	for (uint32_t i = 0; i + 1 < n; i++)
		segs[i]->next = segs[i + 1];
	segs[0]->data += wr_headroom_for(pool->umem, n_bytes);
	segs[0]->len = n_bytes;
	segs[0]->n_segs = (uint8_t)n;
	return segs[0];
}

static void copy_in(struct packet *pkt, uint32_t frame_bytes, const struct piece *pieces,
		    uint32_t n)
{
	struct packet *seg = pkt;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t done = 0;

		while (done < pieces[i].n_bytes) {
			uint32_t part = pieces[i].n_bytes - done;

			if (seg->seg_len == frame_bytes)
				seg = seg->next;
			if (part > frame_bytes - seg->seg_len)
				part = frame_bytes - seg->seg_len;
			memcpy(seg->data + seg->seg_len, pieces[i].data + done, part);
			seg->seg_len = (uint16_t)(seg->seg_len + part);
			done += part;
		}
	}
}

/* How many of the pieces the first packet takes; 0: its end is not among them. */
static uint32_t chain_length(const struct piece *pieces, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (pieces[i].is_last)
			return i + 1;
	return 0;
}

enum verdict { TAKEN, REFUSED, NO_FRAMES };

static enum verdict take_packet(struct memif_queue *mq, const struct piece *pieces, uint32_t n,
				struct packet **ret_pkt)
{
	struct pool *pool = mq->q.pool;
	uint32_t n_bytes;

	if (wr_unlikely(mq->is_skipping)) { /* the end of a chain that was refused */
		mq->is_skipping = false;
		return REFUSED;
	}
	n_bytes = measure(pieces, n, wr_memif_port(mq)->max_rx_bytes);
	if (wr_unlikely(!n_bytes)) {
		wr_count(&mq->q.counters.rx_bad, 1);
		return REFUSED;
	}
	*ret_pkt = new_packet(pool, n_bytes);
	if (wr_unlikely(!*ret_pkt)) {
		wr_count(&mq->q.counters.rx_no_frames, 1);
		return NO_FRAMES;
	}
	copy_in(*ret_pkt, pool->umem->frame_bytes, pieces, n);
	(*ret_pkt)->rx_port = mq->q.port->port_idx;
	return TAKEN;
}

/* No end of a packet within all there is, or within as many descriptors as one may have. */
static void refuse_endless(struct memif_queue *mq, const struct memif_ring *ring,
			   const struct piece *pieces, uint32_t n, bool goes_on)
{
	if (!mq->is_skipping)
		wr_count(&mq->q.counters.rx_bad, 1);
	mq->is_skipping = goes_on;
	retire(mq, ring, pieces, n);
}

/* Takes packets out of the next `n_there` slots, as many as are looked at together. Returns how
 * many; `ret_more` false: there is no going on now. */
static unsigned rx_some(struct memif_queue *mq, const struct memif_ring *ring, uint32_t n_there,
			struct packet **ret_pkts, unsigned max, bool *ret_more)
{
	const uint32_t n_pieces = n_there < N_PIECES ? n_there : N_PIECES;
	struct piece pieces[N_PIECES];
	unsigned n_pkts = 0;
	uint32_t at = 0;

	for (uint32_t i = 0; i < n_pieces; i++)
		read_piece(mq->link, ring, (uint16_t)(mq->rx_next + i), &pieces[i]);
	*ret_more = true;
	while (at < n_pieces && n_pkts < max) {
		const uint32_t n = chain_length(&pieces[at], n_pieces - at);
		enum verdict verdict;

		if (wr_unlikely(!n)) {
			const bool goes_on = n_there > n_pieces;

			if (!at || !goes_on)
				refuse_endless(mq, ring, &pieces[at], n_pieces - at, goes_on);
			break; /* else it comes first the next time */
		}
		verdict = take_packet(mq, &pieces[at], n, &ret_pkts[n_pkts]);
		if (verdict == NO_FRAMES) {
			*ret_more = false;
			break;
		}
		n_pkts += verdict == TAKEN;
		retire(mq, ring, &pieces[at], n);
		at += n;
	}
	return n_pkts;
}

unsigned wr_memif_ring_rx(struct memif_queue *mq, struct packet **ret_pkts, unsigned max)
{
	const struct memif_ring *ring = rx_ring(mq);
	const uint16_t first = mq->rx_next;
	uint64_t n_bytes = 0;
	uint32_t n_there;
	bool goes_on = true;
	unsigned n = 0;

	if (!ring)
		return 0;
	n_there = n_come(mq, ring, __ATOMIC_ACQUIRE);
	while (goes_on && n < max && (uint16_t)(mq->rx_next - first) < n_there)
		n += rx_some(mq, ring, n_there - (uint16_t)(mq->rx_next - first), ret_pkts + n,
			     max - n, &goes_on);
	if (mq->rx_next == first)
		return 0;
	publish_rx(mq, ring);
	if (!mq->is_masked) {
		mq->is_masked = true;
		__atomic_store_n(&ring->shm->flags, MIF_RING_MASK_INT, __ATOMIC_RELAXED);
	}
	for (unsigned i = 0; i < n; i++)
		n_bytes += ret_pkts[i]->len;
	wr_count(&mq->q.counters.rx_pkts, n);
	wr_count(&mq->q.counters.rx_bytes, n_bytes);
	return n;
}

void wr_memif_ring_discard(struct memif_queue *mq)
{
	const struct memif_ring *ring = rx_ring(mq);
	uint32_t n_there = ring ? n_come(mq, ring, __ATOMIC_ACQUIRE) : 0;

	if (!n_there)
		return;
	while (n_there--) {
		struct piece piece;

		read_piece(mq->link, ring, mq->rx_next, &piece);
		wr_count(&mq->q.counters.rx_stale, piece.is_last && !mq->is_skipping);
		mq->is_skipping &= !piece.is_last;
		retire(mq, ring, &piece, 1);
	}
	publish_rx(mq, ring);
}

/*
 * Unmasks, then looks once more; the peer publishes its index, then looks at the mask. All four
 * with sequential consistency, so at least one sees the other.
 */
bool wr_memif_ring_arm(struct memif_queue *mq)
{
	const struct memif_ring *ring = rx_ring(mq);

	if (!ring)
		return false;
	mq->is_masked = false;
	__atomic_store_n(&ring->shm->flags, 0, __ATOMIC_SEQ_CST);
	return n_come(mq, ring, __ATOMIC_SEQ_CST) || mq->is_broken;
}

/* --- send ------------------------------------------------------------------------------------- */

static const struct memif_ring *tx_ring(struct memif_queue *mq)
{
	const struct memif_link *link = wr_memif_hold(mq);

	return link && mq->q.queue_idx < link->n_tx && !mq->is_broken ? &link->tx[mq->q.queue_idx]
								      : NULL;
}

/* Slots that may be written to. The acquire pairs with the peer's release: it has read what was
 * there. */
static uint32_t n_free(struct memif_queue *mq, const struct memif_ring *ring)
{
	const uint16_t peer = __atomic_load_n(ring->peer, __ATOMIC_ACQUIRE);
	const uint16_t ahead = (uint16_t)(peer - mq->tx_next),
		       behind = (uint16_t)(mq->tx_next - peer);
	const uint16_t n = ring->buffers ? behind : ahead;

	if (wr_likely(n <= ring->n_slots))
		return ring->buffers ? ring->n_slots - n : n;
	give_up(mq, "a transmit ring's index is beyond the ring");
	return 0;
}

/* The buffer that is being filled. */
struct cursor {
	struct mif_desc desc;
	uint8_t *to;
	uint32_t n_room;
	uint16_t slot;
	uint32_t n_used; /* slots, this one included */
};

static bool open_slot(const struct memif_link *link, const struct memif_ring *ring,
		      struct cursor *c)
{
	c->desc = ring->buffers ? own_desc(link, ring, c->slot) : load_desc(slot_at(ring, c->slot));
	c->to = buffer_of(link, ring, c->slot, &c->desc);
	c->n_room = c->desc.n_bytes;
	c->n_used++;
	return c->to && c->n_room;
}

static void close_slot(const struct memif_ring *ring, struct cursor *c, bool is_last)
{
	c->desc.flags = is_last ? 0 : MIF_DESC_NEXT;
	c->desc.n_bytes -= c->n_room;
	store_desc(slot_at(ring, c->slot++), &c->desc);
}

enum { NO_ROOM = 0, BAD_SLOT = -1 };

/* Returns the slots that the packet takes, or why it takes none. */
static int copy_out(const struct memif_link *link, const struct memif_ring *ring,
		    const struct packet *pkt, uint32_t n_slots, struct cursor *c)
{
	if (!n_slots)
		return NO_ROOM;
	if (!open_slot(link, ring, c))
		return BAD_SLOT;
	for (const struct packet *seg = pkt; seg; seg = seg->next) {
		for (uint32_t done = 0, part; done < seg->seg_len; done += part) {
			if (!c->n_room) {
				if (c->n_used == n_slots)
					return NO_ROOM;
				close_slot(ring, c, false);
				if (!open_slot(link, ring, c))
					return BAD_SLOT;
			}
			part = seg->seg_len - done;
			if (part > c->n_room)
				part = c->n_room;
			memcpy(c->to + (c->desc.n_bytes - c->n_room), seg->data + done, part);
			c->n_room -= part;
		}
	}
	close_slot(ring, c, true);
	return (int)c->n_used;
}

/* A server gives buffers that it cannot use back empty: else they would stand in the way for
 * ever. */
static void return_empty(struct memif_queue *mq, const struct memif_ring *ring, uint32_t n)
{
	for (; n; n--, mq->tx_next++) {
		struct mif_desc d = load_desc(slot_at(ring, mq->tx_next));

		d.flags = 0;
		d.n_bytes = 0;
		store_desc(slot_at(ring, mq->tx_next), &d);
	}
}

struct tally {
	uint64_t n_bytes, n_full, n_refused;
};

static void tx_one(struct memif_queue *mq, const struct memif_ring *ring, const struct packet *pkt,
		   uint32_t *n_slots, struct tally *tally)
{
	struct cursor c = {.slot = mq->tx_next};
	int n = copy_out(mq->link, ring, pkt, *n_slots, &c);

	if (wr_unlikely(n == NO_ROOM)) { /* perhaps there is more by now */
		const uint32_t n_before = *n_slots;

		*n_slots = n_free(mq, ring);
		c = (struct cursor){.slot = mq->tx_next};
		if (*n_slots > n_before)
			n = copy_out(mq->link, ring, pkt, *n_slots, &c);
	}
	if (wr_unlikely(n == NO_ROOM)) {
		tally->n_full++;
		return;
	}
	tally->n_bytes += pkt->len;
	*n_slots -= c.n_used;
	if (wr_unlikely(n == BAD_SLOT)) {
		tally->n_refused++;
		return_empty(mq, ring, c.n_used);
		return;
	}
	mq->tx_next = (uint16_t)(mq->tx_next + n);
	mq->n_unflushed++;
}

void wr_memif_ring_tx(struct memif_queue *mq, struct packet **pkts, unsigned n)
{
	const struct memif_ring *ring = tx_ring(mq);
	struct tally tally = {0};
	uint32_t n_slots = ring ? n_free(mq, ring) : 0;

	for (unsigned i = 0; i < n; i++) {
		if (i + 1 < n)
			__builtin_prefetch(pkts[i + 1]->data);
		if (wr_likely(ring && !mq->is_broken && pkts[i]->len >= MIN_FRAME_BYTES)) {
			tx_one(mq, ring, pkts[i], &n_slots, &tally);
		} else {
			tally.n_refused++;
			tally.n_bytes += pkts[i]->len;
		}
		wr_packet_free(mq->q.pool, pkts[i]);
	}
	wr_count(&mq->q.counters.tx_pkts, n - tally.n_full);
	wr_count(&mq->q.counters.tx_bytes, tally.n_bytes);
	if (wr_unlikely(tally.n_full))
		wr_count(&mq->q.counters.tx_full, tally.n_full);
	if (wr_unlikely(tally.n_refused))
		wr_count(&mq->q.counters.tx_errors, tally.n_refused);
}

void wr_memif_ring_flush(struct memif_queue *mq)
{
	const struct memif_ring *ring = tx_ring(mq);

	if (!ring || mq->tx_next == mq->tx_public)
		return;
	/* This store and the load of the mask pair with those of a receiver that unmasks: see
	 * wr_memif_ring_arm(). */
	__atomic_store_n(ring->own, mq->tx_next, __ATOMIC_SEQ_CST);
	mq->tx_public = mq->tx_next;
	mq->n_unflushed = 0;
	if (__atomic_load_n(&ring->shm->flags, __ATOMIC_SEQ_CST) & MIF_RING_MASK_INT)
		return;
	wr_count(&mq->q.counters.tx_kicks, 1);
	(void)wr_memif_bell_ring(&mq->bell, ring->event_fd);
}
