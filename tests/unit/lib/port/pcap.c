/* SPDX-License-Identifier: BSD-3-Clause */
#include "lib/port/pcap.c"

#include <dirent.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include <cmocka.h>

enum { N_FRAMES = 4096, FRAME_BYTES = 2048, MAX_BYTES = WR_MAX_SEGS * FRAME_BYTES };

struct fixture {
	struct umem *umem;
	struct pool pool;
	struct port *port; /* NULL: closed */
	struct port_queue *q;
	unsigned n_fds;
	char dir[64];
};

static unsigned count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static int setup(void **state)
{
	const struct umem_conf conf = {.n_frames = N_FRAMES, .frame_bytes = FRAME_BYTES};
	struct fixture *f = calloc(1, sizeof(*f));

	*state = f;
	if (!f || wr_umem_create(&conf, &f->umem, NULL))
		return -1;
	wr_pool_init(&f->pool, f->umem);
	snprintf(f->dir, sizeof(f->dir), "/tmp/weir-pcap-XXXXXX");
	if (!mkdtemp(f->dir))
		return -1;
	f->n_fds = count_fds();
	return 0;
}

static void close_port(struct fixture *f)
{
	if (f->port)
		f->port->ops->close(f->port);
	f->port = NULL;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char command[100];
	bool is_whole;

	close_port(f);
	wr_pool_fini(&f->pool);
	is_whole = wr_umem_audit(f->umem) == N_FRAMES && count_fds() == f->n_fds;
	wr_umem_free(f->umem);
	snprintf(command, sizeof(command), "rm -rf %s", f->dir);
	is_whole &= !system(command);
	free(f);
	return is_whole ? 0 : -1;
}

/* "%s" in the string stands for the test's directory; at most three. */
static int try_open(struct fixture *f, const char *text, struct wr_err *err)
{
	char spec[300];
	struct port_args args;
	const char *rest = text, *dir;
	size_t n = 0;
	int rc;

	for (; (dir = strstr(rest, "%s")); rest = dir + 2)
		n += (size_t)snprintf(spec + n, sizeof(spec) - n, "%.*s%s", (int)(dir - rest), rest,
				      f->dir);
	snprintf(spec + n, sizeof(spec) - n, "%s", rest);
	rc = wr_port_parse(spec, &args, err);
	return rc ? rc : wr_port_open(f->umem, &args, &f->port, err);
}

static void open_port(struct fixture *f, const char *text)
{
	struct wr_err err = {""};

	if (try_open(f, text, &err))
		fail_msg("%s", err.text);
	f->port->port_idx = 5;
	f->q = f->port->queues[0];
	f->q->pool = &f->pool;
	assert_int_equal(f->port->ops->start(f->q), 0);
}

static const char *path_of(const struct fixture *f, const char *name)
{
	static char path[120];

	snprintf(path, sizeof(path), "%s/%s", f->dir, name);
	return path;
}

static struct {
	uint64_t eof, n_read, n_written, write_errno;
} facts;

static void take_fact(void *arg, const char *name, uint64_t value)
{
	(void)arg;
	if (!strcmp(name, "eof"))
		facts.eof = value;
	else if (!strcmp(name, "n_read"))
		facts.n_read = value;
	else if (!strcmp(name, "n_written"))
		facts.n_written = value;
	else if (!strcmp(name, "write_errno"))
		facts.write_errno = value;
	else
		fail_msg("fact %s", name);
}

static void look_at_facts(struct fixture *f)
{
	f->port->ops->facts(f->port, take_fact, NULL);
}

/* --- captures made by libpcap itself ---------------------------------------------------------- */

static const uint8_t *pattern(unsigned number, size_t n)
{
	static uint8_t bytes[MAX_BYTES + 100];

	for (size_t i = 0; i < n; i++)
		bytes[i] = (uint8_t)(number + i * 7);
	return bytes;
}

struct record {
	uint32_t caplen, len;
};

