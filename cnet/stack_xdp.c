/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The kernel's own interfaces: an XDP program, AF_XDP sockets, and a TAP as the way back.
 *
 * The router's settings hold for all interfaces; what a port's string says (mode=, copy=, descs=,
 * queues=) for that one.
 *
 * Queues that come with the program (virtio_net adds some, see lib/sys/ethtool.c) are bound after
 * it is attached, to the registration of the first ones. Until then the program passes what comes
 * by them to the kernel, and the sockets bound before are what keeps a second Weir from replacing
 * the program of a living one. The packet memory has frames for them from the start.
 */
#include "cnet/stack_private.h"
#include "lib/sys/ethtool.h"
#include "lib/wire/wire.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

/* --- settings --------------------------------------------------------------------------------- */

static enum conf_xdp_mode xdp_mode_of(const struct conf *conf, const struct port_args *args)
{
	static const enum conf_xdp_mode modes[] = {
		[AF_XDP_MODE_AUTO] = CONF_XDP_MODE_AUTO,
		[AF_XDP_MODE_NATIVE] = CONF_XDP_MODE_NATIVE,
		[AF_XDP_MODE_GENERIC] = CONF_XDP_MODE_GENERIC,
	};

	return args->is_given[AF_XDP_OPT_MODE] ? modes[args->values[AF_XDP_OPT_MODE]]
					       : conf->xdp_mode;
}

int wr_stack_queues_of(const struct weir *weir, const struct port_args *args, struct wr_err *err)
{
	const char *ifname = args->names[0];
	const struct mirror_link *link;

	if (args->driver != &wr_port_af_xdp_driver)
		return wr_port_n_queues(args, err);
	link = wr_mirror_link_by_name(weir->mirror, ifname);
	if (!link)
		return wr_err(err, -ENODEV,
			      "%s: no such interface; 'ip link' lists those there are", ifname);
	if (link->flags & IFF_LOOPBACK)
		return wr_err(err, -EINVAL, "%s: a loopback interface has nothing to forward",
			      ifname);
	return wr_port_n_queues(args, err);
}

int wr_stack_max_queues_of(const struct weir *weir, const struct port_args *args,
			   struct wr_err *err)
{
	const int n_queues = wr_stack_queues_of(weir, args, err);
	int n_xdp;

	if (n_queues < 0 || args->driver != &wr_port_af_xdp_driver ||
	    args->values[AF_XDP_OPT_QUEUES])
		return n_queues;
	n_xdp = wr_ethtool_n_xdp_queues(args->names[0]);
	if (n_xdp > WR_MAX_QUEUES)
		n_xdp = WR_MAX_QUEUES;
	return n_xdp > n_queues ? n_xdp : n_queues;
}

static struct af_xdp_conf af_xdp_conf(const struct conf *conf, const struct port_args *args,
				      unsigned n_queues)
{
	const uint32_t descs = args->is_given[AF_XDP_OPT_DESCS] ? args->values[AF_XDP_OPT_DESCS]
								: conf->ring_descs;

	return (struct af_xdp_conf){
		.ifname = args->names[0],
		.n_queues = (uint16_t)n_queues,
		.generic = xdp_mode_of(conf, args) == CONF_XDP_MODE_GENERIC,
		.force_copy = args->values[AF_XDP_OPT_COPY],
		.no_tx_checksum = !conf->tx_checksum,
		.rx_descs = descs,
		.tx_descs = descs,
		.busy_poll_us = conf->busy_poll_us,
		.busy_poll_budget = conf->busy_poll_budget,
	};
}

uint32_t wr_stack_frames_of(const struct conf *conf, const struct port_args *args,
			    unsigned n_queues)
{
	struct af_xdp_conf xdp;

	if (args->driver != &wr_port_af_xdp_driver)
		return args->driver->max_frames(args);
	xdp = af_xdp_conf(conf, args, n_queues);
	return n_queues * wr_port_af_xdp_frames_per_queue(&xdp);
}

