/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Neighbours: whose MAC addresses the kernel knows, and keeping it interested in those that Weir
 * uses.
 *
 * The kernel does not see the traffic that Weir forwards, so it would let a neighbour go stale and
 * never probe it. What workers have sent by (`used`) is looked at every few seconds, and a stale
 * neighbour in use is named to the kernel (NTF_USE), which probes it as if it had a packet for it.
 * Unresolved ones need nothing: their packets are punted, and the kernel resolves.
 */
#include "cnet/mirror/mirror_private.h"

#include <errno.h>
#include <linux/neighbour.h>
#include <netlink/msg.h>
#include <stdlib.h>
#include <string.h>

enum { N_DST, N_LLADDR, N_N };

static const struct nl_want want[N_N] = {
	[N_DST] = {NDA_DST, 4},
	[N_LLADDR] = {NDA_LLADDR, 0},
};

enum { VALID_STATES = NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT };

bool wr_neigh_is_valid(const struct neigh *n)
{
	return n->pub.state & VALID_STATES;
}

static struct neigh **slot(struct mirror *m, uint32_t ifindex, struct ip4 addr)
{
	struct neigh **at =
		&m->neighs[wr_mirror_mix((uint64_t)ifindex << 32 | addr.raw) % NEIGH_BUCKETS];

	while (*at && !((*at)->pub.ifindex == ifindex && ip4_equal((*at)->pub.addr, addr)))
		at = &(*at)->next;
	return at;
}

struct neigh *wr_neigh_lookup(const struct mirror *m, uint32_t ifindex, struct ip4 addr)
{
	struct neigh *n =
		m->neighs[wr_mirror_mix((uint64_t)ifindex << 32 | addr.raw) % NEIGH_BUCKETS];

	while (n && !(n->pub.ifindex == ifindex && ip4_equal(n->pub.addr, addr)))
		n = n->next;
	return n;
}

static void set_fib(struct mirror *m, struct neigh *n)
{
	const struct link *link = wr_link_lookup(m, n->pub.ifindex);
	struct mirror_path path = {.oif = n->pub.ifindex};
	struct nexthop nh = {.type = NH_NEIGH};

	if (link && wr_neigh_is_valid(n) && wr_derive_path_why(m, &path) == WHY_NOT) {
		wr_derive_rewrite(link, n, &nh);
		nh.mtu = link->pub.mtu;
		/* Where the table is full the packets are punted. */
		n->is_in_fib = !wr_fib_neigh_set(m->conf.fib, n->pub.ifindex, n->pub.addr, &nh);
		if (n->is_in_fib)
			return;
	}
	wr_fib_neigh_del(m->conf.fib, n->pub.ifindex, n->pub.addr);
	n->is_in_fib = false;
}

void wr_neigh_link_changed(struct mirror *m, const struct link *link)
{
	for (unsigned i = 0; i < NEIGH_BUCKETS; i++)
		for (struct neigh *n = m->neighs[i]; n; n = n->next)
			if (n->pub.ifindex == link->pub.ifindex)
				set_fib(m, n);
}

/* Reads what workers wrote; clears it if it is to `take`. */
static bool was_used(struct nexthop *nh, bool take)
{
	if (!nh || !__atomic_load_n(&nh->used, __ATOMIC_RELAXED))
		return false;
	if (take)
		__atomic_store_n(&nh->used, 0, __ATOMIC_RELAXED);
	return true;
}

static bool is_any_used(const struct mirror *m, const struct neigh *n, bool take)
{
	const struct hop *hop = m->hops[wr_hop_bucket(n->pub.ifindex, n->pub.addr)];
	bool is_used =
		was_used(wr_fib_neigh_lookup(m->conf.fib, n->pub.ifindex, n->pub.addr), take);

	for (; hop; hop = hop->next) {
		if (hop->oif != n->pub.ifindex || !ip4_equal(hop->gateway, n->pub.addr))
			continue;
		if (hop->fib_id)
			is_used |= was_used(m->conf.fib->nh[hop->fib_id], take);
		for (const struct leg *leg = hop->legs; leg; leg = leg->next)
			if (leg->way->n_legs == 1)
				is_used |= was_used(m->conf.fib->nh[leg->way->fib_id], take);
	}
	return is_used;
}

static void tell_use(struct mirror *m, const struct neigh *n)
{
	struct ndmsg ndm = {
		.ndm_family = AF_INET,
		.ndm_ifindex = (int)n->pub.ifindex,
		.ndm_state = NUD_NONE,
		.ndm_flags = NTF_USE,
	};
	struct nl_msg *msg;

	if (m->is_detached)
		return;
	msg = nlmsg_alloc_simple(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE);
	if (!msg)
		return;
	if (nlmsg_append(msg, &ndm, sizeof(ndm), NLMSG_ALIGNTO) ||
	    nla_put_u32(msg, NDA_DST, n->pub.addr.raw)) {
		nlmsg_free(msg);
		return;
	}
	/* If it cannot be sent now, the next round sends it. */
	(void)wr_nl_tell(m->ask, msg);
}

static bool is_on_port(const struct mirror *m, const struct neigh *n)
{
	const struct link *link = wr_link_lookup(m, n->pub.ifindex);

	return link && link->pub.port_idx >= 0;
}

void wr_neigh_keepalive(struct mirror *m)
{
	for (unsigned i = 0; i < NEIGH_BUCKETS; i++)
		for (struct neigh *n = m->neighs[i]; n; n = n->next) {
			if (!is_on_port(m, n))
				continue;
			n->pub.is_used = is_any_used(m, n, true);
			if (n->pub.is_used && n->pub.state == NUD_STALE)
				tell_use(m, n);
		}
}

