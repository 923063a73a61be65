/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Pins: <bpffs>/weir/<network namespace's inode>/<ifindex>, a bpf_link each.
 *
 * Numbers come again: an interface's index after it was deleted, a namespace's inode after it was
 * left. A pin is therefore believed only if its link still has an interface (a dead link has index
 * 0) and that interface, here, runs the link's program.
 *
 * A pin lives as long as its bpffs. In a private mount of it (`ip netns exec` hides /sys, so that
 * one is mounted for the process alone) pins end with the process, and the program with them: safe,
 * but no crash is survived.
 */
#include "lib/steer/steer_private.h"

#include <dirent.h>
#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <bpf/bpf.h>

#define BPFFS "/sys/fs/bpf"
#define ROOT BPFFS "/weir"

enum {
	PATH_BYTES = 96, /* ROOT and two numbers */
};

static bool is_mounted(void)
{
	struct statfs fs;

	return statfs(BPFFS, &fs) == 0 && (unsigned long)fs.f_type == BPF_FS_MAGIC;
}

int wr_steer_pin_mount(void)
{
	if (is_mounted())
		return 0;
	if (mount("bpf", BPFFS, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") < 0)
		return -errno;
	return 0;
}

/* Of the thread: a process may have threads in several namespaces. */
static int namespace_path(char *ret_path)
{
	struct stat st;

	if (stat("/proc/thread-self/ns/net", &st) < 0)
		return -errno;
	snprintf(ret_path, PATH_BYTES, ROOT "/%lu", (unsigned long)st.st_ino);
	return 0;
}

static int link_path(uint32_t ifindex, char *ret_path)
{
	int code = namespace_path(ret_path);
	size_t n = strlen(ret_path);

	if (!code)
		snprintf(ret_path + n, PATH_BYTES - n, "/%u", ifindex);
	return code;
}

static int make_dir(const char *path)
{
	return mkdir(path, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

int wr_steer_pin_save(uint32_t ifindex, int link_fd)
{
	char path[PATH_BYTES] = "";
	int code = wr_steer_pin_mount();

	if (!code)
		code = make_dir(ROOT);
	if (!code)
		code = namespace_path(path);
	if (!code)
		code = make_dir(path);
	if (!code)
		code = link_path(ifindex, path);
	if (code)
		return code;
	unlink(path);
	return bpf_obj_pin(link_fd, path);
}

void wr_steer_pin_remove(uint32_t ifindex)
{
	char path[PATH_BYTES] = "";

	if (!is_mounted())
		return;
	if (link_path(ifindex, path) == 0)
		unlink(path);
	/* Others' pins keep the directories. */
	if (namespace_path(path) == 0 && rmdir(path) == 0)
		rmdir(ROOT);
}

static bool is_alive(int link_fd, uint32_t ifindex, uint32_t *ret_prog_id)
{
	struct bpf_link_info info = {};
	struct steer_attached here;
	uint32_t n = sizeof(info);

	if (bpf_obj_get_info_by_fd(link_fd, &info, &n) < 0)
		return false;
	if (info.type != BPF_LINK_TYPE_XDP || info.xdp.ifindex != ifindex)
		return false;
	if (wr_steer_query(ifindex, &here) < 0 || here.prog_id != info.prog_id)
		return false;
	*ret_prog_id = info.prog_id;
	return true;
}

int wr_steer_pin_open(uint32_t ifindex, uint32_t *ret_prog_id)
{
	char path[PATH_BYTES] = "";
	int fd;

	if (!is_mounted() || link_path(ifindex, path) < 0)
		return -ENOENT;
	fd = bpf_obj_get(path);
	if (fd < 0)
		return fd;
	if (is_alive(fd, ifindex, ret_prog_id))
		return fd;
	close(fd);
	wr_steer_pin_remove(ifindex);
	return -ENOENT;
}

static int read_dir(DIR *dir, uint32_t **ret_ifindexes)
{
	uint32_t *list = NULL, *longer;
	struct dirent *entry;
	int n = 0;

	while ((entry = readdir(dir))) {
		char *end;
		unsigned long ifindex = strtoul(entry->d_name, &end, 10);

		if (*end || !ifindex)
			continue;
		longer = realloc(list, (n + 1) * sizeof(*list));
		if (!longer) {
			free(list);
			return -ENOMEM;
		}
		list = longer;
		list[n++] = ifindex;
	}
	*ret_ifindexes = list;
	return n;
}

int wr_steer_pin_list(uint32_t **ret_ifindexes)
{
	char path[PATH_BYTES] = "";
	DIR *dir;
	int n;

	*ret_ifindexes = NULL;
	if (!is_mounted() || namespace_path(path) < 0)
		return 0;
	dir = opendir(path);
	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	n = read_dir(dir, ret_ifindexes);
	closedir(dir);
	return n;
}
