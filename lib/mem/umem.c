/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The memory itself and the depot.
 *
 * The memory is a memfd, so that another process can map the same packets; in huge pages when it is
 * as large as one and the machine has them free. All of it is touched here, once: a page that is
 * missing later would be a fault on the fast path, and a huge page that a cgroup refuses would be a
 * SIGBUS. For the same reason the NUMA node is chosen before: pages stay where they were first
 * touched. That of the NIC is the right one, since its DMA and the worker that reads what it wrote
 * meet in that node's cache.
 */
#include "lib/mem/packet.h"

#include <errno.h>
#include <linux/mempolicy.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef MFD_HUGE_2MB
#define MFD_HUGE_2MB (21U << 26)
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

enum { HUGE_BYTES = 2 << 20 };

struct umem_depot {
	pthread_mutex_t lock;
	uint32_t n;
	struct packet *frames[]; /* a stack: what was used last is warm in the cache */
};

static size_t round_up(size_t bytes, size_t unit)
{
	return (bytes + unit - 1) / unit * unit;
}

/* A kernel without NUMA, or a machine without that node, has the memory from where it can. */
static void prefer_nodes(void *base, size_t bytes, uint64_t numa_nodes)
{
	enum { MAX_NODE = 64 + 1 }; /* the kernel takes one off */

	if (numa_nodes)
		(void)syscall(SYS_mbind, base, bytes, MPOL_PREFERRED, &numa_nodes, MAX_NODE, 0);
}

static int node_of(const void *page)
{
	int node = -1;

	if (syscall(SYS_get_mempolicy, &node, NULL, 0, page, MPOL_F_NODE | MPOL_F_ADDR))
		return -1;
	return node;
}

/* Maps `bytes` of a new memfd; 0 or -errno. */
static int map_memfd(struct umem *umem, size_t bytes, uint64_t numa_nodes, unsigned memfd_flags)
{
	int fd = memfd_create("weir-umem", MFD_CLOEXEC | memfd_flags);
	void *base = MAP_FAILED;
	int rc;

	if (fd < 0)
		return -errno;
	if (!ftruncate(fd, (off_t)bytes))
		base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (base == MAP_FAILED) {
		rc = -errno;
		goto err_map;
	}
	if (!memfd_flags)
		(void)madvise(base, bytes, MADV_HUGEPAGE); /* where tmpfs may; else no harm */
	prefer_nodes(base, bytes, numa_nodes);
	/* Before Linux 5.14 this is EINVAL, and the pages come when they are first touched. */
	if (madvise(base, bytes, MADV_POPULATE_WRITE) && errno != EINVAL) {
		rc = errno == EFAULT ? -ENOMEM : -errno;
		goto err_populate;
	}
	umem->base = base;
	umem->memfd = fd;
	return 0;
err_populate:
	munmap(base, bytes);
err_map:
	close(fd);
	return rc;
}

static int map_frames(struct umem *umem, const struct umem_conf *conf, size_t *ret_bytes)
{
	const size_t wanted_bytes = (size_t)conf->n_frames << umem->frame_shift;
	const size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);

	/* Touching what the machine has not got would not fail: it would have other processes
	 * killed. */
	if (wanted_bytes / page_bytes > (size_t)sysconf(_SC_PHYS_PAGES) / 2)
		return -ENOMEM;
	if (wanted_bytes >= HUGE_BYTES) {
		*ret_bytes = round_up(wanted_bytes, HUGE_BYTES);
		umem->is_huge =
			!map_memfd(umem, *ret_bytes, conf->numa_nodes, MFD_HUGETLB | MFD_HUGE_2MB);
		if (umem->is_huge)
			return 0;
	}
	*ret_bytes = round_up(wanted_bytes, page_bytes);
	return map_memfd(umem, *ret_bytes, conf->numa_nodes, 0);
}

/* The metadata of every frame, and all frames into the depot, lowest on top. */
static int fill_depot(struct umem *umem)
{
	struct umem_depot *depot;
	size_t bytes = sizeof(*umem->packets) * umem->n_frames;

	umem->packets = aligned_alloc(WR_CACHE_LINE, bytes);
	depot = malloc(sizeof(*depot) + umem->n_frames * sizeof(void *));
	umem->depot = depot;
	if (!umem->packets || !depot)
		return -ENOMEM;
	memset(umem->packets, 0, bytes);
	pthread_mutex_init(&depot->lock, NULL);
	depot->n = umem->n_frames;
	for (uint32_t i = 0; i < umem->n_frames; i++) {
		struct packet *pkt = &umem->packets[umem->n_frames - 1 - i];

		wr_packet_init(pkt, wr_frame_base(umem, pkt), 0);
		depot->frames[i] = pkt;
	}
	return 0;
}

int wr_umem_create(const struct umem_conf *conf, struct umem **ret_umem, struct wr_err *err)
{
	struct umem *umem;
	size_t bytes;
	int rc;

	if (!conf->n_frames || (conf->frame_bytes != 2048 && conf->frame_bytes != 4096))
		return wr_err(
			err, -EINVAL,
			"packet memory: %u buffers of %u bytes: at least one, of 2048 or 4096",
			conf->n_frames, conf->frame_bytes);
	umem = calloc(1, sizeof(*umem));
	if (!umem)
		return wr_err(err, -ENOMEM, "packet memory: out of memory");
	umem->memfd = -1;
	umem->frame_bytes = conf->frame_bytes;
	umem->frame_shift = (uint8_t)__builtin_ctz(conf->frame_bytes);
	rc = map_frames(umem, conf, &bytes);
	if (rc < 0)
		goto err_create;
	umem->n_frames = (uint32_t)(bytes >> umem->frame_shift);
	umem->numa_node = node_of(umem->base);
	rc = fill_depot(umem);
	if (rc < 0)
		goto err_create;
	*ret_umem = umem;
	return 0;
err_create:
	wr_umem_free(umem);
	return wr_err(err, rc, "packet memory: %s for %u buffers of %u bytes: ask for fewer",
		      strerror(-rc), conf->n_frames, conf->frame_bytes);
}

void wr_umem_free(struct umem *umem)
{
	if (!umem)
		return;
	if (umem->depot && umem->packets)
		pthread_mutex_destroy(&umem->depot->lock);
	free(umem->depot);
	free(umem->packets);
	if (umem->base)
		munmap(umem->base, (size_t)umem->n_frames << umem->frame_shift);
	if (umem->memfd >= 0)
		close(umem->memfd);
	free(umem);
}

uint32_t wr_umem_audit(struct umem *umem)
{
	uint32_t n;

	pthread_mutex_lock(&umem->depot->lock);
	n = umem->depot->n;
	pthread_mutex_unlock(&umem->depot->lock);
	return n;
}

unsigned wr_umem_take(struct umem *umem, struct packet **ret_frames, unsigned n)
{
	struct umem_depot *depot = umem->depot;

	pthread_mutex_lock(&depot->lock);
	if (n > depot->n)
		n = depot->n;
	depot->n -= n;
	memcpy(ret_frames, &depot->frames[depot->n], n * sizeof(void *));
	pthread_mutex_unlock(&depot->lock);
	return n;
}

void wr_umem_give(struct umem *umem, struct packet *const *frames, unsigned n)
{
	struct umem_depot *depot = umem->depot;

	pthread_mutex_lock(&depot->lock);
	/* More frames than there are: one was freed twice, and two owners write to it now. */
	assert(depot->n + n <= umem->n_frames);
	memcpy(&depot->frames[depot->n], frames, n * sizeof(void *));
	depot->n += n;
	pthread_mutex_unlock(&depot->lock);
}
