/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Settings of interfaces: net.ipv4.conf.<interface>.*, as far as the kernel tells of them.
 */
#include "cnet/mirror/mirror_private.h"

#include <errno.h>
#include <linux/netconf.h>
#include <string.h>

enum { C_IFINDEX, C_FORWARDING, C_RP_FILTER, C_LINKDOWN, C_N };

static const struct nl_want want[C_N] = {
	[C_IFINDEX] = {NETCONFA_IFINDEX, 4},
	[C_FORWARDING] = {NETCONFA_FORWARDING, 4},
	[C_RP_FILTER] = {NETCONFA_RP_FILTER, 4},
	[C_LINKDOWN] = {NETCONFA_IGNORE_ROUTES_WITH_LINKDOWN, 4},
};

static uint8_t rp_filter_of(const struct nlattr *a)
{
	uint32_t v = wr_nl_u32(a);

	return v > 2 ? 2 : (uint8_t)v;
}

static void set_all(struct mirror *m, const struct nlattr *const *a)
{
	if (a[C_RP_FILTER])
		m->all_rp_filter = rp_filter_of(a[C_RP_FILTER]);
	if (a[C_LINKDOWN])
		m->all_ignore_linkdown = wr_nl_u32(a[C_LINKDOWN]);
	for (unsigned i = 0; i < LINK_BUCKETS; i++)
		for (struct link *link = m->links[i]; link; link = link->next)
			wr_link_settings(m, link);
}

static void set_link(struct mirror *m, uint32_t ifindex, const struct nlattr *const *a)
{
	struct link *link = wr_link_get(m, ifindex);

	if (!link) {
		wr_mirror_short(m);
		return;
	}
	if (!link->is_known)
		link->gen = m->gen;
	if (a[C_FORWARDING]) {
		bool forwarding = wr_nl_u32(a[C_FORWARDING]);

		if (forwarding != link->pub.forwarding)
			wr_link_dirty(m, link);
		link->pub.forwarding = forwarding;
	}
	if (a[C_RP_FILTER])
		link->own_rp_filter = rp_filter_of(a[C_RP_FILTER]);
	if (a[C_LINKDOWN])
		link->own_ignore_linkdown = wr_nl_u32(a[C_LINKDOWN]);
	wr_link_settings(m, link);
}

int wr_netconf_message(struct mirror *m, const struct nlmsghdr *h)
{
	const struct nlattr *a[C_N];
	struct netconfmsg ncm;
	const void *attrs;
	int32_t ifindex;
	size_t len;
	int err = wr_nl_body(h, sizeof(ncm), &attrs, &len);

	if (!err)
		err = wr_nl_attrs(attrs, len, want, C_N, a);
	if (err)
		return err;
	memcpy(&ncm, wr_nl_head(h), sizeof(ncm));
	if (ncm.ncm_family != AF_INET)
		return 0;
	if (!a[C_IFINDEX])
		return -EBADMSG;
	ifindex = (int32_t)wr_nl_u32(a[C_IFINDEX]);
	/* The link's own end follows at once and takes its settings along. */
	if (h->nlmsg_type == RTM_DELNETCONF)
		return 0;
	if (ifindex == NETCONFA_IFINDEX_ALL)
		set_all(m, a);
	else if (ifindex > 0)
		set_link(m, (uint32_t)ifindex, a);
	wr_link_read_redirects(m);
	return 0;
}