static void make_capture(const char *path, int link_type, const struct record *records, unsigned n)
{
	pcap_t *form =
		pcap_open_dead_with_tstamp_precision(link_type, 262144, PCAP_TSTAMP_PRECISION_NANO);
	pcap_dumper_t *dumper = pcap_dump_open(form, path);

	assert_non_null(dumper);
	for (unsigned i = 0; i < n; i++) {
		const struct pcap_pkthdr hdr = {.ts = {1700000000 + i, 999999999},
						.caplen = records[i].caplen,
						.len = records[i].len};

		pcap_dump((u_char *)dumper, &hdr, pattern(i, records[i].caplen));
	}
	pcap_dump_close(dumper);
	pcap_close(form);
}

static void make_plain(const struct fixture *f, const char *name, unsigned n)
{
	struct record records[300];

	for (unsigned i = 0; i < n; i++)
		records[i] = (struct record){60 + i, 60 + i};
	make_capture(path_of(f, name), DLT_EN10MB, records, n);
}

/* Receives all there is; the packets must be make_plain()'s, from the first. Returns how many. */
static unsigned receive_plain(struct fixture *f)
{
	static uint8_t got[MAX_BYTES];
	struct packet *pkts[7];
	unsigned n, n_all = 0;

	while ((n = wr_port_rx(f->q, pkts, 7)))
		for (unsigned i = 0; i < n; i++, n_all++) {
			assert_int_equal(pkts[i]->len, 60 + n_all);
			assert_int_equal(pkts[i]->rx_port, 5);
			assert_int_equal(pkts[i]->flags, 0);
			wr_packet_copy_out(pkts[i], got, sizeof(got));
			assert_memory_equal(got, pattern(n_all, 60 + n_all), 60 + n_all);
			wr_packet_free(&f->pool, pkts[i]);
		}
	return n_all;
}

/* --- IN --------------------------------------------------------------------------------------- */

static void a_capture_is_read_to_its_end(void **state)
{
	struct fixture *f = *state;
	struct packet *pkt;

	make_plain(f, "in.pcap", 100);
	open_port(f, "pcap:%s/in.pcap");
	assert_string_equal(f->port->name, "in.pcap");
	assert_int_equal(f->port->ops->fd(f->q), -1);
	assert_true(f->port->ops->arm(f->q));
	look_at_facts(f);
	assert_int_equal(facts.eof, 0);
	assert_int_equal(receive_plain(f), 100);
	assert_false(f->port->ops->arm(f->q));
	assert_int_equal(wr_port_rx(f->q, &pkt, 1), 0);
	look_at_facts(f);
	assert_int_equal(facts.eof, 1);
	assert_int_equal(facts.n_read, 100);
	assert_int_equal(f->q->counters.rx_pkts, 100);
	assert_int_equal(f->q->counters.rx_bytes, 100 * 60 + 99 * 50);
	assert_int_equal(f->q->counters.rx_bad, 0);
}

static void the_last_packet_keeps_its_worker_awake(void **state)
{
	struct fixture *f = *state;
	struct packet *pkt;

	make_plain(f, "in.pcap", 2);
	open_port(f, "pcap:%s/in.pcap");
	assert_int_equal(wr_port_rx(f->q, &pkt, 1), 1);
	wr_packet_free(&f->pool, pkt);
	assert_true(f->port->ops->arm(f->q));
	assert_int_equal(wr_port_rx(f->q, &pkt, 1), 1);
	wr_packet_free(&f->pool, pkt);
	assert_false(f->port->ops->arm(f->q));
}

static void an_empty_capture_is_at_its_end(void **state)
{
	struct fixture *f = *state;

	make_plain(f, "in.pcap", 0);
	open_port(f, "pcap:%s/in.pcap,loop=0"); /* and is not read for ever */
	assert_false(f->port->ops->arm(f->q));
	assert_int_equal(receive_plain(f), 0);
}

