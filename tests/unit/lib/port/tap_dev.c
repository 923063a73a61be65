/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Packets and their virtio_net_hdr, without a device: one end of a socketpair that keeps message
 * boundaries stands for the descriptor, the test for the kernel, also for one that lies.
 */
#include "lib/port/tap_dev.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <cmocka.h>

enum { N_FRAMES = 256, FRAME_BYTES = 2048, MAX_BYTES = 40000 };

struct fixture {
	struct umem *umem;
	struct pool pool;
	struct tap_reader reader;
	struct port port;
	struct port_queue q;
	struct mac mac;
	int fd, kernel_fd;
};

/* What the kernel writes, or reads. */
struct message {
	struct virtio_net_hdr hdr;
	uint8_t bytes[MAX_BYTES];
} __attribute__((packed));

static int setup(void **state)
{
	const struct umem_conf conf = {.n_frames = N_FRAMES, .frame_bytes = FRAME_BYTES};
	struct fixture *f = calloc(1, sizeof(*f));
	int fds[2], bytes = 1 << 20;

	*state = f;
	if (!f || wr_umem_create(&conf, &f->umem, NULL) ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds))
		return -1;
	f->fd = fds[0];
	f->kernel_fd = fds[1];
	for (unsigned i = 0; i < 2; i++)
		if (setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)))
			return -1;
	f->mac = (struct mac){{2, 1, 2, 3, 4, 5}};
	wr_pool_init(&f->pool, f->umem);
	f->q.port = &f->port;
	f->q.pool = &f->pool;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	bool is_whole;

	if (f->reader.umem)
		wr_tap_reader_empty(&f->reader);
	wr_pool_fini(&f->pool);
	is_whole = wr_umem_audit(f->umem) == f->umem->n_frames;
	wr_umem_free(f->umem);
	close(f->fd);
	close(f->kernel_fd);
	free(f);
	return is_whole ? 0 : -1;
}

static void use_reader(struct fixture *f, unsigned l2_bytes)
{
	wr_tap_reader_init(&f->reader, f->umem, &f->mac, l2_bytes);
}

static int kernel_sends(struct fixture *f, const struct message *m, size_t n,
			struct packet **ret_pkt)
{
	size_t bytes = sizeof(m->hdr) + n;

	assert_int_equal(send(f->kernel_fd, m, bytes, 0), bytes);
	assert_true(wr_tap_reader_fill(&f->reader, &f->pool));
	return wr_tap_reader_read(&f->reader, f->fd, ret_pkt);
}

static void free_packet(struct fixture *f, struct packet *pkt)
{
	wr_packet_free(&f->pool, pkt);
}

/* `l2`: 14 bytes of Ethernet or none; then IPv4 with UDP or TCP whose field holds the
 * pseudo-header's sum. Returns the packet's length. */
static size_t make_partial(uint8_t *bytes, unsigned l2, uint8_t protocol, size_t n_l4)
{
	struct ip4_hdr *ip = (struct ip4_hdr *)(bytes + l2);
	uint16_t sum;

	for (size_t i = 0; i < l2 + IP4_HDR_BYTES + n_l4; i++)
		bytes[i] = (uint8_t)(i * 31 + 7);
	*ip = (struct ip4_hdr){
		.version_ihl = 0x45,
		.total_len = be16_from((uint16_t)(IP4_HDR_BYTES + n_l4)),
		.ttl = 64,
		.protocol = protocol,
		.src = ip4_from(0x0a000001),
		.dst = ip4_from(0x0a000002),
	};
	wr_ip4_hdr_finish(ip);
	if (l2) {
		bytes[12] = 8;
		bytes[13] = 0;
	}
	bytes[l2 + IP4_HDR_BYTES + 12] = 5 << 4; /* TCP's header length */
	sum = wr_l4_pseudo_sum(ip, (uint16_t)n_l4);
	memcpy(bytes + l2 + IP4_HDR_BYTES + wr_l4_csum_offset(protocol), &sum, sizeof(sum));
	return l2 + IP4_HDR_BYTES + n_l4;
}

static void needs_csum(struct message *m, uint16_t start, uint16_t offset)
{
	m->hdr = (struct virtio_net_hdr){
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = start, .csum_offset = offset};
}

