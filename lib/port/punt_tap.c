/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The way back into the kernel.
 *
 * A frame written to a TAP is, for the kernel, received on the TAP. A filter on the TAP's own
 * ingress hands it on, before anything has looked at it, to the ingress of the interface that it
 * came by: from there on rp_filter, conntrack, tcpdump and the sender of ICMP errors see a packet
 * of that interface. The TAP has the interface's MAC address, or the frame would be for another
 * station; and no IPv6, or the kernel would speak on it.
 *
 * write() runs the kernel's whole receive path on the caller's thread, so nothing queues here: tx()
 * is the sending.
 */
#include "lib/nl/nl.h"
#include "lib/port/tap_dev.h"
#include "lib/wire/wire.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_mirred.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	FILTER_PRIORITY = 1,
	ETHERTYPE_ALL = 3,
	ADDR_GEN_NONE = 1, /* IN6_ADDR_GEN_MODE_NONE */
	MAX_TAP_MTU = 65535 -
		      ETH_HDR_BYTES, /* the kernel's; longer packets can be written all the same */
};

struct tap_queue {
	struct port_queue q;
	int fd; /* -1: not open */
};

struct tap_port {
	struct port port;
	uint32_t served_ifindex; /* the interface that its packets are for */
	uint32_t mtu;
	struct mac mac;
	struct tap_queue queues[];
};

static struct tap_queue *tap_queue(struct port_queue *q)
{
	return (struct tap_queue *)q;
}

static void tap_tx(struct port_queue *q, struct packet **pkts, unsigned n)
{
	wr_tap_dev_tx(q, tap_queue(q)->fd, 0, pkts, n);
}

/* --- what a way out does not do --------------------------------------------------------------- */

static int tap_start(struct port_queue *q)
{
	(void)q;
	return 0;
}

static unsigned tap_rx(struct port_queue *q, struct packet **ret_pkts, unsigned max)
{
	(void)q;
	(void)ret_pkts;
	(void)max;
	return 0;
}

static void tap_flush(struct port_queue *q)
{
	(void)q;
}

static int tap_fd(const struct port_queue *q)
{
	(void)q;
	return -1;
}

static void tap_discard(struct port_queue *q)
{
	(void)q;
}

static uint32_t tap_n_frames(const struct port_queue *q)
{
	(void)q;
	return 0;
}

static void tap_close(struct port *port)
{
	struct tap_port *tp = (struct tap_port *)port;

	for (unsigned i = 0; i < port->n_queues; i++)
		if (tp->queues[i].fd >= 0)
			close(tp->queues[i].fd);
	free(tp);
}

static const struct port_ops punt_tap_ops = {
	.scheme = "punt_tap",
	.start = tap_start,
	.rx = tap_rx,
	.tx = tap_tx,
	.flush = tap_flush,
	.fd = tap_fd,
	.discard = tap_discard,
	.n_frames = tap_n_frames,
	.close = tap_close,
};

/* --- the TAP as an interface ------------------------------------------------------------------ */

/* A request about the TAP's link; NULL if out of memory. */
static struct nl_msg *link_request(uint32_t tap_ifindex, unsigned flags)
{
	struct ifinfomsg body = {
		.ifi_index = (int)tap_ifindex, .ifi_flags = flags, .ifi_change = flags};
	struct nl_msg *msg = nlmsg_alloc_simple(RTM_NEWLINK, NLM_F_REQUEST);

	if (msg && nlmsg_append(msg, &body, sizeof(body), NLMSG_ALIGNTO) < 0) {
		nlmsg_free(msg);
		return NULL;
	}
	return msg;
}

/* Keeps the kernel from giving the TAP a link-local address, and with it from speaking on it. */
static int silence_ip6(struct nl_sock *sock, uint32_t tap_ifindex)
{
	struct nl_msg *msg = link_request(tap_ifindex, 0);
	struct nlattr *spec, *inet6;
	int rc;

	if (!msg)
		return -ENOMEM;
	spec = nla_nest_start(msg, IFLA_AF_SPEC);
	inet6 = spec ? nla_nest_start(msg, AF_INET6) : NULL;
	if (!inet6 || nla_put_u8(msg, IFLA_INET6_ADDR_GEN_MODE, ADDR_GEN_NONE) < 0) {
		nlmsg_free(msg);
		return -ENOMEM;
	}
	nla_nest_end(msg, inet6);
	nla_nest_end(msg, spec);
	rc = wr_nl_ask(sock, msg, NULL, NULL);
	/* A kernel without IPv6, or with it switched off, needs no silencing. */
	return rc == -EAFNOSUPPORT || rc == -EOPNOTSUPP || rc == -EINVAL || rc == -EPERM ? 0 : rc;
}

