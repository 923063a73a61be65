/* SPDX-License-Identifier: BSD-3-Clause */
#include "cnet/conf.h"

#include <ctype.h>
#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_BYTES = 512, MAX_NAME = sizeof(((struct conf_options *)0)->names[0]) - 1 };

enum type { TYPE_NUMBER, TYPE_SWITCH, TYPE_CHOICE, TYPE_STRING };

/* One row of conf.def, so that everything below is a loop over rows and not code for each setting.
 */
struct row {
	const char *name;
	const char *fallback; /* of a choice or string */
	const char *choices;
	const char *unit;
	const char *text;
	size_t offset;   /* in struct conf */
	uint32_t number; /* the default of a number or switch */
	uint32_t min, max;
	enum type type;
};

static const struct row rows[CONF_N] = {
#define NUMBER(n, dflt, lo, hi, u, t)                                                              \
	{.type = TYPE_NUMBER,                                                                      \
	 .name = #n,                                                                               \
	 .number = dflt,                                                                           \
	 .min = lo,                                                                                \
	 .max = hi,                                                                                \
	 .unit = u,                                                                                \
	 .text = t,                                                                                \
	 .offset = offsetof(struct conf, n)},
#define SWITCH(n, dflt, t)                                                                         \
	{.type = TYPE_SWITCH,                                                                      \
	 .name = #n,                                                                               \
	 .number = dflt,                                                                           \
	 .unit = "",                                                                               \
	 .text = t,                                                                                \
	 .offset = offsetof(struct conf, n)},
#define CHOICE(n, dflt, words, t)                                                                  \
	{.type = TYPE_CHOICE,                                                                      \
	 .name = #n,                                                                               \
	 .fallback = dflt,                                                                         \
	 .choices = words,                                                                         \
	 .unit = "",                                                                               \
	 .text = t,                                                                                \
	 .offset = offsetof(struct conf, n)},
#define STRING(n, dflt, t)                                                                         \
	{.type = TYPE_STRING,                                                                      \
	 .name = #n,                                                                               \
	 .fallback = dflt,                                                                         \
	 .unit = "",                                                                               \
	 .text = t,                                                                                \
	 .offset = offsetof(struct conf, n)},
#include "cnet/conf.def"
#undef NUMBER
#undef SWITCH
#undef CHOICE
#undef STRING
};

/* A value of any type, parsed and not yet stored. */
union value {
	uint32_t number; /* also a switch's 0 or 1, and a choice's place in its row */
	const char *string;
};

static_assert(sizeof(enum conf_xdp_mode) == sizeof(uint32_t) &&
		      sizeof(enum conf_spread) == sizeof(uint32_t),
	      "choices are stored as uint32_t");

static bool needs_power_of_two(const struct row *row)
{
	size_t id = (size_t)(row - rows);

	return id == CONF_ID_ring_descs || id == CONF_ID_frame_bytes;
}

static const char *print_range(const struct row *row, char *buf, size_t n)
{
	switch (row->type) {
	case TYPE_NUMBER:
		snprintf(buf, n, "%u..%u", row->min, row->max);
		return buf;
	case TYPE_SWITCH:
		return "on|off";
	case TYPE_CHOICE:
		return row->choices;
	case TYPE_STRING:
		break;
	}
	return "";
}

static int parse_number(const struct row *row, const char *text, uint32_t *ret, struct wr_err *err)
{
	unsigned long long number;
	char *end = NULL;

	if (!isdigit((unsigned char)text[0]))
		return wr_err(err, -EINVAL, "%s: '%.40s' is not a number; use %u..%u", row->name,
			      text, row->min, row->max);
	errno = 0;
	number = strtoull(text, &end, 10);
	if (*end)
		return wr_err(err, -EINVAL, "%s: '%.40s' is not a number; use %u..%u", row->name,
			      text, row->min, row->max);
	if (errno || number < row->min || number > row->max)
		return wr_err(err, -EINVAL, "%s: %.40s is out of range; use %u..%u%s%s", row->name,
			      text, row->min, row->max, *row->unit ? " " : "", row->unit);
	if (needs_power_of_two(row) && (number & (number - 1)))
		return wr_err(err, -EINVAL, "%s: %llu is not a power of two; use %u..%u", row->name,
			      number, row->min, row->max);
	*ret = (uint32_t)number;
	return 0;
}

