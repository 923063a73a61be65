/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * When to look, and what the set is.
 *
 * Every source has a dirty bit. Events set bits and are read for nothing else: their order, their
 * loss and their content do not matter, only that the sources they speak of are looked at after
 * the last of them. Subscribing comes before the first look, so nothing falls between. The first
 * event is answered at once, further ones at most every QUIET_MS: a script that loads a thousand
 * rules costs ten looks a second and the last state is always seen. What sends no events is
 * looked at by a slow timer, and so is what could not be read.
 *
 * Fail safe: a source that cannot be read keeps its last list, and a sentence says that it may be
 * stale. Only a complete look removes an obstacle.
 *
 * With bypass_netfilter the sources of netfilter and xfrm are not asked at all. Rules that match
 * a firewall mark then have no marks to match: the operator gave those up with the firewall.
 *
 * Not seen on a kernel that cannot list its netfilter hooks (Debian's among them): what is neither
 * nft nor iptables, such as BPF programs at those hooks and IPVS.
 */
#include "cnet/mirror/obstacles_src.h"

#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/xfrm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	QUIET_MS = 100,
	SLOW_S = 5,
	SLOW_IPTABLES_S = 2,
	MISSING_PERIODS = 12, /* of the slow timer, until a protocol is tried again */
	EVENTS_PER_READ = 64,
	EVENTS_RCVBUF_BYTES = 1 << 20,
};

enum source_id {
	SRC_NFT,
	SRC_HOOKS,
	SRC_IPTABLES,
	SRC_RULES,
	SRC_TABLE_DEFAULT,
	SRC_XFRM,
	SRC_TC,
	SRC_TCX,
	N_SOURCES,
};

enum source_flags {
	IS_NETFILTER = 1 << 0,
	IS_POLLED = 1 << 1,
	HAS_NAMES = 1 << 2, /* what it says depends on which interfaces there are */
};

static const struct source {
	const char *name;
	obst_look *look;
	unsigned flags;
} sources[N_SOURCES] = {
	[SRC_NFT] = {"nft chains", wr_obst_nft, IS_NETFILTER | HAS_NAMES},
	[SRC_HOOKS] = {"netfilter hooks", wr_obst_hooks, IS_NETFILTER | IS_POLLED},
	[SRC_IPTABLES] = {"iptables (legacy)", wr_obst_iptables, IS_NETFILTER | IS_POLLED},
	[SRC_RULES] = {"ip rules", wr_obst_rules, HAS_NAMES},
	[SRC_TABLE_DEFAULT] = {"routes in table default", wr_obst_table_default, IS_POLLED},
	[SRC_XFRM] = {"IPsec policies", wr_obst_xfrm, IS_NETFILTER},
	[SRC_TC] = {"tc filters and qdiscs", wr_obst_tc, HAS_NAMES},
	[SRC_TCX] = {"tc BPF links", wr_obst_tcx, HAS_NAMES | IS_POLLED},
};

#define BIT(i) (1U << (i))

struct events {
	struct wr_watch watch;
	struct nl_sock *sock; /* NULL: the kernel has no such protocol */
	struct obstacles *owner;
	uint32_t sources; /* those it speaks of, dirty when events were lost */
};

struct source_state {
	int err; /* of the last look: 0 or -errno */
	struct obst_list list;
};

struct obstacles {
	struct wr_loop *loop;
	void (*changed)(void *arg);
	void *arg;

	struct obst_ask ask;
	struct events nfnl, rtnl, xfrm;
	struct wr_timer quiet;    /* armed: a look was less than QUIET_MS ago */
	struct wr_timer slow;     /* always armed */
	struct wr_timer announce; /* armed: changed() is due */

	unsigned n_slow;
	uint32_t active; /* bits of sources: not those that are bypassed */
	uint32_t dirty;
	struct source_state states[N_SOURCES];
	struct obst_list fresh; /* of the look in progress */

	unsigned n_set;
	struct obstacle set[OBST_MAX + 1];
};

/*
 * The set.
 */

static void add_stale(struct obst_list *to, const struct source *src, int err)
{
	wr_obst_add(to, 0, src->flags & IS_NETFILTER,
		    "%s cannot be read (%s): what was known of them may be stale%s", src->name,
		    strerror(-err), src->flags & IS_NETFILTER ? OBST_BYPASS : "");
}

