/* SPDX-License-Identifier: BSD-3-Clause */
#include "cnet/conf.c"

#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

/* Loads this text as a file. */
static int load(struct conf *conf, const char *text, size_t n, struct wr_err *err)
{
	char path[] = "/tmp/weir-conf-XXXXXX";
	int rc, fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, n), n);
	close(fd);
	rc = wr_conf_load(conf, path, err);
	unlink(path);
	/* The name is random: leave it out. */
	if (rc && !strncmp(err->text, path, strlen(path)))
		memmove(err->text, err->text + strlen(path), strlen(err->text) - strlen(path) + 1);
	return rc;
}

#define LOAD(conf, text, err) load(conf, text, sizeof(text) - 1, err)

static void defaults(void **state)
{
	struct conf c;

	(void)state;
	memset(&c, 0xff, sizeof(c));
	wr_conf_init(&c);
	assert_string_equal(c.socket, "/run/weir/weir.sock");
	assert_int_equal(c.workers, 0);
	assert_int_equal(c.xdp_mode, CONF_XDP_MODE_AUTO);
	assert_false(c.bypass_netfilter);
	assert_int_equal(c.ring_descs, 2048);
	assert_int_equal(c.n_ports, 0);
}

/* Each default is itself allowed, and each name fits where it is copied to. */
static void rows_are_sound(void **state)
{
	(void)state;
	for (size_t i = 0; i < CONF_N; i++) {
		const struct row *row = &rows[i];
		char text[16];
		union value v;

		snprintf(text, sizeof(text), "%u", row->number);
		assert_int_equal(parse_value(row, row->fallback ? row->fallback : text, &v, NULL),
				 0);
		assert_true(strlen(row->name) <= MAX_NAME);
		assert_true(*row->text);
		assert_true(row->min <= row->max);
	}
	/* The enum of a choice is in the row's order. */
	assert_int_equal(find_choice(rows[CONF_ID_xdp_mode].choices, "auto"), CONF_XDP_MODE_AUTO);
	assert_int_equal(find_choice(rows[CONF_ID_xdp_mode].choices, "native"),
			 CONF_XDP_MODE_NATIVE);
	assert_int_equal(find_choice(rows[CONF_ID_xdp_mode].choices, "generic"),
			 CONF_XDP_MODE_GENERIC);
}

static void good_values(void **state)
{
	struct conf c;

	(void)state;
	wr_conf_init(&c);
	assert_int_equal(wr_conf_set(&c, "ring_descs", "64", NULL), 0);
	assert_int_equal(c.ring_descs, 64);
	assert_int_equal(wr_conf_set(&c, "ring-descs", "8192", NULL), 0);
	assert_int_equal(c.ring_descs, 8192);
	assert_int_equal(wr_conf_set(&c, "xdp-mode", "generic", NULL), 0);
	assert_int_equal(c.xdp_mode, CONF_XDP_MODE_GENERIC);
	assert_int_equal(wr_conf_set(&c, "xdp_share", NULL, NULL), 0);
	assert_true(c.xdp_share);
	assert_int_equal(wr_conf_set(&c, "xdp_share", "off", NULL), 0);
	assert_false(c.xdp_share);
	assert_int_equal(wr_conf_set(&c, "socket", "/tmp/s", NULL), 0);
	assert_string_equal(c.socket, "/tmp/s");
	assert_int_equal(wr_conf_set(&c, "punt_carry_pps", "0", NULL), 0);
}

static void refused(const char *name, const char *value, int rc, const char *sentence)
{
	struct conf c, before;
	struct wr_err err = {""};

	wr_conf_init(&c);
	before = c;
	assert_int_equal(wr_conf_set(&c, name, value, &err), rc);
	assert_string_equal(err.text, sentence);
	assert_memory_equal(&c, &before, sizeof(c));
}

