/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The whole graph, packet by packet: what each kind of packet meets, what a forwarded one looks
 * like, and that none is lost without a count.
 */
#include "tests/sim/world.h"

#include "lib/port/spec.h"

enum out { OUT_WIRE0, OUT_WIRE1, OUT_KERNEL0, OUT_NOWHERE };

/* One kind of packet: how it differs from a plain UDP frame from 172.16.0.5 (behind wire 0) to
 * `dst`, and what shall become of it. */
struct kind {
	const char *name;
	void (*change)(struct frame *);
	uint8_t dst[4];
	uint16_t payload;
	enum out out;
	unsigned edge;
};

static void plain(struct frame *f)
{
	(void)f;
}

static void redo_checksum(struct frame *f)
{
	wr_ip4_hdr_finish(frame_ip(f));
}

static void arp(struct frame *f)
{
	f->b[13] = 6;
}

static void other_mac(struct frame *f)
{
	f->b[5] ^= 1;
}

static void broadcast_mac(struct frame *f)
{
	memset(f->b, 0xff, 6);
}

static void cut_13(struct frame *f)
{
	f->n = 13;
}

static void cut_33(struct frame *f)
{
	f->n = 33;
}

static void version_6(struct frame *f)
{
	frame_ip(f)->version_ihl = 0x65;
	redo_checksum(f);
}

static void ihl_4(struct frame *f)
{
	frame_ip(f)->version_ihl = 0x44;
	redo_checksum(f);
}

static void ihl_6(struct frame *f)
{
	frame_ip(f)->version_ihl =
		0x46; /* the checksum then spans 24 bytes: the kernel's to check */
}

static void ihl_beyond_total(struct frame *f)
{
	frame_ip(f)->version_ihl = 0x4f;
	frame_ip(f)->total_len = be16_from(28);
	redo_checksum(f);
}

static void total_beyond_frame(struct frame *f)
{
	frame_ip(f)->total_len = be16_from((uint16_t)(f->n - ETH_HDR_BYTES + 1));
	redo_checksum(f);
}

static void total_zero(struct frame *f)
{
	frame_ip(f)->total_len = be16_from(0);
	redo_checksum(f);
}

static void bad_checksum(struct frame *f)
{
	frame_ip(f)->checksum.raw ^= 0x0100;
}

static void ttl_1(struct frame *f)
{
	frame_ip(f)->ttl = 1;
	redo_checksum(f);
}

static void ttl_0(struct frame *f)
{
	frame_ip(f)->ttl = 0;
	redo_checksum(f);
}

static void from_loopback(struct frame *f)
{
	frame_ip(f)->src = ip(127, 0, 0, 1);
	redo_checksum(f);
}

static void from_us(struct frame *f)
{
	frame_ip(f)->src = ip(10, 0, 0, 1);
	redo_checksum(f);
}