static void frames_of_many_segments(void **state)
{
	static const uint32_t sizes[] = {1, 2048, 2049, 9014, MAX_BYTES};
	struct fixture *f = *state;
	static uint8_t got[MAX_BYTES];
	struct record records[wr_array_size(sizes)];
	struct packet *pkt;

	for (unsigned i = 0; i < wr_array_size(sizes); i++)
		records[i] = (struct record){sizes[i], sizes[i]};
	make_capture(path_of(f, "in.pcap"), DLT_EN10MB, records, wr_array_size(sizes));
	open_port(f, "pcap:%s/in.pcap");
	for (unsigned i = 0; i < wr_array_size(sizes); i++) {
		assert_int_equal(wr_port_rx(f->q, &pkt, 1), 1);
		assert_int_equal(pkt->n_segs, (sizes[i] + 2047) / 2048);
		assert_int_equal(wr_packet_copy_out(pkt, got, sizeof(got)), sizes[i]);
		assert_memory_equal(got, pattern(i, sizes[i]), sizes[i]);
		wr_packet_free(&f->pool, pkt);
	}
}

static void what_is_no_whole_frame_is_counted(void **state)
{
	static const struct record records[] = {
		{60, 60}, {96, 1500}, {0, 0}, {MAX_BYTES + 1, MAX_BYTES + 1}, {64, 64}, {64, 63},
	};
	struct fixture *f = *state;
	struct packet *pkts[10];

	make_capture(path_of(f, "in.pcap"), DLT_EN10MB, records, wr_array_size(records));
	open_port(f, "pcap:%s/in.pcap");
	assert_int_equal(wr_port_rx(f->q, pkts, 10), 2);
	assert_int_equal(pkts[0]->len, 60);
	assert_int_equal(pkts[1]->len, 64);
	wr_packet_free(&f->pool, pkts[0]);
	wr_packet_free(&f->pool, pkts[1]);
	assert_int_equal(f->q->counters.rx_bad, 4);
	look_at_facts(f);
	assert_int_equal(facts.n_read, 6);
}

static void a_file_cut_short_ends_there(void **state)
{
	static const char *const loops[] = {"pcap:%s/in.pcap", "pcap:%s/in.pcap,loop=0"};
	struct fixture *f = *state;

	make_plain(f, "in.pcap", 3);
	assert_int_equal(truncate(path_of(f, "in.pcap"), 24 + (16 + 60) + (16 + 61) + 20), 0);
	for (unsigned i = 0; i < 2; i++) {
		open_port(f, loops[i]);
		assert_int_equal(receive_plain(f), 2);
		assert_int_equal(f->q->counters.rx_bad, 1);
		assert_false(f->port->ops->arm(f->q));
		close_port(f);
	}
	assert_int_equal(truncate(path_of(f, "in.pcap"), 30), 0);
	open_port(f, "pcap:%s/in.pcap");
	assert_int_equal(receive_plain(f), 0);
	assert_int_equal(f->q->counters.rx_bad, 1);
}

static void it_is_read_as_often_as_asked(void **state)
{
	struct fixture *f = *state;
	struct packet *pkts[10];
	unsigned n = 0;

	make_plain(f, "in.pcap", 3);
	open_port(f, "pcap:%s/in.pcap,loop=4");
	for (unsigned got; (got = wr_port_rx(f->q, pkts, 10)); n += got)
		for (unsigned i = 0; i < got; i++) {
			assert_int_equal(pkts[i]->len, 60 + (n + i) % 3);
			wr_packet_free(&f->pool, pkts[i]);
		}
	assert_int_equal(n, 12);
	close_port(f);
	open_port(f, "pcap:%s/in.pcap,loop=0");
	for (n = 0; n < 100000; n++) {
		assert_int_equal(wr_port_rx(f->q, pkts, 1), 1);
		wr_packet_free(&f->pool, pkts[0]);
	}
	assert_true(f->port->ops->arm(f->q));
	assert_int_equal(unlink(path_of(f, "in.pcap")), 0); /* then the pass is the last */
	for (n = 0; wr_port_rx(f->q, pkts, 1); n++)
		wr_packet_free(&f->pool, pkts[0]);
	assert_true(n < 3);
	assert_int_equal(f->q->counters.rx_bad, 1);
}

