/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * TAP and TUN: a wire to the kernel.
 *
 * Everything about a single packet is in tap_dev.c. Here is how the interface comes to be: made,
 * and then it dies with the port; or taken, if it is persistent and nobody has it open. What is
 * there is asked of the kernel first, because its one error (EINVAL) for all that does not fit
 * helps nobody, and because it would let a second process join a device of several queues and take
 * half of the packets.
 *
 * A read is a packet, and so is a write: nothing queues here. Packets that the pool has no frames
 * for stay in the kernel's queue. The descriptor of an interface that was deleted is readable for
 * ever; then fd() no longer names it, or its worker would never sleep again.
 */
#include "lib/base/alloc.h"
#include "lib/nl/nl.h"
#include "lib/port/spec.h"
#include "lib/port/tap_dev.h"
#include "lib/wire/wire.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Packets that discard() throws away at most: the kernel's queue holds 1000, unless told
 * otherwise, and its sender goes on. */
enum { MAX_DISCARD_PKTS = 4096 };

struct tap_queue {
	struct port_queue q;
	int fd; /* -1: not open */
	bool is_gone;
	uint32_t n_short; /* frames that the pool lacked at the last look */
	unsigned l2_bytes;
	struct tap_reader reader;
};

struct tap_port {
	struct port port;
	struct tap_queue queues[];
};

static struct tap_queue *tap_queue(struct port_queue *q)
{
	return (struct tap_queue *)q;
}

/* --- packets ---------------------------------------------------------------------------------- */

/* Of frames that are missing for long each is counted once. */
static bool fill(struct tap_queue *t)
{
	bool is_full = wr_tap_reader_fill(&t->reader, t->q.pool);

	if (wr_unlikely(t->reader.n_holes > t->n_short))
		wr_count(&t->q.counters.rx_no_frames, t->reader.n_holes - t->n_short);
	t->n_short = t->reader.n_holes;
	return is_full;
}

static int tap_start(struct port_queue *q)
{
	struct tap_queue *t = tap_queue(q);

	(void)fill(t); /* what is short is counted, and asked for again */
	return 0;
}

static void note_error(struct tap_queue *t, int rc)
{
	if (rc == -EBADFD || rc == -EFAULT) /* the interface was deleted */
		__atomic_store_n(&t->is_gone, true, __ATOMIC_RELAXED);
}

static unsigned tap_rx(struct port_queue *q, struct packet **ret_pkts, unsigned max)
{
	struct tap_queue *t = tap_queue(q);
	uint64_t n_bytes = 0, n_bad = 0;
	unsigned n = 0;

	while (n + n_bad < max && fill(t)) {
		int rc = wr_tap_reader_read(&t->reader, t->fd, &ret_pkts[n]);

		if (rc == -EBADMSG) {
			n_bad++;
			continue;
		}
		if (rc < 0) {
			note_error(t, rc);
			break;
		}
		ret_pkts[n]->rx_port = q->port->port_idx;
		n_bytes += ret_pkts[n++]->len;
	}
	wr_count(&q->counters.rx_pkts, n);
	wr_count(&q->counters.rx_bytes, n_bytes);
	if (wr_unlikely(n_bad))
		wr_count(&q->counters.rx_bad, n_bad);
	return n;
}

static void tap_tx(struct port_queue *q, struct packet **pkts, unsigned n)
{
	wr_tap_dev_tx(q, tap_queue(q)->fd, tap_queue(q)->l2_bytes, pkts, n);
}

static void tap_flush(struct port_queue *q)
{
	(void)q;
}

static int tap_fd(const struct port_queue *q)
{
	const struct tap_queue *t = (const struct tap_queue *)q;

	return t->is_gone ? -1 : t->fd;
}

/* A read too short for a packet takes all of it away. */
static void tap_discard(struct port_queue *q)
{
	uint8_t start[sizeof(struct virtio_net_hdr) + 1];
	uint64_t n = 0;

	while (n < MAX_DISCARD_PKTS && read(tap_queue(q)->fd, start, sizeof(start)) >= 0)
		n++;
	wr_count(&q->counters.rx_stale, n);
}

