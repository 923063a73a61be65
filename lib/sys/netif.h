/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The few facts of an interface that who has no mirror of the kernel's tables needs. By name, in
 * the calling thread's network namespace.
 */
#ifndef WR_SYS_NETIF_H
#define WR_SYS_NETIF_H

#include "lib/base/types.h"

struct netif {
	uint32_t ifindex;
	uint32_t mtu;
	struct mac mac;
	bool is_up, is_loopback;
	bool is_ethernet; /* its frames begin with an Ethernet header */
};

/* 0; -ENODEV: there is none of this name; or another -errno. */
int wr_netif_get(const char *ifname, struct netif *ret_netif);

#endif
