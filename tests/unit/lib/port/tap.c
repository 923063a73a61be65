/* SPDX-License-Identifier: BSD-3-Clause */
#include "lib/port/tap.c"

#include "lib/mem/l4_csum.h"
#include "tests/unit/lib/port/tap_world.h"

#include <netinet/in.h>
#include <sys/mount.h>
#include <sys/wait.h>

/* A TAP that is up, with a neighbour on our side. */
static void open_up(struct world *w, const char *text, unsigned mtu)
{
	world_open(w, text);
	world_up(mtu);
	run("ip link set t0 address 02:00:00:00:07:01");
	run("ip neigh replace 10.7.0.2 lladdr 02:00:00:00:07:02 dev t0");
}

/* --- bytes ------------------------------------------------------------------------------------ */

static void send_from_kernel(int fd, const uint8_t *frame, size_t n)
{
	assert_int_equal(send(fd, frame, n, 0), n);
}

/* The next test frame that AF_PACKET sees come in by the interface. */
static size_t receive_at_kernel(int fd, uint8_t *frame)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	while (poll(&p, 1, WAIT_MS) == 1) {
		struct sockaddr_ll from;
		socklen_t len = sizeof(from);
		ssize_t n = recvfrom(fd, frame, MAX_BYTES, 0, (struct sockaddr *)&from, &len);

		if (from.sll_pkttype != PACKET_OUTGOING &&
		    from.sll_protocol == htons(ETHERTYPE_TEST))
			return (size_t)n;
	}
	fail_msg("the kernel received no frame");
	return 0;
}

/* The next of the test's frames, past what the kernel says by itself. */
static size_t receive_test_frame(struct world *w, uint8_t *frame)
{
	size_t n;

	do
		n = take_bytes(w, receive(w), frame);
	while (n < ETH_HDR_BYTES || be16_to(((struct eth_hdr *)frame)->type) != ETHERTYPE_TEST);
	return n;
}

static void pass_both_ways(struct world *w, int fd, size_t n)
{
	static uint8_t sent[MAX_BYTES], got[MAX_BYTES];

	fill_pattern(sent, n, (unsigned)n);
	make_eth(sent, ETHERTYPE_TEST);
	send_from_kernel(fd, sent, n);
	assert_int_equal(receive_test_frame(w, got), n);
	assert_memory_equal(got, sent, n);
	transmit(w, sent, n, 0);
	assert_int_equal(receive_at_kernel(fd, got), n);
	assert_memory_equal(got, sent, n);
}

static void frames_pass_unchanged(struct world *w, size_t max)
{
	static const size_t others[] = {1983, 1984, 1985, 4031,  4032,  4033,
					9014, 8192, 9000, 36800, 65000, 65535};
	int fd;

	open_up(w, "tap:t0", 65521);
	assert_int_equal(w->port->max_frame_bytes, max);
	fd = open_packet("t0");
	for (size_t n = 60; n <= 9014; n += 89)
		pass_both_ways(w, fd, n);
	for (unsigned i = 0; i < wr_array_size(others); i++)
		if (others[i] <= max)
			pass_both_ways(w, fd, others[i]);
	assert_int_equal(w->q->counters.rx_bad, 0);
	assert_int_equal(w->q->counters.tx_errors, 0);
	close(fd);
}

static void frames_pass_unchanged_in_2k_frames(void **state)
{
	frames_pass_unchanged(*state, 36864 - WR_HEADROOM);
}

static void frames_pass_unchanged_in_4k_frames(void **state)
{
	frames_pass_unchanged(*state, 65535);
}

static void what_a_packet_cannot_hold_is_counted(void **state)
{
	struct world *w = *state;
	static uint8_t frame[MAX_BYTES];
	int fd;

	open_up(w, "tap:t0", 65521);
	fd = open_packet("t0");
	make_eth(frame, ETHERTYPE_TEST);
	send_from_kernel(fd, frame, 36801);
	send_from_kernel(fd, frame, 36800);
	assert_int_equal(receive_test_frame(w, frame), 36800);
	assert_int_equal(w->q->counters.rx_bad, 1);
	assert_int_equal(w->q->counters.rx_pkts, 1);
	assert_int_equal(w->q->counters.rx_bytes, 36800);
	close(fd);
}