static const struct kind kinds[] = {
	{"to a gateway", plain, {192, 168, 1, 1}, 18, OUT_WIRE1, EDGE(rewrite_to_tx)},
	{"to an attached host", plain, {10, 1, 0, 2}, 18, OUT_WIRE1, EDGE(rewrite_to_tx)},
	{"back where it came from", plain, {172, 16, 9, 9}, 18, OUT_WIRE0, EDGE(rewrite_to_tx)},
	{"largest that fits", plain, {192, 168, 1, 1}, 1472, OUT_WIRE1, EDGE(rewrite_to_tx)},
	{"one byte too large",
	 plain,
	 {192, 168, 1, 1},
	 1473,
	 OUT_KERNEL0,
	 EDGE(ip4_forward_punt_too_big)},
	{"ARP", arp, {192, 168, 1, 1}, 18, OUT_KERNEL0, EDGE(eth_input_punt_not_ip4)},
	{"another station's MAC",
	 other_mac,
	 {192, 168, 1, 1},
	 18,
	 OUT_KERNEL0,
	 EDGE(eth_input_punt_not_our_mac)},
	{"broadcast MAC",
	 broadcast_mac,
	 {192, 168, 1, 1},
	 18,
	 OUT_KERNEL0,
	 EDGE(eth_input_punt_not_our_mac)},
	{"13 bytes", cut_13, {192, 168, 1, 1}, 18, OUT_NOWHERE, EDGE(eth_input_drop_too_short)},
	{"33 bytes", cut_33, {192, 168, 1, 1}, 18, OUT_NOWHERE, EDGE(ip4_input_drop_too_short)},
	{"version 6",
	 version_6,
	 {192, 168, 1, 1},
	 18,
	 OUT_NOWHERE,
	 EDGE(ip4_input_drop_bad_version)},
	{"header of 16 bytes",
	 ihl_4,
	 {192, 168, 1, 1},
	 18,
	 OUT_NOWHERE,
	 EDGE(ip4_input_drop_bad_header_len)},
	{"header beyond the packet",
	 ihl_beyond_total,
	 {192, 168, 1, 1},
	 18,
	 OUT_NOWHERE,
	 EDGE(ip4_input_drop_bad_header_len)},
	{"options", ihl_6, {192, 168, 1, 1}, 18, OUT_KERNEL0, EDGE(ip4_input_punt_options)},
	{"total length beyond the frame",
	 total_beyond_frame,
	 {192, 168, 1, 1},
	 18,
	 OUT_NOWHERE,
	 EDGE(ip4_input_drop_bad_total_len)},
	{"total length 0",
	 total_zero,
	 {192, 168, 1, 1},
	 18,
	 OUT_NOWHERE,
	 EDGE(ip4_input_drop_bad_header_len)},
	{"bad checksum",
	 bad_checksum,
	 {192, 168, 1, 1},
	 18,
	 OUT_NOWHERE,
	 EDGE(ip4_input_drop_bad_checksum)},
	{"TTL 1", ttl_1, {192, 168, 1, 1}, 18, OUT_KERNEL0, EDGE(ip4_input_punt_ttl_expired)},
	{"TTL 0", ttl_0, {192, 168, 1, 1}, 18, OUT_KERNEL0, EDGE(ip4_input_punt_ttl_expired)},
	{"from 127.0.0.1",
	 from_loopback,
	 {192, 168, 1, 1},
	 18,
	 OUT_KERNEL0,
	 EDGE(ip4_input_punt_special_source)},
	{"multicast", plain, {224, 0, 0, 5}, 18, OUT_KERNEL0, EDGE(ip4_input_punt_special_target)},
	{"limited broadcast",
	 plain,
	 {255, 255, 255, 255},
	 18,
	 OUT_KERNEL0,
	 EDGE(ip4_input_punt_special_target)},
	{"to this host", plain, {10, 1, 0, 1}, 18, OUT_KERNEL0, EDGE(ip4_lookup_punt_local)},
	{"from this host's address",
	 from_us,
	 {192, 168, 1, 1},
	 18,
	 OUT_KERNEL0,
	 EDGE(ip4_forward_punt_local_source)},
	{"no route", plain, {8, 8, 8, 8}, 18, OUT_KERNEL0, EDGE(ip4_lookup_punt_no_route)},
	{"unreachable", plain, {198, 51, 100, 1}, 18, OUT_KERNEL0, EDGE(ip4_lookup_punt_reject)},
	{"by the kernel's interface",
	 plain,
	 {100, 64, 0, 1},
	 18,
	 OUT_KERNEL0,
	 EDGE(ip4_lookup_punt_by_kernel)},
	{"neighbour not known",
	 plain,
	 {10, 1, 0, 9},
	 18,
	 OUT_KERNEL0,
	 EDGE(ip4_lookup_punt_no_neighbour)},
	{"blackhole", plain, {203, 0, 113, 7}, 18, OUT_NOWHERE, EDGE(ip4_lookup_drop_blackhole)},
};

static void build(struct frame *f, const struct kind *k)
{
	frame_udp(f, 0, ip(172, 16, 0, 5), ip(k->dst[0], k->dst[1], k->dst[2], k->dst[3]),
		  k->payload);
	k->change(f);
}

