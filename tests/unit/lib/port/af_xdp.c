/* SPDX-License-Identifier: BSD-3-Clause */
/*
 *   our network namespace
 *   +-------------------------------------------+
 *   |  AF_PACKET -- xb ------ veth ------ xa -- AF_XDP
 *   +-------------------------------------------+
 *
 * MTU 9000. On xa a program of four instructions redirects every frame to the socket of its queue.
 * Without root only what needs no kernel runs: descriptors as no kernel should write them.
 */
#include <errno.h>
#include <sys/socket.h>

/* The kick, so that a test can have the kernel refuse it. */
static int kick_errno; /* 0: ask the kernel */

static ssize_t kick_or_fail(int fd, const void *buf, size_t n, int flags,
			    const struct sockaddr *addr, socklen_t len)
{
	if (!kick_errno)
		return sendto(fd, buf, n, flags, addr, len);
	errno = kick_errno;
	return -1;
}
#define sendto kick_or_fail
#include "lib/port/af_xdp.c"
#undef sendto

#include <bpf/bpf.h>
#include <dirent.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cmocka.h>

enum {
	N_FRAMES = 4096,
	N_DESCS = 512,
	ETHERTYPE = 0x88b5, /* for experiments */
	MAX_BYTES = 9014,
	WAIT_MS = 3000,
};

struct fixture {
	struct umem *umem;
	struct pool pool;
	struct port *port; /* NULL: closed by the test */
	struct port_queue *q;
	int peer_fd; /* AF_PACKET on xb */
	int prog_fd, map_fd;
};

/* --- the wire --------------------------------------------------------------------------------- */

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

static int open_peer(const char *ifname)
{
	struct sockaddr_ll addr = {
		.sll_family = AF_PACKET,
		.sll_protocol = htobe16(ETHERTYPE),
		.sll_ifindex = (int)if_nametoindex(ifname),
	};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htobe16(ETHERTYPE));
	int bytes = 16 << 20;

	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

/* r0 = bpf_redirect_map(map, ctx->rx_queue_index, XDP_PASS) */
static void load_program(struct fixture *f)
{
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .prog_flags = 1U << 5 /* BPF_F_XDP_HAS_FRAGS */);
	struct bpf_insn code[] = {
		{.code = BPF_LDX | BPF_MEM | BPF_W,
		 .dst_reg = 2,
		 .src_reg = 1,
		 .off = offsetof(struct xdp_md, rx_queue_index)},
		{.code = BPF_LD | BPF_DW | BPF_IMM, .dst_reg = 1, .src_reg = BPF_PSEUDO_MAP_FD},
		{.code = 0},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 3, .imm = XDP_PASS},
		{.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_redirect_map},
		{.code = BPF_JMP | BPF_EXIT},
	};

	f->map_fd = bpf_map_create(BPF_MAP_TYPE_XSKMAP, "xsks", 4, 4, 8, NULL);
	assert_true(f->map_fd >= 0);
	code[1].imm = f->map_fd;
	f->prog_fd =
		bpf_prog_load(BPF_PROG_TYPE_XDP, "to_xsk", "GPL", code, wr_array_size(code), &opts);
	assert_true(f->prog_fd >= 0);
}

static void attach(struct fixture *f, bool generic)
{
	uint32_t mode = generic ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE;

	assert_int_equal(bpf_xdp_attach((int)if_nametoindex("xa"), f->prog_fd, mode, NULL), 0);
}

static struct af_xdp_conf conf_of(const char *ifname)
{
	return (struct af_xdp_conf){
		.ifname = ifname,
		.ifindex = if_nametoindex(ifname),
		.n_queues = 1,
		.rx_descs = N_DESCS,
		.tx_descs = N_DESCS,
	};
}

static void open_port(struct fixture *f, const struct af_xdp_conf *conf)
{
	struct wr_err err = {""};

	if (wr_port_af_xdp_open(f->umem, conf, &f->port, &err))
		fail_msg("%s", err.text);
	for (uint32_t i = 0; i < conf->n_queues; i++) {
		int fd = wr_port_af_xdp_fd(f->port, i);

		f->port->queues[i]->pool = &f->pool;
		assert_int_equal(f->port->ops->start(f->port->queues[i]), 0);
		if (!strcmp(conf->ifname, "xa"))
			assert_int_equal(bpf_map_update_elem(f->map_fd, &i, &fd, 0), 0);
	}
	f->port->port_idx = 7;
	f->q = f->port->queues[0];
}

static int setup_closed(void **state)
{
	const struct umem_conf conf = {.n_frames = N_FRAMES, .frame_bytes = 2048};
	struct fixture *f = calloc(1, sizeof(*f));

	*state = f;
	if (!f || wr_umem_create(&conf, &f->umem, NULL))
		return -1;
	wr_pool_init(&f->pool, f->umem);
	run("ip link add xa numrxqueues 2 numtxqueues 2 mtu 9000 type veth "
	    "peer name xb numrxqueues 2 numtxqueues 2 mtu 9000");
	run("ip link set xa up && ip link set xb up");
	load_program(f);
	f->peer_fd = open_peer("xb");
	return 0;
}

