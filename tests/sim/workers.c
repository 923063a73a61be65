/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two workers that share the work: flows spread by hash, queues that only one of them serves, lanes
 * between them. No threads: the test has each worker turn when it likes.
 *
 *      wire[0] ===== port 0 [ worker a ] --- lane --- [ worker b ] port 1 ===== wire[1]
 */
#include "tests/sim/world.h"

#include "cnet/node/flow.h"

enum { LANE_DESCS = 64, N_FLOWS = 16 };

struct pair {
	struct world *w;
	struct worker *a, *b;
	struct port *lane_a, *lane_b;
};

/* Worker b serves port 1, a port 0 and the ways into the kernel. */
static void pair_create(struct pair *p)
{
	const struct ring_conf lane = {.name_a = "a",
				       .name_b = "b",
				       .n_queues = 1,
				       .n_descs = LANE_DESCS,
				       .keeps_metadata = true};
	struct worker_conf conf;
	struct port_queue *q;

	p->w = world_create(NULL, false);
	p->a = p->w->worker;
	conf = p->a->conf;
	conf.worker_idx = 1;
	conf.beat = NULL;
	assert_int_equal(wr_worker_create(&conf, &p->b), 0);
	assert_int_equal(wr_port_ring_open_pair(p->w->umem, &lane, &p->lane_a, &p->lane_b, NULL),
			 0);
	assert_int_equal(
		wr_worker_add_queue(p->a, p->lane_a->queues[0], WORKER_LANE_OUT + 1, WORKER_LANE),
		0);
	assert_int_equal(
		wr_worker_add_queue(p->b, p->lane_b->queues[0], WORKER_LANE_OUT, WORKER_LANE), 0);
	q = p->w->port[1]->queues[0];
	wr_worker_del_queue(p->a, q);
	assert_int_equal(wr_worker_add_queue(p->b, q, 1, WORKER_PORT), 0);
	wr_worker_set_out(p->a, 1, p->lane_a->queues[0]);
	wr_worker_set_out(p->b, 0, p->lane_b->queues[0]);
	for (unsigned i = 0; i < N_WIRES; i++) {
		assert_int_equal(wr_worker_know_port(p->b, i, p->w->port[i]), 0);
		wr_worker_set_out(p->b, WORKER_PUNT_OUT + i, p->lane_b->queues[0]);
	}
}

static void pair_turn(struct pair *p)
{
	wr_worker_turn(p->a);
	wr_worker_turn(p->b);
	wr_worker_turn(p->a);
}

static uint64_t drops(const struct worker *w)
{
	uint64_t sum = 0;

	for (unsigned e = 0; e < N_EDGES; e++) {
		const struct graph_edge *edge;

		wr_graph_node_of_edge(&wr_node_table, e, &edge);
		sum += edge->kind == EDGE_DROP ? w->graph->edge_counts[e] : 0;
	}
	return sum;
}

/* Law 3 over both workers: what a lane had no room for is a drop of its own. */
static void pair_free(struct pair *p)
{
	uint64_t rx = 0, out = drops(p->a) + drops(p->b);
	struct port_counters c;

	for (unsigned i = 0; i < N_WIRES; i++) {
		wr_port_counters(p->w->port[i], &c);
		rx += c.rx_pkts;
		out += c.tx_pkts + c.tx_full;
		wr_port_counters(p->w->punt[i], &c);
		out += c.tx_pkts + c.tx_full;
	}
	wr_port_counters(p->lane_a, &c);
	out += c.tx_full;
	wr_port_counters(p->lane_b, &c);
	out += c.tx_full;
	assert_int_equal(rx, out);
	wr_worker_del_queue(p->a, p->lane_a->queues[0]);
	p->lane_a->ops->close(p->lane_a);
	p->lane_b->ops->close(p->lane_b);
	wr_worker_free(p->b);
	world_free(p->w);
}

static unsigned count_taken(struct pair *p, struct port *from)
{
	static struct frame got;
	unsigned n = 0;

	while (world_take(p->w, from, &got))
		n++;
	return n;
}