/* --- what the kernel is told ------------------------------------------------------------------ */

static void truncated_headers_are_not_described(void **state)
{
	static uint8_t frame[200];
	struct virtio_net_hdr hdr;
	struct packet pkt;

	(void)state;
	make_partial(frame, ETH_HDR_BYTES, IP_PROTO_UDP, 108);
	for (uint16_t n = 0; n <= 142; n++) {
		memset(&hdr, 0, sizeof(hdr));
		wr_packet_init(&pkt, frame, n);
		pkt.gso_bytes = 0;
		describe_csum(&pkt, &hdr);
		assert_int_equal(hdr.flags, n < 42 ? 0 : VIRTIO_NET_HDR_F_NEEDS_CSUM);
	}
	assert_int_equal(hdr.csum_start, 34);
	assert_int_equal(hdr.csum_offset, 6);
	frame[ETH_HDR_BYTES] = 0x46;
	frame[ETH_HDR_BYTES + 9] = IP_PROTO_TCP;
	describe_csum(&pkt, &hdr);
	assert_int_equal(hdr.csum_start, 38);
	assert_int_equal(hdr.csum_offset, 16);
	frame[ETH_HDR_BYTES + 9] = IP_PROTO_ICMP;
	memset(&hdr, 0, sizeof(hdr));
	describe_csum(&pkt, &hdr);
	assert_int_equal(hdr.flags, 0);
}

static size_t transmit(struct fixture *f, unsigned l2_bytes, const uint8_t *bytes, size_t n,
		       uint16_t gso_bytes, struct message *ret_message)
{
	struct packet *pkt = wr_packet_from(&f->pool, bytes, n);
	ssize_t got;

	assert_non_null(pkt);
	pkt->flags = PKT_CSUM_PARTIAL;
	pkt->gso_bytes = gso_bytes;
	wr_tap_dev_tx(&f->q, f->fd, l2_bytes, &pkt, 1);
	got = recv(f->kernel_fd, ret_message, sizeof(*ret_message), 0);
	return got < 0 ? 0 : (size_t)got - sizeof(ret_message->hdr);
}

static void the_header_counts_from_the_devices_first_byte(void **state)
{
	static uint8_t frame[MAX_BYTES];
	static struct message m;
	struct fixture *f = *state;
	size_t n = make_partial(frame, ETH_HDR_BYTES, IP_PROTO_TCP, 5000);

	for (unsigned l2 = 0; l2 <= ETH_HDR_BYTES; l2 += ETH_HDR_BYTES) {
		assert_int_equal(transmit(f, l2, frame, n, 1400, &m), n - l2);
		assert_memory_equal(m.bytes, frame + l2, n - l2);
		assert_int_equal(m.hdr.csum_start, 34 - l2);
		assert_int_equal(m.hdr.csum_offset, 16);
		assert_int_equal(m.hdr.gso_type, VIRTIO_NET_HDR_GSO_TCPV4);
		assert_int_equal(m.hdr.gso_size, 1400);
		assert_int_equal(m.hdr.hdr_len, 54 - l2);
	}
	assert_int_equal(f->q.counters.tx_pkts, 2);
	assert_int_equal(f->q.counters.tx_bytes, 2 * n);
	assert_int_equal(f->q.counters.tx_errors, 0);
}

static void a_tun_takes_nothing_but_ip(void **state)
{
	/* EtherType and first byte behind it. */
	static const uint8_t kinds[][3] = {
		{8, 0, 0x45}, {0x86, 0xdd, 0x60}, {8, 6, 0},          {8, 0, 0x60},
		{8, 0, 0x00}, {0x86, 0xdd, 0x45}, {0x81, 0x00, 0x45}, {0x88, 0xb5, 0x45},
	};
	static uint8_t frame[MAX_BYTES];
	static struct message m;
	struct fixture *f = *state;

	for (unsigned i = 0; i < wr_array_size(kinds); i++) {
		size_t n = make_partial(frame, ETH_HDR_BYTES, IP_PROTO_UDP, 100);

		memcpy(frame + 12, kinds[i], 3);
		assert_int_equal(transmit(f, ETH_HDR_BYTES, frame, n, 0, &m),
				 i < 2 ? n - ETH_HDR_BYTES : 0);
		assert_int_equal(f->q.counters.tx_errors, i < 2 ? 0 : i - 1);
	}
	assert_int_equal(transmit(f, ETH_HDR_BYTES, frame, ETH_HDR_BYTES, 0, &m), 0);
	assert_int_equal(transmit(f, ETH_HDR_BYTES, frame, 3, 0, &m), 0);
	assert_int_equal(f->q.counters.tx_errors, wr_array_size(kinds));
	assert_int_equal(f->q.counters.tx_pkts, wr_array_size(kinds) + 2);
}

