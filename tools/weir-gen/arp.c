/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/weir-gen/arp.h"

#include <string.h>

enum { REQUEST = 1, REPLY = 2 };

/* Ethernet, then ARP for Ethernet and IPv4. */
struct arp_frame {
	struct mac eth_dst, eth_src;
	be16 eth_type;
	be16 hw_type, proto_type;
	uint8_t hw_bytes, proto_bytes;
	be16 op;
	struct mac sender_mac;
	struct ip4 sender;
	struct mac target_mac;
	struct ip4 target;
} __attribute__((packed));

static_assert(sizeof(struct arp_frame) == 14 + 28, "RFC 826");

/* The fields that are always so. */
static const struct arp_frame fixed = {
	.eth_type = {__builtin_bswap16(0x0806)},
	.hw_type = {__builtin_bswap16(1)},
	.proto_type = {__builtin_bswap16(0x0800)},
	.hw_bytes = 6,
	.proto_bytes = 4,
};
static_assert(__BYTE_ORDER == __LITTLE_ENDIAN, "the constants above are swapped");

static bool read_frame(const uint8_t *bytes, size_t n, struct arp_frame *ret_frame)
{
	const size_t first = offsetof(struct arp_frame, eth_type);

	if (n < sizeof(*ret_frame) || memcmp(bytes + first, (const uint8_t *)&fixed + first,
					     offsetof(struct arp_frame, op) - first) != 0)
		return false;
	memcpy(ret_frame, bytes, sizeof(*ret_frame));
	return true;
}

bool wr_arp_is_request(const uint8_t *frame, size_t n, const struct prefix4 *prefix)
{
	struct arp_frame arp;

	return read_frame(frame, n, &arp) && be16_to(arp.op) == REQUEST &&
	       (ip4_to(arp.target) & ip4_mask(prefix->len)) == ip4_to(prefix->addr);
}

void wr_arp_answer(uint8_t *frame, const struct mac *mac)
{
	struct arp_frame arp;
	struct ip4 wanted;

	memcpy(&arp, frame, sizeof(arp));
	wanted = arp.target;
	arp.op = be16_from(REPLY);
	arp.target_mac = arp.eth_dst = arp.sender_mac;
	arp.target = arp.sender;
	arp.sender_mac = arp.eth_src = *mac;
	arp.sender = wanted;
	memcpy(frame, &arp, sizeof(arp));
}

void wr_arp_ask(uint8_t ret_frame[ARP_FRAME_BYTES], const struct mac *own_mac, struct ip4 own,
		struct ip4 wanted)
{
	struct arp_frame arp = fixed;

	memset(ret_frame, 0, ARP_FRAME_BYTES);
	memset(&arp.eth_dst, 0xff, sizeof(arp.eth_dst));
	arp.op = be16_from(REQUEST);
	arp.eth_src = arp.sender_mac = *own_mac;
	arp.sender = own;
	arp.target = wanted;
	memcpy(ret_frame, &arp, sizeof(arp));
}

bool wr_arp_is_from(const uint8_t *frame, size_t n, struct ip4 wanted, struct mac *ret_mac)
{
	struct arp_frame arp;

	if (!read_frame(frame, n, &arp) || !ip4_equal(arp.sender, wanted))
		return false;
	*ret_mac = arp.sender_mac;
	return true;
}
