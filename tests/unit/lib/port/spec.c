/* SPDX-License-Identifier: BSD-3-Clause */
#include "lib/port/spec.c"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void a_name_alone_is_an_interface(void **state)
{
	struct port_args args;

	(void)state;
	assert_int_equal(wr_port_parse("eth0", &args, NULL), 0);
	assert_string_equal(args.driver->scheme, "af_xdp");
	assert_string_equal(args.names[0], "eth0");
	assert_int_equal(args.n_names, 1);
	assert_string_equal(args.dev, "");
	assert_int_equal(args.values[AF_XDP_OPT_DESCS], 2048);
	assert_false(args.is_given[AF_XDP_OPT_DESCS]);
}

static void options_are_read_in_any_order(void **state)
{
	struct port_args args;

	(void)state;
	assert_int_equal(wr_port_parse("af_xdp:eth0,descs=64,dev=x1,mode=generic", &args, NULL), 0);
	assert_string_equal(args.names[0], "eth0");
	assert_string_equal(args.dev, "x1");
	assert_int_equal(args.values[AF_XDP_OPT_MODE], AF_XDP_MODE_GENERIC);
	assert_int_equal(args.values[AF_XDP_OPT_DESCS], 64);
	assert_true(args.is_given[AF_XDP_OPT_DESCS]);
	assert_string_equal(args.text, "af_xdp:eth0,descs=64,dev=x1,mode=generic");
}

/* What is wrong, and what the sentence says of it. */
static const struct {
	const char *text, *sentence;
} bad[] = {
	{"", ": a name is missing: use af_xdp:INTERFACE"},
	{"af_xdp:", "af_xdp:: a name is missing: use af_xdp:INTERFACE"},
	{"ring:", "ring:: a name is missing: use ring:NAME"},
	{"ring:a,b", "ring:a,b: 'b' is one name too many: use ring:NAME"},
	{"ring:a,descs=0", "ring:a,descs=0: descs is 0: use a number from 1 to 1048576"},
	{"ring:a,descs=-1", "ring:a,descs=-1: descs is -1: use a number from 1 to 1048576"},
	{"ring:a,descs=", "ring:a,descs=: descs is empty: use a number from 1 to 1048576"},
	{"ring:a,descs=8x", "ring:a,descs=8x: descs is 8x: use a number from 1 to 1048576"},
	{"ring:a,descs=8,descs=8", "ring:a,descs=8,descs=8: descs is given twice"},
	{"ring:a,size=8", "ring:a,size=8: ring has no option 'size'; it has: queues, descs"},
	{"eth0,descs=100", "eth0,descs=100: descs is 100: use a power of two"},
	{"eth0,mode=fast", "eth0,mode=fast: mode is 'fast': use one of auto|native|generic"},
	{"eth0,dev=a/b", "eth0,dev=a/b: dev is 'a/b': not a name that an interface can have"},
	{"eth0,dev=", "eth0,dev=: dev is '': not a name that an interface can have"},
	{"eth0,dev=0123456789abcdef",
	 "eth0,dev=0123456789abcdef: dev is '0123456789abcdef': not a name that an interface can "
	 "have"},
	{"eth0\n", "a port's name with a control character in it"},
};

static void what_is_wrong_is_said(void **state)
{
	struct port_args args;
	struct wr_err err;

	(void)state;
	for (size_t i = 0; i < wr_array_size(bad); i++) {
		assert_int_equal(wr_port_parse(bad[i].text, &args, &err), -EINVAL);
		assert_string_equal(err.text, bad[i].sentence);
	}
}

static void an_unknown_scheme_names_those_there_are(void **state)
{
	struct port_args args;
	struct wr_err err;

	(void)state;
	assert_int_equal(wr_port_parse("dpdk:0", &args, &err), -EINVAL);
	assert_non_null(strstr(err.text, "dpdk:0: no driver is named 'dpdk'; there are: af_xdp"));
}

static void too_long_a_string_is_refused(void **state)
{
	char text[PORT_SPEC_BYTES + 1];
	struct port_args args;

	(void)state;
	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(wr_port_parse(text, &args, NULL), -EINVAL);
	text[sizeof(text) - 2] = '\0';
	assert_int_equal(wr_port_parse(text, &args, NULL), 0);
}

/* What the table promises to its readers. */
static void each_driver_has_a_whole_row(void **state)
{
	(void)state;
	for (unsigned i = 0; wr_port_drivers[i]; i++) {
		const struct port_driver *d = wr_port_drivers[i];

		assert_true(d->scheme && d->names && d->text && d->max_frames);
		assert_true(d->max_names <= PORT_MAX_NAMES && d->min_names <= d->max_names);
		assert_true(d->n_options <= PORT_MAX_OPTIONS);
		for (unsigned k = 0; k < d->n_options; k++) {
			const struct port_option *o = &d->options[k];

			assert_true(o->name && o->text);
			assert_true(o->words || (o->min <= o->fallback && o->fallback <= o->max));
		}
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test(name)
	const struct CMUnitTest tests[] = {
		TEST(a_name_alone_is_an_interface), TEST(options_are_read_in_any_order),
		TEST(what_is_wrong_is_said),        TEST(an_unknown_scheme_names_those_there_are),
		TEST(too_long_a_string_is_refused), TEST(each_driver_has_a_whole_row),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