static void add_list(struct obst_list *to, const struct obst_list *from)
{
	for (unsigned i = 0; i < from->n; i++)
		wr_obst_list_add(to, &from->items[i]);
	to->n_more += from->n_more;
	to->is_more_other |= from->is_more_other;
}

/* Joins the lists of the sources into `all`; what could not be read comes first, so that the
 * limit does not hide it. */
static void join(const struct obstacles *o, struct obst_list *all)
{
	memset(all, 0, sizeof(*all));
	for (unsigned i = 0; i < N_SOURCES; i++)
		if (o->states[i].err)
			add_stale(all, &sources[i], o->states[i].err);
	for (unsigned i = 0; i < N_SOURCES; i++)
		add_list(all, &o->states[i].list);
}

static struct obstacle and_more(const struct obst_list *list)
{
	struct obstacle o = {.is_netfilter = !list->is_more_other};

	snprintf(o.sentence, sizeof(o.sentence), "and %u more%s", list->n_more,
		 o.is_netfilter ? OBST_BYPASS : "");
	return o;
}

static bool is_in(const struct obstacle *o, const struct obstacle *set, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (wr_obst_is_same(&set[i], o))
			return true;
	return false;
}

/* No obstacle is in a set twice, so two sets of one size are equal if one is within the other. */
static bool is_equal_set(const struct obstacle *a, unsigned n_a, const struct obstacle *b,
			 unsigned n_b)
{
	if (n_a != n_b)
		return false;
	for (unsigned i = 0; i < n_a; i++)
		if (!is_in(&a[i], b, n_b))
			return false;
	return true;
}

/* Puts the joined lists in place; whether that changed the set. */
static bool publish(struct obstacles *o)
{
	struct obst_list *all = &o->fresh;
	struct obstacle more;
	unsigned n;

	join(o, all);
	n = all->n + (all->n_more > 0);
	more = and_more(all);
	if (n == o->n_set && is_equal_set(all->items, all->n, o->set, all->n) &&
	    (!all->n_more || wr_obst_is_same(&more, &o->set[all->n])))
		return false;
	memcpy(o->set, all->items, all->n * sizeof(o->set[0]));
	if (all->n_more)
		o->set[all->n] = more;
	o->n_set = n;
	return true;
}

/*
 * Looking.
 */

static int look_source(struct obstacles *o, unsigned i)
{
	struct source_state *state = &o->states[i];

	memset(&o->fresh, 0, sizeof(o->fresh));
	state->err = sources[i].look(&o->ask, &o->fresh);
	if (!state->err)
		state->list = o->fresh;
	return state->err;
}

/* Kernels answer so when their tables change faster than they are read, or memory is short: worth
 * trying again soon. */
static bool is_passing(int err)
{
	return err == -EAGAIN || err == -ENOBUFS || err == -EINTR;
}

/* Looks at what is dirty; returns the first error. A source whose trouble may pass stays dirty. */
static int look_dirty(struct obstacles *o)
{
	uint32_t todo = o->dirty & o->active;
	int first = 0;

	o->dirty = 0;
	for (unsigned i = 0; i < N_SOURCES; i++) {
		int err = todo & BIT(i) ? look_source(o, i) : 0;

		if (is_passing(err))
			o->dirty |= BIT(i);
		if (!first)
			first = err;
	}
	/* From a timer of its own: whoever called must not find the owner in the midst of
	 * changed(). */
	if (publish(o))
		wr_timer_start(o->loop, &o->announce, 0);
	return first;
}

static void look_now_or_soon(struct obstacles *o)
{
	if (!o->dirty || o->quiet.due_ns)
		return;
	look_dirty(o);
	wr_timer_start(o->loop, &o->quiet, QUIET_MS * WR_NS_PER_MS);
}

static void quiet_fire(struct wr_timer *t)
{
	look_now_or_soon(wr_container_of(t, struct obstacles, quiet));
}

static void start_slow(struct obstacles *o)
{
	bool is_faster = o->active & BIT(SRC_IPTABLES) && wr_obst_has_iptables();

	wr_timer_start(o->loop, &o->slow, (is_faster ? SLOW_IPTABLES_S : SLOW_S) * WR_NS_PER_S);
}

static int open_bypassable(struct obstacles *, struct wr_err *);

/* A module may come late that asking did not load. Rarely, because asking starts modprobe. */
static void try_missing(struct obstacles *o)
{
	bool is_missing = !o->ask.nfnl || !o->ask.xfrm;

	if (!(o->active & BIT(SRC_NFT)) || !is_missing || ++o->n_slow % MISSING_PERIODS)
		return;
	if (!open_bypassable(o, NULL))
		o->dirty |= o->active;
}

