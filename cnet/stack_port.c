/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An interface becomes a port and stops being one.
 *
 * Opening: program loaded -> sockets bound -> way into the kernel -> queues given to workers and
 * fill rings filled -> sockets in the XSKMAP -> program attached -> mirror told, whose answer
 * switches TRANSIT on. Closing is the reverse. At each step in between the kernel forwards.
 *
 * An interface that is deleted under Weir is closed from a timer, outside the mirror's callback;
 * one of the same name that appears later is taken again.
 */
#include "cnet/stack_private.h"
#include "lib/sys/ethtool.h"
#include "lib/wire/wire.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

enum { PORT_RETRY_MS = 200 };

int wr_stack_queues_of(const struct weir *weir, const char *ifname, struct wr_err *err)
{
	const struct mirror_link *link = wr_mirror_link_by_name(weir->mirror, ifname);
	int n_queues;

	if (!link)
		return wr_err(err, -ENODEV,
			      "%s: no such interface; 'ip link' lists those there are", ifname);
	if (link->flags & IFF_LOOPBACK)
		return wr_err(err, -EINVAL, "%s: a loopback interface has nothing to forward",
			      ifname);
	n_queues = wr_ethtool_n_rx_queues(ifname);
	if (n_queues < 0)
		return wr_err(err, n_queues, "%s: reading its queues: %s", ifname,
			      strerror(-n_queues));
	if (n_queues > WR_MAX_QUEUES)
		n_queues = WR_MAX_QUEUES;
	if ((unsigned)n_queues < weir->conf.workers)
		return wr_err(
			err, -EINVAL,
			"%s: has %d queue%s for %u workers; 'ethtool -L %s rx %u tx %u' gives it more, "
			"or start with -w %d",
			ifname, n_queues, n_queues == 1 ? "" : "s", weir->conf.workers, ifname,
			weir->conf.workers, weir->conf.workers, n_queues);
	return n_queues;
}

static struct af_xdp_conf af_xdp_conf(const struct conf *conf, const char *ifname, uint32_t ifindex,
				      uint32_t mtu, unsigned n_queues)
{
	return (struct af_xdp_conf){
		.ifname = ifname,
		.ifindex = ifindex,
		.mtu = mtu,
		.n_queues = (uint16_t)n_queues,
		.generic = conf->xdp_mode == CONF_XDP_MODE_GENERIC,
		.rx_descs = conf->ring_descs,
		.tx_descs = conf->ring_descs,
	};
}

uint32_t wr_stack_frames_of(const struct conf *conf, unsigned n_queues)
{
	struct af_xdp_conf xdp = af_xdp_conf(conf, "", 0, 0, n_queues);

	return n_queues * wr_port_af_xdp_frames_per_queue(&xdp);
}

/* --- queues and workers ---------------------------------------------------------------------- */

struct give_queue {
	struct port_queue *queue;
	unsigned out_idx;
	bool is_rx;
	int err;
};

/* On the worker's thread: its pool fills the ring. */
static void give_queue(struct worker *w, void *arg)
{
	struct give_queue *give = arg;
	const struct port_ops *ops = give->queue->port->ops;

	give->err = wr_worker_add_queue(w, give->queue, give->out_idx, give->is_rx);
	if (!give->err && ops->start)
		give->err = ops->start(give->queue);
}

static int give_queues(struct weir *weir, struct port *port, unsigned out_idx, bool is_rx)
{
	for (unsigned i = 0; i < port->n_queues; i++) {
		struct give_queue give = {
			.queue = port->queues[i], .out_idx = out_idx, .is_rx = is_rx};

		wr_worker_call(weir->workers[i % weir->n_workers], give_queue, &give);
		if (give.err)
			return give.err;
	}
	return 0;
}

/* What the socket received before it left the XSKMAP is still forwarded. */
static void drain_and_leave(struct worker *w, void *arg)
{
	const struct port *port = arg;
	enum { MAX_DRAIN_TURNS = 64 };

	for (unsigned i = 0; i < MAX_DRAIN_TURNS && wr_worker_turn(w); i++)
		;
	wr_worker_del_queue(w, port->port_idx);
	wr_worker_del_queue(w, WORKER_PUNT_OUT + port->port_idx);
}

/* --- opening and closing --------------------------------------------------------------------- */

