/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Queues. ETHTOOL_GCHANNELS tells what an interface receives by, now. Two things it does not tell:
 *
 * While an XDP program is attached virtio_net reserves a pair of queues for each CPU that may ever
 * be there, for what the program sends, if the device has so many; or else none. It receives by
 * them as by the others. No other driver is known to add queues to receive by, so for those the
 * number is what it is, and nobody sets memory aside in vain.
 *
 * And GCHANNELS counts those pairs as "combined" although the kernel sends nothing by them. What it
 * sends by only sysfs lists: that of the network namespace, which need not be the one on /sys.
 */
#include "lib/sys/ethtool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/sysinfo.h>
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

static int ask_channels(const char *ifname, struct ethtool_channels *ret_ch)
{
	struct ethtool_channels ch = {.cmd = ETHTOOL_GCHANNELS};
	int err = ask(ifname, &ch);

	if (err && err != -EOPNOTSUPP)
		return err;
	if (err || !(ch.combined_count + ch.rx_count))
		ch = (struct ethtool_channels){.combined_count = 1};
	*ret_ch = ch;
	return 0;
}

int wr_ethtool_n_rx_queues(const char *ifname)
{
	struct ethtool_channels ch;
	int err = ask_channels(ifname, &ch);

	return err ? err : (int)(ch.combined_count + ch.rx_count);
}

/* `n_tx`: as wr_ethtool_n_tx_queues() says. Those it does not send by were added already. */
static unsigned with_reserve(unsigned n_rx, unsigned n_tx, unsigned n_cpus, unsigned max)
{
	unsigned n_own = n_tx && n_tx < n_rx ? n_tx : n_rx;
	unsigned n_both = n_own + n_cpus;

	return n_both > n_rx && n_both <= max ? n_both : n_rx;
}

int wr_ethtool_n_xdp_queues(const char *ifname)
{
	struct ethtool_channels ch;
	int err = ask_channels(ifname, &ch);
	char driver[32];

	if (err)
		return err;
	wr_ethtool_driver(ifname, driver);
	if (strcmp(driver, "virtio_net") != 0)
		return (int)(ch.combined_count + ch.rx_count);
	return (int)with_reserve(ch.combined_count, wr_ethtool_n_tx_queues(ifname),
				 (unsigned)get_nprocs_conf(), ch.max_combined);
}

/* That of the calling thread's network namespace, mounted on no directory. Without CAP_SYS_ADMIN
 * what is on /sys. */
static int open_sysfs(void)
{
	int fs = fsopen("sysfs", FSOPEN_CLOEXEC), mnt = -1;

	if (fs >= 0) {
		if (!fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
			mnt = fsmount(fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID);
		close(fs);
	}
	return mnt >= 0 ? mnt : open("/sys", O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static unsigned count_entries(int dir_fd, const char *path, const char *prefix)
{
	int fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	unsigned n = 0;

	if (!dir) {
		if (fd >= 0)
			close(fd);
		return 0;
	}
	while ((entry = readdir(dir)))
		n += !strncmp(entry->d_name, prefix, strlen(prefix));
	closedir(dir);
	return n;
}

/* Another namespace's /sys has another interface of this name, or none. */
static bool is_same(int dir_fd, const char *path, const char *ifname)
{
	int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC);
	char text[12] = "";
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	return n > 0 && strtoul(text, NULL, 10) == if_nametoindex(ifname);
}

unsigned wr_ethtool_n_tx_queues(const char *ifname)
{
	char path[sizeof("class/net//ifindex") + IFNAMSIZ];
	unsigned n = 0;
	int sysfs;

	if (strlen(ifname) >= IFNAMSIZ || strchr(ifname, '/'))
		return 0;
	sysfs = open_sysfs();
	if (sysfs < 0)
		return 0;
	snprintf(path, sizeof(path), "class/net/%s/ifindex", ifname);
	if (is_same(sysfs, path, ifname)) {
		snprintf(path, sizeof(path), "class/net/%s/queues", ifname);
		n = count_entries(sysfs, path, "tx-");
	}
	close(sysfs);
	return n;
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
