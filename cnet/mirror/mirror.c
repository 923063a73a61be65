/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The mirror's life: sockets, events, dumps.
 *
 * One socket hears all groups, so that the order among links, addresses, neighbours, next hops and
 * routes is the kernel's. The other one asks: dumps, and the kernel's attention for neighbours.
 *
 * A dump is taken on the control thread, while the workers go on with what they have. Nothing of it
 * reaches the fib before it is complete and the events that queued meanwhile have been replayed on
 * top of it.
 */
#include "cnet/mirror/mirror_private.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/neighbour.h>
#include <linux/netconf.h>
#include <linux/nexthop.h>
#include <netlink/socket.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
	RCVBUF_BYTES = 64 << 20,
	TURN_DATAGRAMS = 1024,      /* events applied in one turn of the loop */
	REPLAY_DATAGRAMS = 1 << 20, /* at most, after a dump */
	DUMP_TRIES = 4,
	FEED_MAX_BYTES = 1 << 20,
};

#define RESYNC_SOON_NS (100 * WR_NS_PER_MS)
#define RESYNC_GAP_NS WR_NS_PER_S
#define KEEPALIVE_NS (5 * WR_NS_PER_S)

/* A resync takes at most this share of the control thread's time. */
enum { RESYNC_SHARE = 5 };

/*
 * Messages.
 */

static int handle(struct mirror *m, const struct nlmsghdr *h)
{
	switch (h->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		return wr_link_message(m, h);
	case RTM_NEWADDR:
	case RTM_DELADDR:
		return wr_addr_message(m, h);
	case RTM_NEWNEIGH:
	case RTM_DELNEIGH:
		return wr_neigh_message(m, h);
	case RTM_NEWNEXTHOP:
	case RTM_DELNEXTHOP:
		return wr_nexthop_message(m, h);
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
		return wr_route_message(m, h);
	case RTM_NEWNETCONF:
	case RTM_DELNETCONF:
		return wr_netconf_message(m, h);
	default:
		return 0;
	}
}

static void apply(void *arg, const struct nlmsghdr *h)
{
	struct mirror *m = arg;

	m->stats.n_events++;
	if (handle(m, h))
		m->stats.n_bad++;
}

static void apply_dumped(void *arg, const struct nlmsghdr *h)
{
	struct mirror *m = arg;

	if (handle(m, h))
		m->stats.n_bad++;
}

/*
 * Dumps.
 */

static int dump(struct mirror *m, uint16_t type, const void *body, size_t body_bytes)
{
	int err = -EAGAIN;

	for (unsigned i = 0; i < DUMP_TRIES && err == -EAGAIN; i++)
		err = wr_nl_dump(m->ask, type, body, body_bytes, apply_dumped, m);
	if (err == -EAGAIN) {
		/* It changes all the time: what this dump tore, events tell, and the next one
		 * proves. */
		m->is_resync_due = true;
		err = 0;
	}
	return err;
}

static int dump_objects(struct mirror *m)
{
	const struct nhmsg nhm = {.nh_family = AF_UNSPEC};
	int err = dump(m, RTM_GETNEXTHOP, &nhm, sizeof(nhm));

	/* Kernels before 5.3 have none. */
	return err == -EOPNOTSUPP || err == -EINVAL ? 0 : err;
}

static int dump_all(struct mirror *m)
{
	const struct ifinfomsg ifi = {.ifi_family = AF_UNSPEC};
	const struct ifaddrmsg ifa = {.ifa_family = AF_INET};
	const struct netconfmsg ncm = {.ncm_family = AF_INET};
	const struct ndmsg ndm = {.ndm_family = AF_INET};
	const struct rtmsg rtm = {.rtm_family = AF_INET};
	int err = dump(m, RTM_GETLINK, &ifi, sizeof(ifi));

	if (!err)
		err = dump(m, RTM_GETADDR, &ifa, sizeof(ifa));
	if (!err)
		err = dump(m, RTM_GETNETCONF, &ncm, sizeof(ncm));
	if (!err)
		err = dump(m, RTM_GETNEIGH, &ndm, sizeof(ndm));
	if (!err)
		err = dump_objects(m);
	if (!err)
		err = dump(m, RTM_GETROUTE, &rtm, sizeof(rtm));
	return err;
}

