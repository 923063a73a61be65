/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A stack and a mirror that say what a test has written into them, so that a command's answer is
 * compared with known numbers.
 */
#ifndef TESTS_CMD_FIXTURE_H
#define TESTS_CMD_FIXTURE_H

#include "cnet/cmd/cmd.h"
#include "lib/req/reply.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { FAKE_MAX = 8, FAKE_EDGES = 6 };

static struct {
	struct mirror_link links[FAKE_MAX];
	struct mirror_route routes[FAKE_MAX];
	struct mirror_neigh neighs[FAKE_MAX];
	const char *obstacles[FAKE_MAX];
	int obstacle_ports[FAKE_MAX];
	unsigned n_links, n_routes, n_neighs, n_obstacles;
	struct mirror_stats stats;
	uint64_t edges[FAKE_EDGES], port_edges[WR_MAX_PORTS][FAKE_EDGES], vectors[3];
	struct port_counters closed_ports, closed_punts, lanes[2];
	struct stack_frames frames;
} fake;

/* first: to last, punt "why", drop "bad"; middle: drop "full"; last: none. */
static const struct graph_edge first_edges[] = {
	{.name = "last", .text = "last", .kind = EDGE_NEXT, .target = 2},
	{.name = "why", .text = "because", .kind = EDGE_PUNT, .target = 1},
	{.name = "bad", .text = "it is bad", .kind = EDGE_DROP, .target = 2},
};
static const struct graph_edge middle_edges[] = {
	{.name = "last", .text = "last", .kind = EDGE_NEXT, .target = 2},
	{.name = "full", .text = "it is full", .kind = EDGE_DROP, .target = 2},
};
static const struct graph_node fake_nodes[] = {
	{.name = "first", .help = "begins", .edges = first_edges, .n_edges = 3, .first_edge = 0},
	{.name = "middle", .help = "goes on", .edges = middle_edges, .n_edges = 2, .first_edge = 3},
	{.name = "last", .help = "ends", .n_edges = 0, .first_edge = 5},
};
static const struct graph_table fake_table = {.nodes = fake_nodes, .n_nodes = 3, .n_edges = 5};

const struct graph_table *wr_stack_graph(void)
{
	return &fake_table;
}

uint64_t wr_stack_edge_count(const struct weir *weir, unsigned edge)
{
	(void)weir;
	return fake.edges[edge];
}

uint64_t wr_stack_port_edge_count(const struct weir *weir, unsigned port_idx, unsigned edge)
{
	(void)weir;
	return fake.port_edges[port_idx][edge];
}

uint64_t wr_stack_node_vectors(const struct weir *weir, unsigned node_idx)
{
	(void)weir;
	return fake.vectors[node_idx];
}

struct stack_frames wr_stack_frames(struct weir *weir)
{
	(void)weir;
	return fake.frames;
}

void wr_stack_closed_counters(const struct weir *weir, struct port_counters *ret_ports,
			      struct port_counters *ret_punts)
{
	(void)weir;
	*ret_ports = fake.closed_ports;
	*ret_punts = fake.closed_punts;
}

void wr_stack_lane_counters(const struct weir *weir, unsigned from, struct port_counters *ret_sum)
{
	(void)weir;
	*ret_sum = fake.lanes[from];
}

void wr_port_counters(const struct port *port, struct port_counters *ret_sum)
{
	*ret_sum = port->queues[0]->counters;
}

const char *wr_steer_port_mode(const struct steer_port *steer)
{
	(void)steer;
	return "native";
}

int wr_steer_port_counts(const struct steer_port *steer, uint64_t *ret_counts)
{
	(void)steer;
	for (unsigned i = 0; i < STEER_N_VERDICTS; i++)
		ret_counts[i] = 100 + i;
	return 0;
}

const struct mirror_link *wr_mirror_link(const struct mirror *m, uint32_t ifindex)
{
	(void)m;
	for (unsigned i = 0; i < fake.n_links; i++)
		if (fake.links[i].ifindex == ifindex)
			return &fake.links[i];
	return NULL;
}

const struct mirror_link *wr_mirror_link_by_name(const struct mirror *m, const char *name)
{
	(void)m;
	for (unsigned i = 0; i < fake.n_links; i++)
		if (!strcmp(fake.links[i].name, name))
			return &fake.links[i];
	return NULL;
}

int wr_mirror_each_route(const struct mirror *m,
			 int (*each)(void *arg, const struct mirror_route *), void *arg)
{
	int rc = 0;

	(void)m;
	for (unsigned i = 0; i < fake.n_routes && !rc; i++)
		rc = each(arg, &fake.routes[i]);
	return rc;
}

bool wr_mirror_route_get(const struct mirror *m, struct ip4 a, struct mirror_route *ret_route)
{
	(void)m;
	for (unsigned i = 0; i < fake.n_routes; i++) {
		const struct mirror_route *r = &fake.routes[i];

		if (r->in_use && (ip4_to(a) & ip4_mask(r->dst.len)) == ip4_to(r->dst.addr)) {
			*ret_route = *r;
			return true;
		}
	}
	return false;
}

void wr_mirror_each_neigh(const struct mirror *m,
			  void (*each)(void *arg, const struct mirror_neigh *), void *arg)
{
	(void)m;
	for (unsigned i = 0; i < fake.n_neighs; i++)
		each(arg, &fake.neighs[i]);
}

