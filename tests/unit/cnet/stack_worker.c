/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Queues and workers of a stack without a kernel: two ports on wires in memory, two workers that
 * turn when the test says so.
 *
 *      wire[0] ===== port 0 [ worker 0 ] --- lane --- [ worker 1 ] port 1 ===== wire[1]
 */
#include "bpf/steer.h"

#include <stddef.h>

struct steer;

/* No XDP program, no heartbeat. */
static uint64_t *no_beat(struct steer *steer, unsigned worker_idx)
{
	(void)steer;
	(void)worker_idx;
	return NULL;
}
#define wr_steer_beat no_beat
#include "cnet/stack_worker.c"
#undef wr_steer_beat

#include "tests/sim/world.h"

enum { N_WORKERS = 2 };

/* The world's tables and wires, the stack's workers. */
struct town {
	struct world *w;
	struct weir *weir;
};

static void town_create(struct town *t)
{
	struct weir *weir = calloc(1, sizeof(*weir));
	struct world *w = world_create(NULL, false);

	assert_non_null(weir);
	*t = (struct town){.w = w, .weir = weir};
	weir->clock = &w->clock;
	weir->fib = w->fib;
	weir->umem = w->umem;
	weir->conf.workers = N_WORKERS;
	assert_int_equal(wr_stack_create_workers(weir), 0);
	for (unsigned i = 0; i < N_WIRES; i++) {
		struct stack_port *sp = &weir->ports[i];

		wr_worker_del_queue(w->worker, w->port[i]->queues[0]);
		wr_worker_del_queue(w->worker, w->punt[i]->queues[0]);
		sp->port = w->port[i];
		sp->punt = w->punt[i];
		sp->is_host = true;
		assert_int_equal(wr_stack_serve_port(weir, sp), 0);
		assert_int_equal(wr_stack_listen(weir, sp), 0);
	}
}

static uint32_t frames_of_lanes(const struct weir *weir)
{
	uint32_t n = 0;

	for (unsigned a = 0; a < N_WORKERS; a++)
		for (unsigned b = 0; b < N_WORKERS; b++)
			if (a != b) {
				struct port *lane = weir->lanes[a][b];

				n += lane->ops->n_frames(lane->queues[0]);
			}
	return n;
}

static void town_free(struct town *t)
{
	uint32_t n = frames_of_lanes(t->weir);

	for (unsigned i = 0; i < N_WORKERS; i++)
		n += t->weir->workers[i]->pool.n;
	assert_int_equal(world_frames(t->w) + n, t->w->umem->n_frames);
	for (unsigned i = 0; i < N_WIRES; i++)
		wr_stack_leave_port(t->weir, &t->weir->ports[i]);
	wr_stack_free_workers(t->weir);
	free(t->weir);
	world_free(t->w);
}

/* A frame of one flow that says which it is; it leaves by port 1. */
static void send_number(struct town *t, uint8_t number)
{
	static struct frame f;

	frame_udp(&f, 0, ip(172, 16, 0, 7), ip(192, 168, 1, 1), 18);
	f.b[f.n - 1] = number;
	world_send(t->w, 0, &f);
}

/* Of the next frame that left by port 1; 0: there is none. */
static uint8_t take_number(struct town *t)
{
	static struct frame f;

	return world_take(t->w, t->w->wire[1], &f) ? f.b[f.n - 1] : 0;
}

static void turn_all(struct town *t)
{
	for (unsigned i = 0; i < 2 * N_WORKERS; i++)
		wr_worker_turn(t->weir->workers[i % N_WORKERS]);
}

/* Port 0 is worker 0's, port 1 worker 1's: what comes by 0 takes a lane. */
static void separate(struct town *t)
{
	assert_int_equal(wr_stack_move_queue(t->weir, 1, 0, 1), 0);
}

