/* SPDX-License-Identifier: BSD-3-Clause */
/*
 *   our network namespace
 *   +-----------------------------------------------------------------------+
 *   |  AF_PACKET -- pb --- veth --- pa 10.9.0.1/24 <== mirred == weirN <-- tx()
 *   +-----------------------------------------------------------------------+
 *
 * rp_filter is 1 everywhere, so that the kernel takes a packet of 10.9.0.2 only if it came by pa.
 * That station is our AF_PACKET socket on pb; it answers no ARP, so pa has a static neighbour. What
 * is punted must be seen and answered as if pa had received it.
 */
#include "lib/port/punt_tap.c"

#include <arpa/inet.h>
#include <dirent.h>
#include <linux/if_packet.h>
#include <netinet/if_ether.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cmocka.h>

enum { N_FRAMES = 4096, WAIT_MS = 3000, N_QUEUES = 2, UDP_PORT = 7007, MTU = 9000 };

static const uint8_t mac_of_pa[6] = {2, 0, 0, 0, 9, 1}, mac_of_pb[6] = {2, 0, 0, 0, 9, 2};

struct fixture {
	struct umem *umem;
	struct pool pool;
	struct port *tap;
	int port_fd; /* AF_PACKET on pa: what tcpdump would see */
	int peer_fd; /* AF_PACKET on pb */
};

static void run(const char *fmt, ...) wr_printf(1, 2);

static void run(const char *fmt, ...)
{
	char command[300];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(command, sizeof(command), fmt, ap);
	va_end(ap);
	if (system(command))
		fail_msg("failed: %s", command);
}

static int open_packet(const char *ifname)
{
	struct sockaddr_ll addr = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_ALL),
		.sll_ifindex = (int)if_nametoindex(ifname),
	};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL));

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

static struct punt_tap_conf conf_of(const char *ifname)
{
	struct punt_tap_conf conf = {
		.ifname = ifname,
		.ifindex = if_nametoindex(ifname),
		.mtu = MTU,
		.n_queues = N_QUEUES,
	};

	memcpy(conf.mac.b, mac_of_pa, sizeof(mac_of_pa));
	return conf;
}

static int setup(void **state)
{
	const struct umem_conf umem_conf = {.n_frames = N_FRAMES, .frame_bytes = 2048};
	struct fixture *f = calloc(1, sizeof(*f));
	struct punt_tap_conf conf;
	struct wr_err err = {""};

	*state = f;
	if (!f || wr_umem_create(&umem_conf, &f->umem, NULL))
		return -1;
	wr_pool_init(&f->pool, f->umem);
	run("ip link add pa mtu 9000 address 02:00:00:00:09:01 type veth "
	    "peer name pb mtu 9000 address 02:00:00:00:09:02");
	run("sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.pa.rp_filter=1");
	run("ip link set pa up && ip link set pb up && ip addr add 10.9.0.1/24 dev pa");
	run("ip neigh add 10.9.0.2 lladdr 02:00:00:00:09:02 dev pa");
	conf = conf_of("pa");
	if (wr_port_punt_tap_open(f->umem, &conf, &f->tap, &err))
		fail_msg("%s", err.text);
	for (unsigned i = 0; i < N_QUEUES; i++) {
		f->tap->queues[i]->pool = &f->pool;
		assert_int_equal(f->tap->ops->start(f->tap->queues[i]), 0);
	}
	f->port_fd = open_packet("pa");
	f->peer_fd = open_packet("pb");
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	bool ok;

	if (f->tap)
		f->tap->ops->close(f->tap);
	close(f->port_fd);
	close(f->peer_fd);
	if (if_nametoindex("pa"))
		run("ip link del pa");
	wr_pool_fini(&f->pool);
	ok = wr_umem_audit(f->umem) == f->umem->n_frames;
	wr_umem_free(f->umem);
	free(f);
	return ok ? 0 : -1;
}

/* --- packets ---------------------------------------------------------------------------------- */

static uint16_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static uint32_t add_up(const void *data, size_t n, uint32_t sum)
{
	const uint8_t *bytes = data;

	for (size_t i = 0; i < n; i++)
		sum += i % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
	return sum;
}

struct frame {
	struct ether_header eth;
	struct iphdr ip;
	union {
		struct icmphdr icmp;
		struct udphdr udp;
	};
	uint8_t data[MTU - 28];
} __attribute__((packed));

