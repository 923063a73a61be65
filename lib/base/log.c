/* SPDX-License-Identifier: BSD-3-Clause */
#include "lib/base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void wr_log(const struct wr_log *log, enum wr_log_level level, const char *fmt, ...)
{
	char line[512];
	va_list ap;

	if (!log || !log->write || level > log->max_level)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	log->write(log->arg, level, line);
}

void wr_log_stderr(void *arg, enum wr_log_level level, const char *line)
{
	(void)arg;
	if (getenv("JOURNAL_STREAM"))
		fprintf(stderr, "<%d>", (int)level);
	fprintf(stderr, "%s\n", line);
}
