/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The shared memory of one connection.
 *
 * The client makes it: one region, a sealed memfd, with all rings and then one buffer for each slot
 * of each ring. The server maps what it is given, once it is sure that touching it is safe:
 *
 *     F_SEAL_SHRINK   else the client could cut the file, and the server would die of SIGBUS
 *     no huge pages   one that the machine has not got is a SIGBUS as well
 *     its size        as large as the client says, or reading beyond the end is a SIGBUS
 *
 * F_GET_SEALS is asked first, for it fails on whatever is no memfd: fstat() or mmap() of a file in
 * a file system of the client's own might wait for the client. Around each region lies a page that
 * cannot be touched: were a check here wrong, a packet would find a hole and not the next mapping.
 */
#include "lib/port/memif_private.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { RING_ALIGN = 64, DESC_ALIGN = 16 };

static uint64_t round_up(uint64_t n, uint64_t unit)
{
	return (n + unit - 1) / unit * unit;
}

static uint64_t page_bytes(void)
{
	return (uint64_t)sysconf(_SC_PAGESIZE);
}

/* --- regions ---------------------------------------------------------------------------------- */

/* 0 or -errno. */
static int map_region(struct memif_region *region, uint64_t n_bytes, int fd)
{
	const uint64_t page = page_bytes(), inner = round_up(n_bytes, page);
	uint8_t *outer = mmap(NULL, inner + 2 * page, PROT_NONE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	int rc;

	if (outer == MAP_FAILED)
		return -errno;
	if (mmap(outer + page, inner, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) ==
	    MAP_FAILED) {
		rc = -errno;
		munmap(outer, inner + 2 * page);
		return rc;
	}
	region->base = outer + page;
	region->n_bytes = n_bytes;
	region->fd = -1;
	return 0;
}

static void unmap_region(struct memif_region *region)
{
	const uint64_t page = page_bytes();

	if (region->base)
		munmap(region->base - page, round_up(region->n_bytes, page) + 2 * page);
	if (region->fd >= 0)
		close(region->fd);
}

/* Whether the file that a client passed can be mapped and touched without harm. */
static int check_memory(int fd, uint64_t n_bytes, struct wr_err *err)
{
	const int seals = fcntl(fd, F_GET_SEALS);
	struct statfs fs;
	struct stat st;

	if (seals < 0)
		return wr_err(err, -EINVAL, "a region must be a memfd");
	if (!(seals & F_SEAL_SHRINK))
		return wr_err(err, -EPERM,
			      "a region must be sealed against shrinking: F_SEAL_SHRINK");
	if (fstatfs(fd, &fs) || fs.f_type == HUGETLBFS_MAGIC)
		return wr_err(err, -EINVAL, "a region in huge pages is not taken: use plain pages");
	if (fstat(fd, &st) || (uint64_t)st.st_size < n_bytes)
		return wr_err(err, -EINVAL, "a region is smaller than it is said to be");
	return 0;
}

int wr_memif_link_add_region(struct memif_link *link, const struct mif_add_region *add, int fd,
			     struct wr_err *err)
{
	const uint64_t n_bytes = add->n_bytes;
	int rc;

	if (fd < 0)
		return wr_err(err, -EINVAL, "a region came without its descriptor");
	if (link->n_regions == MEMIF_MAX_REGIONS)
		return wr_err(err, -ENOSPC, "more than %d regions", MEMIF_MAX_REGIONS);
	if (add->region_idx != link->n_regions)
		return wr_err(err, -EINVAL, "region %u where %u comes next", add->region_idx,
			      link->n_regions);
	if (!n_bytes || n_bytes > MEMIF_MAX_LINK_BYTES - link->n_bytes)
		return wr_err(err, -ENOSPC, "regions must have 1 byte to %d MiB in all",
			      MEMIF_MAX_LINK_BYTES >> 20);
	rc = check_memory(fd, n_bytes, err);
	if (rc < 0)
		return rc;
	rc = map_region(&link->regions[link->n_regions], n_bytes, fd);
	if (rc < 0)
		return wr_err(err, rc, "a region cannot be mapped: %s", strerror(-rc));
	link->n_regions++;
	link->n_bytes += n_bytes;
	return 0;
}

/* --- rings ------------------------------------------------------------------------------------ */

/* Which index is whose does not depend on the direction: head is the client's, tail the
 * server's. */
static void set_ring(struct memif_ring *ring, struct mif_ring *shm, uint32_t n_slots, int event_fd,
		     bool is_client)
{
	ring->shm = shm;
	ring->own = is_client ? &shm->head : &shm->tail;
	ring->peer = is_client ? &shm->tail : &shm->head;
	ring->n_slots = n_slots;
	ring->event_fd = event_fd;
}

static uint64_t ring_bytes(unsigned log2_descs)
{
	return sizeof(struct mif_ring) + (sizeof(struct mif_desc) << log2_descs);
}

static int check_ring(const struct memif_link *link, const struct mif_add_ring *add,
		      unsigned n_queues, int event_fd, struct wr_err *err)
{
	uint64_t n_bytes;

	if (event_fd < 0)
		return wr_err(err, -EINVAL, "a ring came without its interrupt's descriptor");
	if (add->ring_idx >= n_queues)
		return wr_err(err, -EINVAL, "ring %u: this side has %u queues", add->ring_idx,
			      n_queues);
	if (add->log2_descs > MEMIF_MAX_LOG2_DESCS)
		return wr_err(err, -EINVAL, "a ring of 2^%u slots: 2^%d at most", add->log2_descs,
			      MEMIF_MAX_LOG2_DESCS);
	if (add->region_idx >= link->n_regions)
		return wr_err(err, -EINVAL, "a ring in region %u, which is not there",
			      add->region_idx);
	n_bytes = link->regions[add->region_idx].n_bytes;
	if (add->offset % DESC_ALIGN || add->offset > n_bytes ||
	    ring_bytes(add->log2_descs) > n_bytes - add->offset)
		return wr_err(err, -EINVAL, "a ring at %u of a region of %llu bytes", add->offset,
			      (unsigned long long)n_bytes);
	return 0;
}

int wr_memif_link_add_ring(struct memif_link *link, const struct mif_add_ring *add,
			   unsigned n_queues, int event_fd, struct wr_err *err)
{
	const bool is_c2s = add->flags & MIF_ADD_RING_C2S;
	const int rc = check_ring(link, add, n_queues, event_fd, err);
	struct memif_ring *ring;
	void *shm;

	if (rc < 0)
		return rc;
	ring = is_c2s ? &link->rx[add->ring_idx] : &link->tx[add->ring_idx];
	if (ring->shm)
		return wr_err(err, -EEXIST, "ring %u was added before", add->ring_idx);
	shm = link->regions[add->region_idx].base + add->offset;
	set_ring(ring, shm, 1U << add->log2_descs, event_fd, false);
	if (is_c2s)
		link->n_rx++;
	else
		link->n_tx++;
	return 0;
}

static int check_rings(const struct memif_ring *rings, unsigned n, struct wr_err *err)
{
	for (unsigned i = 0; i < n; i++) {
		if (!rings[i].shm)
			return wr_err(err, -EINVAL, "ring %u is missing", i);
		if (__atomic_load_n(&rings[i].shm->cookie, __ATOMIC_RELAXED) != MIF_COOKIE)
			return wr_err(err, -EINVAL, "ring %u has no cookie", i);
	}
	return 0;
}

int wr_memif_link_check(struct memif_link *link, struct wr_err *err)
{
	int rc = check_rings(link->rx, link->n_rx, err);

	if (!rc)
		rc = check_rings(link->tx, link->n_tx, err);
	if (rc)
		return rc;
	for (unsigned i = 0; i < link->n_rx; i++)
		__atomic_store_n(&link->rx[i].shm->tail, 0, __ATOMIC_RELEASE);
	for (unsigned i = 0; i < link->n_tx; i++)
		__atomic_store_n(&link->tx[i].shm->tail, 0, __ATOMIC_RELEASE);
	return 0;
}

/* --- a client's own --------------------------------------------------------------------------- */

static uint64_t rings_bytes(const struct memif_shape *shape)
{
	const uint64_t n_rings = shape->n_c2s + shape->n_s2c;

	return round_up(n_rings * round_up(ring_bytes(shape->log2_descs), RING_ALIGN),
			page_bytes());
}

uint64_t wr_memif_shape_bytes(const struct memif_shape *shape)
{
	const uint64_t n_rings = shape->n_c2s + shape->n_s2c;

	return rings_bytes(shape) + ((n_rings * shape->buffer_bytes) << shape->log2_descs);
}

/* A region of our own: neither side can change its size, and all of it is there. 0 or -errno. */
static int make_region(struct memif_region *region, uint64_t n_bytes)
{
	int fd = memfd_create("weir-memif", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int rc = 0;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)n_bytes) ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) ||
	    fallocate(fd, 0, 0, (off_t)n_bytes))
		rc = -errno;
	else
		rc = map_region(region, n_bytes, fd);
	if (rc < 0)
		close(fd);
	else
		region->fd = fd;
	return rc;
}

