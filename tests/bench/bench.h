/* SPDX-License-Identifier: BSD-3-Clause */
/* What the programs of the bench share: they are small mains, and end at the first error. */
#ifndef WEIR_BENCH_H
#define WEIR_BENCH_H

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t must_end;

static inline void on_signal(int signo)
{
	(void)signo;
	must_end = 1;
}

/* Without SA_RESTART: a call that blocks must return. */
static inline void end_on_signals(void)
{
	const struct sigaction action = {.sa_handler = on_signal};

	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
}

static inline _Noreturn void die(const char *what)
{
	fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, strerror(errno));
	exit(1);
}

static inline _Noreturn void usage(const char *text)
{
	fprintf(stderr, "usage: %s\n", text);
	exit(2);
}

/* A whole number above zero, or the end. */
static inline unsigned long number(const char *text)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (*end || !value || value > INT32_MAX) {
		fprintf(stderr, "%s: %s: not a number above 0\n", program_invocation_short_name,
			text);
		exit(2);
	}
	return value;
}

static inline uint64_t now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

#endif
