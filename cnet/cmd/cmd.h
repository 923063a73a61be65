/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Commands: requests answered from the tables of a stack. They only read, for the kernel is where
 * things are set; the one exception is how Weir's own threads share the work (worker set).
 *
 * cnet/commands.def is the list, cmd.c finds the row that the words mean, and there is one file a
 * first word. Keys of the answers are those of iproute2's JSON (`ip -j`) where it has the thing.
 *
 * A handler's results of json_*() need no check: what could not be made is NULL, which jansson's
 * setters refuse and the reply turns into an error. Control thread only.
 */
#ifndef WR_CNET_CMD_CMD_H
#define WR_CNET_CMD_CMD_H

#include "cnet/stack.h"
#include "lib/req/req.h"

/* One request: the words after the command's own. */
struct cmd {
	struct weir *weir;
	char *const *words;
	unsigned n_words;
	struct req_reply *reply;
	struct wr_err *err;
};

#define COMMAND(words, function, arguments, help) int wr_cmd_##function(const struct cmd *);
#include "cnet/commands.def"
#undef COMMAND

/* True if `word` is `full` or a prefix of it; the empty word is none. */
bool wr_cmd_is(const char *word, const char *full);
/* -EINVAL and a sentence if there are words from the `from`-th on. */
int wr_cmd_no_more(const struct cmd *, unsigned from);
/* The only arguments are "dev IFACE" or none; `ret_ifname` is NULL then. */
int wr_cmd_dev(const struct cmd *, const char **ret_ifname);

/* Text as JSON, bytes that are not UTF-8 replaced (an interface may be named with any). */
json_t *wr_cmd_text(const char *);
json_t *wr_cmd_count(uint64_t);
json_t *wr_cmd_ip4(struct ip4);
json_t *wr_cmd_mac(struct mac);
/* As iproute2: "default", "10.0.0.1" for a /32, "10.0.0.0/24". */
json_t *wr_cmd_prefix(struct prefix4);
/* The interface's name as the mirror knows it, else "if7". */
json_t *wr_cmd_ifname(const struct weir *, uint32_t ifindex);
/* The number's name, else the number as text. */
struct cmd_name {
	unsigned value;
	const char *name;
};
json_t *wr_cmd_name(const struct cmd_name *, size_t n, unsigned value);
/* The names of the bits set in `flags`. */
json_t *wr_cmd_flags(const struct cmd_name *, size_t n, unsigned flags);

/* The mirror's counters and state, for status and stats. */
json_t *wr_cmd_mirror(const struct weir *);

#endif
