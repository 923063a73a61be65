/* SPDX-License-Identifier: BSD-3-Clause */
#include "lib/mem/packet.h"

#include <string.h>

void wr_pool_init(struct pool *pool, struct umem *umem)
{
	pool->umem = umem;
	pool->n = 0;
	pool->n_empty = 0;
}

void wr_pool_fini(struct pool *pool)
{
	wr_umem_give(pool->umem, pool->free, pool->n);
	pool->n = 0;
}

void wr_pool_refill(struct pool *pool)
{
	unsigned room = WR_POOL_MAX - pool->n;

	if (room > WR_POOL_BATCH)
		room = WR_POOL_BATCH;
	pool->n += wr_umem_take(pool->umem, &pool->free[pool->n], room);
}

void wr_pool_spill(struct pool *pool)
{
	unsigned n = pool->n < WR_POOL_BATCH ? pool->n : WR_POOL_BATCH;

	pool->n -= n;
	wr_umem_give(pool->umem, &pool->free[pool->n], n);
}

unsigned wr_pool_get(struct pool *pool, struct packet **ret_pkts, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		if (wr_unlikely(!pool->n))
			wr_pool_refill(pool);
		if (wr_unlikely(!pool->n)) {
			__atomic_store_n(&pool->n_empty, pool->n_empty + n - i, __ATOMIC_RELAXED);
			return i;
		}
		ret_pkts[i] = pool->free[--pool->n];
		wr_packet_init(ret_pkts[i], wr_frame_base(pool->umem, ret_pkts[i]), 0);
	}
	return n;
}

size_t wr_packet_copy_out(const struct packet *pkt, void *buf, size_t n)
{
	uint8_t *to = buf;
	size_t done = 0;

	for (const struct packet *seg = pkt; seg && done < n; seg = seg->next) {
		size_t part = seg->seg_len < n - done ? seg->seg_len : n - done;

		memcpy(to + done, seg->data, part);
		done += part;
	}
	return done;
}

/* As many empty segments, or none. */
static bool get_all(struct pool *pool, struct packet **ret_segs, unsigned n)
{
	unsigned n_had = wr_pool_get(pool, ret_segs, n);

	if (n_had == n)
		return true;
	while (n_had)
		wr_pool_put_frame(pool, ret_segs[--n_had]);
	return false;
}

/* Lays `n` bytes into a frame that is still empty. */
static void fill_segment(struct packet *seg, const uint8_t *from, size_t n)
{
	memcpy(seg->data, from, n);
	seg->seg_len = (uint16_t)n;
}

/* A packet that fits into one frame, headroom included. */
static struct packet *short_packet(struct pool *pool, const void *buf, size_t n)
{
	struct packet *pkt;

	if (!wr_pool_get(pool, &pkt, 1))
		return NULL;
	pkt->data += WR_HEADROOM;
	fill_segment(pkt, buf, n);
	pkt->len = (uint32_t)n;
	return pkt;
}

/* One that takes the whole of its frames. */
static struct packet *long_packet(struct pool *pool, const void *buf, size_t n)
{
	struct packet *segs[WR_MAX_SEGS];
	const size_t frame_bytes = pool->umem->frame_bytes;
	const size_t n_segs = (n + frame_bytes - 1) / frame_bytes;

	if (n_segs > WR_MAX_SEGS || !get_all(pool, segs, (unsigned)n_segs))
		return NULL;
	for (size_t i = 0, at = 0; i < n_segs; i++, at += frame_bytes) {
		fill_segment(segs[i], (const uint8_t *)buf + at,
			     n - at < frame_bytes ? n - at : frame_bytes);
		segs[i]->next = i + 1 < n_segs ? segs[i + 1] : NULL;
	}
	segs[0]->len = (uint32_t)n;
	segs[0]->n_segs = (uint8_t)n_segs;
	return segs[0];
}

struct packet *wr_packet_from(struct pool *pool, const void *buf, size_t n)
{
	return wr_headroom_for(pool->umem, n) ? short_packet(pool, buf, n)
					      : long_packet(pool, buf, n);
}

/* Fills the segment from where (`from`, `ret_at`) stands, up to `room` bytes. */
static const struct packet *copy_on(struct packet *to, const struct packet *from, size_t *ret_at,
				    size_t room)
{
	while (from && to->seg_len < room) {
		size_t n = from->seg_len - *ret_at;

		if (n > room - to->seg_len)
			n = room - to->seg_len;
		memcpy(to->data + to->seg_len, from->data + *ret_at, n);
		to->seg_len = (uint16_t)(to->seg_len + n);
		*ret_at += n;
		if (*ret_at == from->seg_len) {
			from = from->next;
			*ret_at = 0;
		}
	}
	return from;
}

static struct packet *copy_with_headroom(struct pool *pool, const struct packet *pkt,
					 uint32_t headroom)
{
	const uint32_t room = pool->umem->frame_bytes - headroom;
	const uint32_t n_segs = (pkt->len + room - 1) / room;
	const struct packet *from = pkt;
	struct packet *segs[WR_MAX_SEGS];
	size_t at = 0;

	if (!n_segs || n_segs > WR_MAX_SEGS || !get_all(pool, segs, n_segs))
		return NULL;
	for (uint32_t i = 0; i < n_segs; i++) {
		uint8_t *data = segs[i]->data + headroom;

		if (!i)
			*segs[0] = *pkt;
		segs[i]->data = data;
		segs[i]->seg_len = 0;
		segs[i]->next = i + 1 < n_segs ? segs[i + 1] : NULL;
		from = copy_on(segs[i], from, &at, room);
	}
	segs[0]->n_segs = (uint8_t)n_segs;
	return segs[0];
}

struct packet *wr_packet_with_headroom(struct pool *pool, struct packet *pkt, uint32_t headroom)
{
	const struct umem *umem = pool->umem;
	struct packet *copy;

	if (wr_packet_has_headroom(umem, pkt, headroom))
		return pkt;
	if (!pkt->next && pkt->seg_len <= umem->frame_bytes - headroom) {
		pkt->data = memmove(wr_frame_base(umem, pkt) + headroom, pkt->data, pkt->seg_len);
		return pkt;
	}
	copy = copy_with_headroom(pool, pkt, headroom);
	if (copy)
		wr_packet_free(pool, pkt);
	return copy;
}

void wr_packet_trim(struct pool *pool, struct packet *pkt, uint32_t len)
{
	struct packet *seg = pkt;
	uint32_t left = len;
	uint8_t n_segs = 1;

	if (len >= pkt->len)
		return;
	while (left > seg->seg_len) {
		left -= seg->seg_len;
		seg = seg->next;
		n_segs++;
	}
	seg->seg_len = (uint16_t)left;
	wr_packet_free(pool, seg->next);
	seg->next = NULL;
	pkt->len = len;
	pkt->n_segs = n_segs;
}
