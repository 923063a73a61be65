/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The AF_XDP driver's ports: opened in the best mode that the interface and the kernel have, closed
 * so that nothing is left. All queues of a port are in one mode; what fails is said in a sentence.
 */
#include "lib/port/af_xdp_private.h"
#include "lib/port/spec.h"
#include "lib/sys/ethtool.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

enum {
	RX_HEADROOM = 256, /* the kernel's XDP_PACKET_HEADROOM in front of what it receives */
	ETH_VLAN_BYTES = 14 + 4,
	MIN_DESCS = 64,
	MAX_DESCS = 1 << 16,
	SETTLE_MS = 20,           /* for what is being sent when the port is closed */
	ZERO_COPY_GRACE_MS = 100, /* until the NIC has surely let go of its frames */
};

/* --- close ------------------------------------------------------------------------------------ */

/* Gives the kernel a moment to send what is queued. The frames stay where they are: the pool may
 * be another thread's by now. */
static void settle(struct xdp_queue *x)
{
	for (unsigned ms = 0; ms < SETTLE_MS && x->n_tx_side && !x->is_gone; ms++) {
		uint32_t n_sent =
			__atomic_load_n(x->comp.producer, __ATOMIC_ACQUIRE) - x->comp.cached_cons;

		if (n_sent >= x->n_tx_side)
			return;
		if (n_untaken(x) && sendto(x->fd, NULL, 0, MSG_DONTWAIT, NULL, 0) < 0 &&
		    (errno == ENETDOWN || errno == ENXIO))
			return;
		poll(NULL, 0, 1);
	}
}

void wr_af_xdp_close(struct port *port)
{
	struct xdp_port *xp = (struct xdp_port *)port;

	for (unsigned i = 0; i < port->n_queues; i++)
		if (xp->queues[i].fd >= 0)
			settle(&xp->queues[i]);
	/* The registration is the first queue's and goes last. */
	for (unsigned i = port->n_queues; i-- > 0;)
		wr_af_xdp_close_socket(&xp->queues[i]);
	/* A closed socket writes to no frame in copy mode; a NIC does until its driver has taken
	 * the rings down. */
	if (xp->queues[0].is_zero_copy)
		poll(NULL, 0, ZERO_COPY_GRACE_MS);
	for (unsigned i = 0; i < port->n_queues; i++) {
		if (xp->queues[i].in_kernel)
			wr_af_xdp_return_frames(&xp->queues[i]);
		free(xp->queues[i].in_kernel);
	}
	free(xp);
}

/* --- open ------------------------------------------------------------------------------------- */

/* Bytes of a packet received into one frame. */
static uint32_t rx_frame_bytes(const struct umem *umem)
{
	return umem->frame_bytes - RX_HEADROOM;
}

/* Where privileges allow: the kernel counts the packet memory once a port. Else the registration
 * says what is wrong. */
