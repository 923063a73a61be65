/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is said at the end. A command adds rows in the order in which they are to be read; both
 * printers, for people and as JSON, go by the rows, so that neither says what the other does not.
 * A key of the JSON ends in its unit.
 */
#ifndef WR_GEN_REPORT_H
#define WR_GEN_REPORT_H

#include "tools/weir-gen/histogram.h"

#include <stdbool.h>
#include <stdio.h>

enum report_kind {
	REPORT_WORD,
	REPORT_PACKETS,
	REPORT_NUMBER,
	REPORT_BYTES,
	REPORT_NS,
	REPORT_SECONDS,
	REPORT_PACKETS_PER_S,
	REPORT_BITS_PER_S,
	REPORT_PERCENT,
};

enum { REPORT_MAX_ROWS = 64, REPORT_VALUE_BYTES = 48 };

struct report_row {
	const char *section, *key, *label; /* all static */
	enum report_kind kind;
	double number;
	const char *word;
};

struct report {
	struct report_row rows[REPORT_MAX_ROWS];
	unsigned n_rows;
	bool has_latency;
	struct hist latency_ns; /* its buckets are in the JSON only */
};

void wr_report_word(struct report *, const char *section, const char *key, const char *label,
		    const char *word);
void wr_report_number(struct report *, const char *section, const char *key, const char *label,
		      enum report_kind, double number);
/* "12.50 us", "1.49 Gbit/s". */
void wr_report_value(const struct report_row *, char ret_text[REPORT_VALUE_BYTES]);
/* 0 or -EIO. */
int wr_report_print(const struct report *, FILE *);
int wr_report_print_json(const struct report *, FILE *);

#endif
