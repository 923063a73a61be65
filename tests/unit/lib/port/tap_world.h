/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the tests of TAP and TUN share: a network namespace of our own, a port by its string, and
 * the kernel's end of it.
 *
 *      rx(), tx() == tap:t0 | t0 10.7.0.1/24 -- sockets of the kernel; AF_PACKET sees all
 *                              fd00::1/64
 *
 * The station on our side is 10.7.0.2, fd00::2; it answers nothing, so it is a static neighbour.
 */
#ifndef TESTS_UNIT_TAP_WORLD_H
#define TESTS_UNIT_TAP_WORLD_H

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <netinet/if_ether.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>

#include <cmocka.h>

enum { WORLD_FRAMES = 4096, WAIT_MS = 3000, KERNEL_PORT = 7007, OUR_PORT = 7008 };
enum { ETHERTYPE_TEST = 0x88b5, MAX_BYTES = 65549 };

static const struct mac our_mac = {{2, 0, 0, 0, 7, 2}}, kernel_mac = {{2, 0, 0, 0, 7, 1}};

struct world {
	struct umem *umem;
	struct pool pool;
	struct port *port; /* NULL: closed */
	struct port_queue *q;
	unsigned n_fds; /* before the port was opened */
};

static inline void run(const char *fmt, ...) wr_printf(1, 2);

static inline void run(const char *fmt, ...)
{
	char command[300];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(command, sizeof(command), fmt, ap);
	va_end(ap);
	if (system(command))
		fail_msg("failed: %s", command);
}

static inline unsigned count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static inline int world_setup(void **state, uint32_t frame_bytes)
{
	const struct umem_conf conf = {.n_frames = WORLD_FRAMES, .frame_bytes = frame_bytes};
	struct world *w = calloc(1, sizeof(*w));

	*state = w;
	if (!w || wr_umem_create(&conf, &w->umem, NULL))
		return -1;
	wr_pool_init(&w->pool, w->umem);
	w->n_fds = count_fds();
	return 0;
}

static int setup_2k(void **state)
{
	return world_setup(state, 2048);
}

static int setup_4k(void **state)
{
	return world_setup(state, 4096);
}

static inline void world_close(struct world *w)
{
	if (w->port)
		w->port->ops->close(w->port);
	w->port = NULL;
}

static inline uint32_t world_in_flight(const struct world *w)
{
	uint32_t n = 0;

	for (unsigned i = 0; w->port && i < w->port->n_queues; i++)
		n += w->port->ops->n_frames(w->port->queues[i]);
	return n;
}

static int teardown(void **state)
{
	struct world *w = *state;
	bool is_whole = wr_umem_audit(w->umem) + w->pool.n + world_in_flight(w) == WORLD_FRAMES;

	world_close(w);
	is_whole &= wr_umem_audit(w->umem) + w->pool.n == WORLD_FRAMES;
	is_whole &= count_fds() == w->n_fds;
	wr_pool_fini(&w->pool);
	wr_umem_free(w->umem);
	free(w);
	return is_whole ? 0 : -1;
}

static inline int world_try(struct world *w, const char *text, struct wr_err *err)
{
	struct port_args args;
	int rc = wr_port_parse(text, &args, err);

	return rc ? rc : wr_port_open(w->umem, &args, &w->port, err);
}

static inline void world_start(struct world *w)
{
	w->port->port_idx = 33;
	w->port->mac = our_mac;
	for (unsigned i = 0; i < w->port->n_queues; i++) {
		w->port->queues[i]->pool = &w->pool;
		assert_int_equal(w->port->ops->start(w->port->queues[i]), 0);
	}
	w->q = w->port->queues[0];
}

static inline void world_open(struct world *w, const char *text)
{
	struct wr_err err = {""};

	if (world_try(w, text, &err))
		fail_msg("%s", err.text);
	world_start(w);
}

/* As an operator would, and silent: without IPv6 the kernel says nothing by itself. */
static inline void world_up(unsigned mtu)
{
	run("sysctl -qw net.ipv6.conf.t0.disable_ipv6=1 2>/dev/null || true");
	run("ip link set t0 mtu %u up", mtu);
	run("ip addr add 10.7.0.1/24 dev t0");
}

static inline void world_ip6(void)
{
	if (access("/proc/sys/net/ipv6", F_OK))
		skip(); /* this kernel has none */
	run("sysctl -qw net.ipv6.conf.t0.disable_ipv6=0");
	run("ip -6 addr add fd00::1/64 dev t0 nodad");
}

static inline int open_packet(const char *ifname)
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

/* The next packet from the kernel; waits for it. */
static inline struct packet *receive(struct world *w)
{
	struct pollfd p = {.fd = w->port->ops->fd(w->q), .events = POLLIN};
	struct packet *pkt;

	while (!wr_port_rx(w->q, &pkt, 1))
		if (poll(&p, 1, WAIT_MS) != 1)
			fail_msg("no packet came from the kernel");
	assert_int_equal(pkt->rx_port, 33);
	assert_true(pkt->n_segs > 1 || wr_packet_has_headroom(w->umem, pkt, PORT_TX_HEADROOM));
	return pkt;
}

/* Its bytes, and whether they are as many in its segments; frees it. */
static inline size_t take_bytes(struct world *w, struct packet *pkt, uint8_t *bytes)
{
	size_t n = wr_packet_copy_out(pkt, bytes, MAX_BYTES);
	uint32_t n_segs = 0, n_bytes = 0;

	for (const struct packet *seg = pkt; seg; seg = seg->next, n_segs++)
		n_bytes += seg->seg_len;
	assert_int_equal(n_segs, pkt->n_segs);
	assert_int_equal(n_bytes, pkt->len);
	assert_int_equal(n, pkt->len);
	wr_packet_free(&w->pool, pkt);
	return n;
}

