/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/weir-gen/sink.c"

#include "tools/weir-gen/choose.c"
#include "tools/weir-gen/histogram.c"
#include "tools/weir-gen/mark.c"
#include "tools/weir-gen/track.c"
#include "tools/weir-gen/traffic.c"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { SENT_NS = 1000000, LATER_NS = 1000777 };

struct fixture {
	struct traffic *traffic;
	struct sink *sink;
	uint8_t frame[MAX_FRAME_BYTES] __attribute__((aligned(64)));
	struct weir_packet packet;
};

static struct fixture *start(uint8_t protocol, uint16_t size, bool is_verifying)
{
	const struct traffic_conf traffic = {
		.size = {.low = size, .high = size},
		.protocol = protocol,
		.src = {.addr = ip4_from(0x0a000001), .len = 32},
		.dst = {.addr = ip4_from(0x0a000002), .len = 32},
		.sport = {1, 100},
		.dport = {9, 9},
		.ttl = 9,
		.n_flows = 4,
		.stream = 3,
	};
	const struct sink_conf sink = {
		.n_flows = 4, .window = 64, .stream = 3, .is_verifying = is_verifying};
	struct fixture *f = aligned_alloc(64, (sizeof(*f) + 63) / 64 * 64);

	assert_non_null(f);
	assert_int_equal(wr_traffic_create(&traffic, &f->traffic), 0);
	assert_int_equal(wr_sink_create(&sink, &f->sink), 0);
	return f;
}

static void stop(struct fixture *f)
{
	wr_traffic_free(f->traffic);
	wr_sink_free(f->sink);
	free(f);
}

static void build(struct fixture *f)
{
	const unsigned n = wr_traffic_build(f->traffic, SENT_NS, f->frame);

	f->packet = (struct weir_packet){
		.data = f->frame, .len = n, .seg_len = (uint16_t)n, .n_segs = 1};
}

static void what_was_sent_is_received(void **state)
{
	static const uint8_t protocols[] = {IP_PROTO_UDP, IP_PROTO_TCP};

	(void)state;
	for (unsigned i = 0; i < 2; i++)
		for (uint16_t size = 76; size < 2000; size += 13) {
			struct fixture *f = start(protocols[i], size, true);

			for (unsigned k = 0; k < 8; k++) {
				build(f);
				wr_sink_take(f->sink, &f->packet, LATER_NS);
			}
			assert_int_equal(f->sink->n_packets, 8);
			assert_int_equal(f->sink->n_bytes, 8 * size);
			assert_int_equal(f->sink->track.stats.n_in_order, 8);
			assert_int_equal(f->sink->track.stats.n_flows, 4);
			assert_int_equal(f->sink->track.stats.n_lost, 0);
			assert_int_equal(f->sink->latency_ns.min, 777);
			assert_int_equal(f->sink->latency_ns.max, 777);
			assert_int_equal(f->sink->jitter_16ths_ns, 0);
			stop(f);
		}
}

/* Every single bit, in the short form and the long one: corrupted, or no packet of ours, but never
 * received; of the MAC addresses alone nothing is known. */
static void any_flipped_bit_is_found(void **state)
{
	static const struct {
		uint8_t protocol;
		uint16_t size;
	} cases[] = {{IP_PROTO_UDP, 64}, {IP_PROTO_UDP, 200}, {IP_PROTO_TCP, 200}};

	(void)state;
	for (unsigned i = 0; i < wr_array_size(cases); i++) {
		struct fixture *f = start(cases[i].protocol, cases[i].size, true);

		build(f);
		for (unsigned bit = 12 * 8; bit < f->packet.len * 8; bit++) {
			f->frame[bit / 8] ^= (uint8_t)(1U << bit % 8);
			wr_sink_take(f->sink, &f->packet, LATER_NS);
			f->frame[bit / 8] ^= (uint8_t)(1U << bit % 8);
			assert_int_equal(f->sink->n_packets, 0);
		}
		assert_true(f->sink->n_corrupted > f->sink->n_foreign);
		wr_sink_take(f->sink, &f->packet, LATER_NS);
		assert_int_equal(f->sink->n_packets, 1);
		stop(f);
	}
}

