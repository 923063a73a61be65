/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Addresses: which links have one, and what the kernel does in silence when one goes.
 *
 * What is local, and what is broadcast, the routes of table local say.
 */
#include "cnet/mirror/mirror_private.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <stdlib.h>
#include <string.h>

enum { A_LOCAL, A_ADDRESS, A_N };

static const struct nl_want want[A_N] = {
	[A_LOCAL] = {IFA_LOCAL, 4},
	[A_ADDRESS] = {IFA_ADDRESS, 4},
};

static struct addr **bucket_of(struct mirror *m, struct ip4 local)
{
	return &m->addrs[wr_mirror_mix(local.raw) % ADDR_BUCKETS];
}

static struct addr **find(struct mirror *m, const struct addr *key)
{
	struct addr **at = bucket_of(m, key->local);

	while (*at && !((*at)->ifindex == key->ifindex && ip4_equal((*at)->local, key->local) &&
			ip4_equal((*at)->prefix, key->prefix) && (*at)->len == key->len))
		at = &(*at)->next;
	return at;
}

static bool is_on_any_link(struct mirror *m, struct ip4 local)
{
	for (const struct addr *a = *bucket_of(m, local); a; a = a->next)
		if (ip4_equal(a->local, local))
			return true;
	return false;
}

static void add(struct mirror *m, const struct addr *key)
{
	struct addr **at = find(m, key);
	struct link *link;

	if (*at) {
		(*at)->gen = m->gen;
		return;
	}
	link = wr_link_get(m, key->ifindex);
	*at = malloc(sizeof(**at));
	if (!*at || !link) {
		free(*at);
		*at = NULL;
		wr_mirror_short(m);
		return;
	}
	**at = *key;
	(*at)->next = NULL;
	(*at)->gen = m->gen;
	if (!link->is_known)
		link->gen = m->gen;
	link->n_addrs++;
	wr_link_dirty(m, link);
	wr_way_link_up(m, key->ifindex);
	wr_mirror_mended(m);
}

static void del(struct mirror *m, struct addr **at)
{
	struct addr *a = *at;
	struct link *link = wr_link_lookup(m, a->ifindex);

	*at = a->next;
	if (!is_on_any_link(m, a->local))
		wr_way_flush_prefsrc(m, a->local);
	if (link) {
		link->n_addrs--;
		wr_link_dirty(m, link);
		/* With the last one the kernel ends IPv4 on the link, and its routes. */
		if (!link->n_addrs)
			wr_way_link_down(m, a->ifindex, WAY_NO_ADDRESS);
	}
	free(a);
	wr_mirror_schedule(m);
}

int wr_addr_message(struct mirror *m, const struct nlmsghdr *h)
{
	const struct nlattr *a[A_N];
	struct addr key = {0};
	struct ifaddrmsg ifa;
	const void *attrs;
	struct addr **at;
	size_t len;
	int err = wr_nl_body(h, sizeof(ifa), &attrs, &len);

	if (!err)
		err = wr_nl_attrs(attrs, len, want, A_N, a);
	if (err)
		return err;
	memcpy(&ifa, wr_nl_head(h), sizeof(ifa));
	if (ifa.ifa_family != AF_INET)
		return 0;
	if (!a[A_LOCAL] || !ifa.ifa_index || ifa.ifa_prefixlen > 32)
		return -EBADMSG;
	key.ifindex = ifa.ifa_index;
	key.len = ifa.ifa_prefixlen;
	key.local = wr_nl_ip4(a[A_LOCAL]);
	key.prefix = a[A_ADDRESS] ? wr_nl_ip4(a[A_ADDRESS]) : key.local;
	if (h->nlmsg_type == RTM_NEWADDR) {
		add(m, &key);
		return 0;
	}
	at = find(m, &key);
	if (*at)
		del(m, at);
	return 0;
}

static void del_where(struct mirror *m,
		      bool (*is_over)(const struct mirror *, const struct addr *, uint32_t),
		      uint32_t ifindex)
{
	for (unsigned i = 0; i < ADDR_BUCKETS; i++) {
		struct addr **at = &m->addrs[i];

		while (*at) {
			if (is_over(m, *at, ifindex))
				del(m, at);
			else
				at = &(*at)->next;
		}
	}
}

static bool is_of_link(const struct mirror *m, const struct addr *a, uint32_t ifindex)
{
	(void)m;
	return a->ifindex == ifindex;
}

static bool is_old(const struct mirror *m, const struct addr *a, uint32_t ifindex)
{
	(void)ifindex;
	return a->gen != m->gen;
}

void wr_addr_link_gone(struct mirror *m, uint32_t ifindex)
{
	del_where(m, is_of_link, ifindex);
}

void wr_addr_sweep(struct mirror *m)
{
	del_where(m, is_old, 0);
}

void wr_addr_fini(struct mirror *m)
{
	for (unsigned i = 0; i < ADDR_BUCKETS; i++)
		while (m->addrs[i]) {
			struct addr *a = m->addrs[i];

			m->addrs[i] = a->next;
			free(a);
		}
}
