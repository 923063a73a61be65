/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The XDP program on real interfaces: a veth pair in a network namespace of its own, with a bpffs
 * of its own.
 *
 *   wr1 (raw sender)  ---  wr0 (the program, and an AF_XDP socket on queue 0)
 */
#include <bpf/libbpf.h>
#include <stdbool.h>

/* Makes the kernel answer as one before 5.18 does to a flag that it does not know: EINVAL. */
static bool is_old_kernel;
static int set_flags(struct bpf_program *prog, unsigned flags)
{
	if (is_old_kernel && flags)
		flags |= 1U << 31;
	return (bpf_program__set_flags)(prog, flags);
}
#define bpf_program__set_flags(prog, flags) set_flags(prog, flags)
#include "lib/steer/steer.c"

#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <linux/if_xdp.h>
#include <linux/virtio_net.h>
#include <net/ethernet.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include <xdp/libxdp.h>
#include <xdp/xsk.h>

#include <cmocka.h>

enum {
	INDEX = 77, /* of wr0, given: so that it can be given again */
	FRAME_BYTES = 4096,
	N_FRAMES = 64,
	MAX_BYTES = 16384,
	HEADERS = 14 + 20 + 8,
};

static const struct mac OUR_MAC = {{2, 0, 0, 0, 0, 0x10}};
static const struct mac PEER_MAC = {{2, 0, 0, 0, 0, 0x11}};

static struct {
	struct steer *steer;
	int send_fd;
} t;

/* --- helpers */

