/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A queue of the kernel's TAP and TUN devices: its descriptor, and packets through it.
 *
 * Before each packet goes a virtio_net_hdr. It says that a TCP or UDP checksum is unfinished
 * (PKT_CSUM_PARTIAL) and, on the way into the kernel, to what size a merged packet is to be cut. So
 * checksums that nobody will ever look at are never computed.
 *
 * A TUN has no link layer, a packet of Weir's always has: `l2_bytes` is what stands in front of
 * each packet and the device never sees, 0 for a TAP, ETH_HDR_BYTES for a TUN.
 *
 * What the kernel says in its header is believed only as far as it fits the packet. The checksum of
 * anything but plain IPv4 with TCP or UDP is finished here, on receipt: the rest of Weir knows of
 * no other that can be unfinished.
 */
#ifndef WR_PORT_TAP_DEV_H
#define WR_PORT_TAP_DEV_H

#include "lib/port/port.h"

/* One more descriptor of the interface `name`, which is made if it does not exist; non-blocking.
 * `flags`: IFF_TAP or IFF_TUN, IFF_MULTI_QUEUE, IFF_TUN_EXCL. 0 or -errno. */
int wr_tap_dev_open(const char *name, unsigned flags, int *ret_fd);

/* Writes all packets, each by a system call, counts and frees them: a port's tx(). To a TUN nothing
 * but IPv4 and IPv6 can be sent; the rest are errors. */
void wr_tap_dev_tx(struct port_queue *, int fd, unsigned l2_bytes, struct packet **pkts,
		   unsigned n);

/*
 * The frames that the next packet will be read into, as many as the longest takes: how long it is
 * shows only when it has been read. What it did not need stays for the one after it.
 */
struct tap_reader {
	struct umem *umem;
	const struct mac *mac; /* to whom the packets of a TUN come */
	unsigned l2_bytes;
	uint32_t n_frames; /* of them frames[n_holes..n_frames) are there */
	uint32_t n_holes;
	struct packet *frames[WR_MAX_SEGS];
};

/* The longest packet that is received, with its Ethernet header. */
uint32_t wr_tap_reader_max_bytes(const struct umem *, unsigned l2_bytes);
/* Empty. `mac` must live as long. */
void wr_tap_reader_init(struct tap_reader *, struct umem *, const struct mac *, unsigned l2_bytes);
/* Fills the holes; false if the pool has not got enough. */
bool wr_tap_reader_fill(struct tap_reader *, struct pool *);
/* Gives the frames back to the depot. */
void wr_tap_reader_empty(struct tap_reader *);
/* One packet; the reader must be full. -EAGAIN: there is none. -EBADMSG: there was one, which could
 * not be taken. Else -errno: the device is gone. */
int wr_tap_reader_read(struct tap_reader *, int fd, struct packet **ret_pkt);

#endif
