/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checksums that a sender left unfinished, sent by an AF_XDP socket: what the far end of the veth
 * gets (its kernel says by PACKET_AUXDATA whether it takes the checksum for unfinished), and what
 * goes on a wire that cannot finish it.
 */
#include "tests/unit/lib/port/af_xdp_fixture.h"

#include "lib/mem/l4_csum.h"

enum { L4_AT = ETH_HDR_BYTES + IP4_HDR_BYTES };

/* How the packet lies in its frames. */
struct layout {
	uint32_t n_bytes, seg_bytes, offset;
};

static const struct layout layouts[] = {
	{100, 2048, 256},  {1514, 2048, 256}, {1514, 2048, 24}, /* as they are */
	{1514, 2048, 0},   {1514, 2048, 23},                    /* moved */
	{9014, 2048, 0},                                        /* copied */
	{9014, 1792, 256}, {9014, 1000, 256}, {1514, 2048, 258},
};

struct sample {
	uint8_t bytes[MAX_BYTES];
	uint8_t partial[2], right[2];
	unsigned csum_at;
};

/* A frame to nobody, whose checksum is unfinished. */
static void make_sample(struct sample *s, uint8_t protocol, uint32_t n_bytes)
{
	struct packet flat;
	struct ip4_hdr *ip = (struct ip4_hdr *)(void *)(s->bytes + ETH_HDR_BYTES);
	uint16_t sum;

	memcpy(s->bytes, make_frame(n_bytes, n_bytes), n_bytes);
	s->bytes[12] = 0x08;
	s->bytes[13] = 0x00;
	*ip = (struct ip4_hdr){.version_ihl = 0x45,
			       .total_len = be16_from((uint16_t)(n_bytes - ETH_HDR_BYTES)),
			       .ttl = 64,
			       .protocol = protocol,
			       .src = ip4_from(0x0a000001),
			       .dst = ip4_from(0x0a000002)};
	wr_ip4_hdr_finish(ip);
	s->csum_at = L4_AT + wr_l4_csum_offset(protocol);
	sum = wr_l4_pseudo_sum(ip, (uint16_t)(n_bytes - L4_AT));
	memcpy(s->partial, &sum, 2);
	memcpy(s->bytes + s->csum_at, s->partial, 2);
	wr_packet_init(&flat, s->bytes, (uint16_t)n_bytes);
	wr_l4_finish(&flat, ip);
	memcpy(s->right, s->bytes + s->csum_at, 2);
	memcpy(s->bytes + s->csum_at, s->partial, 2);
	assert_memory_not_equal(s->right, s->partial, 2);
}

static void send_sample(struct fixture *f, const struct sample *s, const struct layout *layout,
			uint8_t flags)
{
	struct packet *first = NULL, **next = &first;

	for (uint32_t at = 0; at < layout->n_bytes; at += layout->seg_bytes) {
		uint32_t left = layout->n_bytes - at;
		struct packet *seg;

		assert_int_equal(wr_pool_get(&f->pool, &seg, 1), 1);
		wr_packet_init(seg, seg->data + layout->offset,
			       (uint16_t)(left < layout->seg_bytes ? left : layout->seg_bytes));
		memcpy(seg->data, s->bytes + at, seg->seg_len);
		*next = seg;
		next = &seg->next;
	}
	first->len = layout->n_bytes;
	first->n_segs = (uint8_t)((layout->n_bytes + layout->seg_bytes - 1) / layout->seg_bytes);
	first->flags = flags;
	wr_port_tx(f->q, &first, 1);
	f->port->ops->flush(f->q);
}

/* The next IPv4 frame at the peer, and whether its kernel takes the checksum for unfinished. */
static size_t receive_sample(int fd, uint8_t *frame, bool *ret_unfinished)
{
	struct iovec iov = {.iov_base = frame, .iov_len = MAX_BYTES};
	uint8_t control[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control,
			     .msg_controllen = sizeof(control)};
	struct pollfd p = {.fd = fd, .events = POLLIN};
	const struct tpacket_auxdata *aux;
	ssize_t n;

	if (poll(&p, 1, WAIT_MS) != 1)
		return 0;
	n = recvmsg(fd, &msg, 0);
	assert_true(n > 0);
	assert_non_null(CMSG_FIRSTHDR(&msg));
	aux = (const struct tpacket_auxdata *)(void *)CMSG_DATA(CMSG_FIRSTHDR(&msg));
	*ret_unfinished = aux->tp_status & TP_STATUS_CSUMNOTREADY;
	return (size_t)n;
}

static int open_ip4_peer(void)
{
	struct sockaddr_ll addr = {.sll_family = AF_PACKET,
				   .sll_protocol = htobe16(ETH_P_IP),
				   .sll_ifindex = (int)if_nametoindex("xb")};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htobe16(ETH_P_IP));
	int one = 1;

	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &one, sizeof(one)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