__attribute__((format(printf, 1, 2))) static int shell(const char *fmt, ...)
{
	char line[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	return system(line);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * UINT64_C(1000000000) + ts.tv_nsec;
}

static int add_veth(int mtu)
{
	struct sockaddr_ll to = {.sll_family = AF_PACKET};
	int one = 1;

	if (shell("ip link add wr0 index %d mtu %d type veth peer name wr1 mtu %d &&"
		  "ip link set wr0 address 02:00:00:00:00:10 &&"
		  "ip link set wr1 address 02:00:00:00:00:11 &&"
		  "ip link set wr0 up && ip link set wr1 up",
		  INDEX, mtu, mtu))
		return -1;
	t.send_fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	to.sll_ifindex = if_nametoindex("wr1");
	if (bind(t.send_fd, (struct sockaddr *)&to, sizeof(to)))
		return -1;
	return setsockopt(t.send_fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof(one));
}

static int fresh(int mtu)
{
	struct wr_err err;

	if (add_veth(mtu))
		return -1;
	return wr_steer_create(&t.steer, &err);
}

static int setup(void **state)
{
	(void)state;
	return fresh(1500);
}

static int setup_jumbo(void **state)
{
	(void)state;
	return fresh(9000);
}

static int teardown(void **state)
{
	(void)state;
	wr_steer_free(t.steer);
	t.steer = NULL;
	close(t.send_fd);
	shell("ip link del wr0; rm -rf /sys/fs/bpf/weir /sys/fs/bpf/xdp/*");
	return 0;
}

static struct steer_port_conf conf(enum steer_mode mode, bool share)
{
	return (struct steer_port_conf){.ifname = "wr0",
					.ifindex = INDEX,
					.mode = mode,
					.share = share,
					.mac = OUR_MAC,
					.mtu = 1500,
					.is_virtual = true,
					.deadline_ns = 200000000};
}

static struct steer_port *open_port(enum steer_mode mode, bool share)
{
	struct steer_port_conf c = conf(mode, share);
	struct steer_port *p = NULL;
	struct wr_err err = {""};

	if (wr_steer_port_open(t.steer, &c, &p, &err))
		fail_msg("%s", err.text);
	return p;
}

static void attach(struct steer_port *p)
{
	struct wr_err err = {""}, why;

	if (wr_steer_port_attach(p, &why, &err))
		fail_msg("%s", err.text);
}

static struct steer_port *attached(enum steer_mode mode, bool share)
{
	struct steer_port *p = open_port(mode, share);

	attach(p);
	return p;
}

static enum steer_found found(void)
{
	enum steer_found f = STEER_FOUND_FOREIGN;
	struct wr_err what;

	assert_int_equal(wr_steer_probe("wr0", &f, &what), 0);
	return f;
}

static void pin_path(char *ret_path, size_t n)
{
	struct stat st;

	assert_int_equal(stat("/proc/thread-self/ns/net", &st), 0);
	snprintf(ret_path, n, "/sys/fs/bpf/weir/%lu/%d", (unsigned long)st.st_ino, INDEX);
}

static bool has_pin(void)
{
	char path[96];

	pin_path(path, sizeof(path));
	return access(path, F_OK) == 0;
}

static void assert_nothing_left(void)
{
	assert_int_equal(found(), STEER_FOUND_NOTHING);
	assert_int_not_equal(shell("ip -d link show wr0 | grep -q xdp"), 0);
	assert_int_not_equal(access("/sys/fs/bpf/weir", F_OK), 0);
}

/* --- frames */

/* The bytes lie in the next one of a few static buffers. */
struct frame {
	uint8_t *b;
	size_t n;
};

static uint8_t *next_buffer(void)
{
	static uint8_t buffers[8][MAX_BYTES];
	static unsigned next;

	return buffers[next++ % wr_array_size(buffers)];
}

#define IP 14
#define L4 (IP + 20)

static void put16(struct frame *f, size_t at, uint16_t v)
{
	f->b[at] = v >> 8;
	f->b[at + 1] = v;
}

static void put32(struct frame *f, size_t at, uint32_t v)
{
	put16(f, at, v >> 16);
	put16(f, at + 2, v);
}

static void resize(struct frame *f, size_t n)
{
	f->n = n;
	put16(f, IP + 2, n - IP);
	put16(f, L4 + 4, n - L4);
}

/* A datagram in transit: 10.0.0.1:1000 -> 10.9.0.1:2000. */
static struct frame transit(void)
{
	struct frame f = {.b = next_buffer()};

	memset(f.b, 0, HEADERS);
	memcpy(f.b, OUR_MAC.b, 6);
	memcpy(f.b + 6, PEER_MAC.b, 6);
	put16(&f, 12, ETHERTYPE_IP);
	f.b[IP] = 0x45;
	f.b[IP + 8] = 64;
	f.b[IP + 9] = IPPROTO_UDP;
	put32(&f, IP + 12, 0x0a000001);
	put32(&f, IP + 16, 0x0a090001);
	put16(&f, L4, 1000);
	put16(&f, L4 + 2, 2000);
	for (size_t i = HEADERS; i < MAX_BYTES; i++)
		f.b[i] = i * 7;
	resize(&f, 100);
	return f;
}

static void send_with(const struct virtio_net_hdr *hdr, const struct frame *f)
{
	static uint8_t all[sizeof(*hdr) + MAX_BYTES];
	ssize_t n = sizeof(*hdr) + f->n;

	memcpy(all, hdr, sizeof(*hdr));
	memcpy(all + sizeof(*hdr), f->b, f->n);
	assert_int_equal(send(t.send_fd, all, n, 0), n);
}

static void send_frame(const struct frame *f)
{
	const struct virtio_net_hdr plain = {.gso_type = VIRTIO_NET_HDR_GSO_NONE};

	send_with(&plain, f);
}

static uint64_t total(const uint64_t *c)
{
	uint64_t sum = 0;

	for (int i = 0; i < STEER_N_VERDICTS; i++)
		sum += c[i];
	return sum;
}

/* Waits until `n` frames have been judged since `before`; `ret_delta` is what they were judged to
 * be. */
static void wait_verdicts(struct steer_port *p, const uint64_t *before, unsigned n,
			  uint64_t *ret_delta)
{
	uint64_t c[STEER_N_VERDICTS], end_ns = now_ns() + 2000000000;

	do {
		usleep(200);
		assert_int_equal(wr_steer_port_counts(p, c), 0);
	} while (total(c) - total(before) < n && now_ns() < end_ns);
	assert_int_equal(total(c) - total(before), n);
	for (int i = 0; i < STEER_N_VERDICTS; i++)
		ret_delta[i] = c[i] - before[i];
}

static const char *const NAMES[] = {
#define V(name, what, text) #name,
	STEER_VERDICTS(V)
#undef V
};

static void expect(struct steer_port *p, const struct frame *f, enum steer_verdict verdict,
		   const char *about)
{
	uint64_t before[STEER_N_VERDICTS], delta[STEER_N_VERDICTS];

	assert_int_equal(wr_steer_port_counts(p, before), 0);
	send_frame(f);
	wait_verdicts(p, before, 1, delta);
	for (int i = 0; i < STEER_N_VERDICTS; i++)
		if (delta[i] != (i == (int)verdict))
			fail_msg("%s: %s counted %lu, wanted %s", about, NAMES[i],
				 (unsigned long)delta[i], NAMES[verdict]);
}

/* --- an AF_XDP socket */

struct sock {
	void *area;
	struct xsk_umem *umem;
	struct xsk_socket *xsk;
	struct xsk_ring_prod fill;
	struct xsk_ring_cons comp, rx;
};

static bool try_sock(struct sock *s, uint16_t bind_flags)
{
	const struct xsk_umem_config uc = {
		.fill_size = N_FRAMES, .comp_size = N_FRAMES, .frame_size = FRAME_BYTES};
	const struct xsk_socket_config sc = {.rx_size = N_FRAMES,
					     .libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD,
					     .bind_flags = XDP_COPY | bind_flags};
	uint32_t idx = 0;

	s->area = mmap(NULL, N_FRAMES * FRAME_BYTES, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(s->area, MAP_FAILED);
	assert_int_equal(xsk_umem__create(&s->umem, s->area, N_FRAMES * FRAME_BYTES, &s->fill,
					  &s->comp, &uc),
			 0);
	if (xsk_socket__create(&s->xsk, "wr0", 0, s->umem, &s->rx, NULL, &sc)) {
		xsk_umem__delete(s->umem);
		munmap(s->area, N_FRAMES * FRAME_BYTES);
		return false;
	}
	assert_int_equal(xsk_ring_prod__reserve(&s->fill, N_FRAMES, &idx), N_FRAMES);
	for (int i = 0; i < N_FRAMES; i++)
		*xsk_ring_prod__fill_addr(&s->fill, idx + i) = i * FRAME_BYTES;
	xsk_ring_prod__submit(&s->fill, N_FRAMES);
	return true;
}

static void open_sock(struct sock *s)
{
	assert_true(try_sock(s, 0));
}

static void close_sock(struct sock *s)
{
	xsk_socket__delete(s->xsk);
	xsk_umem__delete(s->umem);
	munmap(s->area, N_FRAMES * FRAME_BYTES);
}

/* Takes one packet: its bytes, and in how many descriptors it came (0: none is there). */
static unsigned take(struct sock *s, struct frame *ret_frame)
{
	uint32_t idx = 0, n = xsk_ring_cons__peek(&s->rx, N_FRAMES, &idx), i = 0;

	ret_frame->b = next_buffer();
	ret_frame->n = 0;
	while (i < n) {
		const struct xdp_desc *d = xsk_ring_cons__rx_desc(&s->rx, idx + i++);

		memcpy(ret_frame->b + ret_frame->n, xsk_umem__get_data(s->area, d->addr), d->len);
		ret_frame->n += d->len;
		if (!(d->options & 1 /* XDP_PKT_CONTD */))
			break;
	}
	xsk_ring_cons__cancel(&s->rx, n - i);
	xsk_ring_cons__release(&s->rx, i);
	return i;
}

static void expect_taken(struct steer_port *p, struct sock *s, const struct frame *f)
{
	struct frame got;

	expect(p, f, STEER_TRANSIT, "in transit");
	assert_true(take(s, &got) >= 1);
	assert_int_equal(got.n, f->n);
	assert_memory_equal(got.b, f->b, f->n);
}

static void put_sock(struct steer_port *p, struct sock *s, unsigned worker_idx)
{
	assert_int_equal(wr_steer_port_set_socket(p, 0, worker_idx, xsk_socket__fd(s->xsk)), 0);
}

/* --- one frame for each verdict */

static void m_none(struct frame *f)
{
	(void)f;
}

static void m_arp(struct frame *f)
{
	put16(f, 12, ETHERTYPE_ARP);
}

static void m_vlan(struct frame *f)
{
	memmove(f->b + 16, f->b + 12, f->n - 12);
	put16(f, 12, ETHERTYPE_VLAN);
	put16(f, 14, 5);
	f->n += 4;
}

static void m_broadcast(struct frame *f)
{
	memset(f->b, 0xff, 6);
}

static void m_mac_last_byte(struct frame *f)
{
	f->b[5] ^= 1;
}

static void m_mac_third_byte(struct frame *f)
{
	f->b[2] ^= 1;
}

static void m_mac_first_byte(struct frame *f)
{
	f->b[0] ^= 4;
}

static void m_version(struct frame *f)
{
	f->b[IP] = 0x65;
}

static void m_ihl_4(struct frame *f)
{
	f->b[IP] = 0x44;
}

static void m_ihl_beyond(struct frame *f)
{
	resize(f, IP + 24);
	f->b[IP] = 0x4f;
}

static void m_length_19(struct frame *f)
{
	put16(f, IP + 2, 19);
}

static void m_length_below_header(struct frame *f)
{
	f->b[IP] = 0x46;
	put16(f, IP + 2, 23);
}

static void m_length_beyond(struct frame *f)
{
	put16(f, IP + 2, f->n - IP + 1);
}

static void m_cut(struct frame *f)
{
	f->n = IP + 19;
}

static void m_padded(struct frame *f)
{
	f->n += 10;
}

static void m_options(struct frame *f)
{
	f->b[IP] = 0x46;
}

static void m_ttl_1(struct frame *f)
{
	f->b[IP + 8] = 1;
}

static void m_ttl_0(struct frame *f)
{
	f->b[IP + 8] = 0;
}

static void m_ttl_2(struct frame *f)
{
	f->b[IP + 8] = 2;
}

static void m_oversize(struct frame *f)
{
	resize(f, 1001 + 14);
}

static void m_just_fits(struct frame *f)
{
	resize(f, 1000 + 14);
}

static void m_to_loopback(struct frame *f)
{
	put32(f, IP + 16, 0x7f000001);
}

static void m_from_loopback(struct frame *f)
{
	put32(f, IP + 12, 0x7fffffff);
}

static void m_from_zero(struct frame *f)
{
	put32(f, IP + 12, 0x00ffffff);
}

static void m_to_multicast(struct frame *f)
{
	put32(f, IP + 16, 0xe0000005);
}

static void m_to_broadcast(struct frame *f)
{
	put32(f, IP + 16, 0xffffffff);
}

static void m_below_multicast(struct frame *f)
{
	put32(f, IP + 16, 0xdfffffff);
}

static void m_to_local(struct frame *f)
{
	put32(f, IP + 16, 0x0a000002);
}

static void m_from_local(struct frame *f)
{
	put32(f, IP + 12, 0x0a000002);
}

/* BGP's way: whom it is for counts before what would become of it. */
static void m_to_local_ttl_1(struct frame *f)
{
	m_to_local(f);
	m_ttl_1(f);
}

static void m_sctp(struct frame *f)
{
	f->b[IP + 9] = IPPROTO_SCTP;
}

static void m_gre(struct frame *f)
{
	f->b[IP + 9] = IPPROTO_GRE;
}

static void m_ipip(struct frame *f)
{
	f->b[IP + 9] = IPPROTO_IPIP;
}

static void m_sit(struct frame *f)
{
	f->b[IP + 9] = IPPROTO_IPV6;
}

static void m_vxlan(struct frame *f)
{
	put16(f, L4 + 2, 4789);
}

static void m_vxlan_linux(struct frame *f)
{
	put16(f, L4 + 2, 8472);
}

static void m_geneve(struct frame *f)
{
	put16(f, L4 + 2, 6081);
}

static void m_vxlan_fragment(struct frame *f)
{
	m_vxlan(f);
	put16(f, IP + 6, 0x2000);
}

static void m_vxlan_dont_fragment(struct frame *f)
{
	m_vxlan(f);
	put16(f, IP + 6, 0x4000);
}

static void m_udp_cut(struct frame *f)
{
	f->n = L4 + 3;
	put16(f, IP + 2, f->n - IP);
}

static void m_tcp(struct frame *f)
{
	f->b[IP + 9] = IPPROTO_TCP;
	put16(f, L4 + 2, 4789);
}

static const struct row {
	const char *about;
	void (*change)(struct frame *);
	enum steer_verdict verdict;
} ROWS[] = {
	{"plain", m_none, STEER_TRANSIT},
	{"padded", m_padded, STEER_TRANSIT},
	{"ARP", m_arp, STEER_OTHER_ETHERTYPE},
	{"VLAN", m_vlan, STEER_OTHER_ETHERTYPE},
	{"broadcast", m_broadcast, STEER_OTHER_MAC},
	{"MAC, last byte", m_mac_last_byte, STEER_OTHER_MAC},
	{"MAC, third byte", m_mac_third_byte, STEER_OTHER_MAC},
	{"MAC, first byte", m_mac_first_byte, STEER_OTHER_MAC},
	{"version 6", m_version, STEER_BAD_HEADER},
	{"ihl 4", m_ihl_4, STEER_BAD_HEADER},
	{"ihl beyond the frame", m_ihl_beyond, STEER_BAD_HEADER},
	{"total length 19", m_length_19, STEER_BAD_HEADER},
	{"total length below the header", m_length_below_header, STEER_BAD_HEADER},
	{"total length beyond the frame", m_length_beyond, STEER_BAD_HEADER},
	{"header cut", m_cut, STEER_BAD_HEADER},
	{"options", m_options, STEER_OPTIONS},
	{"TTL 0", m_ttl_0, STEER_TTL},
	{"TTL 1", m_ttl_1, STEER_TTL},
	{"TTL 2", m_ttl_2, STEER_TRANSIT},
	{"above the MTU", m_oversize, STEER_OVERSIZE},
	{"just the MTU", m_just_fits, STEER_TRANSIT},
	{"to 127/8", m_to_loopback, STEER_SPECIAL_ADDRESS},
	{"from 127/8", m_from_loopback, STEER_SPECIAL_ADDRESS},
	{"from 0/8", m_from_zero, STEER_SPECIAL_ADDRESS},
	{"to multicast", m_to_multicast, STEER_SPECIAL_ADDRESS},
	{"to broadcast", m_to_broadcast, STEER_SPECIAL_ADDRESS},
	{"223.255.255.255", m_below_multicast, STEER_TRANSIT},
	{"to this host", m_to_local, STEER_LOCAL},
	{"from this host", m_from_local, STEER_LOCAL},
	{"to this host, TTL 1", m_to_local_ttl_1, STEER_LOCAL},
	{"SCTP", m_sctp, STEER_UNFINISHED},
	{"GRE", m_gre, STEER_UNFINISHED},
	{"IP in IP", m_ipip, STEER_UNFINISHED},
	{"IPv6 in IP", m_sit, STEER_UNFINISHED},
	{"VXLAN", m_vxlan, STEER_UNFINISHED},
	{"VXLAN 8472", m_vxlan_linux, STEER_UNFINISHED},
	{"Geneve", m_geneve, STEER_UNFINISHED},
	{"VXLAN, DF", m_vxlan_dont_fragment, STEER_UNFINISHED},
	{"VXLAN, fragment", m_vxlan_fragment, STEER_TRANSIT},
	{"UDP header cut", m_udp_cut, STEER_UNFINISHED},
	{"TCP to 4789", m_tcp, STEER_TRANSIT},
};

static void check_rows(enum steer_mode mode)
{
	struct steer_port *p = open_port(mode, false);
	struct sock s = {};
	struct frame got;

	open_sock(&s);
	put_sock(p, &s, 3);
	attach(p);
	assert_string_equal(wr_steer_port_mode(p), wr_steer_mode_name(mode));
	assert_int_equal(wr_steer_local_add(t.steer, ip4_from(0x0a000002)), 0);
	wr_steer_port_set_mtu(p, 1000);
	wr_steer_port_set_transit(p, true);
	*wr_steer_beat(t.steer, 3) = STEER_ASLEEP;
	for (size_t i = 0; i < wr_array_size(ROWS); i++) {
		struct frame f = transit();

		ROWS[i].change(&f);
		*wr_steer_beat(t.steer, 3) = now_ns();
		expect(p, &f, ROWS[i].verdict, ROWS[i].about);
		assert_int_equal(take(&s, &got) > 0, ROWS[i].verdict == STEER_TRANSIT);
	}
	wr_steer_port_close(p, true);
	close_sock(&s);
	assert_nothing_left();
}

static void verdicts_native(void **state)
{
	(void)state;
	check_rows(STEER_NATIVE);
}

static void verdicts_generic(void **state)
{
	(void)state;
	check_rows(STEER_GENERIC);
}

/* Only a virtual interface leaves checksums unfinished. */
static void physical_takes_tunnels(void **state)
{
	struct steer_port_conf c = conf(STEER_NATIVE, false);
	struct steer_port *p = NULL;
	struct frame f = transit();

	(void)state;
	c.is_virtual = false;
	assert_int_equal(wr_steer_port_open(t.steer, &c, &p, NULL), 0);
	attach(p);
	wr_steer_port_set_transit(p, true);
	m_vxlan(&f);
	expect(p, &f, STEER_NO_SOCKET, "VXLAN");
	m_gre(&f);
	expect(p, &f, STEER_NO_SOCKET, "GRE");
	wr_steer_port_close(p, true);
}

/* --- settings */

static void transit_off(void **state)
{
	struct steer_port *p = attached(STEER_NATIVE, false);
	struct frame f = transit(), local = transit(), ttl = transit();

	(void)state;
	m_to_local(&local);
	m_ttl_1(&ttl);
	wr_steer_local_add(t.steer, ip4_from(0x0a000002));
	expect(p, &f, STEER_NOT_ROUTER, "off at first");
	expect(p, &local, STEER_LOCAL, "told apart all the same");
	expect(p, &ttl, STEER_NOT_ROUTER, "not asked for");
	wr_steer_port_set_transit(p, true);
	expect(p, &f, STEER_NO_SOCKET, "on");
	expect(p, &ttl, STEER_TTL, "on");
	wr_steer_port_set_transit(p, false);
	expect(p, &f, STEER_NOT_ROUTER, "off again");
	wr_steer_port_close(p, true);
}

static void locals_come_and_go(void **state)
{
	struct steer_port *p = attached(STEER_NATIVE, false);
	struct frame f = transit();

	(void)state;
	m_to_local(&f);
	wr_steer_port_set_transit(p, true);
	expect(p, &f, STEER_NO_SOCKET, "before");
	assert_int_equal(wr_steer_local_add(t.steer, ip4_from(0x0a000002)), 0);
	assert_int_equal(wr_steer_local_add(t.steer, ip4_from(0x0a000002)), 0);
	expect(p, &f, STEER_LOCAL, "added");
	assert_int_equal(wr_steer_local_del(t.steer, ip4_from(0x0a000002)), 0);
	assert_int_equal(wr_steer_local_del(t.steer, ip4_from(0x0a000002)), -ENOENT);
	expect(p, &f, STEER_NO_SOCKET, "after");
	wr_steer_port_close(p, true);
}

static void locals_are_bounded(void **state)
{
	int code = 0;

	(void)state;
	for (uint32_t i = 0; i < STEER_MAX_LOCALS && !code; i++)
		code = wr_steer_local_add(t.steer, ip4_from(0x0b000000 + i));
	assert_int_equal(code, 0);
	assert_int_equal(wr_steer_local_add(t.steer, ip4_from(0x0a000001)), -E2BIG);
	assert_int_equal(wr_steer_local_add(t.steer, ip4_from(0x0b000000)), 0);
}

/* While the MAC changes between two values, a frame with half of each is never ours. */
static void mac_is_never_torn(void **state)
{
	static const struct mac one = {{0x02, 0x11, 0x11, 0x11, 0x11, 0x11}};
	static const struct mac two = {{0x06, 0x22, 0x22, 0x22, 0x22, 0x22}};
	struct steer_port *p = attached(STEER_NATIVE, false);
	uint64_t before[STEER_N_VERDICTS], delta[STEER_N_VERDICTS];
	struct frame f = transit();
	int status;
	pid_t pid;

	(void)state;
	memcpy(f.b, one.b, 6);
	wr_steer_port_set_mac(p, &one);
	expect(p, &f, STEER_NOT_ROUTER, "the first");
	memcpy(f.b + 3, two.b + 3, 3);
	wr_steer_port_counts(p, before);
	pid = fork();
	if (!pid) {
		for (int i = 0; i < 20000; i++)
			send_frame(&f);
		_exit(0);
	}
	while (waitpid(pid, &status, WNOHANG) == 0)
		for (int i = 0; i < 1000; i++)
			wr_steer_port_set_mac(p, i & 1 ? &one : &two);
	assert_int_equal(status, 0);
	wait_verdicts(p, before, 20000, delta);
	assert_int_equal(delta[STEER_OTHER_MAC], 20000);
	/* The flags travel in the same word and were kept. */
	assert_int_equal(p->settings->flags, STEER_F_VIRTUAL);
	wr_steer_port_close(p, true);
}

static void bad_arguments(void **state)
{
	struct steer_port *p = open_port(STEER_NATIVE, false);

	(void)state;
	assert_int_equal(wr_steer_port_set_socket(p, STEER_MAX_QUEUES, 0, 0), -ERANGE);
	assert_int_equal(wr_steer_port_set_socket(p, 0, STEER_MAX_WORKERS, 0), -ERANGE);
	assert_int_equal(wr_steer_port_set_socket(p, 5, 0, -1), 0);
	assert_string_equal(wr_steer_port_mode(p), "");
	wr_steer_port_close(p, true);
	wr_steer_port_close(NULL, true);
}

/* --- heartbeat */

static void check_heartbeat(enum steer_mode mode)
{
	struct steer_port *p = attached(mode, false);
	uint64_t *beat = wr_steer_beat(t.steer, 1), from_ns;
	struct frame f = transit(), got;
	struct sock s = {};

	open_sock(&s);
	put_sock(p, &s, 1);
	wr_steer_port_set_transit(p, true);
	*wr_steer_beat(t.steer, 0) = now_ns();
	expect(p, &f, STEER_STALLED, "no worker yet; another's beat does not count");
	*beat = now_ns();
	expect_taken(p, &s, &f);
	*beat = now_ns() - 200000001;
	expect(p, &f, STEER_STALLED, "older than the deadline");
	*beat = now_ns() + 1000000000;
	expect_taken(p, &s, &f);
	p->settings->deadline_ns = INT64_MAX;
	*beat = 0;
	expect(p, &f, STEER_STALLED, "the worker has ended, whatever the deadline");
	p->settings->deadline_ns = 200000000;

	*beat = STEER_ASLEEP;
	from_ns = now_ns();
	expect_taken(p, &s, &f);
	assert_in_range(*beat, from_ns, now_ns());
	usleep(210000);
	expect(p, &f, STEER_STALLED, "stopped in its sleep");

	/* What is not redirected does not start a sleeper's deadline. */
	assert_int_equal(wr_steer_port_set_socket(p, 0, 1, -1), 0);
	*beat = STEER_ASLEEP;
	expect(p, &f, STEER_NO_SOCKET, "no socket");
	put_sock(p, &s, 1);
	p->settings->worker_of_queue[0] = STEER_NO_WORKER;
	expect(p, &f, STEER_NO_SOCKET, "no worker");
	assert_true(*beat == STEER_ASLEEP);
	assert_int_equal(take(&s, &got), 0);
	wr_steer_port_close(p, true);
	close_sock(&s);
}

static void heartbeat_native(void **state)
{
	(void)state;
	check_heartbeat(STEER_NATIVE);
}

static void heartbeat_generic(void **state)
{
	(void)state;
	check_heartbeat(STEER_GENERIC);
}

/* Fail open: the socket's end takes its map entry away. */
static void closed_socket_passes(void **state)
{
	struct steer_port *p = attached(STEER_NATIVE, false);
	struct frame f = transit();
	struct sock s = {};

	(void)state;
	open_sock(&s);
	put_sock(p, &s, 0);
	wr_steer_port_set_transit(p, true);
	*wr_steer_beat(t.steer, 0) = STEER_ASLEEP;
	expect_taken(p, &s, &f);
	close_sock(&s);
	*wr_steer_beat(t.steer, 0) = STEER_ASLEEP;
	expect(p, &f, STEER_NO_SOCKET, "closed");
	wr_steer_port_close(p, true);
}

/* --- sizes */

/* A local sender's TCP leaves its segmentation to "hardware"; in generic mode the whole arrives. */
static void gso_stays_with_the_kernel(void **state)
{
	struct steer_port *p = attached(STEER_GENERIC, false);
	const struct virtio_net_hdr gso = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
					   .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
					   .hdr_len = L4 + 20,
					   .gso_size = 1400,
					   .csum_start = L4,
					   .csum_offset = 16};
	uint64_t before[STEER_N_VERDICTS], delta[STEER_N_VERDICTS];
	struct frame f = transit();

	(void)state;
	f.b[IP + 9] = IPPROTO_TCP;
	resize(&f, 12000);
	f.b[L4 + 12] = 5 << 4;
	wr_steer_port_set_transit(p, true);
	wr_steer_port_counts(p, before);
	send_with(&gso, &f);
	wait_verdicts(p, before, 1, delta);
	assert_int_equal(delta[STEER_OVERSIZE], 1);
	wr_steer_port_close(p, true);
}

static void jumbo(void **state)
{
	static const size_t sizes[] = {100, 4000, 5000, 9014};
	struct steer_port *p = open_port(STEER_NATIVE, false);
	struct frame f = transit(), got;
	struct sock s = {};

	(void)state;
	if (!p->is_multi_buffer) {
		wr_steer_port_close(p, true);
		skip();
	}
	wr_steer_port_set_mtu(p, 9000);
	attach(p);
	assert_string_equal(wr_steer_port_mode(p), "native");
	if (!try_sock(&s, 1 << 4 /* XDP_USE_SG, Linux 6.6 */)) {
		wr_steer_port_close(p, true);
		skip();
	}
	put_sock(p, &s, 0);
	wr_steer_port_set_transit(p, true);
	for (size_t i = 0; i < wr_array_size(sizes); i++) {
		resize(&f, sizes[i]);
		*wr_steer_beat(t.steer, 0) = now_ns();
		expect(p, &f, STEER_TRANSIT, "jumbo");
		assert_int_equal(take(&s, &got), sizes[i] > 3840 ? (sizes[i] + 3839) / 3840 : 1);
		assert_int_equal(got.n, f.n);
		assert_memory_equal(got.b, f.b, f.n);
	}
	wr_steer_port_close(p, true);
	close_sock(&s);
}

static struct steer_port *without_multi_buffer(enum steer_mode mode)
{
	struct steer_port *p;

	is_old_kernel = true;
	p = open_port(mode, false);
	is_old_kernel = false;
	assert_false(wr_steer_port_is_multi_buffer(p));
	return p;
}

static void single_buffer(void **state)
{
	struct steer_port *p = without_multi_buffer(STEER_AUTO);
	struct frame f = transit();

	(void)state;
	attach(p);
	assert_string_equal(wr_steer_port_mode(p), "native");
	wr_steer_port_set_transit(p, true);
	expect(p, &f, STEER_NO_SOCKET, "plain");
	m_length_beyond(&f);
	expect(p, &f, STEER_BAD_HEADER, "too long");
	wr_steer_port_close(p, true);
}

static void single_buffer_jumbo_is_generic(void **state)
{
	struct steer_port *p = without_multi_buffer(STEER_AUTO);
	struct wr_err why, err = {""};

	(void)state;
	assert_int_equal(wr_steer_port_attach(p, &why, &err), 0);
	assert_string_equal(wr_steer_port_mode(p), "generic");
	assert_non_null(strstr(why.text, "wr0: native XDP refused"));
	wr_steer_port_close(p, true);
	p = without_multi_buffer(STEER_NATIVE);
	assert_true(wr_steer_port_attach(p, &why, &err) < 0);
	assert_non_null(strstr(err.text, "wr0: native XDP refused"));
	assert_string_equal(wr_steer_port_mode(p), "");
	wr_steer_port_close(p, true);
	assert_nothing_left();
}

/* --- attach, pin, crash */

static void auto_is_native(void **state)
{
	struct steer_port *p = open_port(STEER_AUTO, false);
	struct wr_err why = {"x"}, err = {""};

	(void)state;
	assert_int_equal(wr_steer_port_attach(p, &why, &err), 0);
	assert_string_equal(why.text, "");
	assert_string_equal(wr_steer_port_mode(p), "native");
	assert_true(wr_steer_port_is_pinned(p));
	assert_int_equal(found(), STEER_FOUND_OURS);
	assert_true(has_pin());
	assert_int_equal(wr_steer_port_attach(p, &why, &err), -EALREADY);
	wr_steer_port_close(p, true);
	assert_nothing_left();
}

/* The loopback interface has no native XDP. */
static void auto_falls_back(void **state)
{
	struct steer_port_conf c = conf(STEER_AUTO, false);
	struct wr_err why, err = {""};
	struct steer_port *p = NULL;

	(void)state;
	c.ifname = "lo";
	c.ifindex = 1;
	assert_int_equal(wr_steer_port_open(t.steer, &c, &p, &err), 0);
	assert_int_equal(wr_steer_port_attach(p, &why, &err), 0);
	assert_string_equal(wr_steer_port_mode(p), "generic");
	assert_string_equal(why.text, "lo: its driver has no native XDP");
	wr_steer_port_close(p, true);
	c.mode = STEER_NATIVE;
	assert_int_equal(wr_steer_port_open(t.steer, &c, &p, &err), 0);
	assert_int_equal(wr_steer_port_attach(p, &why, &err), -EOPNOTSUPP);
	assert_string_equal(err.text, "lo: its driver has no native XDP");
	wr_steer_port_close(p, true);
}

static void no_such_interface(void **state)
{
	struct steer_port_conf c = conf(STEER_AUTO, false);
	enum steer_found f;
	struct wr_err err = {""};
	struct steer_port *p = NULL;

	(void)state;
	c.ifname = "gone";
	c.ifindex = 4711;
	assert_int_equal(wr_steer_probe("gone", &f, &err), -ENODEV);
	assert_string_equal(err.text, "gone: no such interface");
	assert_int_equal(wr_steer_port_open(t.steer, &c, &p, &err), 0);
	err.text[0] = '\0';
	assert_int_equal(wr_steer_port_attach(p, NULL, &err), -ENODEV);
	assert_string_equal(err.text, "gone: no such interface");
	wr_steer_port_close(p, true);
}

/* A process attaches and is killed. */
static void crash(enum steer_mode mode, bool share)
{
	int pipe_fds[2], status;
	char ready = 0;
	pid_t pid;

	assert_int_equal(pipe(pipe_fds), 0);
	pid = fork();
	if (!pid) {
		struct steer_port_conf c = conf(mode, share);
		struct steer_port *p = NULL;
		struct steer *s = NULL;
		struct wr_err err = {""};

		if (wr_steer_create(&s, &err) || wr_steer_port_open(s, &c, &p, &err) ||
		    wr_steer_port_attach(p, NULL, &err)) {
			fprintf(stderr, "%s\n", err.text);
			_exit(1);
		}
		*wr_steer_beat(s, 0) = STEER_ASLEEP;
		wr_steer_port_set_transit(p, true);
		if (write(pipe_fds[1], "r", 1) == 1)
			pause();
		_exit(1);
	}
	close(pipe_fds[1]);
	assert_int_equal(read(pipe_fds[0], &ready, 1), 1);
	close(pipe_fds[0]);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WTERMSIG(status), SIGKILL);
}

