/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Whether a living process receives on an interface.
 *
 * A program that a crashed Weir left looks like that of a living one: the same name, the same pin.
 * What differs is its sockets. The kernel lets one AF_XDP socket alone bind a queue, so a socket of
 * one buffer tries queue 0, in copy mode, which asks nothing of the driver, and is closed again.
 */
#include "lib/steer/steer.h"

#include <errno.h>
#include <linux/if_xdp.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef AF_XDP
#define AF_XDP 44
#endif
#ifndef SOL_XDP
#define SOL_XDP 283
#endif

enum {
	BUFFER_BYTES = 4096,
	/* The queue of a killed process is free only so much later (measured: 12-37 ms). */
	LINGER_MS = 200,
	PAUSE_MS = 10,
};

static int bind_queue(int fd, void *buffer, uint32_t ifindex)
{
	const struct xdp_umem_reg umem = {
		.addr = (uintptr_t)buffer, .len = BUFFER_BYTES, .chunk_size = BUFFER_BYTES};
	const struct sockaddr_xdp addr = {.sxdp_family = AF_XDP,
					  .sxdp_flags = XDP_COPY,
					  .sxdp_ifindex = ifindex,
					  .sxdp_queue_id = 0};
	const int n_descs = 1;

	if (setsockopt(fd, SOL_XDP, XDP_UMEM_REG, &umem, sizeof(umem)) ||
	    setsockopt(fd, SOL_XDP, XDP_UMEM_FILL_RING, &n_descs, sizeof(n_descs)) ||
	    setsockopt(fd, SOL_XDP, XDP_UMEM_COMPLETION_RING, &n_descs, sizeof(n_descs)) ||
	    setsockopt(fd, SOL_XDP, XDP_TX_RING, &n_descs, sizeof(n_descs)))
		return -errno;
	return bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) ? -errno : 0;
}

/* -EBUSY if the queue is taken; other errors tell nothing of it. */
static int try_queue(uint32_t ifindex)
{
	void *buffer = mmap(NULL, BUFFER_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			    -1, 0);
	int fd, code;

	if (buffer == MAP_FAILED)
		return -errno;
	fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
	code = fd < 0 ? -errno : bind_queue(fd, buffer, ifindex);
	if (fd >= 0)
		close(fd);
	munmap(buffer, BUFFER_BYTES);
	return code;
}

bool wr_steer_is_in_use(uint32_t ifindex)
{
	const struct timespec pause = {.tv_nsec = PAUSE_MS * 1000000L};

	for (unsigned ms = 0; try_queue(ifindex) == -EBUSY; ms += PAUSE_MS) {
		if (ms >= LINGER_MS)
			return true;
		nanosleep(&pause, NULL);
	}
	return false;
}