static void slow_fire(struct wr_timer *t)
{
	struct obstacles *o = wr_container_of(t, struct obstacles, slow);

	try_missing(o);
	for (unsigned i = 0; i < N_SOURCES; i++)
		if (sources[i].flags & IS_POLLED || o->states[i].err)
			o->dirty |= BIT(i);
	start_slow(o);
	look_now_or_soon(o);
}

static void announce_fire(struct wr_timer *t)
{
	struct obstacles *o = wr_container_of(t, struct obstacles, announce);

	o->changed(o->arg); /* may free `o` */
}

/*
 * Events.
 */

/* Which sources a message speaks of. A link may be one that a chain or a rule names and that was
 * not there, or has a new name. */
static uint32_t rtnl_sources(uint16_t type)
{
	uint32_t named = 0;

	switch (type) {
	case RTM_NEWRULE:
	case RTM_DELRULE:
		return BIT(SRC_RULES) | BIT(SRC_TABLE_DEFAULT);
	case RTM_NEWNETCONF: /* rp_filter, see obstacles_rule.c */
	case RTM_DELNETCONF:
		return BIT(SRC_RULES);
	case RTM_NEWLINK:
	case RTM_DELLINK:
		for (unsigned i = 0; i < N_SOURCES; i++)
			if (sources[i].flags & HAS_NAMES)
				named |= BIT(i);
		return named;
	default:
		return BIT(SRC_TC);
	}
}

static void on_message(void *arg, const struct nlmsghdr *h)
{
	struct events *ev = arg;

	if (ev == &ev->owner->rtnl)
		ev->owner->dirty |= rtnl_sources(h->nlmsg_type);
	else
		ev->owner->dirty |= ev->sources;
}

static void on_ready(struct wr_watch *w, uint32_t epoll_events)
{
	struct events *ev = wr_container_of(w, struct events, watch);

	(void)epoll_events;
	if (wr_nl_events(ev->sock, EVENTS_PER_READ, on_message, ev) < 0)
		ev->owner->dirty |= ev->sources;
	look_now_or_soon(ev->owner);
}

/*
 * Opening and closing.
 */

static int subscribe(struct events *ev, const int *groups, unsigned n_groups, struct wr_err *err)
{
	for (unsigned i = 0; i < n_groups; i++)
		if (setsockopt(nl_socket_get_fd(ev->sock), SOL_NETLINK, NETLINK_ADD_MEMBERSHIP,
			       &groups[i], sizeof(groups[i])))
			return wr_err(err, -errno,
				      "cannot listen for changes of firewalls and rules "
				      "(netlink group %d: %s): needs CAP_NET_ADMIN",
				      groups[i], strerror(errno));
	return 0;
}

static void close_events(struct obstacles *o, struct events *ev)
{
	wr_watch_stop(o->loop, &ev->watch);
	wr_nl_close(ev->sock);
	ev->sock = NULL;
}

static int open_events(struct obstacles *o, struct events *ev, int protocol, const int *groups,
		       unsigned n_groups, struct wr_err *err)
{
	int code = wr_nl_open(protocol, EVENTS_RCVBUF_BYTES, true, &ev->sock, err);

	if (code)
		return code;
	code = subscribe(ev, groups, n_groups, err);
	if (!code)
		code = wr_watch_start(o->loop, &ev->watch, nl_socket_get_fd(ev->sock), EPOLLIN);
	if (code)
		close_events(o, ev);
	return code;
}

/* So that the kernel filters a dump of routes by table, and does not send a million to have one
 * looked for. */
static int be_strict(struct nl_sock *sock, struct wr_err *err)
{
	int on = 1;

	if (setsockopt(nl_socket_get_fd(sock), SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on,
		       sizeof(on)))
		return wr_err(err, -errno,
			      "the kernel does not filter dumps: needs Linux 4.20 or later");
	return 0;
}

static int open_rtnl(struct obstacles *o, struct wr_err *err)
{
	static const int groups[] = {RTNLGRP_LINK, RTNLGRP_TC, RTNLGRP_IPV4_RULE,
				     RTNLGRP_IPV4_NETCONF};
	int code = wr_nl_open(NETLINK_ROUTE, 0, false, &o->ask.rtnl, err);

	if (!code)
		code = be_strict(o->ask.rtnl, err);
	if (!code)
		code = open_events(o, &o->rtnl, NETLINK_ROUTE, groups, wr_array_size(groups), err);
	return code;
}