static int setup(void **state)
{
	struct af_xdp_conf conf;

	if (setup_closed(state))
		return -1;
	conf = conf_of("xa");
	open_port(*state, &conf);
	attach(*state, false);
	return 0;
}

static int setup_generic(void **state)
{
	struct af_xdp_conf conf;

	if (setup_closed(state))
		return -1;
	conf = conf_of("xa");
	conf.generic = true;
	open_port(*state, &conf);
	attach(*state, true);
	return 0;
}

static uint32_t n_held(const struct port *port)
{
	uint32_t n = 0;

	for (unsigned i = 0; i < port->n_queues; i++)
		n += port->ops->n_frames(port->queues[i]);
	return n;
}

static bool is_whole(struct fixture *f)
{
	uint32_t n = wr_umem_audit(f->umem) + f->pool.n + (f->port ? n_held(f->port) : 0);

	if (n != f->umem->n_frames)
		print_error("%u of %u frames\n", n, f->umem->n_frames);
	return n == f->umem->n_frames;
}

/* Whatever the test did: all frames are accounted for while the port is open, and free once it
 * is closed. */
static int teardown(void **state)
{
	struct fixture *f = *state;
	bool ok = is_whole(f);

	if (f->port)
		f->port->ops->close(f->port);
	f->port = NULL;
	wr_pool_fini(&f->pool);
	ok &= wr_umem_audit(f->umem) == f->umem->n_frames;
	wr_umem_free(f->umem);
	close(f->peer_fd);
	close(f->prog_fd);
	close(f->map_fd);
	if (if_nametoindex("xa"))
		run("ip link del xa");
	free(f);
	return ok ? 0 : -1;
}

/* --- frames with a number --------------------------------------------------------------------- */

static const uint8_t *make_frame(uint32_t number, size_t n_bytes)
{
	static const uint8_t head[14] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5};
	static uint8_t frame[MAX_BYTES];

	for (size_t i = 0; i < n_bytes; i++)
		frame[i] = (uint8_t)(number * 31 + i * 7 + i / 251);
	memcpy(frame, head, sizeof(head));
	memcpy(frame + sizeof(head), &number, sizeof(number));
	return frame;
}

static uint32_t frame_number(const uint8_t *frame)
{
	uint32_t number;

	memcpy(&number, frame + 14, sizeof(number));
	return number;
}

static void peer_send(struct fixture *f, uint32_t number, size_t n_bytes)
{
	assert_int_equal(send(f->peer_fd, make_frame(number, n_bytes), n_bytes, 0), n_bytes);
}

/* The next frame of ours that the peer receives; 0 if none comes in time. */
static size_t peer_receive(struct fixture *f, uint8_t *frame, int wait_ms)
{
	struct pollfd p = {.fd = f->peer_fd, .events = POLLIN};

	while (poll(&p, 1, wait_ms) == 1) {
		struct sockaddr_ll from;
		socklen_t len = sizeof(from);
		ssize_t n =
			recvfrom(f->peer_fd, frame, MAX_BYTES, 0, (struct sockaddr *)&from, &len);

		if (n > 0 && from.sll_pkttype != PACKET_OUTGOING)
			return (size_t)n;
	}
	return 0;
}

static void expect_at_peer(struct fixture *f, uint32_t number, size_t n_bytes)
{
	static uint8_t frame[MAX_BYTES];

	assert_int_equal(peer_receive(f, frame, WAIT_MS), n_bytes);
	assert_int_equal(frame_number(frame), number);
	assert_memory_equal(frame, make_frame(number, n_bytes), n_bytes);
}

static unsigned count_at_peer(struct fixture *f, unsigned n)
{
	static uint8_t frame[MAX_BYTES];
	unsigned n_had = 0;

	while (n_had < n && peer_receive(f, frame, WAIT_MS))
		n_had++;
	return n_had;
}

static void queue_packets(struct fixture *f, struct port_queue *q, uint32_t first, unsigned n,
			  size_t n_bytes)
{
	static struct packet *pkts[WR_BURST];

	for (unsigned i = 0; i < n; i++) {
		pkts[i] = wr_packet_from(&f->pool, make_frame(first + i, n_bytes), n_bytes);
		assert_non_null(pkts[i]);
	}
	wr_port_tx(q, pkts, n);
}

