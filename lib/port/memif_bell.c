/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An interrupt is one added to an eventfd that both processes hold. A plain write() to it may wait:
 * the other process can fill the counter, and, since the two share the open file, take O_NONBLOCK
 * off at any moment; a worker would hang for ever. So the kernel is asked to do it at the end of an
 * asynchronous request that ends at once: there it never waits, a counter that is full stays full.
 * The same call refuses whatever is not an eventfd, without touching it.
 */
#include "lib/port/memif_private.h"

#include <errno.h>
#include <poll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { N_REQUESTS = 8, N_REAPED = 64 };

int wr_memif_bell_init(struct memif_bell *bell, int ready_fd)
{
	bell->aio = 0;
	bell->ready_fd = ready_fd;
	bell->is_open = false;
	if (syscall(SYS_io_setup, N_REQUESTS, &bell->aio) < 0)
		return -errno;
	bell->is_open = true;
	return 0;
}

void wr_memif_bell_fini(struct memif_bell *bell)
{
	if (bell->is_open)
		syscall(SYS_io_destroy, bell->aio);
	bell->is_open = false;
}

static int submit(struct memif_bell *bell, int event_fd)
{
	struct iocb request = {
		.aio_lio_opcode = IOCB_CMD_POLL,
		.aio_fildes = (uint32_t)bell->ready_fd,
		.aio_buf = POLLOUT,
		.aio_flags = IOCB_FLAG_RESFD,
		.aio_resfd = (uint32_t)event_fd,
	};
	struct iocb *requests[] = {&request};

	return syscall(SYS_io_submit, bell->aio, 1, requests) < 0 ? -errno : 0;
}

int wr_memif_bell_ring(struct memif_bell *bell, int event_fd)
{
	struct io_event done[N_REAPED];
	const struct timespec at_once = {0};
	int rc = submit(bell, event_fd);

	if (rc != -EAGAIN)
		return rc;
	/* What was done is to be taken away now and then. */
	(void)syscall(SYS_io_getevents, bell->aio, 0, N_REAPED, done, &at_once);
	return submit(bell, event_fd);
}
