/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/weir-gen/traffic.c"

#include "tools/weir-gen/choose.c"
#include "tools/weir-gen/mark.c"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct traffic_conf usual = {
	.size = {.low = 64, .high = 64},
	.protocol = IP_PROTO_UDP,
	.src = {.addr = {0}, .len = 24},
	.dst = {.addr = {0}, .len = 30},
	.sport = {1000, 1001},
	.dport = {9, 11},
	.smac = {{2, 0, 0, 0, 0, 1}},
	.dmac = {{2, 0, 0, 0, 0, 2}},
	.ttl = 64,
	.tos = 0x28,
	.stream = 5,
	.n_flows = 1,
	.exponent = 1,
	.seed = 1,
};

static struct traffic_conf conf_with(uint32_t n_flows, uint16_t low, uint16_t high)
{
	struct traffic_conf conf = usual;

	conf.src.addr = ip4_from(0x0a000100); /* 10.0.1.0/24 */
	conf.dst.addr = ip4_from(0xc0000204); /* 192.0.2.4/30 */
	conf.n_flows = n_flows;
	conf.size.low = low;
	conf.size.high = high;
	return conf;
}

static struct traffic *create(const struct traffic_conf *conf)
{
	struct traffic *t;

	assert_int_equal(wr_traffic_create(conf, &t), 0);
	return t;
}

/* RFC 1071 to the letter: 16-bit words, carries added back at once. */
static uint16_t naive_sum(const uint8_t *bytes, size_t n, uint16_t start)
{
	uint32_t sum = start;

	for (size_t i = 0; i < n; i++) {
		sum += i % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
		sum = (sum & 0xffff) + (sum >> 16);
	}
	return (uint16_t)sum;
}

/* Of the L4 packet with its pseudo-header: 0xffff if it is right. */
static uint16_t naive_l4_sum(const uint8_t *frame, unsigned len)
{
	const unsigned n = len - L4_AT;
	uint8_t pseudo[12] = {0};

	memcpy(pseudo, frame + IP_AT + 12, 8);
	pseudo[9] = frame[IP_AT + 9];
	pseudo[10] = (uint8_t)(n >> 8);
	pseudo[11] = (uint8_t)n;
	return naive_sum(frame + L4_AT, n, naive_sum(pseudo, sizeof(pseudo), 0));
}

static unsigned get16(const uint8_t *at)
{
	return (unsigned)at[0] << 8 | at[1];
}

static void check_frame(const uint8_t *frame, unsigned len, uint8_t protocol)
{
	assert_memory_equal(frame, usual.dmac.b, 6);
	assert_memory_equal(frame + 6, usual.smac.b, 6);
	assert_int_equal(get16(frame + 12), 0x0800);
	assert_int_equal(frame[IP_AT], 0x45);
	assert_int_equal(frame[IP_AT + 1], 0x28);
	assert_int_equal(get16(frame + IP_AT + 2), len - IP_AT);
	assert_int_equal(frame[IP_AT + 8], 64);
	assert_int_equal(frame[IP_AT + 9], protocol);
	assert_int_equal(naive_sum(frame + IP_AT, 20, 0), 0xffff);
	assert_int_equal(naive_l4_sum(frame, len), 0xffff);
	if (protocol == IP_PROTO_UDP)
		assert_int_equal(get16(frame + L4_AT + 4), len - L4_AT);
}

/* Every size, and many numbers and times: any carry that is forgotten shows up. */
static void checksums_are_right(void **state)
{
	static const uint8_t protocols[] = {IP_PROTO_UDP, IP_PROTO_TCP};
	static uint8_t frame[MAX_FRAME_BYTES];
	uint64_t seed = 1;

	(void)state;
	for (unsigned p = 0; p < 2; p++) {
		struct traffic_conf conf = conf_with(1000, 76, MAX_FRAME_BYTES);
		struct traffic *t;

		conf.protocol = protocols[p];
		t = create(&conf);
		for (unsigned i = 0; i < 20000; i++) {
			unsigned len;

			if (i % 100 == 0) /* far numbers */
				t->next_seq = wr_splitmix(&seed);
			t->flows[i % 1000].next_seq = wr_splitmix(&seed) >> (64 - MARK_SEQ_BITS);
			len = wr_traffic_build(t, wr_splitmix(&seed), frame);
			assert_in_range(len, 72, MAX_FRAME_BYTES - 4);
			check_frame(frame, len, protocols[p]);
		}
		wr_traffic_free(t);
	}
}

static void a_udp_checksum_of_zero_is_written_as_ones(void **state)
{
	struct traffic_conf conf = conf_with(1, 64, 64);
	struct traffic *t = create(&conf);
	uint8_t frame[60];
	unsigned n_ones = 0;

	(void)state;
	for (unsigned i = 0; i < 200000; i++) {
		const unsigned len = wr_traffic_build(t, i, frame);

		assert_int_not_equal(get16(frame + UDP_CSUM_AT), 0);
		if (get16(frame + UDP_CSUM_AT) != 0xffff)
			continue;
		n_ones++;
		check_frame(frame, len, IP_PROTO_UDP);
	}
	assert_true(n_ones > 0);
	wr_traffic_free(t);
}

