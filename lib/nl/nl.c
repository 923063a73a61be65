/* SPDX-License-Identifier: BSD-3-Clause */
#include "lib/nl/nl.h"

#include <errno.h>
#include <netlink/errno.h>
#include <netlink/msg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

enum {
	/* The kernel builds dumps in pieces of at most 32 KiB, but a link with many virtual
	 * functions or a route with many paths is one message as long as it needs to be. */
	RECV_BYTES = 256 << 10,
	ASK_TIMEOUT_S = 10,
};

/*
 * Attributes.
 */

static int find_want(uint16_t type, const struct nl_want *want, unsigned n_want)
{
	for (unsigned i = 0; i < n_want; i++)
		if (want[i].type == type)
			return (int)i;
	return -1;
}

int wr_nl_attrs(const void *attrs, size_t len, const struct nl_want *want, unsigned n_want,
		const struct nlattr **ret)
{
	const char *at = attrs;

	for (unsigned i = 0; i < n_want; i++)
		ret[i] = NULL;
	while (len) {
		struct nlattr a;
		size_t step;
		int i;

		if (len < NLA_HDRLEN)
			return -EBADMSG;
		memcpy(&a, at, sizeof(a));
		if (a.nla_len < NLA_HDRLEN || a.nla_len > len)
			return -EBADMSG;
		i = find_want(a.nla_type & NLA_TYPE_MASK, want, n_want);
		if (i >= 0) {
			if (a.nla_len - NLA_HDRLEN < want[i].min_bytes)
				return -EBADMSG;
			ret[i] = (const struct nlattr *)at;
		}
		/* The last attribute may come without its padding. */
		step = NLA_ALIGN((size_t)a.nla_len);
		if (step >= len)
			break;
		at += step;
		len -= step;
	}
	return 0;
}

void wr_nl_str(const struct nlattr *a, char *buf, size_t n)
{
	size_t len;

	if (!n)
		return;
	len = strnlen(wr_nl_data(a), wr_nl_len(a));
	if (len >= n)
		len = n - 1;
	memcpy(buf, wr_nl_data(a), len);
	buf[len] = '\0';
}

int wr_nl_body(const struct nlmsghdr *h, size_t hdr_bytes, const void **ret_attrs, size_t *ret_len)
{
	size_t head = NLMSG_HDRLEN + NLMSG_ALIGN(hdr_bytes);

	if (h->nlmsg_len < NLMSG_HDRLEN + hdr_bytes)
		return -EBADMSG;
	*ret_attrs = (const char *)h + head;
	*ret_len = h->nlmsg_len > head ? h->nlmsg_len - head : 0;
	return 0;
}

/*
 * Sockets.
 */

static void set_rcvbuf(int fd, uint32_t bytes)
{
	int n = bytes > INT32_MAX ? INT32_MAX : (int)bytes;

	/* Without the privilege the system's limit holds: events are lost sooner, and noticed. */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &n, sizeof(n)))
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &n, sizeof(n));
}

int wr_nl_open(int protocol, uint32_t rcvbuf_bytes, bool is_events, struct nl_sock **ret_sock,
	       struct wr_err *err)
{
	const struct timeval timeout = {.tv_sec = ASK_TIMEOUT_S};
	struct nl_sock *sock = nl_socket_alloc();
	int code, fd;

	if (!sock)
		return wr_err(err, -ENOMEM, "out of memory");
	errno = 0;
	code = nl_connect(sock, protocol);
	if (code) {
		int saved = errno ? errno : EIO;

		nl_socket_free(sock);
		return wr_err(err, -saved, "cannot open a netlink socket (protocol %d): %s",
			      protocol, strerror(saved));
	}
	nl_socket_disable_auto_ack(sock);
	fd = nl_socket_get_fd(sock);
	if (rcvbuf_bytes)
		set_rcvbuf(fd, rcvbuf_bytes);
	if (is_events)
		code = nl_socket_set_nonblocking(sock);
	else
		code = setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	if (code) {
		nl_socket_free(sock);
		return wr_err(err, -EIO, "cannot set up a netlink socket");
	}
	*ret_sock = sock;
	return 0;
}

void wr_nl_close(struct nl_sock *sock)
{
	if (sock)
		nl_socket_free(sock);
}