/* Lays out ring number `n` of the region. 0 or -errno. */
static int make_ring(struct memif_link *link, const struct memif_shape *shape, unsigned n,
		     struct memif_ring *ring)
{
	const uint64_t at = n * round_up(ring_bytes(shape->log2_descs), RING_ALIGN);
	const uint64_t all_buffers = (uint64_t)shape->buffer_bytes << shape->log2_descs;
	uint8_t *base = link->regions[0].base;
	const int event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	struct mif_ring *shm = (void *)(base + at);

	if (event_fd < 0)
		return -errno;
	set_ring(ring, shm, 1U << shape->log2_descs, event_fd, true);
	ring->shm_offset = (uint32_t)at;
	ring->buffers_offset = (uint32_t)(rings_bytes(shape) + n * all_buffers);
	ring->buffers = base + ring->buffers_offset;
	shm->cookie = MIF_COOKIE;
	for (uint32_t i = 0; i < ring->n_slots; i++)
		shm->descs[i] = (struct mif_desc){
			.n_bytes = shape->buffer_bytes,
			.offset = ring->buffers_offset + i * shape->buffer_bytes,
		};
	return 0;
}

static int make_rings(struct memif_link *link, const struct memif_shape *shape)
{
	int rc = 0;

	while (!rc && link->n_tx < shape->n_c2s) {
		rc = make_ring(link, shape, link->n_tx, &link->tx[link->n_tx]);
		link->n_tx += !rc;
	}
	while (!rc && link->n_rx < shape->n_s2c) {
		rc = make_ring(link, shape, shape->n_c2s + link->n_rx, &link->rx[link->n_rx]);
		link->n_rx += !rc;
	}
	return rc;
}

