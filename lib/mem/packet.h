/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Packets, frames and who owns them.
 *
 * The process has one UMEM: frames of equal size at a power-of-two stride. Beside it lies an array
 * with one `struct packet` a frame, so that frame, descriptor address and metadata are found from
 * each other by arithmetic. A packet larger than a frame is a chain of frames; the first frame's
 * metadata describes the whole packet, each frame's own describes its segment.
 *
 * Ownership. A frame is always in exactly one place: the shared depot, a worker's pool, a ring that
 * the kernel reads (fill, TX) or writes (RX, completion), or in a packet that some function holds.
 * Passing a packet on ends the right to touch it. wr_umem_audit() counts the first, a pool's `n`
 * the second; what ports hold they count themselves; the sum is n_frames at the end of every test.
 *
 * Threads. A pool belongs to one worker and takes no lock. When it runs dry or over, it exchanges a
 * batch with the depot under a lock, so that frames which one worker receives and another sends
 * come back.
 *
 * Exhaustion is a state, not a stall: wr_pool_get() returns fewer, the port counts it, its fill
 * ring runs low, and the kernel drops (counted there) until frames return.
 */
#ifndef WR_MEM_PACKET_H
#define WR_MEM_PACKET_H

#include "lib/base/err.h"
#include "lib/base/types.h"

enum {
	WR_MAX_PORTS = 64,
	WR_MAX_WORKERS = 16,
	WR_MAX_QUEUES = 64, /* of one port */
	WR_MAX_SEGS = 18,   /* of one packet: 64 KiB in 4 KiB frames, and the kernel's own limit */
	WR_BURST = 256,     /* packets in a vector at most */
	/* Bytes left free in front of data that is copied into a frame, where it fits: a driver may
	 * want to write there (PORT_TX_HEADROOM). A cache line, so that short packets still lie in
	 * one. */
	WR_HEADROOM = WR_CACHE_LINE,
};

enum packet_flags {
	/* The TCP/UDP checksum field holds the folded pseudo-header sum; see lib/wire/csum.h. */
	PKT_CSUM_PARTIAL = 1 << 0,
};

/*
 * The first cache line is all that the fast path touches. `edge` is the decision record: the global
 * number of the edge (node and reason) that the packet left its last node by; `object_id` says
 * which next hop or group decided. Counters, drops, traces and `explain` read these two.
 */
struct packet {
	uint8_t *data;       /* first byte of this segment (of the first: the Ethernet header) */
	struct packet *next; /* next segment, NULL in the last */
	uint32_t len;        /* bytes of the whole packet; valid in the first segment */
	uint16_t seg_len;    /* bytes of this segment */
	uint8_t n_segs;      /* valid in the first segment */
	uint8_t flags;       /* enum packet_flags */
	uint8_t rx_port;     /* port_idx it came in by */
	uint8_t tx_port;     /* port_idx it shall leave by; set by the rewrite node */
	uint16_t edge;
	uint32_t object_id;
	uint32_t flow_hash; /* symmetric; valid once a node has set it */
	uint32_t mtu;       /* of the way out, bytes of IP */
	/* Bytes of payload that a TCP packet, which may be several in one, is to be cut to when the
	 * kernel gets it; 0: it is one packet. Valid with PKT_CSUM_PARTIAL. */
	uint16_t gso_bytes;
	uint16_t spare;
	/* What the lookup found, for the next node; RCU-borrowed within the walk. */
	const void *decision;
	uint64_t spare2;
} wr_cache_aligned;

static_assert(sizeof(struct packet) == WR_CACHE_LINE, "one cache line a packet");

struct ring_port;

struct umem {
	uint8_t *base; /* page aligned; huge pages where there are any */
	struct packet *packets;
	uint32_t n_frames;
	uint32_t frame_bytes; /* power of two, 2048 or 4096 */
	uint8_t frame_shift;
	bool is_huge;
	int numa_node; /* where the first page lies; -1: the kernel does not say */
	int memfd;     /* the memory, so that another process can map it */
	struct umem_depot *depot;
	struct ring_port *rings; /* wires with one end free, by name: lib/port/ring.c */
};

struct umem_conf {
	uint32_t n_frames;    /* at least 1; rounded up to fill whole pages */
	uint32_t frame_bytes; /* 2048 or 4096 */
	/* NUMA nodes, a bit each: the memory comes from the lowest of them if it has any. 0: from
	 * anywhere. */
	uint64_t numa_nodes;
};

int wr_umem_create(const struct umem_conf *, struct umem **ret_umem, struct wr_err *);
/* All frames must be back or their ports closed. */
void wr_umem_free(struct umem *);
/* Frames in the depot: all of them, once pools are given back and ports closed. */
uint32_t wr_umem_audit(struct umem *);

