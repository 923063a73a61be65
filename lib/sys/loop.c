/* SPDX-License-Identifier: BSD-3-Clause */
#include "lib/sys/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { MAX_EVENTS = 32 };

struct wr_loop {
	const struct wr_clock *clock;
	int epoll_fd;
	int wake_fd;
	struct wr_timer *timers; /* sorted by due time */
	/* The events of the turn in progress: stopping a watcher blanks its own, so that an
	 * owner freed by an earlier callback of the turn is never called. */
	struct epoll_event events[MAX_EVENTS];
	int n_events;
};

int wr_loop_create(const struct wr_clock *clock, struct wr_loop **ret_loop)
{
	struct wr_loop *loop = calloc(1, sizeof(*loop));
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = NULL};
	int err;

	if (!loop)
		return -ENOMEM;
	loop->clock = clock;
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0) {
		err = -errno;
		goto err_epoll;
	}
	loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop->wake_fd < 0) {
		err = -errno;
		goto err_eventfd;
	}
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->wake_fd, &ev)) {
		err = -errno;
		goto err_add;
	}
	*ret_loop = loop;
	return 0;

err_add:
	close(loop->wake_fd);
err_eventfd:
	close(loop->epoll_fd);
err_epoll:
	free(loop);
	return err;
}

void wr_loop_free(struct wr_loop *loop)
{
	if (!loop)
		return;
	close(loop->wake_fd);
	close(loop->epoll_fd);
	free(loop);
}

const struct wr_clock *wr_loop_clock(const struct wr_loop *loop)
{
	return loop->clock;
}

int wr_watch_start(struct wr_loop *loop, struct wr_watch *w, int fd, uint32_t epoll_events)
{
	struct epoll_event ev = {.events = epoll_events, .data.ptr = w};

	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &ev))
		return -errno;
	w->fd = fd;
	return 0;
}

int wr_watch_change(struct wr_loop *loop, struct wr_watch *w, uint32_t epoll_events)
{
	struct epoll_event ev = {.events = epoll_events, .data.ptr = w};

	return epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, w->fd, &ev) ? -errno : 0;
}

void wr_watch_stop(struct wr_loop *loop, struct wr_watch *w)
{
	if (w->fd < 0)
		return;
	epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, w->fd, NULL);
	w->fd = -1;
	for (int i = 0; i < loop->n_events; i++)
		if (loop->events[i].data.ptr == w)
			loop->events[i].events = 0;
}

void wr_timer_start(struct wr_loop *loop, struct wr_timer *t, uint64_t after_ns)
{
	struct wr_timer **at = &loop->timers;

	wr_timer_stop(loop, t);
	t->due_ns = wr_now_ns(loop->clock) + after_ns;
	while (*at && (*at)->due_ns <= t->due_ns)
		at = &(*at)->next;
	t->next = *at;
	*at = t;
}

void wr_timer_stop(struct wr_loop *loop, struct wr_timer *t)
{
	struct wr_timer **at = &loop->timers;

	if (!t->due_ns)
		return;
	while (*at && *at != t)
		at = &(*at)->next;
	if (*at)
		*at = t->next;
	t->due_ns = 0;
}

/* Milliseconds until the next timer, rounded up so that a wait never ends just before it; -1: for
 * ever. */
static int wait_ms(const struct wr_loop *loop, uint64_t max_wait_ns)
{
	uint64_t wait_ns = max_wait_ns;

	if (loop->timers) {
		uint64_t now = wr_now_ns(loop->clock);
		uint64_t due = loop->timers->due_ns;
		uint64_t until = due > now ? due - now : 0;

		if (until < wait_ns)
			wait_ns = until;
	}
	if (wait_ns == UINT64_MAX)
		return -1;
	wait_ns = (wait_ns + WR_NS_PER_MS - 1) / WR_NS_PER_MS;
	return wait_ns > INT32_MAX ? INT32_MAX : (int)wait_ns;
}

static void fire_timers(struct wr_loop *loop)
{
	uint64_t now = wr_now_ns(loop->clock);

	while (loop->timers && loop->timers->due_ns <= now) {
		struct wr_timer *t = loop->timers;

		loop->timers = t->next;
		t->due_ns = 0;
		t->fire(t);
	}
}

static void run_watchers(struct wr_loop *loop)
{
	for (int i = 0; i < loop->n_events; i++) {
		struct wr_watch *w = loop->events[i].data.ptr;
		uint64_t n;

		if (!loop->events[i].events)
			continue;
		if (w)
			w->ready(w, loop->events[i].events);
		else if (read(loop->wake_fd, &n, sizeof(n)) < 0)
			continue; /* another turn has read it */
	}
	loop->n_events = 0;
}

int wr_loop_turn(struct wr_loop *loop, uint64_t max_wait_ns)
{
	int n = epoll_wait(loop->epoll_fd, loop->events, MAX_EVENTS, wait_ms(loop, max_wait_ns));

	if (n < 0 && errno != EINTR)
		return -errno;
	loop->n_events = n < 0 ? 0 : n;
	run_watchers(loop);
	fire_timers(loop);
	return 0;
}

void wr_loop_wake(struct wr_loop *loop)
{
	uint64_t one = 1;

	/* EAGAIN means the counter is full: the loop wakes all the same. */
	if (write(loop->wake_fd, &one, sizeof(one)) < 0)
		return;
}
