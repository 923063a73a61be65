/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The way into the kernel is an interface that anybody with root's hands can change: down, another
 * MAC address, its filter removed. What is punted would then be lost without a word. So the kernel
 * is asked to tell of changes to links and filters; a TAP that was changed is put right, and one
 * that was deleted, or cannot be put right, costs its port a new opening.
 *
 * A TAP or TUN that is a port has its far end anywhere, perhaps in another network namespace, of
 * which the kernel tells nothing here. Only its descriptor says when it was deleted, to the worker
 * that reads from it. So the control thread looks now and then, as long as there is such a port.
 */
#include "cnet/stack_private.h"
#include "lib/nl/nl.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/epoll.h>

enum { MAX_EVENTS = 256, LOOK_AT_WIRES_MS = 1000 };

/* Links and filters have their ifindex at the same place, behind the family. */
static_assert(offsetof(struct ifinfomsg, ifi_index) == offsetof(struct tcmsg, tcm_ifindex),
	      "one reader for both");

static void mend(struct weir *weir, unsigned port_idx)
{
	struct stack_port *sp = &weir->ports[port_idx];
	int err = wr_port_punt_tap_mend(sp->punt);

	if (!err)
		return;
	wr_log(&weir->log, WR_LOG_WARN, "%s: its way into the kernel, %s, is lost: %s", sp->ifname,
	       sp->punt->name, strerror(-err));
	wr_stack_port_renew(weir, port_idx);
}

struct changed {
	const struct weir *weir;
	bool is_changed[WR_MAX_PORTS];
};

static void see_event(void *arg, const struct nlmsghdr *h)
{
	struct changed *c = arg;
	struct ifinfomsg ifi;

	if (h->nlmsg_len < NLMSG_LENGTH(sizeof(ifi)))
		return;
	memcpy(&ifi, wr_nl_head(h), sizeof(ifi));
	for (unsigned i = 0; i < WR_MAX_PORTS; i++) {
		const struct port *punt = c->weir->ports[i].punt;

		c->is_changed[i] |= punt && punt->ifindex == (uint32_t)ifi.ifi_index;
	}
}

static void events_came(struct wr_watch *watch, uint32_t epoll_events)
{
	struct weir *weir = wr_container_of(watch, struct weir, tap_watch);
	struct changed c = {.weir = weir};
	int n = wr_nl_events(weir->tap_events, MAX_EVENTS, see_event, &c);

	(void)epoll_events;
	for (unsigned i = 0; i < WR_MAX_PORTS; i++)
		if (weir->ports[i].punt && !weir->ports[i].is_host && !weir->ports[i].is_gone &&
		    (n < 0 || c.is_changed[i]))
			mend(weir, i);
}

/* --- wires ------------------------------------------------------------------------------------ */

struct wire_state {
	bool can_go, is_gone;
};

static void see_fact(void *arg, const char *name, uint64_t value)
{
	struct wire_state *state = arg;

	if (strcmp(name, "gone") != 0)
		return;
	state->can_go = true;
	state->is_gone = value;
}

static struct wire_state state_of(const struct stack_port *sp)
{
	struct wire_state state = {.can_go = false};

	if (sp->port && sp->is_host && !sp->is_gone && sp->port->ops->facts)
		sp->port->ops->facts(sp->port, see_fact, &state);
	return state;
}

static void look_at_wires(struct wr_timer *timer)
{
	struct weir *weir = wr_container_of(timer, struct weir, wire_timer);

	for (unsigned i = 0; i < WR_MAX_PORTS; i++) {
		struct stack_port *sp = &weir->ports[i];

		if (!state_of(sp).is_gone)
			continue;
		wr_log(&weir->log, WR_LOG_WARN, "%s: %s was deleted; Weir opens it again",
		       sp->ifname, sp->spec);
		wr_stack_port_renew(weir, i);
	}
	wr_stack_mend_wires(weir);
}

void wr_stack_mend_wires(struct weir *weir)
{
	bool can_go = false;

	for (unsigned i = 0; i < WR_MAX_PORTS; i++)
		can_go |= state_of(&weir->ports[i]).can_go;
	weir->wire_timer.fire = look_at_wires;
	if (can_go)
		wr_timer_start(weir->loop, &weir->wire_timer, LOOK_AT_WIRES_MS * WR_NS_PER_MS);
}

/* --- start and stop --------------------------------------------------------------------------- */

int wr_stack_mend_start(struct weir *weir, struct wr_err *err)
{
	int code = wr_nl_open(NETLINK_ROUTE, 0, true, &weir->tap_events, err);

	if (code)
		return code;
	if (nl_socket_add_memberships(weir->tap_events, RTNLGRP_LINK, RTNLGRP_TC, 0))
		return wr_err(err, -EPERM, "cannot listen to changes of links and filters");
	weir->tap_watch.ready = events_came;
	code = wr_watch_start(weir->loop, &weir->tap_watch, nl_socket_get_fd(weir->tap_events),
			      EPOLLIN);
	return code ? wr_err(err, code, "event loop: %s", strerror(-code)) : 0;
}

void wr_stack_mend_stop(struct weir *weir)
{
	if (weir->loop)
		wr_timer_stop(weir->loop, &weir->wire_timer);
	if (!weir->tap_events)
		return;
	wr_watch_stop(weir->loop, &weir->tap_watch);
	wr_nl_close(weir->tap_events);
	weir->tap_events = NULL;
}
