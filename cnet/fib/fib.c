/* SPDX-License-Identifier: BSD-3-Clause */
#include "cnet/fib/fib.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	uint32_t id;
	enum nh_type type;
} reserved[] = {
	{FIB_NH_NONE, NH_NONE},           {FIB_NH_KERNEL, NH_KERNEL}, {FIB_NH_LOCAL, NH_LOCAL},
	{FIB_NH_BLACKHOLE, NH_BLACKHOLE}, {FIB_NH_REJECT, NH_REJECT},
};

static size_t lists_bytes(const struct nexthop *nh)
{
	return ((size_t)nh->n_buckets + nh->n_members) * sizeof(uint16_t);
}

/* One block: the object, then its buckets, then its members. NULL if memory is short. */
static struct nexthop *copy_nexthop(const struct nexthop *nh)
{
	struct nexthop *copy;
	uint16_t *lists;

	if (posix_memalign((void **)&copy, WR_CACHE_LINE, sizeof(*copy) + lists_bytes(nh)))
		return NULL;
	*copy = *nh;
	lists = (uint16_t *)(copy + 1);
	if (nh->n_buckets)
		memcpy(lists, nh->buckets, nh->n_buckets * sizeof(*lists));
	if (nh->n_members)
		memcpy(lists + nh->n_buckets, nh->members, nh->n_members * sizeof(*lists));
	copy->buckets = lists;
	copy->members = lists + nh->n_buckets;
	copy->next = NULL;
	return copy;
}

int wr_fib_create(struct rcu_writer *rcu, struct fib **ret_fib)
{
	struct fib *fib = calloc(1, sizeof(*fib));
	int err = -ENOMEM;

	if (!fib)
		return err;
	fib->rcu = rcu;
	fib->nh_hint = FIB_NH_FIRST_FREE;
	fib->n_locals = calloc(FIB_LOCALS_BITS, sizeof(*fib->n_locals));
	if (!fib->n_locals)
		goto err_locals;
	err = wr_fib4_create(rcu, &fib->routes);
	if (err)
		goto err_routes;
	for (unsigned i = 0; i < wr_array_size(reserved); i++) {
		struct nexthop nh = {.type = reserved[i].type};

		err = wr_fib_nh_publish(fib, reserved[i].id, &nh);
		if (err)
			goto err_reserved;
	}
	fib->n_nh = 0;
	*ret_fib = fib;
	return 0;

err_reserved:
	for (unsigned i = 0; i < wr_array_size(reserved); i++)
		free(fib->nh[reserved[i].id]);
	wr_fib4_free(fib->routes);
err_routes:
	free(fib->n_locals);
err_locals:
	free(fib);
	return err;
}

void wr_fib_free(struct fib *fib)
{
	if (!fib)
		return;
	wr_rcu_flush(fib->rcu);
	for (unsigned i = 0; i < wr_array_size(reserved); i++)
		free(fib->nh[reserved[i].id]);
	for (unsigned i = FIB_NH_FIRST_FREE; fib->n_nh; i++)
		if (fib->nh[i]) {
			free(fib->nh[i]);
			fib->n_nh--;
		}
	for (unsigned i = 0; fib->n_neighs; i++)
		while (fib->neigh[i]) {
			struct nexthop *nh = fib->neigh[i];

			fib->neigh[i] = nh->next;
			free(nh);
			fib->n_neighs--;
		}
	for (unsigned i = 0; i < WR_MAX_PORTS; i++)
		free(fib->iface[i]);
	wr_fib4_free(fib->routes);
	wr_rcu_flush(fib->rcu);
	free(fib->n_locals);
	free(fib);
}

/* --- next hops ------------------------------------------------------------------------------- */

int wr_fib_nh_alloc(struct fib *fib)
{
	const uint32_t n_ids = FIB_MAX_NH - FIB_NH_FIRST_FREE;

	if (fib->n_nh == n_ids)
		return -ENOSPC;
	for (uint32_t i = 0; i < n_ids; i++) {
		uint32_t id = FIB_NH_FIRST_FREE + (fib->nh_hint - FIB_NH_FIRST_FREE + i) % n_ids;

		if (!fib->nh[id]) {
			fib->nh_hint = id + 1 < FIB_MAX_NH ? id + 1 : FIB_NH_FIRST_FREE;
			return (int)id;
		}
	}
	return -ENOSPC;
}