static uint32_t tap_mtu(uint32_t mtu)
{
	return mtu < MAX_TAP_MTU ? mtu : MAX_TAP_MTU;
}

static int set_link(struct nl_sock *sock, uint32_t tap_ifindex, const struct mac *mac, uint32_t mtu)
{
	struct nl_msg *msg = link_request(tap_ifindex, IFF_UP);

	if (!msg)
		return -ENOMEM;
	if (nla_put(msg, IFLA_ADDRESS, sizeof(mac->b), mac->b) < 0 ||
	    nla_put_u32(msg, IFLA_MTU, tap_mtu(mtu)) < 0) {
		nlmsg_free(msg);
		return -ENOMEM;
	}
	return wr_nl_ask(sock, msg, NULL, NULL);
}

/* --- its filter ------------------------------------------------------------------------------- */

static struct nl_msg *tc_request(int type, int flags, struct tcmsg *body, const char *kind)
{
	struct nl_msg *msg = nlmsg_alloc_simple(type, NLM_F_REQUEST | flags);

	if (!msg)
		return NULL;
	if (nlmsg_append(msg, body, sizeof(*body), NLMSG_ALIGNTO) < 0 ||
	    nla_put_string(msg, TCA_KIND, kind) < 0) {
		nlmsg_free(msg);
		return NULL;
	}
	return msg;
}

static int add_clsact(struct nl_sock *sock, uint32_t tap_ifindex)
{
	struct tcmsg body = {
		.tcm_ifindex = (int)tap_ifindex,
		.tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0),
		.tcm_parent = TC_H_CLSACT,
	};
	struct nl_msg *msg = tc_request(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, &body, "clsact");

	return msg ? wr_nl_ask(sock, msg, NULL, NULL) : -ENOMEM;
}

/* The action "mirred ingress redirect", as number 1 of the list that is open in `msg`. */
static int put_redirect(struct nl_msg *msg, uint32_t to_ifindex)
{
	const struct tc_mirred mirred = {
		.action = TC_ACT_STOLEN, .eaction = TCA_INGRESS_REDIR, .ifindex = to_ifindex};
	struct nlattr *action = nla_nest_start(msg, 1), *options;

	if (!action || nla_put_string(msg, TCA_ACT_KIND, "mirred") < 0)
		return -ENOMEM;
	options = nla_nest_start(msg, TCA_ACT_OPTIONS);
	if (!options || nla_put(msg, TCA_MIRRED_PARMS, sizeof(mirred), &mirred) < 0)
		return -ENOMEM;
	nla_nest_end(msg, options);
	nla_nest_end(msg, action);
	return 0;
}

static int put_filter(struct nl_msg *msg, uint32_t to_ifindex)
{
	/* A u32 selector without keys: every packet. It is older, and in more kernels, than
	 * matchall. */
	const struct tc_u32_sel all = {.flags = TC_U32_TERMINAL};
	struct nlattr *options = nla_nest_start(msg, TCA_OPTIONS), *actions;

	if (!options || nla_put(msg, TCA_U32_SEL, sizeof(all), &all) < 0)
		return -ENOMEM;
	actions = nla_nest_start(msg, TCA_U32_ACT);
	if (!actions || put_redirect(msg, to_ifindex) < 0)
		return -ENOMEM;
	nla_nest_end(msg, actions);
	nla_nest_end(msg, options);
	return 0;
}

static int add_redirect(struct nl_sock *sock, uint32_t tap_ifindex, uint32_t to_ifindex)
{
	struct tcmsg body = {
		.tcm_ifindex = (int)tap_ifindex,
		.tcm_parent = TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS),
		.tcm_info = TC_H_MAKE(FILTER_PRIORITY << 16, htons(ETHERTYPE_ALL)),
	};
	struct nl_msg *msg = tc_request(RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, &body, "u32");

	if (!msg)
		return -ENOMEM;
	if (put_filter(msg, to_ifindex) < 0) {
		nlmsg_free(msg);
		return -ENOMEM;
	}
	return wr_nl_ask(sock, msg, NULL, NULL);
}

static void see_filter(void *arg, const struct nlmsghdr *h)
{
	bool *ret_found = arg;
	const struct tcmsg *tc = wr_nl_head(h);

	/* The first message of a u32 filter is its hash table. */
	if (h->nlmsg_len >= NLMSG_LENGTH(sizeof(*tc)) && TC_U32_NODE(tc->tcm_handle) &&
	    tc->tcm_info >> 16 == FILTER_PRIORITY)
		*ret_found = true;
}

