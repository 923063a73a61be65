/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Obstacles: what the kernel would do to packets in transit and Weir does not evaluate.
 *
 *   netfilter   base chains and hooks on prerouting, forward, postrouting and ingress (nft of the
 *               families ip, inet, netdev; iptables): by nfnetlink's hook dump where the kernel has
 *               it, else by the list of nft base chains and /proc/net/ip_tables_names
 *   rules       `ip rule`s beyond the three of every system; routes in table default
 *   xfrm        IPsec policies
 *   tc          filters at ingress other than Weir's own on its TAPs, filters and shapers at egress
 *
 * While there is one, packets that it concerns stay with the kernel: a firewall never gets a hole
 * because Weir was started. An empty base chain whose policy is accept does nothing and is no
 * obstacle. Changes are heard (nftables, rule, xfrm and tc groups) and what cannot be heard (legacy
 * iptables) is looked at every few seconds.
 *
 * Each obstacle is one sentence that says what, where, and what the operator can do. Control thread
 * only.
 */
#ifndef WR_CNET_MIRROR_OBSTACLES_H
#define WR_CNET_MIRROR_OBSTACLES_H

#include "lib/base/err.h"
#include "lib/sys/loop.h"

struct obstacles;

struct obstacle {
	uint32_t ifindex;   /* packets that come in here; 0: by any interface */
	bool is_netfilter;  /* lifted by --bypass-netfilter (netfilter and xfrm) */
	char sentence[200]; /* "nft chain inet filter forward (12 rules, policy drop) ..." */
	/* Not 0: it concerns what leaves here, so only if Weir sends by this interface. */
	uint32_t egress_ifindex;
};

/* Opens sockets in the thread's network namespace, looks, subscribes. `changed(arg)` is called from
 * the loop after the set changed. */
int wr_obstacles_create(struct wr_loop *, bool bypass_netfilter, void (*changed)(void *arg),
			void *arg, struct obstacles **ret, struct wr_err *);
void wr_obstacles_free(struct obstacles *);

/* Looks again at everything now. 0 or -errno; on failure the old set stays and a sentence says that
 * it may be stale, itself an obstacle. */
int wr_obstacles_look(struct obstacles *);

/* The set; valid until the next turn of the loop. With bypass_netfilter those of netfilter and xfrm
 * are not in it. */
const struct obstacle *wr_obstacles_list(const struct obstacles *, unsigned *ret_n);

#endif
