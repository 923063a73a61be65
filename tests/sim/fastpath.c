/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The ways a packet can take through a worker, each alone and many times: what instructions.sh
 * counts the instructions of.
 *
 *      pcap: (or a wire) ===== port 0 [ worker ] port 1 ===== null:      punt 0 ===== null:
 *
 * Without arguments it is a test like the others: on each way every packet meets the edge that the
 * way is named for, and comes out where it should; so what is counted is what the name says. With
 * the name of a way it takes that way and prints how many packets did; `list` prints the names.
 *
 * 256 flows of the shortest UDP packets, one packet of each in a burst, to networks among 1,000,
 * by 16 neighbours.
 */
#include "cnet/fib/fib4_lookup.h"
#include "tests/sim/world.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

enum {
	N_FLOWS = 256, /* packets of the capture, one burst */
	N_PASSES = 32, /* through it */
	N_ALONE = 1024,
	N_PREFIXES = 1000,
	N_NEIGHBOURS = 16,
	PAYLOAD = 18,
	PATH_BYTES = 64,
	MAX_WORKERS = 2,
	LANE_DESCS = 512,
	ANSWER_PPS = 10 * N_PASSES * N_FLOWS, /* never met: a bucket holds a tenth */
	ID_NEIGHBOUR = 40,
	ID_GROUP = ID_NEIGHBOUR + N_NEIGHBOURS,
	N_MEMBERS = 4,
	N_BUCKETS = 8,
};

/* TO_EITHER: every other packet meets the black hole. */
enum target { TO_PREFIXES, TO_BLACKHOLE, TO_EITHER, TO_NOWHERE, TO_THIS_HOST };

struct way {
	const char *name;
	size_t edge; /* that each packet meets, at any worker */
	enum target target;
	bool is_virtual;    /* port 0: checksums may be unfinished, so they are looked at */
	bool has_rp_filter; /* port 0: strict */
	bool by_group;      /* each network by a group of four neighbours */
	bool is_alone;      /* one packet a turn, by a wire */
	bool is_shared;     /* flows spread over two workers */
};

/* clang-format off */
static const struct way ways[] = {
	{"plain",   EDGE(rewrite_to_tx), .target = TO_PREFIXES},
	{"alone",   EDGE(rewrite_to_tx), .is_alone = true},
	{"virtual", EDGE(rewrite_to_tx), .is_virtual = true},
	{"reverse", EDGE(rewrite_to_tx), .has_rp_filter = true},
	{"group",   EDGE(rewrite_to_tx), .by_group = true},
	{"shared",  EDGE(rewrite_to_tx), .is_shared = true},
	{"drop",    EDGE(ip4_lookup_drop_blackhole), .target = TO_BLACKHOLE},
	/* Every other is dropped. */
	{"mixed",   EDGE(ip4_input_to_ip4_lookup), .target = TO_EITHER},
	{"answer",  EDGE(ip4_lookup_punt_no_route), .target = TO_NOWHERE},
	{"carry",   EDGE(ip4_lookup_punt_local), .target = TO_THIS_HOST},
};
/* clang-format on */

/* A world with a second worker, if the way takes one. */
struct course {
	const struct way *way;
	struct world *w;
	struct worker *workers[MAX_WORKERS];
	unsigned n_workers;
	struct port *lanes[MAX_WORKERS];
};

/* --- packets ---------------------------------------------------------------------------------- */

static struct ip4 network(unsigned i)
{
	return ip4_from(UINT32_C(10) << 24 | UINT32_C(64) << 16 | i % N_PREFIXES << 8);
}

static struct ip4 target_of(enum target target, unsigned flow)
{
	if (target == TO_EITHER)
		target = flow % 2 ? TO_BLACKHOLE : TO_PREFIXES;
	switch (target) {
	case TO_BLACKHOLE:
		return ip(203, 0, 113, flow % 256);
	case TO_NOWHERE:
		return ip(8, 8, 8, flow % 256);
	case TO_THIS_HOST:
		return ip(10, 1, 0, 1);
	case TO_PREFIXES:
	case TO_EITHER:
		break;
	}
	return ip4_from(ip4_to(network(flow * 389)) + 1);
}