static void bad_values(void **state)
{
	char longer[CONF_STRING_BYTES + 1];

	(void)state;
	memset(longer, 'x', CONF_STRING_BYTES);
	longer[CONF_STRING_BYTES] = '\0';
	refused("ring_descs", "100", -EINVAL,
		"ring_descs: 100 is not a power of two; use 64..8192");
	refused("frame_bytes", "3000", -EINVAL,
		"frame_bytes: 3000 is not a power of two; use 2048..4096");
	refused("ring_descs", "16384", -EINVAL,
		"ring_descs: 16384 is out of range; use 64..8192 descriptors");
	refused("workers", "17", -EINVAL, "workers: 17 is out of range; use 0..16");
	refused("workers", "99999999999999999999", -EINVAL,
		"workers: 99999999999999999999 is out of range; use 0..16");
	refused("workers", "4294967297", -EINVAL, "workers: 4294967297 is out of range; use 0..16");
	refused("workers", "-1", -EINVAL, "workers: '-1' is not a number; use 0..16");
	refused("workers", "2x", -EINVAL, "workers: '2x' is not a number; use 0..16");
	refused("workers", "", -EINVAL, "workers: '' is not a number; use 0..16");
	refused("workers", NULL, -EINVAL, "workers: needs a value");
	refused("xdp_mode", "nat", -EINVAL, "xdp_mode: 'nat' is not one of auto|native|generic");
	refused("xdp_mode", "auto|native", -EINVAL,
		"xdp_mode: 'auto|native' is not one of auto|native|generic");
	refused("xdp_share", "maybe", -EINVAL,
		"xdp_share: 'maybe' is neither on nor off; use one of them");
	refused("socket", "", -EINVAL, "socket: must not be empty");
	refused("socket", longer, -EINVAL, "socket: longer than 107 bytes");
	refused("socket", "a\nb", -EINVAL, "socket: control characters are not allowed");
	refused("ring_desc", "64", -ENOENT,
		"no setting is named 'ring_desc'; did you mean 'ring_descs'?");
	refused("worker", "1", -ENOENT, "no setting is named 'worker'; did you mean 'workers'?");
	refused("zzz", "1", -ENOENT, "no setting is named 'zzz'; 'weir-router --help' lists them");
	refused("a_name_that_is_longer_than_any_setting", "1", -ENOENT,
		"no setting is named 'a_name_that_is_longer_than_any_setting'; "
		"'weir-router --help' lists them");
}

static void interfaces(void **state)
{
	struct wr_err err = {""};
	struct conf c;
	char name[16];

	(void)state;
	wr_conf_init(&c);
	assert_int_equal(wr_conf_add_interface(&c, "eth0", &err), 0);
	assert_int_equal(wr_conf_add_interface(&c, "eth0", &err), -EINVAL);
	assert_string_equal(err.text, "interface: eth0 is named twice");
	assert_int_equal(wr_conf_add_interface(&c, "", &err), -EINVAL);
	assert_int_equal(wr_conf_add_interface(&c, "..", &err), -EINVAL);
	assert_int_equal(wr_conf_add_interface(&c, "a/b", &err), -EINVAL);
	assert_int_equal(wr_conf_add_interface(&c, "a b", &err), -EINVAL);
	assert_int_equal(wr_conf_add_interface(&c, "sixteen-letters-", &err), -EINVAL);
	assert_int_equal(wr_conf_add_interface(&c, "fifteen-letters", &err), 0);
	for (int i = 2; i < WR_MAX_PORTS; i++) {
		snprintf(name, sizeof(name), "p%d", i);
		assert_int_equal(wr_conf_add_interface(&c, name, &err), 0);
	}
	assert_int_equal(wr_conf_add_interface(&c, "last", &err), -E2BIG);
	assert_string_equal(err.text, "interface: more than 64 interfaces");
	assert_int_equal(c.n_ports, WR_MAX_PORTS);
}

