/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bytes as a port's string: refused with a sentence, or read into names that lie within and values
 * that their options allow.
 */
#include "lib/port/spec.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_value(const struct port_option *option, uint32_t value, bool is_given)
{
	unsigned n_words = 1;

	if (!is_given && value != option->fallback)
		abort();
	if (option->words) {
		for (const char *c = option->words; *c; c++)
			n_words += *c == '|';
		if (value >= n_words)
			abort();
		return;
	}
	if (value < option->min || value > option->max ||
	    (option->is_power_of_two && (value & (value - 1))))
		abort();
}

static bool is_within(const struct port_args *args, const char *name)
{
	return !*name ||
	       (name >= args->words && name + strlen(name) < args->words + PORT_SPEC_BYTES);
}

static void check(const struct port_args *args, const char *text)
{
	const struct port_driver *driver = args->driver;

	if (strcmp(args->text, text) != 0 || args->n_names > driver->max_names ||
	    args->n_names < driver->min_names || (*args->dev && !wr_port_is_ifname(args->dev)))
		abort();
	for (unsigned i = 0; i < PORT_MAX_NAMES; i++)
		if (!is_within(args, args->names[i]) || (i >= args->n_names && *args->names[i]))
			abort();
	for (unsigned i = 0; i < driver->n_options; i++)
		check_value(&driver->options[i], args->values[i], args->is_given[i]);
	(void)driver->max_frames(args);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char *text = malloc(n + 1); /* of just that size: one byte beyond it is seen */
	struct wr_err err = {.text = ""};
	struct port_args args;
	int rc;

	if (!text)
		abort();
	memcpy(text, data, n);
	text[n] = '\0';
	rc = wr_port_parse(text, &args, &err);
	if (rc && (rc != -EINVAL || !*err.text))
		abort();
	if (!rc)
		check(&args, text);
	free(text);
	return 0;
}
