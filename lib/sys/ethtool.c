/* SPDX-License-Identifier: BSD-3-Clause */
#include "lib/sys/ethtool.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static int ask(const char *ifname, void *request)
{
	struct ifreq ifr = {.ifr_data = request};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int err = 0;

	if (fd < 0)
		return -errno;
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", ifname);
	if (ioctl(fd, SIOCETHTOOL, &ifr))
		err = -errno;
	close(fd);
	return err;
}

int wr_ethtool_n_rx_queues(const char *ifname)
{
	struct ethtool_channels ch = {.cmd = ETHTOOL_GCHANNELS};
	int err = ask(ifname, &ch);

	if (err == -EOPNOTSUPP)
		return 1;
	if (err)
		return err;
	return ch.combined_count + ch.rx_count ? (int)(ch.combined_count + ch.rx_count) : 1;
}

bool wr_ethtool_is_virtual(const char *ifname)
{
	static const char *const drivers[] = {"veth", "tun",       "virtio_net",
					      "vif",  "hv_netvsc", "vmxnet3"};
	struct ethtool_drvinfo info = {.cmd = ETHTOOL_GDRVINFO};

	if (ask(ifname, &info))
		return true;
	for (unsigned i = 0; i < wr_array_size(drivers); i++)
		if (!strncmp(info.driver, drivers[i], sizeof(info.driver)))
			return true;
	return !info.bus_info[0] || !strncmp(info.bus_info, "N/A", sizeof(info.bus_info));
}

static int node_in(const char *path)
{
	FILE *file = fopen(path, "re");
	int node;

	if (!file)
		return -1;
	if (fscanf(file, "%d", &node) != 1 || node < 0)
		node = -1;
	(void)fclose(file);
	return node;
}

int wr_ethtool_numa_node(const char *ifname)
{
	char path[sizeof("/sys/class/net//device/numa_node") + IFNAMSIZ];

	if (strlen(ifname) >= IFNAMSIZ || strchr(ifname, '/'))
		return -1;
	snprintf(path, sizeof(path), "/sys/class/net/%s/device/numa_node", ifname);
	return node_in(path);
}

void wr_ethtool_driver(const char *ifname, char ret_name[32])
{
	struct ethtool_drvinfo info = {.cmd = ETHTOOL_GDRVINFO};

	ret_name[0] = '\0';
	if (!ask(ifname, &info))
		snprintf(ret_name, 32, "%s", info.driver);
}