static uint32_t pinned_link_id(uint32_t *ret_prog_id)
{
	struct bpf_link_info info = {};
	uint32_t n = sizeof(info);
	char path[96];
	int fd;

	pin_path(path, sizeof(path));
	fd = bpf_obj_get(path);
	assert_true(fd >= 0);
	assert_int_equal(bpf_obj_get_info_by_fd(fd, &info, &n), 0);
	close(fd);
	*ret_prog_id = info.prog_id;
	return info.id;
}

static void crash_and_next_start(void **state)
{
	uint32_t old_prog, new_prog, link;
	struct steer_port *p;

	(void)state;
	crash(STEER_AUTO, false);
	assert_int_equal(found(), STEER_FOUND_OURS);
	link = pinned_link_id(&old_prog);
	p = attached(STEER_AUTO, false);
	assert_int_equal(pinned_link_id(&new_prog), link);
	assert_int_not_equal(old_prog, new_prog);
	assert_string_equal(wr_steer_port_mode(p), "native");
	assert_true(wr_steer_port_is_pinned(p));
	wr_steer_port_close(p, true);
	assert_nothing_left();
}

static void crash_and_other_mode(void **state)
{
	struct steer_port *p;

	(void)state;
	crash(STEER_NATIVE, false);
	p = attached(STEER_GENERIC, false);
	assert_string_equal(wr_steer_port_mode(p), "generic");
	wr_steer_port_close(p, true);
	crash(STEER_GENERIC, false);
	p = attached(STEER_AUTO, false);
	assert_string_equal(wr_steer_port_mode(p), "native");
	wr_steer_port_close(p, true);
	assert_nothing_left();
}

