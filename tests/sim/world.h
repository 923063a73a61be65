/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A worker without a kernel: two interfaces on in-memory wires, tables filled by hand, a clock that
 * only the test moves.
 *
 *      test  wire[0] ===== port 0 [ worker ] port 1 ===== wire[1]  test
 *                          punt 0 === kernel[0]   punt 1 === kernel[1]
 *
 * What the test sends into wire[i] the worker receives on port i; what it punts comes out of
 * kernel[i].
 */
#ifndef TESTS_SIM_WORLD_H
#define TESTS_SIM_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cnet/worker.h"
#include "lib/mem/l4_csum.h"
#include "lib/port/spec.h"

enum { N_WIRES = 2, WORLD_FRAMES = 4096, WORLD_DESCS = 512 };

struct world {
	struct wr_clock clock;
	uint64_t now_ns;
	uint64_t beat;
	struct rcu_writer rcu;
	struct umem *umem;
	struct fib *fib;
	struct worker *worker;
	struct pool pool; /* the test's */
	struct port *port[N_WIRES], *wire[N_WIRES], *punt[N_WIRES], *kernel[N_WIRES];
};

static const struct mac router_mac[N_WIRES] = {{{2, 0, 0, 0, 1, 0}}, {{2, 0, 0, 0, 1, 1}}};
static const struct mac host_mac[N_WIRES] = {{{2, 0, 0, 0, 9, 0}}, {{2, 0, 0, 0, 9, 1}}};

static uint64_t world_now(const struct wr_clock *clock)
{
	return ((const struct world *)(const void *)clock)->now_ns;
}

static inline struct ip4 ip(unsigned a, unsigned b, unsigned c, unsigned d)
{
	return ip4_from(a << 24 | b << 16 | c << 8 | d);
}

static inline struct prefix4 prefix(struct ip4 addr, uint8_t len)
{
	return (struct prefix4){.addr = addr, .len = len};
}

static inline void world_rewrite(struct nexthop *nh, unsigned wire)
{
	static const uint8_t type[2] = {8, 0};

	memcpy(nh->rewrite, &host_mac[wire], 6);
	memcpy(nh->rewrite + 6, &router_mac[wire], 6);
	memcpy(nh->rewrite + 12, type, 2);
}

/* A neighbour 10.<wire>.0.2 as next hop `id`. */
static inline void world_neighbour(struct world *w, uint32_t id, unsigned wire)
{
	struct nexthop nh = {.type = NH_NEIGH,
			     .port_idx = (uint8_t)wire,
			     .is_resolved = true,
			     .mtu = 1500,
			     .oif = wire + 1,
			     .gateway = ip(10, wire, 0, 2)};

	world_rewrite(&nh, wire);
	assert_int_equal(wr_fib_nh_publish(w->fib, id, &nh), 0);
}

static inline void world_route(struct world *w, struct ip4 addr, uint8_t len, uint16_t id)
{
	assert_int_equal(wr_fib4_set(w->fib->routes, prefix(addr, len), id), 0);
}

static inline struct fib_iface world_iface(unsigned wire)
{
	return (struct fib_iface){.ifindex = wire + 1,
				  .mtu = 1500,
				  .mac = router_mac[wire],
				  .is_up = true,
				  .transit = true,
				  .has_address = true};
}

static inline void world_add_port(struct world *w, unsigned i, bool is_virtual)
{
	struct fib_iface iface = world_iface(i);
	struct ring_conf wire = {
		.name_a = "port", .name_b = "wire", .n_queues = 1, .n_descs = WORLD_DESCS};
	struct ring_conf way_back = {
		.name_a = "punt", .name_b = "kernel", .n_queues = 1, .n_descs = WORLD_DESCS};

	assert_int_equal(wr_port_ring_open_pair(w->umem, &wire, &w->port[i], &w->wire[i], NULL), 0);
	assert_int_equal(
		wr_port_ring_open_pair(w->umem, &way_back, &w->punt[i], &w->kernel[i], NULL), 0);
	w->port[i]->port_idx = (uint8_t)i;
	w->port[i]->flags = is_virtual ? PORT_VIRTUAL : 0;
	w->punt[i]->port_idx = (uint8_t)i;
	w->wire[i]->queues[0]->pool = &w->pool;
	w->kernel[i]->queues[0]->pool = &w->pool;
	assert_int_equal(wr_worker_add_queue(w->worker, w->port[i]->queues[0], i, WORKER_PORT), 0);
	assert_int_equal(wr_worker_add_queue(w->worker, w->punt[i]->queues[0], WORKER_PUNT_OUT + i,
					     WORKER_SENDS),
			 0);
	assert_int_equal(wr_fib_iface_set(w->fib, i, &iface), 0);
}

