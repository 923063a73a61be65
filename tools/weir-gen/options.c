/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/weir-gen/options.h"

#include "tools/weir-gen/values.h"

#include <errno.h>
#include <getopt.h>

enum {
	TX = 1 << GEN_TX,
	RX = 1 << GEN_RX,
	TXRX = 1 << GEN_TXRX,
	ECHO = 1 << GEN_ECHO,
	REPLAY = 1 << GEN_REPLAY,
	SENDS = TX | TXRX,
	SINKS = RX | TXRX,
	ALL = TX | RX | TXRX | ECHO | REPLAY,
};
enum { OPT_FIRST = 1000, HELP_COLUMNS = 80, HELP_INDENT = 10, HELP_BYTES = 400 };

struct row;
typedef int read_value(struct gen_options *, const struct row *, const char *value);

struct row {
	const char *name;
	char letter; /* or 0 */
	uint8_t modes;
	const char *argument; /* NULL: a flag */
	read_value *read;
	size_t offset;     /* of the number or flag in struct gen_options */
	uint64_t min, max; /* of a number */
	const char *takes; /* "use ..." */
	const char *help;
};

static const struct {
	const char *name, *arguments, *help;
} modes[GEN_MODES] = {
	[GEN_TX] = {"tx", "PORT", "generate"},
	[GEN_RX] = {"rx", "PORT", "receive: count, check, measure"},
	[GEN_TXRX] = {"txrx", "PORT [PORT]",
		      "out by the first, in by the second or the same: loss, order, latency"},
	[GEN_ECHO] = {"echo", "PORT", "send back what comes, addresses and ports swapped"},
	[GEN_REPLAY] = {"replay", "PORT FILE", "send the frames of a capture"},
};

const char *wr_mode_name(enum gen_mode mode)
{
	return modes[mode].name;
}

/* --- readers ---------------------------------------------------------------------------------- */

static void *field(struct gen_options *o, const struct row *row)
{
	return (char *)o + row->offset;
}

static int read_flag(struct gen_options *o, const struct row *row, const char *value)
{
	(void)value;
	*(bool *)field(o, row) = true;
	return 0;
}

static int within(uint64_t number, const struct row *row, uint64_t *ret)
{
	if (number < row->min || number > row->max)
		return -EINVAL;
	*ret = number;
	return 0;
}

static int read_number(struct gen_options *o, const struct row *row, const char *value)
{
	uint64_t number;

	return wr_read_count(value, &number) ? -EINVAL : within(number, row, field(o, row));
}

static int read_byte(struct gen_options *o, const struct row *row, const char *value)
{
	uint64_t number;

	if (wr_read_count(value, &number) || within(number, row, &number))
		return -EINVAL;
	*(uint8_t *)field(o, row) = (uint8_t)number;
	return 0;
}

static int read_time(struct gen_options *o, const struct row *row, const char *value)
{
	uint64_t ns;

	return wr_read_time_ns(value, &ns) ? -EINVAL : within(ns, row, field(o, row));
}

static int read_flows(struct gen_options *o, const struct row *row, const char *value)
{
	uint64_t number;

	if (wr_read_count(value, &number) || within(number, row, &number))
		return -EINVAL;
	o->traffic.n_flows = (uint32_t)number;
	return 0;
}

static int read_window(struct gen_options *o, const struct row *row, const char *value)
{
	int rc = read_number(o, row, value);

	return rc || (o->window & (o->window - 1)) ? -EINVAL : 0;
}

static int read_rate(struct gen_options *o, const struct row *row, const char *value)
{
	(void)row;
	o->has_rate = true;
	return wr_read_rate(value, &o->rate);
}

static int read_size(struct gen_options *o, const struct row *row, const char *value)
{
	(void)row;
	return wr_read_size(value, &o->traffic.size);
}

static int read_protocol(struct gen_options *o, const struct row *row, const char *value)
{
	(void)row;
	if (strcmp(value, "udp") != 0 && strcmp(value, "tcp") != 0)
		return -EINVAL;
	o->traffic.protocol = *value == 'u' ? IP_PROTO_UDP : IP_PROTO_TCP;
	return 0;
}

static int read_prefix(struct gen_options *o, const struct row *row, const char *value)
{
	return wr_read_prefix(value, field(o, row));
}

static int read_ports(struct gen_options *o, const struct row *row, const char *value)
{
	return wr_read_ports(value, field(o, row));
}

static int read_choice(struct gen_options *o, const struct row *row, const char *value)
{
	(void)row;
	return wr_read_choice(value, &o->traffic.choose, &o->traffic.exponent);
}