static void a_queue_of_another_worker_is_reached_by_lane(void **state)
{
	static struct frame f;
	struct pair p;

	(void)state;
	pair_create(&p);
	for (unsigned i = 0; i < 10; i++) {
		frame_udp(&f, 0, ip(172, 16, 0, 5), ip(192, 168, 1, 1), 18);
		world_send(p.w, 0, &f);
		frame_udp(&f, 1, ip(192, 168, 1, 1), ip(172, 16, 0, 5), 18);
		world_send(p.w, 1, &f);
	}
	pair_turn(&p);
	assert_int_equal(count_taken(&p, p.w->wire[1]), 10);
	assert_int_equal(count_taken(&p, p.w->wire[0]), 10);
	assert_int_equal(p.a->graph->edge_counts[EDGE(handoff_to_tx)], 10);
	assert_int_equal(p.b->graph->edge_counts[EDGE(handoff_to_tx)], 10);
	pair_free(&p);
}

static void a_punt_of_another_worker_is_as_it_came(void **state)
{
	static struct frame f, got;
	struct pair p;

	(void)state;
	pair_create(&p);
	frame_udp(&f, 1, ip(192, 168, 1, 1), ip(8, 8, 8, 8), 18); /* no route */
	world_send(p.w, 1, &f);
	pair_turn(&p);
	assert_true(world_take(p.w, p.w->kernel[1], &got));
	assert_int_equal(got.n, f.n);
	assert_memory_equal(got.b, f.b, f.n);
	pair_free(&p);
}

/* The number that the payload begins with. */
static void put_number(struct frame *f, uint32_t n)
{
	/* The checksum goes wrong, which no router looks at. */
	memcpy(f->b + ETH_HDR_BYTES + IP4_HDR_BYTES + 8, &n, sizeof(n));
}

static uint32_t get_number(const struct frame *f)
{
	uint32_t n;

	memcpy(&n, f->b + ETH_HDR_BYTES + IP4_HDR_BYTES + 8, sizeof(n));
	return n;
}

/* All flows come in at worker a, which keeps those that it owns. */
static void flows_are_spread_and_stay_in_order(void **state)
{
	uint32_t last[N_FLOWS] = {0};
	static struct frame f, got;
	struct pair p;
	uint32_t number = 0;

	(void)state;
	pair_create(&p);
	p.a->n_owners = p.b->n_owners = 2;
	for (unsigned round = 0; round < 20; round++) {
		for (unsigned i = 0; i < N_FLOWS; i++) {
			frame_udp(&f, 0, ip(172, 16, 0, (uint8_t)i), ip(192, 168, 1, 1), 18);
			put_number(&f, ++number);
			world_send(p.w, 0, &f);
		}
		if (round % 3)
			pair_turn(&p);
	}
	pair_turn(&p);
	while (world_take(p.w, p.w->wire[1], &got)) {
		unsigned flow = ip4_to(frame_ip(&got)->src) & 0xff;

		assert_true(get_number(&got) > last[flow]);
		last[flow] = get_number(&got);
		number--;
	}
	assert_int_equal(number, 0);
	assert_true(p.a->graph->edge_counts[EDGE(spread_to_ip4_lookup)] > 0);
	assert_true(p.a->graph->edge_counts[EDGE(spread_to_tx)] > 0);
	assert_int_equal(p.b->graph->edge_counts[EDGE(handoff_to_ip4_lookup)],
			 p.a->graph->edge_counts[EDGE(spread_to_tx)]);
	pair_free(&p);
}

static void both_directions_of_a_flow_have_one_owner(void **state)
{
	static struct frame f;
	struct packet pkt;

	(void)state;
	for (unsigned i = 0; i < 1000; i++) {
		unsigned owner;

		frame_udp(&f, 0, ip4_from(i * 2654435761U), ip4_from(i * 40503U), 18);
		wr_packet_init(&pkt, f.b, (uint16_t)f.n);
		owner = wr_flow_owner(wr_flow_hash(&pkt, frame_ip(&f)), 7);
		assert_in_range(owner, 0, 6);
		frame_udp(&f, 0, ip4_from(i * 40503U), ip4_from(i * 2654435761U), 18);
		/* Ports are the other way round, too. */
		memcpy(f.b + 34, (const uint16_t[2]){htobe16(5000), htobe16(4000)}, 4);
		assert_int_equal(wr_flow_owner(wr_flow_hash(&pkt, frame_ip(&f)), 7), owner);
	}
}