static struct packet *new_packet(struct pool *pool, const struct way *way, unsigned flow)
{
	static struct frame f;
	struct packet *pkt;

	frame_udp(&f, 0, ip(172, 16, flow / 16, flow % 16), target_of(way->target, flow), PAYLOAD);
	pkt = wr_packet_from(pool, f.b, f.n);
	assert_non_null(pkt);
	return pkt;
}

static void write_capture(struct world *w, const struct way *way, const char *path)
{
	char text[PORT_SPEC_BYTES];
	struct port *port;

	snprintf(text, sizeof(text), "pcap:,%s", path);
	port = world_open(w->umem, text);
	port->queues[0]->pool = &w->pool;
	for (unsigned i = 0; i < N_FLOWS; i++) {
		struct packet *pkt = new_packet(&w->pool, way, i);

		wr_port_tx(port->queues[0], &pkt, 1);
	}
	port->ops->close(port);
}

/* --- the course ------------------------------------------------------------------------------- */

static void add_ways_out(struct world *w, bool by_group)
{
	uint16_t members[N_MEMBERS], buckets[N_BUCKETS];
	struct nexthop group = {.type = NH_GROUP,
				.n_members = N_MEMBERS,
				.n_buckets = N_BUCKETS,
				.members = members,
				.buckets = buckets};

	for (unsigned i = 0; i < N_NEIGHBOURS; i++)
		world_neighbour(w, ID_NEIGHBOUR + i, 1);
	for (unsigned i = 0; i < N_BUCKETS; i++)
		buckets[i] = members[i % N_MEMBERS] = (uint16_t)(ID_NEIGHBOUR + i % N_MEMBERS);
	assert_int_equal(wr_fib_nh_publish(w->fib, ID_GROUP, &group), 0);
	for (unsigned i = 0; i < N_PREFIXES; i++)
		world_route(w, network(i), 24,
			    (uint16_t)(by_group ? ID_GROUP : ID_NEIGHBOUR + i % N_NEIGHBOURS));
}

static void open_input(struct course *c, const char *path)
{
	const struct ring_conf wire = {
		.name_a = "port", .name_b = "wire", .n_queues = 1, .n_descs = WORLD_DESCS};
	struct world *w = c->w;
	char text[PORT_SPEC_BYTES];

	if (c->way->is_alone) {
		assert_int_equal(
			wr_port_ring_open_pair(w->umem, &wire, &w->port[0], &w->wire[0], NULL), 0);
		w->wire[0]->queues[0]->pool = &w->pool;
		return;
	}
	write_capture(w, c->way, path);
	snprintf(text, sizeof(text), "pcap:%s,loop=%u", path, N_PASSES);
	w->port[0] = world_open(w->umem, text);
}

static void add_worker(struct course *c, unsigned i)
{
	struct worker_conf conf = c->w->worker->conf;
	struct worker *worker = c->w->worker;

	conf.worker_idx = i;
	conf.beat = NULL;
	if (i)
		assert_int_equal(wr_worker_create(&conf, &worker), 0);
	assert_int_equal(wr_worker_add_queue(worker, c->w->port[1]->queues[i], 1, WORKER_PORT), 0);
	assert_int_equal(wr_worker_know_port(worker, 0, c->w->port[0]), 0);
	worker->n_owners = c->way->is_shared ? MAX_WORKERS : 0;
	c->workers[c->n_workers++] = worker;
}

static void lay_lanes(struct course *c)
{
	const struct ring_conf lane = {.name_a = "a",
				       .name_b = "b",
				       .n_queues = 1,
				       .n_descs = LANE_DESCS,
				       .keeps_metadata = true};

	assert_int_equal(
		wr_port_ring_open_pair(c->w->umem, &lane, &c->lanes[0], &c->lanes[1], NULL), 0);
	for (unsigned i = 0; i < MAX_WORKERS; i++)
		assert_int_equal(wr_worker_add_queue(c->workers[i], c->lanes[i]->queues[0],
						     WORKER_LANE_OUT + 1 - i, WORKER_LANE),
				 0);
}

