/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The control channel: a Unix socket of packets, 128 bytes a message.
 *
 *     client                                    server
 *                                               HELLO         what it can
 *     INIT           version, id
 *                                               ACK
 *     ADD_REGION     one a region, with memfd   ACK each
 *     ADD_RING       one a ring, with eventfd   ACK each
 *     CONNECT
 *                                               CONNECTED     packets may flow
 *     DISCONNECT     at any time, by either: a reason in words; then the socket is closed
 *
 * The client says one thing at a time and waits for the ACK: `step` is which. What may be said
 * when is the table `talk`; whatever else comes is answered by DISCONNECT with a reason, and so is
 * what a message's own function refuses. A send that would wait ends the connection: a peer that
 * does not read has no use for it.
 *
 * All of it is the control worker's. While a dead link is still held by another queue (`dying`) no
 * new connection begins: the listener is not watched, the client's timer waits.
 */
#include "lib/port/memif_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum {
	MAX_MSGS = 16, /* taken in one turn; the rest in the next */
	MAX_ACCEPTS = 4,
};

/* --- one message ------------------------------------------------------------------------------ */

static void send_disconnect(int sock_fd, int rc, const char *reason)
{
	struct mif_msg msg = {.type = MIF_DISCONNECT};

	msg.disconnect.code = (uint32_t)-rc;
	snprintf(msg.disconnect.reason, sizeof(msg.disconnect.reason), "%.95s", reason);
	(void)wr_memif_sock_send(sock_fd, &msg, -1);
}

static int ack(const struct memif_port *mp)
{
	return wr_memif_sock_send(mp->ctl.sock_fd, &(struct mif_msg){.type = MIF_ACK}, -1);
}

/* Cut to fit. */
static void put_name(char *field, const char *name)
{
	snprintf(field, MIF_NAME_BYTES, "%.31s", name);
}

/* --- connected or not ------------------------------------------------------------------------- */

/* One shot; 0 milliseconds: never. */
static void set_timer(const struct memif_port *mp, unsigned ms)
{
	const struct itimerspec spec = {
		.it_value = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L}};

	(void)timerfd_settime(mp->ctl.timer_fd, 0, &spec, NULL);
}

/* When nothing is being agreed upon: a client tries again, and so does a server that is deaf. */
static void set_idle_timer(const struct memif_port *mp, bool is_up)
{
	const bool tries = mp->is_client ? !is_up : mp->ctl.is_deaf;

	set_timer(mp, tries ? MEMIF_RETRY_MS : 0);
}

static void watch_listener(const struct memif_port *mp, bool is_on)
{
	const struct memif_queue *mq = &mp->queues[0];
	struct epoll_event event = {.events = is_on ? EPOLLIN : 0,
				    .data.u32 = MEMIF_EVENT_LISTENER};

	if (mp->ctl.listener_fd >= 0)
		(void)epoll_ctl(mq->epoll_fd, EPOLL_CTL_MOD, mp->ctl.listener_fd, &event);
}

static void wake_all(const struct memif_port *mp)
{
	for (unsigned i = 0; i < mp->port.n_queues; i++)
		wr_memif_wake(&mp->queues[i]);
}

static void publish(struct memif_port *mp)
{
	struct memif_ctl *ctl = &mp->ctl;

	ctl->state = CTL_UP;
	set_idle_timer(mp, true);
	wr_count(&mp->n_connects, 1);
	__atomic_store_n(&mp->n_link_bytes, ctl->link->n_bytes, __ATOMIC_RELAXED);
	/* Pairs with the acquire in wr_memif_hold(): all of the link is seen. */
	__atomic_store_n(&mp->link, ctl->link, __ATOMIC_SEQ_CST);
	ctl->link = NULL;
	wake_all(mp);
}

/* First phase of the end: nobody gets the link any more. The second is that each queue lets go of
 * it (wr_memif_hold_slow), the third is bury(). */
static void make_dead(struct memif_port *mp)
{
	struct memif_link *link = mp->link;

	if (!link)
		return;
	mp->ctl.dying = link;
	__atomic_store_n(&mp->link, NULL, __ATOMIC_SEQ_CST);
	__atomic_store_n(&mp->n_link_bytes, 0, __ATOMIC_RELAXED);
	watch_listener(mp, false);
	wake_all(mp);
}

