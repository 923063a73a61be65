/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/weir-gen/report.h"

#include "lib/base/types.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <string.h>

static struct report_row *add_row(struct report *report)
{
	assert(report->n_rows < REPORT_MAX_ROWS);
	return &report->rows[report->n_rows++];
}

void wr_report_word(struct report *report, const char *section, const char *key, const char *label,
		    const char *word)
{
	*add_row(report) = (struct report_row){
		.section = section, .key = key, .label = label, .kind = REPORT_WORD, .word = word};
}

void wr_report_number(struct report *report, const char *section, const char *key,
		      const char *label, enum report_kind kind, double number)
{
	*add_row(report) = (struct report_row){
		.section = section, .key = key, .label = label, .kind = kind, .number = number};
}

/* --- for people ------------------------------------------------------------------------------- */

static void print_scaled(char *text, double number, const char *unit)
{
	static const char *const prefixes[] = {"", "k", "M", "G", "T"};
	unsigned i = 0;

	for (; number >= 999.95 && i + 1 < wr_array_size(prefixes); i++)
		number /= 1000;
	snprintf(text, REPORT_VALUE_BYTES, "%.*f %s%s", number >= 100 ? 1 : 2, number, prefixes[i],
		 unit);
}

static void print_time(char *text, double ns)
{
	static const char *const units[] = {"ns", "us", "ms", "s"};
	unsigned i = 0;

	for (; ns >= 999.95 && i + 1 < wr_array_size(units); i++)
		ns /= 1000;
	snprintf(text, REPORT_VALUE_BYTES, "%.*f %s", i ? 2 : 0, ns, units[i]);
}

void wr_report_value(const struct report_row *row, char ret_text[REPORT_VALUE_BYTES])
{
	switch (row->kind) {
	case REPORT_WORD:
		snprintf(ret_text, REPORT_VALUE_BYTES, "%s", row->word);
		break;
	case REPORT_PACKETS:
	case REPORT_NUMBER:
		snprintf(ret_text, REPORT_VALUE_BYTES, "%.0f", row->number);
		break;
	case REPORT_BYTES:
		print_scaled(ret_text, row->number, "B");
		break;
	case REPORT_NS:
		print_time(ret_text, row->number);
		break;
	case REPORT_SECONDS:
		snprintf(ret_text, REPORT_VALUE_BYTES, "%.3f s", row->number);
		break;
	case REPORT_PACKETS_PER_S:
		snprintf(ret_text, REPORT_VALUE_BYTES, "%.*f packets/s", row->number < 1000 ? 2 : 0,
			 row->number);
		break;
	case REPORT_BITS_PER_S:
		print_scaled(ret_text, row->number, "bit/s");
		break;
	case REPORT_PERCENT:
		snprintf(ret_text, REPORT_VALUE_BYTES, "%.4f %%", row->number);
		break;
	}
}

static unsigned longest_label(const struct report *report)
{
	size_t longest = 0;

	for (unsigned i = 0; i < report->n_rows; i++)
		if (strlen(report->rows[i].label) > longest)
			longest = strlen(report->rows[i].label);
	return (unsigned)longest;
}

int wr_report_print(const struct report *report, FILE *file)
{
	const int width = (int)longest_label(report);
	const char *section = "";
	char value[REPORT_VALUE_BYTES];

	for (unsigned i = 0; i < report->n_rows; i++) {
		const struct report_row *row = &report->rows[i];

		if (strcmp(section, row->section) != 0)
			fprintf(file, "%s:\n", row->section);
		section = row->section;
		wr_report_value(row, value);
		fprintf(file, "  %-*s  %s\n", width, row->label, value);
	}
	return fflush(file) || ferror(file) ? -EIO : 0;
}

/* --- as JSON ---------------------------------------------------------------------------------- */

/* What can only be whole is written so. */
static json_t *value_of(const struct report_row *row)
{
	switch (row->kind) {
	case REPORT_WORD:
		return json_string(row->word);
	case REPORT_PACKETS:
	case REPORT_NUMBER:
	case REPORT_BYTES:
		return json_integer((json_int_t)row->number);
	case REPORT_NS:
		return json_integer((json_int_t)round(row->number));
	default:
		return json_real(row->number);
	}
}

static json_t *buckets_of(const struct hist *hist)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < HIST_BUCKETS; i++)
		if (hist->buckets[i])
			json_array_append_new(list,
					      json_pack("{s:I, s:I, s:I}", "from_ns",
							(json_int_t)wr_hist_low(i), "to_ns",
							(json_int_t)wr_hist_high(i), "packets",
							(json_int_t)hist->buckets[i]));
	return list;
}

int wr_report_print_json(const struct report *report, FILE *file)
{
	json_t *root = json_object(), *section;
	int rc;

	for (unsigned i = 0; i < report->n_rows; i++) {
		const struct report_row *row = &report->rows[i];

		section = json_object_get(root, row->section);
		if (!section) {
			section = json_object();
			json_object_set_new(root, row->section, section);
		}
		json_object_set_new(section, row->key, value_of(row));
	}
	section = json_object_get(root, "latency");
	if (section && report->has_latency)
		json_object_set_new(section, "buckets", buckets_of(&report->latency_ns));
	rc = json_dumpf(root, file, JSON_COMPACT | JSON_REAL_PRECISION(9));
	json_decref(root);
	if (rc || fputc('\n', file) == EOF || fflush(file))
		return -EIO;
	return 0;
}