/* What the RFCs make of a frame that is forwarded by `wire`. */
static void forwarded(struct frame *f, unsigned wire)
{
	f->n = ETH_HDR_BYTES + be16_to(frame_ip(f)->total_len);
	memcpy(f->b, &host_mac[wire], 6);
	memcpy(f->b + 6, &router_mac[wire], 6);
	frame_ip(f)->ttl--;
	wr_ip4_hdr_finish(frame_ip(f));
}

static void each_kind_meets_its_reason(void **state)
{
	static struct frame want, got;

	(void)state;
	for (unsigned i = 0; i < wr_array_size(kinds); i++) {
		const struct kind *k = &kinds[i];
		struct world *w = world_create(NULL, false);
		struct port *outs[] = {w->wire[0], w->wire[1], w->kernel[0], NULL};

		build(&want, k);
		world_send(w, 0, &want);
		assert_int_equal(wr_worker_turn(w->worker), 1);
		if (w->worker->graph->edge_counts[k->edge] != 1)
			fail_msg("%s: not by its edge", k->name);
		if (k->out == OUT_WIRE0 || k->out == OUT_WIRE1)
			forwarded(&want, k->out);
		for (unsigned o = 0; o < 3; o++) {
			bool is_there = world_take(w, outs[o], &got);

			if (is_there != (o == (unsigned)k->out))
				fail_msg("%s: %s at exit %u", k->name, is_there ? "was" : "was not",
					 o);
			if (is_there && (got.n != want.n || memcmp(got.b, want.b, got.n) != 0))
				fail_msg("%s: bytes differ", k->name);
		}
		world_balance(w);
		world_free(w);
	}
}

static void padding_is_cut_off(void **state)
{
	struct world *w = world_create(NULL, false);
	static struct frame f, got;

	(void)state;
	frame_udp(&f, 0, ip(172, 16, 0, 5), ip(192, 168, 1, 1), 2);
	memset(f.b + f.n, 0xaa, 60 - f.n);
	f.n = 60;
	world_send(w, 0, &f);
	wr_worker_turn(w->worker);
	assert_true(world_take(w, w->wire[1], &got));
	assert_int_equal(got.n, ETH_HDR_BYTES + IP4_HDR_BYTES + 10);
	world_free(w);
}

/* Segments: 9,000 bytes are five frames; padding may even be a segment of its own. */
static void jumbo_packets_pass_whole(void **state)
{
	struct world *w = world_create(NULL, false);
	static struct frame f, got;
	struct nexthop nh = *wr_fib_nh(w->fib, 21);

	(void)state;
	nh.mtu = 9000;
	assert_int_equal(wr_fib_nh_publish(w->fib, 21, &nh), 0);
	frame_udp(&f, 0, ip(172, 16, 0, 5), ip(192, 168, 1, 1), 9000 - 28);
	f.n += 500;
	world_send(w, 0, &f);
	wr_worker_turn(w->worker);
	forwarded(&f, 1);
	assert_true(world_take(w, w->wire[1], &got));
	assert_int_equal(got.n, f.n);
	assert_memory_equal(got.b, f.b, f.n);
	world_free(w);
}

/* Law: any order, any mix; each leaves where it must, in order, and the counts add up. */
static void mixed_bursts_are_sorted_right(void **state)
{
	struct world *w = world_create(NULL, false);
	static struct frame want[WR_BURST], got;
	unsigned which[WR_BURST], seed = 42;

	(void)state;
	for (unsigned round = 0; round < 200; round++) {
		struct port *outs[] = {w->wire[0], w->wire[1], w->kernel[0]};
		unsigned n = 1 + (unsigned)rand_r(&seed) % WR_BURST;

		for (unsigned i = 0; i < n; i++) {
			which[i] = (unsigned)rand_r(&seed) % wr_array_size(kinds);
			build(&want[i], &kinds[which[i]]);
			world_send(w, 0, &want[i]);
			if (kinds[which[i]].out <= OUT_WIRE1)
				forwarded(&want[i], kinds[which[i]].out);
		}
		assert_int_equal(wr_worker_turn(w->worker), n);
		/* Punts of one turn come in the order of nodes, so there only the wires' order is
		 * compared. */
		for (unsigned o = OUT_WIRE0; o <= OUT_WIRE1; o++)
			for (unsigned i = 0; i < n; i++)
				if (kinds[which[i]].out == o) {
					assert_true(world_take(w, outs[o], &got));
					assert_int_equal(got.n, want[i].n);
					assert_memory_equal(got.b, want[i].b, got.n);
				}
		while (world_take(w, outs[2], &got))
			;
		assert_false(world_take(w, outs[0], &got) || world_take(w, outs[1], &got));
		assert_int_equal(world_frames(w), w->umem->n_frames);
	}
	world_balance(w);
	world_free(w);
}