static void course_open(struct course *c, const struct way *way, const char *path)
{
	const struct worker_conf conf = {.punt_pps = {[PUNT_ANSWER] = ANSWER_PPS}};
	struct world *w = world_create_bare(&conf);

	*c = (struct course){.way = way, .w = w};
	world_fill(w);
	add_ways_out(w, way->by_group);
	open_input(c, path);
	w->port[1] = world_open(w->umem, way->is_shared ? "null:queues=2" : "null:");
	w->punt[0] = world_open(w->umem, "null:");
	w->port[0]->flags = way->is_virtual ? PORT_VIRTUAL : 0;
	for (unsigned i = 0; i < N_WIRES; i++) {
		struct fib_iface iface = world_iface(i);

		iface.rp_filter = !i && way->has_rp_filter;
		w->port[i]->port_idx = (uint8_t)i;
		assert_int_equal(wr_fib_iface_set(w->fib, i, &iface), 0);
	}
	for (unsigned i = 0; i < (way->is_shared ? MAX_WORKERS : 1); i++)
		add_worker(c, i);
	assert_int_equal(wr_worker_add_queue(w->worker, w->port[0]->queues[0], 0, WORKER_PORT), 0);
	assert_int_equal(wr_worker_add_queue(w->worker, w->punt[0]->queues[0], WORKER_PUNT_OUT,
					     WORKER_SENDS),
			 0);
	if (way->is_shared)
		lay_lanes(c);
}

static void close_port(struct port *port)
{
	if (port)
		port->ops->close(port);
}

static void course_close(struct course *c)
{
	struct world *w = c->w;

	for (unsigned i = 0; i < c->n_workers; i++)
		wr_worker_free(c->workers[i]);
	for (unsigned i = 0; i < MAX_WORKERS; i++)
		close_port(c->lanes[i]);
	for (unsigned i = 0; i < N_WIRES; i++) {
		close_port(w->port[i]);
		close_port(w->wire[i]);
		close_port(w->punt[i]);
	}
	wr_pool_fini(&w->pool);
	wr_fib_free(w->fib);
	wr_rcu_flush(&w->rcu);
	assert_int_equal(wr_umem_audit(w->umem), w->umem->n_frames);
	wr_umem_free(w->umem);
	free(w);
}

/* Every worker turns once; returns packets received. */
static unsigned round_of_turns(struct course *c)
{
	unsigned n = 0;

	for (unsigned i = 0; i < c->n_workers; i++)
		n += wr_worker_turn(c->workers[i]);
	return n;
}

static void course_run(struct course *c)
{
	for (unsigned i = 0; c->way->is_alone && i < N_ALONE; i++) {
		struct packet *pkt = new_packet(&c->w->pool, c->way, i % N_FLOWS);

		wr_port_tx(c->w->wire[0]->queues[0], &pkt, 1);
		c->w->wire[0]->ops->flush(c->w->wire[0]->queues[0]);
		round_of_turns(c);
	}
	while (round_of_turns(c))
		;
}

/* --- what must have happened ------------------------------------------------------------------ */

static uint64_t count_edge(const struct course *c, size_t edge)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < c->n_workers; i++)
		n += c->workers[i]->graph->edge_counts[edge];
	return n;
}

static uint64_t count_sent(const struct port *port)
{
	struct port_counters counters;

	wr_port_counters(port, &counters);
	assert_int_equal(counters.tx_full, 0);
	return counters.tx_pkts;
}