static void ports_of_any_kind(void **state)
{
	struct wr_err err = {""};
	char longest[PORT_SPEC_BYTES];
	struct conf c;
	int rc = 0;

	(void)state;
	wr_conf_init(&c);
	assert_int_equal(wr_conf_add_interface(&c, "eth0,mode=generic", &err), 0);
	assert_int_equal(wr_conf_add_interface(&c, "ring:x,dev=r0", &err), 0);
	assert_int_equal(wr_conf_add_interface(&c, "ring:x,dev=r1", &err), 0);
	assert_string_equal(wr_conf_port(&c, 0), "eth0,mode=generic");
	assert_string_equal(wr_conf_port(&c, 2), "ring:x,dev=r1");
	assert_int_equal(wr_conf_add_interface(&c, "af_xdp:eth0", &err), -EINVAL);
	assert_string_equal(err.text, "interface: eth0 is named twice");
	assert_int_equal(wr_conf_add_interface(&c, "ring:y,dev=r1", &err), -EINVAL);
	assert_string_equal(err.text, "interface: r1 would be the interface of two ports: use "
				      "another dev=");
	assert_int_equal(wr_conf_add_interface(&c, "ring:y,dev=eth0", &err), -EINVAL);
	assert_int_equal(wr_conf_add_interface(&c, "r0", &err), -EINVAL);
	assert_int_equal(wr_conf_add_interface(&c, "eth1,dev=x", &err), -EINVAL);
	assert_string_equal(err.text, "interface: 'eth1,dev=x': dev= is for ports that are no "
				      "interface yet");
	assert_int_equal(wr_conf_add_interface(&c, "eth1,eth2", &err), -EINVAL);
	assert_string_equal(err.text, "interface: 'eth1,eth2': name one interface at a time, "
				      "and repeat");
	assert_int_equal(wr_conf_add_interface(&c, "ring:y,descs=0", &err), -EINVAL);
	assert_string_equal(err.text, "interface: ring:y,descs=0: descs is 0: use a number from 1 "
				      "to 1048576");
	for (unsigned i = 0; !rc; i++) {
		memset(longest, 'a', sizeof(longest));
		memcpy(longest, "ring:", 5);
		longest[5] = (char)('a' + i);
		longest[sizeof(longest) - 1] = '\0';
		rc = wr_conf_add_interface(&c, longest, &err);
	}
	assert_int_equal(rc, -E2BIG);
	assert_string_equal(err.text, "interface: all of them together are longer than 1024");
	assert_int_equal(c.n_ports, 3 + 3);
}

static void a_file(void **state)
{
	struct wr_err err = {""};
	struct conf c;

	(void)state;
	wr_conf_init(&c);
	assert_int_equal(LOAD(&c,
			      "# a comment\n"
			      "\n"
			      "  workers\t 4   # four\r\n"
			      "xdp_share on\n"
			      "socket /tmp/a#b\n"
			      "interface eth0\n"
			      "interface eth1",
			      &err),
			 0);
	assert_int_equal(c.workers, 4);
	assert_true(c.xdp_share);
	assert_string_equal(c.socket, "/tmp/a#b");
	assert_int_equal(c.n_ports, 2);
	assert_string_equal(wr_conf_port(&c, 1), "eth1");
}

static void bad_line(const char *text, size_t n, const char *sentence)
{
	struct wr_err err = {""};
	struct conf c;

	wr_conf_init(&c);
	assert_true(load(&c, text, n, &err) < 0);
	assert_string_equal(err.text, sentence);
}

#define BAD_LINE(text, sentence) bad_line(text, sizeof(text) - 1, sentence)

static void bad_files(void **state)
{
	struct wr_err err = {""};
	struct conf c;
	char longer[LINE_BYTES + 1];

	(void)state;
	memset(longer, 'x', sizeof(longer));
	BAD_LINE("workers 1\n\nworkers 17\n", ":3: workers: 17 is out of range; use 0..16");
	BAD_LINE("worker 1\n", ":1: no setting is named 'worker'; did you mean 'workers'?");
	BAD_LINE("interfaces eth0\n",
		 ":1: no setting is named 'interfaces'; did you mean 'interface'?");
	BAD_LINE("workers\n", ":1: workers: needs a value");
	BAD_LINE("xdp_share # on\n", ":1: xdp_share: needs a value");
	BAD_LINE("workers 1 2\n", ":1: workers: '1 2' is not a number; use 0..16");
	BAD_LINE("interface\n", ":1: interface: needs the name of one");
	BAD_LINE("a\0b\nworkers 2\n", ":1: longer than 510 bytes, or not text");
	bad_line(longer, sizeof(longer), ":1: longer than 510 bytes, or not text");
	wr_conf_init(&c);
	assert_int_equal(wr_conf_load(&c, "/nonexistent", &err), -ENOENT);
	assert_string_equal(
		err.text, "/nonexistent: cannot read settings from it: No such file or directory");
	assert_int_equal(wr_conf_load(&c, "/", &err), -EISDIR);
	assert_int_equal(wr_conf_load(&c, "/dev/zero", &err), -EINVAL);
}

