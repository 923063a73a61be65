/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A port: what a packet enters and leaves by.
 *
 * Each driver is one file and one `struct port_ops`; nothing above this header knows which it is. A
 * port is an attachment (interface, set of queues, mode), never "the NIC". Its queues are numbered
 * 0..n_queues-1 and each is used by one worker only; there is no lock.
 *
 * Ownership. rx() gives packets to the caller. tx() takes all `n` packets: what the queue has no
 * room for it frees and counts (`tx_full`), so that a blocked port never stalls a worker. tx() only
 * queues; flush() hands to the kernel what tx() queued since, once a burst and completely.
 *
 * Accounting. rx_pkts counts what rx() returned, tx_pkts what was queued to leave. Every packet a
 * worker got from rx() is sent, punted, delivered or dropped by exactly one counter.
 */
#ifndef WR_PORT_PORT_H
#define WR_PORT_PORT_H

#include "lib/base/count.h"
#include "lib/mem/packet.h"
#include "lib/sys/clock.h"

enum port_flags {
	/* No wire behind it (veth, tap, virtio): local senders leave L4 checksums unfinished. */
	PORT_VIRTUAL = 1 << 0,
	/* A TCP frame may be several segments, merged by GRO or not yet cut: generic XDP. */
	PORT_MERGED = 1 << 1,
	/* Packets of more than one buffer can be neither received nor sent. */
	PORT_ONE_BUFFER = 1 << 2,
	/* Takes packets with PKT_CSUM_PARTIAL: who receives them finishes the checksum, or need
	 * not. */
	PORT_TX_CSUM = 1 << 3,
};

enum {
	/* Bytes of the frame in front of the data of each segment, where a driver with PORT_TX_CSUM
	 * wants to write. A packet that has fewer is moved or copied by its tx(). */
	PORT_TX_HEADROOM = 24,
};

/* Written by the queue's worker, read by anyone (relaxed). */
struct port_counters {
	uint64_t rx_pkts, rx_bytes;
	uint64_t tx_pkts, tx_bytes;
	uint64_t tx_full;      /* packets freed by tx(): no room in the ring */
	uint64_t rx_no_frames; /* fill-ring slots left empty: the pool was exhausted */
	uint64_t rx_stale;     /* received before a stall of the worker and thrown away after it */
	uint64_t rx_bad;   /* frames the driver refused: chain too long, descriptor out of range */
	uint64_t tx_kicks; /* system calls to send */
	/* Of tx_pkts, those that the kernel refused to send: interface down, peer full. */
	uint64_t tx_errors;
};

struct port;

/* One queue pair of a port. A driver embeds it first in its own struct. */
struct port_queue {
	struct port *port;
	uint16_t queue_idx;
	struct pool *pool; /* the owning worker's; set before the first rx() */
	struct port_counters counters wr_cache_aligned;
};

struct port_ops {
	const char *scheme; /* "af_xdp", "tap", "ring" */

	/* Fills the queue's ring from q->pool and lets traffic in. Called once by the control
	 * thread after q->pool is set. */
	int (*start)(struct port_queue *);
	/* At most `max` (<= WR_BURST) packets; returns how many. */
	unsigned (*rx)(struct port_queue *, struct packet **ret_pkts, unsigned max);
	/* Queues all `n` packets, or frees what does not fit. */
	void (*tx)(struct port_queue *, struct packet **pkts, unsigned n);
	/* Hands to the kernel what tx() queued; reclaims sent frames; refills the fill ring. Cheap
	 * when there is nothing to do. */
	void (*flush)(struct port_queue *);
	/* A descriptor that poll()s POLLIN when rx() would return something; -1: none, the queue
	 * never wakes a sleeper. */
	int (*fd)(const struct port_queue *);
	/* Must be called, if set, before sleeping on fd(); true: something came meanwhile, do not
	 * sleep. */
	bool (*arm)(struct port_queue *);
	/* Throws away what was received so far and counts it as rx_stale (see `heartbeat` in
	 * steer.h). Needed by drivers whose packets the kernel takes meanwhile; others may have
	 * NULL. */
	void (*discard)(struct port_queue *);
	/* Frames in the driver's hands (rings), for the audit. Never NULL. */
	uint32_t (*n_frames)(const struct port_queue *);
	/* Closes all queues, frees the port; control thread, when no worker uses the port any more.
	 * Frames in rings go back to the depot, not to the queues' pools, which may be in use by
	 * their workers. */
	void (*close)(struct port *);
	/* Driver's own facts as (name, value) pairs through `emit`: socket statistics, modes. May
	 * be NULL. */
	void (*facts)(const struct port *,
		      void (*emit)(void *arg, const char *name, uint64_t value), void *arg);
};

struct port {
	const struct port_ops *ops;
	char name[32];    /* the interface's name, or what stands for it */
	uint32_t ifindex; /* 0: no interface of the kernel */
	uint8_t port_idx; /* its slot in the stack, set by the stack */
	uint8_t flags;    /* enum port_flags */
	uint16_t n_queues;
	/* The last ones, by which nothing can be sent: the interface receives by more queues than
	 * it sends by, and the kernel lets lie what is queued on the others. */
	uint16_t n_rx_only;
	/* The station's own address. The owner sets it; a driver without a link layer (tun) has its
	 * packets come to this address. */
	struct mac mac;
	uint32_t max_frame_bytes; /* longer ones can be neither received nor sent; 0: no limit */
	const char *mode; /* "native zero-copy", "native copy", "generic copy"; static string */
	struct port_queue *queues[WR_MAX_QUEUES];
};

static inline unsigned wr_port_rx(struct port_queue *q, struct packet **ret_pkts, unsigned max)
{
	return q->port->ops->rx(q, ret_pkts, max);
}

