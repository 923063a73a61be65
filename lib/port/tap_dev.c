/* SPDX-License-Identifier: BSD-3-Clause */
#include "lib/port/tap_dev.h"

#include "lib/mem/l4_csum.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
	TCP_OFFSET_AT = 12,
	TCP_MIN_BYTES = 20,
	MAX_DEV_BYTES = 65535, /* that the kernel's tun driver sends, link layer included */
	ETHERTYPE_IP6 = 0x86dd,
};

int wr_tap_dev_open(const char *name, unsigned flags, int *ret_fd)
{
	struct ifreq ifr = {0};
	int hdr_bytes = sizeof(struct virtio_net_hdr);
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%.15s", name);
	ifr.ifr_flags = (short)(IFF_NO_PI | IFF_VNET_HDR | flags);
	if (ioctl(fd, TUNSETIFF, &ifr) < 0 || ioctl(fd, TUNSETVNETHDRSZ, &hdr_bytes) < 0) {
		int rc = -errno;

		close(fd);
		return rc;
	}
	*ret_fd = fd;
	return 0;
}

/* --- into the kernel -------------------------------------------------------------------------- */

/* What may be several segments in one: the kernel cuts it when it sends it on. */
static void describe_segments(const struct packet *pkt, unsigned ip_bytes,
			      struct virtio_net_hdr *hdr)
{
	unsigned tcp_at = ETH_HDR_BYTES + ip_bytes;
	unsigned all = tcp_at + (pkt->data[tcp_at + TCP_OFFSET_AT] >> 4) * 4U;

	if (all < tcp_at + TCP_MIN_BYTES || all > pkt->seg_len || pkt->len - all <= pkt->gso_bytes)
		return;
	hdr->gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
	hdr->gso_size = pkt->gso_bytes;
	hdr->hdr_len = (uint16_t)all;
}

/*
 * Says that the L4 checksum is unfinished, in the kernel's words. The node that set the flag has
 * seen plain IPv4 with TCP or UDP; that all of it lies in the first segment is checked again, since
 * the kernel will go by these numbers.
 */
static void describe_csum(const struct packet *pkt, struct virtio_net_hdr *hdr)
{
	const struct ip4_hdr *ip = (const struct ip4_hdr *)(pkt->data + ETH_HDR_BYTES);
	unsigned hdr_bytes, csum_at;

	if (pkt->seg_len < ETH_HDR_BYTES + IP4_HDR_BYTES)
		return;
	hdr_bytes = ip4_hdr_bytes(ip);
	csum_at = wr_l4_csum_offset(ip->protocol);
	if (!csum_at || pkt->seg_len < ETH_HDR_BYTES + hdr_bytes + csum_at + 2)
		return;
	hdr->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	hdr->csum_start = (uint16_t)(ETH_HDR_BYTES + hdr_bytes);
	hdr->csum_offset = (uint16_t)csum_at;
	if (ip->protocol == IP_PROTO_TCP && pkt->gso_bytes)
		describe_segments(pkt, hdr_bytes, hdr);
}

/* The EtherType of an IP packet that begins with this byte; 0: no IP. */
static uint16_t ethertype_of(uint8_t first_byte)
{
	return first_byte >> 4 == 4 ? ETHERTYPE_IP4 : first_byte >> 4 == 6 ? ETHERTYPE_IP6 : 0;
}

/* Whether nothing is lost with the Ethernet header: a TUN tells IPv4 from IPv6 by the first byte of
 * the packet. */
static bool is_plain_ip(const struct packet *pkt)
{
	const struct eth_hdr *eth = (const struct eth_hdr *)pkt->data;
	uint16_t type = pkt->seg_len > sizeof(*eth) ? ethertype_of(pkt->data[sizeof(*eth)]) : 0;

	return type && be16_to(eth->type) == type;
}

