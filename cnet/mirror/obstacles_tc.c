/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Traffic control: filters and shapers that AF_XDP passes by.
 *
 * Ingress. clsact and ingress do nothing without a filter; with one, what comes in by that
 * interface is the kernel's.
 *
 * Egress. What Weir sends goes to the driver, past qdiscs and egress filters. A qdisc that only
 * queues, or shares out fairly what the driver takes, loses its say and nobody is harmed; one
 * that limits, delays or classifies does something the operator asked for, and so does an egress
 * filter. What comes in anywhere may leave there, so these concern all interfaces.
 *
 * Programs on BPF links (tcx, Linux 6.6) stand at the same two places. rtnetlink neither shows
 * nor announces them.
 *
 * Interfaces named "weir" and a number are Weir's own TAPs.
 */
#include "cnet/mirror/obstacles_src.h"

#include <ctype.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	/* Where filters may be, and interfaces; beyond it -EFBIG, which is an obstacle. */
	MAX_PLACES = 1 << 16,
	KIND_BYTES = 16,
	TCX_INGRESS = 46, /* BPF_TCX_INGRESS, not in older headers */
	TCX_EGRESS = 47,
	FILTERS_AT_ROOT = 0, /* tcm_parent of filters of an interface's root qdisc */
};

/* Where a filter may be; for tcx just an interface. */
struct place {
	uint32_t ifindex;
	uint32_t parent;
	bool is_ingress;
};

/* One look in progress. */
struct look {
	const struct obst_ask *ask;
	struct obst_list *list;
	struct place *places;
	unsigned n_places, max_places;
	unsigned n_filters; /* at the place being asked */
	int err;
};

static void restart(void *arg)
{
	struct look *look = arg;

	memset(look->list, 0, sizeof(*look->list));
	look->n_places = 0;
	look->err = 0;
}

static int add_place(struct look *look, struct place place)
{
	if (look->n_places == look->max_places) {
		unsigned max = look->max_places ? 2 * look->max_places : 64;
		struct place *more;

		if (max > MAX_PLACES)
			return -EFBIG;
		more = realloc(look->places, max * sizeof(*more));
		if (!more)
			return -ENOMEM;
		look->places = more;
		look->max_places = max;
	}
	look->places[look->n_places++] = place;
	return 0;
}

static bool is_own_tap(const char *name)
{
	if (strncmp(name, "weir", 4) != 0 || !name[4])
		return false;
	return name[4 + strspn(name + 4, "0123456789")] == '\0';
}

static bool is_one_of(const char *kind, const char *const *kinds, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (!strcmp(kind, kinds[i]))
			return true;
	return false;
}

/*
 * Qdiscs.
 */

/* These take no filters. */
static bool is_plain_queue(const char *kind)
{
	static const char *const kinds[] = {
		"noqueue", "pfifo_fast", "pfifo", "bfifo", "pfifo_head_drop", "mq", "fq", "codel",
	};

	return is_one_of(kind, kinds, wr_array_size(kinds));
}

/* These may have filters, which sort packets into queues and can have actions. */
static bool is_fair_queue(const char *kind)
{
	static const char *const kinds[] = {"fq_codel", "sfq"};

	return is_one_of(kind, kinds, wr_array_size(kinds));
}

static void add_shaper(struct look *look, uint32_t ifindex, const char *kind)
{
	char name[IF_NAMESIZE];

	wr_obst_ifname(look->ask, ifindex, name);
	wr_obst_add_egress(
		look->list, ifindex,
		"tc qdisc %s on %s (egress): what Weir sends passes it by; delete it, or the "
		"kernel forwards",
		kind, name);
}

static int judge_qdisc(struct look *look, const struct tcmsg *tc, const char *kind)
{
	const uint32_t both = TC_H_MAJ(TC_H_CLSACT);
	uint32_t ifindex = (uint32_t)tc->tcm_ifindex;
	int err;

	if (!strcmp(kind, "ingress"))
		return add_place(look, (struct place){ifindex, TC_H_MAJ(TC_H_INGRESS), true});
	if (!strcmp(kind, "clsact")) {
		err = add_place(look, (struct place){ifindex, both | TC_H_MIN_INGRESS, true});
		return err ? err
			   : add_place(look,
				       (struct place){ifindex, both | TC_H_MIN_EGRESS, false});
	}
	if (is_plain_queue(kind))
		return 0;
	if (!is_fair_queue(kind)) {
		add_shaper(look, ifindex, kind);
		return 0;
	}
	/* One without a handle can be addressed only as the root. */
	if (!tc->tcm_handle && tc->tcm_parent != TC_H_ROOT)
		return 0;
	return add_place(
		look,
		(struct place){ifindex, tc->tcm_handle ? tc->tcm_handle : FILTERS_AT_ROOT, false});
}

static int parse_qdisc(const struct nlmsghdr *h, struct tcmsg *ret_tc, char *ret_kind)
{
	static const struct nl_want want = {TCA_KIND, 1};
	const struct nlattr *kind;
	const void *attrs;
	size_t len;

	if (wr_nl_body(h, sizeof(*ret_tc), &attrs, &len) ||
	    wr_nl_attrs(attrs, len, &want, 1, &kind) || !kind)
		return -EBADMSG;
	memcpy(ret_tc, (const char *)h + NLMSG_HDRLEN, sizeof(*ret_tc));
	wr_nl_str(kind, ret_kind, KIND_BYTES);
	return 0;
}

