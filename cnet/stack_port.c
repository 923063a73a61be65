/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An interface becomes a port and stops being one.
 *
 * Opening: program loaded -> sockets bound -> way into the kernel -> queues given to workers and
 * fill rings filled -> sockets in the XSKMAP -> program attached -> queues that the driver has
 * added for it taken in the same order -> mirror told, whose answer switches TRANSIT on. Closing is
 * the reverse. At each step in between the kernel forwards.
 *
 * An interface that is deleted under Weir is closed from a timer, outside the mirror's callback;
 * one of the same name that appears later is taken again.
 */
#include "cnet/stack_private.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { PORT_RETRY_MS = 200 };

/* --- opening and closing --------------------------------------------------------------------- */

static int open_drivers(struct weir *weir, unsigned port_idx, const struct port_args *args,
			struct wr_err *err)
{
	struct stack_port *sp = &weir->ports[port_idx];
	const struct mirror_link *link;

	if (args->driver != &wr_port_af_xdp_driver)
		return wr_stack_host_open(weir, port_idx, args, err);
	link = wr_mirror_link_by_name(weir->mirror, sp->ifname);
	if (!link)
		return wr_err(err, -ENODEV,
			      "%s: no such interface; 'ip link' lists those there are", sp->ifname);
	return wr_stack_xdp_open(weir, port_idx, args, link, err);
}

static void say_opened(const struct weir *weir, const struct stack_port *sp)
{
	const char *plural = sp->port->n_queues == 1 ? "" : "s";

	if (sp->steer)
		wr_log(&weir->log, WR_LOG_INFO, "%s: %s XDP, %s sockets on %u queue%s%s%s%s",
		       sp->ifname, wr_steer_port_mode(sp->steer), sp->port->mode,
		       sp->port->n_queues, plural, *sp->why_mode ? " (" : "", sp->why_mode,
		       *sp->why_mode ? ")" : "");
	else
		wr_log(&weir->log, WR_LOG_INFO, "%s: the kernel's interface for %s, %s, %u queue%s",
		       sp->ifname, sp->spec, sp->port->mode ? sp->port->mode : "",
		       sp->port->n_queues, plural);
}

/* The name that the interface had when it was configured; one that has been renamed since keeps
 * the new one. */
static void name_interface(struct stack_port *sp, unsigned port_idx, const struct port_args *args)
{
	if (*sp->ifname)
		return;
	if (args->driver == &wr_port_af_xdp_driver)
		snprintf(sp->ifname, sizeof(sp->ifname), "%s", args->names[0]);
	else
		wr_stack_host_name(args, port_idx, sp->ifname);
}

int wr_stack_port_open(struct weir *weir, unsigned port_idx, struct wr_err *err)
{
	struct stack_port *sp = &weir->ports[port_idx];
	struct port_args args;
	int code = wr_port_parse(sp->spec, &args, err);

	if (code)
		return code;
	name_interface(sp, port_idx, &args);
	if (args.driver == &wr_port_af_xdp_driver)
		args.names[0] = sp->ifname;
	code = open_drivers(weir, port_idx, &args, err);
	if (code)
		goto err_port;
	code = wr_stack_serve_port(weir, sp);
	if (code) {
		wr_err(err, code, "%s: setting up its queues: %s", sp->ifname, strerror(-code));
		goto err_port;
	}
	if (sp->steer)
		code = wr_stack_xdp_attach(weir, sp, &args, err);
	if (code)
		goto err_port;
	say_opened(weir, sp);
	if (sp->steer)
		wr_stack_xdp_say_limits(weir, sp, &args);
	sp->is_gone = false;
	code = wr_mirror_port_add(weir->mirror, sp->port->ifindex, port_idx);
	if (code) {
		wr_err(err, code, "%s: %s", sp->ifname, strerror(-code));
		goto err_port;
	}
	return 0;

err_port:
	wr_stack_port_close(weir, port_idx);
	return code;
}

int wr_stack_ports_listen(struct weir *weir, struct wr_err *err)
{
	for (unsigned i = 0; i < WR_MAX_PORTS; i++) {
		struct stack_port *sp = &weir->ports[i];
		int code = sp->port && sp->is_host ? wr_stack_listen(weir, sp) : 0;

		if (code)
			return wr_err(err, code, "%s: %s", sp->ifname, strerror(-code));
	}
	return 0;
}

static void remember_counters(struct port_counters *sum, const struct port *port)
{
	struct port_counters c;
	uint64_t *to = (uint64_t *)sum;
	const uint64_t *from = (const uint64_t *)&c;

	wr_port_counters(port, &c);
	for (unsigned i = 0; i < sizeof(c) / sizeof(*from); i++)
		to[i] += from[i];
}

static void close_drivers(struct weir *weir, struct stack_port *sp)
{
	if (sp->port) {
		wr_stack_leave_port(weir, sp);
		remember_counters(&weir->closed_ports, sp->port);
		sp->port->ops->close(sp->port);
	}
	if (sp->punt) {
		remember_counters(&weir->closed_punts, sp->punt);
		sp->punt->ops->close(sp->punt);
	}
	sp->port = NULL;
	sp->punt = NULL;
}

void wr_stack_port_close(struct weir *weir, unsigned port_idx)
{
	struct stack_port *sp = &weir->ports[port_idx];

	if (sp->steer) {
		wr_steer_port_set_transit(sp->steer, false);
		for (unsigned i = 0; sp->port && i < sp->port->n_queues; i++)
			wr_steer_port_set_socket(sp->steer, i, 0, -1);
	}
	close_drivers(weir, sp);
	if (weir->mirror)
		wr_mirror_port_del(weir->mirror, port_idx);
	if (sp->steer)
		wr_steer_port_close(sp->steer, true);
	sp->steer = NULL;
	sp->transit = false;
}