/* From pb's address to pa's, `n_data` bytes behind the 8 of the L4 header. */
static size_t start_frame(struct frame *frame, uint8_t protocol, size_t n_data)
{
	memset(frame, 0, sizeof(*frame));
	memcpy(frame->eth.ether_dhost, mac_of_pa, 6);
	memcpy(frame->eth.ether_shost, mac_of_pb, 6);
	frame->eth.ether_type = htons(ETHERTYPE_IP);
	frame->ip.version = 4;
	frame->ip.ihl = 5;
	frame->ip.ttl = 64;
	frame->ip.protocol = protocol;
	frame->ip.tot_len = htons((uint16_t)(28 + n_data));
	frame->ip.saddr = htonl(0x0a090002);
	frame->ip.daddr = htonl(0x0a090001);
	frame->ip.check = htons((uint16_t)~fold(add_up(&frame->ip, 20, 0)));
	for (size_t i = 0; i < n_data; i++)
		frame->data[i] = (uint8_t)(i * 11 + 5);
	return 42 + n_data;
}

static size_t make_ping(struct frame *frame, size_t n_data)
{
	size_t n = start_frame(frame, IPPROTO_ICMP, n_data);

	frame->icmp.type = ICMP_ECHO;
	frame->icmp.un.echo.id = htons(77);
	frame->icmp.checksum = htons((uint16_t)~fold(add_up(&frame->icmp, 8 + n_data, 0)));
	return n;
}

/* The checksum is as a local sender leaves it: the pseudo-header's sum. */
static size_t make_unfinished_udp(struct frame *frame, size_t n_data)
{
	size_t n = start_frame(frame, IPPROTO_UDP, n_data);

	frame->udp.source = htons(5000);
	frame->udp.dest = htons(UDP_PORT);
	frame->udp.len = htons((uint16_t)(8 + n_data));
	frame->udp.check =
		htons(fold(add_up(&frame->ip.saddr, 8, (uint32_t)(IPPROTO_UDP + 8 + n_data))));
	return n;
}

static void punt(struct fixture *f, unsigned queue_idx, const struct frame *frame, size_t n,
		 uint8_t flags)
{
	struct packet *pkt = wr_packet_from(&f->pool, frame, n);

	assert_non_null(pkt);
	pkt->flags = flags;
	wr_port_tx(f->tap->queues[queue_idx], &pkt, 1);
	f->tap->ops->flush(f->tap->queues[queue_idx]);
}

/* The next frame with IPv4 and this protocol that goes the way `pkttype` says; 0 if none comes
 * in time. */
static size_t receive(int fd, struct frame *frame, uint8_t protocol, bool is_outgoing, int wait_ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	while (poll(&p, 1, wait_ms) == 1) {
		struct sockaddr_ll from;
		socklen_t len = sizeof(from);
		ssize_t n = recvfrom(fd, frame, sizeof(*frame), 0, (struct sockaddr *)&from, &len);

		if (n >= 42 && frame->eth.ether_type == htons(ETHERTYPE_IP) &&
		    frame->ip.protocol == protocol &&
		    (from.sll_pkttype == PACKET_OUTGOING) == is_outgoing)
			return (size_t)n;
	}
	return 0;
}

/* --- as if received on the port --------------------------------------------------------------- */

static void a_ping_is_seen_and_answered(void **state)
{
	static const size_t sizes[] = {0, 56, 1472, 8972};
	static struct frame sent, seen, answer;
	struct fixture *f = *state;

	for (unsigned i = 0; i < wr_array_size(sizes); i++) {
		size_t n = make_ping(&sent, sizes[i]);

		punt(f, i % N_QUEUES, &sent, n, 0);
		assert_int_equal(receive(f->port_fd, &seen, IPPROTO_ICMP, false, WAIT_MS), n);
		assert_memory_equal(&seen, &sent, n);
		assert_int_equal(receive(f->peer_fd, &answer, IPPROTO_ICMP, false, WAIT_MS), n);
		assert_int_equal(answer.icmp.type, ICMP_ECHOREPLY);
		assert_int_equal(ntohl(answer.ip.saddr), 0x0a090001);
		assert_memory_equal(answer.data, sent.data, sizes[i]);
	}
	assert_int_equal(f->tap->queues[0]->counters.tx_pkts, 2);
	assert_int_equal(f->tap->queues[1]->counters.tx_bytes, 42 + 56 + 42 + 8972);
}