static uint32_t tap_n_frames(const struct port_queue *q)
{
	const struct tap_reader *r = &((const struct tap_queue *)q)->reader;

	return r->n_frames - __atomic_load_n(&r->n_holes, __ATOMIC_RELAXED);
}

static void tap_close(struct port *port)
{
	struct tap_port *tp = (struct tap_port *)port;

	for (unsigned i = 0; i < port->n_queues; i++) {
		wr_tap_reader_empty(&tp->queues[i].reader);
		if (tp->queues[i].fd >= 0)
			close(tp->queues[i].fd);
	}
	free(tp);
}

static void tap_facts(const struct port *port,
		      void (*emit)(void *arg, const char *name, uint64_t value), void *arg)
{
	const struct tap_port *tp = (const struct tap_port *)port;
	uint64_t n_gone = 0;

	for (unsigned i = 0; i < port->n_queues; i++)
		n_gone += __atomic_load_n(&tp->queues[i].is_gone, __ATOMIC_RELAXED);
	emit(arg, "gone", n_gone > 0);
}

static const struct port_ops tap_ops = {
	.scheme = "tap",
	.start = tap_start,
	.rx = tap_rx,
	.tx = tap_tx,
	.flush = tap_flush,
	.fd = tap_fd,
	.discard = tap_discard,
	.n_frames = tap_n_frames,
	.close = tap_close,
	.facts = tap_facts,
};

static const struct port_ops tun_ops = {
	.scheme = "tun",
	.start = tap_start,
	.rx = tap_rx,
	.tx = tap_tx,
	.flush = tap_flush,
	.fd = tap_fd,
	.discard = tap_discard,
	.n_frames = tap_n_frames,
	.close = tap_close,
	.facts = tap_facts,
};

/* --- what is there ---------------------------------------------------------------------------- */

/* The interface of the name that is asked for. */
struct there {
	bool exists;
	bool is_multi_queue;
	uint8_t type;           /* IFF_TUN or IFF_TAP; 0: another driver's */
	uint32_t n_open_queues; /* somebody's descriptors */
};

static void see_tun(const struct nlattr *data, struct there *there)
{
	static const struct nl_want want[] = {
		{IFLA_TUN_TYPE, 1}, {IFLA_TUN_MULTI_QUEUE, 1}, {IFLA_TUN_NUM_QUEUES, 4}};
	const struct nlattr *a[wr_array_size(want)];

	if (wr_nl_attrs(wr_nl_data(data), wr_nl_len(data), want, wr_array_size(want), a) || !a[0] ||
	    !a[1])
		return;
	there->type = wr_nl_u8(a[0]);
	there->is_multi_queue = wr_nl_u8(a[1]);
	there->n_open_queues = a[2] ? wr_nl_u32(a[2]) : 0; /* sent only of several queues */
}

static void see_link(void *arg, const struct nlmsghdr *h)
{
	static const struct nl_want in_link[] = {{IFLA_LINKINFO, 0}};
	static const struct nl_want in_info[] = {{IFLA_INFO_KIND, 1}, {IFLA_INFO_DATA, 0}};
	const struct nlattr *link[wr_array_size(in_link)], *info[wr_array_size(in_info)];
	struct there *there = arg;
	const void *attrs;
	char kind[8];
	size_t len;

	if (h->nlmsg_type != RTM_NEWLINK)
		return;
	there->exists = true;
	if (wr_nl_body(h, sizeof(struct ifinfomsg), &attrs, &len) ||
	    wr_nl_attrs(attrs, len, in_link, wr_array_size(in_link), link) || !link[0] ||
	    wr_nl_attrs(wr_nl_data(link[0]), wr_nl_len(link[0]), in_info, wr_array_size(in_info),
			info) ||
	    !info[0] || !info[1])
		return;
	wr_nl_str(info[0], kind, sizeof(kind));
	if (!strcmp(kind, "tun"))
		see_tun(info[1], there);
}