static void a_device_without_room_is_counted(void **state)
{
	static uint8_t frame[1000];
	struct fixture *f = *state;
	unsigned n = 0;

	for (; !f->q.counters.tx_full; n++) {
		struct packet *pkt = wr_packet_from(&f->pool, frame, sizeof(frame));

		assert_non_null(pkt);
		wr_tap_dev_tx(&f->q, f->fd, 0, &pkt, 1);
	}
	assert_int_equal(f->q.counters.tx_pkts, n - 1);
	assert_int_equal(f->q.counters.tx_bytes, (n - 1) * sizeof(frame));
	assert_int_equal(f->q.counters.tx_errors, 0);
}

/* --- what the kernel says --------------------------------------------------------------------- */

static void plain_partial_stays_unfinished(void **state)
{
	static const uint8_t protocols[] = {IP_PROTO_TCP, IP_PROTO_UDP};
	static struct message m;
	struct fixture *f = *state;
	struct packet *pkt;

	for (unsigned l2 = 0; l2 <= ETH_HDR_BYTES; l2 += ETH_HDR_BYTES) {
		use_reader(f, ETH_HDR_BYTES - l2);
		for (unsigned i = 0; i < 2; i++) {
			size_t n = make_partial(m.bytes, l2, protocols[i], 6000);

			needs_csum(&m, (uint16_t)(l2 + 20),
				   (uint16_t)wr_l4_csum_offset(protocols[i]));
			assert_int_equal(kernel_sends(f, &m, n, &pkt), 0);
			assert_int_equal(pkt->flags, PKT_CSUM_PARTIAL);
			assert_int_equal(pkt->gso_bytes, 0);
			assert_int_equal(pkt->len, ETH_HDR_BYTES + 6020);
			assert_int_equal(pkt->data[12], 8);
			free_packet(f, pkt);
		}
		wr_tap_reader_empty(&f->reader);
	}
}

/* Each makes the packet one that PKT_CSUM_PARTIAL does not describe. */
static const struct {
	const char *name;
	uint16_t at;
	uint8_t value;
	uint16_t start, offset;
} not_plain[] = {
	{"a VLAN tag's EtherType", 12, 0x81, 34, 6},
	{"IPv4 options", 14, 0x46, 34, 6},
	{"a fragment", 20, 0x20, 34, 6},
	{"another protocol", 23, 132, 34, 6},
	{"TCP", 23, 6, 34, 6},
	{"padding behind the packet", 17, 100, 34, 6},
	{"a sum that is not the pseudo-header's", 41, 0x5a, 34, 6},
	{"another start", 0, 0, 38, 6},
	{"an odd start", 0, 0, 35, 6},
	{"another offset", 0, 0, 34, 16},
	{"the field at a frame's end, cut in two", 0, 0, 34, FRAME_BYTES - 35},
	{"a start in the second frame", 0, 0, FRAME_BYTES + 1, 2},
};

/* Over all bytes from `start`, the field included, the sum is now 0xffff. */
static void check_finished(const uint8_t *before, const uint8_t *after, size_t n, unsigned start,
			   unsigned offset)
{
	assert_memory_equal(after, before, start + offset);
	assert_memory_equal(after + start + offset + 2, before + start + offset + 2,
			    n - start - offset - 2);
}

/* Ones' complement sum of big-endian words, bit by bit as RFC 1071 says it. */
static uint16_t plain_sum(const uint8_t *bytes, size_t n)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < n; i++) {
		sum += i % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
		sum = (sum & 0xffff) + (sum >> 16);
	}
	return (uint16_t)sum;
}

