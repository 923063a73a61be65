/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a driver says of an interface. By the interface's name, in the calling thread's network
 * namespace.
 */
#ifndef WR_SYS_ETHTOOL_H
#define WR_SYS_ETHTOOL_H

#include "lib/base/types.h"

/* Receive queues in use (ETHTOOL_GCHANNELS); 1 where the driver does not say. -ENODEV ... */
int wr_ethtool_n_rx_queues(const char *ifname);
/* The same once an XDP program is attached, at most: see ethtool.c. */
int wr_ethtool_n_xdp_queues(const char *ifname);
/* Queues that the kernel sends by, the first ones; where it receives by more, an AF_XDP socket on
 * one of the others sends nothing. 0: not known. */
unsigned wr_ethtool_n_tx_queues(const char *ifname);
/* The driver's name ("veth", "virtio_net", "mlx5_core"); "" where there is none. */
void wr_ethtool_driver(const char *ifname, char ret_name[32]);
/* The NUMA node that the device is attached to, as /sys tells; -1: none, or nobody knows. */
int wr_ethtool_numa_node(const char *ifname);
/* An interface without a bus behind it, or one whose bus is a hypervisor's: no wire that checksums
 * were finished for. Also one that says nothing. */
bool wr_ethtool_is_virtual(const char *ifname);

#endif
