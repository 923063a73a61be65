/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One capture a graph node, meeting each of its edges that a packet alone can meet, and what comes
 * of it, kept in tests/golden/:
 *
 *     NODE.in.pcap     what port 0 receives (for some nodes port 1 as well)
 *     NODE.out0.pcap   what leaves by port 0, .out1.pcap by port 1, .punt0.pcap what port 0 punts
 *     NODE.txt         how often each edge was taken: all of the node's, and the others' that were
 *
 * The clock stands still and a capture's times are numbers, so two runs give the same bytes. A
 * difference is a change in what Weir does with packets: if it is wanted, UPDATE=1 writes all files
 * anew, and the commit shows what it was.
 *
 * Port 1 has no way into the kernel, and for eth_input is no router's. What takes two workers or
 * the kernel's side of a port (host, spread, handoff) is in workers.c.
 */
#include "tests/sim/world.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#define GOLDEN "tests/golden"

enum { MAX_FILE_BYTES = 65536, MAX_EDITS = 4, PAYLOAD = 18, N_RUNS = 2 };

/* A plain UDP frame from 172.16.0.5, which is behind port 0, with bytes changed. */
struct sample {
	unsigned node;
	uint8_t dst[4];
	uint16_t payload; /* 0: PAYLOAD */
	uint16_t cut_to;  /* bytes of the frame that are left; 0: all */
	bool keeps_csum;  /* that of the IP header is not made right again */
	struct {
		uint8_t at, value;
	} edits[MAX_EDITS]; /* ended by at = 0 */
};

enum { AT_MAC = 5, AT_TYPE = 13, AT_IHL = 14, AT_LEN = 17, AT_TTL = 22, AT_CSUM = 24, AT_SRC = 26 };

#define FROM(a, b, c, d)                                                                           \
	{AT_SRC, a}, {AT_SRC + 1, b}, {AT_SRC + 2, c},                                             \
	{                                                                                          \
		AT_SRC + 3, d                                                                      \
	}
#define TO(a, b, c, d) .dst = {a, b, c, d}
#define TO_GATEWAY TO(192, 168, 1, 1)

