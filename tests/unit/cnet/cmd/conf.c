/* SPDX-License-Identifier: BSD-3-Clause */
#include "cnet/cmd/conf.c"

#include "tests/unit/cnet/cmd/fixture.h"

static const json_t *find(const json_t *json, const char *name)
{
	const json_t *row;
	size_t i;

	json_array_foreach(json, i, row) if (!strcmp(STR(row, "name"), name)) return row;
	return NULL;
}

static void listing(void **state)
{
	struct fixture *f = *state;
	const json_t *row;
	json_t *json;

	assert_int_equal(wr_conf_set(&f->weir.conf, "workers", "3", NULL), 0);
	json = run_json(f, wr_cmd_conf_show, NULL, NULL, NULL);
	assert_int_equal(json_array_size(json), CONF_N);
	row = find(json, "workers");
	assert_int_equal(NUM(row, "value"), 3);
	assert_string_equal(STR(row, "from"), "command line");
	assert_string_equal(STR(row, "default"), "0");
	assert_string_equal(STR(row, "range"), "0..16");
	assert_string_equal(STR(row, "unit"), "");
	assert_string_equal(STR(find(json, "xdp_mode"), "value"), "auto");
	assert_string_equal(STR(find(json, "xdp_mode"), "from"), "default");
	assert_string_equal(STR(find(json, "xdp_share"), "value"), "off");
	json_decref(json);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(listing, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