static void note_name(void *arg, const char *ifname)
{
	strncat(arg, ifname, 15);
	strncat(arg, " ", 2);
}

static void crash_and_detach(void **state)
{
	char names[64] = "";
	struct wr_err err = {""};

	(void)state;
	crash(STEER_AUTO, false);
	assert_int_equal(wr_steer_detach_leftovers(note_name, names, &err), 1);
	assert_string_equal(names, "wr0 ");
	assert_nothing_left();
	assert_int_equal(wr_steer_detach_leftovers(NULL, NULL, &err), 0);
}

static void assert_kernel_gets(const struct frame *f)
{
	const struct timeval limit = {.tv_sec = 2};
	struct sockaddr_ll from = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP)};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	struct frame got = {.b = next_buffer()};

	from.sll_ifindex = INDEX;
	assert_int_equal(bind(fd, (struct sockaddr *)&from, sizeof(from)), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
	send_frame(f);
	assert_int_equal(recv(fd, got.b, MAX_BYTES, 0), f->n);
	assert_memory_equal(got.b, f->b, f->n);
	close(fd);
}

static void close_without_detach(void **state)
{
	struct steer_port *p = attached(STEER_AUTO, false);
	struct frame f = transit();
	struct wr_err err;

	(void)state;
	wr_steer_port_set_transit(p, true);
	*wr_steer_beat(t.steer, 0) = STEER_ASLEEP;
	wr_steer_port_close(p, false);
	assert_int_equal(found(), STEER_FOUND_OURS);
	assert_true(has_pin());
	assert_kernel_gets(&f);
	p = attached(STEER_AUTO, false);
	wr_steer_port_close(p, false);
	assert_int_equal(wr_steer_detach_leftovers(NULL, NULL, &err), 1);
	assert_nothing_left();
}