static int look(const char *ifname, struct there *ret_there)
{
	struct ifinfomsg body = {.ifi_family = AF_UNSPEC};
	struct nl_msg *msg = nlmsg_alloc_simple(RTM_GETLINK, NLM_F_REQUEST);
	struct there there = {.exists = false};
	struct nl_sock *sock;
	int rc;

	if (!msg || nlmsg_append(msg, &body, sizeof(body), NLMSG_ALIGNTO) < 0 ||
	    nla_put_string(msg, IFLA_IFNAME, ifname) < 0) {
		nlmsg_free(msg);
		return -ENOMEM;
	}
	rc = wr_nl_open(NETLINK_ROUTE, 0, false, &sock, NULL);
	if (rc < 0) {
		nlmsg_free(msg);
		return rc;
	}
	rc = wr_nl_ask(sock, msg, see_link, &there);
	wr_nl_close(sock);
	if (rc < 0 && rc != -ENODEV)
		return rc;
	*ret_there = there;
	return 0;
}

/* --- open ------------------------------------------------------------------------------------- */

static const char *kind_of(bool is_tun)
{
	return is_tun ? "tun" : "tap";
}

static int check_there(const struct tap_conf *conf, const struct there *there, struct wr_err *err)
{
	const char *name = conf->ifname, *kind = kind_of(conf->is_tun);

	if (!there->exists)
		return 0;
	if (!there->type)
		return wr_err(err, -EEXIST,
			      "%s: the interface exists and is no %s device: use another name",
			      name, kind);
	if (there->type != (conf->is_tun ? IFF_TUN : IFF_TAP))
		return wr_err(err, -EEXIST,
			      "%s: the interface exists and is a %s, no %s: use %s:%s, or another "
			      "name",
			      name, kind_of(!conf->is_tun), kind, kind_of(!conf->is_tun), name);
	if (there->n_open_queues)
		return wr_err(err, -EBUSY,
			      "%s: another process has the interface: stop that one, or use "
			      "another name",
			      name);
	if (conf->n_queues > 1 && !there->is_multi_queue)
		return wr_err(err, -EINVAL,
			      "%s: %u queues, and the interface was made for one: use queues=1, or "
			      "make it by 'ip tuntap add %s mode %s multi_queue'",
			      name, conf->n_queues, name, kind);
	return 0;
}

static int explain(const struct tap_conf *conf, int rc, struct wr_err *err)
{
	const char *name = conf->ifname, *kind = kind_of(conf->is_tun);

	switch (rc) {
	case -EBUSY:
		return wr_err(err, rc,
			      "%s: another process has the interface: stop that one, or use "
			      "another name",
			      name);
	case -EPERM:
	case -EACCES:
		return wr_err(err, rc,
			      "%s: opening a %s device needs CAP_NET_ADMIN, or one that is yours: "
			      "'ip tuntap add %s mode %s user NAME'",
			      name, kind, name, kind);
	case -ENOENT:
	case -ENODEV:
	case -ENXIO:
		return wr_err(err, rc, "%s: no /dev/net/tun: 'modprobe tun'", name);
	default:
		return wr_err(err, rc, "%s: cannot open the %s device: %s", name, kind,
			      strerror(-rc));
	}
}

static struct tap_port *new_port(struct umem *umem, const struct tap_conf *conf)
{
	const unsigned l2_bytes = conf->is_tun ? ETH_HDR_BYTES : 0;
	struct tap_port *tp =
		wr_alloc_lines(sizeof(*tp) + conf->n_queues * sizeof(struct tap_queue));

	if (!tp)
		return NULL;
	tp->port.ops = conf->is_tun ? &tun_ops : &tap_ops;
	tp->port.mode = kind_of(conf->is_tun);
	tp->port.flags = PORT_TX_CSUM;
	tp->port.n_queues = conf->n_queues;
	tp->port.max_frame_bytes = wr_tap_reader_max_bytes(umem, l2_bytes);
	snprintf(tp->port.name, sizeof(tp->port.name), "%s", conf->ifname);
	for (uint16_t i = 0; i < conf->n_queues; i++) {
		struct tap_queue *t = &tp->queues[i];

		t->fd = -1;
		t->l2_bytes = l2_bytes;
		t->q.port = &tp->port;
		t->q.queue_idx = i;
		tp->port.queues[i] = &t->q;
		wr_tap_reader_init(&t->reader, umem, &tp->port.mac, l2_bytes);
	}
	return tp;
}

