/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A TUN by its string: the same driver as TAP, with an Ethernet header that the kernel never sees.
 */
#include "lib/port/tap.c"

#include "lib/mem/l4_csum.h"
#include "tests/unit/lib/port/tap_world.h"

static void open_up(struct world *w, const char *text, unsigned mtu)
{
	world_open(w, text);
	world_up(mtu);
}

static void packets_pass_unchanged(struct world *w, size_t max_data)
{
	static const size_t sizes[] = {1,    18,   500,   1472,  2006, 2007,
				       4054, 9000, 36000, 64000, 65000};
	static uint8_t sent[MAX_BYTES], got[MAX_BYTES], data[MAX_BYTES];
	int fd;

	open_up(w, "tun:t0", 65535);
	fd = open_inet(SOCK_DGRAM);
	for (unsigned i = 0; i < wr_array_size(sizes) && sizes[i] <= max_data; i++) {
		size_t n = 42 + sizes[i];
		struct packet *pkt;

		fill_pattern(data, sizes[i], i);
		send_udp(fd, data, sizes[i]);
		pkt = receive(w);
		assert_int_equal(pkt->len, n);
		assert_int_equal(pkt->flags, PKT_CSUM_PARTIAL);
		assert_int_equal(take_bytes(w, pkt, got), n);
		assert_memory_equal(got, our_mac.b, sizeof(our_mac));
		assert_int_equal(got[12] << 8 | got[13], ETHERTYPE_IP4);
		assert_memory_equal(got + 42, data, sizes[i]);

		make_eth(sent, ETHERTYPE_IP4);
		assert_int_equal(make_udp(sent + ETH_HDR_BYTES, sizes[i]), n - ETH_HDR_BYTES);
		transmit(w, sent, n, PKT_CSUM_PARTIAL);
		assert_int_equal(recv(fd, got, sizeof(got), 0), sizes[i]);
		assert_memory_equal(got, sent + 42, sizes[i]);
	}
	assert_int_equal(w->q->counters.tx_errors, 0);
	close(fd);
}

static void packets_pass_unchanged_in_2k_frames(void **state)
{
	packets_pass_unchanged(*state, 36000);
}

static void packets_pass_unchanged_in_4k_frames(void **state)
{
	packets_pass_unchanged(*state, 65000);
}

static void tcp_both_ways(void **state)
{
	struct world *w = *state;
	uint8_t frame[100];
	struct packet *pkt;
	int fd;

	open_up(w, "tun:t0", 1500);
	fd = open_inet(SOCK_STREAM);
	assert_int_equal(listen(fd, 1), 0);
	make_eth(frame, ETHERTYPE_IP4);
	transmit(w, frame, ETH_HDR_BYTES + make_syn(frame + ETH_HDR_BYTES), PKT_CSUM_PARTIAL);
	pkt = receive(w);
	assert_int_equal(pkt->flags, PKT_CSUM_PARTIAL);
	assert_int_equal(pkt->data[47], 0x12); /* SYN, ACK */
	assert_true(is_pseudo_sum(pkt->data + ETH_HDR_BYTES));
	wr_packet_free(&w->pool, pkt);
	close(fd);
}

static void ip6_is_finished_on_receipt(void **state)
{
	struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_port = htons(OUR_PORT)};
	struct world *w = *state;
	static uint8_t data[3001], frame[MAX_BYTES];
	int fd;

	open_up(w, "tun:t0", 9000);
	world_ip6();
	assert_int_equal(inet_pton(AF_INET6, "fd00::2", &to.sin6_addr), 1);
	fill_pattern(data, sizeof(data), 1);
	fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(sendto(fd, data, sizeof(data), 0, (struct sockaddr *)&to, sizeof(to)),
			 sizeof(data));
	do {
		struct packet *pkt = receive(w);

		assert_int_equal(pkt->flags, 0);
		take_bytes(w, pkt, frame);
	} while (frame[20] != IPPROTO_UDP);
	assert_int_equal(frame[12] << 8 | frame[13], 0x86dd);
	assert_int_equal(sum_ip6(frame + ETH_HDR_BYTES), 0xffff);
	close(fd);
}

static void arp_cannot_be_sent(void **state)
{
	struct world *w = *state;
	uint8_t frame[60] = {0};

	open_up(w, "tun:t0", 1500);
	make_eth(frame, 0x0806);
	transmit(w, frame, sizeof(frame), 0);
	assert_int_equal(w->q->counters.tx_errors, 1);
	assert_int_equal(w->q->counters.tx_pkts, 1);
}

static void it_is_a_tun(void **state)
{
	struct world *w = *state;

	world_open(w, "tun:t0,queues=2");
	run("ip -d link show t0 | grep -q 'tun type tun'");
	assert_int_equal(w->port->n_queues, 2);
	assert_int_equal(w->port->ifindex, if_nametoindex("t0"));
	assert_string_equal(w->port->mode, "tun");
	assert_true(w->port->flags & PORT_TX_CSUM);
	world_close(w);
	assert_int_equal(if_nametoindex("t0"), 0);
	run("ip tuntap add t0 mode tun");
	world_open(w, "tun:t0");
	world_close(w);
	run("ip link del t0");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_2k, teardown)
	const struct CMUnitTest tests[] = {
		TEST(packets_pass_unchanged_in_2k_frames),
		cmocka_unit_test_setup_teardown(packets_pass_unchanged_in_4k_frames, setup_4k,
						teardown),
		TEST(tcp_both_ways),
		TEST(ip6_is_finished_on_receipt),
		TEST(arp_cannot_be_sent),
		TEST(it_is_a_tun),
	};

	if (!has_namespace()) {
		printf("skip: needs root, a network namespace and /dev/net/tun\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
