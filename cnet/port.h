/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Raw packet I/O: frames in, frames out, by whatever carries them. Installed as <weir/port.h>.
 *
 *     static const char *const names[] = {"af_xdp:eth0", "memif:/run/m.sock"};
 *
 *     weir_io_open(names, 2, NULL, &io, &error);
 *     in = weir_io_queue(io, 0, 0), out = weir_io_queue(io, 1, 0);
 *     for (;;) {
 *         n = weir_rx(in, packets, WEIR_BURST);
 *         weir_tx(out, packets, n);
 *         if (!n)
 *             weir_wait(&in, 1, -1);
 *     }
 *
 * Ports are opened by strings, so the same program runs on a NIC, in a container and in a test:
 * "af_xdp:eth0" (or "eth0"), "tap:NAME", "tun:NAME", "memif:SOCKET", "ring:NAME",
 * "pcap:IN,OUT", "null:"; each with options behind commas, see weir-ports(7).
 *
 * Ownership. A packet that weir_rx() or weir_packet_get() returned is the caller's until it is
 * passed to weir_tx() or weir_packet_put(); then it must not be touched any more. weir_tx() always
 * takes all: what a port has no room for is freed and counted (tx_full), so a slow port never
 * stalls its user. Packets move between the ports of one `struct weir_io` without a copy.
 *
 * Threads. A queue is used by one thread at a time; different queues may be used by different
 * threads at once, without a lock. weir_io_open() and weir_io_close() are called while no queue is
 * in use; the rest of weir_io_*() may be called by any thread.
 *
 * An interface opened with "af_xdp:" gives all frames of its queues to the program, whatever they
 * are. The frames of a queue for which nobody has called weir_rx() or weir_wait() for longer than
 * `deadline_ms` stay with the kernel, and all of them once the program has ended. So do those of
 * queues that only receive, where an interface sends by fewer (ethtool -L, and virtio_net, which
 * adds some while it has an XDP program; 'ethtool -L eth0 combined N' before the start, with N all
 * there are, makes it add none). "af_xdp:" needs CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF. On virtual
 * interfaces in generic mode a frame may be several packets in one, as local senders hand them to
 * their hardware: switch that off at the sender (ethtool -K IF tso off gso off).
 *
 * Functions that can fail return 0 or a negative errno, and write one sentence (what was wrong,
 * what to do) into their `struct weir_error` if it is not NULL.
 */
#ifndef WEIR_PORT_H
#define WEIR_PORT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
	WEIR_BURST = 256,    /* packets in one call at most */
	WEIR_IO_PORTS = 64,  /* ports of one weir_io at most */
	WEIR_IO_QUEUES = 64, /* queues of one port at most, and of all "af_xdp:" ports together */
	WEIR_WAIT_QUEUES = 256, /* queues to wait for at once */
};

struct weir_io;    /* the packet memory and the ports on it */
struct weir_queue; /* one receive queue and one transmit queue of a port */

struct weir_error {
	char text[256]; /* one line, without newline */
};

enum weir_packet_flags {
	/* The TCP or UDP checksum holds the sum over the pseudo-header only: the sender was the
	 * kernel on a virtual interface and left the rest to hardware. weir_tx() finishes it
	 * where the port's far end would not. Who changes addresses or the payload keeps it so. */
	WEIR_PACKET_CSUM_PARTIAL = 1 << 0,
};

/*
 * A packet: one Ethernet frame without FCS, in one or several buffers. `len` and `n_segs` are those
 * of the whole packet and valid in its first segment.
 *
 * data, len and seg_len may be changed: to cut bytes off the end, lower them (by weir_packet_trim()
 * if there are several segments); to cut bytes off the front, move `data` as well. In front of
 * `data` lie at least weir_packet_headroom() bytes that may be used to make it longer.
 */
struct weir_packet {
	uint8_t *data;            /* first byte of this segment; of the first: the MAC header */
	struct weir_packet *next; /* the next segment, NULL in the last */
	uint32_t len;             /* bytes of the whole packet */
	uint16_t seg_len;         /* bytes of this segment */
	uint8_t n_segs;           /* segments of the whole packet */
	uint8_t flags;            /* enum weir_packet_flags */
	uint8_t reserved[40];     /* Weir's */
};

struct weir_io_options {
	/* Buffers beyond those that the ports' rings hold when full: as many packets the program
	 * may keep for itself. 0: 1024. */
	uint32_t n_buffers;
	uint32_t buffer_bytes; /* 2048 or 4096; 0: 2048. A larger packet takes several. */
	uint32_t deadline_ms;  /* see above, of af_xdp ports; 0: 1000 */
};