/* Whoever had the device before may have asked for more. */
static int set_offload(const struct tap_port *tp, bool offload_csum)
{
	return ioctl(tp->queues[0].fd, TUNSETOFFLOAD, offload_csum ? TUN_F_CSUM : 0) < 0 ? -errno
											 : 0;
}

static int open_queues(struct tap_port *tp, const struct tap_conf *conf, const struct there *there)
{
	const bool is_multi = there->exists ? there->is_multi_queue : conf->n_queues > 1;
	unsigned flags = (conf->is_tun ? IFF_TUN : IFF_TAP) | (is_multi ? IFF_MULTI_QUEUE : 0);
	int rc = 0;

	for (unsigned i = 0; i < conf->n_queues && !rc; i++)
		rc = wr_tap_dev_open(conf->ifname, flags | (i || there->exists ? 0U : IFF_TUN_EXCL),
				     &tp->queues[i].fd);
	return rc ? rc : set_offload(tp, conf->offload_csum);
}

int wr_port_tap_open(struct umem *umem, const struct tap_conf *conf, struct port **ret_port,
		     struct wr_err *err)
{
	struct there there;
	struct tap_port *tp;
	int rc;

	if (!wr_port_is_ifname(conf->ifname))
		return wr_err(err, -EINVAL,
			      "%.40s: not a name that an interface can have: 1 to %u characters, "
			      "none of them '/', ':', '%%' or a space",
			      conf->ifname, PORT_DEV_BYTES - 1);
	if (!conf->n_queues || conf->n_queues > WR_MAX_QUEUES)
		return wr_err(err, -EINVAL, "%s: %u queues: 1 to %u are possible", conf->ifname,
			      conf->n_queues, WR_MAX_QUEUES);
	rc = look(conf->ifname, &there);
	if (rc < 0)
		return explain(conf, rc, err);
	rc = check_there(conf, &there, err);
	if (rc < 0)
		return rc;
	tp = new_port(umem, conf);
	if (!tp)
		return wr_err(err, -ENOMEM, "%s: out of memory", conf->ifname);
	rc = open_queues(tp, conf, &there);
	if (rc < 0) {
		tap_close(&tp->port);
		return explain(conf, rc, err);
	}
	tp->port.ifindex = if_nametoindex(conf->ifname);
	*ret_port = &tp->port;
	return 0;
}

/* --- by name ---------------------------------------------------------------------------------- */

enum { OPT_QUEUES };

static const struct port_option tap_options[] = {
	[OPT_QUEUES] = {.name = "queues",
			.fallback = 1,
			.min = 1,
			.max = WR_MAX_QUEUES,
			.text = "queues; the kernel chooses one for each flow"},
};

static int open_named(struct umem *umem, const struct port_args *args, struct port **ret_port,
		      struct wr_err *err)
{
	const struct tap_conf conf = {
		.ifname = args->names[0],
		.n_queues = (uint16_t)args->values[OPT_QUEUES],
		.is_tun = args->driver == &wr_port_tun_driver,
		.offload_csum = true,
	};

	return wr_port_tap_open(umem, &conf, ret_port, err);
}

static uint32_t tap_max_frames(const struct port_args *args)
{
	return args->values[OPT_QUEUES] * WR_MAX_SEGS;
}

const struct port_driver wr_port_tap_driver = {
	.scheme = "tap",
	.names = "INTERFACE",
	.text = "a TAP device, made unless it exists: what the kernel sends by it comes in here",
	.min_names = 1,
	.max_names = 1,
	.n_options = wr_array_size(tap_options),
	.options = tap_options,
	.open = open_named,
	.max_frames = tap_max_frames,
};

const struct port_driver wr_port_tun_driver = {
	.scheme = "tun",
	.names = "INTERFACE",
	.text = "a TUN device, made unless it exists: like tap, but IP packets without Ethernet",
	.min_names = 1,
	.max_names = 1,
	.n_options = wr_array_size(tap_options),
	.options = tap_options,
	.open = open_named,
	.max_frames = tap_max_frames,
};