/* Proves the filter: on the TAP itself the same packet would fail rp_filter. */
static void another_ports_address_is_not_believed(void **state)
{
	static struct frame sent, answer;
	struct fixture *f = *state;
	size_t n = make_ping(&sent, 56);

	run("ip link add qa type veth peer name qb && ip link set qa up && ip link set qb up");
	run("ip addr add 10.8.0.1/24 dev qa");
	sent.ip.saddr = htonl(0x0a080002);
	sent.ip.check = 0;
	sent.ip.check = htons((uint16_t)~fold(add_up(&sent.ip, 20, 0)));
	punt(f, 0, &sent, n, 0);
	assert_int_equal(receive(f->peer_fd, &answer, IPPROTO_ICMP, false, 200), 0);
	run("ip link del qa");
}

static int open_udp(void)
{
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(UDP_PORT)};
	struct timeval wait = {.tv_usec = 300000};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

static void an_unfinished_checksum_is_believed_if_flagged(void **state)
{
	static const size_t sizes[] = {4, 1000, 8000};
	static struct frame sent;
	static uint8_t got[MTU];
	struct fixture *f = *state;
	int fd = open_udp();

	for (unsigned i = 0; i < wr_array_size(sizes); i++) {
		size_t n = make_unfinished_udp(&sent, sizes[i]);

		punt(f, 0, &sent, n, PKT_CSUM_PARTIAL);
		assert_int_equal(recv(fd, got, sizeof(got), 0), sizes[i]);
		assert_memory_equal(got, sent.data, sizes[i]);
		punt(f, 0, &sent, n, 0); /* without the flag it is a wrong checksum */
		assert_int_equal(recv(fd, got, sizeof(got), 0), -1);
	}
	close(fd);
}

static void the_kernel_answers_time_exceeded(void **state)
{
	static struct frame sent, answer;
	struct fixture *f = *state;
	size_t n = make_ping(&sent, 56);

	run("sysctl -qw net.ipv4.ip_forward=1");
	sent.ip.ttl = 1;
	sent.ip.daddr = htonl(0x0a0900fe);
	sent.ip.check = 0;
	sent.ip.check = htons((uint16_t)~fold(add_up(&sent.ip, 20, 0)));
	punt(f, 0, &sent, n, 0);
	assert_true(receive(f->peer_fd, &answer, IPPROTO_ICMP, false, WAIT_MS) > 42);
	assert_int_equal(answer.icmp.type, ICMP_TIME_EXCEEDED);
	assert_int_equal(ntohl(answer.ip.saddr), 0x0a090001);
	run("sysctl -qw net.ipv4.ip_forward=0");
}

static void what_the_kernel_refuses_is_counted(void **state)
{
	static struct frame sent;
	struct fixture *f = *state;

	make_ping(&sent, 56);
	punt(f, 0, &sent, 10, 0); /* shorter than an Ethernet header */
	assert_int_equal(f->tap->queues[0]->counters.tx_errors, 1);
	run("ip link set %s down", f->tap->name);
	punt(f, 0, &sent, 98, 0);
	assert_int_equal(f->tap->queues[0]->counters.tx_errors, 2);
	assert_int_equal(f->tap->queues[0]->counters.tx_pkts, 2);
}

/* --- the TAP ---------------------------------------------------------------------------------- */

static void ask(const char *ifname, unsigned long request, struct ifreq *ifr)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	memset(ifr, 0, sizeof(*ifr));
	snprintf(ifr->ifr_name, sizeof(ifr->ifr_name), "%.15s", ifname);
	assert_int_equal(ioctl(fd, request, ifr), 0);
	close(fd);
}