bool wr_neigh_any_on_ports(const struct mirror *m)
{
	for (unsigned i = 0; i < NEIGH_BUCKETS; i++)
		for (const struct neigh *n = m->neighs[i]; n; n = n->next)
			if (is_on_port(m, n))
				return true;
	return false;
}

/* Only what the data plane sees of it: states among the valid ones come and go. */
static void publish(struct mirror *m, struct neigh *n, bool was_valid, struct mac old_mac)
{
	bool is_valid = wr_neigh_is_valid(n);

	if (is_valid == was_valid && (!is_valid || !memcmp(&old_mac, &n->pub.mac, sizeof(old_mac))))
		return;
	wr_mirror_mended(m);
	set_fib(m, n);
	wr_derive_neigh(m, n->pub.ifindex, n->pub.addr);
}

static void update(struct mirror *m, const struct ndmsg *ndm, struct ip4 addr,
		   const struct nlattr *lladdr)
{
	uint32_t ifindex = (uint32_t)ndm->ndm_ifindex;
	struct neigh **at = slot(m, ifindex, addr);
	struct neigh *n = *at;
	struct mac old_mac;
	bool was_valid, has_mac = lladdr && wr_nl_len(lladdr) == sizeof(n->pub.mac);

	if (!n) {
		n = calloc(1, sizeof(*n));
		if (!n) {
			wr_mirror_short(m);
			return;
		}
		n->pub.ifindex = ifindex;
		n->pub.addr = addr;
		*at = n;
		m->stats.n_neighs++;
	}
	was_valid = wr_neigh_is_valid(n);
	old_mac = n->pub.mac;
	n->gen = m->gen;
	n->pub.state = ndm->ndm_state;
	if (has_mac)
		memcpy(&n->pub.mac, wr_nl_data(lladdr), sizeof(n->pub.mac));
	else
		n->pub.state &=
			(uint16_t)~VALID_STATES; /* valid without a MAC address: no Ethernet */
	publish(m, n, was_valid, old_mac);
	if (n->pub.state == NUD_STALE && is_on_port(m, n) &&
	    (is_any_used(m, n, true) || n->pub.is_used)) {
		n->pub.is_used = true;
		tell_use(m, n);
	}
}

static void del(struct mirror *m, struct neigh **at)
{
	struct neigh *n = *at;
	uint32_t ifindex = n->pub.ifindex;
	struct ip4 addr = n->pub.addr;

	*at = n->next;
	if (n->is_in_fib)
		wr_fib_neigh_del(m->conf.fib, ifindex, addr);
	free(n);
	m->stats.n_neighs--;
	wr_derive_neigh(m, ifindex, addr);
}

int wr_neigh_message(struct mirror *m, const struct nlmsghdr *h)
{
	const struct nlattr *a[N_N];
	struct ndmsg ndm;
	struct neigh **at;
	const void *attrs;
	size_t len;
	int err = wr_nl_body(h, sizeof(ndm), &attrs, &len);

	if (err)
		return err;
	memcpy(&ndm, wr_nl_head(h), sizeof(ndm));
	/* The same types tell of IPv6, and of a bridge's stations. */
	if (ndm.ndm_family != AF_INET || (ndm.ndm_flags & NTF_PROXY))
		return 0;
	err = wr_nl_attrs(attrs, len, want, N_N, a);
	if (err)
		return err;
	if (!a[N_DST] || ndm.ndm_ifindex <= 0)
		return -EBADMSG;
	if (h->nlmsg_type == RTM_NEWNEIGH) {
		update(m, &ndm, wr_nl_ip4(a[N_DST]), a[N_LLADDR]);
		return 0;
	}
	at = slot(m, (uint32_t)ndm.ndm_ifindex, wr_nl_ip4(a[N_DST]));
	if (*at)
		del(m, at);
	return 0;
}

void wr_neigh_link_gone(struct mirror *m, uint32_t ifindex)
{
	for (unsigned i = 0; i < NEIGH_BUCKETS; i++) {
		struct neigh **at = &m->neighs[i];

		while (*at) {
			if ((*at)->pub.ifindex == ifindex)
				del(m, at);
			else
				at = &(*at)->next;
		}
	}
}

void wr_neigh_sweep(struct mirror *m)
{
	for (unsigned i = 0; i < NEIGH_BUCKETS; i++) {
		struct neigh **at = &m->neighs[i];

		while (*at) {
			if ((*at)->gen != m->gen) {
				wr_mirror_mended(m);
				del(m, at);
			} else {
				at = &(*at)->next;
			}
		}
	}
}

void wr_neigh_fini(struct mirror *m)
{
	for (unsigned i = 0; i < NEIGH_BUCKETS; i++)
		while (m->neighs[i]) {
			struct neigh *n = m->neighs[i];

			m->neighs[i] = n->next;
			free(n);
		}
}

void wr_mirror_each_neigh(const struct mirror *m,
			  void (*each)(void *arg, const struct mirror_neigh *), void *arg)
{
	for (unsigned i = 0; i < NEIGH_BUCKETS; i++)
		for (const struct neigh *n = m->neighs[i]; n; n = n->next) {
			struct mirror_neigh now = n->pub;

			now.is_used |= is_any_used(m, n, false);
			each(arg, &now);
		}
}