/* In whichever order they are read; but what the file says is checked all the same. */
static void command_line_beats_file(void **state)
{
	struct wr_err err = {""};
	struct conf c;

	(void)state;
	wr_conf_init(&c);
	assert_int_equal(wr_conf_set(&c, "workers", "3", &err), 0);
	assert_int_equal(wr_conf_add_interface(&c, "eth9", &err), 0);
	assert_int_equal(LOAD(&c, "workers 4\nring_descs 128\ninterface eth0\n", &err), 0);
	assert_int_equal(c.workers, 3);
	assert_int_equal(c.ring_descs, 128);
	assert_int_equal(c.n_ports, 1);
	assert_string_equal(wr_conf_port(&c, 0), "eth9");
	assert_int_equal(LOAD(&c, "workers 40\n", &err), -EINVAL);

	wr_conf_init(&c);
	assert_int_equal(LOAD(&c, "workers 4\ninterface eth0\ninterface eth1\n", &err), 0);
	assert_int_equal(wr_conf_set(&c, "workers", "3", &err), 0);
	assert_int_equal(wr_conf_add_interface(&c, "eth9", &err), 0);
	assert_int_equal(c.workers, 3);
	assert_int_equal(c.n_ports, 1);
	assert_string_equal(wr_conf_port(&c, 0), "eth9");
}

static void see_item(void *arg, const struct conf_item *item)
{
	unsigned *n = arg;

	(*n)++;
	if (!strcmp(item->name, "ring_descs")) {
		assert_string_equal(item->value, "64");
		assert_string_equal(item->fallback, "2048");
		assert_string_equal(item->range, "64..8192");
		assert_string_equal(item->unit, "descriptors");
		assert_int_equal(item->origin, CONF_FROM_COMMAND_LINE);
	}
	if (!strcmp(item->name, "xdp_mode")) {
		assert_string_equal(item->value, "native");
		assert_string_equal(item->fallback, "auto");
		assert_string_equal(item->range, "auto|native|generic");
		assert_int_equal(item->origin, CONF_FROM_FILE);
	}
	if (!strcmp(item->name, "xdp_share")) {
		assert_string_equal(item->value, "off");
		assert_int_equal(item->origin, CONF_FROM_DEFAULT);
	}
}

static void printing(void **state)
{
	struct wr_err err = {""};
	unsigned n = 0;
	struct conf c;

	(void)state;
	wr_conf_init(&c);
	assert_int_equal(LOAD(&c, "xdp_mode native\n", &err), 0);
	assert_int_equal(wr_conf_set(&c, "ring_descs", "64", &err), 0);
	wr_conf_each(&c, see_item, &n);
	assert_int_equal(n, CONF_N);
}

/* What a main does with its arguments. */
static void options(void **state)
{
	char *argv[] = {(char[]){"x"},
			(char[]){"--ring-descs"},
			(char[]){"128"},
			(char[]){"--xdp-share"},
			(char[]){"--xdp-mode=native"},
			(char[]){"--bypass-netfilter=off"},
			NULL};
	struct conf_options o;
	struct conf c;
	int opt;

	(void)state;
	wr_conf_init(&c);
	wr_conf_options(&o, 1000);
	optind = 0;
	while ((opt = getopt_long(6, argv, "", o.rows, NULL)) != -1) {
		assert_in_range(opt, 1000, 1000 + CONF_N - 1);
		assert_int_equal(wr_conf_set(&c, o.rows[opt - 1000].name, optarg, NULL), 0);
	}
	assert_int_equal(c.ring_descs, 128);
	assert_true(c.xdp_share);
	assert_int_equal(c.xdp_mode, CONF_XDP_MODE_NATIVE);
	assert_false(c.bypass_netfilter);
	assert_int_equal(c.origins[CONF_ID_bypass_netfilter], CONF_FROM_COMMAND_LINE);
	assert_int_equal(c.origins[CONF_ID_workers], CONF_FROM_DEFAULT);
}

static void help(void **state)
{
	char *text = NULL;
	size_t n = 0;
	FILE *file = open_memstream(&text, &n);

	(void)state;
	wr_conf_print_options(file);
	fclose(file);
	assert_non_null(strstr(text, "  --workers 0..16\n          data-plane threads;"));
	assert_non_null(strstr(text, "(default: 0)\n"));
	assert_non_null(strstr(text, "  --xdp-share[=on|off]\n"));
	assert_non_null(strstr(text, "  --socket TEXT\n"));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults),    cmocka_unit_test(rows_are_sound),
		cmocka_unit_test(good_values), cmocka_unit_test(bad_values),
		cmocka_unit_test(interfaces),  cmocka_unit_test(a_file),
		cmocka_unit_test(bad_files),   cmocka_unit_test(command_line_beats_file),
		cmocka_unit_test(printing),    cmocka_unit_test(options),
		cmocka_unit_test(help),        cmocka_unit_test(ports_of_any_kind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
