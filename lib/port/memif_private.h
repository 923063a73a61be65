/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the files of the memif driver share; memif.c has the essay.
 *
 *     memif.c        the port: options, open, close, sleeping and waking
 *     memif_ctl.c    the control channel: who connects to whom, message by message
 *     memif_sock.c   the socket, and one message
 *     memif_link.c   the shared memory of one connection, checked or made
 *     memif_ring.c   packets in and out of it
 *     memif_bell.c   interrupts that cannot block
 */
#ifndef WR_PORT_MEMIF_PRIVATE_H
#define WR_PORT_MEMIF_PRIVATE_H

#include "lib/port/memif_proto.h"
#include "lib/port/port.h"

#include <linux/aio_abi.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

enum {
	MEMIF_MAX_REGIONS = 16,
	MEMIF_MAX_LOG2_DESCS = 14,
	/* All regions of a connection. A server maps what its client has made, and touching it may
	 * cost the server's memory. */
	MEMIF_MAX_LINK_BYTES = 512 << 20,
	MEMIF_MAX_CHAIN = 64, /* descriptors of one packet */
	MEMIF_RETRY_MS = 250, /* between a client's attempts */
	/* A peer that begins to connect must have done so by then, or another gets its turn. */
	MEMIF_HANDSHAKE_MS = 2000,
	MEMIF_CTL_CALLS = 256, /* rx() or flush() between looks at the control channel when busy */
};

/* --- interrupts: memif_bell.c ----------------------------------------------------------------- */

struct memif_bell {
	aio_context_t aio;
	int ready_fd; /* a descriptor that can always be written to; not ours */
	bool is_open;
};

/* `ready_fd` is an eventfd of our own. 0 or -errno. */
int wr_memif_bell_init(struct memif_bell *, int ready_fd);
void wr_memif_bell_fini(struct memif_bell *);
/* Adds one to an eventfd, whatever its peer does to it, without waiting. -EINVAL: it is none. */
int wr_memif_bell_ring(struct memif_bell *, int event_fd);

/* --- a connection's memory: memif_link.c ------------------------------------------------------ */

struct memif_region {
	uint8_t *base; /* with a page that cannot be touched before it and after it */
	uint64_t n_bytes;
	int fd; /* client: to be passed on, else -1 */
};

/* A ring as this side sees it. */
struct memif_ring {
	struct mif_ring *shm; /* NULL: not there */
	uint16_t *own;        /* the index that this side writes */
	uint16_t *peer;       /* and the one that it reads */
	uint32_t n_slots;     /* a power of two */
	/* Client: the buffers are its own, one a slot, and it goes by nothing that the server says
	 * about them but the length. NULL: they are where the client's descriptors say. */
	uint8_t *buffers;
	uint32_t buffers_offset; /* of the first, in region 0 */
	uint32_t shm_offset;     /* of the ring itself, in region 0 */
	int event_fd;
};

/* Written by the control worker until it is published, then constant but for `broken`. */
struct memif_link {
	bool is_client;
	uint32_t buffer_bytes; /* client */
	unsigned n_regions, n_rx, n_tx;
	uint64_t n_bytes; /* of all regions */
	struct memif_region regions[MEMIF_MAX_REGIONS];
	struct memif_ring rx[WR_MAX_QUEUES], tx[WR_MAX_QUEUES];
	/* A queue found a ring that makes no sense: the control worker is to end it. */
	const char *broken;
};

struct memif_shape {
	unsigned n_c2s, n_s2c, log2_descs;
	uint32_t buffer_bytes;
};

/* Client: memory, rings and eventfds. */
int wr_memif_link_make(const struct memif_shape *, struct memif_link **ret_link, struct wr_err *);
/* Server: nothing yet; then what the client adds; then whether it is whole. */
struct memif_link *wr_memif_link_new(void);
int wr_memif_link_add_region(struct memif_link *, const struct mif_add_region *, int fd,
			     struct wr_err *);
/* Keeps `event_fd` if it returns 0. */
int wr_memif_link_add_ring(struct memif_link *, const struct mif_add_ring *, unsigned n_queues,
			   int event_fd, struct wr_err *);
int wr_memif_link_check(struct memif_link *, struct wr_err *);
/* Client, once the server has everything: gives it the buffers to write into. */
void wr_memif_link_post(struct memif_link *);
/* NULL is allowed. */
void wr_memif_link_free(struct memif_link *);
/* Bytes of all that a client of this shape makes; more than MEMIF_MAX_LINK_BYTES is refused. */
uint64_t wr_memif_shape_bytes(const struct memif_shape *);

/* --- the port --------------------------------------------------------------------------------- */

