/* SPDX-License-Identifier: BSD-3-Clause */
#include "lib/req/client.c"
#include "lib/req/reply.c"
#include "lib/req/server.c"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* Time stands still unless a test moves it. */
struct fake_clock {
	struct wr_clock clock;
	uint64_t now_ns;
};

static uint64_t fake_now(const struct wr_clock *clock)
{
	return ((const struct fake_clock *)clock)->now_ns;
}

struct fixture {
	struct fake_clock clock;
	struct wr_loop *loop;
	struct req_server *server;
	char dir[32], path[64];
	unsigned n_handled;
};

/* "echo": its words; "rows N": N rows; "big N": a string of N bytes; others: errors. */
static int answer(void *arg, char *const *words, unsigned n, struct req_reply *reply,
		  struct wr_err *err)
{
	struct fixture *f = arg;

	f->n_handled++;
	if (!strcmp(words[0], "echo")) {
		for (unsigned i = 1; i < n; i++)
			wr_req_reply_row(reply, json_string(words[i]));
		return 0;
	}
	if (!strcmp(words[0], "rows")) {
		wr_req_reply_list(reply);
		for (int i = 0; i < atoi(words[1]); i++)
			wr_req_reply_row(reply, json_pack("{s:i}", "n", i));
		return 0;
	}
	if (!strcmp(words[0], "big")) {
		size_t bytes = strtoul(words[1], NULL, 10);
		char *text = calloc(1, bytes + 1);

		memset(text, 'x', bytes);
		wr_req_reply(reply, json_string(text));
		free(text);
		return 0;
	}
	if (!strcmp(words[0], "nothing"))
		return 0;
	if (!strcmp(words[0], "twice")) {
		wr_req_reply(reply, json_integer(1));
		wr_req_reply(reply, json_integer(2));
		return 0;
	}
	if (!strcmp(words[0], "null-value")) {
		wr_req_reply(reply, json_string("\xff not UTF-8"));
		return 0;
	}
	if (!strcmp(words[0], "late-error"))
		wr_req_reply_row(reply, json_integer(1));
	if (!strcmp(words[0], "no-sentence"))
		return -EPERM;
	if (!strcmp(words[0], "noent"))
		return wr_err(err, -ENOENT, "not there");
	return wr_err(err, -EINVAL, "what is '%s'?", words[0]);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct wr_err err = {""};

	f->clock = (struct fake_clock){.clock.now_ns = fake_now, .now_ns = WR_NS_PER_S};
	snprintf(f->dir, sizeof(f->dir), "/tmp/weir-req-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%s/run/sock", f->dir);
	assert_int_equal(wr_loop_create(&f->clock.clock, &f->loop), 0);
	assert_int_equal(wr_req_listen(f->loop, f->path, answer, f, &f->server, &err), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char run[64];

	wr_req_close(f->server);
	wr_loop_free(f->loop);
	snprintf(run, sizeof(run), "%s/run", f->dir);
	/* Fails if the socket was left behind. */
	assert_int_equal(rmdir(run), 0);
	assert_int_equal(rmdir(f->dir), 0);
	free(f);
	return 0;
}

static void turns(struct fixture *f, unsigned n)
{
	while (n--)
		assert_int_equal(wr_loop_turn(f->loop, 0), 0);
}

static int dial(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	assert_true(fd >= 0);
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr))) {
		close(fd);
		return -errno;
	}
	return fd;
}

/* All there is to read now; true at the end of the stream. */
static bool drain(int fd, char *buf, size_t max, size_t *n)
{
	ssize_t rc;

	while ((rc = recv(fd, buf + *n, max - 1 - *n, MSG_DONTWAIT)) > 0)
		*n += (size_t)rc;
	buf[*n] = '\0';
	return !rc || (rc < 0 && errno == ECONNRESET);
}