/* All events that have come, up to `max` datagrams. */
static void take_events(struct mirror *m, unsigned max)
{
	while (max) {
		int n = wr_nl_events(m->events, max < TURN_DATAGRAMS ? max : TURN_DATAGRAMS, apply,
				     m);

		if (!n)
			return;
		if (n < 0) {
			if (n == -ENOBUFS)
				m->stats.n_overruns++;
			m->is_resync_due = true;
			if (n != -ENOBUFS)
				return;
			n = 1;
		}
		max -= (unsigned)n < max ? (unsigned)n : max;
	}
}

static void sweep(struct mirror *m)
{
	wr_nexthop_sweep(m);
	wr_route_scan(m, true);
	wr_neigh_sweep(m);
	wr_addr_sweep(m);
	wr_link_sweep(m);
}

/* What memory or indices were short for is tried again. */
static void retry_short(struct mirror *m)
{
	for (struct way *way = m->all_ways; way; way = way->next_all) {
		if (!way->is_starved && !m->is_short)
			continue;
		way->is_flipped = true;
		m->must_scan = true;
		wr_way_dirty(m, way);
	}
	for (uint32_t i = 1; i < m->prefixes.n_items && m->is_short; i++) {
		const struct prefix *p = wr_slab_at(&m->prefixes, i);

		if (p->len != PREFIX_FREE_LEN)
			wr_prefix_dirty(m, i);
	}
	m->is_short = false;
}

static int sync_tables(struct mirror *m)
{
	int err;

	if (!m->is_first_sync)
		take_events(m, REPLAY_DATAGRAMS);
	m->is_resync_due = false;
	m->gen++;
	m->is_dumping = true;
	err = dump_all(m);
	m->is_dumping = false;
	m->is_replaying = true;
	take_events(m, REPLAY_DATAGRAMS);
	if (!err)
		sweep(m);
	m->is_replaying = false;
	wr_link_read_redirects(m);
	retry_short(m);
	wr_derive_commit(m);
	return err;
}

static uint64_t now_ns(const struct mirror *m)
{
	return wr_now_ns(wr_loop_clock(m->conf.loop));
}

/* Due at once if the last one is long ago. */
static void arm_resync(struct mirror *m)
{
	uint64_t gap = m->stats.last_sync_ns * RESYNC_SHARE;
	uint64_t now, due, wait = RESYNC_SOON_NS;

	if (m->resync_timer.due_ns)
		return;
	if (gap < RESYNC_GAP_NS)
		gap = RESYNC_GAP_NS;
	now = now_ns(m);
	due = m->last_sync_end_ns + gap;
	if (due > now + wait)
		wait = due - now;
	wr_timer_start(m->conf.loop, &m->resync_timer, wait);
}

/* At the end of whatever happened on the loop: what was asked for meanwhile. */
static void settle(struct mirror *m)
{
	wr_derive_commit(m);
	if (m->is_detached)
		return;
	if (m->is_resync_due || m->is_short)
		arm_resync(m);
	if (!m->keepalive_timer.due_ns && wr_neigh_any_on_ports(m))
		wr_timer_start(m->conf.loop, &m->keepalive_timer, KEEPALIVE_NS);
}

static int resync(struct mirror *m)
{
	uint64_t start = now_ns(m);
	uint64_t n_mended = m->stats.n_mended;
	int err = sync_tables(m);

	m->last_sync_end_ns = now_ns(m);
	m->stats.last_sync_ns = m->last_sync_end_ns - start;
	if (err)
		m->is_resync_due = true;
	if (!m->is_first_sync)
		m->stats.n_resyncs++;
	if (err)
		wr_log(m->conf.log, WR_LOG_WARN,
		       "mirror: cannot read the kernel's tables: %s; trying again", strerror(-err));
	else if (m->stats.n_mended != n_mended && !m->is_first_sync)
		wr_log(m->conf.log, WR_LOG_DEBUG, "mirror: resync found %llu differences",
		       (unsigned long long)(m->stats.n_mended - n_mended));
	return err;
}

void wr_mirror_schedule(struct mirror *m)
{
	/* What a sweep removes was found by the dump itself. */
	if (!m->is_dumping)
		m->is_resync_due = true;
}