/* A pcapng with an Ethernet interface and one packet of 60 bytes. */
static void pcapng_is_read(void **state)
{
	static const uint32_t head[] = {0x0a0d0d0a, 28, 0x1a2b3c4d, 1, ~0U, ~0U, 28, /* section */
					1,          20, 1,          0, 20,           /* interface */
					6,          92, 0,          0, 0,   60,  60}; /* packet */
	static const uint32_t tail = 92;
	struct fixture *f = *state;
	FILE *file = fopen(path_of(f, "in.pcapng"), "wb");

	assert_non_null(file);
	assert_int_equal(fwrite(head, sizeof(head), 1, file), 1);
	assert_int_equal(fwrite(pattern(0, 60), 60, 1, file), 1);
	assert_int_equal(fwrite(&tail, sizeof(tail), 1, file), 1);
	fclose(file);
	open_port(f, "pcap:%s/in.pcapng");
	assert_int_equal(receive_plain(f), 1);
}

static void without_frames_packets_wait(void **state)
{
	static struct packet *all[N_FRAMES];
	struct fixture *f = *state;
	struct packet *pkt;
	unsigned n = wr_pool_get(&f->pool, all, N_FRAMES);

	assert_int_equal(n, N_FRAMES);
	make_plain(f, "in.pcap", 5);
	open_port(f, "pcap:%s/in.pcap");
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(wr_port_rx(f->q, &pkt, 1), 0);
	assert_int_equal(f->q->counters.rx_no_frames, 1);
	assert_true(f->port->ops->arm(f->q));
	while (n)
		wr_packet_free(&f->pool, all[--n]);
	assert_int_equal(receive_plain(f), 5);
	assert_int_equal(f->q->counters.rx_bad, 0);
}

/* --- OUT -------------------------------------------------------------------------------------- */

static void transmit(struct fixture *f, unsigned number, size_t n)
{
	struct packet *pkt = wr_packet_from(&f->pool, pattern(number, n), n);

	assert_non_null(pkt);
	wr_port_tx(f->q, &pkt, 1);
}

/* Reads OUT with libpcap: packets are pattern(0), pattern(1) ... Returns how many. */
static unsigned check_out(const struct fixture *f, const char *name)
{
	char why[PCAP_ERRBUF_SIZE];
	pcap_t *pcap = pcap_open_offline(path_of(f, name), why);
	struct pcap_pkthdr *hdr;
	const u_char *bytes;
	unsigned n = 0;
	int rc;

	if (!pcap)
		fail_msg("%s", why);
	assert_int_equal(pcap_datalink(pcap), DLT_EN10MB);
	for (; (rc = pcap_next_ex(pcap, &hdr, &bytes)) == 1; n++) {
		assert_int_equal(hdr->ts.tv_sec, n / US_PER_S);
		assert_int_equal(hdr->ts.tv_usec, n % US_PER_S);
		assert_int_equal(hdr->caplen, hdr->len);
		assert_memory_equal(bytes, pattern(n, hdr->len), hdr->len);
	}
	assert_int_equal(rc, PCAP_ERROR_BREAK);
	pcap_close(pcap);
	return n;
}

static size_t read_file(const char *path, uint8_t *bytes, size_t max)
{
	FILE *file = fopen(path, "rb");
	size_t n;

	assert_non_null(file);
	n = fread(bytes, 1, max, file);
	fclose(file);
	return n;
}