/* Receives exactly `n` packets, as fast as they come; NULL-terminated never: the caller frees. */
static void receive(struct port_queue *q, struct packet **pkts, unsigned n)
{
	struct pollfd p = {.fd = q->port->ops->fd(q), .events = POLLIN};
	unsigned n_had = 0;

	while (n_had < n) {
		unsigned got = wr_port_rx(q, pkts + n_had, n - n_had);

		q->port->ops->flush(q);
		n_had += got;
		if (!got && poll(&p, 1, WAIT_MS) != 1)
			break;
	}
	assert_int_equal(n_had, n);
}

static void expect_here(struct fixture *f, struct port_queue *q, uint32_t number, size_t n_bytes)
{
	static uint8_t frame[MAX_BYTES + 1];
	struct packet *pkt;

	receive(q, &pkt, 1);
	assert_int_equal(pkt->len, n_bytes);
	assert_int_equal(pkt->rx_port, 7);
	assert_int_equal(wr_packet_copy_out(pkt, frame, sizeof(frame)), n_bytes);
	assert_memory_equal(frame, make_frame(number, n_bytes), n_bytes);
	wr_packet_free(&f->pool, pkt);
}

static uint64_t fact(const struct port *port, const char *name);

struct wanted_fact {
	const char *name;
	uint64_t value;
};

static void pick_fact(void *arg, const char *name, uint64_t value)
{
	struct wanted_fact *w = arg;

	if (!strcmp(name, w->name))
		w->value = value;
}

static uint64_t fact(const struct port *port, const char *name)
{
	struct wanted_fact w = {.name = name, .value = UINT64_MAX};

	port->ops->facts(port, pick_fact, &w);
	return w.value;
}

/* --- traffic ---------------------------------------------------------------------------------- */

static void every_size_both_ways(void **state)
{
	static const size_t sizes[] = {60, 1514, 1792, 1793, 2048, 2049, 4096, 9014};
	struct fixture *f = *state;
	uint64_t n_bytes = 0;

	assert_false(f->port->flags & PORT_ONE_BUFFER);
	assert_true(wr_port_af_xdp_max_bytes(f->port) > 9000);
	assert_true(f->port->flags & PORT_VIRTUAL);
	for (uint32_t i = 0; i < wr_array_size(sizes); i++) {
		peer_send(f, i, sizes[i]);
		expect_here(f, f->q, i, sizes[i]);
		queue_packets(f, f->q, 100 + i, 1, sizes[i]);
		f->port->ops->flush(f->q);
		expect_at_peer(f, 100 + i, sizes[i]);
		n_bytes += sizes[i];
	}
	assert_int_equal(f->q->counters.rx_pkts, wr_array_size(sizes));
	assert_int_equal(f->q->counters.rx_bytes, n_bytes);
	assert_int_equal(f->q->counters.tx_pkts, wr_array_size(sizes));
	assert_int_equal(f->q->counters.tx_bytes, n_bytes);
	assert_int_equal(fact(f->port, "rx_dropped"), 0);
	assert_int_equal(fact(f->port, "tx_invalid_descs"), 0);
}

static void native_mode(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(f->port->mode, "native copy");
	every_size_both_ways(state);
}

static void generic_mode(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(f->port->mode, "generic copy");
	every_size_both_ways(state);
}

static void one_flush_sends_a_whole_burst(void **state)
{
	struct fixture *f = *state;

	queue_packets(f, f->q, 0, WR_BURST, 60);
	assert_int_equal(f->q->counters.tx_kicks, 0);
	f->port->ops->flush(f->q);
	for (uint32_t i = 0; i < WR_BURST; i++)
		expect_at_peer(f, i, 60);
	assert_int_equal(n_untaken(xdp_queue(f->q)), 0);
	assert_in_range(f->q->counters.tx_kicks, 1, WR_BURST / 32 + 1);
}

static void a_burst_of_jumbos(void **state)
{
	struct fixture *f = *state;

	queue_packets(f, f->q, 0, 80, MAX_BYTES);
	f->port->ops->flush(f->q);
	for (uint32_t i = 0; i < 80; i++)
		expect_at_peer(f, i, MAX_BYTES);
}

static void small_bursts_cut_no_chain(void **state)
{
	struct fixture *f = *state;
	static struct packet *pkts[40];

	for (uint32_t i = 0; i < 40; i++)
		peer_send(f, i, i % 2 ? MAX_BYTES : 60);
	receive(f->q, pkts, 3);
	receive(f->q, pkts + 3, 37);
	for (uint32_t i = 0; i < 40; i++) {
		uint8_t head[18];

		assert_int_equal(pkts[i]->len, i % 2 ? MAX_BYTES : 60);
		wr_packet_copy_out(pkts[i], head, sizeof(head));
		assert_int_equal(frame_number(head), i);
		wr_packet_free(&f->pool, pkts[i]);
	}
}

