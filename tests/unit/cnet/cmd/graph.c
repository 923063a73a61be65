/* SPDX-License-Identifier: BSD-3-Clause */
#include "cnet/cmd/graph.c"

#include "tests/unit/cnet/cmd/fixture.h"

/* What entered a node is what left by the edges to it; of the first node, what left it. */
static void counts(void **state)
{
	json_t *json;

	fake.edges[0] = 100;
	fake.edges[1] = 20;
	fake.edges[2] = 3;
	fake.edges[3] = 15;
	fake.edges[4] = 5;
	fake.vectors[0] = 10;
	json = run_json(*state, wr_cmd_graph_show, NULL, NULL, NULL);
	assert_int_equal(json_array_size(json), 3);
	assert_string_equal(STR(json_array_get(json, 0), "node"), "first");
	assert_int_equal(NUM(json_array_get(json, 0), "packets"), 123);
	assert_int_equal(NUM(json_array_get(json, 0), "vectors"), 10);
	assert_float_equal(
		json_real_value(json_object_get(json_array_get(json, 0), "pkts_per_vector")), 12.3,
		0.01);
	assert_int_equal(NUM(json_array_get(json, 1), "packets"), 20);
	assert_int_equal(NUM(json_array_get(json, 2), "packets"), 100 + 3 + 15 + 5);
	json_decref(json);
}

static void edges(void **state)
{
	json_t *json, *row;

	fake.edges[1] = 20;
	json = run_json(*state, wr_cmd_graph_show, NULL, NULL, NULL);
	row = ROW(json_array_get(json, 0), "edges", 1);
	assert_string_equal(STR(row, "name"), "why");
	assert_string_equal(STR(row, "kind"), "punt");
	assert_string_equal(STR(row, "target"), "middle");
	assert_int_equal(NUM(row, "packets"), 20);
	assert_int_equal(json_array_size(json_object_get(json_array_get(json, 2), "edges")), 0);
	json_decref(json);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(counts, setup, teardown),
		cmocka_unit_test_setup_teardown(edges, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
