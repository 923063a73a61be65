/* SPDX-License-Identifier: BSD-3-Clause */
/* What the packet tools share: the marker in each frame, bytes and checksums, the raw socket. */
#ifndef TESTS_NET_FRAME_H
#define TESTS_NET_FRAME_H

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
	ETH_BYTES = 14,
	MAX_IP_BYTES = 9600,
	MAX_FRAME_BYTES = ETH_BYTES + 4 + MAX_IP_BYTES, /* and a VLAN tag */
	MARKER_BYTES = 12,                              /* MAGIC and the frame's id */
};

static const unsigned char MAGIC[8] = {'w', 'e', 'i', 'r', 0xa5, 0x5a, 'p', 'k'};

static inline uint32_t sum_bytes(const uint8_t *data, size_t len, uint32_t sum)
{
	for (size_t i = 0; i + 1 < len; i += 2)
		sum += (uint32_t)data[i] << 8 | data[i + 1];
	if (len % 2)
		sum += (uint32_t)data[len - 1] << 8;
	return sum;
}

static inline uint16_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static inline void put16(uint8_t *at, unsigned value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static inline void put32(uint8_t *at, uint32_t value)
{
	put16(at, value >> 16);
	put16(at + 2, value & 0xffff);
}

static inline unsigned get16(const uint8_t *at)
{
	return (unsigned)at[0] << 8 | at[1];
}

static inline uint32_t get32(const uint8_t *at)
{
	return (uint32_t)get16(at) << 16 | get16(at + 2);
}

/* The sum over what TCP and UDP protect; 0xffff-complement zero if the field in it is right. */
static inline uint16_t l4_sum(const uint8_t *ip, const uint8_t *l4, size_t len)
{
	uint32_t sum = 0;

	if (ip[9] != IPPROTO_ICMP)
		sum = sum_bytes(ip + 12, 8, ip[9] + (uint32_t)len);
	return fold(sum_bytes(l4, len, sum));
}

static inline _Noreturn void die(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(1);
}

static inline int open_raw(const char *ifname, uint16_t ethertype)
{
	struct sockaddr_ll at = {.sll_family = AF_PACKET, .sll_protocol = htons(ethertype)};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	if (fd < 0)
		die("socket");
	at.sll_ifindex = (int)if_nametoindex(ifname);
	if (!at.sll_ifindex)
		die(ifname);
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0)
		die("bind");
	return fd;
}

#endif