void wr_mirror_short(struct mirror *m)
{
	m->is_short = true;
}

/*
 * The loop's calls.
 */

/* Returns how many messages were applied, or -errno: then a resync is due. */
static int take_pending(struct mirror *m)
{
	int n = wr_nl_events(m->events, TURN_DATAGRAMS, apply, m);

	if (n == -ENOBUFS) {
		m->stats.n_overruns++;
		if (!m->is_resync_due)
			wr_log(m->conf.log, WR_LOG_WARN,
			       "mirror: the kernel's events came faster than they were read; "
			       "reading all tables again");
	}
	if (n < 0)
		m->is_resync_due = true;
	return n;
}

static void on_events(struct wr_watch *w, uint32_t epoll_events)
{
	struct mirror *m = wr_container_of(w, struct mirror, watch);

	(void)epoll_events;
	take_pending(m);
	settle(m);
}

void wr_mirror_catch_up(struct mirror *m)
{
	while (take_pending(m) > 0)
		;
	settle(m);
}

static void on_resync(struct wr_timer *t)
{
	struct mirror *m = wr_container_of(t, struct mirror, resync_timer);

	(void)resync(m);
	settle(m);
}

static void on_audit(struct wr_timer *t)
{
	struct mirror *m = wr_container_of(t, struct mirror, audit_timer);

	(void)resync(m);
	/* On failure its old set stays, and a sentence in it says so. */
	(void)wr_obstacles_look(m->obstacles);
	wr_transit_obstacles_changed(m);
	settle(m);
	wr_timer_start(m->conf.loop, &m->audit_timer, m->conf.audit_s * WR_NS_PER_S);
}

static void on_keepalive(struct wr_timer *t)
{
	struct mirror *m = wr_container_of(t, struct mirror, keepalive_timer);

	wr_neigh_keepalive(m);
	wr_link_read_redirects(m);
	settle(m);
}

/*
 * Life.
 */

int wr_mirror_create_detached(const struct mirror_conf *conf, struct mirror **ret_mirror)
{
	struct mirror *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	m->conf = *conf;
	m->is_detached = true;
	m->conf_dir = -1;
	m->all_redirects = true;
	m->watch = (struct wr_watch){.fd = -1, .ready = on_events};
	m->resync_timer.fire = on_resync;
	m->audit_timer.fire = on_audit;
	m->keepalive_timer.fire = on_keepalive;
	m->prefixes.item_bytes = sizeof(struct prefix);
	m->routes.item_bytes = sizeof(struct route);
	*ret_mirror = m;
	return 0;
}

static int subscribe(struct mirror *m, struct wr_err *err)
{
	static const struct {
		int group;
		bool is_optional;
	} groups[] = {
		{RTNLGRP_LINK, false},       {RTNLGRP_IPV4_IFADDR, false},  {RTNLGRP_NEIGH, false},
		{RTNLGRP_IPV4_ROUTE, false}, {RTNLGRP_IPV4_NETCONF, false}, {RTNLGRP_NEXTHOP, true},
	};

	for (unsigned i = 0; i < wr_array_size(groups); i++)
		if (nl_socket_add_membership(m->events, groups[i].group) && !groups[i].is_optional)
			return wr_err(err, -EIO,
				      "cannot subscribe to the kernel's rtnetlink group %d",
				      groups[i].group);
	return 0;
}

static int open_all(struct mirror *m, struct wr_err *err)
{
	uint32_t rcvbuf = m->conf.rcvbuf_bytes ? m->conf.rcvbuf_bytes : RCVBUF_BYTES;
	int code = wr_nl_open(NETLINK_ROUTE, rcvbuf, true, &m->events, err);

	if (!code)
		code = wr_nl_open(NETLINK_ROUTE, 0, false, &m->ask, err);
	if (!code)
		code = subscribe(m, err);
	if (code)
		return code;
	/* This directory is the one of the network namespace that the thread is in now. */
	m->conf_dir = open("/proc/sys/net/ipv4/conf", O_PATH | O_DIRECTORY | O_CLOEXEC);
	code = wr_obstacles_create(m->conf.loop, m->conf.bypass_netfilter,
				   wr_transit_obstacles_changed, m, &m->obstacles, err);
	if (code)
		return code;
	m->is_first_sync = true;
	code = resync(m);
	m->is_first_sync = false;
	if (code)
		return wr_err(err, code, "cannot read the kernel's tables: %s", strerror(-code));
	code = wr_watch_start(m->conf.loop, &m->watch, nl_socket_get_fd(m->events), EPOLLIN);
	if (code)
		return wr_err(err, code, "cannot watch the netlink socket: %s", strerror(-code));
	if (m->conf.audit_s)
		wr_timer_start(m->conf.loop, &m->audit_timer, m->conf.audit_s * WR_NS_PER_S);
	settle(m);
	return 0;
}

