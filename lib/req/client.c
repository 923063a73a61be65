/* SPDX-License-Identifier: BSD-3-Clause */
#include "lib/req/req.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

enum { READ_BYTES = 64 << 10, MAX_TEXT_BYTES = REQ_MAX_REPLIES_BYTES + 64 };

/* A conversation: `timer_fd` becomes readable when its time is over, so no clock is read here. */
struct ask {
	const char *path;
	int fd, timer_fd;
	char *text;
	size_t n, max;
	struct wr_err *err;
};

static int late(const struct ask *a)
{
	return wr_err(a->err, -ETIMEDOUT,
		      "%s: no answer in time: the daemon hangs, is stopped or very busy", a->path);
}

static int wait_for(struct ask *a, short events)
{
	struct pollfd fds[2] = {{.fd = a->fd, .events = events},
				{.fd = a->timer_fd, .events = POLLIN}};

	while (poll(fds, 2, -1) < 0)
		if (errno != EINTR)
			return wr_err(a->err, -errno, "%s: %s", a->path, strerror(errno));
	/* First: a daemon that trickles is out of time as well. */
	if (fds[1].revents)
		return late(a);
	return 0;
}

/* A daemon that refuses may close before it has read all; its answer is there nevertheless. */
static int send_bytes(struct ask *a, const char *bytes, size_t n, bool *ret_is_closed)
{
	while (n) {
		ssize_t sent = send(a->fd, bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (sent < 0 && errno != EAGAIN && errno != EINTR) {
			*ret_is_closed = true;
			return 0;
		}
		if (sent > 0) {
			bytes += sent;
			n -= (size_t)sent;
		} else {
			int rc = wait_for(a, POLLOUT);

			if (rc)
				return rc;
		}
	}
	return 0;
}

static int send_words(struct ask *a, char *const *words, unsigned n_words)
{
	bool is_closed = false;
	int rc = 0;

	for (unsigned i = 0; i < n_words && !rc && !is_closed; i++)
		rc = send_bytes(a, words[i], strlen(words[i]) + 1, &is_closed);
	if (!rc)
		shutdown(a->fd, SHUT_WR);
	return rc;
}

static int make_room(struct ask *a)
{
	size_t max = a->max ? 2 * a->max : 2 * (size_t)READ_BYTES;
	char *text;

	if (a->text && a->max - a->n > READ_BYTES)
		return 0;
	if (max > 2 * (size_t)MAX_TEXT_BYTES)
		return wr_err(a->err, -EMSGSIZE, "%s: the answer is too long", a->path);
	text = realloc(a->text, max);
	if (!text) {
		wr_err(a->err, -ENOMEM, "no memory for the answer");
		return -ENOMEM;
	}
	a->text = text;
	a->max = max;
	return 0;
}

/* Until the end of the stream. The text is NUL-terminated. */
static int receive(struct ask *a)
{
	for (;;) {
		ssize_t got;
		int rc = make_room(a);

		if (!rc)
			rc = wait_for(a, POLLIN);
		if (rc)
			return rc;
		got = recv(a->fd, a->text + a->n, READ_BYTES, MSG_DONTWAIT);
		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (got > 0) {
			a->n += (size_t)got;
			a->text[a->n] = '\0';
			continue;
		}
		/* ECONNRESET: closed with words unread; what it said before has been read. */
		if (got < 0 && errno != ECONNRESET)
			return wr_err(a->err, -errno, "%s: %s", a->path, strerror(errno));
		return 0;
	}
}

static int bad_answer(const struct ask *a)
{
	return wr_err(a->err, -EPROTO,
		      "%s: the answer is cut short; is it weir-router that serves it?", a->path);
}

/* "<errno>\n" and the rest; of a success the rest is left in a->text. */
static int parse(struct ask *a)
{
	char *end, *rest = a->text ? memchr(a->text, '\n', a->n) : NULL;
	long code;

	if (!rest || a->text[a->n - 1] != '\n' || rest == a->text + a->n - 1)
		return bad_answer(a);
	errno = 0;
	code = strtol(a->text, &end, 10);
	if (errno || end != rest || end == a->text || code < 0 || code > 4095)
		return bad_answer(a);
	rest++;
	if (code) {
		rest[strcspn(rest, "\n")] = '\0';
		return wr_err(a->err, -(int)code, "%s", rest);
	}
	a->n -= (size_t)(rest - a->text);
	memmove(a->text, rest, a->n + 1);
	return 0;
}

static int connect_to(struct ask *a, int timeout_ms)
{
	struct timeval limit = {.tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000L};
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int rc;

	if (!*a->path || strlen(a->path) >= sizeof(addr.sun_path))
		return wr_err(a->err, -ENAMETOOLONG, "a socket's path has 1 to %zu bytes",
			      sizeof(addr.sun_path) - 1);
	memcpy(addr.sun_path, a->path, strlen(a->path));
	a->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (a->fd < 0)
		return wr_err(a->err, -errno, "socket: %s", strerror(errno));
	/* connect() waits while the queue of connections is full; this is its limit. */
	if (setsockopt(a->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)))
		return wr_err(a->err, -errno, "socket: %s", strerror(errno));
	if (!connect(a->fd, (const struct sockaddr *)&addr, sizeof(addr)))
		return 0;
	rc = -errno;
	if (rc == -ENOENT || rc == -ECONNREFUSED || rc == -ENOTDIR)
		return wr_err(a->err, rc == -ENOTDIR ? -ENOENT : rc, "nobody serves %s", a->path);
	if (rc == -EAGAIN)
		return late(a);
	if (rc == -EACCES)
		return wr_err(a->err, rc, "%s: permission denied: be root or of the socket's group",
			      a->path);
	return wr_err(a->err, rc, "%s: %s", a->path, strerror(-rc));
}

static int converse(struct ask *a, char *const *words, unsigned n_words, int timeout_ms)
{
	struct itimerspec limit = {
		.it_value = {.tv_sec = timeout_ms / 1000, .tv_nsec = timeout_ms % 1000 * 1000000L}};
	int rc = connect_to(a, timeout_ms);

	if (rc)
		return rc;
	a->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (a->timer_fd < 0 || timerfd_settime(a->timer_fd, 0, &limit, NULL))
		return wr_err(a->err, -errno, "timer: %s", strerror(errno));
	rc = send_words(a, words, n_words);
	if (!rc)
		rc = receive(a);
	return rc ? rc : parse(a);
}

int wr_req_ask(const char *path, char *const *words, unsigned n_words, int timeout_ms,
	       char **ret_text, struct wr_err *err)
{
	struct ask a = {.path = path, .fd = -1, .timer_fd = -1, .err = err};
	int rc = converse(&a, words, n_words, timeout_ms > 0 ? timeout_ms : 1);

	if (a.fd >= 0)
		close(a.fd);
	if (a.timer_fd >= 0)
		close(a.timer_fd);
	if (rc)
		free(a.text);
	else
		*ret_text = a.text;
	return rc;
}
