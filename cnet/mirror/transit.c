/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Transit: whether what comes in by a port is Weir's to forward, and if not, why.
 */
#include "cnet/mirror/mirror_private.h"

#include <linux/if.h>
#include <linux/if_arp.h>
#include <stdio.h>
#include <string.h>

/* A tag that the driver, or veth, keeps beside the packet is not seen by an XDP program: a tagged
 * packet looks like one of the interface's own. */
static bool has_vlans(const struct mirror *m, uint32_t ifindex)
{
	for (unsigned i = 0; i < LINK_BUCKETS; i++)
		for (const struct link *link = m->links[i]; link; link = link->next)
			if (link->is_known && link->lower == ifindex &&
			    !strcmp(link->pub.kind, "vlan"))
				return true;
	return false;
}

/* The link's own reasons; false if there is none. */
static bool find_reason(const struct mirror *m, const struct link *link, char *ret_why, size_t n)
{
	const struct mirror_link *l = &link->pub;
	const struct link *master;

	ret_why[0] = '\0';
	if (link->type != ARPHRD_ETHER)
		snprintf(ret_why, n, "%s is not an Ethernet interface", l->name);
	else if (!(l->flags & IFF_UP))
		snprintf(ret_why, n, "%s is down: 'ip link set %s up'", l->name, l->name);
	else if (l->master) {
		master = wr_link_lookup(m, l->master);
		snprintf(ret_why, n, "%s is a port of %s: the kernel keeps its packets", l->name,
			 master ? master->pub.name : "another interface");
	} else if (has_vlans(m, l->ifindex))
		snprintf(ret_why, n,
			 "%s has VLAN interfaces on it: XDP cannot tell their packets from its own",
			 l->name);
	else if (!l->forwarding)
		snprintf(ret_why, n,
			 "forwarding is off on %s: 'sysctl net.ipv4.conf.%s.forwarding=1'", l->name,
			 l->name);
	return ret_why[0];
}

/* What an interface does to packets that leave by it is in the way only if Weir sends by it. */
static bool concerns_a_port(const struct mirror *m, const struct obstacle *o)
{
	const struct link *link;

	if (!o->egress_ifindex)
		return true;
	link = wr_link_lookup(m, o->egress_ifindex);
	return link && link->pub.port_idx >= 0;
}

static bool find_obstacle(const struct mirror *m, const struct link *link, char *ret_why, size_t n)
{
	const struct obstacle *list;
	unsigned n_list = 0;

	if (!m->obstacles)
		return false;
	list = wr_obstacles_list(m->obstacles, &n_list);
	for (unsigned i = 0; i < n_list; i++)
		if ((!list[i].ifindex || list[i].ifindex == link->pub.ifindex) &&
		    concerns_a_port(m, &list[i])) {
			snprintf(ret_why, n, "%s", list[i].sentence);
			return true;
		}
	return false;
}

static void publish_iface(struct mirror *m, const struct link *link, bool transit)
{
	const struct mirror_link *l = &link->pub;
	const struct fib_iface *old = m->conf.fib->iface[l->port_idx];
	struct fib_iface iface;

	memset(&iface, 0, sizeof(iface));
	iface.ifindex = l->ifindex;
	iface.mtu = l->mtu;
	iface.mac = l->mac;
	iface.is_up = l->flags & IFF_UP;
	iface.transit = transit;
	iface.has_address = link->n_addrs;
	iface.send_redirects = l->send_redirects;
	iface.rp_filter = l->rp_filter;
	if (old && old->ifindex == iface.ifindex && old->mtu == iface.mtu &&
	    !memcmp(&old->mac, &iface.mac, sizeof(iface.mac)) && old->is_up == iface.is_up &&
	    old->transit == iface.transit && old->has_address == iface.has_address &&
	    old->send_redirects == iface.send_redirects && old->rp_filter == iface.rp_filter)
		return;
	if (wr_fib_iface_set(m->conf.fib, (unsigned)l->port_idx, &iface))
		wr_mirror_short(m);
}

void wr_transit_port(struct mirror *m, struct link *link)
{
	char why[sizeof(link->why)];
	bool transit = !find_reason(m, link, why, sizeof(why)) &&
		       !find_obstacle(m, link, why, sizeof(why));
	unsigned port_idx = (unsigned)link->pub.port_idx;

	publish_iface(m, link, transit);
	if (link->is_dirty && link->is_transit_told && m->conf.ops && m->conf.ops->port_changed)
		m->conf.ops->port_changed(m->conf.arg, port_idx, &link->pub, false);
	if (link->is_transit_told && link->transit == transit && !strcmp(link->why, why))
		return;
	link->is_transit_told = true;
	link->transit = transit;
	memcpy(link->why, why, sizeof(why));
	if (m->conf.ops && m->conf.ops->transit_changed)
		m->conf.ops->transit_changed(m->conf.arg, port_idx, transit, link->why);
}

void wr_transit_port_del(struct mirror *m, struct link *link)
{
	unsigned port_idx = (unsigned)link->pub.port_idx;

	link->pub.port_idx = -1;
	link->is_transit_told = false;
	m->ports[port_idx] = NULL;
	wr_link_dirty(m, link);
	wr_neigh_link_changed(m, link);
	if (wr_fib_iface_set(m->conf.fib, port_idx, NULL))
		wr_mirror_short(m);
}

void wr_transit_obstacles_changed(void *mirror)
{
	struct mirror *m = mirror;

	for (unsigned i = 0; i < WR_MAX_PORTS; i++)
		if (m->ports[i])
			wr_transit_port(m, m->ports[i]);
	wr_rcu_flush(m->conf.rcu);
}

static int port_of(const struct mirror *m, uint32_t ifindex)
{
	const struct link *link = wr_link_lookup(m, ifindex);

	return link ? link->pub.port_idx : -1;
}

void wr_mirror_each_obstacle(const struct mirror *m,
			     void (*each)(void *arg, int port_idx, const char *sentence), void *arg)
{
	const struct obstacle *list = NULL;
	unsigned n = 0;

	if (m->obstacles)
		list = wr_obstacles_list(m->obstacles, &n);
	for (unsigned i = 0; i < n; i++) {
		int port_idx = list[i].ifindex ? port_of(m, list[i].ifindex) : -1;

		if ((!list[i].ifindex || port_idx >= 0) && concerns_a_port(m, &list[i]))
			each(arg, port_idx, list[i].sentence);
	}
	for (unsigned i = 0; i < WR_MAX_PORTS; i++) {
		char why[sizeof(m->ports[i]->why)];

		if (m->ports[i] && find_reason(m, m->ports[i], why, sizeof(why)))
			each(arg, (int)i, why);
	}
}
