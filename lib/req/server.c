/* SPDX-License-Identifier: BSD-3-Clause */
#include "lib/req/reply.h"
#include "lib/req/req.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
	/* Kernel buffers of a reply filled in one turn of the loop, so that a fast reader of a
	 * long one does not keep the others waiting. */
	SENDS_A_TURN = 4,
	SEND_BYTES = 256 << 10,
	/* Accepting stops for so long when descriptors or memory are short. */
	ACCEPT_PAUSE_MS = 100,
};

struct client {
	struct req_server *server;
	struct client *next, **link;
	struct wr_watch watch;
	struct wr_timer timer;
	int fd;
	size_t n_request;
	size_t n_sent;
	struct req_reply reply;
	char request[REQ_MAX_BYTES + 1]; /* one more shows that it is too long */
};

struct req_server {
	struct wr_loop *loop;
	req_handler *handler;
	void *arg;
	struct client *clients;
	unsigned n_clients;
	size_t n_reply_bytes; /* of all clients */
	struct wr_watch watch;
	struct wr_timer pause;
	int fd;
	struct stat socket; /* the file that is ours to remove */
	char *words[REQ_MAX_WORDS];
	struct sockaddr_un addr;
};

int wr_req_split(char *buf, size_t len, char **ret_words, unsigned max)
{
	unsigned n = 0;

	while (len) {
		size_t word_bytes = strnlen(buf, len);

		if (word_bytes == len)
			return -EINVAL;
		if (n == max)
			return -E2BIG;
		ret_words[n++] = buf;
		buf += word_bytes + 1;
		len -= word_bytes + 1;
	}
	return (int)n;
}

static void client_free(struct client *c)
{
	struct req_server *s = c->server;

	wr_watch_stop(s->loop, &c->watch);
	wr_timer_stop(s->loop, &c->timer);
	close(c->fd);
	*c->link = c->next;
	if (c->next)
		c->next->link = c->link;
	s->n_clients--;
	wr_reply_fini(&c->reply);
	free(c);
}

