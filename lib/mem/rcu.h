/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Read-copy-update: tables that workers read without a lock.
 *
 * One control thread writes. It builds a new object, publishes it with wr_rcu_store() and hands the
 * old one to wr_rcu_retire(); wr_rcu_flush() waits until every worker has been through a quiescent
 * state and frees what was retired. Readers follow pointers with wr_rcu_load() and keep them only
 * until their turn ends (wr_rcu_quiesce()). The store's release pairs with the load's acquire: a
 * reader that sees the pointer sees what it points to.
 *
 * The grace period is liburcu's QSBR flavour, which costs a reader one store a turn.
 */
#ifndef WR_MEM_RCU_H
#define WR_MEM_RCU_H

#include "lib/base/types.h"

#define wr_rcu_load(p) __atomic_load_n(&(p), __ATOMIC_ACQUIRE)
#define wr_rcu_store(p, v) __atomic_store_n(&(p), (v), __ATOMIC_RELEASE)

/* A worker's life: online while it may hold pointers, offline while it sleeps. */
void wr_rcu_register(void);
void wr_rcu_unregister(void);
void wr_rcu_quiesce(void);
void wr_rcu_offline(void);
void wr_rcu_online(void);

struct rcu_retired {
	void *ptr;
	void (*release)(void *arg, void *ptr);
	void *arg;
};

enum { WR_RCU_MAX_RETIRED = 4096 };

/* The writer's list of what waits for a grace period. Beyond WR_RCU_MAX_RETIRED entries retire()
 * flushes by itself. */
struct rcu_writer {
	unsigned n;
	uint64_t n_grace_periods;
	struct rcu_retired retired[WR_RCU_MAX_RETIRED];
};

/* `release(arg, ptr)` is called once no reader can hold `ptr`; NULL means free(ptr). */
void wr_rcu_retire(struct rcu_writer *, void *ptr, void (*release)(void *arg, void *ptr),
		   void *arg);
/* Waits one grace period if anything was retired. The caller must not be an online reader. */
void wr_rcu_flush(struct rcu_writer *);

#endif
