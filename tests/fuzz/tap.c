/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bytes as what a TAP or TUN gives: a virtio_net_hdr that may say anything, and a packet. The first
 * byte chooses which device. Whatever comes, the frames are all there afterwards, and a packet is
 * as long as its segments.
 */
#include "lib/port/tap_dev.h"
#include "lib/wire/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { N_FRAMES = 64, FRAME_BYTES = 2048 };

static void check_packet(const struct packet *pkt, unsigned l2_bytes)
{
	uint32_t n_bytes = 0, n_segs = 0;

	for (const struct packet *seg = pkt; seg; seg = seg->next, n_segs++)
		n_bytes += seg->seg_len;
	if (n_bytes != pkt->len || n_segs != pkt->n_segs || pkt->len <= l2_bytes || pkt->gso_bytes)
		abort();
	/* What the flag promises to all who come after. */
	if ((pkt->flags & PKT_CSUM_PARTIAL) &&
	    (pkt->seg_len < ETH_HDR_BYTES + IP4_HDR_BYTES || pkt->data[ETH_HDR_BYTES] != 0x45 ||
	     pkt->data[12] != 8 || pkt->data[13] != 0))
		abort();
}

static void read_one(struct umem *umem, unsigned l2_bytes, const uint8_t *data, size_t n)
{
	static const struct mac mac = {{2, 0, 0, 0, 0, 1}};
	static struct pool pool;
	struct tap_reader reader;
	struct packet *pkt;
	int fds[2], rc;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, fds) ||
	    send(fds[0], data, n, 0) != (ssize_t)n)
		abort();
	wr_pool_init(&pool, umem);
	wr_tap_reader_init(&reader, umem, &mac, l2_bytes);
	if (!wr_tap_reader_fill(&reader, &pool))
		abort();
	rc = wr_tap_reader_read(&reader, fds[1], &pkt);
	if (rc && rc != -EBADMSG)
		abort();
	if (!rc) {
		check_packet(pkt, l2_bytes);
		wr_packet_free(&pool, pkt);
	}
	wr_tap_reader_empty(&reader);
	wr_pool_fini(&pool);
	close(fds[0]);
	close(fds[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const struct umem_conf conf = {.n_frames = N_FRAMES, .frame_bytes = FRAME_BYTES};
	struct umem *umem;

	if (n < 2)
		return 0;
	if (wr_umem_create(&conf, &umem, NULL))
		abort();
	read_one(umem, data[0] & 1 ? ETH_HDR_BYTES : 0, data + 1, n - 1);
	if (wr_umem_audit(umem) != umem->n_frames)
		abort();
	wr_umem_free(umem);
	return 0;
}