struct memif_queue {
	struct port_queue q;
	/* The link that this queue works on: as long as it stands here the control worker keeps it
	 * (memif.c: hold). Written by the queue, read by the control worker. */
	struct memif_link *link;
	uint16_t rx_next;            /* slot to receive next */
	uint16_t tx_next, tx_public; /* slot to send next; what the peer knows of */
	uint32_t n_unflushed;        /* packets between the two */
	uint32_t n_calls;            /* since the control channel was looked at */
	bool is_skipping;            /* the rest of a bad chain */
	bool is_broken;              /* a ring of this link made no sense */
	bool is_masked;              /* the peer was told that no interrupt is wanted */
	bool has_slept;              /* since the last rx(): epoll_fd may have something */
	int epoll_fd, wake_fd, recheck_fd;
	struct memif_bell bell;
};

enum memif_ctl_state {
	CTL_IDLE,    /* server: nobody is here; client: until the next attempt */
	CTL_HELLO,   /* client: waits for HELLO */
	CTL_INIT,    /* server: waits for INIT */
	CTL_SETUP,   /* regions and rings; client: waits for an ACK, server: for the next */
	CTL_CONNECT, /* client: waits for CONNECTED */
	CTL_UP,
};

/* The control worker's (queue 0's). */
struct memif_ctl {
	enum memif_ctl_state state;
	int listener_fd, sock_fd, timer_fd; /* -1: none */
	unsigned step;                      /* client: which message was sent last: memif_ctl.c */
	struct memif_link *link;            /* being made */
	struct memif_link *dying;           /* no longer published, still held by a queue */
	struct sockaddr_un addr;
	socklen_t addr_bytes;
	dev_t file_dev; /* the socket's file, to remove no other one */
	ino_t file_ino;
	bool has_file;
	bool is_deaf; /* server: nobody could be let in; the timer ends it */
};

struct memif_port {
	struct port port;
	struct umem *umem;
	struct memif_link *link wr_cache_aligned; /* published; NULL: not connected */
	bool is_client;
	uint32_t id;
	struct memif_shape shape; /* as a client */
	uint32_t max_rx_bytes;
	struct memif_ctl ctl wr_cache_aligned;
	/* Facts: written by the control worker. */
	uint64_t n_connects, n_refused, n_protocol_errors, n_link_bytes;
	struct memif_queue queues[];
};

static inline struct memif_queue *wr_memif_queue(struct port_queue *q)
{
	return (struct memif_queue *)q;
}

static inline struct memif_port *wr_memif_port(const struct memif_queue *mq)
{
	return (struct memif_port *)mq->q.port;
}

enum memif_event {
	MEMIF_EVENT_WAKE,
	MEMIF_EVENT_RECHECK,
	MEMIF_EVENT_INTERRUPT,
	MEMIF_EVENT_TIMER,
	MEMIF_EVENT_LISTENER,
	MEMIF_EVENT_SOCK,
};

/* memif.c. 0 or -errno. */
int wr_memif_watch(const struct memif_queue *, int fd, uint32_t events, enum memif_event);
/* Lets a queue, perhaps asleep, look at what is new; any thread. */
void wr_memif_wake(const struct memif_queue *);
/* The link that this queue may use until its next call; NULL: there is none. */
struct memif_link *wr_memif_hold_slow(struct memif_queue *);

static inline struct memif_link *wr_memif_hold(struct memif_queue *mq)
{
	struct memif_link *link = __atomic_load_n(&wr_memif_port(mq)->link, __ATOMIC_ACQUIRE);

	return wr_likely(link == mq->link) ? link : wr_memif_hold_slow(mq);
}

/* memif_sock.c. Nothing here waits. */
/* 0 or -errno. `fd`: -1 for none; stays the caller's. */
int wr_memif_sock_send(int sock_fd, const struct mif_msg *, int fd);
/* Bytes of the message; 0: the peer has gone; -errno. `*ret_fd` is the caller's; -1: none. */
ssize_t wr_memif_sock_receive(int sock_fd, struct mif_msg *ret_msg, int *ret_fd);
int wr_memif_sock_address(struct memif_ctl *, const char *path, const char *text, struct wr_err *);
int wr_memif_sock_listen(struct memif_ctl *, const char *text, struct wr_err *);
/* The file, if it is still the one that was made. */
void wr_memif_sock_remove(const struct memif_ctl *);

/* memif_ctl.c: by the control worker. */
int wr_memif_ctl_open(struct memif_port *, const char *path, const char *text, struct wr_err *);
void wr_memif_ctl_event(struct memif_port *, enum memif_event);
/* What is not an event: a ring that makes no sense, a link that nobody holds any more. */
void wr_memif_ctl_tend(struct memif_port *);
void wr_memif_ctl_close(struct memif_port *);

/* memif_ring.c: the queue's worker. */
unsigned wr_memif_ring_rx(struct memif_queue *, struct packet **ret_pkts, unsigned max);
void wr_memif_ring_tx(struct memif_queue *, struct packet **pkts, unsigned n);
void wr_memif_ring_flush(struct memif_queue *);
void wr_memif_ring_discard(struct memif_queue *);
/* Asks for an interrupt; true: something is there already. */
bool wr_memif_ring_arm(struct memif_queue *);

#endif
