/* SPDX-License-Identifier: BSD-3-Clause */
#include "cnet/cmd/cmd.c"

#include "lib/req/reply.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* Each handler but help's is replaced by one that notes its name and words. */
static char called[128];

static int note(const char *name, const struct cmd *cmd)
{
	size_t n = (size_t)snprintf(called, sizeof(called), "%s", name);

	for (unsigned i = 0; i < cmd->n_words; i++)
		n += (size_t)snprintf(called + n, sizeof(called) - n, " %s", cmd->words[i]);
	return 0;
}

#define HANDLER(name)                                                                              \
	int wr_cmd_##name(const struct cmd *cmd)                                                   \
	{                                                                                          \
		return note(#name, cmd);                                                           \
	}
HANDLER(status)
HANDLER(link_show)
HANDLER(route_show)
HANDLER(route_get)
HANDLER(neigh_show)
HANDLER(stats_show)
HANDLER(drops_show)
HANDLER(graph_show)
HANDLER(conf_show)

/* The helpers that handlers use ask these; no handler does here. */
const struct mirror_link *wr_mirror_link(const struct mirror *m, uint32_t ifindex)
{
	(void)m;
	(void)ifindex;
	return NULL;
}

struct mirror_stats wr_mirror_stats(struct mirror *m)
{
	(void)m;
	return (struct mirror_stats){0};
}

static int run(const char *line, struct req_reply *reply, struct wr_err *err)
{
	char text[128], *words[8], *save = NULL;
	unsigned n = 0;

	snprintf(text, sizeof(text), "%s", line);
	for (char *w = strtok_r(text, " ", &save); w; w = strtok_r(NULL, " ", &save))
		words[n++] = w;
	called[0] = '\0';
	return wr_command(NULL, words, n, reply, err);
}

static void expect(const char *line, const char *call)
{
	assert_int_equal(run(line, NULL, NULL), 0);
	assert_string_equal(called, call);
}

static void whole_words(void **state)
{
	(void)state;
	expect("status", "status");
	expect("link show", "link_show");
	expect("route show", "route_show");
	expect("route get 1.2.3.4 5.6.7.8", "route_get 1.2.3.4 5.6.7.8");
	expect("neigh show", "neigh_show");
	expect("stats show", "stats_show");
	expect("drops show all", "drops_show all");
	expect("graph show", "graph_show");
	expect("conf show", "conf_show");
}

static void cut_words(void **state)
{
	(void)state;
	expect("s", "status");
	expect("sta", "status");
	expect("stats", "stats_show");
	expect("l sh", "link_show");
	expect("r g 1.2.3.4", "route_get 1.2.3.4");
	expect("ro s", "route_show");
	expect("n", "neigh_show");
	expect("d", "drops_show");
	expect("d a", "drops_show a");
}

static void show_left_out(void **state)
{
	(void)state;
	expect("link", "link_show");
	expect("link dev eth0", "link_show dev eth0");
	expect("route 10.0.0.0/8", "route_show 10.0.0.0/8");
	expect("route default", "route_show default");
	/* A word of a row beats an argument. */
	expect("route ge", "route_get");
}

static void unknown_words(void **state)
{
	static const char possible[] =
		"possible: status, link, route, neigh, stats, drops, graph, worker, conf, help";
	struct wr_err err = {""};

	(void)state;
	assert_int_equal(run("foo", NULL, &err), -EINVAL);
	assert_memory_equal(err.text, "'foo' is not a command; ", 24);
	assert_string_equal(err.text + 24, possible);
	assert_int_equal(run("statuss", NULL, &err), -EINVAL);
	assert_int_equal(run("", NULL, &err), -EINVAL);
	assert_string_equal(called, "");
}

/* An empty word is a prefix of everything and means nothing. */
static void empty_words(void **state)
{
	char empty[] = "", route[] = "route";
	char *words[] = {empty, empty}, *second[] = {route, empty};
	struct wr_err err = {""};

	(void)state;
	assert_int_equal(wr_command(NULL, words, 2, NULL, &err), -EINVAL);
	assert_int_equal(wr_command(NULL, second, 2, NULL, &err), 0);
	assert_string_equal(called, "route_show ");
}

static void helping(void **state)
{
	struct req_reply reply;
	size_t total = 0;
	json_t *json;

	(void)state;
	wr_reply_init(&reply, &total);
	wr_reply_finish(&reply, run("help", &reply, NULL), NULL);
	json = json_loadb(reply.text + 2, reply.n - 2, 0, NULL);
	assert_int_equal(json_array_size(json), wr_array_size(rows));
	assert_string_equal(json_string_value(json_object_get(json_array_get(json, 3), "command")),
			    "route get");
	assert_string_equal(
		json_string_value(json_object_get(json_array_get(json, 3), "arguments")),
		"ADDRESS...");
	json_decref(json);
	wr_reply_fini(&reply);
}

/* Words are short enough to be matched, and each has its line of help. */
static void rows_are_sound(void **state)
{
	(void)state;
	for (size_t i = 0; i < wr_array_size(rows); i++) {
		assert_true(strcspn(rows[i].words, " ") < MAX_WORD);
		assert_true(*rows[i].help);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_words),    cmocka_unit_test(cut_words),
		cmocka_unit_test(show_left_out),  cmocka_unit_test(unknown_words),
		cmocka_unit_test(empty_words),    cmocka_unit_test(helping),
		cmocka_unit_test(rows_are_sound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