static void a_burst_is_read_in_order(void **state)
{
	enum { N = 100 };
	struct world *w = *state;
	struct packet *pkts[N + 10];
	uint8_t frame[200] = {0};
	unsigned n = 0;
	int fd;

	open_up(w, "tap:t0", 1500);
	fd = open_packet("t0");
	make_eth(frame, ETHERTYPE_TEST);
	for (unsigned i = 0; i < N; i++) {
		frame[20] = (uint8_t)i;
		send_from_kernel(fd, frame, sizeof(frame));
	}
	while (n < N)
		n += wr_port_rx(w->q, &pkts[n], N + 10 - n);
	assert_int_equal(n, N);
	for (unsigned i = 0; i < N; i++) {
		assert_int_equal(pkts[i]->data[20], i);
		wr_packet_free(&w->pool, pkts[i]);
	}
	assert_int_equal(wr_port_rx(w->q, pkts, N), 0);
	close(fd);
}

/* --- checksums -------------------------------------------------------------------------------- */

static void the_kernels_checksums_may_be_unfinished(void **state)
{
	static const size_t sizes[] = {1, 18, 1000, 8000};
	struct world *w = *state;
	static uint8_t data[8000], frame[MAX_BYTES];
	int fd;

	open_up(w, "tap:t0", 9000);
	fd = open_inet(SOCK_DGRAM);
	for (unsigned i = 0; i < wr_array_size(sizes); i++) {
		struct packet *pkt;

		send_udp(fd, data, sizes[i]);
		pkt = receive(w);
		assert_int_equal(pkt->flags, PKT_CSUM_PARTIAL);
		assert_int_equal(pkt->gso_bytes, 0);
		wr_l4_finish(pkt, (struct ip4_hdr *)(pkt->data + ETH_HDR_BYTES));
		assert_int_equal(take_bytes(w, pkt, frame), 42 + sizes[i]);
		assert_int_equal(sum_ip4(frame + ETH_HDR_BYTES), 0xffff);
	}
	close(fd);
}

static void without_the_offer_they_are_finished(void **state)
{
	const struct tap_conf conf = {.ifname = "t0", .n_queues = 1};
	struct world *w = *state;
	static uint8_t data[1000], frame[MAX_BYTES];
	struct packet *pkt;
	int fd;

	assert_int_equal(wr_port_tap_open(w->umem, &conf, &w->port, NULL), 0);
	world_start(w);
	world_up(1500);
	run("ip neigh replace 10.7.0.2 lladdr 02:00:00:00:07:02 dev t0");
	fd = open_inet(SOCK_DGRAM);
	send_udp(fd, data, sizeof(data));
	pkt = receive(w);
	assert_int_equal(pkt->flags, 0);
	take_bytes(w, pkt, frame);
	assert_int_equal(sum_ip4(frame + ETH_HDR_BYTES), 0xffff);
	close(fd);
}