static void many_times_round_the_rings(void **state)
{
	struct fixture *f = *state;
	static struct packet *pkts[100];

	for (uint32_t round = 0; round < 50; round++) {
		for (uint32_t i = 0; i < 100; i++)
			peer_send(f, round * 100 + i, 200);
		receive(f->q, pkts, 100);
		wr_port_tx(f->q, pkts, 100);
		f->port->ops->flush(f->q);
		assert_int_equal(count_at_peer(f, 100), 100);
		assert_true(is_whole(f));
	}
	assert_int_equal(f->q->counters.tx_pkts, 5000);
	assert_int_equal(f->q->counters.tx_full + f->q->counters.tx_errors, 0);
}

static void a_full_ring_is_counted(void **state)
{
	struct fixture *f = *state;
	struct af_xdp_conf conf = conf_of("xa");

	conf.tx_descs = 64;
	open_port(f, &conf);
	attach(f, false);
	queue_packets(f, f->q, 0, 200, 60); /* 64 fit, one kick makes room for 64 more */
	assert_int_equal(f->q->counters.tx_pkts, 128);
	assert_int_equal(f->q->counters.tx_full, 72);
	f->port->ops->flush(f->q);
	assert_int_equal(count_at_peer(f, 128), 128);
	queue_packets(f, f->q, 0, 1, 60);
	f->port->ops->flush(f->q);
	assert_int_equal(count_at_peer(f, 1), 1);
}

static void packets_that_cannot_be_sent(void **state)
{
	struct fixture *f = *state;
	struct packet *pkt;

	assert_int_equal(wr_pool_get(&f->pool, &pkt, 1), 1); /* of no bytes */
	wr_port_tx(f->q, &pkt, 1);
	pkt = wr_packet_from(&f->pool, make_frame(0, 60), 60);
	pkt->n_segs = WR_MAX_SEGS + 1;
	wr_port_tx(f->q, &pkt, 1);
	f->port->ops->flush(f->q);
	assert_int_equal(f->q->counters.tx_errors, 2);
	assert_int_equal(f->q->counters.tx_pkts, 2);
	assert_int_equal(fact(f->port, "tx_invalid_descs"), 0);
}

static void stale_packets_are_thrown_away(void **state)
{
	struct fixture *f = *state;

	for (uint32_t i = 0; i < 20; i++)
		peer_send(f, i, i % 2 ? MAX_BYTES : 60);
	f->port->ops->discard(f->q);
	assert_int_equal(f->q->counters.rx_stale, 20);
	assert_int_equal(f->q->counters.rx_pkts, 0);
	peer_send(f, 99, 60);
	expect_here(f, f->q, 99, 60);
}

static void an_exhausted_pool_is_counted_and_recovers(void **state)
{
	struct fixture *f = *state;
	static struct packet *hoard[N_FRAMES];
	unsigned n_hoard, n_had = 0;
	struct packet *pkts[64];

	n_hoard = wr_pool_get(&f->pool, hoard, N_FRAMES);
	for (uint32_t i = 0; i < N_DESCS + 50; i++)
		peer_send(f, i, 60);
	/* The kernel drops the 50; what was received is kept, so nothing can be refilled. */
	while (n_had < N_DESCS) {
		unsigned n = wr_port_rx(f->q, pkts, 64);

		assert_true(n);
		for (unsigned i = 0; i < n; i++)
			hoard[n_hoard++] = pkts[i];
		n_had += n;
	}
	f->port->ops->flush(f->q);
	f->port->ops->flush(f->q);
	assert_int_equal(f->q->counters.rx_no_frames, N_DESCS); /* each slot once */
	for (unsigned i = 0; i < 100; i++)
		wr_packet_free(&f->pool, hoard[--n_hoard]);
	f->port->ops->flush(f->q);
	assert_int_equal(f->q->counters.rx_no_frames, N_DESCS); /* fewer are short: none is new */
	while (n_hoard)
		wr_packet_free(&f->pool, hoard[--n_hoard]);
	f->port->ops->flush(f->q);
	peer_send(f, 7777, 60);
	expect_here(f, f->q, 7777, 60);
}

static void two_queues_of_one_port(void **state)
{
	struct fixture *f = *state;
	struct af_xdp_conf conf = conf_of("xa");

	conf.n_queues = 2;
	open_port(f, &conf);
	attach(f, false);
	for (uint32_t i = 0; i < 2; i++) {
		queue_packets(f, f->port->queues[i], 10 + i, 1, MAX_BYTES);
		f->port->ops->flush(f->port->queues[i]);
		expect_at_peer(f, 10 + i, MAX_BYTES);
		assert_int_equal(f->port->queues[i]->counters.tx_errors, 0);
	}
}