/* The same index on a new device: the old pin's link is dead and says nothing about it. */
static void recreated_interface(void **state)
{
	struct steer_port *p = attached(STEER_AUTO, false);
	struct wr_err err;

	(void)state;
	wr_steer_port_close(p, false);
	close(t.send_fd);
	assert_int_equal(shell("ip link del wr0"), 0);
	assert_int_equal(add_veth(1500), 0);
	assert_true(has_pin());
	assert_int_equal(found(), STEER_FOUND_NOTHING);
	p = attached(STEER_AUTO, false);
	assert_int_equal(found(), STEER_FOUND_OURS);
	assert_true(has_pin());
	close(t.send_fd);
	assert_int_equal(shell("ip link del wr0"), 0);
	assert_int_equal(add_veth(1500), 0);
	wr_steer_port_close(p, false);
	assert_true(has_pin());
	assert_int_equal(wr_steer_detach_leftovers(NULL, NULL, &err), 0);
	assert_nothing_left();

	/* And when no device comes after it. */
	p = attached(STEER_AUTO, false);
	wr_steer_port_close(p, false);
	close(t.send_fd);
	assert_int_equal(shell("ip link del wr0"), 0);
	assert_true(has_pin());
	assert_int_equal(wr_steer_detach_leftovers(NULL, NULL, &err), 0);
	assert_false(has_pin());
	assert_int_equal(add_veth(1500), 0);
}

