/* SPDX-License-Identifier: BSD-3-Clause */
#include "cnet/cmd/worker.c"

#include "tests/unit/cnet/cmd/fixture.h"

static struct {
	unsigned n, port_idx, queue_idx, worker_idx;
} moved;

int wr_stack_move_queue(struct weir *weir, unsigned port_idx, unsigned queue_idx,
			unsigned worker_idx)
{
	(void)weir;
	moved.n++;
	moved.port_idx = port_idx;
	moved.queue_idx = queue_idx;
	moved.worker_idx = worker_idx;
	return worker_idx == 1 ? 0 : -ENOMEM;
}

void wr_stack_set_spread(struct weir *weir, enum conf_spread spread)
{
	weir->conf.spread = spread;
}

static int setup_workers(void **state)
{
	struct fixture *f;

	if (setup(state))
		return -1;
	f = *state;
	for (unsigned i = 0; i < 2; i++) {
		f->weir.workers[i] = calloc(1, sizeof(struct worker));
		f->weir.workers[i]->conf.worker_idx = i;
	}
	memset(&moved, 0, sizeof(moved));
	return 0;
}

static int teardown_workers(void **state)
{
	struct fixture *f = *state;

	free(f->weir.workers[0]);
	free(f->weir.workers[1]);
	return teardown(state);
}

static void shows_queues_and_load(void **state)
{
	struct fixture *f = *state;
	json_t *json, *queues;

	f->ports[0].n_queues = 2;
	f->weir.ports[0].worker_of[1] = 1;
	f->weir.workers[1]->n_pkts = 5;
	f->weir.workers[1]->conf.is_pinned = true;
	f->weir.workers[1]->conf.cpu = 7;
	fake.lanes[1] = (struct port_counters){.rx_pkts = 3, .tx_pkts = 2, .tx_full = 1};
	json = run_json(f, wr_cmd_worker_show, NULL, NULL, NULL);
	assert_int_equal(json_array_size(json), 2);
	queues = json_object_get(json_array_get(json, 0), "queues");
	assert_int_equal(json_array_size(queues), 2); /* eth0's first, eth1's only */
	assert_string_equal(STR(json_array_get(queues, 1), "dev"), "eth1");
	assert_null(json_object_get(json_array_get(json, 0), "cpu"));
	queues = json_object_get(json_array_get(json, 1), "queues");
	assert_int_equal(json_array_size(queues), 1);
	assert_int_equal(NUM(json_array_get(queues, 0), "queue"), 1);
	assert_int_equal(NUM(json_array_get(json, 1), "cpu"), 7);
	assert_int_equal(NUM(json_array_get(json, 1), "rx_pkts"), 5);
	assert_int_equal(NUM(json_array_get(json, 1), "taken_over"), 3);
	assert_int_equal(NUM(json_array_get(json, 1), "handed_over"), 2);
	assert_int_equal(NUM(json_array_get(json, 1), "lane_full"), 1);
	json_decref(json);
	f->ports[0].n_queues = 1;
}

/* `worker set` with the words of a line, and the reply. */
static const char *set(struct fixture *f, const char *line)
{
	static char text[400];
	char copy[80], *words[10], *save = NULL;
	struct wr_err err = {""};
	struct req_reply reply;
	size_t total = 0;
	struct cmd cmd = {.weir = &f->weir, .words = words, .reply = &reply, .err = &err};
	int rc;

	snprintf(copy, sizeof(copy), "%s", line);
	for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save))
		words[cmd.n_words++] = w;
	wr_reply_init(&reply, &total);
	rc = wr_cmd_worker_set(&cmd);
	wr_reply_finish(&reply, rc, &err);
	snprintf(text, sizeof(text), "%.*s", (int)reply.n, reply.text);
	wr_reply_fini(&reply);
	return text;
}

static void spread_is_set(void **state)
{
	struct fixture *f = *state;

	assert_non_null(strstr(set(f, "spread flow"), "\"flow\""));
	assert_int_equal(f->weir.conf.spread, CONF_SPREAD_FLOW);
	assert_non_null(strstr(set(f, "spread queue"), "\"queue\""));
	assert_int_equal(f->weir.conf.spread, CONF_SPREAD_QUEUE);
}

static void a_queue_is_moved(void **state)
{
	struct fixture *f = *state;

	f->ports[1].n_queues = 3;
	assert_int_equal(set(f, "dev eth1 queue 2 worker 1")[0], '0');
	assert_int_equal(moved.n, 1);
	assert_int_equal(moved.port_idx, 1);
	assert_int_equal(moved.queue_idx, 2);
	assert_int_equal(moved.worker_idx, 1);
	f->ports[1].n_queues = 1;
}

static void what_is_wrong_is_said(void **state)
{
	struct fixture *f = *state;
	static const char use[] = "22\nuse: worker set spread queue|flow, or: worker set dev "
				  "IFACE queue N worker W\n";

	assert_string_equal(set(f, "spread wide"), use);
	assert_string_equal(set(f, "spread"), use);
	assert_string_equal(set(f, "dev eth0 queue 0 worker"), use);
	assert_string_equal(set(f, "dev eth9 queue 0 worker 1"),
			    "19\neth9: not one of Weir's interfaces; see 'weir link'\n");
	assert_string_equal(set(f, "dev eth0 queue 1 worker 1"),
			    "22\nqueue 1: there are 1, counted from 0\n");
	assert_string_equal(set(f, "dev eth0 queue -1 worker 1"),
			    "22\nqueue -1: there are 1, counted from 0\n");
	assert_string_equal(set(f, "dev eth0 queue 0 worker 2x"),
			    "22\nworker 2x: there are 2, counted from 0\n");
	assert_int_equal(moved.n, 0);
	assert_string_equal(set(f, "dev eth0 queue 0 worker 0"),
			    "12\nmoving the queue: Cannot allocate memory\n");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_workers, teardown_workers)
	const struct CMUnitTest tests[] = {
		TEST(shows_queues_and_load),
		TEST(spread_is_set),
		TEST(a_queue_is_moved),
		TEST(what_is_wrong_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