static int parse_switch(const struct row *row, const char *text, uint32_t *ret, struct wr_err *err)
{
	static const struct {
		const char *word;
		uint32_t value;
	} words[] = {{"on", 1},   {"off", 0},   {"yes", 1}, {"no", 0},
		     {"true", 1}, {"false", 0}, {"1", 1},   {"0", 0}};

	for (size_t i = 0; i < wr_array_size(words); i++) {
		if (!strcmp(text, words[i].word)) {
			*ret = words[i].value;
			return 0;
		}
	}
	return wr_err(err, -EINVAL, "%s: '%.40s' is neither on nor off; use one of them", row->name,
		      text);
}

/* The place of `word` in "a|b|c", or -1. */
static int find_choice(const char *choices, const char *word)
{
	size_t n = strlen(word);

	for (int i = 0;; i++) {
		size_t len = strcspn(choices, "|");

		if (len == n && !memcmp(choices, word, n))
			return i;
		if (!choices[len])
			return -1;
		choices += len + 1;
	}
}

static int parse_choice(const struct row *row, const char *text, uint32_t *ret, struct wr_err *err)
{
	int place = find_choice(row->choices, text);

	if (place < 0)
		return wr_err(err, -EINVAL, "%s: '%.40s' is not one of %s", row->name, text,
			      row->choices);
	*ret = (uint32_t)place;
	return 0;
}

static int parse_string(const struct row *row, const char *text, const char **ret,
			struct wr_err *err)
{
	size_t n = strlen(text);

	if (!n)
		return wr_err(err, -EINVAL, "%s: must not be empty", row->name);
	if (n >= CONF_STRING_BYTES)
		return wr_err(err, -EINVAL, "%s: longer than %d bytes", row->name,
			      CONF_STRING_BYTES - 1);
	for (size_t i = 0; i < n; i++)
		if (iscntrl((unsigned char)text[i]))
			return wr_err(err, -EINVAL, "%s: control characters are not allowed",
				      row->name);
	*ret = text;
	return 0;
}

static int parse_value(const struct row *row, const char *text, union value *ret,
		       struct wr_err *err)
{
	switch (row->type) {
	case TYPE_NUMBER:
		return parse_number(row, text, &ret->number, err);
	case TYPE_SWITCH:
		return parse_switch(row, text, &ret->number, err);
	case TYPE_CHOICE:
		return parse_choice(row, text, &ret->number, err);
	case TYPE_STRING:
		return parse_string(row, text, &ret->string, err);
	}
	return -EINVAL;
}

/* `field` is the row's place in a struct conf, or memory as large as its largest. */
static void store_field(char *field, const struct row *row, union value value)
{
	switch (row->type) {
	case TYPE_NUMBER:
	case TYPE_CHOICE:
		memcpy(field, &value.number, sizeof(value.number));
		break;
	case TYPE_SWITCH:
		*(bool *)field = value.number != 0;
		break;
	case TYPE_STRING:
		snprintf(field, CONF_STRING_BYTES, "%s", value.string);
		break;
	}
}

static void store(struct conf *conf, const struct row *row, union value value,
		  enum conf_origin origin)
{
	store_field((char *)conf + row->offset, row, value);
	conf->origins[row - rows] = (uint8_t)origin;
}

static union value default_of(const struct row *row)
{
	union value value = {.number = row->number};

	if (row->fallback)
		parse_value(row, row->fallback, &value, NULL);
	return value;
}

void wr_conf_init(struct conf *conf)
{
	*conf = (struct conf){0};
	for (size_t i = 0; i < CONF_N; i++) {
		store(conf, &rows[i], default_of(&rows[i]), CONF_FROM_DEFAULT);
	}
}

/* Equal when '-' and '_' are the same. */
static bool is_name(const char *a, const char *b)
{
	for (; *a && *b; a++, b++)
		if ((*a == '-' ? '_' : *a) != (*b == '-' ? '_' : *b))
			return false;
	return *a == *b;
}