/* A port by its string. */
static inline struct port *world_open(struct umem *umem, const char *text)
{
	struct port_args args;
	struct wr_err err = {""};
	struct port *port = NULL;

	if (wr_port_parse(text, &args, &err) || wr_port_open(umem, &args, &port, &err))
		fail_msg("%s", err.text);
	return port;
}

/*
 * Tables: 10.<i>.0.0/24 attached to wire i (ids 10, 11), 10.<i>.0.1 the router's own, a neighbour
 * 10.<i>.0.2 on each (ids 20, 21); 192.168.0.0/16 by 10.1.0.2, 172.16.0.0/12 by 10.0.0.2;
 * 203.0.113.0/24 blackhole, 198.51.100.0/24 unreachable, 100.64.0.0/10 by an interface without
 * Weir; 10.1.0.9 is not resolved.
 */
static inline void world_fill(struct world *w)
{
	for (unsigned i = 0; i < N_WIRES; i++) {
		struct nexthop attached = {
			.type = NH_ATTACHED, .port_idx = (uint8_t)i, .mtu = 1500, .oif = i + 1};

		assert_int_equal(wr_fib_nh_publish(w->fib, 10 + i, &attached), 0);
		world_neighbour(w, 20 + i, i);
		assert_int_equal(
			wr_fib_neigh_set(w->fib, i + 1, ip(10, i, 0, 2), wr_fib_nh(w->fib, 20 + i)),
			0);
		world_route(w, ip(10, i, 0, 0), 24, (uint16_t)(10 + i));
		world_route(w, ip(10, i, 0, 1), 32, FIB_NH_LOCAL);
		wr_fib_local_add(w->fib, ip(10, i, 0, 1));
	}
	world_route(w, ip(192, 168, 0, 0), 16, 21);
	world_route(w, ip(172, 16, 0, 0), 12, 20);
	world_route(w, ip(203, 0, 113, 0), 24, FIB_NH_BLACKHOLE);
	world_route(w, ip(198, 51, 100, 0), 24, FIB_NH_REJECT);
	world_route(w, ip(100, 64, 0, 0), 10, FIB_NH_KERNEL);
}

/* A worker without ports, before its tables are filled. */
static inline struct world *world_create_bare(const struct worker_conf *conf)
{
	struct world *w = calloc(1, sizeof(*w));
	struct worker_conf own = conf ? *conf : (struct worker_conf){.worker_idx = 0};

	assert_non_null(w);
	w->clock.now_ns = world_now;
	w->now_ns = WR_NS_PER_S;
	assert_int_equal(
		wr_umem_create(&(struct umem_conf){.n_frames = WORLD_FRAMES, .frame_bytes = 2048},
			       &w->umem, NULL),
		0);
	assert_int_equal(wr_fib_create(&w->rcu, &w->fib), 0);
	wr_pool_init(&w->pool, w->umem);
	own.clock = &w->clock;
	own.fib = w->fib;
	own.umem = w->umem;
	own.beat = &w->beat;
	own.deadline_ns = 30 * WR_NS_PER_MS;
	assert_int_equal(wr_worker_create(&own, &w->worker), 0);
	return w;
}

static inline struct world *world_create(const struct worker_conf *conf, bool is_virtual)
{
	struct world *w = world_create_bare(conf);

	for (unsigned i = 0; i < N_WIRES; i++)
		world_add_port(w, i, is_virtual);
	world_fill(w);
	return w;
}

/* Frames: in pools, depot and wires. Must be all of them at any time between turns. */
static inline uint32_t world_frames(struct world *w)
{
	uint32_t n = wr_umem_audit(w->umem) + w->pool.n + w->worker->pool.n;

	for (unsigned i = 0; i < N_WIRES; i++) {
		struct port *ports[] = {w->port[i], w->wire[i], w->punt[i], w->kernel[i]};

		for (unsigned k = 0; k < 4; k++)
			n += ports[k]->ops->n_frames(ports[k]->queues[0]);
	}
	return n;
}