static void drop(struct memif_port *mp)
{
	struct memif_ctl *ctl = &mp->ctl;

	if (ctl->sock_fd >= 0)
		close(ctl->sock_fd); /* and out of the epoll set */
	ctl->sock_fd = -1;
	ctl->state = CTL_IDLE;
	wr_memif_link_free(ctl->link); /* one that never was published */
	ctl->link = NULL;
	make_dead(mp);
	set_idle_timer(mp, false);
}

static void refuse(struct memif_port *mp, int rc, const struct wr_err *err)
{
	wr_count(&mp->n_protocol_errors, 1);
	send_disconnect(mp->ctl.sock_fd, rc, err->text);
	drop(mp);
}

/* --- the server's side ------------------------------------------------------------------------ */

static int send_hello(const struct memif_port *mp, int sock_fd)
{
	struct mif_msg msg = {.type = MIF_HELLO};

	put_name(msg.hello.name, "weir");
	msg.hello.min_version = MIF_VERSION;
	msg.hello.max_version = MIF_VERSION;
	msg.hello.max_region_idx = MEMIF_MAX_REGIONS - 1;
	msg.hello.max_c2s_ring_idx = (uint16_t)(mp->port.n_queues - 1);
	msg.hello.max_s2c_ring_idx = (uint16_t)(mp->port.n_queues - 1);
	msg.hello.max_log2_descs = MEMIF_MAX_LOG2_DESCS;
	return wr_memif_sock_send(sock_fd, &msg, -1);
}

static int take_init(struct memif_port *mp, const struct mif_msg *msg, int *fd, struct wr_err *err)
{
	const struct mif_init *init = &msg->init;

	(void)fd;
	if (init->version != MIF_VERSION)
		return wr_err(err, -EPROTONOSUPPORT, "memif version %u.%u: use 2.0",
			      init->version >> 8, init->version & 255);
	if (init->id != mp->id)
		return wr_err(err, -ENOENT, "no id %u here: this socket serves id %u only",
			      init->id, mp->id);
	if (init->mode != MIF_MODE_ETHERNET)
		return wr_err(err, -EPROTONOSUPPORT, "mode %u: use mode ethernet", init->mode);
	mp->ctl.link = wr_memif_link_new();
	if (!mp->ctl.link)
		return wr_err(err, -ENOMEM, "out of memory");
	mp->ctl.state = CTL_SETUP;
	return ack(mp);
}

static int take_add_region(struct memif_port *mp, const struct mif_msg *msg, int *fd,
			   struct wr_err *err)
{
	int rc = wr_memif_link_add_region(mp->ctl.link, &msg->add_region, *fd, err);

	return rc < 0 ? rc : ack(mp);
}

static int take_add_ring(struct memif_port *mp, const struct mif_msg *msg, int *fd,
			 struct wr_err *err)
{
	int rc;

	/* Before anything else is done with it: poll() of who knows what might wait. */
	if (*fd >= 0 && wr_memif_bell_ring(&mp->queues[0].bell, *fd) < 0)
		return wr_err(err, -EINVAL, "a ring's interrupt must be an eventfd");
	rc = wr_memif_link_add_ring(mp->ctl.link, &msg->add_ring, mp->port.n_queues, *fd, err);
	if (rc < 0)
		return rc;
	*fd = -1; /* the link's now */
	return ack(mp);
}

static int take_connect(struct memif_port *mp, const struct mif_msg *msg, int *fd,
			struct wr_err *err)
{
	struct mif_msg answer = {.type = MIF_CONNECTED};
	int rc = wr_memif_link_check(mp->ctl.link, err);

	(void)msg, (void)fd;
	if (rc < 0)
		return rc;
	put_name(answer.connect.port_name, mp->port.name);
	rc = wr_memif_sock_send(mp->ctl.sock_fd, &answer, -1);
	if (rc < 0)
		return rc;
	publish(mp);
	return 0;
}

static void begin(struct memif_port *mp, int sock_fd, enum memif_ctl_state state)
{
	mp->ctl.sock_fd = sock_fd;
	mp->ctl.state = state;
	set_timer(mp, MEMIF_HANDSHAKE_MS);
}