static void on_qdisc(void *arg, const struct nlmsghdr *h)
{
	char name[IF_NAMESIZE], kind[KIND_BYTES];
	struct look *look = arg;
	struct tcmsg tc;

	if (look->err || h->nlmsg_type != RTM_NEWQDISC)
		return;
	look->err = parse_qdisc(h, &tc, kind);
	if (look->err || is_own_tap(wr_obst_ifname(look->ask, (uint32_t)tc.tcm_ifindex, name)))
		return;
	look->err = judge_qdisc(look, &tc, kind);
}

/*
 * Filters.
 */

static void restart_filters(void *arg)
{
	((struct look *)arg)->n_filters = 0;
}

static void on_filter(void *arg, const struct nlmsghdr *h)
{
	struct look *look = arg;

	if (h->nlmsg_type == RTM_NEWTFILTER)
		look->n_filters++;
}

static void add_filter(struct look *look, const char *what, const struct place *at)
{
	char name[IF_NAMESIZE];

	wr_obst_ifname(look->ask, at->ifindex, name);
	if (at->is_ingress)
		wr_obst_add(look->list, at->ifindex, false,
			    "%s at ingress of %s; delete it, or the kernel forwards", what, name);
	else
		wr_obst_add_egress(
			look->list, at->ifindex,
			"%s at egress of %s: what Weir sends passes it by; delete it, or the "
			"kernel forwards",
			what, name);
}

static int look_place(struct look *look, const struct place *at)
{
	const struct tcmsg tc = {
		.tcm_family = AF_UNSPEC, .tcm_ifindex = (int)at->ifindex, .tcm_parent = at->parent};
	int err = wr_obst_dump(look->ask->rtnl, RTM_GETTFILTER, &tc, sizeof(tc), on_filter,
			       restart_filters, look);

	/* For an interface or a qdisc that went meanwhile the answer is empty; the event of that
	 * comes. */
	if (!err && look->n_filters)
		add_filter(look, "tc filter", at);
	return err;
}

int wr_obst_tc(const struct obst_ask *ask, struct obst_list *list)
{
	const struct tcmsg all = {.tcm_family = AF_UNSPEC};
	struct look look = {.ask = ask, .list = list};
	int err =
		wr_obst_dump(ask->rtnl, RTM_GETQDISC, &all, sizeof(all), on_qdisc, restart, &look);

	if (!err)
		err = look.err;
	for (unsigned i = 0; i < look.n_places && !err; i++)
		err = look_place(&look, &look.places[i]);
	free(look.places);
	return err;
}

/*
 * Programs on BPF links.
 */

static void on_link(void *arg, const struct nlmsghdr *h)
{
	static const struct nl_want want = {IFLA_IFNAME, 1};
	char name[IF_NAMESIZE];
	const struct nlattr *a;
	struct look *look = arg;
	struct ifinfomsg ifi;
	const void *attrs;
	size_t len;

	if (look->err || h->nlmsg_type != RTM_NEWLINK)
		return;
	if (wr_nl_body(h, sizeof(ifi), &attrs, &len) || wr_nl_attrs(attrs, len, &want, 1, &a) ||
	    !a) {
		look->err = -EBADMSG;
		return;
	}
	memcpy(&ifi, (const char *)h + NLMSG_HDRLEN, sizeof(ifi));
	wr_nl_str(a, name, sizeof(name));
	if (!is_own_tap(name))
		look->err = add_place(look, (struct place){.ifindex = (uint32_t)ifi.ifi_index});
}

/* Programs at an interface's ingress or egress, or -errno; -EINVAL: the kernel has no tcx. */
static int count_tcx(uint32_t ifindex, uint32_t attach_type)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.query.target_fd = ifindex; /* the same word: target_ifindex in newer headers */
	attr.query.attach_type = attach_type;
	if (!syscall(SYS_bpf, BPF_PROG_QUERY, &attr, sizeof(attr)))
		return (int)attr.query.prog_cnt;
	/* ENOENT: nothing was ever attached. ENODEV: the interface is gone. */
	return errno == ENOENT || errno == ENODEV ? 0 : -errno;
}

static int look_tcx(struct look *look, uint32_t ifindex, uint32_t attach_type)
{
	const struct place at = {.ifindex = ifindex, .is_ingress = attach_type == TCX_INGRESS};
	int n = count_tcx(ifindex, attach_type);

	if (n > 0)
		add_filter(look, "tc program (tcx)", &at);
	return n < 0 ? n : 0;
}

int wr_obst_tcx(const struct obst_ask *ask, struct obst_list *list)
{
	const struct ifinfomsg all = {.ifi_family = AF_UNSPEC};
	struct look look = {.ask = ask, .list = list};
	int err = wr_obst_dump(ask->rtnl, RTM_GETLINK, &all, sizeof(all), on_link, restart, &look);

	if (!err)
		err = look.err;
	for (unsigned i = 0; i < look.n_places && !err; i++) {
		err = look_tcx(&look, look.places[i].ifindex, TCX_INGRESS);
		if (!err)
			err = look_tcx(&look, look.places[i].ifindex, TCX_EGRESS);
	}
	free(look.places);
	/* A kernel without it. */
	return err == -EINVAL ? 0 : err;
}