/* The whole reply to these bytes, then closes. */
static char *raw(struct fixture *f, const void *bytes, size_t n, char buf[static 256])
{
	int fd = dial(f->path);
	size_t got = 0;

	assert_true(fd >= 0);
	assert_int_equal(send(fd, bytes, n, MSG_NOSIGNAL), n);
	shutdown(fd, SHUT_WR);
	for (int i = 0; i < 20; i++) {
		turns(f, 1);
		if (drain(fd, buf, 256, &got))
			break;
	}
	close(fd);
	return buf;
}

#define RAW(f, bytes, buf) raw(f, bytes, sizeof(bytes) - 1, buf)

static void replies(void **state)
{
	struct fixture *f = *state;
	char b[256];

	assert_string_equal(RAW(f, "echo\0a\0\0b c\0", b), "0\n[\"a\",\"\",\"b c\"]\n");
	assert_string_equal(RAW(f, "rows\0003\0", b), "0\n[{\"n\":0},{\"n\":1},{\"n\":2}]\n");
	assert_string_equal(RAW(f, "rows\0000\0", b), "0\n[]\n");
	assert_string_equal(RAW(f, "big\0002\0", b), "0\n\"xx\"\n");
	assert_string_equal(RAW(f, "nothing\0", b), "0\nnull\n");
	assert_int_equal(f->n_handled, 5);
	assert_int_equal(f->server->n_clients, 0);
	assert_int_equal(f->server->n_reply_bytes, 0);
}

static void errors(void **state)
{
	struct fixture *f = *state;
	char b[256];

	assert_string_equal(RAW(f, "foo\0", b), "22\nwhat is 'foo'?\n");
	assert_string_equal(RAW(f, "a\nb\033[2J\0", b), "22\nwhat is 'a?b?[2J'?\n");
	assert_string_equal(RAW(f, "no-sentence\0", b), "1\nOperation not permitted\n");
	assert_string_equal(RAW(f, "late-error\0", b), "22\nwhat is 'late-error'?\n");
	assert_string_equal(RAW(f, "twice\0", b), "71\nProtocol error\n");
	assert_string_equal(RAW(f, "null-value\0", b), "12\nCannot allocate memory\n");
	assert_string_equal(RAW(f, "noent\0", b), "3\nnot there\n");
}

static void bad_requests(void **state)
{
	struct fixture *f = *state;
	char b[256];

	assert_string_equal(RAW(f, "", b), "22\nempty request\n");
	assert_string_equal(RAW(f, "echo\0a", b),
			    "22\nthe last word of the request is not ended by a zero byte\n");
	assert_int_equal(f->n_handled, 0);
}

static void oversize(void **state)
{
	struct fixture *f = *state;
	static char bytes[REQ_MAX_BYTES + 4096];
	char b[256];

	memset(bytes, 'x', sizeof(bytes));
	assert_string_equal(raw(f, bytes, sizeof(bytes), b),
			    "7\nrequest longer than 65536 bytes\n");
	memset(bytes, 0, sizeof(bytes));
	assert_string_equal(raw(f, bytes, REQ_MAX_WORDS + 1, b),
			    "7\nrequest of more than 4096 words\n");
	assert_int_equal(f->n_handled, 0);
	/* As much as is allowed. */
	memcpy(bytes, "echo", 5);
	memset(bytes + 5, 'x', REQ_MAX_BYTES - 6);
	assert_memory_equal(raw(f, bytes, REQ_MAX_BYTES, b), "0\n[\"xxx", 7);
	assert_int_equal(f->n_handled, 1);
}

static void byte_by_byte(void **state)
{
	static const char bytes[] = "echo\0ab";
	struct fixture *f = *state;
	int fd = dial(f->path);
	char b[256];
	size_t n = 0;

	for (size_t i = 0; i < sizeof(bytes); i++) {
		assert_int_equal(send(fd, &bytes[i], 1, 0), 1);
		turns(f, 2);
	}
	assert_int_equal(f->n_handled, 0);
	shutdown(fd, SHUT_WR);
	turns(f, 3);
	assert_true(drain(fd, b, sizeof(b), &n));
	assert_string_equal(b, "0\n[\"ab\"]\n");
	close(fd);
}

/* A reader that stops keeps its reply's memory, and the others are served; then its time is over.
 */
