/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * As much ARP (RFC 826) as a station needs that has taken an interface from its kernel: to answer
 * who asks for its addresses, and to ask for the MAC address of a router or of a neighbour.
 */
#ifndef WR_GEN_ARP_H
#define WR_GEN_ARP_H

#include "lib/base/types.h"

enum { ARP_FRAME_BYTES = 60 };

/* Is the frame a request for an address within `prefix`? */
bool wr_arp_is_request(const uint8_t *frame, size_t n, const struct prefix4 *prefix);
/* Makes the answer of it, in place: the address is at `mac`. */
void wr_arp_answer(uint8_t *frame, const struct mac *mac);
void wr_arp_ask(uint8_t ret_frame[ARP_FRAME_BYTES], const struct mac *own_mac, struct ip4 own,
		struct ip4 wanted);
/* Is the frame from the station that has `wanted`? Its MAC address then. */
bool wr_arp_is_from(const uint8_t *frame, size_t n, struct ip4 wanted, struct mac *ret_mac);

#endif