static void the_same_packets_give_the_same_bytes(void **state)
{
	static const size_t sizes[] = {60, 1, 1514, 2048, 2049, 9014, MAX_BYTES};
	static uint8_t bytes[2][100000];
	struct fixture *f = *state;
	size_t n[2];

	for (unsigned run = 0; run < 2; run++) {
		open_port(f, "pcap:,%s/out.pcap"); /* the second takes the place of the first */
		for (unsigned i = 0; i < wr_array_size(sizes); i++)
			transmit(f, i, sizes[i]);
		f->port->ops->flush(f->q);
		look_at_facts(f);
		assert_int_equal(facts.n_written, wr_array_size(sizes));
		assert_int_equal(facts.eof, 1);
		n[run] = read_file(path_of(f, "out.pcap"), bytes[run], sizeof(bytes[run]));
		close_port(f);
	}
	assert_int_equal(n[0], n[1]);
	assert_memory_equal(bytes[0], bytes[1], n[0]);
	assert_int_equal(check_out(f, "out.pcap"), wr_array_size(sizes));
}

static void a_million_packets_fill_a_second(void **state)
{
	const struct pcap_out out = {.n_written = 3 * (uint64_t)US_PER_S + 17};
	struct fixture *f = *state;
	char why[PCAP_ERRBUF_SIZE];
	struct pcap_pkthdr *hdr;
	const u_char *bytes;
	pcap_t *pcap;

	open_port(f, "pcap:,%s/out.pcap");
	((struct pcap_port *)f->port)->out.n_written = out.n_written;
	transmit(f, 0, 60);
	close_port(f);
	pcap = pcap_open_offline(path_of(f, "out.pcap"), why);
	assert_non_null(pcap);
	assert_int_equal(pcap_next_ex(pcap, &hdr, &bytes), 1);
	assert_int_equal(hdr->ts.tv_sec, 3);
	assert_int_equal(hdr->ts.tv_usec, 17);
	pcap_close(pcap);
}

static void flush_completes_the_file(void **state)
{
	struct fixture *f = *state;

	open_port(f, "pcap:,%s/out.pcap");
	assert_int_equal(check_out(f, "out.pcap"), 0); /* whole from the start */
	for (unsigned i = 0; i < 3; i++)
		transmit(f, i, 60);
	f->port->ops->flush(f->q);
	assert_int_equal(check_out(f, "out.pcap"), 3);
	f->port->ops->flush(f->q);
	assert_int_equal(f->q->counters.tx_kicks, 1);
	assert_int_equal(f->q->counters.tx_pkts, 3);
	assert_int_equal(f->q->counters.tx_bytes, 180);
	transmit(f, 3, 60);
	close_port(f); /* also completes it */
	assert_int_equal(check_out(f, "out.pcap"), 4);
}

static void what_is_read_can_be_written(void **state)
{
	struct fixture *f = *state;
	struct packet *pkts[100];

	make_plain(f, "in.pcap", 100);
	open_port(f, "pcap:%s/in.pcap,%s/out.pcap");
	assert_int_equal(wr_port_rx(f->q, pkts, 100), 100);
	wr_port_tx(f->q, pkts, 100);
	close_port(f);
	assert_int_equal(check_out(f, "out.pcap"), 100);
}

static void without_out_nothing_can_be_sent(void **state)
{
	struct fixture *f = *state;

	make_plain(f, "in.pcap", 1);
	open_port(f, "pcap:%s/in.pcap");
	transmit(f, 0, 60);
	f->port->ops->flush(f->q);
	assert_int_equal(f->q->counters.tx_pkts, 1);
	assert_int_equal(f->q->counters.tx_errors, 1);
}

/* In bursts of 7, each flushed or not, until long after writing has failed. */
static void write_until_full(struct fixture *f, const char *name, int want_errno, bool is_flushed)
{
	enum { N = 700, N_BYTES = 1000 };
	struct stat st;

	for (unsigned i = 0; i < N; i++) {
		errno = 0; /* the first error is the one to tell */
		transmit(f, i, N_BYTES);
		if (is_flushed && i % 7 == 6)
			f->port->ops->flush(f->q);
	}
	f->port->ops->flush(f->q);
	look_at_facts(f);
	assert_int_equal(facts.write_errno, want_errno);
	assert_int_equal(f->q->counters.tx_pkts, N);
	assert_int_equal(f->q->counters.tx_errors + facts.n_written, N);
	assert_true(is_flushed ? facts.n_written >= 7 : facts.n_written == 0);
	close_port(f);
	assert_int_equal(stat(path_of(f, name), &st), 0);
	assert_int_equal(st.st_size, 24 + facts.n_written * (16 + N_BYTES));
	assert_int_equal(check_out(f, name), facts.n_written);
}

