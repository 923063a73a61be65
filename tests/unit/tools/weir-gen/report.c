/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/weir-gen/report.c"

#include "tools/weir-gen/histogram.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void numbers_have_units_that_fit(void **state)
{
	static const struct {
		enum report_kind kind;
		double number;
		const char *text;
	} cases[] = {
		{REPORT_PACKETS, 14880952, "14880952"},
		{REPORT_BYTES, 0, "0.00 B"},
		{REPORT_BYTES, 36030000, "36.03 MB"},
		{REPORT_BITS_PER_S, 999.9, "999.9 bit/s"},
		{REPORT_BITS_PER_S, 999.96, "1.00 kbit/s"},
		{REPORT_BITS_PER_S, 1.488e9, "1.49 Gbit/s"},
		{REPORT_PACKETS_PER_S, 0.5, "0.50 packets/s"},
		{REPORT_PACKETS_PER_S, 14880952.4, "14880952 packets/s"},
		{REPORT_NS, 119, "119 ns"},
		{REPORT_NS, 5230, "5.23 us"},
		{REPORT_NS, 1790000, "1.79 ms"},
		{REPORT_NS, 4.2e9, "4.20 s"},
		{REPORT_SECONDS, 10, "10.000 s"},
		{REPORT_PERCENT, 0.0125, "0.0125 %"},
	};

	(void)state;
	for (size_t i = 0; i < wr_array_size(cases); i++) {
		const struct report_row row = {.kind = cases[i].kind, .number = cases[i].number};
		char text[REPORT_VALUE_BYTES];

		wr_report_value(&row, text);
		assert_string_equal(text, cases[i].text);
	}
}

static struct report *sample(void)
{
	struct report *report = calloc(1, sizeof(*report));

	assert_non_null(report);
	wr_report_word(report, "run", "port", "port", "ring:a");
	wr_report_number(report, "sent", "packets", "packets", REPORT_PACKETS, 9007199254740991);
	wr_report_number(report, "latency", "min_ns", "the least", REPORT_NS, 119.5);
	wr_report_number(report, "latency", "share_percent", "x", REPORT_PERCENT, 0.5);
	wr_hist_init(&report->latency_ns);
	wr_hist_add(&report->latency_ns, 3);
	wr_hist_add(&report->latency_ns, 1000);
	wr_hist_add(&report->latency_ns, 1001);
	report->has_latency = true;
	return report;
}

static void shows(int (*print)(const struct report *, FILE *), const char *expected)
{
	struct report *report = sample();
	char *text = NULL;
	size_t n = 0;
	FILE *file = open_memstream(&text, &n);

	assert_int_equal(print(report, file), 0);
	fclose(file);
	assert_string_equal(text, expected);
	free(text);
	free(report);
}

static void people_get_lines(void **state)
{
	(void)state;
	shows(wr_report_print, "run:\n"
			       "  port       ring:a\n"
			       "sent:\n"
			       "  packets    9007199254740991\n"
			       "latency:\n"
			       "  the least  120 ns\n"
			       "  x          0.5000 %\n");
}

static void programs_get_json(void **state)
{
	(void)state;
	shows(wr_report_print_json,
	      "{\"run\":{\"port\":\"ring:a\"},\"sent\":{\"packets\":9007199254740991},"
	      "\"latency\":{\"min_ns\":120,\"share_percent\":0.5,\"buckets\":["
	      "{\"from_ns\":3,\"to_ns\":3,\"packets\":1},"
	      "{\"from_ns\":1000,\"to_ns\":1007,\"packets\":2}]}}\n");
}

static void a_full_disk_is_an_error(void **state)
{
	struct report *report = sample();
	FILE *file = fopen("/dev/full", "w");

	(void)state;
	assert_non_null(file);
	assert_int_equal(wr_report_print(report, file), -EIO);
	(void)!freopen("/dev/full", "w", file);
	assert_int_equal(wr_report_print_json(report, file), -EIO);
	fclose(file);
	free(report);
}

int main(void)
{
#define TEST(name) cmocka_unit_test(name)
	const struct CMUnitTest tests[] = {
		TEST(numbers_have_units_that_fit),
		TEST(people_get_lines),
		TEST(programs_get_json),
		TEST(a_full_disk_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
