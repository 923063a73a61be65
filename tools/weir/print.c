/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/weir/print.h"

#include "lib/base/types.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_COLUMNS = 64, INDENT = 4, MAX_DEPTH = 8, MIN_WIDTH = 60 };

struct column {
	char name[48];
	size_t width;
	size_t n_cells; /* that are not empty */
	bool is_text;   /* left aligned */
	bool is_used;   /* some row has something to show */
	bool is_zero;   /* all rows have 0 or nothing */
	bool is_folded; /* does not fit: goes on a line of its own below the row */
};

/* The rows of a list, from its text or from a tree. */
struct rows {
	const char *text; /* at its '[', or NULL */
	size_t n;
	const json_t *list;
};

struct table {
	FILE *file;
	int indent;
	unsigned width; /* of a line, if possible */
	struct column columns[MAX_COLUMNS];
	size_t n_columns;
	size_t n_rows;
};

typedef void each_row(void *arg, const json_t *row);

static size_t skip_blanks(const char *text, size_t n, size_t at)
{
	while (at < n && strchr(" \t\r\n", text[at]))
		at++;
	return at;
}

static int each_in_text(const struct rows *rows, each_row *each, void *arg)
{
	size_t at = skip_blanks(rows->text, rows->n, 1);

	if (at < rows->n && rows->text[at] == ']')
		return 0;
	while (at < rows->n) {
		json_error_t error;
		json_t *row = json_loadb(rows->text + at, rows->n - at,
					 JSON_DISABLE_EOF_CHECK | JSON_DECODE_ANY, &error);

		if (!row)
			return -1;
		each(arg, row);
		json_decref(row);
		at = skip_blanks(rows->text, rows->n, at + (size_t)error.position);
		if (at < rows->n && rows->text[at] == ']')
			return 0;
		if (at >= rows->n || rows->text[at++] != ',')
			return -1;
	}
	return -1;
}

static int each_in(const struct rows *rows, each_row *each, void *arg)
{
	const json_t *row;
	size_t i;

	if (rows->text)
		return each_in_text(rows, each, arg);
	json_array_foreach(rows->list, i, row) each(arg, row);
	return 0;
}

static bool is_scalar(const json_t *v)
{
	return !json_is_object(v) && !json_is_array(v);
}

/* An array that fits in a cell: ["UP", "LOWER_UP"]. */
static bool is_words(const json_t *v)
{
	const json_t *item;
	size_t i;

	json_array_foreach(v, i, item) if (!is_scalar(item)) return false;
	return json_is_array(v);
}

