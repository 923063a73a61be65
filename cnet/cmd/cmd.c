/* SPDX-License-Identifier: BSD-3-Clause */
#include "cnet/cmd/cmd.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { MAX_WORD = 16 };

struct row {
	const char *words; /* one or two */
	int (*run)(const struct cmd *);
	const char *arguments;
	const char *help;
};

static const struct row rows[] = {
#define COMMAND(words, function, arguments, help) {words, wr_cmd_##function, arguments, help},
#include "cnet/commands.def"
#undef COMMAND
};

/* The first word of a row into `buf`; returns the second one, "" if there is none. */
static const char *split(const struct row *row, char buf[MAX_WORD])
{
	size_t n = strcspn(row->words, " ");

	snprintf(buf, MAX_WORD, "%.*s", (int)n, row->words);
	return row->words[n] ? row->words + n + 1 : "";
}

/* How many of the words are the row's own; 0: it is not meant. */
static unsigned n_matched(const struct row *row, char *const *words, unsigned n_words,
			  bool without_show)
{
	char first[MAX_WORD];
	const char *second = split(row, first);

	if (!n_words || !wr_cmd_is(words[0], first))
		return 0;
	if (!*second)
		return 1;
	if (without_show)
		return strcmp(second, "show") ? 0 : 1;
	return n_words > 1 && wr_cmd_is(words[1], second) ? 2 : 0;
}

/* A row whose words are all there beats one whose `show` was left out. */
static const struct row *find(char *const *words, unsigned n_words, unsigned *ret_n)
{
	for (int without_show = 0; without_show < 2; without_show++) {
		for (size_t i = 0; i < wr_array_size(rows); i++) {
			unsigned n = n_matched(&rows[i], words, n_words, without_show);

			if (n) {
				*ret_n = n;
				return &rows[i];
			}
		}
	}
	return NULL;
}

static int unknown(const char *word, struct wr_err *err)
{
	char list[160] = "", first[MAX_WORD], last[MAX_WORD] = "";
	size_t n = 0;

	for (size_t i = 0; i < wr_array_size(rows); i++) {
		split(&rows[i], first);
		if (!strcmp(first, last))
			continue;
		memcpy(last, first, sizeof(last));
		if (n < sizeof(list))
			n += (size_t)snprintf(list + n, sizeof(list) - n, "%s%s", n ? ", " : "",
					      first);
	}
	return wr_err(err, -EINVAL, "'%.32s' is not a command; possible: %s", word, list);
}

int wr_command(struct weir *weir, char *const *words, unsigned n_words, struct req_reply *reply,
	       struct wr_err *err)
{
	struct cmd cmd = {.weir = weir, .reply = reply, .err = err};
	const struct row *row;
	unsigned n = 0;

	row = find(words, n_words, &n);
	if (!row)
		return unknown(n_words ? words[0] : "", err);
	cmd.words = words + n;
	cmd.n_words = n_words - n;
	return row->run(&cmd);
}

int wr_cmd_help(const struct cmd *cmd)
{
	int rc = wr_cmd_no_more(cmd, 0);

	for (size_t i = 0; !rc && i < wr_array_size(rows); i++)
		rc = wr_req_reply_row(cmd->reply,
				      json_pack("{s:s, s:s, s:s}", "command", rows[i].words,
						"arguments", rows[i].arguments, "help",
						rows[i].help));
	return rc;
}