/* Law 3 under garbage: a million random or mutated frames, nothing unaccounted. */
static void garbage_is_accounted_for(void **state)
{
	struct world *w = world_create(NULL, true);
	static struct frame f, got;
	unsigned seed = 99;

	(void)state;
	for (unsigned i = 0; i < 1000000; i++) {
		build(&f, &kinds[(unsigned)rand_r(&seed) % wr_array_size(kinds)]);
		for (int flips = rand_r(&seed) % 4; flips > 0; flips--)
			f.b[(unsigned)rand_r(&seed) % 42] = (uint8_t)rand_r(&seed);
		if (rand_r(&seed) % 8 == 0)
			f.n = 1 + (unsigned)rand_r(&seed) % f.n;
		world_send(w, i % 2, &f);
		if (i % 64 == 63) {
			w->now_ns += WR_NS_PER_MS;
			wr_worker_turn(w->worker);
			for (unsigned k = 0; k < N_WIRES; k++)
				while (world_take(w, w->wire[k], &got) ||
				       world_take(w, w->kernel[k], &got))
					;
		}
	}
	wr_worker_turn(w->worker);
	world_balance(w);
	assert_int_equal(world_frames(w), w->umem->n_frames);
	for (unsigned k = 0; k < N_WIRES; k++)
		while (world_take(w, w->wire[k], &got) || world_take(w, w->kernel[k], &got))
			;
	world_free(w);
}

/* A port that nobody reads: its packets are dropped and counted, the other port's are not
 * delayed. */
static void a_blocked_port_stalls_nobody(void **state)
{
	struct world *w = world_create(NULL, false);
	static struct frame to0, to1, got;
	struct port_counters c;
	unsigned n_got = 0;

	(void)state;
	frame_udp(&to1, 0, ip(172, 16, 0, 5), ip(192, 168, 1, 1), 18);
	frame_udp(&to0, 0, ip(172, 16, 0, 5), ip(172, 16, 9, 9), 18);
	for (unsigned i = 0; i < 3 * WORLD_DESCS; i++) {
		world_send(w, 0, &to1);
		world_send(w, 0, &to0);
		wr_worker_turn(w->worker);
		n_got += world_take(w, w->wire[0], &got);
	}
	assert_int_equal(n_got, 3 * WORLD_DESCS);
	wr_port_counters(w->port[1], &c);
	assert_int_equal(c.tx_pkts + c.tx_full, 3 * WORLD_DESCS);
	assert_true(c.tx_full > WORLD_DESCS);
	world_balance(w);
	world_free(w);
}

/* 1,000 a second and no more, the rest dropped under a name; other reasons have their own limit. */
static void punts_are_limited_by_reason(void **state)
{
	struct worker_conf conf = {.punt_pps = {[PUNT_ANSWER] = 1000}};
	struct world *w = world_create(&conf, false);
	static struct frame flood, other, got;
	unsigned n_punted = 0;
	const uint64_t *counts = w->worker->graph->edge_counts;

	(void)state;
	frame_udp(&flood, 0, ip(172, 16, 0, 5), ip(8, 8, 8, 8), 18);
	frame_udp(&other, 0, ip(172, 16, 0, 5), ip(198, 51, 100, 1), 18);
	for (unsigned ms = 0; ms < 2000; ms++) {
		for (unsigned i = 0; i < 10; i++)
			world_send(w, 0, &flood);
		w->now_ns += WR_NS_PER_MS;
		wr_worker_turn(w->worker);
		while (world_take(w, w->kernel[0], &got))
			n_punted++;
	}
	assert_in_range(n_punted, 2000, 2101); /* a bucket's depth above the rate */
	assert_int_equal(counts[EDGE(punt_drop_over_limit)], 20000 - n_punted);
	world_send(w, 0, &other);
	wr_worker_turn(w->worker);
	assert_true(world_take(w, w->kernel[0], &got));
	world_balance(w);
	world_free(w);
}

