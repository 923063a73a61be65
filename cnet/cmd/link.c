/* SPDX-License-Identifier: BSD-3-Clause */
#include "cnet/cmd/cmd.h"

#include <errno.h>
#include <linux/if.h>
#include <string.h>

static const struct cmd_name flag_names[] = {
	{IFF_LOOPBACK, "LOOPBACK"},
	{IFF_BROADCAST, "BROADCAST"},
	{IFF_POINTOPOINT, "POINTOPOINT"},
	{IFF_MULTICAST, "MULTICAST"},
	{IFF_NOARP, "NOARP"},
	{IFF_ALLMULTI, "ALLMULTI"},
	{IFF_PROMISC, "PROMISC"},
	{IFF_MASTER, "MASTER"},
	{IFF_SLAVE, "SLAVE"},
	{IFF_UP, "UP"},
	{IFF_LOWER_UP, "LOWER_UP"},
};

static void add_kernel_keys(json_t *row, const struct mirror_link *link)
{
	json_t *flags = wr_cmd_flags(flag_names, wr_array_size(flag_names), link->flags);

	if ((link->flags & IFF_UP) && !link->has_carrier)
		json_array_insert_new(flags, 0, json_string("NO-CARRIER"));
	json_object_set_new(row, "flags", flags);
	json_object_set_new(row, "mtu", json_integer(link->mtu));
	json_object_set_new(
		row, "operstate",
		json_string((link->flags & IFF_UP) && link->has_carrier ? "UP" : "DOWN"));
	json_object_set_new(row, "address", wr_cmd_mac(link->mac));
}

static json_t *make_row(const struct weir *weir, const struct stack_port *sp)
{
	const struct port *port = sp->port;
	const struct mirror_link *link = wr_mirror_link(weir->mirror, port->ifindex);
	json_t *row = json_object();
	struct port_counters sum;

	wr_port_counters(port, &sum);
	json_object_set_new(row, "ifindex", json_integer(port->ifindex));
	json_object_set_new(row, "ifname", wr_cmd_text(sp->ifname));
	if (link)
		add_kernel_keys(row, link);
	json_object_set_new(row, "port", wr_cmd_text(sp->spec));
	json_object_set_new(row, "mode", json_string(port->mode ? port->mode : ""));
	json_object_set_new(row, "xdp",
			    json_string(sp->steer ? wr_steer_port_mode(sp->steer) : ""));
	json_object_set_new(row, "queues", json_integer(port->n_queues));
	json_object_set_new(row, "transit", json_boolean(sp->transit));
	json_object_set_new(row, "why", wr_cmd_text(sp->transit ? "" : sp->why_not));
	json_object_set_new(row, "why_mode", wr_cmd_text(sp->why_mode));
	json_object_set_new(row, "punt", wr_cmd_text(sp->punt ? sp->punt->name : ""));
	json_object_set_new(row, "rx_pkts", wr_cmd_count(sum.rx_pkts));
	json_object_set_new(row, "rx_bytes", wr_cmd_count(sum.rx_bytes));
	json_object_set_new(row, "tx_pkts", wr_cmd_count(sum.tx_pkts));
	json_object_set_new(row, "tx_bytes", wr_cmd_count(sum.tx_bytes));
	return row;
}

int wr_cmd_link_show(const struct cmd *cmd)
{
	const struct weir *weir = cmd->weir;
	bool is_found = false;
	const char *ifname;
	int rc = wr_cmd_dev(cmd, &ifname);

	if (rc)
		return rc;
	wr_req_reply_list(cmd->reply);
	for (unsigned i = 0; i < WR_MAX_PORTS; i++) {
		const struct stack_port *sp = &weir->ports[i];

		if (!sp->port || (ifname && strcmp(sp->ifname, ifname) != 0))
			continue;
		is_found = true;
		wr_req_reply_row(cmd->reply, make_row(weir, sp));
	}
	if (ifname && !is_found)
		return wr_err(cmd->err, -ENODEV,
			      "%.64s: not one of Weir's interfaces; see 'weir link'", ifname);
	return 0;
}