void wr_mirror_each_obstacle(const struct mirror *m,
			     void (*each)(void *arg, int port_idx, const char *sentence), void *arg)
{
	(void)m;
	for (unsigned i = 0; i < fake.n_obstacles; i++)
		each(arg, fake.obstacle_ports[i], fake.obstacles[i]);
}

struct mirror_stats wr_mirror_stats(struct mirror *m)
{
	(void)m;
	return fake.stats;
}

static uint64_t fake_now(const struct wr_clock *clock)
{
	(void)clock;
	return 90 * WR_NS_PER_S + 5;
}

/* Two interfaces, eth0 (3) with all there is and eth1 (4) with nothing but a port. */
struct fixture {
	struct weir weir;
	struct wr_clock clock;
	struct port_ops ops;
	struct port ports[3]; /* eth0, eth1, eth0's punt */
	struct port_queue queues[3];
};

static void fake_facts(const struct port *port,
		       void (*emit)(void *arg, const char *name, uint64_t value), void *arg)
{
	(void)port;
	emit(arg, "rx_dropped", 12);
}

__attribute__((unused)) static struct ip4 addr(const char *text)
{
	struct ip4 a = {0};

	assert_int_equal(inet_pton(AF_INET, text, &a.raw), 1);
	return a;
}

static void add_link(uint32_t ifindex, const char *name, uint8_t mac)
{
	struct mirror_link *link = &fake.links[fake.n_links++];

	*link = (struct mirror_link){
		.ifindex = ifindex,
		.mtu = 1500,
		.flags = IFF_UP | IFF_BROADCAST | IFF_LOWER_UP,
		.has_carrier = true,
		.mac.b = {2, 0, 0, 0, 0, mac},
	};
	snprintf(link->name, sizeof(link->name), "%s", name);
}

static int setup(void **state)
{
	static const char *const names[] = {"eth0", "eth1", "weir3"};
	struct fixture *f = calloc(1, sizeof(*f));

	memset(&fake, 0, sizeof(fake));
	fake.stats.is_settled = true;
	f->clock.now_ns = fake_now;
	f->ops.facts = fake_facts;
	f->weir.clock = &f->clock;
	f->weir.start_ns = 20 * WR_NS_PER_S;
	f->weir.n_workers = 2;
	f->weir.fib = calloc(1, sizeof(*f->weir.fib));
	wr_conf_init(&f->weir.conf);
	for (unsigned i = 0; i < 3; i++) {
		f->ports[i] = (struct port){
			.ops = &f->ops, .ifindex = 3 + i, .n_queues = 1, .mode = "native copy"};
		snprintf(f->ports[i].name, sizeof(f->ports[i].name), "%s", names[i]);
		f->ports[i].queues[0] = &f->queues[i];
	}
	for (unsigned i = 0; i < 2; i++) {
		add_link(3 + i, names[i], (uint8_t)i);
		f->weir.ports[i].port = &f->ports[i];
		snprintf(f->weir.ports[i].ifname, sizeof(f->weir.ports[i].ifname), "%s", names[i]);
	}
	f->weir.ports[0].punt = &f->ports[2];
	f->weir.ports[0].steer = (struct steer_port *)f; /* opaque here */
	f->weir.ports[0].transit = true;
	snprintf(f->weir.ports[1].why_not, sizeof(f->weir.ports[1].why_not), "forwarding is off");
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	free(f->weir.fib);
	free(f);
	return 0;
}

/* Runs one handler with these words (ended by NULL); the reply's whole text, "0\n..." or "22\n...".
 */
static char reply_text[1 << 16];

__attribute__((unused)) static const char *run(struct fixture *f,
					       int (*handler)(const struct cmd *), const char *w0,
					       const char *w1, const char *w2)
{
	char words[3][64], *ptrs[3];
	const char *given[] = {w0, w1, w2};
	struct wr_err err = {""};
	struct req_reply reply;
	struct cmd cmd = {.weir = &f->weir, .words = ptrs, .reply = &reply, .err = &err};
	size_t total = 0;

	for (; cmd.n_words < 3 && given[cmd.n_words]; cmd.n_words++) {
		snprintf(words[cmd.n_words], sizeof(words[0]), "%s", given[cmd.n_words]);
		ptrs[cmd.n_words] = words[cmd.n_words];
	}
	wr_reply_init(&reply, &total);
	wr_reply_finish(&reply, handler(&cmd), &err);
	assert_true(reply.n < sizeof(reply_text));
	memcpy(reply_text, reply.text, reply.n);
	reply_text[reply.n] = '\0';
	wr_reply_fini(&reply);
	assert_int_equal(total, 0);
	return reply_text;
}

/* The same, parsed; it must be a success. */
__attribute__((unused)) static json_t *run_json(struct fixture *f,
						int (*handler)(const struct cmd *), const char *w0,
						const char *w1, const char *w2)
{
	json_t *json;

	assert_memory_equal(run(f, handler, w0, w1, w2), "0\n", 2);
	json = json_loads(reply_text + 2, JSON_DECODE_ANY, NULL);
	assert_non_null(json);
	return json;
}

/* A number or text at a path such as "ports", 0, "name". */
#define NUM(json, key) ((int)json_integer_value(json_object_get(json, key)))
#define STR(json, key) json_string_value(json_object_get(json, key))
#define ROW(json, key, i) json_array_get(json_object_get(json, key), i)

#endif