static void a_file_that_may_not_grow_stays_whole(void **state)
{
	struct rlimit old, small;
	struct fixture *f = *state;

	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	for (unsigned is_flushed = 0; is_flushed < 2; is_flushed++) {
		small = (struct rlimit){.rlim_cur = 20000, .rlim_max = old.rlim_max};
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
		open_port(f, "pcap:,%s/out.pcap");
		write_until_full(f, "out.pcap", EFBIG, is_flushed);
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	}
}

static void closing_cuts_off_what_does_not_fit(void **state)
{
	struct rlimit old, small;
	struct fixture *f = *state;
	struct stat st;

	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small = (struct rlimit){.rlim_cur = 100, .rlim_max = old.rlim_max};
	open_port(f, "pcap:,%s/out.pcap");
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	transmit(f, 0, 60);
	transmit(f, 1, 60);
	close_port(f);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(stat(path_of(f, "out.pcap"), &st), 0);
	assert_int_equal(st.st_size, 24);
}

static void a_full_disk_leaves_a_whole_file(void **state)
{
	struct fixture *f = *state;

	if (geteuid() || unshare(CLONE_NEWNS) ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("tmpfs", f->dir, "tmpfs", 0, "size=64k"))
		skip(); /* no mount namespaces */
	for (unsigned is_flushed = 0; is_flushed < 2; is_flushed++) {
		open_port(f, "pcap:,%s/out.pcap");
		write_until_full(f, "out.pcap", ENOSPC, is_flushed);
		assert_int_equal(unlink(path_of(f, "out.pcap")), 0);
	}
	assert_int_equal(umount(f->dir), 0);
}

/* --- what is wrong ---------------------------------------------------------------------------- */

/* The sentence with the directory cut out of it. */
static void check_sentence(struct fixture *f, const char *text, int want, const char *sentence)
{
	struct wr_err err = {""};
	char got[256] = "", *to = got;
	const char *at = err.text, *dir;

	assert_int_equal(try_open(f, text, &err), want);
	for (; (dir = strstr(at, f->dir)); at = dir + strlen(f->dir))
		to += sprintf(to, "%.*s", (int)(dir - at), at);
	sprintf(to, "%s", at);
	assert_string_equal(got, sentence);
	assert_null(f->port);
}

static const struct {
	const char *text;
	int rc;
	const char *sentence;
} wrong[] = {
	{"pcap:", -EINVAL, "pcap:: neither a file to read nor one to write: use pcap:IN,OUT"},
	{"pcap:,", -EINVAL, "pcap:,: neither a file to read nor one to write: use pcap:IN,OUT"},
	{"pcap:%s/none", -ENOENT, "pcap:/none: cannot open /none: No such file or directory"},
	{"pcap:-", -ENOENT, "pcap:-: cannot open -: No such file or directory"},
	{"pcap:%s/text", -EBADMSG,
	 "pcap:/text: /text is no capture that libpcap can read: unknown file format"},
	{"pcap:%s/raw.pcap", -EPROTONOSUPPORT,
	 "pcap:/raw.pcap: the packets of /raw.pcap are RAW (link type 12): use a capture of "
	 "Ethernet"},
	{"pcap:%s", -ESPIPE, "pcap::  is no regular file: use one"},
	{"pcap:%s/fifo", -ESPIPE, "pcap:/fifo: /fifo is no regular file: use one"},
	{"pcap:,%s/fifo", -ESPIPE, "pcap:,/fifo: /fifo is no regular file: use one"},
	{"pcap:,%s/none/out", -ENOENT,
	 "pcap:,/none/out: cannot open /none/out: No such file or directory"},
	{"pcap:,%s", -EISDIR, "pcap:,: cannot open : Is a directory"},
	{"pcap:,/dev/full", -ENOSPC,
	 "pcap:,/dev/full: cannot write to /dev/full: No space left on device"},
	{"pcap:%s/in.pcap,%s/link.pcap", -EEXIST,
	 "pcap:/in.pcap,/link.pcap: both names are the same file: write to another"},
};

