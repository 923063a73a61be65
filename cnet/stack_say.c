/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the log says of an interface whose transit goes on and off.
 *
 * Each change is a line, up to SAY_MAX_LINES an interface in SAY_WINDOW. An interface that flaps
 * faster is then quiet until the window ends, and what it has become by then is said, with the
 * number of changes in between. So the last line on an interface is always true, at most SAY_WINDOW
 * late; `weir status` knows at once.
 *
 * And once for each time that an interface is taken, what of its traffic stays with the kernel
 * whatever its transit is, since no socket can have it.
 */
#include "cnet/stack_private.h"

#include <stdio.h>

enum { SAY_MAX_LINES = 10 };
static const uint64_t SAY_WINDOW_NS = 60 * WR_NS_PER_S;

static void say(const struct weir *weir, struct stack_port *sp)
{
	char more[80] = "";

	if (sp->say.n_unsaid > 1)
		snprintf(more, sizeof(more), " (after %u changes that were not logged)",
			 sp->say.n_unsaid - 1);
	else if (sp->say.n_said == SAY_MAX_LINES)
		snprintf(more, sizeof(more),
			 " (changes often: the next lines on it come once a minute)");
	sp->say.n_unsaid = 0;
	if (sp->transit)
		wr_log(&weir->log, WR_LOG_INFO, "%s: forwarding%s", sp->ifname, more);
	else
		wr_log(&weir->log, WR_LOG_WARN, "%s: left to the kernel: %s%s", sp->ifname,
		       sp->why_not, more);
}

/* One line for each interface that has kept silent, which counts as its whole next window. */
static void say_later(struct wr_timer *timer)
{
	struct weir *weir = wr_container_of(timer, struct weir, say_timer);

	for (unsigned i = 0; i < WR_MAX_PORTS; i++) {
		struct stack_port *sp = &weir->ports[i];

		if (!sp->say.n_unsaid)
			continue;
		say(weir, sp);
		sp->say.since_ns = wr_now_ns(weir->clock);
		sp->say.n_said = SAY_MAX_LINES;
	}
}

void wr_stack_say_transit(struct weir *weir, unsigned port_idx)
{
	struct stack_port *sp = &weir->ports[port_idx];
	uint64_t now_ns = wr_now_ns(weir->clock);

	if (!sp->say.n_unsaid && now_ns - sp->say.since_ns >= SAY_WINDOW_NS) {
		sp->say.since_ns = now_ns;
		sp->say.n_said = 0;
	}
	if (sp->say.n_said < SAY_MAX_LINES) {
		sp->say.n_said++;
		say(weir, sp);
		return;
	}
	sp->say.n_unsaid++;
	if (weir->say_timer.due_ns)
		return;
	weir->say_timer.fire = say_later;
	wr_timer_start(weir->loop, &weir->say_timer, SAY_WINDOW_NS);
}

void wr_stack_say_limits(const struct weir *weir, unsigned port_idx,
			 const struct stack_limits *limits)
{
	const struct stack_port *sp = &weir->ports[port_idx];

	if (limits->mtu > limits->max_mtu)
		wr_log(&weir->log, WR_LOG_WARN,
		       "%s: packets of more than %u bytes stay with the kernel (MTU %u): %s sockets "
		       "have no multi-buffer here; copying ones have it since Linux 6.6",
		       sp->ifname, limits->max_mtu, limits->mtu, sp->port->mode);
	if (limits->n_queues > sp->port->n_queues)
		wr_log(&weir->log, WR_LOG_WARN,
		       "%s: receives on %u queues, Weir on %u of them: what comes by the others "
		       "stays with the kernel; %s",
		       sp->ifname, limits->n_queues, sp->port->n_queues,
		       limits->is_asked_for_some ? "queues= asks for no more"
						 : "a new start of Weir takes all there are then, "
						   "64 at most");
}
