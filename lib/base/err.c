/* SPDX-License-Identifier: BSD-3-Clause */
#include "lib/base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int wr_err(struct wr_err *err, int code, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return code;
	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	return code;
}

int wr_err_prefix(struct wr_err *err, int code, const char *fmt, ...)
{
	struct wr_err tail;
	va_list ap;
	size_t n_head;

	if (!err)
		return code;
	tail = *err;
	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	n_head = strlen(err->text);
	snprintf(err->text + n_head, sizeof(err->text) - n_head, ": %.*s",
		 (int)(sizeof(tail.text) - n_head), tail.text);
	return code;
}