static void take_client(struct memif_port *mp, int sock_fd)
{
	if (mp->ctl.sock_fd >= 0) {
		wr_count(&mp->n_refused, 1);
		send_disconnect(sock_fd, -EBUSY, "already connected to another client");
		close(sock_fd);
		return;
	}
	if (send_hello(mp, sock_fd) < 0 ||
	    wr_memif_watch(&mp->queues[0], sock_fd, EPOLLIN, MEMIF_EVENT_SOCK) < 0) {
		close(sock_fd);
		return;
	}
	begin(mp, sock_fd, CTL_INIT);
}

/* No descriptors, or no memory: the listener stays readable, and would keep the worker awake for
 * nothing. During a handshake its timer runs already. */
static void go_deaf(struct memif_port *mp)
{
	mp->ctl.is_deaf = true;
	watch_listener(mp, false);
	if (mp->ctl.sock_fd < 0 || mp->ctl.state == CTL_UP)
		set_idle_timer(mp, mp->ctl.state == CTL_UP);
}

static bool is_momentary(int error)
{
	return error == EAGAIN || error == EINTR || error == ECONNABORTED;
}

static void accept_clients(struct memif_port *mp)
{
	for (unsigned i = 0; i < MAX_ACCEPTS && !mp->ctl.dying; i++) {
		int fd = accept4(mp->ctl.listener_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0 && !is_momentary(errno))
			go_deaf(mp);
		if (fd < 0)
			return;
		take_client(mp, fd);
	}
}

/* --- the client's side ------------------------------------------------------------------------ */

enum { STEP_INIT, STEP_REGION, STEP_RINGS };

static int send_ring(const struct memif_port *mp, unsigned n)
{
	const struct memif_link *link = mp->ctl.link;
	const bool is_c2s = n < link->n_tx;
	const unsigned ring_idx = is_c2s ? n : n - link->n_tx;
	const struct memif_ring *ring = is_c2s ? &link->tx[ring_idx] : &link->rx[ring_idx];
	struct mif_msg msg = {.type = MIF_ADD_RING};

	msg.add_ring.flags = is_c2s ? MIF_ADD_RING_C2S : 0;
	msg.add_ring.ring_idx = (uint16_t)ring_idx;
	msg.add_ring.offset = ring->shm_offset;
	msg.add_ring.log2_descs = (uint8_t)__builtin_ctz(ring->n_slots);
	return wr_memif_sock_send(mp->ctl.sock_fd, &msg, ring->event_fd);
}

static int send_connect(struct memif_port *mp)
{
	struct mif_msg msg = {.type = MIF_CONNECT};

	put_name(msg.connect.port_name, mp->port.name);
	mp->ctl.state = CTL_CONNECT;
	return wr_memif_sock_send(mp->ctl.sock_fd, &msg, -1);
}

static int send_step(struct memif_port *mp)
{
	const struct memif_link *link = mp->ctl.link;
	const unsigned step = mp->ctl.step;
	struct mif_msg msg = {.type = MIF_INIT};

	if (step >= STEP_RINGS)
		return step - STEP_RINGS < link->n_tx + link->n_rx
			       ? send_ring(mp, step - STEP_RINGS)
			       : send_connect(mp);
	if (step == STEP_REGION) {
		msg.type = MIF_ADD_REGION;
		msg.add_region.n_bytes = link->regions[0].n_bytes;
		return wr_memif_sock_send(mp->ctl.sock_fd, &msg, link->regions[0].fd);
	}
	msg.init.version = MIF_VERSION;
	msg.init.id = mp->id;
	msg.init.mode = MIF_MODE_ETHERNET;
	put_name(msg.init.name, "weir");
	return wr_memif_sock_send(mp->ctl.sock_fd, &msg, -1);
}

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