static void strict_reverse_path_is_checked(void **state)
{
	struct world *w = world_create(NULL, false);
	struct fib_iface iface = world_iface(0);
	static struct frame right, spoofed, unroutable;
	const uint64_t *counts = w->worker->graph->edge_counts;

	(void)state;
	frame_udp(&right, 0, ip(172, 16, 0, 5), ip(192, 168, 1, 1), 18);
	frame_udp(&spoofed, 0, ip(192, 168, 7, 7), ip(192, 168, 1, 1), 18);
	frame_udp(&unroutable, 0, ip(8, 8, 8, 8), ip(192, 168, 1, 1), 18);
	for (iface.rp_filter = 0; iface.rp_filter <= 2; iface.rp_filter++) {
		/* How many of the three pass: all; the right one; the right one and the one that
		 * has a route. */
		static const unsigned n_passing[] = {3, 1, 2};
		uint64_t before = counts[EDGE(ip4_forward_to_rewrite)];

		assert_int_equal(wr_fib_iface_set(w->fib, 0, &iface), 0);
		world_send(w, 0, &right);
		world_send(w, 0, &spoofed);
		world_send(w, 0, &unroutable);
		wr_worker_turn(w->worker);
		assert_int_equal(counts[EDGE(ip4_forward_to_rewrite)] - before,
				 n_passing[iface.rp_filter]);
	}
	assert_int_equal(counts[EDGE(ip4_forward_punt_reverse_path)], 3);
	world_free(w);
}

/* An interface with forwarding off, or gone: everything to the kernel. */
static void without_transit_all_goes_to_the_kernel(void **state)
{
	struct world *w = world_create(NULL, false);
	struct fib_iface iface = world_iface(0);
	static struct frame f, got;

	(void)state;
	frame_udp(&f, 0, ip(172, 16, 0, 5), ip(192, 168, 1, 1), 18);
	iface.transit = false;
	assert_int_equal(wr_fib_iface_set(w->fib, 0, &iface), 0);
	world_send(w, 0, &f);
	wr_worker_turn(w->worker);
	assert_true(world_take(w, w->kernel[0], &got));
	assert_memory_equal(got.b, f.b, f.n);
	assert_int_equal(wr_fib_iface_set(w->fib, 0, NULL), 0);
	world_send(w, 0, &f);
	wr_worker_turn(w->worker);
	assert_true(world_take(w, w->kernel[0], &got));
	world_free(w);
}

/* Hairpin: the kernel gets some, to send redirects; beyond the limit Weir forwards, nothing is
 * lost. */
static void redirects_are_the_kernels_within_the_limit(void **state)
{
	struct worker_conf conf = {.punt_pps = {[PUNT_CARRY] = 10}};
	struct world *w = world_create(&conf, false);
	struct fib_iface iface = world_iface(0);
	static struct frame f, got;
	unsigned n_kernel = 0, n_wire = 0;

	(void)state;
	iface.send_redirects = true;
	assert_int_equal(wr_fib_iface_set(w->fib, 0, &iface), 0);
	frame_udp(&f, 0, ip(172, 16, 0, 5), ip(172, 16, 9, 9), 18);
	for (unsigned i = 0; i < 100; i++) {
		world_send(w, 0, &f);
		wr_worker_turn(w->worker);
		n_kernel += world_take(w, w->kernel[0], &got);
		n_wire += world_take(w, w->wire[0], &got);
	}
	assert_int_equal(n_kernel, 2);
	assert_int_equal(n_wire, 98);
	world_free(w);
}

/* A checksum left unfinished by a local sender is finished when forwarded, and left for the kernel
 * when punted. */