/* IPv4 with options, IPv6: nobody behind us could finish those. */
static void others_are_finished_on_receipt(void **state)
{
	static const uint8_t options[4] = {1, 1, 1, 0};
	struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_port = htons(OUR_PORT)};
	struct world *w = *state;
	static uint8_t data[5001], frame[MAX_BYTES];
	struct packet *pkt;
	int fd;

	open_up(w, "tap:t0", 9000);
	fill_pattern(data, sizeof(data), 3);
	fd = open_inet(SOCK_DGRAM);
	assert_int_equal(setsockopt(fd, IPPROTO_IP, IP_OPTIONS, options, sizeof(options)), 0);
	send_udp(fd, data, sizeof(data));
	pkt = receive(w);
	assert_int_equal(pkt->flags, 0);
	assert_int_equal(take_bytes(w, pkt, frame), 46 + sizeof(data));
	assert_int_equal(frame[14], 0x46);
	assert_int_equal(sum_ip4(frame + ETH_HDR_BYTES), 0xffff);
	close(fd);

	world_ip6();
	run("ip -6 neigh replace fd00::2 lladdr 02:00:00:00:07:02 dev t0");
	assert_int_equal(inet_pton(AF_INET6, "fd00::2", &to.sin6_addr), 1);
	fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(sendto(fd, data, sizeof(data), 0, (struct sockaddr *)&to, sizeof(to)),
			 sizeof(data));
	do {
		pkt = receive(w);
		assert_int_equal(pkt->flags, 0);
		take_bytes(w, pkt, frame);
	} while (frame[20] != IPPROTO_UDP); /* past multicast listener reports */
	assert_int_equal(sum_ip6(frame + ETH_HDR_BYTES), 0xffff);
	close(fd);
}

static void the_kernel_finishes_ours(void **state)
{
	static const size_t sizes[] = {4, 1000, 8000};
	struct world *w = *state;
	static uint8_t frame[MAX_BYTES], got[MAX_BYTES];
	int fd;

	open_up(w, "tap:t0", 9000);
	fd = open_inet(SOCK_DGRAM);
	make_eth(frame, ETHERTYPE_IP4);
	for (unsigned i = 0; i < wr_array_size(sizes); i++) {
		size_t n = ETH_HDR_BYTES + make_udp(frame + ETH_HDR_BYTES, sizes[i]);

		transmit(w, frame, n, PKT_CSUM_PARTIAL);
		assert_int_equal(recv(fd, got, sizeof(got), 0), sizes[i]);
		assert_memory_equal(got, frame + 42, sizes[i]);
		transmit(w, frame, n, 0); /* without the flag it is a wrong checksum */
		assert_int_equal(recv(fd, got, sizeof(got), 0), -1);
	}
	close(fd);
}

static void tcp_both_ways(void **state)
{
	struct world *w = *state;
	uint8_t frame[100];
	struct packet *pkt;
	int fd;

	open_up(w, "tap:t0", 1500);
	fd = open_inet(SOCK_STREAM);
	assert_int_equal(listen(fd, 1), 0);
	make_eth(frame, ETHERTYPE_IP4);
	transmit(w, frame, ETH_HDR_BYTES + make_syn(frame + ETH_HDR_BYTES), PKT_CSUM_PARTIAL);
	pkt = receive(w);
	assert_int_equal(pkt->flags, PKT_CSUM_PARTIAL);
	assert_int_equal(pkt->data[23], IP_PROTO_TCP);
	assert_int_equal(pkt->data[47], 0x12); /* SYN, ACK */
	assert_true(is_pseudo_sum(pkt->data + ETH_HDR_BYTES));
	assert_true(w->port->flags & PORT_TX_CSUM);
	wr_packet_free(&w->pool, pkt);
	close(fd);
}

/* --- limits ----------------------------------------------------------------------------------- */

static void without_frames_packets_wait(void **state)
{
	static struct packet *all[WORLD_FRAMES];
	struct world *w = *state;
	uint8_t frame[100] = {0};
	struct packet *pkt;
	unsigned n_all;
	int fd;

	open_up(w, "tap:t0", 1500);
	fd = open_packet("t0");
	n_all = wr_pool_get(&w->pool, all, WORLD_FRAMES);
	assert_int_equal(n_all, WORLD_FRAMES - WR_MAX_SEGS);
	make_eth(frame, ETHERTYPE_TEST);
	for (unsigned i = 0; i < 3; i++)
		send_from_kernel(fd, frame, sizeof(frame));
	assert_int_equal(wr_port_rx(w->q, &pkt, 1), 1); /* into what it had */
	wr_packet_free(&w->pool, pkt);
	assert_int_equal(wr_port_rx(w->q, &pkt, 1), 1);
	assert_int_equal(w->q->counters.rx_no_frames, 0);
	all[n_all++] = pkt;
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(wr_port_rx(w->q, &pkt, 1), 0);
	assert_int_equal(w->q->counters.rx_no_frames, 1);
	while (n_all)
		wr_packet_free(&w->pool, all[--n_all]);
	assert_int_equal(wr_port_rx(w->q, &pkt, 1), 1);
	wr_packet_free(&w->pool, pkt);
	assert_int_equal(w->q->counters.rx_no_frames, 1);
	close(fd);
}

