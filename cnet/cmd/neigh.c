/* SPDX-License-Identifier: BSD-3-Clause */
#include "cnet/cmd/cmd.h"

#include <errno.h>
#include <linux/neighbour.h>

static const struct cmd_name state_names[] = {
	{NUD_INCOMPLETE, "INCOMPLETE"}, {NUD_REACHABLE, "REACHABLE"}, {NUD_STALE, "STALE"},
	{NUD_DELAY, "DELAY"},           {NUD_PROBE, "PROBE"},         {NUD_FAILED, "FAILED"},
	{NUD_NOARP, "NOARP"},           {NUD_PERMANENT, "PERMANENT"},
};

enum { HAS_LLADDR = NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_NOARP | NUD_PERMANENT };

struct listing {
	const struct cmd *cmd;
	uint32_t ifindex; /* 0: all */
};

static void add_row(void *arg, const struct mirror_neigh *neigh)
{
	const struct listing *listing = arg;
	json_t *row;

	if (listing->ifindex && listing->ifindex != neigh->ifindex)
		return;
	row = json_object();
	json_object_set_new(row, "dst", wr_cmd_ip4(neigh->addr));
	json_object_set_new(row, "dev", wr_cmd_ifname(listing->cmd->weir, neigh->ifindex));
	if (neigh->state & HAS_LLADDR)
		json_object_set_new(row, "lladdr", wr_cmd_mac(neigh->mac));
	json_object_set_new(row, "state",
			    wr_cmd_flags(state_names, wr_array_size(state_names), neigh->state));
	json_object_set_new(row, "used", json_boolean(neigh->is_used));
	wr_req_reply_row(listing->cmd->reply, row);
}

int wr_cmd_neigh_show(const struct cmd *cmd)
{
	struct listing listing = {.cmd = cmd};
	const char *ifname;
	int rc = wr_cmd_dev(cmd, &ifname);

	if (rc)
		return rc;
	if (ifname) {
		const struct mirror_link *link = wr_mirror_link_by_name(cmd->weir->mirror, ifname);

		if (!link)
			return wr_err(cmd->err, -ENODEV, "%.64s: no such interface", ifname);
		listing.ifindex = link->ifindex;
	}
	wr_req_reply_list(cmd->reply);
	wr_mirror_each_neigh(cmd->weir->mirror, add_row, &listing);
	return 0;
}