/* --- open ------------------------------------------------------------------------------------- */

static int open_steering(struct weir *weir, struct stack_port *sp, const struct port_args *args,
			 const struct mirror_link *link, struct wr_err *err)
{
	static const enum steer_mode modes[] = {
		[CONF_XDP_MODE_AUTO] = STEER_AUTO,
		[CONF_XDP_MODE_NATIVE] = STEER_NATIVE,
		[CONF_XDP_MODE_GENERIC] = STEER_GENERIC,
	};
	const struct steer_port_conf conf = {
		.ifname = sp->ifname,
		.ifindex = link->ifindex,
		.mode = modes[xdp_mode_of(&weir->conf, args)],
		.share = weir->conf.xdp_share,
		.mac = link->mac,
		.mtu = link->mtu,
		.is_virtual = link->is_virtual || wr_ethtool_is_virtual(sp->ifname),
		.deadline_ns = weir->conf.heartbeat_ms * WR_NS_PER_MS,
	};

	return wr_steer_port_open(weir->steer, &conf, &sp->steer, err);
}

static uint32_t max_mtu(const struct stack_port *sp)
{
	return wr_port_af_xdp_max_bytes(sp->port) - ETH_HDR_BYTES;
}

void wr_stack_xdp_tell_mtu(struct stack_port *sp, uint32_t mtu)
{
	wr_steer_port_set_mtu(sp->steer, mtu < max_mtu(sp) ? mtu : max_mtu(sp));
}

void wr_stack_xdp_say_limits(const struct weir *weir, const struct stack_port *sp,
			     const struct port_args *args)
{
	const struct mirror_link *link = wr_mirror_link(weir->mirror, sp->port->ifindex);
	int n_queues = wr_ethtool_n_rx_queues(sp->ifname);
	const struct stack_limits limits = {
		.max_mtu = max_mtu(sp),
		.mtu = link ? link->mtu : 0,
		.n_queues = n_queues > 0 ? (unsigned)n_queues : 0,
		.is_asked_for_some = args->values[AF_XDP_OPT_QUEUES],
	};

	wr_stack_say_limits(weir, sp->port->port_idx, &limits);
}

static int open_way_back(struct weir *weir, struct stack_port *sp, const struct mirror_link *link,
			 struct wr_err *err)
{
	const struct punt_tap_conf punt = {
		.ifname = sp->ifname,
		.ifindex = link->ifindex,
		.mac = link->mac,
		.mtu = link->mtu,
		.n_queues = (uint16_t)weir->n_workers,
	};
	int code = wr_port_punt_tap_open(weir->umem, &punt, &sp->punt, err);

	if (code)
		return code;
	sp->is_host = false;
	sp->punt->port_idx = sp->port->port_idx;
	return 0;
}

int wr_stack_xdp_open(struct weir *weir, unsigned port_idx, const struct port_args *args,
		      const struct mirror_link *link, struct wr_err *err)
{
	struct stack_port *sp = &weir->ports[port_idx];
	int n_queues = wr_stack_queues_of(weir, args, err);
	struct af_xdp_conf xdp;
	int code;

	if (n_queues < 0)
		return n_queues;
	if (n_queues > sp->max_queues) /* what comes by the others stays with the kernel */
		n_queues = sp->max_queues;
	code = open_steering(weir, sp, args, link, err);
	if (code)
		return code;
	xdp = af_xdp_conf(&weir->conf, args, (unsigned)n_queues);
	xdp.ifindex = link->ifindex;
	xdp.mtu = link->mtu;
	xdp.max_queues = sp->max_queues;
	code = wr_port_af_xdp_open(weir->umem, &xdp, &sp->port, err);
	if (code)
		return code;
	sp->port->port_idx = (uint8_t)port_idx;
	sp->port->mac = link->mac;
	sp->port->flags |= link->is_virtual ? PORT_VIRTUAL : 0;
	wr_stack_xdp_tell_mtu(sp, link->mtu);
	return open_way_back(weir, sp, link, err);
}