static void a_queue_to_send_by_moves_and_nothing_overtakes(void **state)
{
	struct town t;

	(void)state;
	town_create(&t);
	separate(&t);
	send_number(&t, 1);
	wr_worker_turn(t.weir->workers[0]);
	assert_int_equal(take_number(&t), 0); /* it is in the lane */
	assert_int_equal(wr_stack_move_queue(t.weir, 1, 0, 0), 0);
	send_number(&t, 2);
	wr_worker_turn(t.weir->workers[0]);
	turn_all(&t);
	assert_int_equal(take_number(&t), 1);
	assert_int_equal(take_number(&t), 2);
	town_free(&t);
}

static void a_queue_to_receive_by_moves_and_nothing_overtakes(void **state)
{
	struct town t;

	(void)state;
	town_create(&t);
	separate(&t);
	/* More than one turn of worker 1 takes. */
	for (unsigned i = 0; i < WR_BURST; i++)
		send_number(&t, 1);
	wr_worker_turn(t.weir->workers[0]);
	send_number(&t, 2);
	wr_worker_turn(t.weir->workers[0]);
	assert_int_equal(wr_stack_move_queue(t.weir, 0, 0, 1), 0);
	send_number(&t, 3);
	wr_worker_turn(t.weir->workers[1]);
	turn_all(&t);
	for (unsigned i = 0; i < WR_BURST; i++)
		assert_int_equal(take_number(&t), 1);
	assert_int_equal(take_number(&t), 2);
	assert_int_equal(take_number(&t), 3);
	town_free(&t);
}

/* The flow of send_number() is worker 1's. */
static void flows_change_owners_and_nothing_overtakes(void **state)
{
	struct town t;

	(void)state;
	town_create(&t);
	wr_stack_set_spread(t.weir, CONF_SPREAD_FLOW);
	send_number(&t, 1);
	wr_worker_turn(t.weir->workers[0]);
	assert_int_equal(frames_of_lanes(t.weir), 1);
	wr_stack_set_spread(t.weir, CONF_SPREAD_QUEUE);
	send_number(&t, 2);
	wr_worker_turn(t.weir->workers[0]);
	turn_all(&t);
	assert_int_equal(take_number(&t), 1);
	assert_int_equal(take_number(&t), 2);
	town_free(&t);
}

static void a_worker_without_room_leaves_the_queue_where_it_was(void **state)
{
	struct town t;
	struct worker *full;
	unsigned n;

	(void)state;
	town_create(&t);
	full = t.weir->workers[1];
	n = full->n_queues;
	while (full->n_queues < WORKER_MAX_QUEUES)
		full->queues[full->n_queues++] = full->queues[0];
	assert_int_equal(wr_stack_move_queue(t.weir, 0, 0, 1), -ENOSPC);
	full->n_queues = n;
	assert_int_equal(t.weir->ports[0].worker_of[0], 0);
	send_number(&t, 1);
	turn_all(&t);
	assert_int_equal(take_number(&t), 1);
	town_free(&t);
}

/* Nobody but Weir takes the packets of such a port: none is too late, whoever serves it. */
static void a_stall_costs_a_wire_nothing(void **state)
{
	uint64_t beats[N_WORKERS] = {0};
	struct town t;

	(void)state;
	town_create(&t);
	for (unsigned i = 0; i < N_WORKERS; i++) {
		struct worker *w = t.weir->workers[i];

		w->beat = (struct beat){.word = &beats[i], .deadline_ns = WR_NS_PER_MS};
		assert_int_equal(wr_stack_move_queue(t.weir, 0, 0, i), 0);
		wr_worker_turn(w);
		send_number(&t, 1);
		t.w->now_ns += WR_NS_PER_S;
		wr_worker_turn(w);
		assert_int_equal(w->n_stalls, 1);
		turn_all(&t);
		assert_int_equal(take_number(&t), 1);
	}
	town_free(&t);
}

int main(void)
{
#define TEST(name) cmocka_unit_test(name)
	const struct CMUnitTest tests[] = {
		TEST(a_queue_to_send_by_moves_and_nothing_overtakes),
		TEST(a_queue_to_receive_by_moves_and_nothing_overtakes),
		TEST(flows_change_owners_and_nothing_overtakes),
		TEST(a_worker_without_room_leaves_the_queue_where_it_was),
		TEST(a_stall_costs_a_wire_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