int wr_fib_nh_publish(struct fib *fib, uint32_t id, const struct nexthop *nh)
{
	struct nexthop *copy = copy_nexthop(nh);
	struct nexthop *old = fib->nh[id];

	if (!copy)
		return -ENOMEM;
	copy->id = id;
	wr_rcu_store(fib->nh[id], copy);
	if (old)
		wr_rcu_retire(fib->rcu, old, NULL, NULL);
	else
		fib->n_nh++;
	return 0;
}

static void free_slot(void *arg, void *ptr)
{
	struct fib *fib = arg;
	struct nexthop *nh = ptr;

	wr_rcu_store(fib->nh[nh->id], NULL);
	fib->n_nh--;
	free(nh);
}

/* A reader that looked its route up before the route was moved away may still ask for this index
 * within its turn: the slot stays as it is until the grace period ends, and is not reused
 * before. */
void wr_fib_nh_release(struct fib *fib, uint32_t id)
{
	if (fib->nh[id])
		wr_rcu_retire(fib->rcu, fib->nh[id], free_slot, fib);
}

/* --- neighbours of attached networks --------------------------------------------------------- */

static struct nexthop **neigh_slot(struct fib *fib, uint32_t oif, struct ip4 addr)
{
	struct nexthop **at = &fib->neigh[wr_fib_neigh_bucket(oif, addr)];

	while (*at && !(ip4_equal((*at)->gateway, addr) && (*at)->oif == oif))
		at = &(*at)->next;
	return at;
}

int wr_fib_neigh_set(struct fib *fib, uint32_t oif, struct ip4 addr, const struct nexthop *nh)
{
	struct nexthop **at = neigh_slot(fib, oif, addr);
	struct nexthop *old = *at;
	struct nexthop *copy;

	if (!old && fib->n_neighs == FIB_NEIGH_MAX)
		return -ENOSPC;
	copy = copy_nexthop(nh);
	if (!copy)
		return -ENOMEM;
	copy->oif = oif;
	copy->gateway = addr;
	copy->next = old ? old->next : NULL;
	wr_rcu_store(*at, copy);
	if (old)
		wr_rcu_retire(fib->rcu, old, NULL, NULL);
	else
		fib->n_neighs++;
	return 0;
}

void wr_fib_neigh_del(struct fib *fib, uint32_t oif, struct ip4 addr)
{
	struct nexthop **at = neigh_slot(fib, oif, addr);
	struct nexthop *old = *at;

	if (!old)
		return;
	/* `old` keeps its own `next`: a reader that stands on it goes on along the chain. */
	wr_rcu_store(*at, old->next);
	wr_rcu_retire(fib->rcu, old, NULL, NULL);
	fib->n_neighs--;
}

/* --- interfaces and local addresses ---------------------------------------------------------- */

int wr_fib_iface_set(struct fib *fib, unsigned port_idx, const struct fib_iface *iface)
{
	struct fib_iface *copy = NULL;
	struct fib_iface *old = fib->iface[port_idx];

	if (iface) {
		copy = malloc(sizeof(*copy));
		if (!copy)
			return -ENOMEM;
		*copy = *iface;
	}
	wr_rcu_store(fib->iface[port_idx], copy);
	wr_rcu_retire(fib->rcu, old, NULL, NULL);
	return 0;
}

static void set_local_bit(struct fib *fib, unsigned bit, bool on)
{
	uint64_t *word = &fib->locals[bit / 64];
	uint64_t mask = UINT64_C(1) << (bit % 64);

	__atomic_store_n(word, on ? *word | mask : *word & ~mask, __ATOMIC_RELAXED);
}

void wr_fib_local_add(struct fib *fib, struct ip4 addr)
{
	unsigned bit = wr_fib_local_bit(addr);

	if (fib->n_locals[bit]++ == 0)
		set_local_bit(fib, bit, true);
}

void wr_fib_local_del(struct fib *fib, struct ip4 addr)
{
	unsigned bit = wr_fib_local_bit(addr);

	if (fib->n_locals[bit] && --fib->n_locals[bit] == 0)
		set_local_bit(fib, bit, false);
}