int wr_memif_link_make(const struct memif_shape *shape, struct memif_link **ret_link,
		       struct wr_err *err)
{
	struct memif_link *link = wr_memif_link_new();
	const uint64_t n_bytes = wr_memif_shape_bytes(shape);
	int rc;

	if (!link)
		return wr_err(err, -ENOMEM, "out of memory");
	link->is_client = true;
	link->buffer_bytes = shape->buffer_bytes;
	rc = make_region(&link->regions[0], n_bytes);
	if (!rc) {
		link->n_regions = 1;
		link->n_bytes = n_bytes;
		rc = make_rings(link, shape);
	}
	if (rc < 0) {
		wr_memif_link_free(link);
		return wr_err(err, rc, "no shared memory: %s", strerror(-rc));
	}
	*ret_link = link;
	return 0;
}

void wr_memif_link_post(struct memif_link *link)
{
	for (unsigned i = 0; i < link->n_tx; i++)
		__atomic_store_n(&link->tx[i].shm->head, 0, __ATOMIC_RELEASE);
	for (unsigned i = 0; i < link->n_rx; i++)
		__atomic_store_n(&link->rx[i].shm->head, (uint16_t)link->rx[i].n_slots,
				 __ATOMIC_RELEASE);
}

/* --- life ------------------------------------------------------------------------------------- */

struct memif_link *wr_memif_link_new(void)
{
	struct memif_link *link = calloc(1, sizeof(*link));

	for (unsigned i = 0; link && i < MEMIF_MAX_REGIONS; i++)
		link->regions[i].fd = -1;
	return link;
}

static void close_rings(struct memif_ring *rings)
{
	for (unsigned i = 0; i < WR_MAX_QUEUES; i++)
		if (rings[i].shm)
			close(rings[i].event_fd);
}

void wr_memif_link_free(struct memif_link *link)
{
	if (!link)
		return;
	close_rings(link->rx);
	close_rings(link->tx);
	for (unsigned i = 0; i < link->n_regions; i++)
		unmap_region(&link->regions[i]);
	free(link);
}
