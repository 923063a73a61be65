/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A worker on a thread of its own: calls, sleep, the heartbeat, tables and ports that change under
 * it. Run it with the thread sanitizer too. What happens to packets is in tests/sim/forward.c.
 */
#include "cnet/worker.c"

#include "tests/sim/world.h"

enum { N_CALLS = 300, N_ROUNDS = 400, BURST = 32 };

static void count_call(struct worker *w, void *arg)
{
	(void)w;
	++*(unsigned *)arg;
}

static struct world *threaded_world(void)
{
	struct world *w = world_create(NULL, false);

	w->worker->clock = wr_clock_monotonic();
	w->worker->beat.deadline_ns = UINT64_MAX; /* a busy machine is no subject here */
	return w;
}

static void calls_run_with_and_without_a_thread(void **state)
{
	struct world *w = threaded_world();
	unsigned n = 0;

	(void)state;
	wr_worker_call(w->worker, count_call, &n);
	assert_int_equal(n, 1);
	assert_int_equal(wr_worker_start(w->worker), 0);
	for (unsigned i = 0; i < N_CALLS; i++) {
		wr_worker_call(w->worker, count_call, &n);
		if (i % 100 == 0)
			usleep(2000); /* it is asleep by now */
	}
	wr_worker_stop(w->worker);
	assert_int_equal(w->beat, 0);
	wr_worker_stop(w->worker);
	wr_worker_call(w->worker, count_call, &n);
	assert_int_equal(n, N_CALLS + 2);
	world_free(w);
}

static uint64_t load_beat(const struct world *w)
{
	return __atomic_load_n(&w->beat, __ATOMIC_RELAXED);
}

static bool gets(struct world *w, struct port *from, unsigned wait_ms)
{
	static struct frame got;

	for (unsigned us = 0; us < wait_ms * 1000; us += 100) {
		if (world_take(w, from, &got))
			return true;
		usleep(100);
	}
	return false;
}

static void a_sleeper_says_so_and_is_woken_by_a_packet(void **state)
{
	struct world *w = threaded_world();
	static struct frame f;

	(void)state;
	frame_udp(&f, 0, ip(172, 16, 0, 5), ip(192, 168, 1, 1), 18);
	assert_int_equal(wr_worker_start(w->worker), 0);
	for (unsigned i = 0; i < 20; i++) {
		for (unsigned us = 0; load_beat(w) != STEER_ASLEEP; us += 100) {
			assert_true(us < 1000000);
			usleep(100);
		}
		world_send(w, 0, &f);
		assert_true(gets(w, w->wire[1], 500)); /* not only when it wakes by itself */
	}
	wr_worker_stop(w->worker);
	world_free(w);
}

static void forget_port_1(struct worker *w, void *arg)
{
	wr_worker_del_queue(w, arg);
}

static void serve_port_1(struct worker *w, void *arg)
{
	if (wr_worker_add_queue(w, arg, 1, WORKER_PORT))
		abort();
}

/* Nothing is lost, whatever the control thread does meanwhile. */
static void ports_and_tables_change_under_traffic(void **state)
{
	struct world *w = threaded_world();
	struct nexthop nh = *wr_fib_nh(w->fib, 21);
	unsigned n_sent = 0, n_got = 0;
	static struct frame f, got;
	bool is_served = true;

	(void)state;
	frame_udp(&f, 0, ip(172, 16, 0, 5), ip(192, 168, 1, 1), 18);
	assert_int_equal(wr_worker_start(w->worker), 0);
	for (unsigned i = 0; i < N_ROUNDS; i++) {
		for (unsigned k = 0; k < BURST; k++, n_sent++)
			world_send(w, 0, &f);
		nh.mtu = 1000 + i % 500;
		assert_int_equal(wr_fib_nh_publish(w->fib, 21, &nh), 0);
		wr_fib_neigh_del(w->fib, 2, ip(10, 1, 0, 2));
		assert_int_equal(wr_fib_neigh_set(w->fib, 2, ip(10, 1, 0, 2), &nh), 0);
		if (i % 8 == 0) {
			wr_worker_call(w->worker, is_served ? forget_port_1 : serve_port_1,
				       w->port[1]->queues[0]);
			is_served = !is_served;
		}
		wr_rcu_flush(&w->rcu);
		while (n_got < n_sent) {
			if (!world_take(w, w->wire[1], &got) && !world_take(w, w->kernel[0], &got))
				continue;
			assert_int_equal(got.n, f.n);
			n_got++;
		}
	}
	wr_worker_stop(w->worker);
	assert_int_equal(n_got, n_sent);
	world_balance(w);
	world_free(w);
}