/* clang-format off */
static const struct sample samples[] = {
	{NODE_eth_input, TO_GATEWAY},
	{NODE_eth_input, TO_GATEWAY, .edits = {{AT_TYPE, 6}}},
	{NODE_eth_input, TO_GATEWAY, .edits = {{AT_MAC, 0x77}}},
	{NODE_eth_input, TO_GATEWAY, .cut_to = 13},

	{NODE_ip4_input, TO_GATEWAY},
	{NODE_ip4_input, TO_GATEWAY, .edits = {{AT_LEN, 30}}}, /* 16 bytes of padding */
	{NODE_ip4_input, TO_GATEWAY, .edits = {{AT_IHL, 0x46}}},
	{NODE_ip4_input, TO_GATEWAY, .edits = {{AT_TTL, 1}}},
	{NODE_ip4_input, TO_GATEWAY, .edits = {{AT_SRC, 127}}},
	{NODE_ip4_input, TO(224, 0, 0, 5)},
	{NODE_ip4_input, TO_GATEWAY, .cut_to = 33},
	{NODE_ip4_input, TO_GATEWAY, .edits = {{AT_IHL, 0x65}}},
	{NODE_ip4_input, TO_GATEWAY, .edits = {{AT_IHL, 0x44}}},
	{NODE_ip4_input, TO_GATEWAY, .edits = {{AT_LEN, 47}}},
	{NODE_ip4_input, TO_GATEWAY, .edits = {{AT_CSUM, 0}}, .keeps_csum = true},

	{NODE_ip4_lookup, TO_GATEWAY},
	{NODE_ip4_lookup, TO(10, 1, 0, 2)},
	{NODE_ip4_lookup, TO(10, 1, 0, 1)},
	{NODE_ip4_lookup, TO(8, 8, 8, 8)},
	{NODE_ip4_lookup, TO(198, 51, 100, 1)},
	{NODE_ip4_lookup, TO(100, 64, 0, 1)},
	{NODE_ip4_lookup, TO(10, 1, 0, 9)},
	{NODE_ip4_lookup, TO(203, 0, 113, 7)},

	{NODE_ip4_forward, TO_GATEWAY},
	{NODE_ip4_forward, TO_GATEWAY, .edits = {FROM(10, 0, 0, 1)}},
	{NODE_ip4_forward, TO_GATEWAY, .edits = {FROM(192, 168, 9, 9)}},
	{NODE_ip4_forward, TO_GATEWAY, .edits = {FROM(100, 64, 0, 9)}},
	{NODE_ip4_forward, TO(10, 77, 0, 1)},
	{NODE_ip4_forward, TO(10, 78, 0, 1), .payload = 3000},
	{NODE_ip4_forward, TO(10, 78, 0, 1), .payload = 1800},
	{NODE_ip4_forward, TO_GATEWAY, .payload = 1472},
	{NODE_ip4_forward, TO_GATEWAY, .payload = 1473},
	{NODE_ip4_forward, TO(172, 16, 9, 9)},

	{NODE_rewrite, TO_GATEWAY},
	{NODE_rewrite, TO(10, 1, 0, 2)},
	{NODE_rewrite, TO(172, 16, 9, 9)},
	{NODE_rewrite, TO(10, 0, 0, 2)},

	{NODE_punt, TO(8, 8, 8, 1)},
	{NODE_punt, TO(8, 8, 8, 2)},
	{NODE_punt, TO(8, 8, 8, 3)}, /* beyond the limit */
	{NODE_punt, TO(10, 1, 0, 1)},
	{NODE_punt, TO(10, 1, 0, 1)},
	{NODE_punt, TO(10, 1, 0, 1)}, /* for this host: not limited */

	{NODE_drop, TO(203, 0, 113, 7)},
	{NODE_drop, TO(203, 0, 113, 8)},
	{NODE_drop, TO_GATEWAY, .edits = {{AT_CSUM, 0}}, .keeps_csum = true},

	{NODE_tx, TO_GATEWAY},
	{NODE_tx, TO(172, 16, 9, 9)},
	{NODE_tx, TO(8, 8, 8, 8)},
	{NODE_tx, TO(10, 1, 0, 2)},
	{NODE_tx, TO(10, 0, 0, 2)},
};
/* clang-format on */

/* --- the world of a node ---------------------------------------------------------------------- */

/* Both ports receive the same, each in its own place. */
static bool reads_on_both(unsigned node)
{
	return node == NODE_eth_input || node == NODE_punt;
}

static void open_ports(struct world *w, unsigned node, const char *dir)
{
	const char *name = wr_node_table.nodes[node].name;
	char text[PORT_SPEC_BYTES];

	for (unsigned i = 0; i < N_WIRES; i++) {
		struct fib_iface iface = world_iface(i);

		snprintf(text, sizeof(text), "pcap:%s%s%s,%s/%s.out%u.pcap",
			 i && !reads_on_both(node) ? "" : GOLDEN "/",
			 i && !reads_on_both(node) ? "" : name,
			 i && !reads_on_both(node) ? "" : ".in.pcap", dir, name, i);
		w->port[i] = world_open(w->umem, text);
		w->port[i]->port_idx = (uint8_t)i;
		iface.transit = !i || node != NODE_eth_input;
		if (node == NODE_ip4_forward) {
			iface.rp_filter = 1;
			iface.send_redirects = true;
			w->port[i]->flags = i ? PORT_ONE_BUFFER : 0;
		}
		assert_int_equal(
			wr_worker_add_queue(w->worker, w->port[i]->queues[0], i, WORKER_PORT), 0);
		assert_int_equal(wr_fib_iface_set(w->fib, i, &iface), 0);
	}
	snprintf(text, sizeof(text), "pcap:,%s/%s.punt0.pcap", dir, name);
	w->punt[0] = world_open(w->umem, text);
	assert_int_equal(wr_worker_add_queue(w->worker, w->punt[0]->queues[0], WORKER_PUNT_OUT,
					     WORKER_SENDS),
			 0);
}