static bool has_redirect(struct nl_sock *sock, uint32_t tap_ifindex)
{
	const struct tcmsg body = {
		.tcm_ifindex = (int)tap_ifindex,
		.tcm_parent = TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS),
	};
	bool is_found = false;

	return !wr_nl_dump(sock, RTM_GETTFILTER, &body, sizeof(body), see_filter, &is_found) &&
	       is_found;
}

static int del_clsact(struct nl_sock *sock, uint32_t tap_ifindex)
{
	struct tcmsg body = {
		.tcm_ifindex = (int)tap_ifindex,
		.tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0),
		.tcm_parent = TC_H_CLSACT,
	};
	struct nl_msg *msg = tc_request(RTM_DELQDISC, 0, &body, "clsact");

	return msg ? wr_nl_ask(sock, msg, NULL, NULL) : -ENOMEM;
}

static int mend_redirect(struct nl_sock *sock, const struct tap_port *tp)
{
	int rc;

	if (has_redirect(sock, tp->port.ifindex))
		return 0;
	(void)del_clsact(sock, tp->port.ifindex); /* if there is one */
	rc = add_clsact(sock, tp->port.ifindex);
	return rc < 0 ? rc : add_redirect(sock, tp->port.ifindex, tp->served_ifindex);
}

/* --- its link, as it should be ---------------------------------------------------------------- */

static void see_link(void *arg, const struct nlmsghdr *h)
{
	static const struct nl_want want[] = {{IFLA_ADDRESS, sizeof(struct mac)}, {IFLA_MTU, 4}};
	const struct nlattr *a[wr_array_size(want)];
	const struct ifinfomsg *ifi = wr_nl_head(h);
	struct tap_port *is = arg;
	const void *attrs;
	size_t len;

	if (wr_nl_body(h, sizeof(*ifi), &attrs, &len) ||
	    wr_nl_attrs(attrs, len, want, wr_array_size(want), a) || !a[0] || !a[1] ||
	    !(ifi->ifi_flags & IFF_UP))
		return;
	memcpy(is->mac.b, wr_nl_data(a[0]), sizeof(is->mac.b));
	is->mtu = wr_nl_u32(a[1]);
}

static int mend_link(struct nl_sock *sock, const struct tap_port *tp)
{
	const struct ifinfomsg body = {.ifi_index = (int)tp->port.ifindex};
	struct nl_msg *msg = nlmsg_alloc_simple(RTM_GETLINK, NLM_F_REQUEST);
	struct tap_port is = {.mtu = 0};
	int rc;

	if (!msg)
		return -ENOMEM;
	if (nlmsg_append(msg, (void *)(uintptr_t)&body, sizeof(body), NLMSG_ALIGNTO) < 0) {
		nlmsg_free(msg);
		return -ENOMEM;
	}
	rc = wr_nl_ask(sock, msg, see_link, &is);
	if (rc < 0 || (is.mtu == tap_mtu(tp->mtu) && !memcmp(&is.mac, &tp->mac, sizeof(is.mac))))
		return rc;
	return set_link(sock, tp->port.ifindex, &tp->mac, tp->mtu);
}

/* --- open ------------------------------------------------------------------------------------- */

/* The first descriptor makes the TAP, and finds out whether somebody has it. */
static int open_queue(struct tap_queue *t, const char *tap_name, bool is_first)
{
	return wr_tap_dev_open(tap_name, IFF_TAP | IFF_MULTI_QUEUE | (is_first ? IFF_TUN_EXCL : 0U),
			       &t->fd);
}

static int explain_tap(const struct punt_tap_conf *conf, const char *tap_name, int rc,
		       struct wr_err *err)
{
	switch (rc) {
	case -EBUSY:
	case -EEXIST:
		return wr_err(
			err, rc,
			"%s: the interface %s exists: another Weir serves %s, stop that one first",
			conf->ifname, tap_name, conf->ifname);
	case -EPERM:
	case -EACCES:
		return wr_err(err, rc, "%s: making the interface %s needs CAP_NET_ADMIN",
			      conf->ifname, tap_name);
	case -ENOENT:
	case -ENODEV:
	case -ENXIO:
		return wr_err(err, rc, "%s: no /dev/net/tun: 'modprobe tun'", conf->ifname);
	default:
		return wr_err(err, rc, "%s: cannot make the interface %s: %s", conf->ifname,
			      tap_name, strerror(-rc));
	}
}