/* Whatever the kernel says, a flush ends, and what it did not take goes with a later one. */
static void a_kernel_that_takes_nothing(void **state)
{
	static const struct {
		int code;
		unsigned n_kicks;
	} cases[] = {
		{EAGAIN, MAX_FUTILE_KICKS}, {EINTR, MAX_FUTILE_KICKS}, {ENOBUFS, 1}, {ENOMEM, 1}};
	struct fixture *f = *state;

	for (unsigned i = 0; i < wr_array_size(cases); i++) {
		uint64_t n_kicks = f->q->counters.tx_kicks;

		kick_errno = cases[i].code;
		queue_packets(f, f->q, 0, 10, 60);
		f->port->ops->flush(f->q);
		assert_int_equal(f->q->counters.tx_kicks - n_kicks, cases[i].n_kicks);
		assert_true(f->port->ops->arm(f->q));
		for (unsigned k = 1; k < MAX_FUTILE_FLUSHES; k++)
			f->port->ops->flush(f->q);
		assert_false(f->port->ops->arm(f->q)); /* enough: let the worker sleep */
		kick_errno = 0;
		f->port->ops->flush(f->q); /* with nothing new */
		assert_int_equal(count_at_peer(f, 10), 10);
	}
	assert_int_equal(f->q->counters.tx_errors + f->q->counters.tx_full, 0);
}

/* What one port receives another sends, without a copy. */
static void ports_share_the_memory(void **state)
{
	struct fixture *f = *state;
	static struct fixture other;
	struct af_xdp_conf conf;
	struct packet *pkts[10], *kept[10];

	other.umem = f->umem;
	run("ip link add ya mtu 9000 type veth peer name yb mtu 9000");
	run("ip link set ya up && ip link set yb up");
	other.peer_fd = open_peer("yb");
	conf = conf_of("ya");
	wr_pool_init(&other.pool, f->umem);
	open_port(&other, &conf);
	for (uint32_t i = 0; i < 10; i++)
		peer_send(f, i, MAX_BYTES);
	receive(f->q, pkts, 10);
	memcpy(kept, pkts, sizeof(kept));
	wr_port_tx(other.q, pkts, 10);
	other.port->ops->flush(other.q);
	for (uint32_t i = 0; i < 10; i++)
		expect_at_peer(&other, i, MAX_BYTES);
	/* The first port goes; the second lives on, and the first can come back. */
	f->port->ops->close(f->port);
	queue_packets(&other, other.q, 5, 1, 60);
	other.port->ops->flush(other.q);
	expect_at_peer(&other, 5, 60);
	conf = conf_of("xa");
	open_port(f, &conf);
	peer_send(f, 6, 60);
	expect_here(f, f->q, 6, 60);
	other.port->ops->close(other.port);
	wr_pool_fini(&other.pool);
	close(other.peer_fd);
	run("ip link del ya");
}

/* --- interfaces that go away ------------------------------------------------------------------ */

static void send_rounds(struct fixture *f, unsigned n_rounds)
{
	for (unsigned i = 0; i < n_rounds; i++) {
		queue_packets(f, f->q, i, 50, 60);
		f->port->ops->flush(f->q);
		assert_true(is_whole(f));
	}
}

static void down_and_up_under_traffic(void **state)
{
	struct fixture *f = *state;
	uint64_t n_errors, n_kicks;

	send_rounds(f, 10);
	run("ip link set xb down"); /* no carrier: each kick loses one packet */
	send_rounds(f, 40);
	n_errors = f->q->counters.tx_errors;
	assert_true(n_errors > 0);
	assert_true(f->q->counters.tx_full > 0);
	run("ip link set xa down");
	n_kicks = f->q->counters.tx_kicks;
	send_rounds(f, 40);
	assert_true(f->q->counters.tx_errors >= n_errors + 39 * 50);
	assert_in_range(f->q->counters.tx_kicks - n_kicks, 1, 3 * 40);
	assert_false(f->port->ops->arm(f->q)); /* nothing to stay awake for */
	run("ip link set xb up && ip link set xa up");
	f->port->ops->flush(f->q); /* sends what was left */
	f->port->ops->flush(f->q);
	assert_int_equal(n_untaken(xdp_queue(f->q)), 0);
	n_errors = f->q->counters.tx_errors;
	send_rounds(f, 10);
	assert_int_equal(f->q->counters.tx_errors, n_errors);
}

/* In copy mode poll() sends too: it may empty the ring of a port that came up again, and then
 * nothing but the next packet asks how things are. */
static void up_again_with_a_ring_that_poll_emptied(void **state)
{
	struct fixture *f = *state;
	struct pollfd fd = {.fd = f->port->ops->fd(f->q), .events = POLLIN};

	run("ip link set xa down");
	send_rounds(f, 1);
	assert_true(xdp_queue(f->q)->is_down);
	run("ip link set xa up");
	while (n_untaken(xdp_queue(f->q)))
		(void)poll(&fd, 1, 0);
	(void)count_at_peer(f, 50);
	queue_packets(f, f->q, 7, 1, 60);
	f->port->ops->flush(f->q);
	assert_int_equal(count_at_peer(f, 1), 1);
}