static inline void transmit(struct world *w, const void *bytes, size_t n, uint8_t flags)
{
	struct packet *pkt = wr_packet_from(&w->pool, bytes, n);

	assert_non_null(pkt);
	pkt->flags = flags;
	pkt->gso_bytes = 0;
	wr_port_tx(w->q, &pkt, 1);
	w->port->ops->flush(w->q);
}

/* --- packets ---------------------------------------------------------------------------------- */

/* From us to the kernel: 20 bytes of IPv4 at `ip`, L4 header and data behind. */
static inline size_t make_ip4(uint8_t *ip, uint8_t protocol, size_t n_l4)
{
	struct ip4_hdr *h = (struct ip4_hdr *)ip;

	*h = (struct ip4_hdr){
		.version_ihl = 0x45,
		.total_len = be16_from((uint16_t)(IP4_HDR_BYTES + n_l4)),
		.ttl = 64,
		.protocol = protocol,
		.src = ip4_from(0x0a070002),
		.dst = ip4_from(0x0a070001),
	};
	wr_ip4_hdr_finish(h);
	return IP4_HDR_BYTES + n_l4;
}

/* The checksum is as a local sender leaves it: the pseudo-header's sum. */
static inline size_t make_udp(uint8_t *ip, size_t n_data)
{
	const uint16_t ports[2] = {htons(OUR_PORT), htons(KERNEL_PORT)};
	uint16_t n_l4 = (uint16_t)(8 + n_data), sum;
	size_t n = make_ip4(ip, IP_PROTO_UDP, n_l4);
	uint8_t *udp = ip + IP4_HDR_BYTES;

	memcpy(udp, ports, sizeof(ports));
	udp[4] = (uint8_t)(n_l4 >> 8);
	udp[5] = (uint8_t)n_l4;
	sum = wr_l4_pseudo_sum((struct ip4_hdr *)ip, n_l4);
	memcpy(udp + 6, &sum, sizeof(sum));
	for (size_t i = 0; i < n_data; i++)
		udp[8 + i] = (uint8_t)(i * 13 + 1);
	return n;
}

static inline size_t make_syn(uint8_t *ip)
{
	const uint16_t ports[2] = {htons(OUR_PORT), htons(KERNEL_PORT)};
	size_t n = make_ip4(ip, IP_PROTO_TCP, 20);
	uint8_t *tcp = ip + IP4_HDR_BYTES;
	uint16_t sum = wr_l4_pseudo_sum((struct ip4_hdr *)ip, 20);

	memset(tcp, 0, 20);
	memcpy(tcp, ports, sizeof(ports));
	tcp[7] = 1;       /* sequence number */
	tcp[12] = 5 << 4; /* header length */
	tcp[13] = 2;      /* SYN */
	tcp[14] = 0xff;   /* window */
	memcpy(tcp + 16, &sum, sizeof(sum));
	return n;
}

static inline void make_eth(uint8_t *frame, uint16_t type)
{
	*(struct eth_hdr *)frame =
		(struct eth_hdr){.dst = kernel_mac, .src = our_mac, .type = be16_from(type)};
}

/* Sum over an IPv4 packet's L4 part and pseudo-header: 0xffff if its checksum is right. */
static inline uint16_t sum_ip4(const uint8_t *ip)
{
	const struct ip4_hdr *h = (const struct ip4_hdr *)ip;
	unsigned n_hdr = ip4_hdr_bytes(h);
	uint16_t n_l4 = (uint16_t)(be16_to(h->total_len) - n_hdr);

	return wr_csum_fold(wr_csum_add(wr_l4_pseudo_sum(h, n_l4), ip + n_hdr, n_l4));
}

static inline uint16_t sum_ip6(const uint8_t *ip)
{
	uint16_t n_l4 = (uint16_t)(ip[4] << 8 | ip[5]);
	uint64_t sum = (uint64_t)htons(n_l4) + htons(ip[6]);

	return wr_csum_fold(wr_csum_add(sum, ip + 8, 32U + n_l4));
}

static inline bool is_pseudo_sum(const uint8_t *ip)
{
	const struct ip4_hdr *h = (const struct ip4_hdr *)ip;
	uint16_t field, sum = wr_l4_pseudo_sum(h, (uint16_t)(be16_to(h->total_len) - 20));

	memcpy(&field, ip + IP4_HDR_BYTES + wr_l4_csum_offset(h->protocol), sizeof(field));
	return field == sum;
}

/* --- the kernel's sockets --------------------------------------------------------------------- */

static inline int open_inet(int type)
{
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(KERNEL_PORT)};
	struct timeval wait = {.tv_usec = 300000};
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0), yes = 1;

	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

static inline void send_udp(int fd, const void *bytes, size_t n)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons(OUR_PORT),
				 .sin_addr = {htonl(0x0a070002)}};

	assert_int_equal(sendto(fd, bytes, n, 0, (struct sockaddr *)&to, sizeof(to)), n);
}

static inline void fill_pattern(uint8_t *bytes, size_t n, unsigned seed)
{
	for (size_t i = 0; i < n; i++)
		bytes[i] = (uint8_t)(i * 7 + i / 251 + seed);
}

static inline bool has_namespace(void)
{
	return !geteuid() && !unshare(CLONE_NEWNET) && !access("/dev/net/tun", R_OK | W_OK);
}

#endif
