/* SPDX-License-Identifier: BSD-3-Clause */
#include "lib/port/spec.h"

#include "lib/sys/ethtool.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

const struct port_driver *const wr_port_drivers[] = {
	&wr_port_af_xdp_driver, &wr_port_ring_driver, &wr_port_tap_driver,  &wr_port_tun_driver,
	&wr_port_memif_driver,  &wr_port_pcap_driver, &wr_port_null_driver, NULL,
};

static const struct port_driver *find_driver(const char *scheme)
{
	for (unsigned i = 0; wr_port_drivers[i]; i++)
		if (!strcmp(wr_port_drivers[i]->scheme, scheme))
			return wr_port_drivers[i];
	return NULL;
}

/* "a, b, c" of all schemes. */
static const char *list_schemes(char *buf, size_t n)
{
	size_t at = 0;

	*buf = '\0';
	for (unsigned i = 0; wr_port_drivers[i] && at < n; i++)
		at += (size_t)snprintf(buf + at, n - at, "%s%s", i ? ", " : "",
				       wr_port_drivers[i]->scheme);
	return buf;
}

static const char *list_options(const struct port_driver *driver, char *buf, size_t n)
{
	size_t at = 0;

	*buf = '\0';
	for (unsigned i = 0; i < driver->n_options && at < n; i++)
		at += (size_t)snprintf(buf + at, n - at, "%s%s", i ? ", " : "",
				       driver->options[i].name);
	return *buf ? buf : "none";
}

/* The place of `word` in "a|b|c", or -1. */
static int place_of(const char *words, const char *word)
{
	const size_t n = strlen(word);

	for (int i = 0;; i++) {
		size_t len = strcspn(words, "|");

		if (len == n && !memcmp(words, word, n))
			return i;
		if (!words[len])
			return -1;
		words += len + 1;
	}
}

static int take_number(struct port_args *args, const struct port_option *option, const char *value,
		       uint32_t *ret, struct wr_err *err)
{
	unsigned long number;
	char *end;

	errno = 0;
	number = strtoul(value, &end, 10);
	if (!isdigit((unsigned char)*value) || *end || errno || number < option->min ||
	    number > option->max)
		return wr_err(err, -EINVAL, "%.100s: %s is %.30s: use a number from %u to %u",
			      args->text, option->name, *value ? value : "empty", option->min,
			      option->max);
	if (option->is_power_of_two && (number & (number - 1)))
		return wr_err(err, -EINVAL, "%.100s: %s is %lu: use a power of two", args->text,
			      option->name, number);
	*ret = (uint32_t)number;
	return 0;
}

/* '%' the kernel would take for a place to put a number in. */
bool wr_port_is_ifname(const char *name)
{
	size_t n = strlen(name);

	return n && n < PORT_DEV_BYTES && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 &&
	       !strpbrk(name, "/:% \t\n\v\f\r");
}

static int take_dev(struct port_args *args, const char *value, struct wr_err *err)
{
	if (!wr_port_is_ifname(value))
		return wr_err(err, -EINVAL,
			      "%.100s: dev is '%.30s': not a name that an interface can have",
			      args->text, value);
	memcpy(args->dev, value, strlen(value) + 1);
	return 0;
}

static int take_option(struct port_args *args, const char *name, const char *value,
		       struct wr_err *err)
{
	const struct port_driver *driver = args->driver;
	char known[120];

	if (!strcmp(name, "dev"))
		return take_dev(args, value, err);
	for (unsigned i = 0; i < driver->n_options; i++) {
		const struct port_option *option = &driver->options[i];
		int place;

		if (strcmp(option->name, name) != 0)
			continue;
		if (args->is_given[i])
			return wr_err(err, -EINVAL, "%.100s: %s is given twice", args->text, name);
		args->is_given[i] = true;
		if (!option->words)
			return take_number(args, option, value, &args->values[i], err);
		place = place_of(option->words, value);
		if (place < 0)
			return wr_err(err, -EINVAL, "%.100s: %s is '%.30s': use one of %s",
				      args->text, name, value, option->words);
		args->values[i] = (uint32_t)place;
		return 0;
	}
	return wr_err(err, -EINVAL, "%.60s: %s has no option '%.30s'; it has: %s", args->text,
		      driver->scheme, name, list_options(driver, known, sizeof(known)));
}