/* Frames that follow each other in a packet do not in memory. */
static void turn_pool_round(struct fixture *f)
{
	struct packet *frames[N_FRAMES];
	unsigned n = wr_pool_get(&f->pool, frames, N_FRAMES);

	for (unsigned i = 0; i < n; i++)
		wr_packet_free(&f->pool, frames[i]);
}

static void anything_else_is_finished(void **state)
{
	static struct message m;
	static uint8_t got[MAX_BYTES];
	struct fixture *f = *state;
	struct packet *pkt;

	turn_pool_round(f);
	use_reader(f, 0);
	for (unsigned i = 0; i < wr_array_size(not_plain); i++) {
		unsigned start = not_plain[i].start, at = start + not_plain[i].offset;
		size_t n = make_partial(m.bytes, ETH_HDR_BYTES, IP_PROTO_UDP, 5001);
		uint16_t want;

		if (not_plain[i].at)
			m.bytes[not_plain[i].at] = not_plain[i].value;
		needs_csum(&m, not_plain[i].start, not_plain[i].offset);
		want = (uint16_t)~plain_sum(m.bytes + start, n - start);
		assert_int_equal(kernel_sends(f, &m, n, &pkt), 0);
		if (pkt->flags)
			fail_msg("%s: taken for plain", not_plain[i].name);
		wr_packet_copy_out(pkt, got, n);
		check_finished(m.bytes, got, n, start, not_plain[i].offset);
		assert_int_equal(got[at] << 8 | got[at + 1], want);
		free_packet(f, pkt);
	}
}

/* The kernel's sum goes to the end of the frame, that of PKT_CSUM_PARTIAL to the end of IP. */
static void padding_is_part_of_the_sum(void **state)
{
	static struct message m;
	struct fixture *f = *state;
	struct packet *pkt;
	size_t n = make_partial(m.bytes, ETH_HDR_BYTES, IP_PROTO_UDP, 100);
	uint16_t want;

	use_reader(f, 0);
	memset(m.bytes + n, 0x77, 10);
	needs_csum(&m, 34, 6);
	want = (uint16_t)~plain_sum(m.bytes + 34, n + 10 - 34);
	assert_int_equal(kernel_sends(f, &m, n + 10, &pkt), 0);
	assert_int_equal(pkt->flags, 0);
	assert_int_equal(pkt->data[40] << 8 | pkt->data[41], want);
	free_packet(f, pkt);
}

static void a_sum_of_zero_is_sent_as_ones(void **state)
{
	static struct message m;
	struct fixture *f = *state;
	struct packet *pkt;

	use_reader(f, 0);
	memset(m.bytes, 0, 60);
	m.bytes[40] = 0xff; /* all that is summed up is 0xffff */
	m.bytes[41] = 0xff;
	needs_csum(&m, 30, 4);
	assert_int_equal(kernel_sends(f, &m, 60, &pkt), 0);
	assert_int_equal(pkt->data[34], 0xff);
	assert_int_equal(pkt->data[35], 0xff);
	free_packet(f, pkt);
}

static void what_cannot_be_is_refused(void **state)
{
	static struct message m;
	struct fixture *f = *state;
	struct packet *pkt = NULL;
	uint8_t one = 0;

	use_reader(f, 0);
	make_partial(m.bytes, ETH_HDR_BYTES, IP_PROTO_UDP, 100);
	needs_csum(&m, 59, 0); /* the field's second byte is not there */
	assert_int_equal(kernel_sends(f, &m, 60, &pkt), -EBADMSG);
	needs_csum(&m, 65535, 65535);
	assert_int_equal(kernel_sends(f, &m, 60, &pkt), -EBADMSG);
	m.hdr = (struct virtio_net_hdr){.gso_type = VIRTIO_NET_HDR_GSO_TCPV4};
	assert_int_equal(kernel_sends(f, &m, 60, &pkt), -EBADMSG);
	m.hdr.gso_type = VIRTIO_NET_HDR_GSO_NONE;
	assert_int_equal(kernel_sends(f, &m, 0, &pkt), -EBADMSG);
	assert_int_equal(send(f->kernel_fd, &one, 1, 0), 1);
	assert_int_equal(wr_tap_reader_read(&f->reader, f->fd, &pkt), -EBADMSG);
	assert_int_equal(wr_tap_reader_read(&f->reader, f->fd, &pkt), -EAGAIN);
	assert_null(pkt);
	assert_int_equal(f->reader.n_holes, 0);
	needs_csum(&m, 58, 0);
	assert_int_equal(kernel_sends(f, &m, 60, &pkt), 0);
	free_packet(f, pkt);
}