/* The depot itself, any thread. take() returns up to `n` frames; give() takes single frames, not
 * chains. Besides the pools' slow halves this is how a port that is closed, by a thread that owns
 * no pool, gives back what was in its rings. */
unsigned wr_umem_take(struct umem *, struct packet **ret_frames, unsigned n);
void wr_umem_give(struct umem *, struct packet *const *frames, unsigned n);

enum { WR_POOL_BATCH = 256, WR_POOL_MAX = 4 * WR_POOL_BATCH };

/* A worker's stack of free frames. */
struct pool {
	struct umem *umem;
	uint32_t n;
	uint64_t n_empty; /* frames asked for and not had */
	struct packet *free[WR_POOL_MAX];
};

void wr_pool_init(struct pool *, struct umem *);
/* Gives everything back to the depot. */
void wr_pool_fini(struct pool *);
/* Slow halves of get and put: exchange a batch with the depot. */
void wr_pool_refill(struct pool *);
void wr_pool_spill(struct pool *);

/* Up to `n` free frames, each a packet of one empty segment whose data is at the frame's start.
 * Returns how many. */
unsigned wr_pool_get(struct pool *, struct packet **ret_pkts, unsigned n);

/* Frees one frame, not its chain. */
static inline void wr_pool_put_frame(struct pool *pool, struct packet *seg)
{
	if (wr_unlikely(pool->n == WR_POOL_MAX))
		wr_pool_spill(pool);
	pool->free[pool->n++] = seg;
}

/* Frees a whole packet. */
static inline void wr_packet_free(struct pool *pool, struct packet *pkt)
{
	while (pkt) {
		struct packet *next = pkt->next;

		wr_pool_put_frame(pool, pkt);
		pkt = next;
	}
}

static inline uint32_t wr_frame_idx(const struct umem *umem, const struct packet *pkt)
{
	return (uint32_t)(pkt - umem->packets);
}

static inline uint8_t *wr_frame_base(const struct umem *umem, const struct packet *pkt)
{
	return umem->base + ((size_t)wr_frame_idx(umem, pkt) << umem->frame_shift);
}

/* The packet whose frame holds the UMEM offset `addr` (a ring descriptor's). */
static inline struct packet *wr_packet_at(const struct umem *umem, uint64_t addr)
{
	return &umem->packets[addr >> umem->frame_shift];
}

static inline uint64_t wr_packet_addr(const struct umem *umem, const struct packet *pkt)
{
	return (uint64_t)(pkt->data - umem->base);
}

/* Makes `pkt` a packet of one segment. */
static inline void wr_packet_init(struct packet *pkt, uint8_t *data, uint16_t seg_len)
{
	pkt->data = data;
	pkt->next = NULL;
	pkt->len = seg_len;
	pkt->seg_len = seg_len;
	pkt->n_segs = 1;
	pkt->flags = 0;
	pkt->gso_bytes = 0;
}

/* Where in its frame the data of a packet of `n` bytes is to begin that fits into one frame; 0 for
 * longer ones, which would take more frames than they need. */
static inline uint32_t wr_headroom_for(const struct umem *umem, size_t n)
{
	return n <= umem->frame_bytes - WR_HEADROOM ? WR_HEADROOM : 0;
}

/* Copies up to `n` bytes from the packet's start into `buf`; returns how many. */
size_t wr_packet_copy_out(const struct packet *, void *buf, size_t n);
/* A packet with a copy of `n` bytes, chained where they exceed a frame, with WR_HEADROOM where they
 * do not by much; NULL if frames are short. */
struct packet *wr_packet_from(struct pool *, const void *buf, size_t n);
/* Whether that many bytes of its frame are free in front of each segment. */
static inline bool wr_packet_has_headroom(const struct umem *umem, const struct packet *pkt,
					  uint32_t headroom)
{
	for (const struct packet *seg = pkt; seg; seg = seg->next)
		if ((wr_packet_addr(umem, seg) & (umem->frame_bytes - 1)) < headroom)
			return false;
	return true;
}

/*
 * The packet with at least `headroom` bytes of its frame free in front of each segment: itself,
 * unchanged or moved, or a copy, and it is freed. NULL if frames are short or it would take more
 * than WR_MAX_SEGS; then it is as it was.
 */
struct packet *wr_packet_with_headroom(struct pool *, struct packet *, uint32_t headroom);
/* Cuts the packet to `len` bytes (not longer than it is); frees segments that become empty. */
void wr_packet_trim(struct pool *, struct packet *, uint32_t len);

#endif