static void deleted_under_traffic(void **state)
{
	struct fixture *f = *state;
	uint64_t n_kicks;

	for (uint32_t i = 0; i < 30; i++)
		peer_send(f, i, MAX_BYTES);
	queue_packets(f, f->q, 0, 50, 60);
	run("ip link del xa");
	f->port->ops->flush(f->q);
	assert_int_equal(f->q->counters.tx_errors, 50);
	n_kicks = f->q->counters.tx_kicks;
	send_rounds(f, 20);
	assert_int_equal(f->q->counters.tx_errors, 50 + 20 * 50);
	assert_int_equal(f->q->counters.tx_kicks, n_kicks);
	assert_true(fact(f->port, "rx_dropped") != UINT64_MAX);
}

static void closed_with_everything_in_flight(void **state)
{
	struct fixture *f = *state;

	for (uint32_t i = 0; i < 100; i++)
		peer_send(f, i, i % 2 ? MAX_BYTES : 60);
	queue_packets(f, f->q, 0, WR_BURST, 60);
	assert_true(n_held(f->port) >= N_DESCS + WR_BURST);
	f->port->ops->close(f->port);
	f->port = NULL;
	assert_int_equal(count_at_peer(f, WR_BURST), WR_BURST); /* close sends what was queued */
}

/* --- failures leave nothing behind ------------------------------------------------------------ */

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

static unsigned count_ring_maps(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];
	unsigned n = 0;

	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps))
		n += strstr(line, "socket:") != NULL;
	fclose(maps);
	return n;
}

static void expect_failure(struct fixture *f, const struct af_xdp_conf *conf, int code,
			   const char *sentence)
{
	unsigned n_fds = count_fds(), n_maps = count_ring_maps();
	struct wr_err err = {""};
	struct port *port = NULL;

	assert_int_equal(wr_port_af_xdp_open(f->umem, conf, &port, &err), code);
	assert_null(port);
	if (!strstr(err.text, sentence))
		fail_msg("'%s' is not in '%s'", sentence, err.text);
	assert_int_equal(count_fds(), n_fds);
	assert_int_equal(count_ring_maps(), n_maps);
}

static void failures_are_sentences(void **state)
{
	struct fixture *f = *state;
	struct af_xdp_conf conf = conf_of("xa");

	assert_int_equal(count_ring_maps(), 4); /* else the counting below proves nothing */
	expect_failure(f, &conf, -EBUSY, "xa: receive queue 0 is taken by another AF_XDP socket");
	conf.n_queues = 3;
	expect_failure(f, &conf, -EINVAL, "xa: has 2 receive queues, 3 were asked for");
	conf.n_queues = 0;
	expect_failure(f, &conf, -EINVAL, "xa: 0 queues");
	conf = conf_of("xb");
	conf.rx_descs = 100;
	expect_failure(f, &conf, -EINVAL, "xb: rings of 100 and 512 descriptors");
	conf = conf_of("xb");
	conf.ifname = "eth7";
	conf.ifindex = 4711;
	expect_failure(f, &conf, -ENODEV, "eth7: no such interface");
}

static void second_queue_taken_frees_the_first(void **state)
{
	struct fixture *f = *state;
	struct af_xdp_conf conf = conf_of("xb");
	struct xdp_queue taker = {.umem = f->umem, .fd = -1, .rx_descs = 64, .tx_descs = 64};
	enum step step;

	taker.q.queue_idx = 1;
	assert_int_equal(open_socket(&taker, conf.ifindex, XDP_COPY, -1, &step), 0);
	conf.n_queues = 2;
	expect_failure(f, &conf, -EBUSY, "xb: receive queue 1 is taken");
	close_socket(&taker);
}

static void a_queue_is_free_soon_after_close(void **state)
{
	struct fixture *f = *state;
	struct af_xdp_conf conf = conf_of("xa");

	for (unsigned i = 0; i < 5; i++) {
		f->port->ops->close(f->port);
		f->port = NULL;
		assert_int_equal(count_ring_maps(), 0);
		open_port(f, &conf);
		peer_send(f, i, 60);
		expect_here(f, f->q, i, 60);
	}
}

static void drop_capabilities(uint32_t lost)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct caps[2];

	if (syscall(SYS_capget, &head, caps))
		_exit(3);
	caps[0].effective &= ~lost;
	caps[0].permitted &= ~lost;
	if (syscall(SYS_capset, &head, caps))
		_exit(3);
}