static void unfinished_checksums_are_finished_on_virtual_ports(void **state)
{
	static struct frame right, partial, got;

	(void)state;
	frame_udp(&right, 0, ip(172, 16, 0, 5), ip(192, 168, 1, 1), 301);
	partial = right;
	*(uint16_t *)(void *)(partial.b + 40) = wr_l4_pseudo_sum(frame_ip(&partial), 309);
	for (int is_virtual = 0; is_virtual < 2; is_virtual++) {
		struct world *w = world_create(NULL, is_virtual);

		world_send(w, 0, &partial);
		wr_worker_turn(w->worker);
		assert_true(world_take(w, w->wire[1], &got));
		assert_memory_equal(got.b + 40, is_virtual ? right.b + 40 : partial.b + 40, 2);
		world_free(w);
	}
}

/* Unless the port that the packet leaves by sees to it. */
static void unfinished_checksums_are_left_to_a_port_that_finishes_them(void **state)
{
	static struct frame partial, got;

	(void)state;
	frame_udp(&partial, 0, ip(172, 16, 0, 5), ip(192, 168, 1, 1), 301);
	*(uint16_t *)(void *)(partial.b + 40) = wr_l4_pseudo_sum(frame_ip(&partial), 309);
	for (unsigned able = 0; able < 2; able++) {
		struct world *w = world_create(NULL, true);

		w->worker->ports[able].flags |= PORT_TX_CSUM; /* 1 is the way out, 0 the way in */
		world_send(w, 0, &partial);
		wr_worker_turn(w->worker);
		assert_true(world_take(w, w->wire[1], &got));
		assert_int_equal(!memcmp(got.b + 40, partial.b + 40, 2), able);
		world_free(w);
	}
}

/* A way out whose port is being closed: the kernel, which still has the interface, gets the packet
 * as it came. */
static void without_a_port_the_kernel_forwards(void **state)
{
	struct world *w = world_create(NULL, false);
	static struct frame f, got;

	(void)state;
	wr_worker_del_queue(w->worker, w->port[1]->queues[0]);
	frame_udp(&f, 0, ip(172, 16, 0, 5), ip(192, 168, 1, 1), 18);
	world_send(w, 0, &f);
	wr_worker_turn(w->worker);
	assert_true(world_take(w, w->kernel[0], &got));
	assert_int_equal(got.n, f.n);
	assert_memory_equal(got.b, f.b, f.n);
	world_balance(w);
	world_free(w);
}

/* A port that takes one buffer a packet gets no more. */
static void jumbo_packets_to_a_port_of_one_buffer_are_the_kernels(void **state)
{
	struct world *w = world_create(NULL, false);
	struct nexthop nh = *wr_fib_nh(w->fib, 21);
	static struct frame f, got;

	(void)state;
	nh.mtu = 9000;
	assert_int_equal(wr_fib_nh_publish(w->fib, 21, &nh), 0);
	w->worker->ports[1].flags = PORT_ONE_BUFFER;
	frame_udp(&f, 0, ip(172, 16, 0, 5), ip(192, 168, 1, 1), 5000);
	world_send(w, 0, &f);
	wr_worker_turn(w->worker);
	assert_true(world_take(w, w->kernel[0], &got));
	assert_memory_equal(got.b, f.b, f.n);
	frame_udp(&f, 0, ip(172, 16, 0, 5), ip(192, 168, 1, 1), 500);
	world_send(w, 0, &f);
	wr_worker_turn(w->worker);
	assert_true(world_take(w, w->wire[1], &got));
	world_balance(w);
	world_free(w);
}

/* Remembers the flags of what it is given. */
struct flag_port {
	struct port port;
	struct port_queue queue;
	uint8_t flags;
	unsigned n;
};

static void flag_tx(struct port_queue *q, struct packet **pkts, unsigned n)
{
	struct flag_port *fp = wr_container_of(q, struct flag_port, queue);

	for (unsigned i = 0; i < n; i++) {
		fp->flags = pkts[i]->flags;
		fp->n++;
		wr_packet_free(q->pool, pkts[i]);
	}
}

