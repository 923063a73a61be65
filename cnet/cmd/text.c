/* SPDX-License-Identifier: BSD-3-Clause */
#include "cnet/cmd/cmd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

bool wr_cmd_is(const char *word, const char *full)
{
	return *word && !strncmp(word, full, strlen(word));
}

int wr_cmd_no_more(const struct cmd *cmd, unsigned from)
{
	if (cmd->n_words <= from)
		return 0;
	return wr_err(cmd->err, -EINVAL, "'%.64s' is one word too many; see 'weir help'",
		      cmd->words[from]);
}

int wr_cmd_dev(const struct cmd *cmd, const char **ret_ifname)
{
	*ret_ifname = NULL;
	if (!cmd->n_words)
		return 0;
	if (!wr_cmd_is(cmd->words[0], "dev"))
		return wr_err(cmd->err, -EINVAL,
			      "'%.64s' is not expected here; possible: dev IFACE", cmd->words[0]);
	if (cmd->n_words < 2)
		return wr_err(cmd->err, -EINVAL, "dev: the name of an interface is missing");
	*ret_ifname = cmd->words[1];
	return wr_cmd_no_more(cmd, 2);
}

json_t *wr_cmd_text(const char *text)
{
	json_t *json = json_string(text);
	char plain[256];
	size_t n;

	if (json)
		return json;
	n = (size_t)snprintf(plain, sizeof(plain), "%s", text);
	for (size_t i = 0; i < n && i < sizeof(plain); i++)
		if (plain[i] & 0x80)
			plain[i] = '?';
	return json_string(plain);
}

json_t *wr_cmd_count(uint64_t n)
{
	return json_integer((json_int_t)n);
}

json_t *wr_cmd_ip4(struct ip4 a)
{
	char text[INET_ADDRSTRLEN];

	return json_string(inet_ntop(AF_INET, &a.raw, text, sizeof(text)));
}

json_t *wr_cmd_mac(struct mac mac)
{
	return json_sprintf("%02x:%02x:%02x:%02x:%02x:%02x", mac.b[0], mac.b[1], mac.b[2], mac.b[3],
			    mac.b[4], mac.b[5]);
}

json_t *wr_cmd_prefix(struct prefix4 p)
{
	char text[INET_ADDRSTRLEN];

	if (!p.len && !p.addr.raw)
		return json_string("default");
	if (p.len == 32)
		return wr_cmd_ip4(p.addr);
	inet_ntop(AF_INET, &p.addr.raw, text, sizeof(text));
	return json_sprintf("%s/%u", text, p.len);
}

json_t *wr_cmd_ifname(const struct weir *weir, uint32_t ifindex)
{
	const struct mirror_link *link = wr_mirror_link(weir->mirror, ifindex);

	return link ? wr_cmd_text(link->name) : json_sprintf("if%u", ifindex);
}

json_t *wr_cmd_name(const struct cmd_name *names, size_t n, unsigned value)
{
	for (size_t i = 0; i < n; i++)
		if (names[i].value == value)
			return json_string(names[i].name);
	return json_sprintf("%u", value);
}

json_t *wr_cmd_flags(const struct cmd_name *names, size_t n, unsigned flags)
{
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++)
		if (flags & names[i].value)
			json_array_append_new(list, json_string(names[i].name));
	return list;
}

json_t *wr_cmd_mirror(const struct weir *weir)
{
	struct mirror_stats s = wr_mirror_stats(weir->mirror);
	json_t *json = json_object();

	json_object_set_new(json, "settled", json_boolean(s.is_settled));
	json_object_set_new(json, "routes", wr_cmd_count(s.n_routes));
	json_object_set_new(json, "neighbours", wr_cmd_count(s.n_neighs));
	json_object_set_new(json, "nexthops", wr_cmd_count(s.n_nexthops));
	json_object_set_new(json, "links", wr_cmd_count(s.n_links));
	json_object_set_new(json, "events", wr_cmd_count(s.n_events));
	json_object_set_new(json, "resyncs", wr_cmd_count(s.n_resyncs));
	json_object_set_new(json, "overruns", wr_cmd_count(s.n_overruns));
	json_object_set_new(json, "mended", wr_cmd_count(s.n_mended));
	json_object_set_new(json, "refused", wr_cmd_count(s.n_bad));
	json_object_set_new(json, "last_sync_ns", wr_cmd_count(s.last_sync_ns));
	return json;
}