static void discard_throws_away_what_came(void **state)
{
	struct world *w = *state;
	uint8_t frame[1000] = {0};
	struct packet *pkt;
	int fd;

	open_up(w, "tap:t0", 1500);
	fd = open_packet("t0");
	make_eth(frame, ETHERTYPE_TEST);
	w->port->ops->discard(w->q);
	w->q->counters.rx_stale = 0;
	for (unsigned i = 0; i < 7; i++)
		send_from_kernel(fd, frame, sizeof(frame));
	w->port->ops->discard(w->q);
	assert_int_equal(w->q->counters.rx_stale, 7);
	assert_int_equal(wr_port_rx(w->q, &pkt, 1), 0);
	assert_int_equal(w->q->counters.rx_pkts, 0);
	close(fd);
}

static void what_the_kernel_refuses_is_counted(void **state)
{
	struct world *w = *state;
	uint8_t frame[100] = {0};

	world_open(w, "tap:t0"); /* and down */
	make_eth(frame, ETHERTYPE_TEST);
	transmit(w, frame, sizeof(frame), 0);
	assert_int_equal(w->q->counters.tx_errors, 1);
	run("ip link set t0 up");
	transmit(w, frame, 10, 0); /* shorter than an Ethernet header */
	assert_int_equal(w->q->counters.tx_errors, 2);
	transmit(w, frame, sizeof(frame), 0);
	assert_int_equal(w->q->counters.tx_errors, 2);
	assert_int_equal(w->q->counters.tx_pkts, 3);
	assert_int_equal(w->q->counters.tx_bytes, 210);
	assert_int_equal(w->q->counters.tx_kicks, 3);
}

/* --- queues ----------------------------------------------------------------------------------- */

static void all_queues_carry(void **state)
{
	enum { N_FLOWS = 64, N_QUEUES = 3 };
	struct world *w = *state;
	unsigned n_used = 0, n = 0;
	static uint8_t frame[MAX_BYTES], got[MAX_BYTES];
	int fd;

	open_up(w, "tap:t0,queues=3", 1500);
	assert_int_equal(w->port->n_queues, N_QUEUES);
	fd = open_inet(SOCK_DGRAM);
	for (unsigned i = 0; i < N_FLOWS; i++) {
		struct sockaddr_in to = {.sin_family = AF_INET,
					 .sin_port = htons((uint16_t)(1000 + i)),
					 .sin_addr = {htonl(0x0a070002)}};

		assert_int_equal(sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof(to)), 1);
	}
	for (unsigned i = 0; i < N_QUEUES; i++) {
		struct packet *pkt;

		while (wr_port_rx(w->port->queues[i], &pkt, 1)) {
			n += pkt->len == 43;
			wr_packet_free(&w->pool, pkt);
		}
		n_used += w->port->queues[i]->counters.rx_pkts > 0;
	}
	assert_int_equal(n, N_FLOWS);
	assert_true(n_used > 1);
	make_eth(frame, ETHERTYPE_IP4);
	for (unsigned i = 0; i < N_QUEUES; i++) {
		size_t len = ETH_HDR_BYTES + make_udp(frame + ETH_HDR_BYTES, 100 + i);

		w->q = w->port->queues[i];
		transmit(w, frame, len, PKT_CSUM_PARTIAL);
		assert_int_equal(recv(fd, got, sizeof(got), 0), 100 + i);
	}
	close(fd);
}

