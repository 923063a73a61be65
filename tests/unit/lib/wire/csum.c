/* SPDX-License-Identifier: BSD-3-Clause */
#include "lib/wire/csum.c"

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

static void sum_equals_the_plain_one(void **state)
{
	uint8_t data[300];
	unsigned seed = 7;

	(void)state;
	for (size_t n = 0; n < sizeof(data); n++) {
		for (size_t i = 0; i < n; i++)
			data[i] = (uint8_t)rand_r(&seed);
		assert_int_equal(be16toh(wr_csum_fold(wr_csum_add(0, data, n))),
				 plain_sum(data, n));
	}
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

/* Every checksum and every TTL: the incremental update equals the sum over the new header. */
static void ttl_decrement_keeps_the_checksum_right(void **state)
{
	(void)state;
	for (unsigned id = 0; id <= UINT16_MAX; id++) {
		struct ip4_hdr ip = header((uint8_t)(1 + id % 255), IP_PROTO_UDP, (uint16_t)id);
		struct ip4_hdr fresh;

		assert_int_equal(wr_ip4_hdr_sum(&ip), 0xffff);
		wr_ip4_decrement_ttl(&ip);
		fresh = header(ip.ttl, IP_PROTO_UDP, (uint16_t)id);
		assert_int_equal(wr_ip4_hdr_sum(&ip), 0xffff);
		if (fresh.checksum.raw != 0xffff && ip.checksum.raw != 0xffff)
			assert_int_equal(ip.checksum.raw, fresh.checksum.raw);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sum_equals_the_plain_one),
		cmocka_unit_test(ttl_decrement_keeps_the_checksum_right),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
