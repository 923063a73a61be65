/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The control thread's event loop: epoll with watchers and timers.
 *
 * A watcher is embedded in its owner and lives as long as it is armed; the loop never allocates for
 * it. A callback may stop any watcher or timer, its own included, and may free its owner
 * afterwards: the loop does not touch it again. Timers are one-shot on the loop's clock and kept in
 * a short list: there are tens of them, not thousands. One thread; nothing here is called from a
 * worker except wr_loop_wake().
 */
#ifndef WR_SYS_LOOP_H
#define WR_SYS_LOOP_H

#include "lib/sys/clock.h"

struct wr_loop;

struct wr_watch {
	int fd; /* -1: not armed */
	void (*ready)(struct wr_watch *, uint32_t epoll_events);
};

struct wr_timer {
	uint64_t due_ns; /* 0: not armed */
	void (*fire)(struct wr_timer *);
	struct wr_timer *next;
};

int wr_loop_create(const struct wr_clock *clock, struct wr_loop **ret_loop);
void wr_loop_free(struct wr_loop *);

const struct wr_clock *wr_loop_clock(const struct wr_loop *);

/* Starts watching `fd` (not owned) for EPOLLIN/EPOLLOUT/...; `w->ready` must be set. 0 or
 * -errno. */
int wr_watch_start(struct wr_loop *, struct wr_watch *w, int fd, uint32_t epoll_events);
int wr_watch_change(struct wr_loop *, struct wr_watch *w, uint32_t epoll_events);
/* Safe on a watcher that is not armed (fd == -1). */
void wr_watch_stop(struct wr_loop *, struct wr_watch *w);

/* Arms or re-arms to fire once in `after_ns`; `t->fire` must be set. */
void wr_timer_start(struct wr_loop *, struct wr_timer *t, uint64_t after_ns);
void wr_timer_stop(struct wr_loop *, struct wr_timer *t);

/* One turn: waits for events at most until the next timer or `max_wait_ns` (UINT64_MAX: no limit),
 * runs what is due. 0 or -errno (EINTR is 0). */
int wr_loop_turn(struct wr_loop *, uint64_t max_wait_ns);

/* Ends the present or the next wait. Any thread, also a signal handler. */
void wr_loop_wake(struct wr_loop *);

#endif