static const struct row *find_row(const char *name)
{
	for (size_t i = 0; i < CONF_N; i++)
		if (is_name(rows[i].name, name))
			return &rows[i];
	return NULL;
}

/* Letters to insert, delete or change to get from `a` to `b`; both at most MAX_NAME long. */
static unsigned distance(const char *a, const char *b)
{
	unsigned costs[MAX_NAME + 1];
	unsigned n_b = (unsigned)strlen(b);

	for (unsigned j = 0; j <= n_b; j++)
		costs[j] = j;
	for (unsigned i = 0; a[i]; i++) {
		unsigned diagonal = costs[0];

		costs[0] = i + 1;
		for (unsigned j = 0; j < n_b; j++) {
			unsigned best = diagonal + (a[i] != b[j]);

			if (best > costs[j] + 1)
				best = costs[j] + 1;
			if (best > costs[j + 1] + 1)
				best = costs[j + 1] + 1;
			diagonal = costs[j + 1];
			costs[j + 1] = best;
		}
	}
	return costs[n_b];
}

/* The name that was probably meant; NULL if nothing is near: then more letters would change than
 * stay. */
static const char *nearest_name(const char *name, bool with_interface)
{
	const char *nearest = NULL;
	size_t n = strlen(name);
	unsigned best;

	if (n > MAX_NAME)
		return NULL;
	best = (unsigned)n / 2 + 1;
	for (size_t i = 0; i < CONF_N + (with_interface ? 1 : 0); i++) {
		const char *candidate = i < CONF_N ? rows[i].name : "interface";
		unsigned d = distance(name, candidate);

		if (d < best) {
			best = d;
			nearest = candidate;
		}
	}
	return nearest;
}

static int unknown_name(const char *name, bool with_interface, struct wr_err *err)
{
	const char *nearest = nearest_name(name, with_interface);

	if (nearest)
		return wr_err(err, -ENOENT, "no setting is named '%.40s'; did you mean '%s'?", name,
			      nearest);
	return wr_err(err, -ENOENT, "no setting is named '%.40s'; 'weir-router --help' lists them",
		      name);
}

/* A value of lower origin than the present one is checked and then ignored. */
static int set(struct conf *conf, const struct row *row, const char *text, enum conf_origin origin,
	       struct wr_err *err)
{
	union value value;
	int rc = parse_value(row, text, &value, err);

	if (rc)
		return rc;
	if (conf->origins[row - rows] <= origin)
		store(conf, row, value, origin);
	return 0;
}

int wr_conf_set(struct conf *conf, const char *name, const char *value, struct wr_err *err)
{
	const struct row *row = find_row(name);

	if (!row)
		return unknown_name(name, false, err);
	if (!value && row->type != TYPE_SWITCH)
		return wr_err(err, -EINVAL, "%s: needs a value", row->name);
	return set(conf, row, value ? value : "on", CONF_FROM_COMMAND_LINE, err);
}

/* As the kernel's dev_valid_name(). */
static bool is_ifname(const char *name)
{
	size_t n = strlen(name);

	if (!n || n >= IFNAMSIZ || !strcmp(name, ".") || !strcmp(name, ".."))
		return false;
	for (size_t i = 0; i < n; i++)
		if (name[i] == '/' || name[i] == ':' || isspace((unsigned char)name[i]))
			return false;
	return true;
}

/* What is likely to have been meant as a list. */
static bool looks_like_list(const char *text)
{
	const char *comma = strchr(text, ',');

	return !strchr(text, ':') && (strpbrk(text, " \t") || (comma && !strchr(comma, '=')));
}

static int check_port(const char *text, struct port_args *args, struct wr_err *err)
{
	int rc;

	if (!*text)
		return wr_err(err, -EINVAL, "interface: needs the name of one");
	if (looks_like_list(text))
		return wr_err(err, -EINVAL,
			      "interface: '%.40s': name one interface at a time, and repeat", text);
	rc = wr_port_parse(text, args, err);
	if (rc)
		return wr_err_prefix(err, rc, "interface");
	if (args->driver == &wr_port_af_xdp_driver && *args->dev)
		return wr_err(err, -EINVAL,
			      "interface: '%.60s': dev= is for ports that are no interface yet",
			      text);
	if (args->driver == &wr_port_af_xdp_driver && !is_ifname(args->names[0]))
		return wr_err(err, -EINVAL,
			      "interface: '%.40s' is not a name that an interface can have",
			      args->names[0]);
	return 0;
}