/* Sends what the socket takes now; frees the client after the last byte or if it is gone. */
static void client_write(struct client *c)
{
	const struct req_reply *r = &c->reply;

	for (unsigned i = 0; i < SENDS_A_TURN && c->n_sent < r->n; i++) {
		size_t n = r->n - c->n_sent < SEND_BYTES ? r->n - c->n_sent : SEND_BYTES;
		ssize_t rc = send(c->fd, r->text + c->n_sent, n, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (rc < 0 && errno == EINTR)
			continue;
		if (rc < 0 && errno == EAGAIN)
			return;
		if (rc < 0) {
			client_free(c);
			return;
		}
		c->n_sent += (size_t)rc;
	}
	if (c->n_sent == r->n)
		client_free(c);
}

static void client_writable(struct wr_watch *w, uint32_t epoll_events)
{
	struct client *c = wr_container_of(w, struct client, watch);

	if (epoll_events & (EPOLLHUP | EPOLLERR))
		client_free(c);
	else
		client_write(c);
}

/* From reading to writing. */
static void client_reply(struct client *c)
{
	c->watch.ready = client_writable;
	if (wr_watch_change(c->server->loop, &c->watch, EPOLLOUT))
		client_free(c);
	else
		client_write(c);
}

static int handle(struct client *c, struct wr_err *err)
{
	struct req_server *s = c->server;
	int n;

	if (c->n_request > REQ_MAX_BYTES)
		return wr_err(err, -E2BIG, "request longer than %d bytes", REQ_MAX_BYTES);
	n = wr_req_split(c->request, c->n_request, s->words, REQ_MAX_WORDS);
	if (n == -E2BIG)
		return wr_err(err, n, "request of more than %d words", REQ_MAX_WORDS);
	if (n < 0)
		return wr_err(err, n, "the last word of the request is not ended by a zero byte");
	if (!n)
		return wr_err(err, -EINVAL, "empty request");
	return s->handler(s->arg, s->words, (unsigned)n, &c->reply, err);
}

static void client_handle(struct client *c)
{
	struct wr_err err = {""};
	int rc = handle(c, &err);

	wr_reply_finish(&c->reply, rc, &err);
	/* Anew: how long the answer took is not the client's doing. */
	wr_timer_start(c->server->loop, &c->timer, REQ_TIMEOUT_S * WR_NS_PER_S);
	client_reply(c);
}

static void client_readable(struct wr_watch *w, uint32_t epoll_events)
{
	struct client *c = wr_container_of(w, struct client, watch);
	ssize_t rc = recv(c->fd, c->request + c->n_request, sizeof(c->request) - c->n_request,
			  MSG_DONTWAIT);

	(void)epoll_events;
	if (rc < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (rc < 0) {
		client_free(c);
		return;
	}
	c->n_request += (size_t)rc;
	if (!rc || c->n_request == sizeof(c->request))
		client_handle(c);
}

static void client_timeout(struct wr_timer *t)
{
	struct client *c = wr_container_of(t, struct client, timer);
	struct wr_err err;

	/* Amid a reply there is nothing to say any more: the missing end says it. */
	if (c->watch.ready == client_readable) {
		wr_err(&err, -ETIMEDOUT, "the request was not complete after %d s", REQ_TIMEOUT_S);
		wr_reply_finish(&c->reply, -ETIMEDOUT, &err);
		(void)!send(c->fd, c->reply.text, c->reply.n, MSG_DONTWAIT | MSG_NOSIGNAL);
	}
	client_free(c);
}

/* A fresh socket has room for a sentence, so this never waits. */
static void refuse(int fd)
{
	char text[80];
	int n = snprintf(text, sizeof(text), "%d\n%d requests are being served: try again\n", EBUSY,
			 REQ_MAX_CLIENTS);

	(void)!send(fd, text, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
	close(fd);
}

static void serve(struct req_server *s, int fd)
{
	struct client *c = s->n_clients < REQ_MAX_CLIENTS ? malloc(sizeof(*c)) : NULL;

	if (!c) {
		refuse(fd);
		return;
	}
	/* The request's buffer needs no clearing. */
	memset(c, 0, offsetof(struct client, request));
	c->server = s;
	c->fd = fd;
	c->watch = (struct wr_watch){.fd = -1, .ready = client_readable};
	c->timer.fire = client_timeout;
	wr_reply_init(&c->reply, &s->n_reply_bytes);
	c->next = s->clients;
	c->link = &s->clients;
	if (c->next)
		c->next->link = &c->next;
	s->clients = c;
	s->n_clients++;
	if (wr_watch_start(s->loop, &c->watch, fd, EPOLLIN)) {
		client_free(c);
		return;
	}
	wr_timer_start(s->loop, &c->timer, REQ_TIMEOUT_S * WR_NS_PER_S);
}

static void listen_again(struct wr_timer *t)
{
	struct req_server *s = wr_container_of(t, struct req_server, pause);

	if (wr_watch_start(s->loop, &s->watch, s->fd, EPOLLIN))
		wr_timer_start(s->loop, t, ACCEPT_PAUSE_MS * WR_NS_PER_MS);
}

static void acceptable(struct wr_watch *w, uint32_t epoll_events)
{
	struct req_server *s = wr_container_of(w, struct req_server, watch);
	int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)epoll_events;
	if (fd >= 0) {
		serve(s, fd);
		return;
	}
	if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
		return;
	/* Out of descriptors: the socket stays readable, and the loop would spin on it. */
	wr_watch_stop(s->loop, &s->watch);
	wr_timer_start(s->loop, &s->pause, ACCEPT_PAUSE_MS * WR_NS_PER_MS);
}

static int make_dir(const char *path, struct wr_err *err)
{
	char dir[sizeof(((struct sockaddr_un *)0)->sun_path)];
	char *slash;

	snprintf(dir, sizeof(dir), "%s", path);
	slash = strrchr(dir, '/');
	if (!slash || slash == dir)
		return 0;
	*slash = '\0';
	if (mkdir(dir, 0755) && errno != EEXIST)
		return wr_err(err, -errno,
			      "%s: cannot make this directory for the control socket: %s", dir,
			      strerror(errno));
	return 0;
}

/* Removes a socket that nobody serves. 0: the path is free. */
static int clear_path(const struct sockaddr_un *addr, struct wr_err *err)
{
	const char *path = addr->sun_path;
	struct stat st;
	int fd, rc;

	if (lstat(path, &st))
		return errno == ENOENT ? 0 : wr_err(err, -errno, "%s: %s", path, strerror(errno));
	if (!S_ISSOCK(st.st_mode))
		return wr_err(err, -EEXIST,
			      "%s: exists and is no socket; remove it or choose another path",
			      path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return wr_err(err, -errno, "%s: %s", path, strerror(errno));
	rc = connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) ? -errno : 0;
	close(fd);
	/* EAGAIN: its queue of connections is full, so somebody listens. */
	if (!rc || rc == -EAGAIN)
		return wr_err(
			err, -EADDRINUSE,
			"%s: another process serves this socket; stop it or choose another path",
			path);
	if (rc != -ECONNREFUSED || unlink(path))
		return wr_err(err, -errno, "%s: cannot replace this socket: %s", path,
			      strerror(errno));
	return 0;
}

static int bind_path(struct req_server *s, struct wr_err *err)
{
	const char *path = s->addr.sun_path;
	int rc = clear_path(&s->addr, err);

	if (rc)
		return rc;
	/* The mode is the socket's before it has a name: nobody else can connect in between. */
	if (fchmod(s->fd, 0660) || bind(s->fd, (const struct sockaddr *)&s->addr, sizeof(s->addr)))
		return wr_err(err, -errno, "%s: cannot bind the control socket: %s", path,
			      strerror(errno));
	if (chmod(path, 0660) || lstat(path, &s->socket) || listen(s->fd, REQ_MAX_CLIENTS)) {
		rc = wr_err(err, -errno, "%s: cannot serve the control socket: %s", path,
			    strerror(errno));
		unlink(path);
		return rc;
	}
	return 0;
}

/* Two processes that start at the same time must not each remove the other's socket as stale: the
 * directory's lock lets one of them look, remove and bind. */
static int claim_path(struct req_server *s, struct wr_err *err)
{
	char dir[sizeof(s->addr.sun_path)];
	char *slash;
	int fd, rc;

	snprintf(dir, sizeof(dir), "%s", s->addr.sun_path);
	slash = strrchr(dir, '/');
	if (slash)
		slash[slash == dir] = '\0';
	fd = open(slash ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return wr_err(err, -errno, "%s: %s", slash ? dir : ".", strerror(errno));
	if (flock(fd, LOCK_EX | LOCK_NB))
		rc = wr_err(err, -EADDRINUSE,
			    "%s: another process is starting to serve a socket there",
			    s->addr.sun_path);
	else
		rc = bind_path(s, err);
	close(fd);
	return rc;
}

int wr_req_listen(struct wr_loop *loop, const char *path, req_handler *handler, void *arg,
		  struct req_server **ret_server, struct wr_err *err)
{
	struct req_server *s;
	int rc;

	if (!*path || strlen(path) >= sizeof(s->addr.sun_path))
		return wr_err(err, -ENAMETOOLONG, "control socket: a path has 1 to %zu bytes",
			      sizeof(s->addr.sun_path) - 1);
	s = calloc(1, sizeof(*s));
	if (!s)
		return wr_err(err, -ENOMEM, "control socket: no memory");
	s->loop = loop;
	s->handler = handler;
	s->arg = arg;
	s->watch = (struct wr_watch){.fd = -1, .ready = acceptable};
	s->pause.fire = listen_again;
	s->addr.sun_family = AF_UNIX;
	memcpy(s->addr.sun_path, path, strlen(path));
	s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s->fd < 0) {
		rc = wr_err(err, -errno, "control socket: %s", strerror(errno));
		goto err_socket;
	}
	rc = make_dir(path, err);
	if (!rc)
		rc = claim_path(s, err);
	if (rc)
		goto err_path;
	rc = wr_watch_start(loop, &s->watch, s->fd, EPOLLIN);
	if (rc) {
		wr_err(err, rc, "control socket: %s", strerror(-rc));
		goto err_watch;
	}
	*ret_server = s;
	return 0;

err_watch:
	unlink(path);
err_path:
	close(s->fd);
err_socket:
	free(s);
	return rc;
}

void wr_req_close(struct req_server *s)
{
	struct client *c, *next;
	struct stat now;

	if (!s)
		return;
	for (c = s->clients; c; c = next) {
		next = c->next;
		client_free(c);
	}
	wr_watch_stop(s->loop, &s->watch);
	wr_timer_stop(s->loop, &s->pause);
	/* Somebody may have put another socket there. */
	if (!lstat(s->addr.sun_path, &now) && now.st_ino == s->socket.st_ino &&
	    now.st_dev == s->socket.st_dev)
		unlink(s->addr.sun_path);
	close(s->fd);
	free(s);
}
