/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * TCP and UDP checksums that a sender left unfinished.
 *
 * On a virtual interface the kernel hands over TCP and UDP packets of local senders with
 * CHECKSUM_PARTIAL: the field holds the folded sum of the pseudo-header, not inverted, and
 * "hardware" is to do the rest. Nothing in an AF_XDP frame says so, but the field itself does: it
 * equals that sum. Finishing a checksum that was valid and equals it by chance gives the same value
 * again (the sum over the data does not depend on the field), so there are no false alarms that
 * harm.
 */
#ifndef WR_MEM_L4_CSUM_H
#define WR_MEM_L4_CSUM_H

#include "lib/mem/packet.h"
#include "lib/wire/csum.h"

/*
 * Whether the packet's TCP/UDP checksum is unfinished. The IP header (no options) was checked and
 * the packet trimmed to its total length. Fragments and packets whose L4 header is cut off are not.
 */
bool wr_l4_is_unfinished(const struct packet *, const struct ip4_hdr *);
/*
 * Where the checksum of a packet with PKT_CSUM_PARTIAL lies, as whoever finishes it wants to know:
 * `ret_start` from the packet's first byte to where the sum begins, `ret_offset` from there to the
 * field. False if that is not within the first segment.
 */
bool wr_l4_csum_place(const struct packet *, uint16_t *ret_start, uint16_t *ret_offset);
/* Finishes it in software. UDP's sum of zero becomes 0xffff (RFC 768). */
void wr_l4_finish(struct packet *, const struct ip4_hdr *);
/* The folded sum, not inverted, of the packet's bytes from `from` to its end. */
uint16_t wr_packet_sum(const struct packet *, uint32_t from);

#endif