/* The header counts from where the device's packet begins. */
static void strip_l2(struct virtio_net_hdr *hdr, struct iovec *first, unsigned l2_bytes)
{
	first->iov_base = (uint8_t *)first->iov_base + l2_bytes;
	first->iov_len -= l2_bytes;
	if (hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
		hdr->csum_start = (uint16_t)(hdr->csum_start - l2_bytes);
	if (hdr->gso_type != VIRTIO_NET_HDR_GSO_NONE)
		hdr->hdr_len = (uint16_t)(hdr->hdr_len - l2_bytes);
}

/* 0 or -errno. */
static int write_packet(int fd, unsigned l2_bytes, const struct packet *pkt)
{
	struct virtio_net_hdr hdr = {0};
	struct iovec iov[1 + WR_MAX_SEGS] = {{.iov_base = &hdr, .iov_len = sizeof(hdr)}};
	int n = 1;

	if (pkt->n_segs > WR_MAX_SEGS)
		return -EMSGSIZE;
	if (l2_bytes && !is_plain_ip(pkt))
		return -EPROTONOSUPPORT;
	if (pkt->flags & PKT_CSUM_PARTIAL)
		describe_csum(pkt, &hdr);
	for (const struct packet *seg = pkt; seg; seg = seg->next)
		iov[n++] = (struct iovec){.iov_base = seg->data, .iov_len = seg->seg_len};
	strip_l2(&hdr, &iov[1], l2_bytes);
	return writev(fd, iov, n) < 0 ? -errno : 0;
}

void wr_tap_dev_tx(struct port_queue *q, int fd, unsigned l2_bytes, struct packet **pkts,
		   unsigned n)
{
	uint64_t n_bytes = 0, n_full = 0, n_refused = 0;

	for (unsigned i = 0; i < n; i++) {
		int rc = write_packet(fd, l2_bytes, pkts[i]);

		if (wr_likely(rc != -EAGAIN))
			n_bytes += pkts[i]->len;
		n_full += rc == -EAGAIN;
		n_refused += rc && rc != -EAGAIN;
		wr_packet_free(q->pool, pkts[i]);
	}
	wr_count(&q->counters.tx_kicks, n);
	wr_count(&q->counters.tx_pkts, n - n_full);
	wr_count(&q->counters.tx_bytes, n_bytes);
	if (wr_unlikely(n_full))
		wr_count(&q->counters.tx_full, n_full);
	if (wr_unlikely(n_refused))
		wr_count(&q->counters.tx_errors, n_refused);
}

/* --- checksums on receipt --------------------------------------------------------------------- */

/* What PKT_CSUM_PARTIAL promises, and what the kernel says, are the same. */
static bool is_plain_partial(const struct packet *pkt, uint32_t start, uint32_t offset)
{
	const struct eth_hdr *eth = (const struct eth_hdr *)pkt->data;
	const struct ip4_hdr *ip = (const struct ip4_hdr *)(eth + 1);

	return pkt->seg_len >= ETH_HDR_BYTES + IP4_HDR_BYTES &&
	       be16_to(eth->type) == ETHERTYPE_IP4 && ip->version_ihl == 0x45 &&
	       be16_to(ip->total_len) == pkt->len - ETH_HDR_BYTES &&
	       start == ETH_HDR_BYTES + IP4_HDR_BYTES &&
	       offset == wr_l4_csum_offset(ip->protocol) && wr_l4_is_unfinished(pkt, ip);
}

static uint8_t *byte_at(struct packet *pkt, uint32_t at)
{
	while (at >= pkt->seg_len && pkt->next) {
		at -= pkt->seg_len;
		pkt = pkt->next;
	}
	return pkt->data + at;
}

/* As skb_checksum_help() does it: the field holds what is to be added, and a sum of zero is stored
 * as 0xffff, which UDP asks for and is the same number for all others. */
static void finish_csum(struct packet *pkt, uint32_t start, uint32_t offset)
{
	uint16_t csum = (uint16_t)~wr_packet_sum(pkt, start);
	uint8_t bytes[2];

	if (!csum)
		csum = 0xffff;
	memcpy(bytes, &csum, sizeof(csum));
	*byte_at(pkt, start + offset) = bytes[0];
	*byte_at(pkt, start + offset + 1) = bytes[1];
}

static void settle_csum(struct packet *pkt, uint32_t start, uint32_t offset)
{
	if (is_plain_partial(pkt, start, offset))
		pkt->flags |= PKT_CSUM_PARTIAL;
	else
		finish_csum(pkt, start, offset);
}

/* --- out of the kernel ------------------------------------------------------------------------ */

/* A packet of the largest size, in whole frames; fewer frames if a packet cannot have as many. */
static uint32_t frames_for_longest(const struct umem *umem, unsigned l2_bytes)
{
	const uint32_t n_bytes = WR_HEADROOM + l2_bytes + MAX_DEV_BYTES;
	const uint32_t n = (n_bytes + umem->frame_bytes - 1) / umem->frame_bytes;

	return n < WR_MAX_SEGS ? n : WR_MAX_SEGS;
}

uint32_t wr_tap_reader_max_bytes(const struct umem *umem, unsigned l2_bytes)
{
	uint32_t room = frames_for_longest(umem, l2_bytes) * umem->frame_bytes - WR_HEADROOM;

	return room < MAX_DEV_BYTES + l2_bytes ? room : MAX_DEV_BYTES + l2_bytes;
}

void wr_tap_reader_init(struct tap_reader *r, struct umem *umem, const struct mac *mac,
			unsigned l2_bytes)
{
	*r = (struct tap_reader){.umem = umem, .mac = mac, .l2_bytes = l2_bytes};
	r->n_frames = frames_for_longest(umem, l2_bytes);
	r->n_holes = r->n_frames;
}

static void set_holes(struct tap_reader *r, uint32_t n)
{
	__atomic_store_n(&r->n_holes, n, __ATOMIC_RELAXED); /* the audit reads it */
}

bool wr_tap_reader_fill(struct tap_reader *r, struct pool *pool)
{
	struct packet *new[WR_MAX_SEGS];
	unsigned n;

	if (!r->n_holes)
		return true;
	n = wr_pool_get(pool, new, r->n_holes);
	memcpy(&r->frames[r->n_holes - n], new, n * sizeof(void *));
	set_holes(r, r->n_holes - n);
	return !r->n_holes;
}

void wr_tap_reader_empty(struct tap_reader *r)
{
	wr_umem_give(r->umem, &r->frames[r->n_holes], r->n_frames - r->n_holes);
	set_holes(r, r->n_frames);
}

/* Where the packet begins, its link layer first; how long it is nobody knows yet. */
static uint8_t *first_byte(const struct tap_reader *r)
{
	return wr_frame_base(r->umem, r->frames[0]) + WR_HEADROOM;
}

/* In front of what the device gives stays room for the link layer. */
static void lay_out(const struct tap_reader *r, struct iovec *iov)
{
	for (uint32_t i = 0; i < r->n_frames; i++)
		iov[i] = (struct iovec){.iov_base = wr_frame_base(r->umem, r->frames[i]),
					.iov_len = r->umem->frame_bytes};
	iov[0].iov_base = first_byte(r) + r->l2_bytes;
	iov[0].iov_len -= WR_HEADROOM + r->l2_bytes;
}

/* The first frames become a packet of `len` bytes, link layer included. */
static struct packet *take_frames(struct tap_reader *r, uint32_t len)
{
	struct packet *pkt = r->frames[0], **link = &pkt;
	uint32_t n = 0;

	for (uint32_t left = len; left; n++) {
		struct packet *seg = r->frames[n];
		uint8_t *data = n ? wr_frame_base(r->umem, seg) : first_byte(r);
		uint32_t room = r->umem->frame_bytes - (n ? 0 : WR_HEADROOM);
		uint32_t part = left < room ? left : room;

		wr_packet_init(seg, data, (uint16_t)part);
		*link = seg;
		link = &seg->next;
		left -= part;
	}
	pkt->len = len;
	pkt->n_segs = (uint8_t)n;
	set_holes(r, n);
	return pkt;
}

/* From a station that is nobody, locally administered: there is none behind a TUN. */
static void put_eth_header(struct packet *pkt, const struct mac *to, uint16_t type)
{
	static const struct mac nobody = {{0x02, 'w', 'e', 'i', 'r', 0}};
	struct eth_hdr *eth = (struct eth_hdr *)pkt->data;

	*eth = (struct eth_hdr){.dst = *to, .src = nobody, .type = be16_from(type)};
}

/* Whether the packet of `n` bytes, as the device gave it, can be taken. The kernel was not told
 * that it may send merged ones. */
static bool is_acceptable(const struct tap_reader *r, const struct virtio_net_hdr *hdr, size_t n)
{
	const uint8_t *first = first_byte(r) + r->l2_bytes;

	if (!n || r->l2_bytes + n > wr_tap_reader_max_bytes(r->umem, r->l2_bytes) ||
	    hdr->gso_type != VIRTIO_NET_HDR_GSO_NONE)
		return false;
	if ((hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) &&
	    (size_t)hdr->csum_start + hdr->csum_offset + 2 > n)
		return false;
	return !r->l2_bytes || ethertype_of(*first);
}

int wr_tap_reader_read(struct tap_reader *r, int fd, struct packet **ret_pkt)
{
	struct virtio_net_hdr hdr;
	struct iovec iov[1 + WR_MAX_SEGS + 1] = {{.iov_base = &hdr, .iov_len = sizeof(hdr)}};
	uint8_t beyond; /* written to by what is too long; else that would look like a fit */
	struct packet *pkt;
	ssize_t n;

	lay_out(r, &iov[1]);
	iov[1 + r->n_frames] = (struct iovec){.iov_base = &beyond, .iov_len = 1};
	n = readv(fd, iov, (int)(2 + r->n_frames));
	if (n < 0)
		return errno == EINTR ? -EAGAIN : -errno;
	if ((size_t)n < sizeof(hdr) || !is_acceptable(r, &hdr, (size_t)n - sizeof(hdr)))
		return -EBADMSG;
	pkt = take_frames(r, (uint32_t)((size_t)n - sizeof(hdr)) + r->l2_bytes);
	if (r->l2_bytes)
		put_eth_header(pkt, r->mac, ethertype_of(pkt->data[r->l2_bytes]));
	if (hdr.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
		settle_csum(pkt, hdr.csum_start + r->l2_bytes, hdr.csum_offset);
	*ret_pkt = pkt;
	return 0;
}
