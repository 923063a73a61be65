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

/* Lays `n` bytes into a frame that is still empty. */
static void fill_segment(struct packet *seg, const uint8_t *from, size_t n)
{
	memcpy(seg->data, from, n);
	seg->seg_len = (uint16_t)n;
}

struct packet *wr_packet_from(struct pool *pool, const void *buf, size_t n)
{
	struct packet *segs[WR_MAX_SEGS];
	const size_t frame_bytes = pool->umem->frame_bytes;
	const size_t n_segs = n / frame_bytes + (!n || n % frame_bytes);
	unsigned n_had;

	if (n_segs > WR_MAX_SEGS)
		return NULL;
	n_had = wr_pool_get(pool, segs, (unsigned)n_segs);
	if (!n_had || n_had < n_segs) {
		while (n_had)
			wr_pool_put_frame(pool, segs[--n_had]);
		return NULL;
	}
	for (size_t i = 0, at = 0; i < n_segs; i++, at += frame_bytes) {
		fill_segment(segs[i], (const uint8_t *)buf + at,
			     n - at < frame_bytes ? n - at : frame_bytes);
		segs[i]->next = i + 1 < n_segs ? segs[i + 1] : NULL;
	}
	segs[0]->len = (uint32_t)n;
	segs[0]->n_segs = (uint8_t)n_segs;
	return segs[0];
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
