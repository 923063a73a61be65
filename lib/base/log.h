/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where a line for the operator goes.
 *
 * Only what has a purpose of its own logs (the mirror, the router's main); everything below returns
 * errors. A log is an object that the owner of a stack passes down, so that two stacks in one
 * process keep two logs. Control thread only.
 */
#ifndef WR_BASE_LOG_H
#define WR_BASE_LOG_H

#include "lib/base/types.h"

/* As syslog's, so that systemd reads the prefix "<N>". */
enum wr_log_level { WR_LOG_ERROR = 3, WR_LOG_WARN = 4, WR_LOG_INFO = 6, WR_LOG_DEBUG = 7 };

struct wr_log {
	void (*write)(void *arg, enum wr_log_level level, const char *line);
	void *arg;
	enum wr_log_level max_level; /* lines above it are dropped */
};

/* One line, without newline. A NULL log or a NULL `write` drops it. */
void wr_log(const struct wr_log *log, enum wr_log_level level, const char *fmt, ...)
	wr_printf(3, 4);

/* The usual writer: to stderr; with systemd's level prefix when $JOURNAL_STREAM is set. */
void wr_log_stderr(void *arg, enum wr_log_level level, const char *line);

#endif
