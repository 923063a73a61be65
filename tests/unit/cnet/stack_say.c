/* SPDX-License-Identifier: BSD-3-Clause */
#include "cnet/stack_say.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint64_t now_ns;

static uint64_t read_now(const struct wr_clock *clock)
{
	(void)clock;
	return now_ns;
}

static const struct wr_clock fake_clock = {.now_ns = read_now};

struct lines {
	unsigned n;
	char last[256];
};

static void take_line(void *arg, enum wr_log_level level, const char *line)
{
	struct lines *lines = arg;

	(void)level;
	lines->n++;
	snprintf(lines->last, sizeof(lines->last), "%s", line);
}

static struct weir *create_stack(struct lines *lines)
{
	struct weir *weir = calloc(1, sizeof(*weir));

	assert_non_null(weir);
	now_ns = 1000 * WR_NS_PER_S;
	assert_int_equal(wr_loop_create(&fake_clock, &weir->loop), 0);
	weir->clock = &fake_clock;
	weir->log = (struct wr_log){.write = take_line, .arg = lines, .max_level = WR_LOG_INFO};
	snprintf(weir->ports[1].ifname, sizeof(weir->ports[1].ifname), "eth1");
	return weir;
}

static void free_stack(struct weir *weir)
{
	wr_loop_free(weir->loop);
	free(weir);
}

static void change(struct weir *weir, bool transit)
{
	weir->ports[1].transit = transit;
	snprintf(weir->ports[1].why_not, sizeof(weir->ports[1].why_not), "%s",
		 transit ? "" : "it is down");
	wr_stack_say_transit(weir, 1);
}

static void pass(struct weir *weir, uint64_t ns)
{
	now_ns += ns;
	assert_int_equal(wr_loop_turn(weir->loop, 0), 0);
}

static void each_change_is_a_line(void **state)
{
	struct lines lines = {.n = 0};
	struct weir *weir = create_stack(&lines);

	(void)state;
	change(weir, true);
	assert_string_equal(lines.last, "eth1: forwarding");
	change(weir, false);
	assert_string_equal(lines.last, "eth1: left to the kernel: it is down");
	for (unsigned i = 0; i < 100; i++) {
		pass(weir, SAY_WINDOW_NS / 5);
		change(weir, i % 2);
	}
	assert_int_equal(lines.n, 102);
	assert_string_equal(lines.last, "eth1: forwarding");
	free_stack(weir);
}

static void flapping_is_summed_up(void **state)
{
	struct lines lines = {.n = 0};
	struct weir *weir = create_stack(&lines);

	(void)state;
	for (unsigned i = 0; i < 1001; i++)
		change(weir, i % 2);
	assert_int_equal(lines.n, SAY_MAX_LINES);
	assert_string_equal(lines.last,
			    "eth1: forwarding (changes often: the next lines on it come once a "
			    "minute)");
	pass(weir, SAY_WINDOW_NS - 1);
	assert_int_equal(lines.n, SAY_MAX_LINES);
	pass(weir, 1);
	assert_int_equal(lines.n, SAY_MAX_LINES + 1);
	assert_string_equal(
		lines.last,
		"eth1: left to the kernel: it is down (after 990 changes that were not logged)");
	/* The next window is a quiet one; the state in which it ends is said. */
	change(weir, true);
	change(weir, false);
	change(weir, true);
	assert_int_equal(lines.n, SAY_MAX_LINES + 1);
	pass(weir, SAY_WINDOW_NS);
	assert_string_equal(lines.last, "eth1: forwarding (after 2 changes that were not logged)");
	/* Then it is as at first. */
	pass(weir, SAY_WINDOW_NS);
	change(weir, false);
	assert_string_equal(lines.last, "eth1: left to the kernel: it is down");
	free_stack(weir);
}

static void what_no_socket_can_have_is_said(void **state)
{
	struct port port = {.mode = "native copy", .n_queues = 2};
	struct stack_limits limits = {.max_mtu = 1778, .mtu = 1778, .n_queues = 2};
	struct lines lines = {.n = 0};
	struct weir *weir = create_stack(&lines);

	(void)state;
	weir->ports[1].port = &port;
	wr_stack_say_limits(weir, 1, &limits);
	assert_int_equal(lines.n, 0);
	limits.mtu = 9000;
	wr_stack_say_limits(weir, 1, &limits);
	assert_int_equal(lines.n, 1);
	assert_string_equal(lines.last,
			    "eth1: packets of more than 1778 bytes stay with the kernel (MTU "
			    "9000): native copy sockets have no multi-buffer here; copying ones "
			    "have it since Linux 6.6");
	limits.mtu = 1500;
	limits.n_queues = 4;
	wr_stack_say_limits(weir, 1, &limits);
	assert_int_equal(lines.n, 2);
	assert_string_equal(lines.last,
			    "eth1: receives on 4 queues, Weir on 2 of them: what comes by the "
			    "others stays with the kernel; a new start of Weir takes all there are "
			    "then, 64 at most");
	limits.is_asked_for_some = true;
	wr_stack_say_limits(weir, 1, &limits);
	assert_string_equal(lines.last,
			    "eth1: receives on 4 queues, Weir on 2 of them: what comes by the "
			    "others stays with the kernel; queues= asks for no more");
	free_stack(weir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_change_is_a_line),
		cmocka_unit_test(flapping_is_summed_up),
		cmocka_unit_test(what_no_socket_can_have_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