/* In a child without these capabilities and with this limit: the failure's code and sentence. */
static void expect_failure_without(struct fixture *f, uint32_t lost, rlim_t memlock, int code,
				   const char *sentence)
{
	struct af_xdp_conf conf = conf_of("xb");
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid) {
		const struct rlimit limit = {memlock, memlock};
		struct wr_err err = {""};
		struct port *port;
		int rc;

		setrlimit(RLIMIT_MEMLOCK, &limit);
		drop_capabilities(lost);
		rc = wr_port_af_xdp_open(f->umem, &conf, &port, &err);
		if (rc != code || !strstr(err.text, sentence))
			print_error("%d: %s\n", rc, err.text);
		_exit(rc != code || !strstr(err.text, sentence));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void missing_privileges_are_sentences(void **state)
{
	struct fixture *f = *state;

	expect_failure_without(f, 1U << CAP_NET_RAW, RLIM_INFINITY, -EPERM,
			       "xb: an AF_XDP socket needs CAP_NET_RAW");
	expect_failure_without(f, 1U << CAP_IPC_LOCK | 1U << CAP_SYS_RESOURCE, 64 << 10, -ENOBUFS,
			       "exceed the limit of 64 KiB for locked memory: raise it (ulimit -l");
}

/* --- a kernel that lies ----------------------------------------------------------------------- */

/* A queue whose RX ring the test writes. */
struct fake {
	struct umem *umem;
	struct pool pool;
	struct port port;
	struct xdp_queue x;
	struct xdp_desc descs[64];
	uint64_t fill_addrs[64];
	uint32_t rx_producer, rx_consumer, fill_producer, fill_consumer, flags;
	uint64_t in_kernel[1];
};

enum { N_FAKE = 64 };

static int setup_fake(void **state)
{
	const struct umem_conf conf = {.n_frames = N_FAKE, .frame_bytes = 2048};
	struct fake *f = aligned_alloc(WR_CACHE_LINE, sizeof(*f));

	*state = f;
	if (!f)
		return -1;
	memset(f, 0, sizeof(*f));
	if (wr_umem_create(&conf, &f->umem, NULL))
		return -1;
	wr_pool_init(&f->pool, f->umem);
	f->x.umem = f->umem;
	f->x.q.port = &f->port;
	f->x.q.pool = &f->pool;
	f->x.in_kernel = f->in_kernel;
	f->x.rx_descs = N_FAKE;
	f->x.fd = -1;
	f->x.rx = (struct xsk_ring_cons){.mask = 63,
					 .size = 64,
					 .producer = &f->rx_producer,
					 .consumer = &f->rx_consumer,
					 .ring = f->descs,
					 .flags = &f->flags};
	f->x.fill = (struct xsk_ring_prod){.mask = 63,
					   .size = 64,
					   .cached_cons = 64,
					   .producer = &f->fill_producer,
					   .ring = f->fill_addrs,
					   .consumer = &f->fill_consumer,
					   .flags = &f->flags};
	return af_xdp_start(&f->x.q);
}

static int teardown_fake(void **state)
{
	struct fake *f = *state;
	bool ok = wr_umem_audit(f->umem) + f->pool.n + af_xdp_n_frames(&f->x.q) == N_FAKE;

	return_frames(&f->x);
	wr_pool_fini(&f->pool);
	ok &= wr_umem_audit(f->umem) == N_FAKE;
	wr_umem_free(f->umem);
	free(f);
	return ok ? 0 : -1;
}

/* The kernel takes the next address from the fill ring and writes this descriptor. */
static void fake_receive(struct fake *f, uint64_t offset, uint32_t len, uint32_t options)
{
	uint64_t addr = f->fill_addrs[f->fill_consumer++ & 63] + offset;

	f->descs[f->rx_producer++ & 63] =
		(struct xdp_desc){.addr = addr, .len = len, .options = options};
}

static void lying_descriptors_are_refused(void **state)
{
	static const struct {
		uint64_t offset;
		uint32_t len;
	} cases[] = {
		{0, 2049},
		{256, 1793},
		{2047, 2},
		{0, 0},
		{0, UINT32_MAX},
		{100, UINT32_MAX - 50},
		{UINT64_MAX / 2, 60},
		{(uint64_t)N_FAKE * 2048, 60},
		{UINT64_MAX - 4096 * 64, 60},
	};
	struct fake *f = *state;
	struct packet *pkts[8];

	for (unsigned i = 0; i < wr_array_size(cases); i++) {
		fake_receive(f, cases[i].offset, cases[i].len, 0);
		assert_int_equal(af_xdp_rx(&f->x.q, pkts, 8), 0);
		assert_int_equal(f->x.q.counters.rx_bad, i + 1);
	}
	fake_receive(f, 256, 1792, 0);
	assert_int_equal(af_xdp_rx(&f->x.q, pkts, 8), 1);
	assert_int_equal(pkts[0]->len, 1792);
	wr_packet_free(&f->pool, pkts[0]);
}

static void a_frame_given_twice_is_refused(void **state)
{
	struct fake *f = *state;
	struct packet *pkts[8];

	fake_receive(f, 256, 60, 0);
	f->descs[1] = f->descs[0];
	f->rx_producer++;
	assert_int_equal(af_xdp_rx(&f->x.q, pkts, 8), 1);
	assert_int_equal(f->x.q.counters.rx_bad, 1);
	wr_packet_free(&f->pool, pkts[0]);
}

static void a_chain_may_have_18_segments(void **state)
{
	struct fake *f = *state;
	struct packet *pkts[8];

	for (unsigned i = 0; i < WR_MAX_SEGS; i++)
		fake_receive(f, 256, 1000 + i, i + 1 < WR_MAX_SEGS ? XDP_PKT_CONTD : 0);
	for (unsigned i = 0; i <= WR_MAX_SEGS; i++)
		fake_receive(f, 256, 1000, i < WR_MAX_SEGS ? XDP_PKT_CONTD : 0);
	fake_receive(f, 256, 60, 0);
	assert_int_equal(af_xdp_rx(&f->x.q, pkts, 8), 2);
	assert_int_equal(f->x.q.counters.rx_bad, 1);
	assert_int_equal(pkts[0]->n_segs, WR_MAX_SEGS);
	assert_int_equal(pkts[0]->len, 18 * 1000 + 17 * 18 / 2);
	assert_int_equal(pkts[1]->n_segs, 1);
	wr_packet_free(&f->pool, pkts[0]);
	wr_packet_free(&f->pool, pkts[1]);
}

static void a_chain_may_come_in_pieces(void **state)
{
	struct fake *f = *state;
	struct packet *pkts[8];

	fake_receive(f, 256, 100, XDP_PKT_CONTD);
	assert_int_equal(af_xdp_rx(&f->x.q, pkts, 8), 0);
	fake_receive(f, 256, 0, XDP_PKT_CONTD); /* spoils it */
	fake_receive(f, 256, 100, XDP_PKT_CONTD);
	assert_int_equal(af_xdp_rx(&f->x.q, pkts, 8), 0);
	fake_receive(f, 256, 100, 0);
	assert_int_equal(af_xdp_rx(&f->x.q, pkts, 8), 0);
	assert_int_equal(f->x.q.counters.rx_bad, 1);
	fake_receive(f, 256, 100, XDP_PKT_CONTD);
	assert_int_equal(af_xdp_rx(&f->x.q, pkts, 1), 0);
	fake_receive(f, 256, 100, 0);
	assert_int_equal(af_xdp_rx(&f->x.q, pkts, 1), 1);
	assert_int_equal(pkts[0]->len, 200);
	wr_packet_free(&f->pool, pkts[0]);
	fake_receive(f, 256, 100, XDP_PKT_CONTD); /* unfinished at the end */
	assert_int_equal(af_xdp_rx(&f->x.q, pkts, 1), 0);
}

int main(void)
{
#define FAKE(name) cmocka_unit_test_setup_teardown(name, setup_fake, teardown_fake)
#define TEST(name, before) cmocka_unit_test_setup_teardown(name, before, teardown)
	const struct CMUnitTest fakes[] = {
		FAKE(lying_descriptors_are_refused),
		FAKE(a_frame_given_twice_is_refused),
		FAKE(a_chain_may_have_18_segments),
		FAKE(a_chain_may_come_in_pieces),
	};
	const struct CMUnitTest tests[] = {
		TEST(native_mode, setup),
		TEST(generic_mode, setup_generic),
		TEST(one_flush_sends_a_whole_burst, setup),
		TEST(one_flush_sends_a_whole_burst, setup_generic),
		TEST(a_burst_of_jumbos, setup),
		TEST(small_bursts_cut_no_chain, setup),
		TEST(many_times_round_the_rings, setup),
		TEST(many_times_round_the_rings, setup_generic),
		TEST(a_full_ring_is_counted, setup_closed),
		TEST(packets_that_cannot_be_sent, setup),
		TEST(stale_packets_are_thrown_away, setup),
		TEST(an_exhausted_pool_is_counted_and_recovers, setup),
		TEST(two_queues_of_one_port, setup_closed),
		TEST(a_kernel_that_takes_nothing, setup),
		TEST(ports_share_the_memory, setup),
		TEST(down_and_up_under_traffic, setup),
		TEST(down_and_up_under_traffic, setup_generic),
		TEST(up_again_with_a_ring_that_poll_emptied, setup),
		TEST(deleted_under_traffic, setup),
		TEST(closed_with_everything_in_flight, setup),
		TEST(failures_are_sentences, setup),
		TEST(second_queue_taken_frees_the_first, setup_closed),
		TEST(a_queue_is_free_soon_after_close, setup),
		TEST(missing_privileges_are_sentences, setup_closed),
	};
	int rc = cmocka_run_group_tests(fakes, NULL, NULL);

	if (rc)
		return rc;
	if (geteuid() || unshare(CLONE_NEWNET)) {
		printf("skip: needs root and a network namespace\n");
		return 77;
	}
	if (system("sysctl -qw net.ipv6.conf.default.disable_ipv6=1 2>/dev/null"))
		printf("no IPv6 to switch off\n");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