static int read_dmac(struct gen_options *o, const struct row *row, const char *value)
{
	(void)row;
	o->has_dmac = true;
	return wr_read_mac(value, &o->traffic.dmac);
}

static int read_smac(struct gen_options *o, const struct row *row, const char *value)
{
	(void)row;
	o->has_smac = true;
	return wr_read_mac(value, &o->traffic.smac);
}

static int read_via(struct gen_options *o, const struct row *row, const char *value)
{
	(void)row;
	o->has_via = true;
	return wr_read_prefix(value, &o->via) || o->via.len != 32 ? -EINVAL : 0;
}

static int read_arp(struct gen_options *o, const struct row *row, const char *value)
{
	(void)row;
	o->has_arp = true;
	return wr_read_prefix(value, &o->arp);
}

/* --- the table -------------------------------------------------------------------------------- */

#define AT(member) offsetof(struct gen_options, member)
#define COUNT "use a number such as 500, 100k or 1.5M"
#define TIME "use seconds, or a number with ms, s, m or h"
#define ADDRESSES "use an address, or a prefix without bits beyond its length: 10.0.0.0/24"
#define PORTS "use a port or LOW-HIGH, 0 to 65535"
#define MAC "use six bytes such as 02:00:00:00:00:01"
#define MOST UINT64_C(9000000000000000)
#define S UINT64_C(1000000000)

