/* SPDX-License-Identifier: BSD-3-Clause */
#include "lib/mem/rcu.h"

#include <stdlib.h>
#include <urcu-qsbr.h>

/* liburcu is not built with the thread sanitizer: tell it which way the order goes. */
#if defined(__SANITIZE_THREAD__)
#define WR_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WR_TSAN 1
#endif
#endif

#ifdef WR_TSAN
void __tsan_acquire(void *addr);
void __tsan_release(void *addr);
static char grace_period_order;
#define reader_done() __tsan_release(&grace_period_order)
#define writer_waited() __tsan_acquire(&grace_period_order)
#else
#define reader_done() ((void)0)
#define writer_waited() ((void)0)
#endif

void wr_rcu_register(void)
{
	urcu_qsbr_register_thread();
}

void wr_rcu_unregister(void)
{
	reader_done();
	urcu_qsbr_unregister_thread();
}

void wr_rcu_quiesce(void)
{
	reader_done();
	urcu_qsbr_quiescent_state();
}

void wr_rcu_offline(void)
{
	reader_done();
	urcu_qsbr_thread_offline();
}

void wr_rcu_online(void)
{
	urcu_qsbr_thread_online();
}

void wr_rcu_retire(struct rcu_writer *w, void *ptr, void (*release)(void *arg, void *ptr),
		   void *arg)
{
	if (!ptr)
		return;
	if (w->n == WR_RCU_MAX_RETIRED)
		wr_rcu_flush(w);
	w->retired[w->n++] = (struct rcu_retired){.ptr = ptr, .release = release, .arg = arg};
}

void wr_rcu_flush(struct rcu_writer *w)
{
	if (!w->n)
		return;
	urcu_qsbr_synchronize_rcu();
	writer_waited();
	w->n_grace_periods++;
	for (unsigned i = 0; i < w->n; i++) {
		struct rcu_retired *r = &w->retired[i];

		if (r->release)
			r->release(r->arg, r->ptr);
		else
			free(r->ptr);
	}
	w->n = 0;
}
