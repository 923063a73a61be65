/* SPDX-License-Identifier: BSD-3-Clause */
#include "lib/mem/l4_csum.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* RFC 1071 section 1, word by word in network order: the plain oracle. */
static uint16_t plain_sum(const uint8_t *p, size_t n)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += i & 1 ? p[i] : (uint32_t)p[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static struct ip4_hdr header(uint8_t ttl, uint8_t protocol, uint16_t id)
{
	struct ip4_hdr ip = {
		.version_ihl = 0x45,
		.total_len = be16_from(60),
		.id = be16_from(id),
		.ttl = ttl,
		.protocol = protocol,
		.src = ip4_from(0x0a000001),
		.dst = ip4_from(0xc0a80102),
	};

	wr_ip4_hdr_finish(&ip);
	return ip;
}

enum { FRAME = 2048 };

static uint8_t area[4][FRAME];
static struct packet chain[4];

/* A UDP or TCP packet of `l4_bytes` with random data in segments of `seg_bytes`; its checksum field
 * holds the pseudo-header's sum. */
static struct packet *unfinished(uint8_t protocol, uint16_t l4_bytes, uint16_t seg_bytes,
				 unsigned *seed, uint16_t *ret_right)
{
	struct ip4_hdr ip = header(64, protocol, 1);
	unsigned offset = wr_l4_csum_offset(protocol);
	static uint8_t flat[3 * FRAME];
	uint8_t pseudo[12];
	size_t total = ETH_HDR_BYTES + IP4_HDR_BYTES + l4_bytes;
	uint32_t sum;
	unsigned n = 0;

	ip.total_len = be16_from((uint16_t)(IP4_HDR_BYTES + l4_bytes));
	wr_ip4_hdr_finish(&ip);
	for (size_t i = 0; i < total; i++)
		flat[i] = (uint8_t)rand_r(seed);
	memcpy(flat + ETH_HDR_BYTES, &ip, sizeof(ip));
	memset(flat + ETH_HDR_BYTES + IP4_HDR_BYTES + offset, 0, 2);
	memcpy(pseudo, &ip.src, 8);
	pseudo[8] = 0;
	pseudo[9] = protocol;
	pseudo[10] = (uint8_t)(l4_bytes >> 8);
	pseudo[11] = (uint8_t)l4_bytes;
	sum = (uint32_t)plain_sum(pseudo, 12) +
	      plain_sum(flat + ETH_HDR_BYTES + IP4_HDR_BYTES, l4_bytes);
	sum = (sum & 0xffff) + (sum >> 16);
	*ret_right = (uint16_t)~sum;
	if (!*ret_right && protocol == IP_PROTO_UDP)
		*ret_right = 0xffff;
	*(uint16_t *)(void *)(flat + ETH_HDR_BYTES + IP4_HDR_BYTES + offset) =
		htobe16(plain_sum(pseudo, 12));
	for (size_t at = 0; at < total; at += seg_bytes, n++) {
		uint16_t part = (uint16_t)(total - at < seg_bytes ? total - at : seg_bytes);

		memcpy(area[n], flat + at, part);
		wr_packet_init(&chain[n], area[n], part);
		if (n)
			chain[n - 1].next = &chain[n];
	}
	chain[0].len = (uint32_t)total;
	chain[0].n_segs = (uint8_t)n;
	return chain;
}

static void unfinished_checksums_are_seen_and_finished(void **state)
{
	static const uint8_t protocols[] = {IP_PROTO_TCP, IP_PROTO_UDP};
	static const uint16_t seg_bytes[] = {2000, 1001, 777};
	unsigned seed = 11;

	(void)state;
	for (unsigned round = 0; round < 3000; round++) {
		uint8_t protocol = protocols[round % 2];
		uint16_t l4_bytes = (uint16_t)(20 + rand_r(&seed) % 1900), right, field;
		struct packet *pkt =
			unfinished(protocol, l4_bytes, seg_bytes[round % 3], &seed, &right);
		struct ip4_hdr *ip = (struct ip4_hdr *)(pkt->data + ETH_HDR_BYTES);

		assert_true(wr_l4_is_unfinished(pkt, ip));
		wr_l4_finish(pkt, ip);
		memcpy(&field, l4_start(pkt) + wr_l4_csum_offset(protocol), 2);
		assert_int_equal(be16toh(field), right);
	}
}

static void fragments_and_other_protocols_are_never_unfinished(void **state)
{
	unsigned seed = 3;
	uint16_t right;
	struct packet *pkt = unfinished(IP_PROTO_UDP, 100, 2000, &seed, &right);
	struct ip4_hdr *ip = (struct ip4_hdr *)(pkt->data + ETH_HDR_BYTES);

	(void)state;
	ip->frag_off = be16_from(IP4_MF);
	assert_false(wr_l4_is_unfinished(pkt, ip));
	ip->frag_off = be16_from(3);
	assert_false(wr_l4_is_unfinished(pkt, ip));
	ip->frag_off = be16_from(IP4_DF);
	assert_true(wr_l4_is_unfinished(pkt, ip));
	ip->protocol = IP_PROTO_ICMP;
	assert_false(wr_l4_is_unfinished(pkt, ip));
	/* The L4 header is cut off before its checksum. */
	ip->protocol = IP_PROTO_UDP;
	pkt->seg_len = ETH_HDR_BYTES + IP4_HDR_BYTES + 7;
	assert_false(wr_l4_is_unfinished(pkt, ip));
}

static void the_place_of_a_checksum_is_within_the_first_segment(void **state)
{
	static const struct {
		uint8_t protocol, version_ihl;
		uint16_t seg_bytes, start, offset; /* offset 0: none */
	} cases[] = {
		{IP_PROTO_TCP, 0x45, 52, 34, 16}, {IP_PROTO_TCP, 0x45, 51, 0, 0},
		{IP_PROTO_UDP, 0x45, 42, 34, 6},  {IP_PROTO_UDP, 0x45, 41, 0, 0},
		{IP_PROTO_UDP, 0x4f, 82, 74, 6},  {IP_PROTO_UDP, 0x4f, 81, 0, 0},
		{IP_PROTO_UDP, 0x44, 1000, 0, 0}, {IP_PROTO_ICMP, 0x45, 1000, 0, 0},
		{IP_PROTO_UDP, 0x45, 33, 0, 0},
	};
	unsigned seed = 7;
	uint16_t right;

	(void)state;
	for (unsigned i = 0; i < wr_array_size(cases); i++) {
		struct packet *pkt = unfinished(IP_PROTO_UDP, 1000, 2000, &seed, &right);
		struct ip4_hdr *ip = (struct ip4_hdr *)(pkt->data + ETH_HDR_BYTES);
		uint16_t start = 0, offset = 0;

		ip->protocol = cases[i].protocol;
		ip->version_ihl = cases[i].version_ihl;
		pkt->seg_len = cases[i].seg_bytes;
		assert_int_equal(wr_l4_csum_place(pkt, &start, &offset), cases[i].offset != 0);
		assert_int_equal(start, cases[i].start);
		assert_int_equal(offset, cases[i].offset);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unfinished_checksums_are_seen_and_finished),
		cmocka_unit_test(fragments_and_other_protocols_are_never_unfinished),
		cmocka_unit_test(the_place_of_a_checksum_is_within_the_first_segment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