static void slow_reader(void **state)
{
	struct fixture *f = *state;
	int slow = dial(f->path);
	char b[256], piece[1000];

	assert_int_equal(send(slow, "big\00010000000", 13, 0), 13);
	shutdown(slow, SHUT_WR);
	turns(f, 10);
	assert_int_equal(recv(slow, piece, sizeof(piece), 0), sizeof(piece));
	assert_int_equal(f->server->n_clients, 1);
	assert_true(f->server->n_reply_bytes >= 10000000);
	assert_string_equal(RAW(f, "echo\0a\0", b), "0\n[\"a\"]\n");
	f->clock.now_ns += (REQ_TIMEOUT_S - 1) * WR_NS_PER_S;
	turns(f, 2);
	assert_int_equal(f->server->n_clients, 1);
	f->clock.now_ns += WR_NS_PER_S;
	turns(f, 2);
	assert_int_equal(f->server->n_clients, 0);
	assert_int_equal(f->server->n_reply_bytes, 0);
	close(slow);
}

static void slow_writer(void **state)
{
	struct fixture *f = *state;
	int fd = dial(f->path);
	size_t n = 0;
	char b[256];

	assert_int_equal(send(fd, "echo", 4, 0), 4);
	turns(f, 3);
	f->clock.now_ns += REQ_TIMEOUT_S * WR_NS_PER_S;
	turns(f, 2);
	assert_true(drain(fd, b, sizeof(b), &n));
	assert_string_equal(b, "110\nthe request was not complete after 10 s\n");
	assert_int_equal(f->server->n_clients, 0);
	close(fd);
}

static void early_closers(void **state)
{
	struct fixture *f = *state;
	char b[256];
	int fd;

	close(dial(f->path)); /* nothing said */
	fd = dial(f->path);
	assert_int_equal(send(fd, "ec", 2, 0), 2);
	turns(f, 3);
	close(fd); /* amid the request */
	turns(f, 5);
	fd = dial(f->path);
	assert_int_equal(send(fd, "big\00010000000", 13, 0), 13);
	shutdown(fd, SHUT_WR);
	turns(f, 3);
	assert_int_equal(recv(fd, b, sizeof(b), 0), sizeof(b));
	close(fd); /* amid the reply */
	turns(f, 5);
	assert_int_equal(f->server->n_clients, 0);
	assert_int_equal(f->server->n_reply_bytes, 0);
	assert_string_equal(RAW(f, "echo\0a\0", b), "0\n[\"a\"]\n");
}

static void one_too_many(void **state)
{
	struct fixture *f = *state;
	int fds[REQ_MAX_CLIENTS], extra;
	size_t n = 0;
	char b[256];

	for (int i = 0; i < REQ_MAX_CLIENTS; i++) {
		fds[i] = dial(f->path);
		assert_true(fds[i] >= 0);
		turns(f, 1);
	}
	assert_int_equal(f->server->n_clients, REQ_MAX_CLIENTS);
	extra = dial(f->path);
	turns(f, 2);
	assert_true(drain(extra, b, sizeof(b), &n));
	assert_string_equal(b, "16\n32 requests are being served: try again\n");
	close(extra);
	for (int i = 0; i < REQ_MAX_CLIENTS; i++) {
		assert_int_equal(send(fds[i], "nothing", 8, 0), 8);
		shutdown(fds[i], SHUT_WR);
	}
	turns(f, 5);
	for (int i = 0; i < REQ_MAX_CLIENTS; i++) {
		n = 0;
		assert_true(drain(fds[i], b, sizeof(b), &n));
		assert_string_equal(b, "0\nnull\n");
		close(fds[i]);
	}
	assert_int_equal(f->server->n_clients, 0);
}

/* What is being read counts, what has been read does not. */
static void replies_are_bounded(void **state)
{
	struct fixture *f = *state;
	char b[256];

	f->server->n_reply_bytes = REQ_MAX_REPLIES_BYTES;
	assert_string_equal(RAW(f, "big\000100000\0", b),
			    "105\ntoo many large replies at once: try again\n");
	assert_int_equal(f->server->n_reply_bytes, REQ_MAX_REPLIES_BYTES);
	f->server->n_reply_bytes = 0;
	assert_memory_equal(RAW(f, "big\000100000\0", b), "0\n\"xxx", 6);
	assert_int_equal(f->server->n_reply_bytes, 0);
}

