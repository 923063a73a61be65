/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/weir-gen/options.c"

#include "tools/weir-gen/choose.c"
#include "tools/weir-gen/mark.c"
#include "tools/weir-gen/traffic.c"
#include "tools/weir-gen/values.c"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { MAX_WORDS = 32 };

/* As a shell would cut it up. */
static int read_line(const char *line, struct gen_options *ret_options, struct wr_err *err)
{
	static char copies[8][1024]; /* the options point into them */
	static unsigned n_lines;
	char *copy = copies[n_lines++ % 8], *argv[MAX_WORDS] = {NULL}, *rest = NULL;
	int argc = 0;

	snprintf(copy, sizeof(copies[0]), "weir-gen %s", line);
	for (char *word = strtok_r(copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
		argv[argc++] = word;
	return wr_options_read(argc, argv, ret_options, err);
}

#define DMAC " --dmac 02:00:00:00:00:02"

static void nothing_given_is_the_default(void **state)
{
	struct gen_options o;

	(void)state;
	assert_int_equal(read_line("tx null:" DMAC, &o, NULL), 0);
	assert_int_equal(o.mode, GEN_TX);
	assert_int_equal(o.n_ports, 1);
	assert_string_equal(o.ports[0], "null:");
	assert_int_equal(o.rate.unit, PACE_PACKETS);
	assert_true(o.rate.per_s == 1000);
	assert_int_equal(o.traffic.size.low, 64);
	assert_int_equal(o.traffic.n_flows, 1);
	assert_int_equal(o.traffic.dmac.b[5], 2);
	assert_int_equal(o.n_packets, 0);
	assert_int_equal(read_line("replay null: x.pcap", &o, NULL), 0);
	assert_int_equal(o.rate.unit, PACE_OWN);
	assert_string_equal(o.file, "x.pcap");
}

static void each_option_is_read(void **state)
{
	struct gen_options o;

	(void)state;
	assert_int_equal(read_line("-j txrx a b -r 1.5Mpps -n 10k -t 1.5s --drain 20ms -s 100-9000 "
				   "-p tcp --src 10.0.0.0/8 --dst 10.1.2.3 --sport 7 "
				   "--dport=0-65535 -f 1k --choose zipf:1.1 --shuffle",
				   &o, NULL),
			 -EINVAL); /* neither --dmac nor --via */
	assert_int_equal(read_line("-j txrx a b -r 1.5Mpps -n 10k -t 1.5s --drain 20ms -s 100-9000 "
				   "-p tcp --src 10.0.0.0/8 --dst 10.1.2.3 --sport 7 "
				   "--dport=0-65535 -f 1k --choose zipf:1.1 --via 10.9.9.9",
				   &o, NULL),
			 0);
	assert_true(o.is_json && o.has_via && !o.has_dmac);
	assert_string_equal(o.ports[1], "b");
	assert_true(o.rate.per_s == 1.5e6 && o.rate.unit == PACE_PACKETS);
	assert_int_equal(o.n_packets, 10000);
	assert_int_equal(o.duration_ns, 1500000000);
	assert_int_equal(o.drain_ns, 20000000);
	assert_int_equal(o.traffic.size.low, 100);
	assert_int_equal(o.traffic.size.high, 9000);
	assert_int_equal(o.traffic.protocol, IP_PROTO_TCP);
	assert_int_equal(o.traffic.src.len, 8);
	assert_int_equal(ip4_to(o.traffic.dst.addr), 0x0a010203);
	assert_int_equal(o.traffic.sport.low, 7);
	assert_int_equal(o.traffic.sport.high, 7);
	assert_int_equal(o.traffic.dport.high, 65535);
	assert_int_equal(o.traffic.n_flows, 1000);
	assert_int_equal(o.traffic.choose, CHOOSE_ZIPF);
	assert_true(o.traffic.exponent == 1.1);
	assert_int_equal(ip4_to(o.via.addr), 0x0a090909);
}

static void and_so_are_the_rest(void **state)
{
	struct gen_options o;

	(void)state;
	assert_int_equal(
		read_line("txrx a" DMAC " --shuffle --seed 9 --smac 0a:bC:0:00:00:01", &o, NULL),
		-EINVAL); /* one digit only */
	assert_int_equal(read_line("txrx a" DMAC " --shuffle --seed 9 --smac 0a:bC:00:00:00:01 "
				   "--ttl 3 --tos 255 --no-udp-checksum --burst 256 --stream 7 "
				   "--verify --window 4096 --arp 10.0.0.0/24 -q --fail-on-loss "
				   "--fail-on-reorder --fail-on-duplicate --fail-on-corruption",
				   &o, NULL),
			 0);
	assert_true(o.traffic.is_shuffled && o.traffic.no_udp_checksum && o.is_verifying &&
		    o.has_arp && o.is_quiet && o.has_smac);
	assert_true(o.fail_on_loss && o.fail_on_reorder && o.fail_on_duplicate &&
		    o.fail_on_corruption);
	assert_int_equal(o.traffic.smac.b[1], 0xbc);
	assert_int_equal(o.traffic.seed, 9);
	assert_int_equal(o.traffic.ttl, 3);
	assert_int_equal(o.traffic.tos, 255);
	assert_int_equal(o.traffic.stream, 7);
	assert_int_equal(o.burst, 256);
	assert_int_equal(o.window, 4096);
	assert_int_equal(o.arp.len, 24);
	assert_int_equal(read_line("rx a --max-flows 10 --join --idle 3m", &o, NULL), 0);
	assert_int_equal(o.max_flows, 10);
	assert_true(o.is_joining);
	assert_int_equal(o.idle_ns, 180 * S);
	assert_int_equal(read_line("replay a b --loops 0 -r max", &o, NULL), 0);
	assert_int_equal(o.n_loops, 0);
	assert_int_equal(o.rate.unit, PACE_MAX);
}

static void rates(void **state)
{
	static const struct {
		const char *text;
		enum pace_unit unit;
		double per_s;
	} cases[] = {
		{"1", PACE_PACKETS, 1},
		{"0.5", PACE_PACKETS, 0.5},
		{"20k", PACE_PACKETS, 20e3},
		{"20K", PACE_PACKETS, 20e3},
		{"1.5Mpps", PACE_PACKETS, 1.5e6},
		{"10Mbps", PACE_BITS, 10e6},
		{"1Gbit/s", PACE_BITS, 1e9},
		{"64kbit", PACE_BITS, 64e3},
		{"10Gbpsl1", PACE_WIRE_BITS, 10e9},
		{"100bpsl2", PACE_BITS, 100},
	};

	(void)state;
	for (size_t i = 0; i < wr_array_size(cases); i++) {
		struct pace_rate rate;

		assert_int_equal(wr_read_rate(cases[i].text, &rate), 0);
		assert_int_equal(rate.unit, cases[i].unit);
		assert_true(rate.per_s > cases[i].per_s * 0.999999 &&
			    rate.per_s < cases[i].per_s * 1.000001);
	}
}

/* What is wrong, and what is said of it. */
static const struct {
	const char *line, *sentence;
} bad[] = {
	{"", "no command: use weir-gen tx, rx, txrx, echo or replay; 'weir-gen --help' says more"},
	{"send x", "'send': no such command; there are tx, rx, txrx, echo and replay"},
	{"tx", "tx: PORT is missing: use weir-gen tx PORT"},
	{"replay x", "replay: FILE is missing: use weir-gen replay PORT FILE"},
	{"rx a b", "'b': one word too many: use weir-gen rx PORT"},
	{"txrx a b c", "'c': one word too many: use weir-gen txrx PORT [PORT]"},
	{"tx a", "to whom? give the MAC address of the next router or the far end by --dmac MAC, "
		 "or the router's address by --via ADDRESS"},
	{"tx a --via 10.0.0.1" DMAC, "--dmac and --via: use one of them"},
	{"tx a -r", "-r: needs a value; 'weir-gen --help' says which"},
	{"tx a --rate", "--rate: needs a value; 'weir-gen --help' says which"},
	{"tx a --speed 3", "--speed: no such option; 'weir-gen --help' lists them"},
	{"tx a -x", "-x: no such option; 'weir-gen --help' lists them"},
	{"tx a --json=1", "--json: takes no value"},
	{"rx a --rate 3", "--rate: is no option of 'rx'"},
	{"tx a --verify" DMAC, "--verify: is no option of 'tx'"},
	{"echo a --dmac 02:00:00:00:00:01", "--dmac: is no option of 'echo'"},
	{"tx a --count 0", "--count: '0': use a number such as 500, 100k or 1.5M"},
	{"tx a --count -3", "--count: '-3': use a number such as 500, 100k or 1.5M"},
	{"tx a --count 1.5", "--count: '1.5': use a number such as 500, 100k or 1.5M"},
	{"tx a --count 0x10", "--count: '0x10': use a number such as 500, 100k or 1.5M"},
	{"tx a --count 3T", "--count: '3T': use a number such as 500, 100k or 1.5M"},
	{"tx a --count 1e30", "--count: '1e30': use a number such as 500, 100k or 1.5M"},
	{"tx a --duration 3d", "--duration: '3d': use seconds, or a number with ms, s, m or h"},
	{"tx a --duration inf", "--duration: 'inf': use seconds, or a number with ms, s, m or h"},
	{"rx a --idle x", "--idle: 'x': use seconds, or a number with ms, s, m or h"},
	{"txrx a --drain -1", "--drain: '-1': use seconds, or a number with ms, s, m or h"},
	{"tx a --rate fast",
	 "--rate: 'fast': use packets/s as in 1000, 20k, 1.5M; bits/s as in 10Mbps (frames with "
	 "FCS), 1Gbpsl1 (with preamble and gap); or max"},
	{"tx a --rate own" DMAC, "--rate: own is the rate of replays only"},
	{"tx a --size 63", "--size: '63': use bytes of the frame with FCS, 64 to 9216: one number, "
			   "LOW-HIGH, or imix"},
	{"tx a --size 9217", "--size: '9217': use bytes of the frame with FCS, 64 to 9216: one "
			     "number, LOW-HIGH, or imix"},
	{"tx a --size 100-90", "--size: '100-90': use bytes of the frame with FCS, 64 to 9216: one "
			       "number, LOW-HIGH, or imix"},
	{"tx a --size 64 -p tcp" DMAC,
	 "--size: 64 bytes are too few for TCP and the mark: use 76 or more"},
	{"tx a --protocol sctp", "--protocol: 'sctp': use udp or tcp"},
	{"tx a --src 10.0.0.1/24", "--src: '10.0.0.1/24': use an address, or a prefix without bits "
				   "beyond its length: 10.0.0.0/24"},
	{"tx a --dst 10.0.0", "--dst: '10.0.0': use an address, or a prefix without bits beyond "
			      "its length: 10.0.0.0/24"},
	{"tx a --dst 10.0.0.0/33", "--dst: '10.0.0.0/33': use an address, or a prefix without bits "
				   "beyond its length: 10.0.0.0/24"},
	{"tx a --dst 10.0.0.0/8-9", "--dst: '10.0.0.0/8-9': use an address, or a prefix without "
				    "bits beyond its length: 10.0.0.0/24"},
	{"tx a --sport 70000", "--sport: '70000': use a port or LOW-HIGH, 0 to 65535"},
	{"tx a --dport 9-", "--dport: '9-': use a port or LOW-HIGH, 0 to 65535"},
	{"tx a --flows 0", "--flows: '0': use a number of flows from 1 to 16777216"},
	{"tx a --flows 5 --sport 1-2 --dport 1-2" DMAC,
	 "--flows: 5 flows, but addresses and ports give only 4: widen --dst, --src, --sport or "
	 "--dport"},
	{"tx a --choose often",
	 "--choose: 'often': use turn, uniform, zipf or zipf:EXPONENT (0 to 10)"},
	{"tx a --choose zipf:11",
	 "--choose: 'zipf:11': use turn, uniform, zipf or zipf:EXPONENT (0 to 10)"},
	{"tx a --choose zipf:",
	 "--choose: 'zipf:': use turn, uniform, zipf or zipf:EXPONENT (0 to 10)"},
	{"tx a --dmac 02:00:00:00:00",
	 "--dmac: '02:00:00:00:00': use six bytes such as 02:00:00:00:00:01"},
	{"tx a --smac 02:00:00:00:00:01:02",
	 "--smac: '02:00:00:00:00:01:02': use six bytes such as 02:00:00:00:00:01"},
	{"tx a --via 10.0.0.0/24", "--via: '10.0.0.0/24': use one IPv4 address"},
	{"tx a --ttl 0", "--ttl: '0': use a number from 1 to 255"},
	{"tx a --tos 256", "--tos: '256': use a number from 0 to 255"},
	{"tx a --burst 257", "--burst: '257': use a number from 1 to 256"},
	{"tx a --stream 256", "--stream: '256': use a number from 0 to 255"},
	{"rx a --window 100", "--window: '100': use a power of two from 64 to 1048576"},
	{"rx a --window 32", "--window: '32': use a power of two from 64 to 1048576"},
	{"rx a --max-flows 0", "--max-flows: '0': use a number of flows from 1 to 16777216"},
	{"rx a --arp x", "--arp: 'x': use an address, or a prefix without bits beyond its length: "
			 "10.0.0.0/24"},
};

static void what_is_wrong_is_said(void **state)
{
	(void)state;
	for (size_t i = 0; i < wr_array_size(bad); i++) {
		struct wr_err err = {""};
		struct gen_options o;

		assert_int_equal(read_line(bad[i].line, &o, &err), -EINVAL);
		assert_string_equal(err.text, bad[i].sentence);
	}
}

/* A row that is forgotten in the tests above, or half written. */
static void each_row_is_whole(void **state)
{
	(void)state;
	for (size_t i = 0; i < wr_array_size(rows); i++) {
		assert_true(rows[i].modes && rows[i].help && strlen(rows[i].name) < 24);
		assert_true(!rows[i].argument == !rows[i].takes);
		for (size_t k = 0; k < i; k++) {
			assert_string_not_equal(rows[i].name, rows[k].name);
			assert_true(!rows[i].letter || rows[i].letter != rows[k].letter);
		}
	}
}

static void help_is_enough_by_itself(void **state)
{
	struct gen_options o;

	(void)state;
	assert_int_equal(read_line("--help", &o, NULL), 0);
	assert_true(o.wants_help);
	assert_int_equal(read_line("rx --rate 7 -V", &o, NULL), 0);
	assert_true(o.wants_version);
}

int main(void)
{
#define TEST(name) cmocka_unit_test(name)
	const struct CMUnitTest tests[] = {
		TEST(nothing_given_is_the_default), TEST(each_option_is_read),
		TEST(and_so_are_the_rest),          TEST(rates),
		TEST(what_is_wrong_is_said),        TEST(each_row_is_whole),
		TEST(help_is_enough_by_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
