/* SPDX-License-Identifier: BSD-3-Clause */
#include "cnet/cmd/cmd.h"
#include "cnet/version.h"

#include <unistd.h>

static json_t *make_interface(const struct stack_port *sp)
{
	const char *why =
		sp->port ? sp->why_not : "no such interface: it is taken when it comes back";
	json_t *row = json_object();

	json_object_set_new(row, "ifname", wr_cmd_text(sp->ifname));
	json_object_set_new(row, "ifindex", json_integer(sp->port ? sp->port->ifindex : 0));
	json_object_set_new(row, "transit", json_boolean(sp->port && sp->transit));
	json_object_set_new(row, "mode",
			    json_string(sp->port && sp->port->mode ? sp->port->mode : ""));
	json_object_set_new(row, "xdp",
			    json_string(sp->steer ? wr_steer_port_mode(sp->steer) : ""));
	json_object_set_new(row, "why", wr_cmd_text(sp->port && sp->transit ? "" : why));
	json_object_set_new(row, "why_mode", wr_cmd_text(sp->why_mode));
	return row;
}

struct obstacles_list {
	const struct weir *weir;
	json_t *list;
};

static void add_obstacle(void *arg, int port_idx, const char *sentence)
{
	const struct obstacles_list *o = arg;
	bool is_for_one = port_idx >= 0 && port_idx < WR_MAX_PORTS;
	json_t *row = json_object();

	json_object_set_new(row, "dev",
			    wr_cmd_text(is_for_one ? o->weir->ports[port_idx].ifname : "all"));
	json_object_set_new(row, "why", wr_cmd_text(sentence));
	json_array_append_new(o->list, row);
}

static json_t *make_summary(unsigned n_transit, unsigned n_ports, bool is_settled)
{
	const char *tail = is_settled ? "" : "; the tables are being read again";

	if (!n_ports)
		return json_string("no interfaces: the kernel forwards everything");
	if (!n_transit)
		return json_sprintf(
			"forwarding on none of %u interfaces: the kernel forwards everything%s",
			n_ports, tail);
	if (n_transit == n_ports)
		return json_sprintf("forwarding on %s%s",
				    n_ports == 1 ? "the one interface" : "all interfaces", tail);
	return json_sprintf("forwarding on %u of %u interfaces; the kernel does on the others%s",
			    n_transit, n_ports, tail);
}

int wr_cmd_status(const struct cmd *cmd)
{
	const struct weir *weir = cmd->weir;
	struct obstacles_list obstacles = {.weir = weir};
	unsigned n_ports = 0, n_transit = 0;
	json_t *json, *interfaces;
	int rc = wr_cmd_no_more(cmd, 0);

	if (rc)
		return rc;
	json = json_object();
	interfaces = json_array();
	obstacles.list = json_array();
	for (unsigned i = 0; i < WR_MAX_PORTS; i++) {
		if (!*weir->ports[i].ifname)
			continue;
		n_ports++;
		n_transit += weir->ports[i].port && weir->ports[i].transit;
		json_array_append_new(interfaces, make_interface(&weir->ports[i]));
	}
	wr_mirror_each_obstacle(weir->mirror, add_obstacle, &obstacles);
	json_object_set_new(
		json, "summary",
		make_summary(n_transit, n_ports, wr_mirror_stats(weir->mirror).is_settled));
	json_object_set_new(json, "version", json_string(WEIR_VERSION));
	json_object_set_new(json, "pid", json_integer(getpid()));
	json_object_set_new(json, "uptime_s",
			    wr_cmd_count((wr_now_ns(weir->clock) - weir->start_ns) / WR_NS_PER_S));
	json_object_set_new(json, "workers", json_integer(weir->n_workers));
	json_object_set_new(json, "interfaces", interfaces);
	json_object_set_new(json, "obstacles", obstacles.list);
	json_object_set_new(json, "mirror", wr_cmd_mirror(weir));
	return wr_req_reply(cmd->reply, json);
}