/* clang-format off */
static const struct row rows[] = {
	{"rate", 'r', SENDS | REPLAY, "RATE", read_rate, 0, 0, 0,
	 "use packets/s as in 1000, 20k, 1.5M; bits/s as in 10Mbps (frames with FCS), 1Gbpsl1 (with preamble and gap); or max",
	 "packets/s (20k, 1.5M), bits/s of frames (10Mbps) or on the wire (1Gbpsl1), or max; "
	 "default 1k, of replay: own, as captured"},
	{"count", 'n', ALL, "N", read_number, AT(n_packets), 1, MOST, COUNT,
	 "end after N packets; rx: also, what is missing to N is lost"},
	{"duration", 't', ALL, "TIME", read_time, AT(duration_ns), 1, MOST, TIME,
	 "end after TIME (10, 500ms, 2m); without it and --count: by a signal"},
	{"idle", 0, RX | ECHO, "TIME", read_time, AT(idle_ns), 1, MOST, TIME,
	 "end when nothing has come for TIME, once something has"},
	{"drain", 0, TXRX, "TIME", read_time, AT(drain_ns), 0, MOST, TIME,
	 "after the last packet wait so long for those under way; default 500ms"},
	{"size", 's', SENDS, "SIZE", read_size, 0, 0, 0,
	 "use bytes of the frame with FCS, 64 to 9216: one number, LOW-HIGH, or imix",
	 "bytes of the frame with FCS: one number, LOW-HIGH, or imix; default 64"},
	{"protocol", 'p', SENDS, "udp|tcp", read_protocol, 0, 0, 0, "use udp or tcp",
	 "default udp; tcp is data segments of no connection"},
	{"src", 0, SENDS, "PREFIX", read_prefix, AT(traffic.src), 0, 0, ADDRESSES,
	 "source addresses; default 198.18.0.1"},
	{"dst", 0, SENDS, "PREFIX", read_prefix, AT(traffic.dst), 0, 0, ADDRESSES,
	 "destination addresses; default 198.19.0.1"},
	{"sport", 0, SENDS, "PORTS", read_ports, AT(traffic.sport), 0, 0, PORTS,
	 "source ports, one or LOW-HIGH; default 1024-65535"},
	{"dport", 0, SENDS, "PORTS", read_ports, AT(traffic.dport), 0, 0, PORTS,
	 "destination ports; default 9"},
	{"flows", 'f', SENDS, "N", read_flows, 0, 1, MARK_MAX_FLOWS,
	 "use a number of flows from 1 to 16777216",
	 "flows, each with its own addresses and ports, destinations varying first; default 1"},
	{"choose", 0, SENDS, "HOW", read_choice, 0, 0, 0,
	 "use turn, uniform, zipf or zipf:EXPONENT (0 to 10)",
	 "whose packet is next: turn, uniform, zipf[:EXPONENT]; default turn"},
	{"shuffle", 0, SENDS, NULL, read_flag, AT(traffic.is_shuffled), 0, 0, NULL,
	 "addresses of a prefix in another order, spread over all of it"},
	{"seed", 0, SENDS, "N", read_number, AT(traffic.seed), 0, MOST, COUNT,
	 "of all that is drawn at random; default 1"},
	{"dmac", 'd', SENDS, "MAC", read_dmac, 0, 0, 0, MAC,
	 "destination MAC address: that of the next router, or of the far end"},
	{"via", 0, SENDS, "ADDRESS", read_via, 0, 0, 0, "use one IPv4 address",
	 "instead of --dmac: ask for the router's by ARP, in the name of the first --src"},
	{"smac", 0, SENDS, "MAC", read_smac, 0, 0, 0, MAC, "source MAC address; default the port's"},
	{"ttl", 0, SENDS, "N", read_byte, AT(traffic.ttl), 1, 255, "use a number from 1 to 255",
	 "time to live; default 64"},
	{"tos", 0, SENDS, "N", read_byte, AT(traffic.tos), 0, 255, "use a number from 0 to 255",
	 "type of service, the whole byte; default 0"},
	{"no-udp-checksum", 0, SENDS, NULL, read_flag, AT(traffic.no_udp_checksum), 0, 0, NULL,
	 "0 in its place, which means none"},
	{"burst", 0, SENDS | REPLAY, "N", read_number, AT(burst), 1, 256,
	 "use a number from 1 to 256", "packets in one call of the port at most; default 64"},
	{"stream", 0, SENDS | RX, "N", read_byte, AT(traffic.stream), 0, 255,
	 "use a number from 0 to 255",
	 "number of the stream, in each packet; a receiver heeds its own only; default 0"},
	{"verify", 0, SINKS, NULL, read_flag, AT(is_verifying), 0, 0, NULL,
	 "check every byte and checksum of what comes"},
	{"window", 0, SINKS, "N", read_window, AT(window), TRACK_MIN_WINDOW, TRACK_MAX_WINDOW,
	 "use a power of two from 64 to 1048576",
	 "how many packets late, within a flow, is still told from lost; N/8 bytes a flow; default 1024"},
	{"max-flows", 0, RX, "N", read_number, AT(max_flows), 1, MARK_MAX_FLOWS,
	 "use a number of flows from 1 to 16777216",
	 "flows to keep account of; default 65536"},
	{"join", 0, RX, NULL, read_flag, AT(is_joining), 0, 0, NULL,
	 "the sender runs already: what came before each flow's first packet seen is not lost"},
	{"arp", 0, SINKS | ECHO, "PREFIX", read_arp, 0, 0, 0, ADDRESSES,
	 "answer ARP requests for these addresses, so that a router finds the port"},
	{"loops", 0, REPLAY, "N", read_number, AT(n_loops), 0, MOST, COUNT,
	 "how often; 0 for ever; default 1"},
	{"fail-on-loss", 0, SINKS, NULL, read_flag, AT(fail_on_loss), 0, 0, NULL,
	 "exit status 3 if a packet was lost, or if none came"},
	{"fail-on-reorder", 0, SINKS, NULL, read_flag, AT(fail_on_reorder), 0, 0, NULL,
	 "exit status 3 if one was reordered"},
	{"fail-on-duplicate", 0, SINKS, NULL, read_flag, AT(fail_on_duplicate), 0, 0, NULL,
	 "exit status 3 if one came twice"},
	{"fail-on-corruption", 0, SINKS, NULL, read_flag, AT(fail_on_corruption), 0, 0, NULL,
	 "exit status 3 if one was corrupted"},
	{"json", 'j', ALL, NULL, read_flag, AT(is_json), 0, 0, NULL,
	 "the report as JSON"},
	{"quiet", 'q', ALL, NULL, read_flag, AT(is_quiet), 0, 0, NULL, "no line a second on stderr"},
	{"help", 'h', ALL, NULL, read_flag, AT(wants_help), 0, 0, NULL, "this text"},
	{"version", 'V', ALL, NULL, read_flag, AT(wants_version), 0, 0, NULL, "the version"},
};
/* clang-format on */

/* A paragraph of HELP_COLUMNS, indented. */
static void print_wrapped(FILE *file, const char *text)
{
	unsigned at = 0;

	while (*text) {
		const size_t n = strcspn(text, " ");

		if (at && at + 1 + n > HELP_COLUMNS) {
			fputc('\n', file);
			at = 0;
		}
		fprintf(file, "%*s%.*s", at ? 1 : HELP_INDENT, "", (int)n, text);
		at += (unsigned)n + (at ? 1 : HELP_INDENT);
		text += n;
		text += *text == ' ';
	}
	fputc('\n', file);
}