/* Its number would be believed otherwise. */
static void a_spoiled_mark_is_found_without_verifying(void **state)
{
	struct fixture *f = start(IP_PROTO_UDP, 100, false);

	(void)state;
	build(f);
	for (unsigned bit = (42 + 3) * 8; bit < (42 + MARK_LONG_BYTES) * 8; bit++) {
		f->frame[bit / 8] ^= (uint8_t)(1U << bit % 8);
		wr_sink_take(f->sink, &f->packet, LATER_NS);
		f->frame[bit / 8] ^= (uint8_t)(1U << bit % 8);
	}
	assert_int_equal(f->sink->n_packets, 0);
	assert_int_equal(f->sink->n_corrupted + f->sink->n_foreign, (MARK_LONG_BYTES - 3) * 8);
	stop(f);
}

/* Cut at every length: nothing is read that is not there (AddressSanitizer sees it). */
static void a_cut_packet_is_not_received(void **state)
{
	static const uint8_t protocols[] = {IP_PROTO_UDP, IP_PROTO_TCP};

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct fixture *f = start(protocols[i], 200, true);

		build(f);
		for (unsigned n = 0; n < f->packet.len; n++) {
			uint8_t *copy = malloc(n + 2); /* aligned to 2, as frames are */
			struct weir_packet cut = {
				.data = copy + 2, .len = n, .seg_len = (uint16_t)n, .n_segs = 1};

			assert_non_null(copy);
			memcpy(copy + 2, f->frame, n);
			wr_sink_take(f->sink, &cut, LATER_NS);
			free(copy);
		}
		assert_int_equal(f->sink->n_packets, 0);
		stop(f);
	}
}

static void segments_make_no_difference(void **state)
{
	struct fixture *f = start(IP_PROTO_UDP, 3000, true);

	(void)state;
	for (unsigned at = 1; at < 2996; at += 7) {
		struct weir_packet second, first;

		build(f);
		second = (struct weir_packet){.data = f->frame + at,
					      .seg_len = (uint16_t)(f->packet.len - at)};
		first = f->packet;
		first.seg_len = (uint16_t)at;
		first.n_segs = 2;
		first.next = &second;
		wr_sink_take(f->sink, &first, LATER_NS);
		f->sink->conf.is_verifying = !f->sink->conf.is_verifying;
	}
	assert_int_equal(f->sink->n_packets, (2996 + 6) / 7);
	assert_int_equal(f->sink->n_corrupted + f->sink->n_foreign, 0);
	stop(f);
}

static void others_are_foreign(void **state)
{
	struct fixture *f = start(IP_PROTO_UDP, 100, false);
	struct fixture *g = start(IP_PROTO_UDP, 100, false);

	(void)state;
	build(f);
	g->sink->conf.stream = 4;
	wr_sink_take(g->sink, &f->packet, LATER_NS);
	assert_int_equal(g->sink->n_foreign, 1);
	g->sink->conf.stream = 3;
	g->sink->conf.n_flows = 1;
	build(f); /* of flow 1 */
	wr_sink_take(g->sink, &f->packet, LATER_NS);
	assert_int_equal(g->sink->n_packets, 1);
	assert_int_equal(g->sink->n_unknown_flow, 1);
	assert_int_equal(g->sink->track.stats.n_flows, 0);
	stop(f);
	stop(g);
}

static void latency_and_jitter(void **state)
{
	static const uint64_t latencies_ns[] = {100, 260, 260, 100};
	struct fixture *f = start(IP_PROTO_UDP, 64, false);

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		build(f);
		wr_sink_take(f->sink, &f->packet, SENT_NS + latencies_ns[i]);
	}
	assert_int_equal(f->sink->latency_ns.sum, 720);
	/* J = 160 / 16 = 10; then 10 - 10/16; then up again by 160/16 less a sixteenth. */
	assert_in_range(f->sink->jitter_16ths_ns, 16 * 18, 16 * 19);
	build(f);
	wr_sink_take(f->sink, &f->packet, SENT_NS - 5);
	assert_int_equal(f->sink->n_skewed, 1);
	assert_int_equal(f->sink->latency_ns.n, 4);
	assert_int_equal(f->sink->n_packets, 5);
	stop(f);
}

int main(void)
{
#define TEST(name) cmocka_unit_test(name)
	const struct CMUnitTest tests[] = {
		TEST(what_was_sent_is_received),
		TEST(any_flipped_bit_is_found),
		TEST(a_spoiled_mark_is_found_without_verifying),
		TEST(a_cut_packet_is_not_received),
		TEST(segments_make_no_difference),
		TEST(others_are_foreign),
		TEST(latency_and_jitter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