/* Law 5 of the design, with a clock that stands still unless told: while packets have come within
 * spin_ns it does not sleep, and then it sleeps and does nothing. */
struct hand_clock {
	struct wr_clock clock;
	uint64_t now_ns;
};

static uint64_t hand_now(const struct wr_clock *clock)
{
	const struct hand_clock *hand = (const struct hand_clock *)clock; /* its first member */

	return __atomic_load_n(&hand->now_ns, __ATOMIC_RELAXED);
}

static void read_turns(struct worker *w, void *arg)
{
	uint64_t *counts = arg;

	counts[0] = w->n_turns;
	counts[1] = w->n_sleeps;
}

static void it_spins_when_busy_and_sleeps_when_idle(void **state)
{
	struct hand_clock hand = {.clock.now_ns = hand_now, .now_ns = WR_NS_PER_S};
	uint64_t busy[2] = {0}, idle[2], later[2];
	struct world *w = threaded_world();

	(void)state;
	w->worker->clock = &hand.clock;
	assert_int_equal(wr_worker_start(w->worker), 0);
	for (unsigned i = 0; i < 5000 && busy[0] < 10000; i++)
		wr_worker_call(w->worker, read_turns, busy);
	assert_true(busy[0] >= 10000);
	assert_int_equal(busy[1], 0);
	__atomic_store_n(&hand.now_ns, hand.now_ns + w->worker->conf.spin_ns + 1, __ATOMIC_RELAXED);
	for (unsigned us = 0; load_beat(w) != STEER_ASLEEP; us += 100) {
		assert_true(us < 1000000);
		usleep(100);
	}
	wr_worker_call(w->worker, read_turns, idle);
	usleep(300000);
	wr_worker_call(w->worker, read_turns, later);
	/* The calls themselves wake it, and it wakes once a second. */
	assert_in_range(later[0] - idle[0], 0, 6);
	assert_true(later[1] > 0);
	wr_worker_stop(w->worker);
	world_free(w);
}

/* Law 6: what a worker writes lies in cache lines of its own. */
static void workers_share_no_cache_line(void **state)
{
	struct world *w = world_create(NULL, false);
	const struct worker *worker = w->worker;
	const void *const blocks[] = {worker,
				      worker->graph,
				      worker->graph->edge_counts,
				      worker->graph->node_vectors,
				      worker->ports[0].edge_counts,
				      &w->port[0]->queues[0]->counters};

	(void)state;
	for (unsigned i = 0; i < wr_array_size(blocks); i++)
		assert_int_equal((uintptr_t)blocks[i] % WR_CACHE_LINE, 0);
	static_assert(sizeof(struct port_queue) % WR_CACHE_LINE == 0, "whole lines");
	world_free(w);
}

/* A rate is never exceeded over a second, and never kept from what is due. */
static void a_limit_is_exact(void **state)
{
	static const uint64_t rates[] = {1, 7, 10, 1000, 999999};
	struct world *w = world_create(NULL, false);
	struct worker *worker = w->worker;

	(void)state;
	for (unsigned i = 0; i < wr_array_size(rates); i++) {
		struct limiter *l = &worker->limits[0];
		uint64_t n_passed = 0, burst = rates[i] / 10 + 1;

		*l = (struct limiter){.rate_pps = rates[i]};
		worker->now_ns = WR_NS_PER_S;
		for (unsigned ms = 0; ms < 10000; ms++, worker->now_ns += WR_NS_PER_MS)
			while (wr_worker_may_punt(worker, 0))
				n_passed++;
		assert_in_range(n_passed, rates[i] * 10 - rates[i] / 1000 - 1,
				rates[i] * 10 + burst);
		/* A long pause gives a burst and no more. */
		worker->now_ns += UINT64_MAX / 4;
		for (n_passed = 0; wr_worker_may_punt(worker, 0); n_passed++)
			;
		assert_int_equal(n_passed, burst);
	}
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(calls_run_with_and_without_a_thread),
		cmocka_unit_test(a_sleeper_says_so_and_is_woken_by_a_packet),
		cmocka_unit_test(ports_and_tables_change_under_traffic),
		cmocka_unit_test(it_spins_when_busy_and_sleeps_when_idle),
		cmocka_unit_test(workers_share_no_cache_line),
		cmocka_unit_test(a_limit_is_exact),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