/* --- the interface ---------------------------------------------------------------------------- */

static void it_is_made_and_dies_with_the_port(void **state)
{
	struct world *w = *state;

	world_open(w, "tap:t0");
	assert_int_equal(w->port->ifindex, if_nametoindex("t0"));
	assert_true(w->port->ifindex);
	assert_string_equal(w->port->name, "t0");
	run("ip -d link show t0 | grep -q 'tun type tap'");
	run("ip link show t0 | grep -q DOWN"); /* the operator's to bring up */
	world_close(w);
	assert_int_equal(if_nametoindex("t0"), 0);
}

static void a_persistent_one_stays(void **state)
{
	static const char *const makes[] = {"", "multi_queue"};
	struct world *w = *state;

	for (unsigned i = 0; i < wr_array_size(makes); i++) {
		run("ip tuntap add t0 mode tap %s", makes[i]);
		for (unsigned round = 0; round < 3; round++) {
			world_open(w, "tap:t0");
			world_close(w);
		}
		assert_true(if_nametoindex("t0"));
		run("ip link del t0");
	}
	run("ip tuntap add t0 mode tap multi_queue");
	world_open(w, "tap:t0,queues=4");
	world_close(w);
	run("ip link del t0");
}

static uint64_t is_gone_fact;

static void take_fact(void *arg, const char *name, uint64_t value)
{
	(void)arg;
	assert_string_equal(name, "gone");
	is_gone_fact = value;
}

static void a_deleted_one_lets_its_worker_sleep(void **state)
{
	struct world *w = *state;
	uint8_t frame[60] = {0};
	struct packet *pkt;

	world_open(w, "tap:t0");
	assert_true(w->port->ops->fd(w->q) >= 0);
	w->port->ops->facts(w->port, take_fact, NULL);
	assert_int_equal(is_gone_fact, 0);
	run("ip link del t0");
	assert_int_equal(wr_port_rx(w->q, &pkt, 1), 0);
	assert_int_equal(w->port->ops->fd(w->q), -1);
	w->port->ops->facts(w->port, take_fact, NULL);
	assert_int_equal(is_gone_fact, 1);
	transmit(w, frame, sizeof(frame), 0);
	assert_int_equal(w->q->counters.tx_errors, 1);
}

static const struct {
	const char *before, *text;
	int rc;
	const char *sentence, *after;
} wrong[] = {
	{"true", "tap:t%d", -EINVAL,
	 "t%d: not a name that an interface can have: 1 to 15 characters, none of them '/', ':', "
	 "'%' or a space",
	 "true"},
	{"true", "tap:0123456789abcdef", -EINVAL,
	 "0123456789abcdef: not a name that an interface can have: 1 to 15 characters, none of "
	 "them '/', ':', '%' or a space",
	 "true"},
	{"ip link add v0 type veth peer name v1", "tap:v0", -EEXIST,
	 "v0: the interface exists and is no tap device: use another name", "ip link del v0"},
	{"true", "tap:lo", -EEXIST,
	 "lo: the interface exists and is no tap device: use another name", "true"},
	{"ip tuntap add t9 mode tun", "tap:t9", -EEXIST,
	 "t9: the interface exists and is a tun, no tap: use tun:t9, or another name",
	 "ip link del t9"},
	{"ip tuntap add t9 mode tap", "tun:t9", -EEXIST,
	 "t9: the interface exists and is a tap, no tun: use tap:t9, or another name",
	 "ip link del t9"},
	{"ip tuntap add t9 mode tap", "tap:t9,queues=2", -EINVAL,
	 "t9: 2 queues, and the interface was made for one: use queues=1, or make it by "
	 "'ip tuntap add t9 mode tap multi_queue'",
	 "ip link del t9"},
};