/* Opens what is not open yet. A kernel without the protocol is no error: it has nothing to find. */
static int open_protocol(struct obstacles *o, int protocol, int group, struct events *ev,
			 struct nl_sock **ask, struct wr_err *err)
{
	struct wr_err why = {""};
	int code = ev->sock ? 0 : open_events(o, ev, protocol, &group, 1, &why);

	if (!code && !*ask)
		code = wr_nl_open(protocol, 0, false, ask, &why);
	if (!code || code == -EPROTONOSUPPORT)
		return 0;
	return wr_err(err, code, "%s", why.text);
}

static int open_bypassable(struct obstacles *o, struct wr_err *err)
{
	int code =
		open_protocol(o, NETLINK_NETFILTER, NFNLGRP_NFTABLES, &o->nfnl, &o->ask.nfnl, err);

	return code ? code
		    : open_protocol(o, NETLINK_XFRM, XFRMNLGRP_POLICY, &o->xfrm, &o->ask.xfrm, err);
}

static int open_all(struct obstacles *o, bool bypass_netfilter, struct wr_err *err)
{
	int code;

	o->ask.inet_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (o->ask.inet_fd < 0)
		return wr_err(err, -errno, "cannot open a socket: %s", strerror(errno));
	code = open_rtnl(o, err);
	if (!code && !bypass_netfilter)
		code = open_bypassable(o, err);
	return code;
}

static void init_events(struct obstacles *o, struct events *ev, uint32_t source_bits)
{
	ev->watch = (struct wr_watch){.fd = -1, .ready = on_ready};
	ev->owner = o;
	ev->sources = source_bits;
}

static uint32_t active_sources(bool bypass_netfilter)
{
	uint32_t bits = 0;

	for (unsigned i = 0; i < N_SOURCES; i++)
		if (!bypass_netfilter || !(sources[i].flags & IS_NETFILTER))
			bits |= BIT(i);
	return bits;
}

int wr_obstacles_create(struct wr_loop *loop, bool bypass_netfilter, void (*changed)(void *arg),
			void *arg, struct obstacles **ret, struct wr_err *err)
{
	struct obstacles *o = calloc(1, sizeof(*o));
	int code;

	if (!o)
		return wr_err(err, -ENOMEM, "out of memory");
	o->loop = loop;
	o->changed = changed;
	o->arg = arg;
	o->active = active_sources(bypass_netfilter);
	o->quiet.fire = quiet_fire;
	o->slow.fire = slow_fire;
	o->announce.fire = announce_fire;
	init_events(o, &o->nfnl, BIT(SRC_NFT) | BIT(SRC_HOOKS));
	init_events(o, &o->xfrm, BIT(SRC_XFRM));
	/* Lost events of links: whatever has names. */
	init_events(o, &o->rtnl, ~0U);
	code = open_all(o, bypass_netfilter, err);
	if (code) {
		wr_obstacles_free(o);
		return code;
	}
	/* What cannot be read is in the set by a sentence of its own. */
	(void)wr_obstacles_look(o);
	wr_timer_stop(loop, &o->announce);
	start_slow(o);
	*ret = o;
	return 0;
}

void wr_obstacles_free(struct obstacles *o)
{
	if (!o)
		return;
	wr_timer_stop(o->loop, &o->announce);
	wr_timer_stop(o->loop, &o->quiet);
	wr_timer_stop(o->loop, &o->slow);
	close_events(o, &o->xfrm);
	close_events(o, &o->nfnl);
	close_events(o, &o->rtnl);
	wr_nl_close(o->ask.xfrm);
	wr_nl_close(o->ask.nfnl);
	wr_nl_close(o->ask.rtnl);
	if (o->ask.inet_fd >= 0)
		close(o->ask.inet_fd);
	free(o);
}

int wr_obstacles_look(struct obstacles *o)
{
	int err;

	o->dirty = o->active;
	err = look_dirty(o);
	/* What is still dirty is looked at again when the quiet time ends. */
	if (!o->quiet.due_ns)
		wr_timer_start(o->loop, &o->quiet, QUIET_MS * WR_NS_PER_MS);
	return err;
}

const struct obstacle *wr_obstacles_list(const struct obstacles *o, unsigned *ret_n)
{
	*ret_n = o->n_set;
	return o->set;
}
