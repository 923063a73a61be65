/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/weir/print.c"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void shows_in(unsigned width, const char *json, const char *expected)
{
	char *text = NULL;
	size_t n = 0;
	FILE *file = open_memstream(&text, &n);

	assert_int_equal(print_for_people(file, json, strlen(json), width), 0);
	fclose(file);
	assert_string_equal(text, expected);
	free(text);
}

static void shows(const char *json, const char *expected)
{
	shows_in(100, json, expected);
}

static void tables(void **state)
{
	(void)state;
	shows("[]", "");
	/* Text to the left, numbers to the right, no blanks at the end of a line. */
	shows("[{\"dev\":\"a\",\"n\":1,\"on\":true},{\"dev\":\"longer\",\"n\":1000,\"on\":false}]",
	      "dev        n  on\n"
	      "a          1  yes\n"
	      "longer  1000  no\n");
	/* Empty cells, at the end too; lists of words; a column without anything is left out. */
	shows("[{\"a\":\"\",\"f\":[\"X\",\"Y\"],\"why\":\"\",\"z\":[]},{\"a\":\"b\",\"f\":[],\"why\":\"so\"}]",
	      "a  f    why\n"
	      "   X,Y\n"
	      "b       so\n");
	/* Rows of different keys are merged in their order. */
	shows("[{\"dst\":1,\"dev\":2},{\"type\":3,\"dst\":4,\"via\":5,\"dev\":6}]",
	      "type  dst  via  dev\n"
	      "        1         2\n"
	      "   3    4    5    6\n");
	/* One sign of several bytes is one column. */
	shows("[{\"a\":\"\xc3\xa9\",\"b\":1},{\"a\":\"xx\",\"b\":2}]",
	      "a   b\n\xc3\xa9   1\nxx  2\n");
}

static void wide_tables(void **state)
{
	static const char rows[] =
		"[{\"name\":\"eth0\",\"zero\":0,\"some_counter\":5,\"none\":0,"
		"\"another_counter\":77,\"a_third_counter\":0,\"mode\":\"native zero-copy\","
		"\"last_counter\":1234567},"
		"{\"name\":\"eth1\",\"a_third_counter\":3,\"mode\":\"generic\",\"last_counter\":0}]";
	static const char sentence[] =
		"a sentence that is longer than the line, which has sixty columns";
	char json[256], lines[256];

	(void)state;
	/* Columns of zeros go, the last of them first; then the last columns are folded. */
	shows_in(95, rows,
		 "name  zero  some_counter  another_counter  a_third_counter  mode              "
		 "last_counter\n"
		 "eth0     0             5               77                0  native zero-copy  "
		 "     1234567\n"
		 "eth1                                                     3  generic           "
		 "           0\n");
	shows_in(60, rows,
		 "name  some_counter  another_counter  a_third_counter\n"
		 "eth0             5               77                0\n"
		 "      mode native zero-copy  last_counter 1234567\n"
		 "eth1                                               3\n"
		 "      mode generic\n");
	/* A sentence at the end runs on if it begins early, or is the exception. */
	snprintf(json, sizeof(json), "[{\"a\":1,\"why\":\"%s\"}]", sentence);
	snprintf(lines, sizeof(lines), "a  why\n1  %s\n", sentence);
	shows_in(60, json, lines);
	snprintf(json, sizeof(json), "[{\"a\":\"%050d\",\"why\":\"%s\"},{\"a\":\"1\"}]", 7,
		 sentence);
	snprintf(lines, sizeof(lines), "%-52swhy\n%050d  %s\n1\n", "a", 7, sentence);
	shows_in(60, json, lines);
	snprintf(json, sizeof(json), "[{\"a\":\"%050d\",\"why\":\"%s\"}]", 7, sentence);
	snprintf(lines, sizeof(lines), "a\n%050d\n      why %s\n", 7, sentence);
	shows_in(60, json, lines);
}

static void times(void **state)
{
	(void)state;
	shows("{\"uptime_s\":59,\"last_sync_ns\":1500000}",
	      "uptime:       59 s\nlast_sync:    1.5 ms\n");
	shows("{\"a_s\":3599,\"b_s\":86399,\"c_s\":176400}",
	      "a:   59 min 59 s\nb:   23 h 59 min\nc:   2 d 1 h\n");
}

static void nested_in_rows(void **state)
{
	(void)state;
	shows("[{\"dst\":\"x\",\"nexthops\":[{\"dev\":\"a\",\"w\":1},{\"dev\":\"bbb\",\"w\":0}]},{\"dst\":\"y\"}]",
	      "dst\n"
	      "x\n"
	      "    nexthops  dev a    w 1\n"
	      "    nexthops  dev bbb  w 0\n"
	      "y\n");
	/* Of an object the zeros are left out. */
	shows("[{\"n\":\"p\",\"facts\":{\"a\":0,\"b\":5,\"c\":\"t\"},\"none\":{\"z\":0}}]",
	      "n\np\n    facts  b 5  c t\n");
}

static void objects(void **state)
{
	(void)state;
	shows("{\"summary\":\"all well\",\"n\":3,\"empty\":\"\",\"list\":[],\"rows\":[{\"a\":1}],"
	      "\"in\":{\"x\":-1}}",
	      "summary: all well\n"
	      "n:       3\n"
	      "list:    none\n"
	      "rows:\n"
	      "    a\n"
	      "    1\n"
	      "in:\n"
	      "    x: -1\n");
	shows("null", "");
	shows("\"text\"", "text\n");
}

static void not_json(void **state)
{
	static const char *const texts[] = {"", "{", "[", "[1", "[1,", "[1 2]", "[{\"a\":1},]",
					    "x"};
	FILE *file = fopen("/dev/null", "w");

	(void)state;
	assert_non_null(file);
	for (size_t i = 0; i < wr_array_size(texts); i++)
		assert_int_equal(print_for_people(file, texts[i], strlen(texts[i]), 100), -1);
	assert_int_equal(print_pretty(file, "[1", 2), -1);
	assert_int_equal(print_pretty(file, "[1]", 3), 0);
	fclose(file);
}

/* Longer than any buffer, deeper and wider than what is shown. */
static void extremes(void **state)
{
	json_t *deep = json_object(), *wide = json_object(), *list = json_array();
	FILE *file = fopen("/dev/null", "w");
	static char longer[5000];
	char key[16];
	char *text;

	(void)state;
	memset(longer, 'x', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	for (int i = 0; i < 100; i++) {
		json_t *outer = json_object();

		json_object_set_new(outer, "in", deep);
		deep = outer;
		snprintf(key, sizeof(key), "k%d", i);
		json_object_set_new(wide, key, json_integer(i));
	}
	json_object_set_new(wide, longer, json_string(longer));
	json_object_set_new(wide, "text", json_string(longer));
	json_object_set_new(wide, "deep", deep);
	json_array_append_new(list, wide);
	json_array_append_new(list, json_integer(1));
	json_array_append_new(list, json_object());
	text = json_dumps(list, 0);
	assert_int_equal(print_for_people(file, text, strlen(text), 100), 0);
	free(text);
	text = json_dumps(wide, 0);
	assert_int_equal(print_for_people(file, text, strlen(text), 100), 0);
	free(text);
	json_decref(list);
	fclose(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tables),   cmocka_unit_test(wide_tables),
		cmocka_unit_test(times),    cmocka_unit_test(nested_in_rows),
		cmocka_unit_test(objects),  cmocka_unit_test(not_json),
		cmocka_unit_test(extremes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