/* A child that inherited the link does not keep the program there. */
static void detach_is_at_once(void **state)
{
	struct steer_port *p = attached(STEER_AUTO, false);
	int inherited = dup(p->link_fd);

	(void)state;
	wr_steer_port_close(p, true);
	assert_nothing_left();
	close(inherited);
}

/* A living process whose pin is out of sight keeps its interface. */
static void living_process_is_refused(void **state)
{
	struct steer_port *first = attached(STEER_AUTO, false), *second;
	struct wr_err err = {""};
	char path[96];

	(void)state;
	pin_path(path, sizeof(path));
	assert_int_equal(unlink(path), 0);
	second = open_port(STEER_AUTO, false);
	assert_int_equal(wr_steer_port_attach(second, NULL, &err), -EBUSY);
	assert_non_null(strstr(err.text, "wr0: another Weir process holds it"));
	assert_int_equal(found(), STEER_FOUND_OURS);
	wr_steer_port_close(second, true);
	assert_int_equal(found(), STEER_FOUND_OURS);
	/* Without a socket on its queue it does not live: it is found without its pin, too. */
	assert_false(wr_steer_is_in_use(if_nametoindex("wr0")));
	assert_int_equal(wr_steer_detach_leftovers(NULL, NULL, &err), 1);
	assert_int_equal(found(), STEER_FOUND_NOTHING);
	wr_steer_port_close(first, true);
	assert_nothing_left();
}

