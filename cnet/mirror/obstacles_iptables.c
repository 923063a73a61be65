/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Legacy iptables: tables that x_tables registered in the network namespace.
 *
 * Their names are in /proc; what they hold comes by getsockopt(), as iptables itself reads them.
 * It is asked only for names that are there, because asking for another would make the kernel
 * load and register it. A table is an obstacle at each hook that packets in transit pass, unless
 * the chain there is empty and its policy is accept. User-defined chains matter only if a rule of
 * such a chain leads there, so they need no look of their own. The kernel sends no events.
 *
 *   hook_entry[h] -> rule, rule, ... -> underflow[h]: the policy, a rule that matches everything
 */
#include "cnet/mirror/obstacles_src.h"

#include <errno.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define NET_DIR "/proc/thread-self/net"
#define NAMES_FILE NET_DIR "/ip_tables_names"

enum {
	MAX_BLOB_BYTES = 256 << 20,
	TRIES = 4,
	VERDICT_ACCEPT = -NF_ACCEPT - 1, /* as a standard target has it */
	COUNT_LIMIT = 1000,              /* rules counted in a sentence */
};

static const struct {
	unsigned hook;
	const char *name;
} hooks[] = {
	{NF_INET_PRE_ROUTING, "PREROUTING"},
	{NF_INET_FORWARD, "FORWARD"},
	{NF_INET_POST_ROUTING, "POSTROUTING"},
};

/* The rule at `at`, NULL if it does not lie within the table. */
static const struct ipt_entry *entry_at(const char *blob, size_t blob_bytes, size_t at)
{
	const struct ipt_entry *e = (const struct ipt_entry *)(blob + at);

	if (at > blob_bytes || blob_bytes - at < sizeof(*e) || at % __alignof__(struct ipt_entry) ||
	    e->next_offset < sizeof(*e) || e->next_offset > blob_bytes - at)
		return NULL;
	return e;
}

static bool is_policy_accept(const struct ipt_entry *e)
{
	const struct xt_standard_target *t;

	if (e->target_offset < sizeof(*e) || e->target_offset > e->next_offset ||
	    e->next_offset - e->target_offset < (int)sizeof(*t))
		return false;
	t = (const struct xt_standard_target *)((const char *)e + e->target_offset);
	return !t->target.u.user.name[0] && t->verdict == VERDICT_ACCEPT;
}

/* Rules before the policy, at most COUNT_LIMIT. -EBADMSG if they do not lead there. */
static int count_rules(const char *blob, size_t blob_bytes, size_t from, size_t to)
{
	int n = 0;

	while (from != to && n < COUNT_LIMIT) {
		const struct ipt_entry *e = entry_at(blob, blob_bytes, from);

		if (!e || from > to)
			return -EBADMSG;
		from += e->next_offset;
		n++;
	}
	return n;
}

static int judge_hook(const struct ipt_getinfo *info, const char *blob, unsigned i,
		      struct obst_list *list)
{
	size_t first = info->hook_entry[hooks[i].hook], last = info->underflow[hooks[i].hook];
	const struct ipt_entry *policy = entry_at(blob, info->size, last);
	int n_rules = count_rules(blob, info->size, first, last);
	bool is_accept;

	if (!policy || n_rules < 0)
		return -EBADMSG;
	is_accept = is_policy_accept(policy);
	if (!n_rules && is_accept)
		return 0;
	wr_obst_add(list, 0, true,
		    "iptables-legacy table %.31s: chain %s (%d%s rule%s, policy %s)%s", info->name,
		    hooks[i].name, n_rules, n_rules == COUNT_LIMIT ? " or more" : "",
		    n_rules == 1 ? "" : "s", is_accept ? "accept" : "drop", OBST_BYPASS);
	return 0;
}

static int judge_table(const struct ipt_getinfo *info, const char *blob, struct obst_list *list)
{
	int err = 0;

	for (unsigned i = 0; i < wr_array_size(hooks) && !err; i++)
		if (info->valid_hooks & 1U << hooks[i].hook)
			err = judge_hook(info, blob, i, list);
	return err;
}

static int get_option(int fd, int option, void *buf, size_t n)
{
	socklen_t len = (socklen_t)n;

	return getsockopt(fd, IPPROTO_IP, option, buf, &len) ? -errno : 0;
}

/* -EAGAIN if the table changed between the two questions. */
static int look_table(const struct obst_ask *ask, const char *name, struct obst_list *list)
{
	struct ipt_getinfo info = {0};
	struct ipt_get_entries *entries;
	int err;

	memcpy(info.name, name, strnlen(name, sizeof(info.name) - 1));
	err = get_option(ask->inet_fd, IPT_SO_GET_INFO, &info, sizeof(info));
	if (err)
		return err;
	if (info.size > MAX_BLOB_BYTES)
		return -EFBIG;
	entries = calloc(1, sizeof(*entries) + info.size);
	if (!entries)
		return -ENOMEM;
	memcpy(entries->name, info.name, sizeof(entries->name));
	entries->size = info.size;
	err = get_option(ask->inet_fd, IPT_SO_GET_ENTRIES, entries, sizeof(*entries) + info.size);
	if (!err)
		err = judge_table(&info, (const char *)entries->entrytable, list);
	free(entries);
	return err;
}

static int look_tables(const struct obst_ask *ask, FILE *names, struct obst_list *list)
{
	char line[XT_TABLE_MAXNAMELEN + 2];

	while (fgets(line, sizeof(line), names)) {
		int err = -EAGAIN;

		line[strcspn(line, "\n")] = '\0';
		for (unsigned i = 0; i < TRIES && err == -EAGAIN; i++)
			err = look_table(ask, line, list);
		if (err)
			return err;
	}
	return ferror(names) ? -EIO : 0;
}

bool wr_obst_has_iptables(void)
{
	return !access(NAMES_FILE, F_OK);
}

int wr_obst_iptables(const struct obst_ask *ask, struct obst_list *list)
{
	FILE *names = fopen(NAMES_FILE, "re");
	int err;

	if (!names) {
		err = -errno;
		/* No file is no ip_tables, but only where /proc is. */
		return err == -ENOENT && !access(NET_DIR, F_OK) ? 0 : err;
	}
	err = look_tables(ask, names, list);
	(void)fclose(names);
	return err;
}