static int open_steering(struct weir *weir, struct stack_port *sp, const struct mirror_link *link,
			 struct wr_err *err)
{
	static const enum steer_mode modes[] = {
		[CONF_XDP_MODE_AUTO] = STEER_AUTO,
		[CONF_XDP_MODE_NATIVE] = STEER_NATIVE,
		[CONF_XDP_MODE_GENERIC] = STEER_GENERIC,
	};
	const struct steer_port_conf conf = {
		.ifname = sp->ifname,
		.ifindex = link->ifindex,
		.mode = modes[weir->conf.xdp_mode],
		.share = weir->conf.xdp_share,
		.mac = link->mac,
		.mtu = link->mtu,
		.is_virtual = link->is_virtual || wr_ethtool_is_virtual(sp->ifname),
		.deadline_ns = weir->conf.heartbeat_ms * WR_NS_PER_MS,
	};

	return wr_steer_port_open(weir->steer, &conf, &sp->steer, err);
}

/* A frame that the sockets cannot take would be lost: the kernel keeps it. */
static void tell_mtu(struct stack_port *sp, uint32_t mtu)
{
	uint32_t max_mtu = wr_port_af_xdp_max_bytes(sp->port) - ETH_HDR_BYTES;

	wr_steer_port_set_mtu(sp->steer, mtu < max_mtu ? mtu : max_mtu);
}

static int open_ports(struct weir *weir, unsigned port_idx, const struct mirror_link *link,
		      struct wr_err *err)
{
	struct stack_port *sp = &weir->ports[port_idx];
	int n_queues = wr_stack_queues_of(weir, sp->ifname, err);
	const struct punt_tap_conf punt = {
		.ifname = sp->ifname,
		.ifindex = link->ifindex,
		.mac = link->mac,
		.mtu = link->mtu,
		.n_queues = (uint16_t)weir->n_workers,
	};
	struct af_xdp_conf xdp;
	int code;

	if (n_queues < 0)
		return n_queues;
	if (n_queues > sp->max_queues) /* what comes by the others stays with the kernel */
		n_queues = sp->max_queues;
	xdp = af_xdp_conf(&weir->conf, sp->ifname, link->ifindex, link->mtu, (unsigned)n_queues);
	code = wr_port_af_xdp_open(weir->umem, &xdp, &sp->port, err);
	if (code)
		return code;
	sp->port->port_idx = (uint8_t)port_idx;
	sp->port->flags |= link->is_virtual ? PORT_VIRTUAL : 0;
	tell_mtu(sp, link->mtu);
	code = wr_port_punt_tap_open(weir->umem, &punt, &sp->punt, err);
	if (code)
		return code;
	sp->punt->port_idx = (uint8_t)port_idx;
	return 0;
}

static int steer_to_sockets(struct weir *weir, struct stack_port *sp)
{
	for (unsigned i = 0; i < sp->port->n_queues; i++) {
		int code = wr_steer_port_set_socket(sp->steer, i, i % weir->n_workers,
						    wr_port_af_xdp_fd(sp->port, i));
		if (code)
			return code;
	}
	return 0;
}

static void tell_flags(struct worker *w, void *arg)
{
	const struct port *port = arg;

	w->port_flags[port->port_idx] = port->flags;
}

/* Generic XDP sees frames after GRO and before GSO: merged, and with unfinished checksums on any
 * interface. */
static void note_mode(struct weir *weir, struct stack_port *sp)
{
	if (strcmp(wr_steer_port_mode(sp->steer), "generic") != 0)
		return;
	sp->port->mode = "generic copy";
	sp->port->flags |= PORT_VIRTUAL | PORT_MERGED;
	for (unsigned i = 0; i < weir->n_workers; i++)
		wr_worker_call(weir->workers[i], tell_flags, sp->port);
}