/* One datagram from the kernel: its length, 0 for one that is not the kernel's, or -errno. */
static ssize_t recv_datagram(struct nl_sock *sock, void *buf, int flags)
{
	struct sockaddr_nl from = {0};
	struct iovec iov = {.iov_base = buf, .iov_len = RECV_BYTES};
	struct msghdr m = {
		.msg_name = &from,
		.msg_namelen = sizeof(from),
		.msg_iov = &iov,
		.msg_iovlen = 1,
	};
	ssize_t n;

	do {
		n = recvmsg(nl_socket_get_fd(sock), &m, flags);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (m.msg_flags & MSG_TRUNC)
		return -ENOBUFS;
	if (m.msg_namelen != sizeof(from) || from.nl_pid)
		return 0;
	return n;
}

/* The message at `at`, whole, or NULL at the end of the datagram or where it lies about its
 * length. */
static const struct nlmsghdr *message_at(const char *at, size_t len)
{
	const struct nlmsghdr *h = (const struct nlmsghdr *)at;

	if (len < NLMSG_HDRLEN || h->nlmsg_len < NLMSG_HDRLEN || h->nlmsg_len > len)
		return NULL;
	return h;
}

static size_t message_step(const struct nlmsghdr *h, size_t len)
{
	size_t step = NLMSG_ALIGN((size_t)h->nlmsg_len);

	return step < len ? step : len;
}

/* An answer being read. */
struct answer {
	uint32_t seq;
	wr_nl_each *each;
	void *arg;
	bool is_done;
	bool is_interrupted;
	int err; /* valid once done */
};

static int error_of(const struct nlmsghdr *h)
{
	int code = 0;

	if (h->nlmsg_len >= NLMSG_HDRLEN + sizeof(code))
		memcpy(&code, (const char *)h + NLMSG_HDRLEN, sizeof(code));
	return code > 0 ? -EPROTO : code;
}

static void answer_message(struct answer *a, const struct nlmsghdr *h)
{
	/* What was answered to an earlier request that nobody waited for. */
	if (h->nlmsg_seq != a->seq || a->is_done)
		return;
	if (h->nlmsg_flags & NLM_F_DUMP_INTR)
		a->is_interrupted = true;
	switch (h->nlmsg_type) {
	case NLMSG_NOOP:
		return;
	case NLMSG_OVERRUN:
		a->is_done = true;
		a->err = -ENOBUFS;
		return;
	case NLMSG_DONE:
	case NLMSG_ERROR:
		a->is_done = true;
		a->err = error_of(h);
		return;
	default:
		if (a->each)
			a->each(a->arg, h);
	}
}

static int read_answer(struct nl_sock *sock, struct answer *a)
{
	char *buf = malloc(RECV_BYTES);

	if (!buf)
		return -ENOMEM;
	while (!a->is_done) {
		ssize_t n = recv_datagram(sock, buf, 0);
		const struct nlmsghdr *h;
		char *at = buf;

		if (n < 0) {
			free(buf);
			return n == -EAGAIN ? -ETIMEDOUT : (int)n;
		}
		while ((h = message_at(at, (size_t)n))) {
			size_t step = message_step(h, (size_t)n);

			answer_message(a, h);
			at += step;
			n -= (ssize_t)step;
		}
	}
	free(buf);
	if (!a->err && a->is_interrupted)
		return -EAGAIN;
	return a->err;
}

/* Throws away what was answered to requests that nobody waited for, and with it a pending
 * ENOBUFS. */
static void drain(struct nl_sock *sock)
{
	char byte;

	for (;;) {
		ssize_t n = recv(nl_socket_get_fd(sock), &byte, 1, MSG_DONTWAIT | MSG_TRUNC);

		if (n < 0 && errno != ENOBUFS && errno != EINTR)
			return;
	}
}

static int send_message(struct nl_sock *sock, struct nl_msg *msg)
{
	int code;

	errno = 0;
	code = nl_send_auto(sock, msg);
	if (code >= 0)
		return 0;
	return errno ? -errno : -EIO;
}

int wr_nl_dump(struct nl_sock *sock, uint16_t type, const void *body, size_t body_bytes,
	       wr_nl_each *each, void *arg)
{
	struct nl_msg *msg = nlmsg_alloc_simple(type, NLM_F_REQUEST | NLM_F_DUMP);
	struct answer a = {.each = each, .arg = arg};
	int err;

	if (!msg)
		return -ENOMEM;
	if (body_bytes && nlmsg_append(msg, (void *)(uintptr_t)body, body_bytes, NLMSG_ALIGNTO)) {
		nlmsg_free(msg);
		return -ENOMEM;
	}
	drain(sock);
	err = send_message(sock, msg);
	a.seq = nlmsg_hdr(msg)->nlmsg_seq;
	nlmsg_free(msg);
	return err ? err : read_answer(sock, &a);
}

int wr_nl_ask(struct nl_sock *sock, struct nl_msg *msg, wr_nl_each *each, void *arg)
{
	struct answer a = {.each = each, .arg = arg};
	int err;

	nlmsg_hdr(msg)->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
	drain(sock);
	err = send_message(sock, msg);
	a.seq = nlmsg_hdr(msg)->nlmsg_seq;
	nlmsg_free(msg);
	return err ? err : read_answer(sock, &a);
}

int wr_nl_tell(struct nl_sock *sock, struct nl_msg *msg)
{
	int err;

	nlmsg_hdr(msg)->nlmsg_flags |= NLM_F_REQUEST;
	drain(sock);
	err = send_message(sock, msg);
	nlmsg_free(msg);
	return err;
}

int wr_nl_events(struct nl_sock *sock, unsigned max_msgs, wr_nl_each *each, void *arg)
{
	char *buf = malloc(RECV_BYTES);
	unsigned n_read = 0;
	int err = 0;

	if (!buf)
		return -ENOMEM;
	while (n_read < max_msgs) {
		ssize_t n = recv_datagram(sock, buf, MSG_DONTWAIT);
		const struct nlmsghdr *h;
		char *at = buf;

		if (n < 0) {
			err = n == -EAGAIN ? 0 : (int)n;
			break;
		}
		n_read++;
		while ((h = message_at(at, (size_t)n))) {
			size_t step = message_step(h, (size_t)n);

			if (h->nlmsg_type >= NLMSG_MIN_TYPE)
				each(arg, h);
			at += step;
			n -= (ssize_t)step;
		}
	}
	free(buf);
	return err ? err : (int)n_read;
}