/* "tx, txrx: " before what is an option of some commands only. */
static void print_row(FILE *file, const struct row *row)
{
	char text[HELP_BYTES];
	size_t at = 0;

	fputs("  ", file);
	if (row->letter)
		fprintf(file, "-%c, ", row->letter);
	fprintf(file, "--%s%s%s\n", row->name, row->argument ? " " : "",
		row->argument ? row->argument : "");
	for (unsigned mode = 0; row->modes != ALL && mode < GEN_MODES; mode++)
		if (row->modes & 1 << mode)
			at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s",
					       modes[mode].name,
					       row->modes >> (mode + 1) ? ", " : ": ");
	snprintf(text + at, sizeof(text) - at, "%s", row->help);
	print_wrapped(file, text);
}

void wr_options_help(FILE *file)
{
	fputs("Usage: weir-gen COMMAND PORT... [OPTION...]\n"
	      "\n"
	      "Sends, receives and measures packets by any port of Weir: an interface\n"
	      "(af_xdp:eth0 or eth0), tap:NAME, memif:SOCKET, ring:NAME, pcap:IN,OUT, null:.\n"
	      "\n"
	      "Commands:\n",
	      file);
	for (unsigned i = 0; i < GEN_MODES; i++) {
		fprintf(file, "  %s %s\n", modes[i].name, modes[i].arguments);
		print_wrapped(file, modes[i].help);
	}
	fputs("\nOptions:\n", file);
	for (size_t i = 0; i < wr_array_size(rows); i++)
		print_row(file, &rows[i]);
	fputs("\nThe report goes to standard output. Exit status: 0 done, 1 failed, 2 usage,\n"
	      "3 what --fail-on-... forbids has happened. SIGINT and SIGTERM end it with a report.\n",
	      file);
}

/* --- reading ---------------------------------------------------------------------------------- */

static void set_defaults(struct gen_options *o)
{
	*o = (struct gen_options){
		.rate = {.unit = PACE_PACKETS, .per_s = 1000},
		.drain_ns = S / 2,
		.n_loops = 1,
		.burst = 64,
		.window = TRACK_USUAL_WINDOW,
		.max_flows = 65536,
		.traffic = {.size = {.low = MIN_FRAME_BYTES, .high = MIN_FRAME_BYTES},
			    .protocol = IP_PROTO_UDP,
			    .src = {.addr = ip4_from(0xc6120001), .len = 32},
			    .dst = {.addr = ip4_from(0xc6130001), .len = 32},
			    .sport = {1024, UINT16_MAX},
			    .dport = {9, 9},
			    .ttl = 64,
			    .n_flows = 1,
			    .exponent = 1,
			    .seed = 1},
	};
}

static int read_mode(struct gen_options *o, const char *word, struct wr_err *err)
{
	for (unsigned i = 0; i < GEN_MODES; i++)
		if (!strcmp(word, modes[i].name)) {
			o->mode = (enum gen_mode)i;
			return 0;
		}
	return wr_err(err, -EINVAL,
		      "'%.40s': no such command; there are tx, rx, txrx, echo and replay", word);
}

static int read_words(struct gen_options *o, char **words, int n, struct wr_err *err)
{
	static const int most[GEN_MODES] = {
		[GEN_TX] = 1, [GEN_RX] = 1, [GEN_TXRX] = 2, [GEN_ECHO] = 1, [GEN_REPLAY] = 2};
	const int least = o->mode == GEN_REPLAY ? 2 : 1;

	if (n < least)
		return wr_err(err, -EINVAL, "%s: %s is missing: use weir-gen %s %s",
			      wr_mode_name(o->mode), n ? "FILE" : "PORT", wr_mode_name(o->mode),
			      modes[o->mode].arguments);
	if (n > most[o->mode])
		return wr_err(err, -EINVAL, "'%.60s': one word too many: use weir-gen %s %s",
			      words[most[o->mode]], wr_mode_name(o->mode),
			      modes[o->mode].arguments);
	o->ports[o->n_ports++] = words[0];
	if (o->mode == GEN_REPLAY)
		o->file = words[1];
	else if (n == 2)
		o->ports[o->n_ports++] = words[1];
	return 0;
}

static int take(struct gen_options *o, const struct row *row, const char *value, struct wr_err *err)
{
	if (!row->read(o, row, value))
		return 0;
	return wr_err(err, -EINVAL, "--%s: '%.60s': %s", row->name, value, row->takes);
}

static void fill_getopt(struct option *ret_long, char *ret_short)
{
	*ret_short++ = ':';
	for (size_t i = 0; i < wr_array_size(rows); i++) {
		ret_long[i] = (struct option){.name = rows[i].name,
					      .has_arg = rows[i].argument ? required_argument
									  : no_argument,
					      .val = OPT_FIRST + (int)i};
		if (!rows[i].letter)
			continue;
		*ret_short++ = rows[i].letter;
		if (rows[i].argument)
			*ret_short++ = ':';
	}
	*ret_short = '\0';
	ret_long[wr_array_size(rows)] = (struct option){NULL, 0, NULL, 0};
}

