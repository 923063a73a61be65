/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * weir: asks a running weir-router and shows what it answers.
 *
 * The words go to the control socket as they are; which commands there are is the daemon's affair.
 * Two are done here: `help`, which must work when no daemon runs, and `detach`, which makes sense
 * only then.
 */
#include "cnet/version.h"
#include "lib/req/req.h"
#include "lib/steer/steer.h"
#include "tools/weir/print.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum exit_code { EXIT_OK = 0, EXIT_REFUSED = 1, EXIT_USAGE = 2, EXIT_NOBODY = 3 };
enum { TIMEOUT_MS = 30000, PROBE_MS = 2000, USUAL_WIDTH = 110 };

struct options {
	const char *socket;
	bool json, pretty;
};

static const struct {
	const char *words, *arguments, *help;
} commands[] = {
#define COMMAND(words, function, arguments, help) {words, arguments, help},
#include "cnet/commands.def"
#undef COMMAND
	{"detach", "",
	 "remove XDP programs that killed weir-routers have left; the living keep theirs"},
};

static const char usage[] =
	"Usage: weir [-s SOCKET] [-j [-p]] [COMMAND...]\n"
	"\n"
	"  -s SOCKET   the daemon's control socket; default $WEIR_SOCKET,\n"
	"              else /run/weir/weir.sock\n"
	"  -j          print JSON\n"
	"  -p          indent it\n"
	"  -h          this text\n"
	"  -V          the version\n"
	"\n"
	"Words may be cut short: 'weir r g 10.0.0.1' is 'weir route get 10.0.0.1'.\n"
	"Without a command: status.\n"
	"\n"
	"Commands:\n";

static void print_usage(FILE *file)
{
	fputs(usage, file);
	for (size_t i = 0; i < wr_array_size(commands); i++)
		fprintf(file, "  %s%s%s\n          %s\n", commands[i].words,
			*commands[i].arguments ? " " : "", commands[i].arguments, commands[i].help);
}

static int complain(const char *sentence, enum exit_code code)
{
	fprintf(stderr, "weir: %s\n", sentence);
	return code;
}

/* The terminal's; else one that fits in most. */
static unsigned width_of_line(void)
{
	struct winsize size;

	if (!ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) && size.ws_col)
		return size.ws_col;
	return USUAL_WIDTH;
}

static int show(const struct options *o, const char *text)
{
	size_t n = strlen(text);
	int rc = 0;

	if (o->pretty)
		rc = print_pretty(stdout, text, n);
	else if (o->json)
		rc = fwrite(text, 1, n, stdout) == n ? 0 : -EIO;
	else
		rc = print_for_people(stdout, text, n, width_of_line());
	if (fflush(stdout) || ferror(stdout))
		return complain("cannot write the answer", EXIT_REFUSED);
	if (rc)
		return complain("the answer is not JSON", EXIT_REFUSED);
	return EXIT_OK;
}

static int show_help(const struct options *o)
{
	json_t *list = json_array();
	char *text;
	int rc;

	for (size_t i = 0; i < wr_array_size(commands); i++)
		json_array_append_new(list,
				      json_pack("{s:s, s:s, s:s}", "command", commands[i].words,
						"arguments", commands[i].arguments, "help",
						commands[i].help));
	text = json_dumps(list, JSON_COMPACT);
	json_decref(list);
	if (!text)
		return complain(strerror(ENOMEM), EXIT_REFUSED);
	rc = show(o, text);
	if (!rc && o->json && !o->pretty)
		putchar('\n');
	free(text);
	return rc;
}

static bool is_nobody(int rc)
{
	return rc == -ENOENT || rc == -ECONNREFUSED;
}

static int ask(const struct options *o, char *const *words, unsigned n_words)
{
	struct wr_err err = {""};
	char *text;
	int rc = wr_req_ask(o->socket, words, n_words, TIMEOUT_MS, &text, &err);

	if (is_nobody(rc)) {
		fprintf(stderr,
			"weir: no weir-router is running on %s; "
			"start it, or name its socket with -s\n",
			o->socket);
		return EXIT_NOBODY;
	}
	if (rc)
		return complain(err.text, EXIT_REFUSED);
	rc = show(o, text);
	free(text);
	return rc;
}

/* Says who serves the socket, if anybody does. */
static int refuse_to_detach(const struct options *o)
{
	char *const words[] = {(char[]){"status"}};
	struct wr_err err = {""};
	json_int_t pid = 0;
	json_t *status;
	char *text;
	int rc = wr_req_ask(o->socket, words, 1, PROBE_MS, &text, &err);

	if (is_nobody(rc))
		return EXIT_OK;
	if (rc) {
		fprintf(stderr, "weir: cannot tell whether weir-router is running: %s\n", err.text);
		return EXIT_REFUSED;
	}
	status = json_loads(text, 0, NULL);
	pid = json_integer_value(json_object_get(status, "pid"));
	json_decref(status);
	free(text);
	fprintf(stderr,
		"weir: weir-router is running (pid %" JSON_INTEGER_FORMAT
		"): stop it first with SIGTERM\n",
		pid);
	return EXIT_REFUSED;
}

static void add_detached(void *arg, const char *ifname)
{
	json_array_append_new(arg, json_pack("{s:s}", "detached", ifname));
}

static int detach(const struct options *o)
{
	struct wr_err err = {""};
	json_t *list;
	char *text;
	int rc;

	if (geteuid())
		return complain("detach changes interfaces: run it as root", EXIT_REFUSED);
	rc = refuse_to_detach(o);
	if (rc)
		return rc;
	list = json_array();
	rc = wr_steer_detach_leftovers(add_detached, list, &err);
	text = json_dumps(list, JSON_COMPACT);
	json_decref(list);
	if (rc < 0)
		complain(*err.text ? err.text : strerror(-rc), EXIT_REFUSED);
	if (text && (o->json || rc > 0))
		show(o, text);
	if (!rc && !o->json)
		puts("nothing was left behind");
	free(text);
	return rc < 0 ? EXIT_REFUSED : EXIT_OK;
}

/* As the daemon matches words: the first row whose first word begins so. */
static bool is_meant(const char *word, const char *command)
{
	size_t n = strlen(word);

	for (size_t i = 0; n && i < wr_array_size(commands); i++)
		if (!strncmp(commands[i].words, word, n))
			return !strcmp(commands[i].words, command);
	return false;
}

int main(int argc, char **argv)
{
	static char status[] = "status";
	char *const default_words[] = {status};
	struct options o = {.socket = getenv("WEIR_SOCKET")};
	int opt;

	if (!o.socket || !*o.socket)
		o.socket = "/run/weir/weir.sock";
	while ((opt = getopt(argc, argv, "+s:jphV")) != -1) {
		switch (opt) {
		case 's':
			o.socket = optarg;
			break;
		case 'p':
			o.json = o.pretty = true;
			break;
		case 'j':
			o.json = true;
			break;
		case 'h':
			print_usage(stdout);
			return EXIT_OK;
		case 'V':
			puts("weir " WEIR_VERSION);
			return EXIT_OK;
		default:
			fputs("Try 'weir -h'.\n", stderr);
			return EXIT_USAGE;
		}
	}
	argc -= optind;
	argv += optind;
	if (!argc)
		return ask(&o, default_words, 1);
	if (is_meant(argv[0], "help"))
		return show_help(&o);
	if (is_meant(argv[0], "detach"))
		return argc == 1 ? detach(&o) : complain("detach takes no arguments", EXIT_USAGE);
	return ask(&o, argv, (unsigned)argc);
}