/* A wire in memory has two ends of one name; nothing else can be taken twice. */
static bool is_same_port(const struct port_args *a, const struct port_args *b)
{
	return a->driver == b->driver && a->driver != &wr_port_ring_driver && *a->names[0] &&
	       !strcmp(a->names[0], b->names[0]);
}

/* The interface where the port's addresses are; "": named later. */
static const char *interface_of(const struct port_args *args)
{
	return args->driver == &wr_port_af_xdp_driver ? args->names[0] : args->dev;
}

static int check_twins(const struct port_args *a, const struct port_args *b, struct wr_err *err)
{
	const char *ifname = interface_of(a);

	if (is_same_port(a, b))
		return wr_err(err, -EINVAL, "interface: %s is named twice", a->names[0]);
	if (*ifname && !strcmp(ifname, interface_of(b)))
		return wr_err(err, -EINVAL,
			      "interface: %s would be the interface of two ports: use another dev=",
			      ifname);
	return 0;
}

static int add_interface(struct conf *conf, const char *text, enum conf_origin origin,
			 struct wr_err *err)
{
	struct port_args args = {.n_names = 0}, other;
	const size_t n = strlen(text) + 1;
	int rc = check_port(text, &args, err);

	if (rc)
		return rc;
	if (conf->ports_origin > origin)
		return 0;
	if (conf->ports_origin < origin)
		conf->n_ports = conf->ports_bytes = 0;
	for (unsigned i = 0; i < conf->n_ports; i++)
		if (!wr_port_parse(wr_conf_port(conf, i), &other, NULL)) {
			rc = check_twins(&args, &other, err);
			if (rc)
				return rc;
		}
	if (conf->n_ports == WR_MAX_PORTS)
		return wr_err(err, -E2BIG, "interface: more than %d interfaces", WR_MAX_PORTS);
	if (n > sizeof(conf->ports) - conf->ports_bytes)
		return wr_err(err, -E2BIG, "interface: all of them together are longer than %d",
			      CONF_PORTS_BYTES);
	memcpy(conf->ports + conf->ports_bytes, text, n);
	conf->ports_bytes += (unsigned)n;
	conf->n_ports++;
	conf->ports_origin = (uint8_t)origin;
	return 0;
}

const char *wr_conf_port(const struct conf *conf, unsigned idx)
{
	const char *text = conf->ports;

	while (idx--)
		text += strlen(text) + 1;
	return text;
}