static int set_up(struct tap_port *tp, const struct punt_tap_conf *conf, struct wr_err *err)
{
	const uint32_t tap_ifindex = tp->port.ifindex;
	struct nl_sock *sock;
	int rc = wr_nl_open(NETLINK_ROUTE, 0, false, &sock, err);

	if (rc < 0)
		return rc;
	if ((rc = silence_ip6(sock, tap_ifindex)) < 0)
		wr_err(err, rc, "%s: cannot silence IPv6 on %s: %s", conf->ifname, tp->port.name,
		       strerror(-rc));
	else if ((rc = add_clsact(sock, tap_ifindex)) < 0)
		wr_err(err, rc, "%s: no clsact qdisc on %s: %s: needs CONFIG_NET_SCH_INGRESS",
		       conf->ifname, tp->port.name, strerror(-rc));
	else if ((rc = add_redirect(sock, tap_ifindex, conf->ifindex)) < 0)
		wr_err(err, rc,
		       "%s: no redirecting filter on %s: %s: needs CONFIG_NET_CLS_U32 and "
		       "CONFIG_NET_ACT_MIRRED",
		       conf->ifname, tp->port.name, strerror(-rc));
	else if ((rc = set_link(sock, tap_ifindex, &conf->mac, conf->mtu)) < 0)
		wr_err(err, rc, "%s: cannot set MAC address and MTU %u of %s: %s", conf->ifname,
		       conf->mtu, tp->port.name, strerror(-rc));
	wr_nl_close(sock);
	return rc;
}

static struct tap_port *new_port(const struct punt_tap_conf *conf)
{
	const size_t bytes = sizeof(struct tap_port) + conf->n_queues * sizeof(struct tap_queue);
	struct tap_port *tp = aligned_alloc(WR_CACHE_LINE, bytes);

	if (!tp)
		return NULL;
	memset(tp, 0, bytes);
	tp->port.ops = &punt_tap_ops;
	tp->port.mode = "tap";
	tp->port.n_queues = conf->n_queues;
	tp->served_ifindex = conf->ifindex;
	tp->mac = conf->mac;
	tp->mtu = conf->mtu;
	tp->port.flags = PORT_VIRTUAL | PORT_TX_CSUM;
	snprintf(tp->port.name, sizeof(tp->port.name), "weir%u", conf->ifindex);
	for (uint16_t i = 0; i < conf->n_queues; i++) {
		tp->queues[i].fd = -1;
		tp->queues[i].q.port = &tp->port;
		tp->queues[i].q.queue_idx = i;
		tp->port.queues[i] = &tp->queues[i].q;
	}
	return tp;
}

int wr_port_punt_tap_open(struct umem *umem, const struct punt_tap_conf *conf,
			  struct port **ret_port, struct wr_err *err)
{
	struct tap_port *tp;
	int rc = 0;

	(void)umem; /* packets are copied into the kernel, whichever memory they lie in */
	if (!conf->n_queues || conf->n_queues > WR_MAX_QUEUES)
		return wr_err(err, -EINVAL, "%s: %u queues: 1 to %u are possible", conf->ifname,
			      conf->n_queues, WR_MAX_QUEUES);
	tp = new_port(conf);
	if (!tp)
		return wr_err(err, -ENOMEM, "%s: out of memory", conf->ifname);
	for (unsigned i = 0; i < conf->n_queues && !rc; i++)
		rc = open_queue(&tp->queues[i], tp->port.name, i == 0);
	if (rc < 0) {
		explain_tap(conf, tp->port.name, rc, err);
		goto err_port;
	}
	tp->port.ifindex = if_nametoindex(tp->port.name);
	rc = set_up(tp, conf, err);
	if (rc < 0)
		goto err_port;
	*ret_port = &tp->port;
	return 0;
err_port:
	tap_close(&tp->port);
	return rc;
}

int wr_port_punt_tap_follow(struct port *port, const struct mac *mac, uint32_t mtu)
{
	struct tap_port *tp = (struct tap_port *)port;

	tp->mac = *mac;
	tp->mtu = mtu;
	return wr_port_punt_tap_mend(port);
}

int wr_port_punt_tap_mend(struct port *port)
{
	const struct tap_port *tp = (const struct tap_port *)port;
	struct nl_sock *sock;
	int rc = wr_nl_open(NETLINK_ROUTE, 0, false, &sock, NULL);

	if (rc < 0)
		return rc;
	rc = mend_link(sock, tp);
	if (!rc)
		rc = mend_redirect(sock, tp);
	wr_nl_close(sock);
	return rc;
}

uint32_t wr_port_punt_tap_ifindex(const struct port *port)
{
	return port->ifindex;
}
