/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Errors that say what to do.
 *
 * Functions return 0 or more, or -errno. Where an operator caused the failure and can mend it (a
 * missing interface, a capability, a queue that is taken), the function also takes a `struct wr_err
 * *` and writes one sentence into it: what was wrong, then what to do. Library code never logs: the
 * caller that knows the purpose prints the sentence or drops it.
 */
#ifndef WR_BASE_ERR_H
#define WR_BASE_ERR_H

#include "lib/base/types.h"

struct wr_err {
	char text[256]; /* one line without newline, NUL-terminated; "" = none */
};

/* Writes the sentence (cut to fit) if `err` is not NULL; returns `code`, a -errno, so that
 * `return wr_err(err, -ENODEV, "%s: no such interface", name)` is the usual form. */
int wr_err(struct wr_err *err, int code, const char *fmt, ...) wr_printf(3, 4);

/* Puts "prefix: " before the sentence that a callee wrote; returns `code`. */
int wr_err_prefix(struct wr_err *err, int code, const char *fmt, ...) wr_printf(3, 4);

#endif