int wr_conf_add_interface(struct conf *conf, const char *ifname, struct wr_err *err)
{
	return add_interface(conf, ifname, CONF_FROM_COMMAND_LINE, err);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Cuts off the comment (a '#' at the start or after a blank: a name may contain one) and blanks at
 * both ends. */
static char *strip(char *line)
{
	size_t n;

	for (char *c = line; *c; c++) {
		if (*c == '#' && (c == line || is_blank(c[-1]))) {
			*c = '\0';
			break;
		}
	}
	while (is_blank(*line))
		line++;
	n = strlen(line);
	while (n && is_blank(line[n - 1]))
		line[--n] = '\0';
	return line;
}

static int load_line(struct conf *conf, char *text, struct wr_err *err)
{
	char *name = strip(text), *value = name;
	const struct row *row;

	if (!*name)
		return 0;
	while (*value && !is_blank(*value))
		value++;
	while (is_blank(*value))
		*value++ = '\0';
	if (!strcmp(name, "interface"))
		return add_interface(conf, value, CONF_FROM_FILE, err);
	row = find_row(name);
	if (!row)
		return unknown_name(name, true, err);
	if (!*value)
		return wr_err(err, -EINVAL, "%s: needs a value", row->name);
	return set(conf, row, value, CONF_FROM_FILE, err);
}

static int load_lines(struct conf *conf, FILE *file, const char *path, struct wr_err *err)
{
	char line[LINE_BYTES];
	int rc;

	for (unsigned n = 1; fgets(line, sizeof(line), file); n++) {
		if (!strchr(line, '\n') && !feof(file))
			return wr_err(err, -EINVAL, "%s:%u: longer than %d bytes, or not text",
				      path, n, LINE_BYTES - 2);
		rc = load_line(conf, line, err);
		if (rc)
			return wr_err_prefix(err, rc, "%s:%u", path, n);
	}
	if (ferror(file))
		return wr_err(err, -errno, "%s: %s", path, strerror(errno));
	return 0;
}

int wr_conf_load(struct conf *conf, const char *path, struct wr_err *err)
{
	FILE *file = fopen(path, "re");
	int rc;

	if (!file)
		return wr_err(err, -errno, "%s: cannot read settings from it: %s", path,
			      strerror(errno));
	rc = load_lines(conf, file, path, err);
	(void)fclose(file); /* was only read */
	return rc;
}

static const char *print_value(const struct row *row, const char *field, char *buf, size_t n)
{
	const char *word = row->choices;
	uint32_t number;

	switch (row->type) {
	case TYPE_SWITCH:
		return *(const bool *)field ? "on" : "off";
	case TYPE_STRING:
		return field;
	case TYPE_NUMBER:
		memcpy(&number, field, sizeof(number));
		snprintf(buf, n, "%u", number);
		break;
	case TYPE_CHOICE:
		memcpy(&number, field, sizeof(number));
		for (uint32_t i = 0; i < number; i++)
			word += strcspn(word, "|") + 1;
		snprintf(buf, n, "%.*s", (int)strcspn(word, "|"), word);
		break;
	}
	return buf;
}

void wr_conf_each(const struct conf *conf, void (*each)(void *arg, const struct conf_item *),
		  void *arg)
{
	char value[CONF_STRING_BYTES], fallback[CONF_STRING_BYTES], range[32];
	char field[CONF_STRING_BYTES] __attribute__((aligned(sizeof(uint32_t))));

	for (size_t i = 0; i < CONF_N; i++) {
		const struct row *row = &rows[i];
		struct conf_item item;

		store_field(field, row, default_of(row));
		item = (struct conf_item){
			.name = row->name,
			.value = print_value(row, (const char *)conf + row->offset, value,
					     sizeof(value)),
			.fallback = print_value(row, field, fallback, sizeof(fallback)),
			.range = print_range(row, range, sizeof(range)),
			.unit = row->unit,
			.text = row->text,
			.origin = (enum conf_origin)conf->origins[i],
		};

		each(arg, &item);
	}
}

void wr_conf_options(struct conf_options *ret_options, int first_val)
{
	*ret_options = (struct conf_options){0};
	for (size_t i = 0; i < CONF_N; i++) {
		char *name = ret_options->names[i];

		snprintf(name, sizeof(ret_options->names[i]), "%s", rows[i].name);
		for (char *c = name; *c; c++)
			if (*c == '_')
				*c = '-';
		ret_options->rows[i] = (struct option){
			.name = name,
			.has_arg =
				rows[i].type == TYPE_SWITCH ? optional_argument : required_argument,
			.val = first_val + (int)i,
		};
	}
}

static void print_option(void *arg, const struct conf_item *item)
{
	bool is_switch = !strcmp(item->range, "on|off");
	char head[64];

	if (is_switch)
		snprintf(head, sizeof(head), "--%s[=on|off]", item->name);
	else
		snprintf(head, sizeof(head), "--%s %s", item->name,
			 *item->range ? item->range : "TEXT");
	for (char *c = head; *c && *c != ' ' && *c != '['; c++)
		if (*c == '_')
			*c = '-';
	fprintf(arg, "  %s\n          %s (default: %s%s%s)\n", head, item->text, item->fallback,
		*item->unit ? " " : "", item->unit);
}

void wr_conf_print_options(FILE *file)
{
	struct conf conf;

	wr_conf_init(&conf);
	wr_conf_each(&conf, print_option, file);
}