/* Wherever in the graph the kernel gets it: what is not said it takes for a wrong checksum. */
static void unfinished_checksums_are_told_with_every_punt(void **state)
{
	static const struct port_ops ops = {.tx = flag_tx};
	struct world *w = world_create(NULL, true);
	struct flag_port fp = {.port = {.ops = &ops}, .queue = {.port = &fp.port}};
	struct fib_iface iface = world_iface(0);
	struct port_queue *own = w->worker->outs[WORKER_PUNT_OUT].queue;
	static struct frame f;

	(void)state;
	fp.queue.pool = &w->worker->pool;
	w->worker->outs[WORKER_PUNT_OUT].queue = &fp.queue;
	for (unsigned i = 0; i < 4; i++) {
		frame_udp(&f, 0, ip(172, 16, 0, 5), ip(192, 168, 1, 1), 301);
		*(uint16_t *)(void *)(f.b + 40) = wr_l4_pseudo_sum(frame_ip(&f), 309);
		if (i == 1)
			frame_ip(&f)->ttl = 1;
		if (i == 2)
			f.b[5] ^= 1;
		wr_ip4_hdr_finish(frame_ip(&f));
		iface.transit = i != 3;
		assert_int_equal(wr_fib_iface_set(w->fib, 0, &iface), 0);
		if (i == 0)
			world_route(w, ip(192, 168, 0, 0), 16, FIB_NH_KERNEL);
		world_send(w, 0, &f);
		wr_worker_turn(w->worker);
		assert_int_equal(fp.n, i + 1);
		assert_int_equal(fp.flags, PKT_CSUM_PARTIAL);
	}
	/* Nothing that only looks like it: too short for the header that it announces. */
	f.n = ETH_HDR_BYTES + IP4_HDR_BYTES + 2;
	world_send(w, 0, &f);
	wr_worker_turn(w->worker);
	assert_int_equal(fp.n, 5);
	assert_int_equal(fp.flags, 0);
	w->worker->outs[WORKER_PUNT_OUT].queue = own;
	world_free(w);
}

/* Flows spread over a group by weight of buckets, both directions and all fragments of a datagram
 * alike. */
static void groups_keep_flows_together(void **state)
{
	struct world *w = world_create(NULL, false);
	uint16_t buckets[4] = {20, 21, 21, 21}, members[2] = {20, 21};
	struct nexthop group = {.type = NH_GROUP,
				.n_buckets = 4,
				.buckets = buckets,
				.n_members = 2,
				.members = members};
	static struct frame f, got;
	unsigned n_wire1 = 0;

	(void)state;
	assert_int_equal(wr_fib_nh_publish(w->fib, 30, &group), 0);
	world_route(w, ip(9, 0, 0, 0), 8, 30);
	for (unsigned i = 0; i < 4000; i++) {
		bool first = false;

		for (unsigned repeat = 0; repeat < 3; repeat++) {
			bool by_wire1;

			frame_udp(&f, 0, ip(172, 16, (i >> 8) & 15, i & 255), ip(9, 1, 2, 3), 18);
			if (repeat == 2) /* a later fragment has no ports */
				f.b[ETH_HDR_BYTES + IP4_HDR_BYTES] = (uint8_t)i;
			frame_ip(&f)->frag_off =
				be16_from(i % 2 ? (uint16_t)(repeat ? 185 : IP4_MF) : 0);
			if (repeat == 2 && i % 2 == 0)
				break;
			redo_checksum(&f);
			world_send(w, 0, &f);
			wr_worker_turn(w->worker);
			by_wire1 = world_take(w, w->wire[1], &got);
			assert_int_equal(by_wire1 + world_take(w, w->wire[0], &got), 1);
			if (repeat == 0)
				first = by_wire1;
			assert_int_equal(by_wire1, first);
		}
		n_wire1 += first;
	}
	assert_in_range(n_wire1, 2800, 3200); /* three of four buckets; by count, not by clock */
	world_free(w);
}

/* Law 10: after a stall what lies in the ring is thrown away, counted, before new frames are let
 * in. */