/* Returns how many packets it was. */
static uint64_t course_check(const struct course *c)
{
	const uint64_t n = c->way->is_alone ? N_ALONE : N_PASSES * N_FLOWS;
	const bool is_punted = c->way->target == TO_NOWHERE || c->way->target == TO_THIS_HOST;
	const uint64_t n_sent = c->way->target == TO_PREFIXES ? n
				: c->way->target == TO_EITHER ? n / 2
							      : 0;

	assert_int_equal(c->w->port[0]->queues[0]->counters.rx_pkts, n);
	assert_int_equal(count_edge(c, c->way->edge), n);
	assert_int_equal(count_sent(c->w->port[1]), n_sent);
	assert_int_equal(count_sent(c->w->punt[0]), is_punted ? n : 0);
	for (unsigned i = 0; c->way->is_shared && i < MAX_WORKERS; i++)
		assert_true(c->workers[i]->graph->edge_counts[c->way->edge] >= n / 4);
	return n;
}

static uint64_t take(const struct way *way, const char *dir)
{
	char path[2 * PATH_BYTES];
	struct course c;
	uint64_t n;

	snprintf(path, sizeof(path), "%s/in.pcap", dir);
	course_open(&c, way, path);
	course_run(&c);
	n = course_check(&c);
	course_close(&c);
	return n;
}

/* --- the lookup alone ------------------------------------------------------------------------- */

static __attribute__((noinline)) unsigned look_up(const struct fib4 *routes,
						  const struct ip4 *addrs, unsigned n)
{
	unsigned sum = 0;

	for (unsigned i = 0; i < n; i++)
		sum += wr_fib4_lookup(routes, addrs[i]);
	return sum;
}

static uint64_t take_lookup(void)
{
	struct world *w = world_create(NULL, false);
	struct ip4 addrs[N_FLOWS];
	unsigned sum = 0;

	add_ways_out(w, false);
	for (unsigned i = 0; i < N_FLOWS; i++) {
		addrs[i] = target_of(TO_PREFIXES, i);
		sum += wr_fib4_lookup(w->fib->routes, addrs[i]);
	}
	assert_int_equal(look_up(w->fib->routes, addrs, N_FLOWS), sum);
	world_free(w);
	return N_FLOWS;
}

/* --- main ------------------------------------------------------------------------------------- */

struct session {
	char dir[PATH_BYTES];
	const char *wanted; /* the name of a way */
};

static int make_dir(void **state)
{
	struct session *s = *state;

	snprintf(s->dir, sizeof(s->dir), "/tmp/weir-fastpath-XXXXXX");
	return mkdtemp(s->dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	const struct session *s = *state;
	char path[2 * PATH_BYTES];

	snprintf(path, sizeof(path), "%s/in.pcap", s->dir);
	(void)unlink(path); /* a way by a wire has made none */
	return rmdir(s->dir);
}

static void each_way_is_what_its_name_says(void **state)
{
	const struct session *s = *state;

	for (unsigned i = 0; i < wr_array_size(ways); i++)
		take(&ways[i], s->dir);
}

static void the_lookup_alone_finds_the_same(void **state)
{
	(void)state;
	take_lookup();
}

static void one_way(void **state)
{
	const struct session *s = *state;

	if (!strcmp(s->wanted, "lookup")) {
		printf("packets %" PRIu64 "\n", take_lookup());
		return;
	}
	for (unsigned i = 0; i < wr_array_size(ways); i++)
		if (!strcmp(ways[i].name, s->wanted)) {
			printf("packets %" PRIu64 "\n", take(&ways[i], s->dir));
			return;
		}
	fail_msg("no way is named %s: see list", s->wanted);
}

static int list(void)
{
	for (unsigned i = 0; i < wr_array_size(ways); i++)
		puts(ways[i].name);
	puts("lookup");
	return 0;
}

int main(int argc, char **argv)
{
	struct session s = {.wanted = argc > 1 ? argv[1] : NULL};
#define TEST(name) cmocka_unit_test_prestate_setup_teardown(name, make_dir, remove_dir, &s)
	const struct CMUnitTest tests[] = {
		TEST(each_way_is_what_its_name_says),
		TEST(the_lookup_alone_finds_the_same),
	};
	const struct CMUnitTest one[] = {TEST(one_way)};

	if (!s.wanted)
		return cmocka_run_group_tests(tests, NULL, NULL);
	if (!strcmp(s.wanted, "list"))
		return list();
	return cmocka_run_group_tests(one, NULL, NULL);
}