/*
 * Opens all ports, in order: the first is port 0. `options` may be NULL. -EINVAL: a string that is
 * wrong; -ENODEV, -EBUSY, -EPERM, -ENOMEM ...: as the sentence says. Nothing is left behind.
 */
int weir_io_open(const char *const *names, unsigned n_names, const struct weir_io_options *options,
		 struct weir_io **ret_io, struct weir_error *error);
/* All packets must have been given back. Interfaces are as they were before. NULL is allowed. */
void weir_io_close(struct weir_io *io);

unsigned weir_io_n_ports(const struct weir_io *io);
unsigned weir_io_n_queues(const struct weir_io *io, unsigned port_idx); /* 0: no such port */
/* Borrowed until the io is closed; NULL if there is no such port or queue. */
struct weir_queue *weir_io_queue(struct weir_io *io, unsigned port_idx, unsigned queue_idx);
/* How the port carries packets, in words: "native zero-copy", "generic copy", "memory". */
const char *weir_io_mode(const struct weir_io *io, unsigned port_idx);
/* The interface's MAC address into `ret_mac`, or one that is locally administered where there is no
 * interface. -ENODEV: no such port. */
int weir_io_mac(const struct weir_io *io, unsigned port_idx, uint8_t ret_mac[6]);

/* Whether there is somebody at the far end: 0 for a memif whose peer has not come, or has gone;
 * what is sent then is freed and counted (tx_errors). 1 for every other kind of port. -ENODEV: no
 * such port. */
int weir_io_is_connected(const struct weir_io *io, unsigned port_idx);

struct weir_io_stats {
	uint64_t rx_packets, rx_bytes;
	uint64_t tx_packets, tx_bytes;
	uint64_t tx_full;      /* freed by weir_tx(): no room */
	uint64_t tx_errors;    /* of tx_packets, those that the far end or the kernel refused */
	uint64_t rx_bad;       /* refused by the driver: malformed */
	uint64_t rx_no_buffer; /* slots for receiving left empty: all buffers were in use */
	uint64_t rx_missed;    /* lost before weir_rx(): its caller was slower than the wire */
};

/* The sum over the port's queues. -ENODEV: no such port. */
int weir_io_stats(const struct weir_io *io, unsigned port_idx, struct weir_io_stats *ret_stats);

/* Up to `max` packets (<= WEIR_BURST) that have come; returns how many. Never waits. */
unsigned weir_rx(struct weir_queue *queue, struct weir_packet **ret_packets, unsigned max);
/* Sends all `n` packets (<= WEIR_BURST) in order, and hands them to the kernel or the far end
 * before it returns. Returns how many of them the port had room for; the others are freed and
 * counted (tx_full). With n = 0 it sends what a port that was busy had kept. */
unsigned weir_tx(struct weir_queue *queue, struct weir_packet **packets, unsigned n);

/*
 * Waits until one of the queues has something to receive, or `timeout_ns` nanoseconds have passed
 * (-1: no limit). Returns how many queues have; 0 after the timeout; -EINTR after a signal;
 * -ENOTSUP, at once, if none of them can ever have anything (the end of a capture, "null:", a TAP
 * that was deleted); -EINVAL if they are none or more than WEIR_WAIT_QUEUES. A queue may be
 * returned as ready that turns out to be empty.
 */
int weir_wait(struct weir_queue *const *queues, unsigned n_queues, int64_t timeout_ns);

/* New packets, each of one empty segment (len 0) with weir_packet_room() bytes of room. Returns how
 * many: fewer than `n` if the buffers are all in use. */
unsigned weir_packet_get(struct weir_queue *queue, struct weir_packet **ret_packets, unsigned n);
/* Frees packets, with all their segments. */
void weir_packet_put(struct weir_queue *queue, struct weir_packet **packets, unsigned n);
/* A packet that holds a copy of `n` bytes, in as many segments as it takes; NULL if buffers are
 * short or `n` is beyond 64 KiB. */
struct weir_packet *weir_packet_from(struct weir_queue *queue, const void *bytes, size_t n);
/* Copies up to `n` bytes of the packet, from its start; returns how many. */
size_t weir_packet_copy(const struct weir_packet *packet, void *ret_bytes, size_t n);
/* Cuts the packet to `len` bytes; segments that become empty are freed. A longer `len` changes
 * nothing. */
void weir_packet_trim(struct weir_queue *queue, struct weir_packet *packet, uint32_t len);
/* Bytes of the buffer in front of the segment's data; bytes of the buffer from its data on. */
size_t weir_packet_headroom(const struct weir_queue *queue, const struct weir_packet *packet);
size_t weir_packet_room(const struct weir_queue *queue, const struct weir_packet *packet);

#ifdef __cplusplus
}
#endif

#endif
