/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The socket of the control channel: its path, and one message at a time.
 *
 * A path that begins with '@' is a name in the abstract namespace of the network namespace. Else it
 * is a file, which a server that was killed leaves behind: one that nobody listens on is removed,
 * one that somebody does is not. Between looking and binding another server may do the same; the
 * last one then has the path. A symbolic link is no socket, and refused.
 *
 * Who may connect: whoever may write to the file and reach it through its directories. It is made
 * with SOCKET_MODE less the umask, so under the usual one (022) its owner only, under 007 its group
 * as well; more is given by chown and chmod once it is there. To an abstract name whoever is in the
 * network namespace may connect.
 */
#include "lib/port/memif_private.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	MAX_BACKLOG = 8,
	SOCKET_MODE = 0660, /* less the umask */
};

/* --- one message ------------------------------------------------------------------------------ */

int wr_memif_sock_send(int sock_fd, const struct mif_msg *msg, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))) = {0};
	struct mif_msg copy = *msg;
	struct iovec iov = {.iov_base = &copy, .iov_len = sizeof(copy)};
	struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n;

	if (fd >= 0) {
		struct cmsghdr *cmsg;

		mh.msg_control = control;
		mh.msg_controllen = sizeof(control);
		cmsg = CMSG_FIRSTHDR(&mh);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(cmsg), &fd, sizeof(int));
	}
	n = sendmsg(sock_fd, &mh, MSG_NOSIGNAL | MSG_DONTWAIT);
	return n == (ssize_t)sizeof(copy) ? 0 : n < 0 ? -errno : -EMSGSIZE;
}

/* The descriptor that came along; -1: none. More than one does not fit into the room for one, and
 * the kernel closes it. */
static int passed_fd(struct msghdr *mh)
{
	int fd = -1;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
		    c->cmsg_len == CMSG_LEN(sizeof(int)))
			memcpy(&fd, CMSG_DATA(c), sizeof(int));
	return fd;
}

ssize_t wr_memif_sock_receive(int sock_fd, struct mif_msg *ret_msg, int *ret_fd)
{
	char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8)));
	struct iovec iov = {.iov_base = ret_msg, .iov_len = sizeof(*ret_msg)};
	struct msghdr mh = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = CMSG_LEN(sizeof(int)), /* not CMSG_SPACE: two would fit */
	};
	/* With MSG_TRUNC a longer message has its own length. */
	ssize_t n = recvmsg(sock_fd, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC | MSG_TRUNC);

	*ret_fd = -1;
	if (n < 0)
		return -errno;
	*ret_fd = passed_fd(&mh);
	return n;
}

/* --- its path --------------------------------------------------------------------------------- */

int wr_memif_sock_address(struct memif_ctl *ctl, const char *path, const char *text,
			  struct wr_err *err)
{
	const size_t n = strlen(path);

	if (n >= sizeof(ctl->addr.sun_path))
		return wr_err(err, -ENAMETOOLONG, "%.60s...: the socket's path is longer than %zu",
			      text, sizeof(ctl->addr.sun_path) - 1);
	if (n < 2 && *path == '@')
		return wr_err(err, -EINVAL, "%.100s: '@' must be followed by a name", text);
	ctl->addr.sun_family = AF_UNIX;
	memcpy(ctl->addr.sun_path, path, n);
	ctl->addr_bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
	if (*path == '@')
		ctl->addr.sun_path[0] = '\0';
	else
		ctl->addr_bytes++;
	return 0;
}

static bool is_abstract(const struct memif_ctl *ctl)
{
	return !ctl->addr.sun_path[0];
}

/* Whether somebody listens there. */
static bool is_served(const struct memif_ctl *ctl)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int rc = connect(fd, (const struct sockaddr *)&ctl->addr, ctl->addr_bytes);
	/* A full backlog, or a socket of another kind: somebody is there. */
	const bool is = !rc || (errno != ECONNREFUSED && errno != ENOENT);

	if (fd >= 0)
		close(fd);
	return is;
}

static int served_error(const char *text, struct wr_err *err)
{
	return wr_err(
		err, -EADDRINUSE,
		"%.100s: the socket is served by another process, or another port of this one: "
		"stop that first, or choose another path (one id a socket)",
		text);
}

/* Removes what a server that was killed has left. */
static int clear_path(const struct memif_ctl *ctl, const char *text, struct wr_err *err)
{
	struct stat st;

	if (is_abstract(ctl) || lstat(ctl->addr.sun_path, &st))
		return 0;
	if (!S_ISSOCK(st.st_mode))
		return wr_err(err, -EEXIST, "%.100s: is there and no socket: choose another path",
			      text);
	if (is_served(ctl))
		return served_error(text, err);
	if (unlink(ctl->addr.sun_path) && errno != ENOENT)
		return wr_err(err, -errno, "%.100s: the old socket cannot be removed: %s", text,
			      strerror(errno));
	return 0;
}

static void remember_file(struct memif_ctl *ctl)
{
	struct stat st;

	if (is_abstract(ctl) || lstat(ctl->addr.sun_path, &st))
		return;
	ctl->file_dev = st.st_dev;
	ctl->file_ino = st.st_ino;
	ctl->has_file = true;
}

int wr_memif_sock_listen(struct memif_ctl *ctl, const char *text, struct wr_err *err)
{
	int rc = clear_path(ctl, text, err);

	if (rc < 0)
		return rc;
	ctl->listener_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (ctl->listener_fd < 0)
		return wr_err(err, -errno, "%.100s: no socket: %s", text, strerror(errno));
	/* The file gets the socket's mode: at no moment can others connect. */
	(void)fchmod(ctl->listener_fd, SOCKET_MODE);
	if (bind(ctl->listener_fd, (const struct sockaddr *)&ctl->addr, ctl->addr_bytes)) {
		rc = -errno;
		if (rc == -EADDRINUSE)
			return served_error(text, err);
		return wr_err(err, rc,
			      "%.100s: the socket cannot be made: %s: does its directory exist?",
			      text, strerror(-rc));
	}
	remember_file(ctl);
	if (listen(ctl->listener_fd, MAX_BACKLOG))
		return wr_err(err, -errno, "%.100s: cannot listen: %s", text, strerror(errno));
	return 0;
}

void wr_memif_sock_remove(const struct memif_ctl *ctl)
{
	struct stat st;

	/* Another server may have taken the path over. */
	if (ctl->has_file && !lstat(ctl->addr.sun_path, &st) && st.st_dev == ctl->file_dev &&
	    st.st_ino == ctl->file_ino)
		(void)unlink(ctl->addr.sun_path);
}