static void without_a_udp_checksum_there_is_none(void **state)
{
	struct traffic_conf conf = conf_with(1, 100, 100);
	struct traffic *t;
	uint8_t frame[100];

	(void)state;
	conf.no_udp_checksum = true;
	t = create(&conf);
	wr_traffic_build(t, 1, frame);
	assert_int_equal(get16(frame + UDP_CSUM_AT), 0);
	wr_traffic_free(t);
}

/* All combinations of 4 destinations, 256 sources, 2 and 3 ports, each once. */
static void flows_are_different(void **state)
{
	enum { N = 4 * 256 * 2 * 3 };
	static bool is_seen[N];

	(void)state;
	for (unsigned shuffled = 0; shuffled < 2; shuffled++) {
		struct traffic_conf conf = conf_with(N, 64, 64);
		struct traffic *t;
		uint8_t frame[60];

		conf.is_shuffled = shuffled;
		assert_int_equal(wr_traffic_max_flows(&conf), N);
		t = create(&conf);
		memset(is_seen, 0, sizeof(is_seen));
		for (unsigned i = 0; i < N; i++) {
			const unsigned len = wr_traffic_build(t, i, frame);
			const unsigned src = wr_get32(frame + 26) - 0x0a000100;
			const unsigned dst = wr_get32(frame + 30) - 0xc0000204;
			const unsigned sport = get16(frame + 34) - 1000;
			const unsigned dport = get16(frame + 36) - 9;
			bool *seen;

			assert_true(src < 256 && dst < 4 && sport < 2 && dport < 3);
			if (!shuffled) /* destinations vary first */
				assert_int_equal(dst, i % 4);
			seen = &is_seen[((src * 4 + dst) * 2 + sport) * 3 + dport];
			assert_false(*seen);
			*seen = true;
			check_frame(frame, len, IP_PROTO_UDP);
		}
		wr_traffic_free(t);
	}
}

static void marks_number_packets_and_flows(void **state)
{
	static const uint16_t sizes[] = {64, 75, 76, 1518};
	uint8_t frame[1518];

	(void)state;
	for (unsigned s = 0; s < wr_array_size(sizes); s++) {
		struct traffic_conf conf = conf_with(3, sizes[s], sizes[s]);
		struct traffic *t = create(&conf);

		for (unsigned i = 0; i < 9; i++) {
			const uint64_t now_ns = (UINT64_C(0x1234) << 48) + i * 1000;
			const unsigned len = wr_traffic_build(t, now_ns, frame);
			const uint8_t *payload = frame + 42;
			struct mark mark;
			bool is_whole;

			assert_int_equal(len, sizes[s] - 4);
			assert_true(wr_mark_read(payload, len - 42, &mark, &is_whole));
			assert_true(is_whole);
			assert_int_equal(mark.is_long, sizes[s] >= 76);
			assert_int_equal(mark.stream, 5);
			assert_int_equal(mark.flow, i % 3);
			assert_int_equal(mark.flow_seq, i / 3);
			assert_int_equal(mark.time_ns, i * 1000);
			assert_int_equal(mark.seq, mark.is_long ? i : 0);
			if (mark.is_long)
				assert_memory_equal(payload + MARK_LONG_BYTES, t->pattern.bytes,
						    len - 42 - MARK_LONG_BYTES);
		}
		wr_traffic_free(t);
	}
}

static void imix_is_seven_to_four_to_one(void **state)
{
	enum { N = 120000 };
	struct traffic_conf conf = conf_with(1, 64, 1518);
	static uint8_t frame[1518];
	unsigned n[3] = {0};
	struct traffic *t;

	(void)state;
	conf.size.is_imix = true;
	t = create(&conf);
	for (unsigned i = 0; i < N; i++) {
		const unsigned len = wr_traffic_build(t, i, frame) + 4;

		assert_true(len == 64 || len == 594 || len == 1518);
		n[len == 64 ? 0 : len == 594 ? 1 : 2]++;
	}
	/* Five standard deviations. */
	assert_in_range(n[0], N / 12 * 7 - 860, N / 12 * 7 + 860);
	assert_in_range(n[1], N / 12 * 4 - 820, N / 12 * 4 + 820);
	assert_in_range(n[2], N / 12 - 480, N / 12 + 480);
	wr_traffic_free(t);
}

static void combinations_are_counted_without_overflow(void **state)
{
	struct traffic_conf conf = conf_with(1, 64, 64);

	(void)state;
	conf.src.len = conf.dst.len = 0;
	conf.sport = conf.dport = (struct port_range){0, 65535};
	assert_int_equal(wr_traffic_max_flows(&conf), MARK_MAX_FLOWS);
	conf.src.len = conf.dst.len = 32;
	assert_int_equal(wr_traffic_max_flows(&conf), MARK_MAX_FLOWS);
	conf.sport = conf.dport = (struct port_range){7, 7};
	assert_int_equal(wr_traffic_max_flows(&conf), 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test(name)
	const struct CMUnitTest tests[] = {
		TEST(checksums_are_right),
		TEST(a_udp_checksum_of_zero_is_written_as_ones),
		TEST(without_a_udp_checksum_there_is_none),
		TEST(flows_are_different),
		TEST(marks_number_packets_and_flows),
		TEST(imix_is_seven_to_four_to_one),
		TEST(combinations_are_counted_without_overflow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