static int take_hello(struct memif_port *mp, const struct mif_msg *msg, int *fd, struct wr_err *err)
{
	const struct mif_hello *hello = &msg->hello;
	struct memif_shape shape = mp->shape;
	int rc;

	(void)fd;
	if (hello->min_version > MIF_VERSION || hello->max_version < MIF_VERSION)
		return wr_err(err, -EPROTONOSUPPORT, "memif versions %u.%u to %u.%u: use 2.0",
			      hello->min_version >> 8, hello->min_version & 255,
			      hello->max_version >> 8, hello->max_version & 255);
	shape.n_c2s = least(shape.n_c2s, hello->max_c2s_ring_idx + 1U);
	shape.n_s2c = least(shape.n_s2c, hello->max_s2c_ring_idx + 1U);
	shape.log2_descs = least(shape.log2_descs, hello->max_log2_descs);
	rc = wr_memif_link_make(&shape, &mp->ctl.link, err);
	if (rc < 0)
		return rc;
	mp->ctl.state = CTL_SETUP;
	mp->ctl.step = STEP_INIT;
	return send_step(mp);
}

static int take_ack(struct memif_port *mp, const struct mif_msg *msg, int *fd, struct wr_err *err)
{
	(void)msg, (void)fd, (void)err;
	mp->ctl.step++;
	return send_step(mp);
}

static int take_connected(struct memif_port *mp, const struct mif_msg *msg, int *fd,
			  struct wr_err *err)
{
	(void)msg, (void)fd, (void)err;
	wr_memif_link_post(mp->ctl.link);
	publish(mp);
	return 0;
}

/* Never waits: to a Unix socket one is connected at once or not at all. */
static void try_connect(struct memif_port *mp)
{
	struct memif_ctl *ctl = &mp->ctl;
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd >= 0 && !connect(fd, (const struct sockaddr *)&ctl->addr, ctl->addr_bytes) &&
	    !wr_memif_watch(&mp->queues[0], fd, EPOLLIN, MEMIF_EVENT_SOCK)) {
		begin(mp, fd, CTL_HELLO);
		return;
	}
	if (fd >= 0)
		close(fd);
	set_timer(mp, MEMIF_RETRY_MS);
}

/* --- what may be said when -------------------------------------------------------------------- */

static const struct talk {
	uint16_t type;
	bool to_client;
	uint8_t state;
	/* Takes `*fd` if it sets it to -1. -errno: the end, with a sentence if the peer is to be
	 * told. */
	int (*take)(struct memif_port *, const struct mif_msg *, int *fd, struct wr_err *);
} talk[] = {
	{MIF_HELLO, true, CTL_HELLO, take_hello},
	{MIF_ACK, true, CTL_SETUP, take_ack},
	{MIF_CONNECTED, true, CTL_CONNECT, take_connected},
	{MIF_INIT, false, CTL_INIT, take_init},
	{MIF_ADD_REGION, false, CTL_SETUP, take_add_region},
	{MIF_ADD_RING, false, CTL_SETUP, take_add_ring},
	{MIF_CONNECT, false, CTL_SETUP, take_connect},
};

static int take_msg(struct memif_port *mp, const struct mif_msg *msg, int *fd, struct wr_err *err)
{
	for (size_t i = 0; i < wr_array_size(talk); i++)
		if (talk[i].type == msg->type && talk[i].to_client == mp->is_client &&
		    talk[i].state == mp->ctl.state)
			return talk[i].take(mp, msg, fd, err);
	return wr_err(err, -EPROTO, "a message of type %u is not expected now", msg->type);
}

/* One message; false: there is none, or nobody to have one from any more. */
static bool serve_msg(struct memif_port *mp)
{
	struct wr_err err = {""};
	struct mif_msg msg;
	int fd, rc;
	ssize_t n = wr_memif_sock_receive(mp->ctl.sock_fd, &msg, &fd);

	if (n == -EAGAIN || n == -EINTR)
		return false;
	if (n == (ssize_t)sizeof(msg) && msg.type != MIF_DISCONNECT)
		rc = take_msg(mp, &msg, &fd, &err);
	else if (n > 0 && n != (ssize_t)sizeof(msg))
		rc = wr_err(&err, -EMSGSIZE, "a message of %zd bytes: they have %d", n,
			    MIF_MSG_BYTES);
	else
		rc = -ENOTCONN; /* it has gone, or says so */
	if (fd >= 0)
		close(fd);
	if (rc < 0 && err.text[0])
		refuse(mp, rc, &err);
	else if (rc < 0)
		drop(mp);
	return rc >= 0;
}