/* --- other people's programs */

static int foreign_prog(void)
{
	const struct bpf_insn pass[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = XDP_PASS},
		{.code = BPF_JMP | BPF_EXIT},
	};
	int fd = bpf_prog_load(BPF_PROG_TYPE_XDP, "other", "GPL", pass, 2, NULL);

	assert_true(fd >= 0);
	return fd;
}

static void check_foreign_refused(bool share)
{
	struct steer_port *p = open_port(STEER_AUTO, share);
	int fd = foreign_prog();
	struct wr_err err = {""};

	assert_int_equal(bpf_xdp_attach(INDEX, fd, XDP_FLAGS_DRV_MODE, NULL), 0);
	assert_int_equal(found(), STEER_FOUND_FOREIGN);
	assert_int_equal(wr_steer_port_attach(p, NULL, &err), -EBUSY);
	assert_non_null(strstr(err.text, "wr0: an XDP program 'other' (id "));
	assert_non_null(strstr(err.text, "ip link set dev wr0 xdp off"));
	assert_int_equal(!strstr(err.text, "or start with --xdp-share"), share);
	assert_int_equal(wr_steer_detach_leftovers(NULL, NULL, &err), 0);
	wr_steer_port_close(p, true);
	assert_int_equal(found(), STEER_FOUND_FOREIGN);
	assert_int_equal(bpf_xdp_detach(INDEX, XDP_FLAGS_DRV_MODE, NULL), 0);
	close(fd);
	assert_nothing_left();
}

static void foreign_is_refused(void **state)
{
	(void)state;
	check_foreign_refused(false);
	check_foreign_refused(true);
}

/* The dispatcher's parts are programs of this type; hardened kernels refuse it. */
static bool has_dispatcher(void)
{
	return libbpf_probe_bpf_prog_type(BPF_PROG_TYPE_EXT, NULL) == 1;
}

static void need_dispatcher(void)
{
	if (!has_dispatcher())
		skip();
}

static int n_in_dispatcher(const char *name)
{
	struct xdp_multiprog *mp = xdp_multiprog__get_from_ifindex(INDEX);
	struct xdp_program *prog = NULL;
	int n = 0;

	if (libxdp_get_error(mp))
		return 0;
	while ((prog = xdp_multiprog__next_prog(prog, mp)))
		n += !name || strcmp(xdp_program__name(prog), name) == 0;
	xdp_multiprog__close(mp);
	return n;
}

static void check_share_alone(enum steer_mode mode)
{
	struct steer_port *p = open_port(mode, true);
	struct frame f = transit();
	struct sock s = {};

	open_sock(&s);
	put_sock(p, &s, 0);
	attach(p);
	assert_string_equal(wr_steer_port_mode(p), wr_steer_mode_name(mode));
	assert_int_equal(found(), STEER_FOUND_DISPATCHER);
	assert_int_equal(n_in_dispatcher("weir_steer"), 1);
	wr_steer_port_set_transit(p, true);
	*wr_steer_beat(t.steer, 0) = STEER_ASLEEP;
	expect_taken(p, &s, &f);
	m_options(&f);
	expect(p, &f, STEER_OPTIONS, "through the dispatcher");
	wr_steer_port_close(p, true);
	close_sock(&s);
	assert_nothing_left();
}

static void share_alone(void **state)
{
	(void)state;
	need_dispatcher();
	check_share_alone(STEER_NATIVE);
	check_share_alone(STEER_GENERIC);
}

static void need_xdp_filter(void)
{
	need_dispatcher();
	if (shell("command -v xdp-filter >/dev/null") != 0)
		skip();
}

static void share_is_refused(void **state)
{
	struct wr_err err = {""}, why;
	struct steer_port *p;

	(void)state;
	if (has_dispatcher())
		skip();
	p = open_port(STEER_AUTO, true);
	assert_int_equal(wr_steer_port_attach(p, &why, &err), -EOPNOTSUPP);
	assert_non_null(strstr(err.text, "wr0: this kernel cannot run XDP programs beside"));
	assert_string_equal(wr_steer_port_mode(p), "");
	wr_steer_port_close(p, true);
	assert_nothing_left();
}

static void share_beside(void **state)
{
	struct frame f = transit(), denied = transit();
	struct steer_port *p, *alone;
	struct wr_err err = {""};
	uint64_t before[STEER_N_VERDICTS], delta[STEER_N_VERDICTS];
	struct sock s = {};

	(void)state;
	need_xdp_filter();
	assert_int_equal(shell("xdp-filter load -m native wr0 -f udp,ipv4 && "
			       "xdp-filter port -m dst -p udp 7777"),
			 0);
	assert_int_equal(found(), STEER_FOUND_DISPATCHER);
	alone = open_port(STEER_AUTO, false);
	assert_int_equal(wr_steer_port_attach(alone, NULL, &err), -EBUSY);
	assert_non_null(strstr(err.text, "--xdp-share"));
	wr_steer_port_close(alone, true);
	assert_int_equal(n_in_dispatcher(NULL), 1);

	p = open_port(STEER_AUTO, true);
	open_sock(&s);
	put_sock(p, &s, 0);
	attach(p);
	assert_int_equal(n_in_dispatcher(NULL), 2);
	wr_steer_port_set_transit(p, true);
	*wr_steer_beat(t.steer, 0) = STEER_ASLEEP;
	expect_taken(p, &s, &f);
	/* The filter runs first: what it drops is never judged. */
	put16(&denied, L4 + 2, 7777);
	wr_steer_port_counts(p, before);
	send_frame(&denied);
	*wr_steer_beat(t.steer, 0) = STEER_ASLEEP;
	send_frame(&f);
	wait_verdicts(p, before, 1, delta);
	assert_int_equal(delta[STEER_TRANSIT], 1);

	wr_steer_port_close(p, true);
	close_sock(&s);
	assert_int_equal(n_in_dispatcher("weir_steer"), 0);
	assert_int_equal(n_in_dispatcher(NULL), 1);
	assert_int_equal(shell("xdp-filter unload wr0"), 0);
	assert_nothing_left();
}

/* Another loader comes after us, and goes. */
static void share_with_a_later_one(void **state)
{
	struct steer_port *p;
	struct frame f = transit();

	(void)state;
	need_xdp_filter();
	p = attached(STEER_AUTO, true);
	assert_int_equal(shell("xdp-filter load -m native wr0 -f udp,ipv4"), 0);
	assert_int_equal(n_in_dispatcher(NULL), 2);
	wr_steer_port_set_transit(p, true);
	expect(p, &f, STEER_NO_SOCKET, "beside the later one");
	assert_int_equal(shell("xdp-filter unload wr0"), 0);
	assert_int_equal(n_in_dispatcher("weir_steer"), 1);
	expect(p, &f, STEER_NO_SOCKET, "alone again");
	wr_steer_port_close(p, true);
	assert_nothing_left();
}