static size_t print_scalar(const json_t *v, char *buf, size_t n)
{
	int len = 0;

	switch (json_typeof(v)) {
	case JSON_STRING:
		len = snprintf(buf, n, "%s", json_string_value(v));
		break;
	case JSON_INTEGER:
		len = snprintf(buf, n, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
		break;
	case JSON_REAL:
		len = snprintf(buf, n, "%.1f", json_real_value(v));
		break;
	case JSON_TRUE:
		len = snprintf(buf, n, "yes");
		break;
	case JSON_FALSE:
		len = snprintf(buf, n, "no");
		break;
	default:
		buf[0] = '\0';
		break;
	}
	return (size_t)len < n ? (size_t)len : n - 1;
}

/* The text of a cell into `buf`; its length. Lists of words are joined. */
static size_t print_cell(const json_t *v, char *buf, size_t n)
{
	const json_t *item;
	size_t i, at = 0;

	buf[0] = '\0';
	if (!v)
		return 0;
	if (is_scalar(v))
		return print_scalar(v, buf, n);
	if (!is_words(v))
		return 0;
	json_array_foreach(v, i, item)
	{
		if (at && at + 1 < n)
			buf[at++] = ',';
		at += print_scalar(item, buf + at, n - at);
	}
	return at;
}

/* Columns on the screen: bytes that do not continue a UTF-8 sequence. */
static size_t width_of(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += (*text & 0xc0) != 0x80;
	return n;
}

static void pad(FILE *file, size_t n)
{
	while (n--)
		fputc(' ', file);
}

/* The column of this name; a new one gets the place `at`, so that rows with different keys are
 * merged in their order. */
static struct column *column_at(struct table *t, const char *name, size_t at)
{
	struct column *c;

	for (size_t i = 0; i < t->n_columns; i++)
		if (!strcmp(t->columns[i].name, name))
			return &t->columns[i];
	if (t->n_columns == MAX_COLUMNS || strlen(name) >= sizeof(c->name))
		return NULL;
	c = &t->columns[at];
	memmove(c + 1, c, (t->n_columns - at) * sizeof(*c));
	t->n_columns++;
	*c = (struct column){.width = strlen(name), .is_zero = true};
	snprintf(c->name, sizeof(c->name), "%s", name);
	return c;
}

/* First pass. */
static void measure(void *arg, const json_t *row)
{
	struct table *t = arg;
	const char *key;
	size_t at = 0;
	json_t *v;
	char cell[512];

	json_object_foreach((json_t *)(uintptr_t)row, key, v)
	{
		struct column *c;
		size_t width;

		if (!is_scalar(v) && !is_words(v))
			continue;
		c = column_at(t, key, at);
		if (!c)
			continue;
		at = (size_t)(c - t->columns) + 1;
		if (!print_cell(v, cell, sizeof(cell)))
			continue;
		width = width_of(cell);
		if (width > c->width)
			c->width = width;
		c->is_text |= !json_is_number(v);
		c->is_zero &= json_is_number(v) && json_number_value(v) == 0;
		c->is_used = true;
		c->n_cells++;
	}
	t->n_rows++;
}

static struct column *last_in_line(struct table *t)
{
	for (size_t i = t->n_columns; i--;)
		if (t->columns[i].is_used && !t->columns[i].is_folded)
			return &t->columns[i];
	return NULL;
}

static size_t width_of_line(const struct table *t)
{
	size_t width = (size_t)t->indent;

	for (size_t i = 0; i < t->n_columns; i++)
		if (t->columns[i].is_used && !t->columns[i].is_folded)
			width += t->columns[i].width + 2;
	return width - 2;
}

/* A sentence at the end may run on beyond the line if it begins well before its end, or is the
 * exception. */
static bool is_fitting(struct table *t)
{
	const struct column *last = last_in_line(t);
	size_t width = width_of_line(t), start = width - (last ? last->width : 0);

	if (!last || width <= t->width)
		return true;
	return last->is_text &&
	       (start <= t->width * 4 / 5 || (start <= t->width && last->n_cells * 2 <= t->n_rows));
}

/* Makes lines of at most t->width: columns that have nothing but zeros go first, the last of them
 * before the others; then the last columns are folded below the row. The first one stays. */
static void fit(struct table *t)
{
	for (size_t i = t->n_columns; i-- && !is_fitting(t);)
		if (t->columns[i].is_zero)
			t->columns[i].is_used = false;
	for (size_t i = t->n_columns; i-- > 1 && !is_fitting(t);)
		t->columns[i].is_folded = true;
}

/* One line; the last cell is not padded, so that no line ends with blanks. */
static void print_cells(const struct table *t, const json_t *row)
{
	size_t owed = (size_t)t->indent; /* blanks before the next cell */
	char cell[512];

	for (size_t i = 0; i < t->n_columns; i++) {
		const struct column *c = &t->columns[i];
		size_t width, gap;

		if (!c->is_used || c->is_folded)
			continue;
		if (row)
			print_cell(json_object_get(row, c->name), cell, sizeof(cell));
		else
			snprintf(cell, sizeof(cell), "%s", c->name);
		width = width_of(cell);
		gap = c->width > width ? c->width - width : 0;
		if (!width) {
			owed += c->width + 2;
			continue;
		}
		pad(t->file, owed + (c->is_text ? 0 : gap));
		fputs(cell, t->file);
		owed = 2 + (c->is_text ? gap : 0);
	}
	fputc('\n', t->file);
}

/* "key  name value  name value ...", zeros left out, in lines of at most t->width. */
static void print_pairs(const struct table *t, const char *key, const json_t *object)
{
	size_t start = (size_t)t->indent + INDENT + strlen(key), at = start;
	bool is_empty = true;
	const char *name;
	char cell[512];
	json_t *v;

	json_object_foreach((json_t *)(uintptr_t)object, name, v)
	{
		size_t width;

		if ((json_is_integer(v) && !json_integer_value(v)) ||
		    !print_cell(v, cell, sizeof(cell)))
			continue;
		width = 2 + strlen(name) + 1 + width_of(cell);
		if (is_empty) {
			pad(t->file, (size_t)t->indent + INDENT);
			fputs(key, t->file);
		} else if (at + width > t->width) {
			fputc('\n', t->file);
			pad(t->file, start);
			at = start;
		}
		fprintf(t->file, "  %s %s", name, cell);
		at += width;
		is_empty = false;
	}
	if (!is_empty)
		fputc('\n', t->file);
}

/* "key  name value  name value ..." a line for each, the values of a name in one column. */
static void print_list(const struct table *t, const char *key, const json_t *list)
{
	struct table *sub = calloc(1, sizeof(*sub));
	const json_t *item;
	char cell[512];
	size_t i;

	if (!sub)
		return;
	json_array_foreach(list, i, item) measure(sub, item);
	json_array_foreach(list, i, item)
	{
		size_t owed = 2;

		pad(t->file, (size_t)t->indent + INDENT);
		fputs(key, t->file);
		for (size_t n = 0; n < sub->n_columns; n++) {
			const struct column *c = &sub->columns[n];
			size_t width, widest = strlen(c->name) + 1 + c->width;

			if (!c->is_used)
				continue;
			width = print_cell(json_object_get(item, c->name), cell, sizeof(cell));
			if (!width) {
				owed += widest + 2;
				continue;
			}
			pad(t->file, owed);
			fprintf(t->file, "%s %s", c->name, cell);
			owed = 2 + widest - (strlen(c->name) + 1 + width_of(cell));
		}
		fputc('\n', t->file);
	}
	free(sub);
}

static void print_value(FILE *, const json_t *, int indent, unsigned width);

static void print_folded(const struct table *t, const json_t *row)
{
	json_t *folded = json_object();

	for (size_t i = 0; i < t->n_columns; i++)
		if (t->columns[i].is_used && t->columns[i].is_folded)
			json_object_set(folded, t->columns[i].name,
					json_object_get(row, t->columns[i].name));
	if (folded)
		print_pairs(t, "", folded);
	json_decref(folded);
}

/* What is no cell goes below the row. */
static void print_row(void *arg, const json_t *row)
{
	const struct table *t = arg;
	const char *key;
	json_t *v;

	print_cells(t, row);
	print_folded(t, row);
	json_object_foreach((json_t *)(uintptr_t)row, key, v)
	{
		if (json_is_object(v))
			print_pairs(t, key, v);
		else if (json_is_array(v) && !is_words(v))
			print_list(t, key, v);
	}
}

static int print_table(FILE *file, const struct rows *rows, int indent, unsigned width)
{
	struct table *t = calloc(1, sizeof(*t));
	int rc;

	if (!t)
		return -1;
	t->file = file;
	t->indent = indent;
	t->width = width;
	rc = each_in(rows, measure, t);
	fit(t);
	if (!rc && t->n_columns) {
		print_cells(t, NULL);
		rc = each_in(rows, print_row, t);
	}
	free(t);
	return rc;
}

/* The name's unit, if it has one that is written better behind the number: "uptime_s" 62 is
 * "uptime: 1 min 2 s". Returns the length of the name without it. */
static size_t print_time(const char *key, const json_t *v, char *buf, size_t n)
{
	json_int_t value = json_integer_value(v);
	size_t len = strlen(key);

	if (!json_is_integer(v) || value < 0)
		return len;
	if (len > 3 && !strcmp(key + len - 3, "_ns")) {
		snprintf(buf, n, "%.1f ms", (double)value / 1e6);
		return len - 3;
	}
	if (len <= 2 || strcmp(key + len - 2, "_s") != 0)
		return len;
	if (value < 60)
		snprintf(buf, n, "%d s", (int)value);
	else if (value < 3600)
		snprintf(buf, n, "%d min %d s", (int)value / 60, (int)value % 60);
	else if (value < 86400)
		snprintf(buf, n, "%d h %d min", (int)value / 3600, (int)value % 3600 / 60);
	else
		snprintf(buf, n, "%lld d %d h", (long long)value / 86400,
			 (int)(value % 86400) / 3600);
	return len - 2;
}

static void print_object(FILE *file, const json_t *object, int indent, unsigned width)
{
	size_t longest = 0;
	const char *key;
	char cell[512];
	json_t *v;

	json_object_foreach((json_t *)(uintptr_t)object, key,
			    v) if ((is_scalar(v) || is_words(v)) && strlen(key) > longest) longest =
		strlen(key);
	json_object_foreach((json_t *)(uintptr_t)object, key, v)
	{
		bool is_line = is_scalar(v) || is_words(v);

		if (is_line && !print_cell(v, cell, sizeof(cell)) && !json_is_array(v))
			continue;
		pad(file, (size_t)indent);
		if (is_line) {
			size_t len = print_time(key, v, cell, sizeof(cell));

			fprintf(file, "%.*s: ", (int)len, key);
			pad(file, longest - len);
			fprintf(file, "%s\n", *cell ? cell : "none");
			continue;
		}
		fprintf(file, "%s:\n", key);
		print_value(file, v, indent + INDENT, width);
	}
}

static void print_value(FILE *file, const json_t *v, int indent, unsigned width)
{
	char cell[512];

	if (indent > MAX_DEPTH * INDENT)
		return;
	if (json_is_object(v)) {
		print_object(file, v, indent, width);
	} else if (json_is_array(v) && !is_words(v)) {
		print_table(file, &(struct rows){.list = v}, indent, width);
	} else if (print_cell(v, cell, sizeof(cell))) {
		pad(file, (size_t)indent);
		fprintf(file, "%s\n", cell);
	}
}

int print_for_people(FILE *file, const char *text, size_t n, unsigned width)
{
	size_t at = skip_blanks(text, n, 0);
	json_t *v;

	if (width < MIN_WIDTH)
		width = MIN_WIDTH;

	if (at < n && text[at] == '[')
		return print_table(file, &(struct rows){.text = text + at, .n = n - at}, 0, width);
	v = json_loadb(text, n, JSON_DECODE_ANY, NULL);
	if (!v)
		return -1;
	print_value(file, v, 0, width);
	json_decref(v);
	return 0;
}

int print_pretty(FILE *file, const char *text, size_t n)
{
	json_t *v = json_loadb(text, n, JSON_DECODE_ANY, NULL);
	int rc;

	if (!v)
		return -1;
	rc = json_dumpf(v, file, JSON_INDENT(4) | JSON_ENCODE_ANY);
	fputc('\n', file);
	json_decref(v);
	return rc;
}
