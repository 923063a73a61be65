/* SPDX-License-Identifier: BSD-3-Clause */
#include "lib/sys/loop.c"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* A clock that only the test moves. */
struct hand_clock {
	struct wr_clock clock;
	uint64_t now_ns;
};

static uint64_t hand_now(const struct wr_clock *clock)
{
	return ((const struct hand_clock *)(const void *)clock)->now_ns;
}

struct probe {
	struct wr_timer timer;
	struct wr_watch watch;
	struct wr_loop *loop;
	struct probe *stops;
	char *trace;
	char name;
};

static void note(struct probe *p)
{
	size_t n = strlen(p->trace);

	p->trace[n] = p->name;
	p->trace[n + 1] = '\0';
}

static void fired(struct wr_timer *t)
{
	note(wr_container_of(t, struct probe, timer));
}

static void readable(struct wr_watch *w, uint32_t events)
{
	struct probe *p = wr_container_of(w, struct probe, watch);

	assert_true(events & EPOLLIN);
	note(p);
	if (p->stops)
		wr_watch_stop(p->loop, &p->stops->watch);
}

static void timers_fire_in_order_of_time_and_once(void **state)
{
	struct hand_clock clock = {.clock.now_ns = hand_now, .now_ns = 1000};
	char trace[16] = "";
	struct probe a = {.timer.fire = fired, .trace = trace, .name = 'a'};
	struct probe b = {.timer.fire = fired, .trace = trace, .name = 'b'};
	struct probe c = {.timer.fire = fired, .trace = trace, .name = 'c'};
	struct wr_loop *loop;

	(void)state;
	assert_int_equal(wr_loop_create(&clock.clock, &loop), 0);
	wr_timer_start(loop, &a.timer, 300);
	wr_timer_start(loop, &b.timer, 100);
	wr_timer_start(loop, &c.timer, 200);
	wr_timer_stop(loop, &c.timer);
	clock.now_ns += 99;
	wr_loop_turn(loop, 0);
	assert_string_equal(trace, "");
	clock.now_ns += 1;
	wr_loop_turn(loop, 0);
	assert_string_equal(trace, "b");
	wr_timer_start(loop, &a.timer, 50); /* earlier than before */
	clock.now_ns += 50;
	wr_loop_turn(loop, 0);
	wr_loop_turn(loop, 0);
	clock.now_ns += 1000;
	wr_loop_turn(loop, 0);
	assert_string_equal(trace, "ba");
	wr_loop_free(loop);
}

static void a_watcher_stopped_within_the_turn_is_not_called(void **state)
{
	char trace[16] = "";
	struct probe a = {.watch = {.fd = -1, .ready = readable}, .trace = trace, .name = 'a'};
	struct probe b = {.watch = {.fd = -1, .ready = readable}, .trace = trace, .name = 'a'};
	int p[2], q[2];

	(void)state;
	assert_int_equal(wr_loop_create(wr_clock_monotonic(), &a.loop), 0);
	b.loop = a.loop;
	a.stops = &b;
	b.stops = &a;
	assert_int_equal(pipe(p) || pipe(q), 0);
	assert_int_equal(write(p[1], "", 1) + write(q[1], "", 1), 2);
	assert_int_equal(wr_watch_start(a.loop, &a.watch, p[0], EPOLLIN), 0);
	assert_int_equal(wr_watch_start(a.loop, &b.watch, q[0], EPOLLIN), 0);
	wr_loop_turn(a.loop, 0);
	assert_string_equal(trace, "a"); /* whichever came first stopped the other */
	wr_watch_stop(a.loop, &a.watch);
	wr_watch_stop(a.loop, &b.watch);
	wr_loop_turn(a.loop, 0);
	assert_string_equal(trace, "a");
	wr_loop_free(a.loop);
	close(p[0]), close(p[1]), close(q[0]), close(q[1]);
}

static void wake_ends_a_wait(void **state)
{
	struct wr_loop *loop;

	(void)state;
	assert_int_equal(wr_loop_create(wr_clock_monotonic(), &loop), 0);
	wr_loop_wake(loop);
	assert_int_equal(wr_loop_turn(loop, UINT64_MAX), 0); /* would hang for ever */
	wr_loop_free(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(timers_fire_in_order_of_time_and_once),
		cmocka_unit_test(a_watcher_stopped_within_the_turn_is_not_called),
		cmocka_unit_test(wake_ends_a_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