/* --- what the mirror tells ------------------------------------------------------------------- */

static void local_changed(void *arg, struct ip4 addr, bool is_local)
{
	struct weir *weir = arg;
	int err;

	if (!is_local) {
		wr_steer_local_del(weir->steer, addr);
		return;
	}
	err = wr_steer_local_add(weir->steer, addr);
	if (err)
		wr_log(&weir->log, WR_LOG_WARN,
		       "the XDP program's table of local addresses: %s; packets to those it lacks "
		       "take a detour through user space",
		       strerror(-err));
}

/* Another port may have come to the name meanwhile. */
static bool is_taken(const struct weir *weir, uint32_t ifindex)
{
	for (unsigned i = 0; i < WR_MAX_PORTS; i++)
		if (weir->ports[i].port && weir->ports[i].port->ifindex == ifindex)
			return true;
	return false;
}

/* The same interface under an old name or a new one of the old name: it is back. A reason why it
 * cannot be had is said once, not with every try. */
static void retake(struct weir *weir, unsigned port_idx)
{
	struct stack_port *sp = &weir->ports[port_idx];
	const struct mirror_link *link = wr_mirror_link_by_name(weir->mirror, sp->ifname);
	struct wr_err err = {.text = ""};
	int code;

	if (sp->is_host ? link && is_taken(weir, link->ifindex)
			: !link || is_taken(weir, link->ifindex))
		return;
	code = wr_stack_port_open(weir, port_idx, &err);
	if (!code && sp->is_host) {
		code = wr_stack_listen(weir, sp);
		if (code)
			wr_err(&err, code, "%s: %s", sp->ifname, strerror(-code));
	}
	if (!code) {
		wr_log(&weir->log, WR_LOG_INFO, "%s: is back", sp->ifname);
		return;
	}
	wr_stack_port_close(weir, port_idx);
	sp->is_gone = true;
	if (strcmp(sp->why_not, err.text) != 0)
		wr_log(&weir->log, WR_LOG_WARN, "%s (is tried again)", err.text);
	snprintf(sp->why_not, sizeof(sp->why_not), "%s", err.text);
}

static void look_after_ports(struct wr_timer *timer)
{
	struct weir *weir = wr_container_of(timer, struct weir, port_timer);
	bool is_waiting = false;

	for (unsigned i = 0; i < WR_MAX_PORTS; i++) {
		struct stack_port *sp = &weir->ports[i];

		if (!sp->is_gone)
			continue;
		if (sp->port)
			wr_stack_port_close(weir, i);
		retake(weir, i);
		is_waiting |= sp->is_gone;
	}
	if (is_waiting)
		wr_timer_start(weir->loop, timer, PORT_RETRY_MS * WR_NS_PER_MS);
}

void wr_stack_port_renew(struct weir *weir, unsigned port_idx)
{
	struct stack_port *sp = &weir->ports[port_idx];

	sp->is_gone = true;
	sp->transit = false;
	if (sp->steer)
		wr_steer_port_set_transit(sp->steer, false);
	weir->port_timer.fire = look_after_ports;
	wr_timer_start(weir->loop, &weir->port_timer, 0);
}

static void port_changed(void *arg, unsigned port_idx, const struct mirror_link *link, bool gone)
{
	struct weir *weir = arg;
	struct stack_port *sp = &weir->ports[port_idx];

	if (gone) {
		wr_log(&weir->log, WR_LOG_WARN,
		       "%s: interface is gone; Weir takes it again when it is back", sp->ifname);
		snprintf(sp->why_not, sizeof(sp->why_not), "the interface is gone");
		wr_stack_port_renew(weir, port_idx);
		return;
	}
	if (strcmp(sp->ifname, link->name) != 0) {
		wr_log(&weir->log, WR_LOG_INFO, "%s: is now named %s", sp->ifname, link->name);
		snprintf(sp->ifname, sizeof(sp->ifname), "%s", link->name);
		if (sp->port)
			snprintf(sp->port->name, sizeof(sp->port->name), "%s", link->name);
	}
	if (sp->port)
		sp->port->mac = link->mac;
	if (sp->steer && sp->port) {
		wr_steer_port_set_mac(sp->steer, &link->mac);
		wr_stack_xdp_tell_mtu(sp, link->mtu);
	}
	if (sp->punt && !sp->is_host && wr_port_punt_tap_follow(sp->punt, &link->mac, link->mtu))
		wr_stack_port_renew(weir, port_idx);
}

static void transit_changed(void *arg, unsigned port_idx, bool transit, const char *why)
{
	struct weir *weir = arg;
	struct stack_port *sp = &weir->ports[port_idx];

	snprintf(sp->why_not, sizeof(sp->why_not), "%s", transit ? "" : why);
	sp->transit = transit;
	if (sp->steer)
		wr_steer_port_set_transit(sp->steer, transit);
	wr_stack_say_transit(weir, port_idx);
}

const struct mirror_ops wr_stack_mirror_ops = {
	.local_changed = local_changed,
	.port_changed = port_changed,
	.transit_changed = transit_changed,
};

int wr_stack_check_port(struct weir *weir, unsigned port_idx, char *ret_say, size_t say_bytes,
			struct wr_err *err)
{
	struct port_args args;
	int rc = wr_port_parse(wr_conf_port(&weir->conf, port_idx), &args, err);

	if (rc)
		return rc;
	return args.driver == &wr_port_af_xdp_driver
		       ? wr_stack_xdp_check(weir, &args, ret_say, say_bytes, err)
		       : wr_stack_host_check(weir, port_idx, &args, ret_say, say_bytes);
}