static void the_tap_follows_the_port(void **state)
{
	const struct mac other = {{2, 0, 0, 0, 9, 99}};
	static struct frame sent, answer;
	struct fixture *f = *state;
	struct ifreq ifr;
	size_t n;

	assert_int_equal(wr_port_punt_tap_ifindex(f->tap), if_nametoindex(f->tap->name));
	ask(f->tap->name, SIOCGIFMTU, &ifr);
	assert_int_equal(ifr.ifr_mtu, MTU);
	ask(f->tap->name, SIOCGIFHWADDR, &ifr);
	assert_memory_equal(ifr.ifr_hwaddr.sa_data, mac_of_pa, 6);
	run("ip link set pa address 02:00:00:00:09:63");
	/* The neighbour went with the address. */
	run("ip neigh replace 10.9.0.2 lladdr 02:00:00:00:09:02 dev pa");
	assert_int_equal(wr_port_punt_tap_follow(f->tap, &other, 1500), 0);
	ask(f->tap->name, SIOCGIFMTU, &ifr);
	assert_int_equal(ifr.ifr_mtu, 1500);
	n = make_ping(&sent, 56);
	memcpy(sent.eth.ether_dhost, other.b, 6);
	punt(f, 0, &sent, n, 0);
	assert_int_equal(receive(f->peer_fd, &answer, IPPROTO_ICMP, false, WAIT_MS), n);
	assert_int_equal(wr_port_punt_tap_follow(f->tap, &other, 1000000),
			 0); /* as far as it can */
}

static void the_tap_is_silent_and_dies_with_its_port(void **state)
{
	struct fixture *f = *state;
	struct pollfd p = {.fd = ((struct tap_queue *)f->tap->queues[0])->fd, .events = POLLIN};
	char name[32];

	assert_int_equal(f->tap->ops->fd(f->tap->queues[0]), -1);
	assert_int_equal(f->tap->ops->rx(f->tap->queues[0], NULL, 0), 0);
	assert_int_equal(poll(&p, 1, 1500),
			 0); /* duplicate address detection would be over by now */
	snprintf(name, sizeof(name), "%s", f->tap->name);
	f->tap->ops->close(f->tap);
	f->tap = NULL;
	assert_int_equal(if_nametoindex(name), 0);
}

/* Whatever was done to it, it carries packets again; one that is whole is left alone. */
static void a_broken_tap_is_mended(void **state)
{
	static const char *const harm[][2] = {
		{"ip link set", "down"},        {"ip link set", "address 02:ff:00:00:00:01"},
		{"ip link set", "mtu 500"},     {"tc filter del dev", "ingress"},
		{"tc qdisc del dev", "clsact"}, {"true", ""},
	};
	struct fixture *f = *state;
	static struct frame frame;

	for (unsigned i = 0; i < wr_array_size(harm); i++) {
		size_t n = make_ping(&frame, 900);

		run("%s %s %s", harm[i][0], f->tap->name, harm[i][1]);
		assert_int_equal(wr_port_punt_tap_mend(f->tap), 0);
		punt(f, 0, &frame, n, 0);
		if (!receive(f->peer_fd, &frame, IPPROTO_ICMP, false, WAIT_MS))
			fail_msg("no packet arrives after: %s %s", harm[i][0], harm[i][1]);
	}
	run("ip link del %s", f->tap->name);
	assert_int_equal(wr_port_punt_tap_mend(f->tap), -ENODEV);
}

static unsigned count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static void failures_are_sentences(void **state)
{
	struct fixture *f = *state;
	struct punt_tap_conf conf = conf_of("pa");
	unsigned n_fds = count_fds();
	struct wr_err err = {""};
	struct port *tap = NULL;

	assert_int_equal(wr_port_punt_tap_open(f->umem, &conf, &tap, &err), -EBUSY);
	assert_non_null(strstr(err.text, "exists: another Weir serves pa"));
	conf.ifname = "eth7";
	conf.ifindex = 4711;
	assert_int_equal(wr_port_punt_tap_open(f->umem, &conf, &tap, &err), -ENODEV);
	assert_non_null(strstr(err.text, "eth7: no redirecting filter on weir4711"));
	conf.n_queues = 0;
	assert_int_equal(wr_port_punt_tap_open(f->umem, &conf, &tap, &err), -EINVAL);
	assert_null(tap);
	assert_int_equal(count_fds(), n_fds);
	assert_int_equal(if_nametoindex("weir4711"), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_ping_is_seen_and_answered),
		TEST(another_ports_address_is_not_believed),
		TEST(an_unfinished_checksum_is_believed_if_flagged),
		TEST(the_kernel_answers_time_exceeded),
		TEST(what_the_kernel_refuses_is_counted),
		TEST(the_tap_follows_the_port),
		TEST(a_broken_tap_is_mended),
		TEST(the_tap_is_silent_and_dies_with_its_port),
		TEST(failures_are_sentences),
	};

	if (geteuid() || unshare(CLONE_NEWNET) || access("/dev/net/tun", R_OK | W_OK)) {
		printf("skip: needs root, a network namespace and /dev/net/tun\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