static void serve_sock(struct memif_port *mp)
{
	for (unsigned i = 0; i < MAX_MSGS && mp->ctl.sock_fd >= 0; i++)
		if (!serve_msg(mp))
			return;
}

static void serve_timer(struct memif_port *mp)
{
	const struct wr_err late = {"the connection was not made in time"};
	uint64_t n;

	if (read(mp->ctl.timer_fd, &n, sizeof(n)) < 0)
		return;
	if (mp->ctl.is_deaf) {
		mp->ctl.is_deaf = false;
		watch_listener(mp, !mp->ctl.dying);
	}
	if (mp->ctl.sock_fd >= 0 && mp->ctl.state != CTL_UP)
		refuse(mp, -ETIMEDOUT, &late);
	else if (mp->is_client && mp->ctl.sock_fd < 0 && !mp->ctl.dying)
		try_connect(mp);
}

void wr_memif_ctl_event(struct memif_port *mp, enum memif_event event)
{
	/* First: the client that knocks may be the one that has gone. */
	serve_sock(mp);
	if (event == MEMIF_EVENT_TIMER)
		serve_timer(mp);
	else if (event == MEMIF_EVENT_LISTENER)
		accept_clients(mp);
}

/* Third phase of the end, once each queue has let go. */
static void bury(struct memif_port *mp)
{
	for (unsigned i = 0; i < mp->port.n_queues; i++)
		if (__atomic_load_n(&mp->queues[i].link, __ATOMIC_SEQ_CST) == mp->ctl.dying)
			return;
	wr_memif_link_free(mp->ctl.dying);
	mp->ctl.dying = NULL;
	watch_listener(mp, true);
	if (mp->is_client)
		set_timer(mp, MEMIF_RETRY_MS);
}

void wr_memif_ctl_tend(struct memif_port *mp)
{
	const char *broken = mp->link ? __atomic_load_n(&mp->link->broken, __ATOMIC_ACQUIRE) : NULL;

	if (wr_unlikely(broken)) {
		struct wr_err err;

		snprintf(err.text, sizeof(err.text), "%s", broken);
		refuse(mp, -EPROTO, &err);
	}
	(void)wr_memif_hold(&mp->queues[0]);
	if (wr_unlikely(mp->ctl.dying))
		bury(mp);
}

/* --- open and close --------------------------------------------------------------------------- */

int wr_memif_ctl_open(struct memif_port *mp, const char *path, const char *text, struct wr_err *err)
{
	struct memif_ctl *ctl = &mp->ctl;
	int rc = wr_memif_sock_address(ctl, path, text, err);

	if (rc < 0)
		return rc;
	ctl->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (ctl->timer_fd < 0)
		return wr_err(err, -errno, "%.100s: no timer: %s", text, strerror(errno));
	rc = wr_memif_watch(&mp->queues[0], ctl->timer_fd, EPOLLIN, MEMIF_EVENT_TIMER);
	if (rc < 0)
		return wr_err(err, rc, "%.100s: no epoll: %s", text, strerror(-rc));
	if (mp->is_client) {
		set_timer(mp, 1); /* the first attempt */
		return 0;
	}
	rc = wr_memif_sock_listen(ctl, text, err);
	if (rc < 0)
		return rc;
	rc = wr_memif_watch(&mp->queues[0], ctl->listener_fd, EPOLLIN, MEMIF_EVENT_LISTENER);
	return rc < 0 ? wr_err(err, rc, "%.100s: no epoll: %s", text, strerror(-rc)) : 0;
}

void wr_memif_ctl_close(struct memif_port *mp)
{
	struct memif_ctl *ctl = &mp->ctl;

	if (ctl->sock_fd >= 0) {
		send_disconnect(ctl->sock_fd, 0, "closed");
		close(ctl->sock_fd);
	}
	wr_memif_sock_remove(ctl);
	if (ctl->listener_fd >= 0)
		close(ctl->listener_fd);
	if (ctl->timer_fd >= 0)
		close(ctl->timer_fd);
	wr_memif_link_free(ctl->link);
	wr_memif_link_free(ctl->dying);
	wr_memif_link_free(mp->link);
}
