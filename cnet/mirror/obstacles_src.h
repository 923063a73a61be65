/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sources of obstacles: what obstacles.c and obstacles_*.c share.
 *
 * A source looks at one thing in the kernel and writes what it finds into a list. It keeps no
 * state: obstacles.c decides when to look, keeps the last good list of each source, and joins
 * them into the set. A look that cannot be finished returns -errno, and what it wrote is thrown
 * away: half a firewall is not an answer.
 */
#ifndef WR_CNET_MIRROR_OBSTACLES_SRC_H
#define WR_CNET_MIRROR_OBSTACLES_SRC_H

#include "cnet/mirror/obstacles.h"
#include "lib/nl/nl.h"

enum { OBST_MAX = 64 };

/* Beyond OBST_MAX they are only counted; the sentence that stands for those concerns all
 * interfaces. */
struct obst_list {
	unsigned n;
	unsigned n_more;
	bool is_more_other; /* one of those at least is neither netfilter's nor xfrm's */
	struct obstacle items[OBST_MAX];
};

/* What a look asks through; all of one network namespace. Borrowed from obstacles.c. */
struct obst_ask {
	struct nl_sock *nfnl; /* NULL: the kernel has no such protocol, hence nothing to find */
	struct nl_sock *rtnl; /* strict: the kernel honours the filter of a dump */
	struct nl_sock *xfrm; /* NULL as nfnl */
	int inet_fd; /* AF_INET datagram socket, for interfaces' names and legacy iptables */
};

/* Adds a sentence, cut to fit and with `?` for what a terminal would obey. The same one twice is
 * one. */
void wr_obst_add(struct obst_list *, uint32_t ifindex, bool is_netfilter, const char *fmt, ...)
	wr_printf(4, 5);
/* One of the way out by an interface. */
void wr_obst_add_egress(struct obst_list *, uint32_t egress_ifindex, const char *fmt, ...)
	wr_printf(3, 4);
void wr_obst_list_add(struct obst_list *, const struct obstacle *);
bool wr_obst_is_same(const struct obstacle *, const struct obstacle *);

/* 0 if there is no such interface; -errno if that cannot be told. */
int wr_obst_ifindex(const struct obst_ask *, const char *name, uint32_t *ret_ifindex);
/* "if7" stands for an interface that has no name any more. `buf` holds IF_NAMESIZE bytes. */
const char *wr_obst_ifname(const struct obst_ask *, uint32_t ifindex, char *buf);

/* wr_nl_dump(), taken again a few times while the kernel says that it was interrupted.
 * `restart(arg)` throws away what the interrupted one gave. */
int wr_obst_dump(struct nl_sock *, uint16_t type, const void *body, size_t body_bytes, wr_nl_each *,
		 void (*restart)(void *arg), void *arg);

/* The attribute after `a`, NULL after the last; with a == NULL the first. wr_nl_attrs() has
 * accepted the region. */
static inline const struct nlattr *wr_obst_next(const struct nlattr *a, const void *attrs,
						size_t len)
{
	size_t at = a ? (size_t)((const char *)a - (const char *)attrs) + NLA_ALIGN(a->nla_len) : 0;

	return at < len ? (const struct nlattr *)((const char *)attrs + at) : NULL;
}

#define OBST_BYPASS "; --bypass-netfilter forwards regardless"

typedef int obst_look(const struct obst_ask *, struct obst_list *);

obst_look wr_obst_nft;      /* nft base chains and flowtables */
obst_look wr_obst_hooks;    /* other netfilter hooks, where the kernel lists them; no events */
obst_look wr_obst_iptables; /* legacy tables; no events */
obst_look wr_obst_rules;
obst_look wr_obst_table_default; /* no events of its own */
obst_look wr_obst_xfrm;
obst_look wr_obst_tc;
obst_look wr_obst_tcx; /* tc programs on BPF links; no events */

/* Whether there is something to poll legacy iptables for. */
bool wr_obst_has_iptables(void);

#endif