/* Generic XDP sees frames after GRO and before GSO: merged, and with unfinished checksums on any
 * interface. */
static int note_mode(struct weir *weir, struct stack_port *sp)
{
	if (strcmp(wr_steer_port_mode(sp->steer), "generic") != 0)
		return 0;
	sp->port->mode = "generic copy";
	sp->port->flags |= PORT_VIRTUAL | PORT_MERGED;
	return wr_stack_tell_port(weir, sp->port);
}

/* Of the queues from `first` on. */
static int let_in(const struct stack_port *sp, unsigned first)
{
	int code = 0;

	for (unsigned i = first; i < sp->port->n_queues && !code; i++)
		code = wr_steer_port_set_socket(sp->steer, i, sp->worker_of[i],
						wr_port_af_xdp_fd(sp->port, i));
	return code;
}

/* One that cannot be had is left to the kernel, with its reason in the log. */
static int take_added_queues(struct weir *weir, struct stack_port *sp, const struct port_args *args)
{
	const unsigned first = sp->port->n_queues;
	int n_queues = wr_port_n_queues(args, NULL), code;
	struct wr_err why = {.text = ""};
	struct af_xdp_conf xdp;

	if (n_queues > sp->max_queues)
		n_queues = sp->max_queues;
	if (n_queues <= (int)first)
		return 0;
	xdp = af_xdp_conf(&weir->conf, args, (unsigned)n_queues);
	xdp.ifindex = sp->port->ifindex;
	if (wr_port_af_xdp_grow(sp->port, &xdp, &why) < 0)
		wr_log(&weir->log, WR_LOG_WARN, "%s", why.text);
	code = wr_stack_serve_more(weir, sp, first);
	return code ? code : let_in(sp, first);
}

int wr_stack_xdp_attach(struct weir *weir, struct stack_port *sp, const struct port_args *args,
			struct wr_err *err)
{
	struct wr_err why = {.text = ""};
	int code = let_in(sp, 0);

	if (code)
		goto err_queues;
	code = wr_steer_port_attach(sp->steer, &why, err);
	if (code)
		return code;
	snprintf(sp->why_mode, sizeof(sp->why_mode), "%s",
		 *why.text ? why.text : wr_port_af_xdp_why_copy(sp->port));
	code = take_added_queues(weir, sp, args);
	if (code)
		goto err_queues;
	return note_mode(weir, sp);

err_queues:
	return wr_err(err, code, "%s: setting up its queues: %s", sp->ifname, strerror(-code));
}

/* --- weir-router --check --------------------------------------------------------------------- */

static const char *mode_words(enum conf_xdp_mode mode)
{
	switch (mode) {
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
bool wr_stack_would_forward(struct weir *weir, const struct mirror_link *link, char *ret_why,
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

int wr_stack_xdp_check(struct weir *weir, const struct port_args *args, char *ret_say,
		       size_t say_bytes, struct wr_err *err)
{
	const char *ifname = args->names[0];
	struct stack_port probe = {.port = NULL};
	int n_queues = wr_stack_queues_of(weir, args, err);
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
	code = open_steering(weir, &probe, args, link, err);
	if (code)
		return code;
	wr_steer_port_close(probe.steer, false);
	wr_ethtool_driver(ifname, driver);
	transit = wr_stack_would_forward(weir, link, why, sizeof(why));
	snprintf(ret_say, say_bytes,
		 "%s, %d queue%s, MTU %u; would take IPv4 in transit by %s%s%s%s",
		 driver[0] ? driver : "unknown driver", n_queues, n_queues == 1 ? "" : "s",
		 link->mtu, mode_words(xdp_mode_of(&weir->conf, args)),
		 found == STEER_FOUND_OURS ? ", replacing a program that Weir left" : "",
		 transit ? "" : "; but as it is, transit stays with the kernel: ",
		 transit ? "" : why);
	return 0;
}
