/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ports that the kernel does not have.
 *
 * The far end of a memif or TAP speaks ARP and may be an OSPF neighbour, so the port needs an
 * interface where addresses are set, neighbours are resolved and routes lead to. That is a TAP,
 * named by dev=NAME: made when the port is opened, or taken if it is there already (ip tuntap add
 * dev NAME mode tap), so that it can be configured before Weir starts and outlives it. The frames
 * that the graph leaves to the kernel are written to it; those that the kernel sends by it are read
 * from it and leave by the port. MTU, addresses, up and down are the kernel's, as everywhere.
 */
#include "cnet/stack_private.h"
#include "lib/sys/netif.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

void wr_stack_host_name(const struct port_args *args, unsigned port_idx, char ret_name[16])
{
	if (*args->dev)
		snprintf(ret_name, 16, "%s", args->dev);
	else
		snprintf(ret_name, 16, "%.8s%u", args->driver->scheme, port_idx);
}

/* The TAP's own link, once the mirror has heard of it. */
static const struct mirror_link *find_link(struct weir *weir, const char *ifname)
{
	const struct mirror_link *link;

	wr_mirror_catch_up(weir->mirror);
	link = wr_mirror_link_by_name(weir->mirror, ifname);
	if (!link && !wr_mirror_resync(weir->mirror))
		link = wr_mirror_link_by_name(weir->mirror, ifname);
	return link;
}

int wr_stack_host_open(struct weir *weir, unsigned port_idx, const struct port_args *args,
		       struct wr_err *err)
{
	struct stack_port *sp = &weir->ports[port_idx];
	const struct tap_conf tap = {.ifname = sp->ifname, .n_queues = 1};
	const struct mirror_link *link;
	int rc;

	rc = wr_port_tap_open(weir->umem, &tap, &sp->punt, err);
	if (rc < 0)
		return wr_err_prefix(err, rc, "%.60s: its interface in the kernel", args->text);
	sp->is_host = true;
	sp->punt->port_idx = (uint8_t)port_idx;
	link = find_link(weir, sp->ifname);
	if (!link)
		return wr_err(err, -ENODEV, "%s: the interface is not to be seen", sp->ifname);
	rc = wr_port_open(weir->umem, args, &sp->port, err);
	if (rc < 0)
		return rc;
	sp->port->port_idx = (uint8_t)port_idx;
	sp->port->ifindex = link->ifindex;
	sp->port->mac = link->mac;
	wr_stack_mend_wires(weir);
	return 0;
}

int wr_stack_host_check(struct weir *weir, unsigned port_idx, const struct port_args *args,
			char *ret_say, size_t say_bytes)
{
	const struct mirror_link *link;
	char ifname[16], why[200];
	struct netif netif;

	wr_stack_host_name(args, port_idx, ifname);
	if (wr_netif_get(ifname, &netif) == -ENODEV) {
		snprintf(ret_say, say_bytes,
			 "%s; would make the interface %s: give it addresses then",
			 args->driver->text, ifname);
		return 0;
	}
	link = wr_mirror_link_by_name(weir->mirror, ifname);
	if (!link || wr_stack_would_forward(weir, link, why, sizeof(why)))
		*why = '\0';
	snprintf(ret_say, say_bytes, "%s; would take the interface %s, MTU %u%s%s",
		 args->driver->text, ifname, netif.mtu,
		 *why ? "; but as it is, transit stays with the kernel: " : "", why);
	return 0;
}