/* One piece between commas. */
static int take_piece(struct port_args *args, char *piece, struct wr_err *err)
{
	const struct port_driver *driver = args->driver;
	char *value = strchr(piece, '=');

	if (value) {
		*value++ = '\0';
		return take_option(args, piece, value, err);
	}
	if (args->n_names == driver->max_names) {
		if (!*piece) /* "null:", or a comma too many at the end */
			return 0;
		return wr_err(err, -EINVAL, "%.100s: '%.60s' is one name too many: use %s:%s",
			      args->text, piece, driver->scheme, driver->names);
	}
	args->names[args->n_names++] = piece;
	return 0;
}

/* Splits off the scheme; `ret_rest` is what stands behind the colon. */
static int take_scheme(struct port_args *args, char **ret_rest, struct wr_err *err)
{
	char *colon = strchr(args->words, ':');
	const char *scheme = colon ? args->words : "af_xdp";
	char known[100];

	if (colon)
		*colon = '\0';
	*ret_rest = colon ? colon + 1 : args->words;
	args->driver = find_driver(scheme);
	if (args->driver)
		return 0;
	return wr_err(err, -EINVAL, "%.100s: no driver is named '%.30s'; there are: %s", args->text,
		      scheme, list_schemes(known, sizeof(known)));
}

static int check_text(const char *text, struct wr_err *err)
{
	if (strlen(text) >= PORT_SPEC_BYTES)
		return wr_err(err, -EINVAL, "%.40s...: longer than %d bytes", text,
			      PORT_SPEC_BYTES - 1);
	for (const char *c = text; *c; c++)
		if (iscntrl((unsigned char)*c))
			return wr_err(err, -EINVAL, "a port's name with a control character in it");
	return 0;
}

int wr_port_parse(const char *text, struct port_args *ret_args, struct wr_err *err)
{
	struct port_args *args = ret_args;
	char *piece;
	int rc = check_text(text, err);

	if (rc < 0)
		return rc;
	memset(args, 0, sizeof(*args));
	memcpy(args->text, text, strlen(text) + 1);
	memcpy(args->words, text, strlen(text) + 1);
	rc = take_scheme(args, &piece, err);
	if (rc < 0)
		return rc;
	for (unsigned i = 0; i < PORT_MAX_NAMES; i++)
		args->names[i] = "";
	for (unsigned i = 0; i < args->driver->n_options; i++)
		args->values[i] = args->driver->options[i].fallback;
	while (piece && !rc) {
		char *comma = strchr(piece, ',');

		if (comma)
			*comma++ = '\0';
		rc = take_piece(args, piece, err);
		piece = comma;
	}
	if (!rc && (args->n_names < args->driver->min_names ||
		    (args->driver->min_names == 1 && !*args->names[0])))
		rc = wr_err(err, -EINVAL, "%.100s: a name is missing: use %s:%s", args->text,
			    args->driver->scheme, args->driver->names);
	return rc;
}

int wr_port_n_queues(const struct port_args *args, struct wr_err *err)
{
	const struct port_driver *driver = args->driver;
	int n_queues;

	for (unsigned i = 0; i < driver->n_options; i++)
		if (!strcmp(driver->options[i].name, "queues") && args->values[i])
			return (int)args->values[i];
	if (driver != &wr_port_af_xdp_driver)
		return 1;
	n_queues = wr_ethtool_n_rx_queues(args->names[0]);
	if (n_queues == -ENODEV)
		return wr_err(err, n_queues,
			      "%s: no such interface; 'ip link' lists those there are",
			      args->names[0]);
	if (n_queues < 0)
		return wr_err(err, n_queues, "%s: reading its queues: %s", args->names[0],
			      strerror(-n_queues));
	return n_queues < WR_MAX_QUEUES ? n_queues : WR_MAX_QUEUES;
}

int wr_port_open(struct umem *umem, const struct port_args *args, struct port **ret_port,
		 struct wr_err *err)
{
	if (!args->driver->open)
		return wr_err(err, -EOPNOTSUPP, "%.100s: cannot be opened here", args->text);
	return args->driver->open(umem, args, ret_port, err);
}

static void print_option(FILE *file, const struct port_option *option)
{
	if (option->words)
		fprintf(file, "          %s=%s: %s (default: %.*s)\n", option->name, option->words,
			option->text, (int)strcspn(option->words, "|"), option->words);
	else
		fprintf(file, "          %s=%u..%u: %s (default: %u)\n", option->name, option->min,
			option->max, option->text, option->fallback);
}

void wr_port_print_drivers(FILE *file)
{
	for (unsigned i = 0; wr_port_drivers[i]; i++) {
		const struct port_driver *driver = wr_port_drivers[i];

		fprintf(file, "  %s:%s\n          %s\n", driver->scheme, driver->names,
			driver->text);
		for (unsigned k = 0; k < driver->n_options; k++)
			print_option(file, &driver->options[k]);
	}
}
