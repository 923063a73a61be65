/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Groups: which member carries which bucket of flows.
 *
 * How many: seats by weight, dealt as Sainte-Lague deals them, each member having one to begin
 * with. A divisor method, since with those no member's share shrinks when another one leaves.
 *
 * Which: a bucket keeps the member that it had, so that flows stay where they are; a free one goes
 * to the member with the highest score for it (rendezvous hashing) that has room.
 */
#include "cnet/mirror/mirror_private.h"

#include <string.h>

unsigned wr_group_size(unsigned n)
{
	return n <= 32 ? FIB_MAX_BUCKETS / 2 : FIB_MAX_BUCKETS;
}

static void deal_shares(const struct group_member *g, unsigned n, uint16_t *shares,
			unsigned n_buckets)
{
	unsigned n_left = n_buckets - n;

	for (unsigned i = 0; i < n; i++)
		shares[i] = 1;
	while (n_left--) {
		unsigned best = 0;

		/* The largest weight / (share + 1/2), compared crosswise. */
		for (unsigned i = 1; i < n; i++) {
			uint64_t a = (uint64_t)g[i].weight * (2u * shares[best] + 1);
			uint64_t b = (uint64_t)g[best].weight * (2u * shares[i] + 1);

			if (a > b || (a == b && g[i].key > g[best].key))
				best = i;
		}
		shares[best]++;
	}
}

static uint64_t score(const struct group_member *member, unsigned bucket)
{
	return wr_mirror_mix(member->key ^ (bucket + 1) * UINT64_C(0x9e3779b97f4a7c15));
}

static unsigned find_id(const struct group_member *g, unsigned n, uint16_t id)
{
	unsigned i = 0;

	while (i < n && g[i].id != id)
		i++;
	return i;
}

/* Of the buckets that its members held, each keeps those it likes best, up to its share. */
static void keep_base(const struct group_member *g, unsigned n, const uint16_t *base,
		      uint16_t *shares, uint16_t *ids, unsigned n_buckets)
{
	for (unsigned b = 0; b < n_buckets; b++) {
		unsigned i = find_id(g, n, base[b]);
		unsigned n_better = 0;

		if (i == n)
			continue;
		for (unsigned c = 0; c < n_buckets; c++)
			n_better += base[c] == base[b] && score(&g[i], c) > score(&g[i], b);
		if (n_better < shares[i])
			ids[b] = base[b];
	}
	for (unsigned b = 0; b < n_buckets; b++)
		if (ids[b])
			shares[find_id(g, n, ids[b])]--;
}

static unsigned choose(const struct group_member *g, unsigned n, const uint16_t *shares,
		       unsigned bucket)
{
	unsigned best = n;

	for (unsigned i = 0; i < n; i++)
		if (shares[i] && (best == n || score(&g[i], bucket) > score(&g[best], bucket)))
			best = i;
	return best;
}

void wr_group_fill(const struct group_member *g, unsigned n, const uint16_t *base,
		   uint16_t *ret_ids, unsigned n_buckets)
{
	uint16_t shares[MAX_LEGS] = {0};

	memset(ret_ids, 0, n_buckets * sizeof(*ret_ids));
	deal_shares(g, n, shares, n_buckets);
	if (base)
		keep_base(g, n, base, shares, ret_ids, n_buckets);
	for (unsigned b = 0; b < n_buckets; b++) {
		unsigned i;

		if (ret_ids[b])
			continue;
		i = choose(g, n, shares, b);
		ret_ids[b] = g[i].id;
		shares[i]--;
	}
}