static void socket_file(void **state)
{
	struct fixture *f = *state;
	struct req_server *second = NULL;
	struct wr_err err = {""};
	char other[80], b[256];
	struct stat st;
	FILE *file;
	int fd;

	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0660);

	/* Served: refused, and it goes on being served. */
	assert_int_equal(wr_req_listen(f->loop, f->path, answer, f, &second, &err), -EADDRINUSE);
	assert_non_null(strstr(err.text, "another process serves this socket"));
	turns(f, 2);
	assert_string_equal(RAW(f, "nothing\0", b), "0\nnull\n");

	/* Stale: replaced. */
	snprintf(other, sizeof(other), "%s/run/stale", f->dir);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", other);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	close(fd);
	assert_int_equal(wr_req_listen(f->loop, other, answer, f, &second, &err), 0);

	/* Somebody else's by now: not removed. */
	assert_int_equal(unlink(other), 0);
	file = fopen(other, "w");
	assert_non_null(file);
	fclose(file);
	wr_req_close(second);
	assert_int_equal(stat(other, &st), 0);

	/* A file is nothing to replace. */
	assert_int_equal(wr_req_listen(f->loop, other, answer, f, &second, &err), -EEXIST);
	assert_int_equal(unlink(other), 0);
}

static void bad_paths(void **state)
{
	struct fixture *f = *state;
	struct req_server *s = NULL;
	char path[200];

	memset(path, 'x', sizeof(path));
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(wr_req_listen(f->loop, path, answer, f, &s, NULL), -ENAMETOOLONG);
	assert_int_equal(wr_req_listen(f->loop, "", answer, f, &s, NULL), -ENAMETOOLONG);
	assert_int_equal(wr_req_listen(f->loop, "/nonexistent/a/b", answer, f, &s, NULL), -ENOENT);
	assert_null(s);
}

static void split_words(void **state)
{
	char buf[] = "a\0bc\0\0d", *words[4];

	(void)state;
	assert_int_equal(wr_req_split(buf, 0, words, 4), 0);
	assert_int_equal(wr_req_split(buf, sizeof(buf), words, 4), 4);
	assert_string_equal(words[1], "bc");
	assert_string_equal(words[2], "");
	assert_string_equal(words[3], "d");
	assert_int_equal(wr_req_split(buf, sizeof(buf), words, 3), -E2BIG);
	assert_int_equal(wr_req_split(buf, sizeof(buf) - 1, words, 4), -EINVAL);
}

/* wr_req_ask() waits, so it has a thread. */
struct asker {
	const char *path;
	char *words[2];
	unsigned n_words;
	int timeout_ms, rc;
	char *text;
	struct wr_err err;
	bool is_done;
};

static void *ask_thread(void *arg)
{
	struct asker *a = arg;

	a->rc = wr_req_ask(a->path, a->words, a->n_words, a->timeout_ms, &a->text, &a->err);
	__atomic_store_n(&a->is_done, true, __ATOMIC_RELEASE);
	return NULL;
}

static void run_ask(struct fixture *f, struct asker *a)
{
	pthread_t thread;

	a->path = f->path;
	a->timeout_ms = 10000;
	assert_int_equal(pthread_create(&thread, NULL, ask_thread, a), 0);
	while (!__atomic_load_n(&a->is_done, __ATOMIC_ACQUIRE))
		wr_loop_turn(f->loop, 5 * WR_NS_PER_MS);
	pthread_join(thread, NULL);
}

