/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * weir-gen: a generator of packets, and what receives and measures them, on Weir's raw packet I/O
 * (cnet/port.h). So the same commands run on a NIC, between containers and in a test.
 *
 * Exit status: 0 done, 1 something failed, 2 usage, 3 what --fail-on-... forbids has happened.
 */
#include "cnet/version.h"
#include "tools/weir-gen/gen.h"

#include <errno.h>
#include <stdlib.h>

enum exit_code { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_FORBIDDEN = 3 };

static volatile sig_atomic_t must_stop;

static void on_signal(int signo)
{
	(void)signo;
	must_stop = 1;
}

/* Without SA_RESTART, so that a sleeper wakes. */
static void catch_signals(void)
{
	const struct sigaction action = {.sa_handler = on_signal};

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

static int complain(const struct wr_err *err, enum exit_code code)
{
	fprintf(stderr, "weir-gen: %s\n", err->text);
	return code;
}

static int run(struct gen *g, struct report *report, bool *ret_is_failed, struct wr_err *err)
{
	switch (g->o->mode) {
	case GEN_ECHO:
		return wr_echo(g, report, err);
	case GEN_REPLAY:
		return wr_replay(g, report, err);
	default:
		return wr_generate(g, report, ret_is_failed, err);
	}
}

static int run_and_report(const struct gen_options *o)
{
	static struct report report;
	struct gen g = {.io = NULL};
	struct wr_err err = {""};
	bool is_failed = false;
	int rc;

	catch_signals();
	rc = wr_gen_open(&g, o, &must_stop, &err);
	if (rc < 0)
		return complain(&err, EXIT_FAILED);
	rc = run(&g, &report, &is_failed, &err);
	if (rc) {
		wr_gen_close(&g);
		return complain(&err, EXIT_FAILED);
	}
	rc = o->is_json ? wr_report_print_json(&report, stdout) : wr_report_print(&report, stdout);
	wr_gen_close(&g);
	if (rc) {
		wr_err(&err, rc, "the report cannot be written to standard output");
		return complain(&err, EXIT_FAILED);
	}
	return is_failed ? EXIT_FORBIDDEN : EXIT_OK;
}

int main(int argc, char **argv)
{
	struct gen_options o;
	struct wr_err err = {""};

	if (wr_options_read(argc, argv, &o, &err))
		return complain(&err, EXIT_USAGE);
	if (o.wants_help) {
		wr_options_help(stdout);
		return EXIT_OK;
	}
	if (o.wants_version) {
		puts("weir-gen " WEIR_VERSION);
		return EXIT_OK;
	}
	return run_and_report(&o);
}