static void only_ip_comes_from_a_tun(void **state)
{
	static struct message m;
	struct fixture *f = *state;
	struct packet *pkt = NULL;

	use_reader(f, ETH_HDR_BYTES);
	for (unsigned version = 0; version < 16; version++) {
		bool is_ip = version == 4 || version == 6;

		m.bytes[0] = (uint8_t)(version << 4);
		assert_int_equal(kernel_sends(f, &m, 40, &pkt), is_ip ? 0 : -EBADMSG);
		if (!is_ip)
			continue;
		assert_int_equal(pkt->len, 54);
		assert_memory_equal(pkt->data, f->mac.b, 6);
		assert_int_equal(pkt->data[6] & 3, 2); /* local, not multicast */
		assert_int_equal(pkt->data[12] << 8 | pkt->data[13],
				 version == 4 ? 0x0800 : 0x86dd);
		free_packet(f, pkt);
	}
}

static void the_longest_and_one_more(void **state)
{
	static struct message m;
	struct fixture *f = *state;
	struct packet *pkt = NULL;

	for (unsigned l2 = 0; l2 <= ETH_HDR_BYTES; l2 += ETH_HDR_BYTES) {
		uint32_t max = wr_tap_reader_max_bytes(f->umem, l2);

		assert_int_equal(max, WR_MAX_SEGS * FRAME_BYTES - WR_HEADROOM);
		use_reader(f, l2);
		m.bytes[0] = 0x45;
		assert_int_equal(kernel_sends(f, &m, max - l2, &pkt), 0);
		assert_int_equal(pkt->n_segs, WR_MAX_SEGS);
		assert_int_equal(pkt->len, max);
		free_packet(f, pkt);
		assert_int_equal(kernel_sends(f, &m, max - l2 + 1, &pkt), -EBADMSG);
		wr_tap_reader_empty(&f->reader);
	}
}

static void a_dry_pool_leaves_holes(void **state)
{
	struct packet *all[N_FRAMES];
	struct fixture *f = *state;
	unsigned n;

	use_reader(f, 0);
	n = wr_pool_get(&f->pool, all, N_FRAMES - 5);
	assert_false(wr_tap_reader_fill(&f->reader, &f->pool));
	assert_int_equal(f->reader.n_holes, WR_MAX_SEGS - 5);
	wr_packet_free(&f->pool, all[--n]);
	assert_false(wr_tap_reader_fill(&f->reader, &f->pool));
	assert_int_equal(f->reader.n_holes, WR_MAX_SEGS - 6);
	while (n)
		wr_packet_free(&f->pool, all[--n]);
	assert_true(wr_tap_reader_fill(&f->reader, &f->pool));
	for (unsigned i = 0; i < WR_MAX_SEGS; i++) {
		assert_non_null(f->reader.frames[i]);
		for (unsigned k = 0; k < i; k++)
			assert_ptr_not_equal(f->reader.frames[i], f->reader.frames[k]);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(truncated_headers_are_not_described),
		TEST(the_header_counts_from_the_devices_first_byte),
		TEST(a_tun_takes_nothing_but_ip),
		TEST(a_device_without_room_is_counted),
		TEST(plain_partial_stays_unfinished),
		TEST(anything_else_is_finished),
		TEST(padding_is_part_of_the_sum),
		TEST(a_sum_of_zero_is_sent_as_ones),
		TEST(what_cannot_be_is_refused),
		TEST(only_ip_comes_from_a_tun),
		TEST(the_longest_and_one_more),
		TEST(a_dry_pool_leaves_holes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