static void raise_memlock(void)
{
	const struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
	struct rlimit limit;

	if (!setrlimit(RLIMIT_MEMLOCK, &unlimited) || getrlimit(RLIMIT_MEMLOCK, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_MEMLOCK, &limit);
}

static int explain_register(const struct umem *umem, const char *ifname, int rc, struct wr_err *err)
{
	const unsigned long need_kib =
		(unsigned long)(((size_t)umem->n_frames << umem->frame_shift) >> 10);
	struct rlimit limit = {0};

	(void)getrlimit(RLIMIT_MEMLOCK, &limit);
	if (rc != -ENOBUFS)
		return wr_err(err, rc, "%s: cannot register %lu KiB of packet memory: %s", ifname,
			      need_kib, strerror(-rc));
	return wr_err(err, rc,
		      "%s: %lu KiB of packet memory, counted for each interface, exceed the "
		      "limit of %lu KiB for locked memory: raise it (ulimit -l, LimitMEMLOCK=) or "
		      "grant CAP_IPC_LOCK",
		      ifname, need_kib, (unsigned long)(limit.rlim_cur >> 10));
}

static int explain_bind(const struct af_xdp_conf *conf, unsigned queue_idx, int rc,
			struct wr_err *err)
{
	switch (rc) {
	case -EBUSY:
		return wr_err(err, rc,
			      "%s: receive queue %u is taken by another AF_XDP socket "
			      "(another Weir, DPDK, ...): stop that one first",
			      conf->ifname, queue_idx);
	case -ENODEV:
		return wr_err(err, rc, "%s: no such interface", conf->ifname);
	case -EINVAL:
		return wr_err(err, rc, "%s: has no queue %u: ask for fewer workers", conf->ifname,
			      queue_idx);
	case -EPERM:
		return wr_err(err, rc, "%s: binding an AF_XDP socket needs CAP_NET_RAW",
			      conf->ifname);
	default:
		return wr_err(err, rc, "%s: cannot bind an AF_XDP socket to queue %u: %s",
			      conf->ifname, queue_idx, strerror(-rc));
	}
}

static int explain_busy_poll(const struct af_xdp_conf *conf, int rc, struct wr_err *err)
{
	switch (rc) {
	case -EPERM:
		return wr_err(err, rc,
			      "%s: busy polling needs CAP_NET_ADMIN: grant it, or set busy_poll_us "
			      "to 0",
			      conf->ifname);
	case -ENOPROTOOPT:
		return wr_err(err, rc,
			      "%s: this kernel has no busy polling: needs Linux 5.11 with "
			      "CONFIG_NET_RX_BUSY_POLL; set busy_poll_us to 0",
			      conf->ifname);
	default:
		return wr_err(err, rc,
			      "%s: cannot poll busily for %u us and %u packets: %s: set "
			      "busy_poll_us to 0, or ask for less",
			      conf->ifname, conf->busy_poll_us, conf->busy_poll_budget,
			      strerror(-rc));
	}
}

static int explain(const struct umem *umem, const struct af_xdp_conf *conf, unsigned queue_idx,
		   enum step step, int rc, struct wr_err *err)
{
	switch (step) {
	case STEP_SOCKET:
		if (rc == -EPERM || rc == -EACCES)
			return wr_err(err, rc, "%s: an AF_XDP socket needs CAP_NET_RAW",
				      conf->ifname);
		if (rc == -EAFNOSUPPORT)
			return wr_err(err, rc,
				      "%s: this kernel has no AF_XDP: needs Linux 5.4 with "
				      "CONFIG_XDP_SOCKETS",
				      conf->ifname);
		return wr_err(err, rc, "%s: cannot open an AF_XDP socket: %s", conf->ifname,
			      strerror(-rc));
	case STEP_REGISTER:
		return explain_register(umem, conf->ifname, rc, err);
	case STEP_RINGS:
		return wr_err(err, rc, "%s: cannot make rings of %u and %u descriptors: %s",
			      conf->ifname, conf->rx_descs, conf->tx_descs, strerror(-rc));
	case STEP_BUSY_POLL:
		return explain_busy_poll(conf, rc, err);
	case STEP_BIND:
		break;
	}
	return explain_bind(conf, queue_idx, rc, err);
}

/* All queues in one mode, or none. */
static int open_queues(struct xdp_port *xp, const struct af_xdp_conf *conf, uint16_t flags,
		       struct wr_err *err)
{
	enum step step = STEP_SOCKET;
	unsigned i;
	int rc = 0;

	for (i = 0; i < conf->n_queues && !rc; i++)
		rc = wr_af_xdp_open_socket(&xp->queues[i], conf, flags, i ? xp->queues[0].fd : -1,
					   &step);
	if (!rc)
		return 0;
	for (unsigned k = i; k-- > 0;)
		wr_af_xdp_close_socket(&xp->queues[k]);
	return explain(xp->umem, conf, i - 1, step, rc, err);
}

/* EINVAL comes from kernels that do not know a flag, EOPNOTSUPP from most drivers, and anything
 * else from some. */
static bool is_about_mode(int rc)
{
	return rc < 0 && rc != -EBUSY && rc != -EPERM && rc != -EACCES && rc != -ENODEV &&
	       rc != -ENOBUFS && rc != -EAFNOSUPPORT;
}

static void say_why_copy(struct xdp_port *xp, const struct af_xdp_conf *conf, bool sg_only, int rc)
{
	const char *with = sg_only ? " for packets of several buffers" : "";

	if (conf->generic)
		return;
	if (conf->force_copy)
		snprintf(xp->why_copy, sizeof(xp->why_copy), "zero-copy is switched off");
	else if (rc == -EOPNOTSUPP)
		snprintf(xp->why_copy, sizeof(xp->why_copy),
			 "the driver has no zero-copy%s: EOPNOTSUPP", with);
	else if (rc < 0)
		snprintf(xp->why_copy, sizeof(xp->why_copy), "zero-copy%s was refused: %.40s", with,
			 strerror(-rc));
}

/* The best mode that the driver and the kernel have. */
static int open_best(struct xdp_port *xp, const struct af_xdp_conf *conf, struct wr_err *err)
{
	static const uint16_t modes[] = {XDP_ZEROCOPY | XDP_USE_SG, XDP_ZEROCOPY,
					 XDP_COPY | XDP_USE_SG, XDP_COPY};
	const bool copy_only = conf->generic || conf->force_copy;
	const bool sg_only = conf->mtu + ETH_VLAN_BYTES > rx_frame_bytes(xp->umem);
	struct wr_err why = {.text = ""};
	int rc = -EOPNOTSUPP, zero_copy_rc = 0;

	for (unsigned i = 0; i < wr_array_size(modes); i++) {
		if ((modes[i] & XDP_ZEROCOPY) &&
		    (copy_only || (sg_only && !(modes[i] & XDP_USE_SG))))
			continue;
		rc = open_queues(xp, conf, modes[i] | XDP_USE_NEED_WAKEUP, &why);
		if (modes[i] & XDP_ZEROCOPY)
			zero_copy_rc = rc;
		if (!is_about_mode(rc))
			break;
	}
	say_why_copy(xp, conf, sg_only, zero_copy_rc);
	return rc < 0 ? wr_err(err, rc, "%s", why.text) : 0;
}

static bool is_ring_size(uint32_t n)
{
	return n >= MIN_DESCS && n <= MAX_DESCS && !(n & (n - 1));
}

static int check_conf(const struct af_xdp_conf *conf, struct wr_err *err)
{
	int n_queues;

	if (!conf->n_queues || conf->n_queues > WR_MAX_QUEUES)
		return wr_err(err, -EINVAL, "%s: %u queues: 1 to %u are possible", conf->ifname,
			      conf->n_queues, WR_MAX_QUEUES);
	if (!is_ring_size(conf->rx_descs) || !is_ring_size(conf->tx_descs))
		return wr_err(err, -EINVAL,
			      "%s: rings of %u and %u descriptors: powers of two from %u to %u "
			      "are possible",
			      conf->ifname, conf->rx_descs, conf->tx_descs, MIN_DESCS, MAX_DESCS);
	n_queues = wr_ethtool_n_rx_queues(conf->ifname);
	if (n_queues > 0 && conf->n_queues > n_queues)
		return wr_err(
			err, -EINVAL,
			"%s: has %d receive queues, %u were asked for: ask for fewer workers, "
			"or for more queues with 'ethtool -L %s'",
			conf->ifname, n_queues, conf->n_queues, conf->ifname);
	return 0;
}

/* One more, closed. -ENOMEM. */
static int add_queue(struct xdp_port *xp, const struct af_xdp_conf *conf)
{
	const uint16_t queue_idx = xp->port.n_queues;
	struct xdp_queue *x = &xp->queues[queue_idx];

	x->in_kernel = calloc((xp->umem->n_frames + 63) / 64, sizeof(*x->in_kernel));
	if (!x->in_kernel)
		return -ENOMEM;
	x->q.port = &xp->port;
	x->q.queue_idx = queue_idx;
	x->umem = xp->umem;
	x->fd = -1;
	x->rx_descs = conf->rx_descs;
	x->tx_descs = conf->tx_descs;
	xp->port.queues[queue_idx] = &x->q;
	xp->port.n_queues++;
	return 0;
}

static struct xdp_port *new_port(struct umem *umem, const struct af_xdp_conf *conf)
{
	const uint16_t max_queues =
		conf->max_queues > conf->n_queues ? conf->max_queues : conf->n_queues;
	const size_t bytes = sizeof(struct xdp_port) + max_queues * sizeof(struct xdp_queue);
	struct xdp_port *xp = aligned_alloc(WR_CACHE_LINE, bytes);

	if (!xp)
		return NULL;
	memset(xp, 0, bytes);
	xp->umem = umem;
	xp->port.ops = &wr_af_xdp_ops;
	snprintf(xp->port.name, sizeof(xp->port.name), "%s", conf->ifname);
	xp->port.ifindex = conf->ifindex;
	xp->max_queues = max_queues;
	while (xp->port.n_queues < conf->n_queues) {
		if (add_queue(xp, conf) < 0) {
			wr_af_xdp_close(&xp->port);
			return NULL;
		}
	}
	return xp;
}

/* What was found out about the first queue's holds for all. */
static void share_registration(struct xdp_queue *x, const struct xdp_queue *first)
{
	x->is_sg = first->is_sg;
	x->has_tx_metadata = first->has_tx_metadata;
}

/* Of all that can be sent; what can be received is less. */
static uint32_t max_frame_bytes(const struct xdp_queue *x)
{
	const uint32_t lost = x->has_tx_metadata ? PORT_TX_HEADROOM : 0;

	return (x->is_sg ? WR_MAX_SEGS : 1) * (x->umem->frame_bytes - lost);
}

/* `n_tx`: queues that it is known to send by, should the interface not tell. */
static void note_rx_only(struct port *port, unsigned n_tx)
{
	const unsigned n_told = wr_ethtool_n_tx_queues(port->name);

	n_tx = n_told ? n_told : n_tx;
	port->n_rx_only = (uint16_t)(port->n_queues > n_tx ? port->n_queues - n_tx : 0);
}

int wr_port_af_xdp_open(struct umem *umem, const struct af_xdp_conf *conf, struct port **ret_port,
			struct wr_err *err)
{
	struct xdp_port *xp;
	int rc = check_conf(conf, err);

	if (rc < 0)
		return rc;
	xp = new_port(umem, conf);
	if (!xp)
		return wr_err(err, -ENOMEM, "%s: out of memory", conf->ifname);
	raise_memlock();
	rc = open_best(xp, conf, err);
	if (rc < 0) {
		wr_af_xdp_close(&xp->port);
		return rc;
	}
	if (xp->queues[0].is_zero_copy)
		xp->port.mode = "native zero-copy";
	else
		xp->port.mode = conf->generic ? "generic copy" : "native copy";
	for (unsigned i = 1; i < conf->n_queues; i++)
		share_registration(&xp->queues[i], &xp->queues[0]);
	if (wr_ethtool_is_virtual(conf->ifname))
		xp->port.flags |= PORT_VIRTUAL;
	if (!xp->queues[0].is_sg)
		xp->port.flags |= PORT_ONE_BUFFER;
	if (xp->queues[0].has_tx_metadata)
		xp->port.flags |= PORT_TX_CSUM;
	xp->port.max_frame_bytes = max_frame_bytes(&xp->queues[0]);
	note_rx_only(&xp->port, conf->n_queues);
	*ret_port = &xp->port;
	return 0;
}

int wr_port_af_xdp_grow(struct port *port, const struct af_xdp_conf *conf, struct wr_err *err)
{
	struct xdp_port *xp = (struct xdp_port *)port;
	const unsigned n_tx = wr_port_n_tx_queues(port);
	enum step step = STEP_SOCKET;
	int rc = 0;

	while (port->n_queues < conf->n_queues && port->n_queues < xp->max_queues) {
		struct xdp_queue *x = &xp->queues[port->n_queues];

		if (add_queue(xp, conf) < 0)
			return wr_err(err, -ENOMEM, "%s: out of memory", port->name);
		rc = wr_af_xdp_open_socket(x, conf, 0, xp->queues[0].fd, &step);
		if (rc < 0) {
			port->n_queues--;
			free(x->in_kernel);
			explain(xp->umem, conf, port->n_queues, step, rc, err);
			break;
		}
		share_registration(x, &xp->queues[0]);
	}
	note_rx_only(port, n_tx);
	return rc;
}

int wr_port_af_xdp_fd(const struct port *port, unsigned queue_idx)
{
	return queue_idx < port->n_queues ? xdp_queue_const(port->queues[queue_idx])->fd : -EINVAL;
}

const char *wr_port_af_xdp_why_copy(const struct port *port)
{
	return ((const struct xdp_port *)port)->why_copy;
}

uint32_t wr_port_af_xdp_max_bytes(const struct port *port)
{
	const uint32_t n_segs = port->flags & PORT_ONE_BUFFER ? 1 : WR_MAX_SEGS;

	return n_segs * rx_frame_bytes(xdp_queue_const(port->queues[0])->umem);
}

uint32_t wr_port_af_xdp_frames_per_queue(const struct af_xdp_conf *conf)
{
	return conf->rx_descs + conf->tx_descs;
}

/* --- its string ------------------------------------------------------------------------------- */

static const struct port_option af_xdp_options[] = {
	[AF_XDP_OPT_MODE] = {.name = "mode",
			     .words = "auto|native|generic",
			     .text = "how the XDP program is attached"},
	[AF_XDP_OPT_COPY] = {.name = "copy",
			     .words = "auto|on",
			     .text = "on: no zero-copy, although the driver has it"},
	[AF_XDP_OPT_QUEUES] = {.name = "queues",
			       .max = WR_MAX_QUEUES,
			       .text = "receive queues to take, the first ones; 0: all"},
	[AF_XDP_OPT_DESCS] = {.name = "descs",
			      .fallback = 2048,
			      .min = MIN_DESCS,
			      .max = MAX_DESCS,
			      .is_power_of_two = true,
			      .text = "size of each receive and transmit ring"},
};

static uint32_t af_xdp_max_frames(const struct port_args *args)
{
	int n_queues = (int)args->values[AF_XDP_OPT_QUEUES];

	if (!n_queues)
		n_queues = wr_ethtool_n_rx_queues(args->names[0]);
	return n_queues > 0 ? (uint32_t)n_queues * 2 * args->values[AF_XDP_OPT_DESCS] : 0;
}

const struct port_driver wr_port_af_xdp_driver = {
	.scheme = "af_xdp",
	.names = "INTERFACE",
	.text = "an interface of the kernel, by an XDP program and AF_XDP sockets",
	.min_names = 1,
	.max_names = 1,
	.n_options = wr_array_size(af_xdp_options),
	.options = af_xdp_options,
	.max_frames = af_xdp_max_frames,
};
