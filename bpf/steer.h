/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * What the XDP program and user space share: layouts, limits, verdicts.
 *
 * There is one program object per interface. Its `.data` is mapped into user space and holds the
 * interface's settings, which the control thread writes in place. All objects of a process share
 * three maps: `locals` (addresses that are the host's own), `local_bits` (where `locals` need not
 * be asked) and `beats` (one heartbeat a worker, mapped, written by that worker).
 */
#ifndef WEIR_BPF_STEER_H
#define WEIR_BPF_STEER_H

#ifdef __bpf__
#include <linux/types.h>
typedef __u8 uint8_t;
typedef __u16 uint16_t;
typedef __u32 uint32_t;
typedef __u64 uint64_t;
#else
#include <stdint.h>
#endif

enum {
	STEER_MAX_QUEUES = 64,
	STEER_MAX_WORKERS = 64, /* heartbeats: a page of them */
	STEER_MAX_LOCALS = 65536,
	STEER_LOCAL_BITS = 4096, /* see steer_local_bit() */
	STEER_NO_WORKER = 255,   /* in worker_of_queue: nobody serves this queue */
};

/*
 * Every frame gets exactly one verdict, and each verdict is counted: (name, what happens, text).
 *
 * The order is the order of thinking, in three questions. Whose is it? (down to NOT_ROUTER): the
 * address decides before TTL, options or size do, because BGP's TTL of 1 to this host expires
 * nothing, and NOT_ROUTER then counts exactly the packets in transit that were not asked for. Can
 * user space treat it? (down to UNFINISHED). Is anybody there to do it?
 */
/* clang-format off */
#define STEER_VERDICTS(V)                                                                          \
	V(TRANSIT, "to user space", "taken by Weir: in transit, or all that comes (raw I/O)")         \
	V(OTHER_ETHERTYPE, "to the kernel", "not plain IPv4 (ARP, IPv6, VLAN, LLDP ...)")          \
	V(OTHER_MAC, "to the kernel", "broadcast, multicast, or another station's MAC address")    \
	V(BAD_HEADER, "to the kernel", "truncated or malformed IPv4 header")                       \
	V(SPECIAL_ADDRESS, "to the kernel", "multicast, broadcast, loopback or zero address")      \
	V(LOCAL, "to the kernel", "to or from an address of this host")                            \
	V(NOT_ROUTER, "to the kernel", "transit is left to the kernel on this interface")          \
	V(OPTIONS, "to the kernel", "IPv4 options")                                                \
	V(TTL, "to the kernel", "time to live would expire here")                                  \
	V(OVERSIZE, "to the kernel", "larger than the MTU (not yet segmented by its sender)")      \
	V(UNFINISHED, "to the kernel",                                                             \
	  "checksum or segmentation may be unfinished in a way that user space cannot see")        \
	V(STALLED, "to the kernel", "the worker has not stored its heartbeat in time")             \
	V(NO_SOCKET, "to the kernel", "no AF_XDP socket on this receive queue")
/* clang-format on */

enum steer_verdict {
#define V(name, what, text) STEER_##name,
	STEER_VERDICTS(V)
#undef V
		STEER_N_VERDICTS
};

enum steer_flags {
	STEER_F_TRANSIT = 1 << 0, /* take packets in transit */
	STEER_F_VIRTUAL = 1 << 1, /* local senders may leave checksums unfinished */
	/* Generic mode: a frame may be several packets, merged by GRO or not yet segmented
	 * (GSO). */
	STEER_F_MERGED = 1 << 2,
	/* Raw packet I/O: every frame that the sockets can take, whatever it is. */
	STEER_F_ALL = 1 << 3,
};

/*
 * Settings of one interface; written by the control thread, read by the program at any moment. The
 * MAC and the flags are one word, stored and loaded at once: no packet is judged by half of an old
 * address and half of a new one. The other fields mean something each on its own.
 */
struct steer_settings {
	union {
		struct {
			uint8_t mac[6];
			uint16_t flags; /* enum steer_flags */
		};
		uint64_t mac_and_flags;
	};
	uint32_t max_frame_bytes; /* MTU + 14 */
	uint32_t pad;
	uint64_t deadline_ns; /* a heartbeat older than this means the worker hangs */
	uint8_t worker_of_queue[STEER_MAX_QUEUES]; /* or STEER_NO_WORKER */
};

/*
 * Most packets are neither to nor from this host. To find that out in a hash map, twice a packet,
 * was what cost most. So one bit for all addresses with the same number here says whether the map
 * is worth asking. A bit is set before its address is added and never cleared: one too many costs
 * time, one too few would be wrong.
 */
static inline uint32_t steer_local_bit(uint32_t addr_be)
{
	return (addr_be ^ addr_be >> 12 ^ addr_be >> 24) % STEER_LOCAL_BITS;
}

/*
 * A worker's heartbeat. The worker stores CLOCK_MONOTONIC here every turn. Before it sleeps it
 * stores STEER_ASLEEP: packets are then redirected whatever the time, and the program itself starts
 * the deadline by storing the time of the first one. So a sleeping worker needs no periodic wake-up
 * and a process that was stopped in its sleep still loses its traffic to the kernel after one
 * deadline.
 *
 * The one thing this cannot heal: the first packet is redirected and then lost inside the kernel
 * (no buffer in the fill ring), so that nothing wakes the worker, and after the deadline the kernel
 * keeps the traffic. Hence a sleep is bounded (a second or so) and the worker stores STEER_ASLEEP
 * again.
 */
#define STEER_ASLEEP (~(uint64_t)0)

struct steer_beat {
	uint64_t ns; /* 0: no worker, the kernel keeps everything */
	uint64_t pad[7];
};

#endif