static void share_crash_and_next_start(void **state)
{
	struct steer_port *p;
	struct wr_err err = {""};
	char names[64] = "";
	bool has_filter = shell("command -v xdp-filter >/dev/null") == 0;

	(void)state;
	need_dispatcher();
	crash(STEER_AUTO, true);
	assert_int_equal(n_in_dispatcher("weir_steer"), 1);
	p = attached(STEER_AUTO, true);
	assert_int_equal(n_in_dispatcher("weir_steer"), 1);
	wr_steer_port_close(p, true);
	assert_nothing_left();

	/* From shared to alone, and back. */
	crash(STEER_AUTO, true);
	p = attached(STEER_AUTO, false);
	assert_int_equal(found(), STEER_FOUND_OURS);
	wr_steer_port_close(p, false);
	p = attached(STEER_AUTO, true);
	assert_int_equal(found(), STEER_FOUND_DISPATCHER);
	wr_steer_port_close(p, true);
	assert_nothing_left();

	if (has_filter)
		assert_int_equal(shell("xdp-filter load -m native wr0 -f udp,ipv4"), 0);
	crash(STEER_AUTO, true);
	assert_int_equal(wr_steer_detach_leftovers(note_name, names, &err), 1);
	assert_string_equal(names, "wr0 ");
	assert_int_equal(n_in_dispatcher("weir_steer"), 0);
	assert_int_equal(n_in_dispatcher(NULL), has_filter);
	assert_int_equal(wr_steer_detach_leftovers(NULL, NULL, &err), 0);
	if (has_filter)
		assert_int_equal(shell("xdp-filter unload wr0"), 0);
	assert_nothing_left();
}

static void share_other_mode(void **state)
{
	struct steer_port *p;
	struct wr_err err = {""};

	(void)state;
	need_xdp_filter();
	assert_int_equal(shell("xdp-filter load -m skb wr0 -f udp,ipv4"), 0);
	p = open_port(STEER_NATIVE, true);
	assert_int_equal(wr_steer_port_attach(p, NULL, &err), -EBUSY);
	assert_non_null(strstr(err.text, "generic mode"));
	wr_steer_port_close(p, true);
	p = attached(STEER_AUTO, true);
	assert_string_equal(wr_steer_port_mode(p), "generic");
	wr_steer_port_close(p, true);
	assert_int_equal(shell("xdp-filter unload wr0"), 0);
}

/* --- less than everything */

/* Runs `fn` in a child; its return value is the child's exit status. */
static int in_child(int (*fn)(void))
{
	pid_t pid = fork();
	int status;

	if (!pid)
		_exit(fn());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int no_capability(void)
{
	struct steer_port_conf c = conf(STEER_AUTO, false);
	struct steer_port *p = NULL;
	struct steer *s = NULL;
	struct wr_err err = {""};
	int code;

	if (setuid(65534))
		return 1;
	/* Where anybody may create maps, the program is what is refused. */
	code = wr_steer_create(&s, &err);
	if (!code)
		code = wr_steer_port_open(s, &c, &p, &err);
	return code != -EPERM || !strstr(err.text, "needs CAP_NET_ADMIN, CAP_BPF and CAP_NET_RAW");
}

static void without_capability(void **state)
{
	(void)state;
	assert_int_equal(in_child(no_capability), 0);
}

static int no_bpffs(void)
{
	struct steer_port_conf c = conf(STEER_AUTO, false);
	struct steer_port *p = NULL;
	struct wr_err err = {""};

	if (unshare(CLONE_NEWNS) || mount("none", "/sys", "tmpfs", MS_RDONLY, NULL))
		return 1;
	if (wr_steer_port_open(t.steer, &c, &p, &err) || wr_steer_port_attach(p, NULL, &err))
		return 2;
	if (wr_steer_port_is_pinned(p) || found() != STEER_FOUND_OURS)
		return 3;
	wr_steer_port_close(p, false); /* the link goes with its last descriptor */
	if (found() != STEER_FOUND_NOTHING)
		return 4;
	c.share = true;
	if (wr_steer_port_open(t.steer, &c, &p, &err) || !wr_steer_port_attach(p, NULL, &err))
		return 5;
	if (has_dispatcher() && !strstr(err.text, "bpffs"))
		return 6;
	wr_steer_port_close(p, true);
	return found() != STEER_FOUND_NOTHING;
}

static void without_bpffs(void **state)
{
	(void)state;
	assert_int_equal(in_child(no_bpffs), 0);
}

static int unmounted_bpffs(void)
{
	struct steer_port_conf c = conf(STEER_AUTO, false);
	struct steer_port *p = NULL;
	struct wr_err err = {""};

	if (unshare(CLONE_NEWNS) || umount2("/sys/fs/bpf", MNT_DETACH))
		return 1;
	if (wr_steer_port_open(t.steer, &c, &p, &err) || wr_steer_port_attach(p, NULL, &err))
		return 2;
	if (!wr_steer_port_is_pinned(p) || !has_pin())
		return 3;
	wr_steer_port_close(p, true);
	return found() != STEER_FOUND_NOTHING;
}

static void mounts_bpffs(void **state)
{
	(void)state;
	assert_int_equal(in_child(unmounted_bpffs), 0);
}

/* --- main */

static int prepare(void)
{
	if (unshare(CLONE_NEWNET | CLONE_NEWNS) ||
	    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return -1;
	if (mount("bpf", "/sys/fs/bpf", "bpf", 0, NULL))
		return -1;
	/* Router solicitations would be counted too. */
	return shell("echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6;"
		     "echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6; ip link set lo up");
}

#define veth_test(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
#define jumbo_test(fn) cmocka_unit_test_setup_teardown(fn, setup_jumbo, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		veth_test(verdicts_native),
		veth_test(verdicts_generic),
		veth_test(physical_takes_tunnels),
		veth_test(transit_off),
		veth_test(locals_come_and_go),
		veth_test(locals_are_bounded),
		veth_test(mac_is_never_torn),
		veth_test(bad_arguments),
		veth_test(heartbeat_native),
		veth_test(heartbeat_generic),
		veth_test(closed_socket_passes),
		veth_test(gso_stays_with_the_kernel),
		jumbo_test(jumbo),
		veth_test(single_buffer),
		jumbo_test(single_buffer_jumbo_is_generic),
		veth_test(auto_is_native),
		veth_test(auto_falls_back),
		veth_test(no_such_interface),
		veth_test(crash_and_next_start),
		veth_test(crash_and_other_mode),
		veth_test(crash_and_detach),
		veth_test(close_without_detach),
		veth_test(recreated_interface),
		veth_test(detach_is_at_once),
		veth_test(living_process_is_refused),
		veth_test(foreign_is_refused),
		veth_test(share_is_refused),
		veth_test(share_alone),
		veth_test(share_beside),
		veth_test(share_with_a_later_one),
		veth_test(share_crash_and_next_start),
		veth_test(share_other_mode),
		veth_test(without_capability),
		veth_test(without_bpffs),
		veth_test(mounts_bpffs),
	};

	if (geteuid() != 0) {
		printf("skip: needs root\n");
		return 77;
	}
	if (prepare()) {
		printf("skip: cannot make namespaces or mount a bpffs\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