int wr_stack_port_open(struct weir *weir, unsigned port_idx, struct wr_err *err)
{
	struct stack_port *sp = &weir->ports[port_idx];
	const struct mirror_link *link = wr_mirror_link_by_name(weir->mirror, sp->ifname);
	struct wr_err why = {.text = ""};
	int code;

	if (!link)
		return wr_err(err, -ENODEV,
			      "%s: no such interface; 'ip link' lists those there are", sp->ifname);
	code = open_steering(weir, sp, link, err);
	if (!code)
		code = open_ports(weir, port_idx, link, err);
	if (code)
		goto err_port;
	code = give_queues(weir, sp->punt, WORKER_PUNT_OUT + port_idx, false);
	if (!code)
		code = give_queues(weir, sp->port, port_idx, true);
	if (!code)
		code = steer_to_sockets(weir, sp);
	if (code) {
		wr_err(err, code, "%s: setting up its queues: %s", sp->ifname, strerror(-code));
		goto err_port;
	}
	code = wr_steer_port_attach(sp->steer, &why, err);
	if (code)
		goto err_port;
	memcpy(sp->why_mode, why.text, sizeof(sp->why_mode));
	note_mode(weir, sp);
	wr_log(&weir->log, WR_LOG_INFO, "%s: %s XDP, %s sockets on %u queue%s%s%s%s", sp->ifname,
	       wr_steer_port_mode(sp->steer), sp->port->mode, sp->port->n_queues,
	       sp->port->n_queues == 1 ? "" : "s", why.text[0] ? " (" : "", why.text,
	       why.text[0] ? ")" : "");
	sp->is_gone = false;
	code = wr_mirror_port_add(weir->mirror, link->ifindex, port_idx);
	if (code) {
		wr_err(err, code, "%s: %s", sp->ifname, strerror(-code));
		goto err_port;
	}
	return 0;

err_port:
	wr_stack_port_close(weir, port_idx);
	return code;
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
		for (unsigned i = 0; i < weir->n_workers; i++)
			wr_worker_call(weir->workers[i], drain_and_leave, sp->port);
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

	if (!link || is_taken(weir, link->ifindex))
		return;
	if (!wr_stack_port_open(weir, port_idx, &err)) {
		wr_log(&weir->log, WR_LOG_INFO, "%s: is back", sp->ifname);
		return;
	}
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
	if (sp->steer && sp->port) {
		wr_steer_port_set_mac(sp->steer, &link->mac);
		tell_mtu(sp, link->mtu);
	}
	if (sp->punt && wr_port_punt_tap_follow(sp->punt, &link->mac, link->mtu))
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

/* --- weir-router --check --------------------------------------------------------------------- */

static const char *mode_words(const struct conf *conf)
{
	switch (conf->xdp_mode) {
	case CONF_XDP_MODE_NATIVE:
		return "native XDP, or an error";
	case CONF_XDP_MODE_GENERIC:
		return "generic XDP";
	default:
		return "native XDP if the driver has it, else generic";
	}
}

/* Whether the interface would forward now, asked of the mirror as if it were a port; the answer is
 * in a slot that is free, since --check takes no ports. */
static bool would_forward(struct weir *weir, const struct mirror_link *link, char *ret_why,
			  size_t why_bytes)
{
	struct stack_port *sp = &weir->ports[0];
	const struct wr_log log = weir->log;
	bool transit;

	*sp = (struct stack_port){.why_not = "the mirror does not know it"};
	snprintf(sp->ifname, sizeof(sp->ifname), "%s", link->name);
	weir->log.write = NULL;
	wr_mirror_port_add(weir->mirror, link->ifindex, 0);
	transit = sp->transit;
	snprintf(ret_why, why_bytes, "%s", sp->why_not);
	wr_mirror_port_del(weir->mirror, 0);
	weir->log = log;
	*sp = (struct stack_port){.port = NULL};
	return transit;
}

int wr_stack_check_interface(struct weir *weir, const char *ifname, char *ret_say, size_t say_bytes,
			     struct wr_err *err)
{
	struct stack_port probe = {.port = NULL};
	int n_queues = wr_stack_queues_of(weir, ifname, err);
	const struct mirror_link *link = wr_mirror_link_by_name(weir->mirror, ifname);
	enum steer_found found = STEER_FOUND_NOTHING;
	struct wr_err what = {.text = ""};
	char driver[32], why[sizeof(probe.why_not)];
	bool transit;
	int code;

	if (n_queues < 0)
		return n_queues;
	code = wr_steer_probe(ifname, &found, &what);
	if (code)
		return wr_err(err, code, "%s", what.text[0] ? what.text : strerror(-code));
	if (!weir->conf.xdp_share &&
	    (found == STEER_FOUND_FOREIGN || found == STEER_FOUND_DISPATCHER))
		return wr_err(err, -EBUSY, "%s", what.text);
	if (wr_steer_is_in_use(link->ifindex))
		return wr_err(err, -EBUSY,
			      found == STEER_FOUND_OURS
				      ? "%s: another weir-router has it: stop that one first"
				      : "%s: another program receives on it by AF_XDP: stop that "
					"one first",
			      ifname);
	snprintf(probe.ifname, sizeof(probe.ifname), "%s", ifname);
	code = open_steering(weir, &probe, link, err);
	if (code)
		return code;
	wr_steer_port_close(probe.steer, false);
	wr_ethtool_driver(ifname, driver);
	transit = would_forward(weir, link, why, sizeof(why));
	snprintf(ret_say, say_bytes,
		 "%s, %d queue%s, MTU %u; would take IPv4 in transit by %s%s%s%s",
		 driver[0] ? driver : "unknown driver", n_queues, n_queues == 1 ? "" : "s",
		 link->mtu, mode_words(&weir->conf),
		 found == STEER_FOUND_OURS ? ", replacing a program that Weir left" : "",
		 transit ? "" : "; but as it is, transit stays with the kernel: ",
		 transit ? "" : why);
	return 0;
}
