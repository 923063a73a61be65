/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/weir-gen/arp.c"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct mac router = {{2, 0, 0, 0, 0, 1}}, own = {{2, 0, 0, 0, 0, 9}};

/* Who has 10.0.1.9? Tell 10.0.1.1. */
static const uint8_t request[42] = {
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2,  0, 0, 0, 0, 1, 8, 6, /* Ethernet */
	0,    1,    8,    0,    6,    4,    0,  1,                   /* a request */
	2,    0,    0,    0,    0,    1,    10, 0, 1, 1,             /* sender */
	0,    0,    0,    0,    0,    0,    10, 0, 1, 9,             /* target */
};
static const uint8_t answer[42] = {
	2, 0, 0, 0, 0, 1, 2,  0, 0, 0, 0, 9, 8, 6, /* */
	0, 1, 8, 0, 6, 4, 0,  2,                   /* a reply */
	2, 0, 0, 0, 0, 9, 10, 0, 1, 9,             /* */
	2, 0, 0, 0, 0, 1, 10, 0, 1, 1,             /* */
};

static void a_request_is_answered(void **state)
{
	const struct prefix4 prefix = {.addr = ip4_from(0x0a000100), .len = 24};
	uint8_t frame[42];

	(void)state;
	memcpy(frame, request, sizeof(frame));
	assert_true(wr_arp_is_request(frame, sizeof(frame), &prefix));
	wr_arp_answer(frame, &own);
	assert_memory_equal(frame, answer, sizeof(frame));
	assert_false(wr_arp_is_request(frame, sizeof(frame), &prefix));
}

static void of_other_addresses_it_is_not(void **state)
{
	const struct prefix4 other = {.addr = ip4_from(0x0a000108), .len = 32};
	const struct prefix4 all = {.len = 0};

	(void)state;
	assert_false(wr_arp_is_request(request, sizeof(request), &other));
	assert_true(wr_arp_is_request(request, sizeof(request), &all));
	for (size_t n = 0; n < sizeof(request); n++)
		assert_false(wr_arp_is_request(request, n, &all));
}

/* IPv6 neighbours, RARP, other hardware. */
static void other_frames_are_not_arp(void **state)
{
	const struct prefix4 all = {.len = 0};
	uint8_t frame[42];

	(void)state;
	for (unsigned i = 12; i < 22; i++) {
		memcpy(frame, request, sizeof(frame));
		frame[i] ^= 2;
		assert_false(wr_arp_is_request(frame, sizeof(frame), &all));
	}
}

static void what_is_asked_is_a_request(void **state)
{
	uint8_t frame[ARP_FRAME_BYTES];
	struct mac mac;

	(void)state;
	wr_arp_ask(frame, &router, ip4_from(0x0a000101), ip4_from(0x0a000109));
	assert_memory_equal(frame, request, sizeof(request));
	assert_true(wr_arp_is_from(answer, sizeof(answer), ip4_from(0x0a000109), &mac));
	assert_memory_equal(&mac, &own, sizeof(mac));
	assert_false(wr_arp_is_from(answer, sizeof(answer), ip4_from(0x0a000101), &mac));
	assert_false(wr_arp_is_from(answer, sizeof(answer) - 1, ip4_from(0x0a000109), &mac));
}

int main(void)
{
#define TEST(name) cmocka_unit_test(name)
	const struct CMUnitTest tests[] = {
		TEST(a_request_is_answered),
		TEST(of_other_addresses_it_is_not),
		TEST(other_frames_are_not_arp),
		TEST(what_is_asked_is_a_request),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
