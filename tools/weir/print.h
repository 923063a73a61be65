/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * JSON for people: a list of objects is a table, an object is lines of "key: value".
 *
 * It knows no command: whatever the daemon answers is shown. A list may be long (a million routes),
 * so it is never a tree: its text is read twice, row by row, once for the widths and once for the
 * lines.
 */
#ifndef WEIR_TOOL_PRINT_H
#define WEIR_TOOL_PRINT_H

#include <jansson.h>
#include <stdio.h>

/* `text` is a JSON text of `n` bytes. 0, or -1: it is not JSON. */
int print_for_people(FILE *, const char *text, size_t n, unsigned width);
/* The same JSON, indented. 0, or -1: it is not JSON. */
int print_pretty(FILE *, const char *text, size_t n);

#endif