/* 10.77.0.0/16 leaves by a port that is gone, 10.78.0.0/16 by port 1 with an MTU of 9000. */
static void add_routes(struct world *w)
{
	struct nexthop nh = {.type = NH_NEIGH,
			     .port_idx = 7,
			     .is_resolved = true,
			     .mtu = 9000,
			     .oif = 8,
			     .gateway = ip(10, 77, 0, 2)};

	world_rewrite(&nh, 1);
	assert_int_equal(wr_fib_nh_publish(w->fib, 30, &nh), 0);
	nh.port_idx = 1;
	nh.oif = 2;
	assert_int_equal(wr_fib_nh_publish(w->fib, 31, &nh), 0);
	world_route(w, ip(10, 77, 0, 0), 16, 30);
	world_route(w, ip(10, 78, 0, 0), 16, 31);
}

static struct world *create(unsigned node, const char *dir)
{
	/* Two packets at once, then none: the clock stands still. */
	const struct worker_conf conf = {.punt_pps = {[PUNT_ANSWER] = node == NODE_punt ? 10 : 0}};
	struct world *w = world_create_bare(&conf);

	open_ports(w, node, dir);
	world_fill(w);
	add_routes(w);
	return w;
}

static uint64_t n_sent(const struct port *port)
{
	return port->queues[0]->counters.tx_pkts - port->queues[0]->counters.tx_errors;
}

static void destroy(struct world *w)
{
	uint64_t n_in = 0, n_out = world_edges(w, EDGE_DROP) + n_sent(w->punt[0]);

	for (unsigned i = 0; i < N_WIRES; i++) {
		n_in += w->port[i]->queues[0]->counters.rx_pkts;
		n_out += n_sent(w->port[i]);
	}
	assert_int_equal(n_in, n_out);
	wr_worker_free(w->worker);
	w->punt[0]->ops->close(w->punt[0]);
	for (unsigned i = 0; i < N_WIRES; i++)
		w->port[i]->ops->close(w->port[i]);
	wr_pool_fini(&w->pool);
	wr_fib_free(w->fib);
	wr_rcu_flush(&w->rcu);
	assert_int_equal(wr_umem_audit(w->umem), w->umem->n_frames);
	wr_umem_free(w->umem);
	free(w);
}

/* --- what is written -------------------------------------------------------------------------- */

static void make_frame(const struct sample *s, struct frame *f)
{
	const uint8_t *d = s->dst;

	memset(f, 0, sizeof(*f));
	frame_udp(f, 0, ip(172, 16, 0, 5), ip(d[0], d[1], d[2], d[3]),
		  s->payload ? s->payload : PAYLOAD);
	for (unsigned i = 0; i < MAX_EDITS && s->edits[i].at; i++)
		f->b[s->edits[i].at] = s->edits[i].value;
	if (!s->keeps_csum)
		wr_ip4_hdr_finish(frame_ip(f));
	if (s->cut_to)
		f->n = s->cut_to;
}

/* The input, by the driver that will read it. Returns how many packets it has. */
static unsigned write_input(unsigned node, const char *dir)
{
	const struct umem_conf conf = {.n_frames = 64, .frame_bytes = 2048};
	static struct frame frame;
	char text[PORT_SPEC_BYTES];
	static struct pool pool;
	struct umem *umem;
	struct port *port;
	unsigned n = 0;

	assert_int_equal(wr_umem_create(&conf, &umem, NULL), 0);
	wr_pool_init(&pool, umem);
	snprintf(text, sizeof(text), "pcap:,%s/%s.in.pcap", dir, wr_node_table.nodes[node].name);
	port = world_open(umem, text);
	port->queues[0]->pool = &pool;
	for (unsigned i = 0; i < wr_array_size(samples); i++) {
		struct packet *pkt;

		if (samples[i].node != node)
			continue;
		make_frame(&samples[i], &frame);
		pkt = wr_packet_from(&pool, frame.b, frame.n);
		assert_non_null(pkt);
		wr_port_tx(port->queues[0], &pkt, 1);
		n++;
	}
	port->ops->close(port);
	wr_pool_fini(&pool);
	wr_umem_free(umem);
	return n;
}