static void what_is_wrong_is_said(void **state)
{
	struct world *w = *state;

	for (unsigned i = 0; i < wr_array_size(wrong); i++) {
		struct wr_err err = {""};

		run("%s", wrong[i].before);
		assert_int_equal(world_try(w, wrong[i].text, &err), wrong[i].rc);
		assert_string_equal(err.text, wrong[i].sentence);
		assert_null(w->port);
		run("%s", wrong[i].after);
	}
	assert_int_equal(count_fds(), w->n_fds);
}

static void a_taken_one_is_busy(void **state)
{
	static const char *const texts[] = {"tap:t0", "tap:t0,queues=2"};
	struct world *w = *state;

	for (unsigned i = 0; i < wr_array_size(texts); i++) {
		struct wr_err err = {""};
		struct port *first;
		unsigned n_fds;

		world_open(w, texts[i]);
		first = w->port;
		n_fds = count_fds();
		assert_int_equal(world_try(w, texts[i], &err), -EBUSY);
		assert_string_equal(err.text, "t0: another process has the interface: stop that "
					      "one, or use another name");
		assert_int_equal(count_fds(), n_fds);
		w->port = first;
		world_close(w);
	}
}

/* In a child, since it cannot come back: exit status 0 if the sentence is this. */
static void in_a_child(struct world *w, void (*prepare)(void), const char *sentence)
{
	struct wr_err err = {""};
	int status;
	pid_t pid = fork();

	if (!pid) {
		prepare();
		if (world_try(w, "tap:t0", &err) < 0 && !strcmp(err.text, sentence))
			_exit(0);
		printf("%s\n", err.text);
		fflush(stdout);
		_exit(1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void become_nobody(void)
{
	if (setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534))
		_exit(2);
}

static void hide_dev_net(void)
{
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("tmpfs", "/dev/net", "tmpfs", 0, NULL))
		_exit(2);
}

static void what_the_machine_lacks_is_said(void **state)
{
	in_a_child(*state, become_nobody,
		   "t0: opening a tap device needs CAP_NET_ADMIN, or one that is yours: "
		   "'ip tuntap add t0 mode tap user NAME'");
	in_a_child(*state, hide_dev_net, "t0: no /dev/net/tun: 'modprobe tun'");
}

static void impossible_queues_are_a_sentence(void **state)
{
	struct tap_conf conf = {.ifname = "t0", .n_queues = WR_MAX_QUEUES + 1};
	struct world *w = *state;
	struct wr_err err = {""};

	assert_int_equal(wr_port_tap_open(w->umem, &conf, &w->port, &err), -EINVAL);
	assert_string_equal(err.text, "t0: 65 queues: 1 to 64 are possible");
	conf.n_queues = 0;
	assert_int_equal(wr_port_tap_open(w->umem, &conf, &w->port, &err), -EINVAL);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_2k, teardown)
	const struct CMUnitTest tests[] = {
		TEST(frames_pass_unchanged_in_2k_frames),
		cmocka_unit_test_setup_teardown(frames_pass_unchanged_in_4k_frames, setup_4k,
						teardown),
		TEST(what_a_packet_cannot_hold_is_counted),
		TEST(a_burst_is_read_in_order),
		TEST(the_kernels_checksums_may_be_unfinished),
		TEST(without_the_offer_they_are_finished),
		TEST(others_are_finished_on_receipt),
		TEST(the_kernel_finishes_ours),
		TEST(tcp_both_ways),
		TEST(without_frames_packets_wait),
		TEST(discard_throws_away_what_came),
		TEST(what_the_kernel_refuses_is_counted),
		TEST(all_queues_carry),
		TEST(it_is_made_and_dies_with_the_port),
		TEST(a_persistent_one_stays),
		TEST(a_deleted_one_lets_its_worker_sleep),
		TEST(what_is_wrong_is_said),
		TEST(a_taken_one_is_busy),
		TEST(what_the_machine_lacks_is_said),
		TEST(impossible_queues_are_a_sentence),
	};

	if (!has_namespace()) {
		printf("skip: needs root, a network namespace and /dev/net/tun\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
