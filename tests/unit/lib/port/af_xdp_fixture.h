/* SPDX-License-Identifier: BSD-3-Clause */
/*
 *   our network namespace
 *   +-------------------------------------------+
 *   |  AF_PACKET -- xb ------ veth ------ xa -- AF_XDP
 *   +-------------------------------------------+
 *
 * MTU 9000. On xa a program of four instructions redirects every frame to the socket of its queue.
 * xa has two queues; xb sends by one, or the kernel's hash, seeded when it boots, would choose
 * between them.
 * For the tests of the AF_XDP driver; each includes the file that it tests before this one.
 */
#ifndef TESTS_AF_XDP_FIXTURE_H
#define TESTS_AF_XDP_FIXTURE_H

#include "lib/port/af_xdp_private.h"

#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

static inline int open_peer(const char *ifname)
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
static inline void load_program(struct fixture *f)
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

static inline void attach(struct fixture *f, bool generic)
{
	uint32_t mode = generic ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE;

	assert_int_equal(bpf_xdp_attach((int)if_nametoindex("xa"), f->prog_fd, mode, NULL), 0);
}

static inline struct af_xdp_conf conf_of(const char *ifname)
{
	return (struct af_xdp_conf){
		.ifname = ifname,
		.ifindex = if_nametoindex(ifname),
		.n_queues = 1,
		.rx_descs = N_DESCS,
		.tx_descs = N_DESCS,
	};
}

static inline void open_port(struct fixture *f, const struct af_xdp_conf *conf)
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

static inline int setup_closed(void **state)
{
	const struct umem_conf conf = {.n_frames = N_FRAMES, .frame_bytes = 2048};
	struct fixture *f = calloc(1, sizeof(*f));

	*state = f;
	if (!f || wr_umem_create(&conf, &f->umem, NULL))
		return -1;
	wr_pool_init(&f->pool, f->umem);
	run("ip link add xa numrxqueues 2 numtxqueues 2 mtu 9000 type veth "
	    "peer name xb numrxqueues 2 numtxqueues 1 mtu 9000");
	run("ip link set xa up && ip link set xb up");
	load_program(f);
	f->peer_fd = open_peer("xb");
	return 0;
}

static inline int setup(void **state)
{
	struct af_xdp_conf conf;

	if (setup_closed(state))
		return -1;
	conf = conf_of("xa");
	open_port(*state, &conf);
	attach(*state, false);
	return 0;
}

static inline int setup_generic(void **state)
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

static inline uint32_t n_held(const struct port *port)
{
	uint32_t n = 0;

	for (unsigned i = 0; i < port->n_queues; i++)
		n += port->ops->n_frames(port->queues[i]);
	return n;
}

static inline bool is_whole(struct fixture *f)
{
	uint32_t n = wr_umem_audit(f->umem) + f->pool.n + (f->port ? n_held(f->port) : 0);

	if (n != f->umem->n_frames)
		print_error("%u of %u frames\n", n, f->umem->n_frames);
	return n == f->umem->n_frames;
}

/* Whatever the test did: all frames are accounted for while the port is open, and free once it
 * is closed. */
static inline int teardown(void **state)
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

static inline const uint8_t *make_frame(uint32_t number, size_t n_bytes)
{
	static const uint8_t head[14] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5};
	static uint8_t frame[MAX_BYTES];

	for (size_t i = 0; i < n_bytes; i++)
		frame[i] = (uint8_t)(number * 31 + i * 7 + i / 251);
	memcpy(frame, head, sizeof(head));
	memcpy(frame + sizeof(head), &number, sizeof(number));
	return frame;
}

static inline uint32_t frame_number(const uint8_t *frame)
{
	uint32_t number;

	memcpy(&number, frame + 14, sizeof(number));
	return number;
}

static inline void peer_send(struct fixture *f, uint32_t number, size_t n_bytes)
{
	assert_int_equal(send(f->peer_fd, make_frame(number, n_bytes), n_bytes, 0), n_bytes);
}

/* The next frame of ours that the peer receives; 0 if none comes in time. */
static inline size_t peer_receive(struct fixture *f, uint8_t *frame, int wait_ms)
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

static inline void expect_at_peer(struct fixture *f, uint32_t number, size_t n_bytes)
{
	static uint8_t frame[MAX_BYTES];

	assert_int_equal(peer_receive(f, frame, WAIT_MS), n_bytes);
	assert_int_equal(frame_number(frame), number);
	assert_memory_equal(frame, make_frame(number, n_bytes), n_bytes);
}

static inline unsigned count_at_peer(struct fixture *f, unsigned n)
{
	static uint8_t frame[MAX_BYTES];
	unsigned n_had = 0;

	while (n_had < n && peer_receive(f, frame, WAIT_MS))
		n_had++;
	return n_had;
}

static inline void queue_packets(struct fixture *f, struct port_queue *q, uint32_t first,
				 unsigned n, size_t n_bytes)
{
	static struct packet *pkts[WR_BURST];

	for (unsigned i = 0; i < n; i++) {
		pkts[i] = wr_packet_from(&f->pool, make_frame(first + i, n_bytes), n_bytes);
		assert_non_null(pkts[i]);
	}
	wr_port_tx(q, pkts, n);
}

/* Receives exactly `n` packets, as fast as they come; NULL-terminated never: the caller frees. */
static inline void receive(struct port_queue *q, struct packet **pkts, unsigned n)
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

static inline void expect_here(struct fixture *f, struct port_queue *q, uint32_t number,
			       size_t n_bytes)
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

struct wanted_fact {
	const char *name;
	uint64_t value;
};

static inline void pick_fact(void *arg, const char *name, uint64_t value)
{
	struct wanted_fact *w = arg;

	if (!strcmp(name, w->name))
		w->value = value;
}

static inline uint64_t fact(const struct port *port, const char *name)
{
	struct wanted_fact w = {.name = name, .value = UINT64_MAX};

	port->ops->facts(port, pick_fact, &w);
	return w.value;
}

/* --- what is open ---------------------------------------------------------------------------*/

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

static inline unsigned count_ring_maps(void)
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

/* --- a namespace to do it in ------------------------------------------------------------------ */

#define TEST(name, before) cmocka_unit_test_setup_teardown(name, before, teardown)

/* 0; 77: not possible here, which is said. */
static inline int enter_namespace(void)
{
	if (geteuid() || unshare(CLONE_NEWNET)) {
		printf("skip: needs root and a network namespace\n");
		return 77;
	}
	if (system("sysctl -qw net.ipv6.conf.default.disable_ipv6=1 2>/dev/null"))
		printf("no IPv6 to switch off\n");
	return 0;
}

#endif