static void asking(void **state)
{
	struct asker a = {.words = {(char[]){"rows"}, (char[]){"100000"}}, .n_words = 2};
	struct fixture *f = *state;
	json_t *json;

	run_ask(f, &a);
	assert_int_equal(a.rc, 0);
	json = json_loads(a.text, 0, NULL);
	assert_int_equal(json_array_size(json), 100000);
	json_decref(json);
	free(a.text);

	a = (struct asker){.words = {(char[]){"foo"}}, .n_words = 1};
	run_ask(f, &a);
	assert_int_equal(a.rc, -EINVAL);
	assert_string_equal(a.err.text, "what is 'foo'?");

	a = (struct asker){.n_words = 0};
	run_ask(f, &a);
	assert_int_equal(a.rc, -EINVAL);
	assert_string_equal(a.err.text, "empty request");
}

/* A server that closes before it has read everything: its sentence arrives. */
static void asking_too_much(void **state)
{
	struct fixture *f = *state;
	char *word = calloc(1, 1 << 20);
	struct asker a = {.n_words = 1};

	memset(word, 'x', (1 << 20) - 1);
	a.words[0] = word;
	run_ask(f, &a);
	assert_int_equal(a.rc, -E2BIG);
	assert_string_equal(a.err.text, "request longer than 65536 bytes");
	free(word);
}

static void asking_nobody(void **state)
{
	char *const words[] = {(char[]){"x"}};
	struct fixture *f = *state;
	struct wr_err err = {""};
	char path[80], *text;
	int fd;

	assert_int_equal(wr_req_ask("/nonexistent", words, 1, 100, &text, &err), -ENOENT);
	/* Listening, but nobody accepts. */
	assert_int_equal(wr_req_ask(f->path, words, 1, 50, &text, &err), -ETIMEDOUT);
	assert_non_null(strstr(err.text, "no answer in time"));
	turns(f, 3);
	snprintf(path, sizeof(path), "%s/run/dead", f->dir);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(wr_req_ask(path, words, 1, 100, &text, &err), -ECONNREFUSED);
	close(fd);
	unlink(path);
}

static int parse_answer(const char *bytes, char **ret_text)
{
	struct ask a = {.path = "p", .n = strlen(bytes), .text = strdup(bytes)};
	int rc = parse(&a);

	if (rc)
		free(a.text);
	else
		*ret_text = a.text;
	return rc;
}

static void answers_cut_short(void **state)
{
	char *text;

	(void)state;
	assert_int_equal(parse_answer("0\n[1,2]\n", &text), 0);
	assert_string_equal(text, "[1,2]\n");
	free(text);
	assert_int_equal(parse_answer("0\n[1,2]", &text), -EPROTO);
	assert_int_equal(parse_answer("0\n", &text), -EPROTO);
	assert_int_equal(parse_answer("", &text), -EPROTO);
	assert_int_equal(parse_answer("\n", &text), -EPROTO);
	assert_int_equal(parse_answer("x\nabc\n", &text), -EPROTO);
	assert_int_equal(parse_answer("-5\nabc\n", &text), -EPROTO);
	assert_int_equal(parse_answer("99999999999999999999\nabc\n", &text), -EPROTO);
	assert_int_equal(parse_answer("19\nabc\n", &text), -ENODEV);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(split_words),
		cmocka_unit_test(answers_cut_short),
		cmocka_unit_test_setup_teardown(replies, setup, teardown),
		cmocka_unit_test_setup_teardown(errors, setup, teardown),
		cmocka_unit_test_setup_teardown(bad_requests, setup, teardown),
		cmocka_unit_test_setup_teardown(oversize, setup, teardown),
		cmocka_unit_test_setup_teardown(byte_by_byte, setup, teardown),
		cmocka_unit_test_setup_teardown(slow_reader, setup, teardown),
		cmocka_unit_test_setup_teardown(slow_writer, setup, teardown),
		cmocka_unit_test_setup_teardown(early_closers, setup, teardown),
		cmocka_unit_test_setup_teardown(one_too_many, setup, teardown),
		cmocka_unit_test_setup_teardown(replies_are_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(socket_file, setup, teardown),
		cmocka_unit_test_setup_teardown(bad_paths, setup, teardown),
		cmocka_unit_test_setup_teardown(asking, setup, teardown),
		cmocka_unit_test_setup_teardown(asking_too_much, setup, teardown),
		cmocka_unit_test_setup_teardown(asking_nobody, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
