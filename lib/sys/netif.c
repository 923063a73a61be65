/* SPDX-License-Identifier: BSD-3-Clause */
#include "lib/sys/netif.h"

#include <errno.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static int read_facts(int fd, struct ifreq *ifr, struct netif *netif)
{
	if (ioctl(fd, SIOCGIFINDEX, ifr))
		return -errno;
	netif->ifindex = (uint32_t)ifr->ifr_ifindex;
	if (ioctl(fd, SIOCGIFMTU, ifr))
		return -errno;
	netif->mtu = (uint32_t)ifr->ifr_mtu;
	if (ioctl(fd, SIOCGIFFLAGS, ifr))
		return -errno;
	netif->is_up = ifr->ifr_flags & IFF_UP;
	netif->is_loopback = ifr->ifr_flags & IFF_LOOPBACK;
	if (ioctl(fd, SIOCGIFHWADDR, ifr))
		return -errno;
	netif->is_ethernet = ifr->ifr_hwaddr.sa_family == ARPHRD_ETHER;
	memcpy(netif->mac.b, ifr->ifr_hwaddr.sa_data, sizeof(netif->mac.b));
	return 0;
}

int wr_netif_get(const char *ifname, struct netif *ret_netif)
{
	struct netif netif = {.ifindex = 0};
	struct ifreq ifr = {.ifr_name = ""};
	int fd, rc;

	if (strlen(ifname) >= sizeof(ifr.ifr_name))
		return -ENODEV;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", ifname);
	rc = read_facts(fd, &ifr, &netif);
	close(fd);
	if (!rc)
		*ret_netif = netif;
	return rc;
}
