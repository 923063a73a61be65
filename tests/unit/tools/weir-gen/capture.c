/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/weir-gen/capture.c"

#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

struct file {
	char path[32];
	pcap_t *pcap;
	pcap_dumper_t *dumper;
};

/* A capture with nanoseconds, by libpcap. */
static void begin(struct file *f, int link)
{
	snprintf(f->path, sizeof(f->path), "/tmp/weir-gen.XXXXXX");
	close(mkstemp(f->path));
	f->pcap = pcap_open_dead_with_tstamp_precision(link, 65536, PCAP_TSTAMP_PRECISION_NANO);
	f->dumper = pcap_dump_open(f->pcap, f->path);
	assert_non_null(f->dumper);
}

static void put(struct file *f, uint64_t at_ns, uint32_t caplen, uint32_t len)
{
	static uint8_t bytes[65536];
	const struct pcap_pkthdr header = {
		.ts = {.tv_sec = (time_t)(at_ns / WR_NS_PER_S),
		       .tv_usec = (suseconds_t)(at_ns % WR_NS_PER_S)},
		.caplen = caplen,
		.len = len,
	};

	memset(bytes, (int)len, caplen);
	pcap_dump((u_char *)f->dumper, &header, bytes);
}

static int end(struct file *f, struct capture *ret_capture, struct wr_err *err)
{
	int rc;

	pcap_dump_close(f->dumper);
	pcap_close(f->pcap);
	rc = wr_capture_read(f->path, ret_capture, err);
	unlink(f->path);
	return rc;
}

static void frames_and_times_are_read(void **state)
{
	const uint64_t t = 1700000000 * WR_NS_PER_S + 999999999;
	struct capture c;
	struct file f;

	(void)state;
	begin(&f, DLT_EN10MB);
	put(&f, t, 60, 60);
	put(&f, t + 1, 40, 61); /* cut */
	put(&f, t + 2, 62, 62);
	put(&f, t - 5, 63, 63); /* out of order: with the one before it */
	for (unsigned i = 0; i < 5000; i++)
		put(&f, t + 10 + i, 1000, 1000);
	assert_int_equal(end(&f, &c, NULL), 0);
	assert_int_equal(c.n_frames, 5003);
	assert_int_equal(c.n_cut, 1);
	assert_int_equal(c.frames[0].at_ns, 0);
	assert_int_equal(c.frames[1].at_ns, 2);
	assert_int_equal(c.frames[2].at_ns, 2);
	assert_int_equal(c.frames[3].at_ns, 10);
	assert_int_equal(c.frames[2].len, 63);
	for (unsigned i = 0; i < c.n_frames; i++)
		for (unsigned k = 0; k < c.frames[i].len; k++)
			assert_int_equal(c.bytes[c.frames[i].offset + k], (uint8_t)c.frames[i].len);
	wr_capture_fini(&c);
}

static void refused(struct file *f, int code, const char *why)
{
	struct wr_err err = {""};
	struct capture c;

	assert_int_equal(end(f, &c, &err), code);
	assert_non_null(strstr(err.text, why));
}

static void what_cannot_be_replayed_is_refused(void **state)
{
	struct wr_err err = {""};
	struct capture c;
	struct file f;

	(void)state;
	begin(&f, DLT_RAW);
	refused(&f, -EINVAL, "link type RAW: only captures of Ethernet can be replayed");
	begin(&f, DLT_EN10MB);
	put(&f, 1, 10, 20);
	refused(&f, -ENODATA, "no frame that is whole in it (1 cut)");
	assert_int_equal(wr_capture_read("/nonexistent/x.pcap", &c, &err), -EINVAL);
	assert_non_null(strstr(err.text, "No such file"));
	assert_int_equal(wr_capture_read("/dev/null", &c, &err), -EINVAL);
	assert_non_null(strstr(err.text, "/dev/null: not a capture that can be read"));
}

static void a_capture_that_breaks_off_is_refused(void **state)
{
	struct wr_err err = {""};
	struct capture c;
	struct file f;

	(void)state;
	begin(&f, DLT_EN10MB);
	put(&f, 1, 60, 60);
	put(&f, 2, 60, 60);
	pcap_dump_close(f.dumper);
	pcap_close(f.pcap);
	assert_int_equal(truncate(f.path, 24 + 2 * (16 + 60) - 10), 0);
	assert_int_equal(wr_capture_read(f.path, &c, &err), -EINVAL);
	assert_non_null(strstr(err.text, "frame 2 cannot be read"));
	unlink(f.path);
}

int main(void)
{
#define TEST(name) cmocka_unit_test(name)
	const struct CMUnitTest tests[] = {
		TEST(frames_and_times_are_read),
		TEST(what_cannot_be_replayed_is_refused),
		TEST(a_capture_that_breaks_off_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