static inline void world_free(struct world *w)
{
	assert_int_equal(world_frames(w), w->umem->n_frames);
	wr_worker_free(w->worker);
	for (unsigned i = 0; i < N_WIRES; i++) {
		w->port[i]->ops->close(w->port[i]);
		w->wire[i]->ops->close(w->wire[i]);
		w->punt[i]->ops->close(w->punt[i]);
		w->kernel[i]->ops->close(w->kernel[i]);
	}
	wr_pool_fini(&w->pool);
	wr_fib_free(w->fib);
	wr_rcu_flush(&w->rcu);
	assert_int_equal(wr_umem_audit(w->umem), w->umem->n_frames);
	wr_umem_free(w->umem);
	free(w);
}

/* --- frames ---------------------------------------------------------------------------------- */

struct frame {
	size_t n;
	uint8_t b[16384];
};

static inline struct ip4_hdr *frame_ip(struct frame *f)
{
	return (struct ip4_hdr *)(f->b + ETH_HDR_BYTES);
}

/* A UDP frame from host_mac[wire] to the router, with a right checksum everywhere; `payload` bytes
 * of a pattern. */
static inline void frame_udp(struct frame *f, unsigned wire, struct ip4 src, struct ip4 dst,
			     unsigned payload)
{
	static const uint8_t type[2] = {8, 0};
	struct ip4_hdr *h = frame_ip(f);
	uint8_t *udp = f->b + ETH_HDR_BYTES + IP4_HDR_BYTES;
	uint16_t l4_bytes = (uint16_t)(8 + payload);
	const uint16_t head[4] = {htobe16(4000), htobe16(5000), htobe16(l4_bytes), 0};
	uint16_t csum;

	memset(f->b, 0, ETH_HDR_BYTES + IP4_HDR_BYTES);
	memcpy(f->b, &router_mac[wire], 6);
	memcpy(f->b + 6, &host_mac[wire], 6);
	memcpy(f->b + 12, type, 2);
	h->version_ihl = 0x45;
	h->total_len = be16_from((uint16_t)(IP4_HDR_BYTES + l4_bytes));
	h->ttl = 64;
	h->protocol = IP_PROTO_UDP;
	h->src = src;
	h->dst = dst;
	wr_ip4_hdr_finish(h);
	memcpy(udp, head, sizeof(head));
	for (unsigned i = 0; i < payload; i++)
		udp[8 + i] = (uint8_t)(i * 7);
	csum = (uint16_t)~wr_csum_fold(wr_csum_add(wr_l4_pseudo_sum(h, l4_bytes), udp, l4_bytes));
	memcpy(udp + 6, &csum, sizeof(csum));
	f->n = ETH_HDR_BYTES + IP4_HDR_BYTES + l4_bytes;
}

static inline void world_send(struct world *w, unsigned wire, const struct frame *f)
{
	struct packet *pkt = wr_packet_from(&w->pool, f->b, f->n);

	assert_non_null(pkt);
	wr_port_tx(w->wire[wire]->queues[0], &pkt, 1);
	w->wire[wire]->ops->flush(w->wire[wire]->queues[0]);
}

/* The next frame that came out of `from`; false if there is none. */
static inline bool world_take(struct world *w, struct port *from, struct frame *ret_frame)
{
	struct packet *pkt;

	if (!wr_port_rx(from->queues[0], &pkt, 1))
		return false;
	assert_true(pkt->len <= sizeof(ret_frame->b));
	ret_frame->n = wr_packet_copy_out(pkt, ret_frame->b, sizeof(ret_frame->b));
	wr_packet_free(&w->pool, pkt);
	return true;
}

/* Sum of a counter over the worker's edges of one kind. */
static inline uint64_t world_edges(const struct world *w, enum edge_kind kind)
{
	uint64_t sum = 0;

	for (unsigned e = 0; e < N_EDGES; e++) {
		const struct graph_edge *edge;

		wr_graph_node_of_edge(&wr_node_table, e, &edge);
		if (edge->kind == kind)
			sum += w->worker->graph->edge_counts[e];
	}
	return sum;
}

/* Law 3: rx = tx + punted + dropped, by counters of ports and edges; tx() that found no room is a
 * drop of its own. */
static inline void world_balance(const struct world *w)
{
	uint64_t rx = 0, out = world_edges(w, EDGE_DROP);

	for (unsigned i = 0; i < N_WIRES; i++) {
		struct port_counters port, punt;

		wr_port_counters(w->port[i], &port);
		wr_port_counters(w->punt[i], &punt);
		rx += port.rx_pkts;
		out += port.tx_pkts + port.tx_full + punt.tx_pkts + punt.tx_full;
	}
	assert_int_equal(rx, out);
}

#endif