static void write_counters(const struct world *w, unsigned node, const char *dir)
{
	static const char *const kinds[] = {
		[EDGE_NEXT] = "to", [EDGE_PUNT] = "punt", [EDGE_DROP] = "drop"};
	char path[PORT_SPEC_BYTES];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s.txt", dir, wr_node_table.nodes[node].name);
	file = fopen(path, "w");
	assert_non_null(file);
	for (unsigned e = 0; e < N_EDGES; e++) {
		const struct graph_edge *edge;
		const struct graph_node *of = wr_graph_node_of_edge(&wr_node_table, e, &edge);
		uint64_t n = w->worker->graph->edge_counts[e];

		if (n || of == &wr_node_table.nodes[node])
			fprintf(file, "%-12s %-5s %-18s %" PRIu64 "\n", of->name, kinds[edge->kind],
				edge->name, n);
	}
	assert_int_equal(fclose(file), 0);
}

static void run_node(unsigned node, const char *dir)
{
	struct world *w = create(node, dir);

	while (wr_worker_turn(w->worker))
		;
	for (unsigned i = 0; i < N_WIRES; i++)
		assert_false(w->port[i]->ops->arm(w->port[i]->queues[0]));
	write_counters(w, node, dir);
	destroy(w);
}

/* --- compared --------------------------------------------------------------------------------- */

static const char *const suffixes[] = {"in.pcap", "out0.pcap", "out1.pcap", "punt0.pcap", "txt"};

static size_t read_file(const char *dir, const char *name, const char *suffix, uint8_t *bytes)
{
	char path[PORT_SPEC_BYTES];
	size_t n;
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s.%s", dir, name, suffix);
	file = fopen(path, "rb");
	if (!file)
		fail_msg("%s: %s: UPDATE=1 makes it", path, strerror(errno));
	n = fread(bytes, 1, MAX_FILE_BYTES, file);
	fclose(file);
	assert_true(n < MAX_FILE_BYTES);
	return n;
}

static void compare(const char *name, const char *suffix, const char *dir)
{
	static uint8_t want[MAX_FILE_BYTES], got[MAX_FILE_BYTES];
	size_t n_want = read_file(GOLDEN, name, suffix, want);
	size_t n_got = read_file(dir, name, suffix, got);

	if (n_want == n_got && !memcmp(want, got, n_got))
		return;
	if (!strcmp(suffix, "txt"))
		printf("was:\n%.*snow:\n%.*s", (int)n_want, want, (int)n_got, got);
	fail_msg(GOLDEN "/%s.%s is no longer what comes out; if that is wanted, UPDATE=1", name,
		 suffix);
}

static int make_dir(void **state)
{
	static char dir[64];

	snprintf(dir, sizeof(dir), "/tmp/weir-golden-XXXXXX");
	*state = mkdtemp(dir);
	return *state ? 0 : -1;
}

static int remove_dir(void **state)
{
	char command[100];

	snprintf(command, sizeof(command), "rm -rf %s", (char *)*state);
	return system(command);
}

static void each_node_does_what_it_did(void **state)
{
	for (unsigned run = 0; run < N_RUNS; run++)
		for (unsigned node = 0; node < N_NODES; node++) {
			if (!write_input(node, *state)) /* has no samples yet */
				continue;
			run_node(node, *state);
			for (unsigned i = 0; i < wr_array_size(suffixes); i++)
				compare(wr_node_table.nodes[node].name, suffixes[i], *state);
		}
}

static void update(void **state)
{
	(void)state;
	for (unsigned node = 0; node < N_NODES; node++)
		if (write_input(node, GOLDEN))
			run_node(node, GOLDEN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(each_node_does_what_it_did, make_dir, remove_dir),
	};
	const struct CMUnitTest updates[] = {
		cmocka_unit_test(update),
	};
	int rc = getenv("UPDATE") ? cmocka_run_group_tests(updates, NULL, NULL) : 0;

	return rc ? rc : cmocka_run_group_tests(tests, NULL, NULL);
}