static void a_full_lane_drops_and_counts(void **state)
{
	static struct frame f;
	struct port_counters c;
	struct pair p;

	(void)state;
	pair_create(&p);
	for (unsigned i = 0; i < 2 * LANE_DESCS; i++) {
		frame_udp(&f, 0, ip(172, 16, 0, 5), ip(192, 168, 1, 1), 18);
		world_send(p.w, 0, &f);
	}
	wr_worker_turn(p.a);
	wr_port_counters(p.lane_a, &c);
	assert_int_equal(c.tx_full, LANE_DESCS);
	pair_turn(&p);
	assert_int_equal(count_taken(&p, p.w->wire[1]), LANE_DESCS);
	pair_free(&p);
}

static void what_a_port_is_gone_for_is_counted(void **state)
{
	static struct frame f;
	struct pair p;

	(void)state;
	pair_create(&p);
	frame_udp(&f, 0, ip(172, 16, 0, 5), ip(192, 168, 1, 1), 18);
	world_send(p.w, 0, &f);
	wr_worker_turn(p.a);
	wr_worker_set_out(p.b, 1, NULL);
	wr_worker_turn(p.b);
	assert_int_equal(p.b->graph->edge_counts[EDGE(handoff_drop_no_way)], 1);
	assert_int_equal(p.b->ports[0].edge_counts[EDGE(handoff_drop_no_way)], 1);
	pair_free(&p);
}

/* What the kernel sends by an interface of Weir's own leaves by its port, whatever it is. */
static void the_kernels_own_packets_leave_by_the_port(void **state)
{
	static const uint8_t arp[60] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, [12] = 8, [13] = 6};
	struct world *w = world_create(NULL, false);
	struct port_queue *punt = w->punt[1]->queues[0];
	struct packet *pkt = wr_packet_from(&w->pool, arp, sizeof(arp));
	struct port_counters c;
	static struct frame got;

	(void)state;
	wr_worker_del_queue(w->worker, punt);
	assert_int_equal(wr_worker_add_queue(w->worker, punt, WORKER_PUNT_OUT + 1, WORKER_HOST), 0);
	wr_port_tx(w->kernel[1]->queues[0], &pkt, 1);
	w->kernel[1]->ops->flush(w->kernel[1]->queues[0]);
	wr_worker_turn(w->worker);
	assert_true(world_take(w, w->wire[1], &got));
	assert_int_equal(got.n, sizeof(arp));
	assert_memory_equal(got.b, arp, sizeof(arp));

	/* Longer than the port can send: counted. */
	w->worker->ports[1].max_frame_bytes = 59;
	pkt = wr_packet_from(&w->pool, arp, sizeof(arp));
	wr_port_tx(w->kernel[1]->queues[0], &pkt, 1);
	w->kernel[1]->ops->flush(w->kernel[1]->queues[0]);
	wr_worker_turn(w->worker);
	assert_false(world_take(w, w->wire[1], &got));
	assert_int_equal(w->worker->ports[1].edge_counts[EDGE(host_drop_too_long)], 1);
	wr_port_counters(w->punt[1], &c);
	assert_int_equal(c.rx_pkts, 2);
	world_free(w);
}

int main(void)
{
#define TEST(name) cmocka_unit_test(name)
	const struct CMUnitTest tests[] = {
		TEST(a_queue_of_another_worker_is_reached_by_lane),
		TEST(a_punt_of_another_worker_is_as_it_came),
		TEST(flows_are_spread_and_stay_in_order),
		TEST(both_directions_of_a_flow_have_one_owner),
		TEST(a_full_lane_drops_and_counts),
		TEST(what_a_port_is_gone_for_is_counted),
		TEST(the_kernels_own_packets_leave_by_the_port),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