int wr_mirror_create(const struct mirror_conf *conf, struct mirror **ret_mirror, struct wr_err *err)
{
	struct mirror *m;
	int code = wr_mirror_create_detached(conf, &m);

	if (code)
		return wr_err(err, code, "out of memory");
	m->is_detached = false;
	code = open_all(m, err);
	if (code) {
		wr_mirror_free(m);
		return code;
	}
	*ret_mirror = m;
	return 0;
}

void wr_mirror_free(struct mirror *m)
{
	if (!m)
		return;
	if (!m->is_detached) {
		wr_watch_stop(m->conf.loop, &m->watch);
		wr_timer_stop(m->conf.loop, &m->resync_timer);
		wr_timer_stop(m->conf.loop, &m->audit_timer);
		wr_timer_stop(m->conf.loop, &m->keepalive_timer);
	}
	wr_obstacles_free(m->obstacles);
	wr_nl_close(m->events);
	wr_nl_close(m->ask);
	if (m->conf_dir >= 0)
		close(m->conf_dir);
	wr_derive_fini(m);
	wr_route_fini(m);
	wr_nexthop_fini(m);
	wr_neigh_fini(m);
	wr_addr_fini(m);
	wr_link_fini(m);
	free(m);
}

int wr_mirror_port_add(struct mirror *m, uint32_t ifindex, unsigned port_idx)
{
	struct link *link = wr_link_lookup(m, ifindex);

	if (!link || port_idx >= WR_MAX_PORTS)
		return -ENODEV;
	if (link->pub.port_idx >= 0 || m->ports[port_idx])
		return -EEXIST;
	link->pub.port_idx = (int)port_idx;
	m->ports[port_idx] = link;
	wr_link_dirty(m, link);
	wr_link_read_redirects(m);
	settle(m);
	wr_transit_obstacles_changed(m);
	return 0;
}

void wr_mirror_port_del(struct mirror *m, unsigned port_idx)
{
	if (port_idx >= WR_MAX_PORTS || !m->ports[port_idx])
		return;
	wr_transit_port_del(m, m->ports[port_idx]);
	settle(m);
	wr_transit_obstacles_changed(m);
}

int wr_mirror_resync(struct mirror *m)
{
	int err;

	if (m->is_detached)
		return -ENOTCONN;
	err = resync(m);
	if (m->obstacles && !err)
		err = wr_obstacles_look(m->obstacles);
	wr_transit_obstacles_changed(m);
	settle(m);
	return err;
}

void wr_mirror_feed(struct mirror *m, const void *msg, size_t len)
{
	struct nlmsghdr *h;

	if (len < NLMSG_HDRLEN || len > FEED_MAX_BYTES) {
		m->stats.n_bad++;
		return;
	}
	/* A copy of exactly this length, aligned. */
	h = malloc(len);
	if (!h)
		return;
	memcpy(h, msg, len);
	if (h->nlmsg_len < NLMSG_HDRLEN || h->nlmsg_len > len)
		m->stats.n_bad++;
	else
		apply(m, h);
	free(h);
	settle(m);
}

struct mirror_stats wr_mirror_stats(struct mirror *m)
{
	struct mirror_stats stats = m->stats;
	struct pollfd fd = {.fd = m->is_detached ? -1 : nl_socket_get_fd(m->events),
			    .events = POLLIN};

	stats.is_settled = !m->is_resync_due && !m->is_short && !m->resync_timer.due_ns &&
			   poll(&fd, 1, 0) == 0;
	return stats;
}