static void stale_frames_are_thrown_away(void **state)
{
	struct world *w = world_create(NULL, false);
	static struct frame f, got;
	struct port_counters c;

	(void)state;
	frame_udp(&f, 0, ip(172, 16, 0, 5), ip(192, 168, 1, 1), 18);
	wr_worker_turn(w->worker);
	assert_int_equal(w->beat, w->now_ns);
	for (unsigned i = 0; i < 7; i++)
		world_send(w, 0, &f);
	w->now_ns += 31 * WR_NS_PER_MS;
	assert_int_equal(wr_worker_turn(w->worker), 0);
	wr_port_counters(w->port[0], &c);
	assert_int_equal(c.rx_stale, 7);
	assert_int_equal(c.rx_pkts, 0);
	world_send(w, 0, &f);
	w->now_ns += 29 * WR_NS_PER_MS;
	assert_int_equal(wr_worker_turn(w->worker), 1);
	assert_true(world_take(w, w->wire[1], &got));
	world_free(w);
}

/* Not every driver can have stale packets: a file has none. */
static void a_stall_spares_ports_that_keep_nothing(void **state)
{
	struct world *w = world_create(NULL, false);
	struct port_args args;
	struct port *port;

	(void)state;
	assert_int_equal(wr_port_parse("null:", &args, NULL), 0);
	assert_int_equal(wr_port_open(w->umem, &args, &port, NULL), 0);
	port->port_idx = 2;
	assert_int_equal(wr_worker_add_queue(w->worker, port->queues[0], 2, WORKER_PORT), 0);
	wr_worker_turn(w->worker);
	w->now_ns += 31 * WR_NS_PER_MS;
	assert_int_equal(wr_worker_turn(w->worker), 0);
	wr_worker_del_queue(w->worker, port->queues[0]);
	port->ops->close(port);
	world_free(w);
}

/* Law 7: two stacks, two clocks, two tables in one process. */
static void two_stacks_live_side_by_side(void **state)
{
	struct world *a = world_create(NULL, false), *b = world_create(NULL, false);
	static struct frame f, got;

	(void)state;
	world_route(b, ip(192, 168, 0, 0), 16, FIB_NH_BLACKHOLE);
	b->now_ns += 5 * WR_NS_PER_S;
	frame_udp(&f, 0, ip(172, 16, 0, 5), ip(192, 168, 1, 1), 18);
	for (unsigned i = 0; i < 100; i++) {
		world_send(a, 0, &f);
		world_send(b, 0, &f);
		wr_worker_turn(b->worker);
		wr_worker_turn(a->worker);
		assert_true(world_take(a, a->wire[1], &got));
		assert_false(world_take(b, b->wire[1], &got));
	}
	assert_int_equal(b->worker->graph->edge_counts[EDGE(ip4_lookup_drop_blackhole)], 100);
	assert_int_equal(a->worker->graph->edge_counts[EDGE(ip4_lookup_drop_blackhole)], 0);
	world_free(a);
	world_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_kind_meets_its_reason),
		cmocka_unit_test(padding_is_cut_off),
		cmocka_unit_test(jumbo_packets_pass_whole),
		cmocka_unit_test(mixed_bursts_are_sorted_right),
		cmocka_unit_test(garbage_is_accounted_for),
		cmocka_unit_test(a_blocked_port_stalls_nobody),
		cmocka_unit_test(punts_are_limited_by_reason),
		cmocka_unit_test(strict_reverse_path_is_checked),
		cmocka_unit_test(without_transit_all_goes_to_the_kernel),
		cmocka_unit_test(redirects_are_the_kernels_within_the_limit),
		cmocka_unit_test(unfinished_checksums_are_finished_on_virtual_ports),
		cmocka_unit_test(unfinished_checksums_are_left_to_a_port_that_finishes_them),
		cmocka_unit_test(without_a_port_the_kernel_forwards),
		cmocka_unit_test(jumbo_packets_to_a_port_of_one_buffer_are_the_kernels),
		cmocka_unit_test(unfinished_checksums_are_told_with_every_punt),
		cmocka_unit_test(groups_keep_flows_together),
		cmocka_unit_test(stale_frames_are_thrown_away),
		cmocka_unit_test(a_stall_spares_ports_that_keep_nothing),
		cmocka_unit_test(two_stacks_live_side_by_side),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