/* Sends each sample with these flags and finds it at the peer, with this checksum. */
static void expect_all(struct fixture *f, uint8_t flags, bool is_finished, bool is_unfinished_there)
{
	static const uint8_t protocols[] = {IP_PROTO_TCP, IP_PROTO_UDP};
	static uint8_t got[MAX_BYTES];
	static struct sample s;
	int fd = open_ip4_peer();

	for (unsigned i = 0; i < 2 * wr_array_size(layouts); i++) {
		const struct layout *layout = &layouts[i / 2];
		bool is_unfinished = false;

		make_sample(&s, protocols[i % 2], layout->n_bytes);
		send_sample(f, &s, layout, flags);
		assert_int_equal(receive_sample(fd, got, &is_unfinished), layout->n_bytes);
		assert_int_equal(is_unfinished, is_unfinished_there);
		memcpy(s.bytes + s.csum_at, is_finished ? s.right : s.partial, 2);
		assert_memory_equal(got, s.bytes, layout->n_bytes);
	}
	assert_int_equal(f->q->counters.tx_errors + f->q->counters.tx_full, 0);
	assert_int_equal(fact(f->port, "tx_invalid_descs"), 0);
	close(fd);
}

static void need_metadata(struct fixture *f)
{
	assert_int_equal(fact(f->port, "tx_checksum"), !!(f->port->flags & PORT_TX_CSUM));
	if (!(f->port->flags & PORT_TX_CSUM)) {
		print_message("skip: this kernel has no TX metadata for AF_XDP\n");
		skip();
	}
}

static void over_a_veth_they_stay_unfinished_and_the_kernel_knows(void **state)
{
	struct fixture *f = *state;

	need_metadata(f);
	expect_all(f, PKT_CSUM_PARTIAL, false, true);
}

static void for_a_wire_the_kernel_finishes_them(void **state)
{
	struct fixture *f = *state;

	need_metadata(f);
	run("ethtool -K xa tx off >/dev/null");
	expect_all(f, PKT_CSUM_PARTIAL, true, false);
}

static void others_are_not_touched(void **state)
{
	expect_all(*state, 0, false, false);
}

/* They begin where frames do, and are not moved for metadata that nobody writes. */
static void without_metadata_packets_stay_where_they_are(void **state)
{
	const struct layout full = {.n_bytes = 2048, .seg_bytes = 2048, .offset = 0};
	struct fixture *f = *state;
	struct af_xdp_conf conf = conf_of("xa");
	static uint8_t got[MAX_BYTES];
	static struct sample s;
	bool is_unfinished = true;
	int fd = open_ip4_peer();

	conf.no_tx_checksum = true;
	open_port(f, &conf);
	assert_int_equal(fact(f->port, "tx_checksum"), 0);
	assert_false(f->port->flags & PORT_TX_CSUM);
	make_sample(&s, IP_PROTO_UDP, full.n_bytes);
	send_sample(f, &s, &full, PKT_CSUM_PARTIAL);
	assert_int_equal(receive_sample(fd, got, &is_unfinished), full.n_bytes);
	assert_false(is_unfinished);
	assert_memory_equal(got, s.bytes, full.n_bytes);
	close(fd);
}

/* What the flag does not fit: no TCP or UDP. Sent as it is. */
static void a_checksum_that_is_not_there(void **state)
{
	struct fixture *f = *state;
	const struct layout layout = {.n_bytes = 60, .seg_bytes = 60, .offset = 256};
	static uint8_t got[MAX_BYTES];
	static struct sample s;
	bool is_unfinished = true;
	int fd = open_ip4_peer();

	make_sample(&s, IP_PROTO_UDP, 60);
	s.bytes[ETH_HDR_BYTES + offsetof(struct ip4_hdr, protocol)] = IP_PROTO_ICMP;
	send_sample(f, &s, &layout, PKT_CSUM_PARTIAL);
	assert_int_equal(receive_sample(fd, got, &is_unfinished), 60);
	assert_false(is_unfinished);
	assert_memory_equal(got, s.bytes, 60);
	close(fd);
}

/* No frame is left to copy into: the packet is lost, and counted. */
static void without_frames_to_copy_into(void **state)
{
	static struct packet *hoard[N_FRAMES];
	static struct sample s;
	struct fixture *f = *state;
	unsigned n;

	need_metadata(f);
	make_sample(&s, IP_PROTO_UDP, 9014);
	n = wr_pool_get(&f->pool, hoard, N_FRAMES - N_DESCS - 5);
	assert_int_equal(n, N_FRAMES - N_DESCS - 5);
	send_sample(f, &s, &layouts[5], PKT_CSUM_PARTIAL);
	assert_int_equal(f->q->counters.tx_errors, 1);
	assert_int_equal(f->q->counters.tx_pkts, 1);
	while (n)
		wr_packet_free(&f->pool, hoard[--n]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(over_a_veth_they_stay_unfinished_and_the_kernel_knows, setup),
		TEST(over_a_veth_they_stay_unfinished_and_the_kernel_knows, setup_generic),
		TEST(for_a_wire_the_kernel_finishes_them, setup),
		TEST(for_a_wire_the_kernel_finishes_them, setup_generic),
		TEST(others_are_not_touched, setup),
		TEST(without_metadata_packets_stay_where_they_are, setup_closed),
		TEST(a_checksum_that_is_not_there, setup),
		TEST(without_frames_to_copy_into, setup),
	};
	int rc = enter_namespace();

	return rc ? rc : cmocka_run_group_tests(tests, NULL, NULL);
}
