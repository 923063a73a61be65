/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One socket of the AF_XDP driver: made, given its memory and rings, bound to its queue.
 *
 * Registration. All ports use the same memory, but each registers it for itself and shares the
 * registration among its queues only. Zero-copy, multi-buffer and need-wakeup are properties of the
 * registration, and one that is shared stays tied to the first socket that was bound: shared by all
 * ports, a veth would take zero-copy from the NIC beside it, and the first interface could be
 * neither closed nor deleted before the last. The descriptors mean the same frames in all of them.
 *
 * Metadata. In copy mode the memory is registered with room for struct tx_metadata in front of each
 * packet to send, by which the kernel learns that a checksum is unfinished (see af_xdp.c). In
 * zero-copy mode a driver that lacks the feature ignores the request and sends the checksum as it
 * is; which drivers have it only their netlink family would tell (netdev, xsk-features), so there
 * checksums are finished in software.
 *
 * The sockets are made here and not by libxdp, which keeps the rings of a bind that failed mapped:
 * a queue whose rings are mapped is never released.
 */
#include "lib/port/af_xdp_private.h"

#include <errno.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	TX_BUDGET = 256, /* packets a sendto() takes, where the kernel lets us say */
	BIND_RETRY_MS = 5,
	/* A queue is free 12-37 ms after its socket is closed, and on a busy machine up to a few
	 * hundred. */
	MAX_BIND_TRIES = 500 / BIND_RETRY_MS,
};

void wr_af_xdp_close_socket(struct xdp_queue *x)
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

/* The kernel's struct xdp_umem_reg; in Debian 12 the last field is padding. */
struct registration {
	uint64_t addr, len;
	uint32_t chunk_size, headroom, flags, tx_metadata_len;
};

/* Kernels before 6.11 know no such flag and say EINVAL; some of them would take the length without
 * it, so that goes as well. */
static int register_umem(struct xdp_queue *x, bool may_have_metadata)
{
	struct registration reg = {
		.addr = (uintptr_t)x->umem->base,
		.len = (uint64_t)x->umem->n_frames << x->umem->frame_shift,
		.chunk_size = x->umem->frame_bytes,
		.flags = XDP_UMEM_TX_METADATA_LEN,
		.tx_metadata_len = sizeof(struct tx_metadata),
	};

	x->has_tx_metadata =
		may_have_metadata && !setsockopt(x->fd, SOL_XDP, XDP_UMEM_REG, &reg, sizeof(reg));
	if (x->has_tx_metadata)
		return 0;
	reg.flags = 0;
	reg.tx_metadata_len = 0;
	return setsockopt(x->fd, SOL_XDP, XDP_UMEM_REG, &reg, sizeof(reg)) ? -errno : 0;
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

static int set_busy_poll(struct xdp_queue *x, const struct af_xdp_conf *conf)
{
	const struct {
		int option;
		uint32_t value;
	} wanted[] = {
		{SO_PREFER_BUSY_POLL, 1},
		{SO_BUSY_POLL, conf->busy_poll_us},
		{SO_BUSY_POLL_BUDGET, conf->busy_poll_budget},
	};

	x->is_busy_polled = conf->busy_poll_us;
	for (unsigned i = 0; x->is_busy_polled && i < wr_array_size(wanted); i++)
		if (setsockopt(x->fd, SOL_SOCKET, wanted[i].option, &wanted[i].value,
			       sizeof(wanted[i].value)))
			return -errno;
	return 0;
}

int wr_af_xdp_open_socket(struct xdp_queue *x, const struct af_xdp_conf *conf, uint16_t flags,
			  int shared_fd, enum step *ret_step)
{
	int rc = 0;

	*ret_step = STEP_SOCKET;
	x->fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (x->fd < 0)
		return -errno;
	if (shared_fd < 0) {
		*ret_step = STEP_REGISTER;
		rc = register_umem(x, (flags & XDP_COPY) && !conf->no_tx_checksum);
	}
	if (!rc) {
		*ret_step = STEP_RINGS;
		rc = make_rings(x);
	}
	if (!rc) {
		*ret_step = STEP_BUSY_POLL;
		rc = set_busy_poll(x, conf);
	}
	if (!rc) {
		*ret_step = STEP_BIND;
		rc = bind_queue(x, conf->ifindex, flags, shared_fd);
	}
	if (rc) {
		wr_af_xdp_close_socket(x);
		return rc;
	}
	read_options(x, flags);
	return 0;
}