static inline void wr_port_tx(struct port_queue *q, struct packet **pkts, unsigned n)
{
	q->port->ops->tx(q, pkts, n);
}

/* The first ones: by these it sends. */
static inline unsigned wr_port_n_tx_queues(const struct port *port)
{
	return port->n_queues - port->n_rx_only;
}

/* Sum over the queues; any thread. */
void wr_port_counters(const struct port *, struct port_counters *ret_sum);

/*
 * Drivers. Each opens one port; -errno and a sentence on failure, nothing left behind.
 */

struct af_xdp_conf {
	const char *ifname;
	uint32_t ifindex;
	uint32_t mtu; /* longer packets than one buffer holds rule out zero-copy without several */
	uint16_t n_queues;   /* queues 0..n-1 of the interface */
	uint16_t max_queues; /* as many as it may grow to; 0: n_queues */
	bool generic;        /* the XDP program is, or will be, attached in generic mode */
	bool force_copy;
	bool no_tx_checksum;         /* no PORT_TX_CSUM, although the kernel has it */
	uint32_t rx_descs, tx_descs; /* powers of two */
	/* 0: off. Else rx() itself drives the driver while there is nothing to receive, for so long
	 * and for so many packets a call; see af_xdp.c. */
	uint32_t busy_poll_us, busy_poll_budget;
};

/* Binds one AF_XDP socket a queue: zero-copy if the driver has it, else copy; multi-buffer if the
 * kernel has it. The sockets are in no XSKMAP yet: lib/steer puts them there. Sets PORT_VIRTUAL by
 * what the driver is, PORT_ONE_BUFFER and PORT_TX_CSUM by what the sockets are. */
int wr_port_af_xdp_open(struct umem *, const struct af_xdp_conf *, struct port **ret_port,
			struct wr_err *);
/* The interface has more queues since its XDP program is attached: those up to conf->n_queues (at
 * most conf->max_queues of the opening) are bound too, each to be started then. Control thread; the
 * queues there are work on meanwhile. -errno with a sentence if one cannot be had: those before it
 * stay, port->n_queues says how many. */
int wr_port_af_xdp_grow(struct port *, const struct af_xdp_conf *, struct wr_err *);
/* The socket of a queue, for the XSKMAP. */
int wr_port_af_xdp_fd(const struct port *, unsigned queue_idx);
/* Why there is no zero-copy, in words; "" if there is, or in generic mode, which never has it. */
const char *wr_port_af_xdp_why_copy(const struct port *);
/* The longest frame that can be received: a longer one would be lost, and must stay with the
 * kernel. */
uint32_t wr_port_af_xdp_max_bytes(const struct port *);
/* Frames a queue holds at most, received and to send together: with as many for every queue no port
 * can starve another. */
uint32_t wr_port_af_xdp_frames_per_queue(const struct af_xdp_conf *);

struct punt_tap_conf {
	const char *ifname; /* the interface whose packets are handed to the kernel */
	uint32_t ifindex;
	struct mac mac;
	uint32_t mtu;
	uint16_t n_queues; /* one a worker */
};

/*
 * The way back into the kernel: a TAP whose ingress is redirected, by a tc filter on the TAP
 * itself, to the ingress of `ifname`, so that a packet written here is, for the kernel, received on
 * that interface (KERNEL: act_mirred ingress). tx() only. Packets with PKT_CSUM_PARTIAL go with a
 * virtio_net_hdr that says so. The TAP is not persistent: it dies with the process.
 */
int wr_port_punt_tap_open(struct umem *, const struct punt_tap_conf *, struct port **ret_port,
			  struct wr_err *);
/* Follows the interface's MAC and MTU. 0 or -errno. */
int wr_port_punt_tap_follow(struct port *, const struct mac *, uint32_t mtu);
/* Whatever somebody has changed about the TAP is put right: up, MAC address, MTU, qdisc, filter.
 * Changes nothing about one that is whole. -ENODEV: it was deleted, open a new port. */
int wr_port_punt_tap_mend(struct port *);
/* The TAP's own interface, which is named "weir" and the ifindex of the interface that it
 * serves. */
uint32_t wr_port_punt_tap_ifindex(const struct port *);

struct tap_conf {
	const char *ifname;
	uint16_t n_queues; /* more than one: a persistent device must have been made for several */
	bool is_tun;
	/* The kernel may leave TCP and UDP checksums of its packets unfinished. It is told of those
	 * in what is sent to it in any case. */
	bool offload_csum;
};

/*
 * A wire to the kernel: what it sends by the interface `ifname` rx() returns, what tx() sends it
 * receives there. The interface is made, and goes with the port, unless it exists and is
 * persistent. Its kernel side is the operator's: the driver neither brings it up nor gives it
 * addresses. A TUN has no Ethernet: its packets come to port->mac, and none but IPv4 and IPv6 leave
 * by it.
 */
int wr_port_tap_open(struct umem *, const struct tap_conf *, struct port **ret_port,
		     struct wr_err *);

/*
 * A pair of ports of one process: what one sends the other receives, in order, frames passed
 * without a copy. The simulator's wire, the tests' and fuzzer's, and what leads from one worker to
 * another. Each queue holds up to `n_descs` packets; beyond that tx() drops and counts. fd() is an
 * eventfd, so workers may sleep on it. Both ends share `umem`.
 */
struct ring_conf {
	const char *name_a, *name_b;
	uint16_t n_queues;
	uint32_t n_descs;
	/* Between workers of one stack: flags, rx_port and what the nodes have found out go along
	 * with the packet. On a wire nothing does. */
	bool keeps_metadata;
};

int wr_port_ring_open_pair(struct umem *, const struct ring_conf *, struct port **ret_a,
			   struct port **ret_b, struct wr_err *);

#endif