static void what_is_wrong_is_said(void **state)
{
	struct fixture *f = *state;
	const struct record one = {60, 60};
	char in_path[120];
	FILE *file = fopen(path_of(f, "text"), "wb");
	struct stat st;

	assert_non_null(file);
	fprintf(file, "this is no capture, however long it may be\n");
	fclose(file);
	make_capture(path_of(f, "raw.pcap"), DLT_RAW, &one, 1);
	make_plain(f, "in.pcap", 1);
	snprintf(in_path, sizeof(in_path), "%s", path_of(f, "in.pcap"));
	assert_int_equal(symlink(in_path, path_of(f, "link.pcap")), 0);
	assert_int_equal(mkfifo(path_of(f, "fifo"), 0600), 0);
	for (unsigned i = 0; i < wr_array_size(wrong); i++)
		check_sentence(f, wrong[i].text, wrong[i].rc, wrong[i].sentence);
	assert_int_equal(count_fds(), f->n_fds);
	assert_int_equal(stat(in_path, &st), 0);
	assert_int_equal(st.st_size, 24 + 16 + 60); /* IN was not emptied */
}

static void a_file_that_may_not_be_written(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(mknod(path_of(f, "out.pcap"), S_IFREG | 0400, 0), 0);
	if (!geteuid()) /* who may do all */
		assert_int_equal(seteuid(65534), 0);
	check_sentence(f, "pcap:,%s/out.pcap", -EACCES,
		       "pcap:,/out.pcap: cannot open /out.pcap: Permission denied");
	assert_int_equal(seteuid(getuid()), 0);
}

/* Of two ports with one file neither may spoil it for the other. */
static void a_file_is_not_written_by_two(void **state)
{
	struct fixture *f = *state;
	struct wr_err err = {""};
	struct port *first;

	make_plain(f, "in.pcap", 1);
	open_port(f, "pcap:%s/in.pcap,%s/out.pcap");
	first = f->port;
	assert_int_equal(try_open(f, "pcap:,%s/out.pcap", &err), -EBUSY);
	assert_non_null(strstr(err.text, "is being read or written by another port"));
	assert_int_equal(try_open(f, "pcap:%s/out.pcap", &err), -EBUSY);
	assert_int_equal(try_open(f, "pcap:,%s/in.pcap", &err), -EBUSY);
	assert_int_equal(try_open(f, "pcap:%s/in.pcap", &err), 0); /* two may read */
	close_port(f);
	f->port = first;
	f->q = first->queues[0];
	assert_int_equal(receive_plain(f), 1); /* it is whole still */
	close_port(f);
	open_port(f, "pcap:,%s/out.pcap");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_capture_is_read_to_its_end),
		TEST(the_last_packet_keeps_its_worker_awake),
		TEST(an_empty_capture_is_at_its_end),
		TEST(frames_of_many_segments),
		TEST(what_is_no_whole_frame_is_counted),
		TEST(a_file_cut_short_ends_there),
		TEST(it_is_read_as_often_as_asked),
		TEST(pcapng_is_read),
		TEST(without_frames_packets_wait),
		TEST(the_same_packets_give_the_same_bytes),
		TEST(a_million_packets_fill_a_second),
		TEST(flush_completes_the_file),
		TEST(what_is_read_can_be_written),
		TEST(without_out_nothing_can_be_sent),
		TEST(a_file_that_may_not_grow_stays_whole),
		TEST(closing_cuts_off_what_does_not_fit),
		TEST(a_full_disk_leaves_a_whole_file),
		TEST(what_is_wrong_is_said),
		TEST(a_file_that_may_not_be_written),
		TEST(a_file_is_not_written_by_two),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