static const struct row *row_of(int opt)
{
	if (opt >= OPT_FIRST)
		return &rows[opt - OPT_FIRST];
	for (size_t i = 0; i < wr_array_size(rows); i++)
		if (rows[i].letter == opt)
			return &rows[i];
	return NULL;
}

/* getopt_long() has returned '?' or ':' for `word`. */
static int refuse(int opt, const char *word, struct wr_err *err)
{
	const int n = (int)strcspn(word, "=");

	if (opt == ':')
		return wr_err(err, -EINVAL, "%.60s: needs a value; 'weir-gen --help' says which",
			      word);
	if (optopt >= OPT_FIRST)
		return wr_err(err, -EINVAL, "%.*s: takes no value", n, word);
	if (optopt)
		return wr_err(err, -EINVAL, "-%c: no such option; 'weir-gen --help' lists them",
			      optopt);
	return wr_err(err, -EINVAL, "%.60s: no such option; 'weir-gen --help' lists them", word);
}

/* `ret_given`: which rows were. */
static int read_options(int argc, char **argv, struct gen_options *o, bool *ret_given,
			struct wr_err *err)
{
	struct option long_options[wr_array_size(rows) + 1];
	char short_options[2 * wr_array_size(rows) + 2];
	int opt, rc = 0;

	fill_getopt(long_options, short_options);
	opterr = 0;
	optind = 0; /* from the start, also when called again */
	while (!rc && (opt = getopt_long(argc, argv, short_options, long_options, NULL)) != -1) {
		const struct row *row = opt == '?' || opt == ':' ? NULL : row_of(opt);

		if (!row)
			return refuse(opt, argv[optind - 1], err);
		ret_given[row - rows] = true;
		rc = take(o, row, optarg, err);
	}
	return rc;
}

static int check_modes(const struct gen_options *o, const bool *is_given, struct wr_err *err)
{
	for (size_t i = 0; i < wr_array_size(rows); i++)
		if (is_given[i] && !(rows[i].modes & 1 << o->mode))
			return wr_err(err, -EINVAL, "--%s: is no option of '%s'", rows[i].name,
				      wr_mode_name(o->mode));
	return 0;
}

static int check_traffic(const struct gen_options *o, struct wr_err *err)
{
	const struct traffic_conf *t = &o->traffic;
	const unsigned min = wr_traffic_min_bytes(t->protocol);
	const uint64_t max_flows = wr_traffic_max_flows(t);

	if (!o->has_dmac && !o->has_via)
		return wr_err(err, -EINVAL,
			      "to whom? give the MAC address of the next router or the far end by "
			      "--dmac MAC, or the router's address by --via ADDRESS");
	if (o->has_dmac && o->has_via)
		return wr_err(err, -EINVAL, "--dmac and --via: use one of them");
	if (t->size.low < min)
		return wr_err(err, -EINVAL,
			      "--size: %u bytes are too few for TCP and the mark: use %u or more",
			      t->size.low, min);
	if (t->n_flows > max_flows)
		return wr_err(err, -EINVAL,
			      "--flows: %u flows, but addresses and ports give only %llu: "
			      "widen --dst, --src, --sport or --dport",
			      t->n_flows, (unsigned long long)max_flows);
	if (o->rate.unit == PACE_OWN)
		return wr_err(err, -EINVAL, "--rate: own is the rate of replays only");
	return 0;
}

int wr_options_read(int argc, char **argv, struct gen_options *ret_options, struct wr_err *err)
{
	bool is_given[wr_array_size(rows)] = {false};
	struct gen_options *o = ret_options;
	int rc;

	set_defaults(o);
	rc = read_options(argc, argv, o, is_given, err);
	if (rc || o->wants_help || o->wants_version)
		return rc;
	if (optind == argc)
		return wr_err(err, -EINVAL,
			      "no command: use weir-gen tx, rx, txrx, echo or replay;"
			      " 'weir-gen --help' says more");
	rc = read_mode(o, argv[optind], err);
	if (!rc)
		rc = read_words(o, argv + optind + 1, argc - optind - 1, err);
	if (!rc)
		rc = check_modes(o, is_given, err);
	if (!rc && (SENDS & 1 << o->mode))
		rc = check_traffic(o, err);
	if (o->mode == GEN_REPLAY && !o->has_rate)
		o->rate.unit = PACE_OWN;
	return rc;
}
