/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Frames made from a seed.
 *
 *   pkt send --dmac MAC --src LIST --dst LIST [options] IF
 *   pkt variants
 *
 * Lists are prefixes (10.0.0.0/8,192.0.2.1) or @FILE with one a line; ranges are LOW-HIGH or one
 * number. Options: --count N, --seed N, --first ID (of the first frame), --pps N, --smac MAC,
 * --proto udp,tcp,icmp, --ttl, --sport, --dport, --size RANGE (size is the IP total length),
 * --bad PERCENT of frames with a fault, --variant NAME,... (only these faults), --plan (prints
 * "ID VARIANT" and sends nothing). The same options and seed make the same frames. Each carries a
 * marker with its id, see capture.c.
 */
#include "tests/net/frame.h"

#include <getopt.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { MAX_PREFIXES = 1 << 20 };

struct prefix {
	uint32_t addr, mask; /* host byte order */
};

struct prefixes {
	struct prefix *list;
	size_t n;
};

struct range {
	unsigned low, high;
};

struct plan {
	struct prefixes src, dst;
	struct range ttl, sport, dport, size;
	uint8_t smac[6], dmac[6];
	uint8_t protos[3];
	unsigned n_protos;
	const char *variants; /* NULL: all */
	uint64_t n, first_id, seed, pps, bad_percent;
	bool only_plan;
};

struct frame {
	uint8_t bytes[MAX_FRAME_BYTES];
	size_t len;
};

static _Noreturn void usage(const char *why)
{
	fprintf(stderr,
		"pkt: %s\n"
		"usage: pkt send --dmac MAC --src LIST --dst LIST [--count N] [--seed N]\n"
		"           [--first ID] [--pps N] [--smac MAC] [--proto udp,tcp,icmp] [--ttl R]\n"
		"           [--sport R] [--dport R] [--size R] [--bad PERCENT]\n"
		"           [--variant NAME,...] [--plan] IF\n"
		"       pkt variants\n",
		why);
	exit(2);
}

/* --- chance: splitmix64 ----------------------------------------------------------------------- */

static uint64_t draw(uint64_t *rng)
{
	uint64_t z = (*rng += 0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

static unsigned draw_range(uint64_t *rng, struct range range)
{
	return range.low + (unsigned)(draw(rng) % (range.high - range.low + 1));
}

static uint32_t draw_addr(uint64_t *rng, const struct prefixes *prefixes)
{
	const struct prefix *p = &prefixes->list[draw(rng) % prefixes->n];

	return p->addr | ((uint32_t)draw(rng) & ~p->mask);
}

/* --- good frames ------------------------------------------------------------------------------ */

static void finish_ip(uint8_t *ip, size_t header_bytes)
{
	put16(ip + 10, 0);
	put16(ip + 10, fold(sum_bytes(ip, header_bytes, 0)));
}

static size_t l4_header_bytes(uint8_t proto)
{
	return proto == IPPROTO_TCP ? 20 : 8;
}

static void put_l4(const struct plan *plan, uint64_t *rng, uint8_t *ip, size_t len)
{
	uint8_t *l4 = ip + 20;
	size_t at = 6;

	if (ip[9] == IPPROTO_ICMP) {
		l4[0] = ICMP_ECHO;
		at = 2;
		put16(l4 + 4, draw_range(rng, plan->sport));
	} else {
		put16(l4, draw_range(rng, plan->sport));
		put16(l4 + 2, draw_range(rng, plan->dport));
	}
	if (ip[9] == IPPROTO_UDP)
		put16(l4 + 4, (unsigned)len);
	if (ip[9] == IPPROTO_TCP) {
		put32(l4 + 4, (uint32_t)draw(rng));
		l4[12] = 5 << 4;
		l4[13] = TH_ACK;
		put16(l4 + 14, 1000);
		at = 16;
	}
	put16(l4 + at, l4_sum(ip, l4, len));
}

static void build_good(const struct plan *plan, uint64_t *rng, uint32_t id, struct frame *frame)
{
	uint8_t *ip = frame->bytes + ETH_BYTES, proto = plan->protos[draw(rng) % plan->n_protos];
	size_t header = 20 + l4_header_bytes(proto), total = draw_range(rng, plan->size);

	if (total < header + MARKER_BYTES)
		total = header + MARKER_BYTES;
	frame->len = ETH_BYTES + total;
	memset(frame->bytes, 0, ETH_BYTES + header);
	memcpy(frame->bytes, plan->dmac, 6);
	memcpy(frame->bytes + 6, plan->smac, 6);
	put16(frame->bytes + 12, ETHERTYPE_IP);
	ip[0] = 0x45;
	ip[1] = (uint8_t)(draw(rng) & 0xfc);
	put16(ip + 2, (unsigned)total);
	put16(ip + 4, id & 0xffff);
	put16(ip + 6, draw(rng) % 2 ? IP_DF : 0);
	ip[8] = (uint8_t)draw_range(rng, plan->ttl);
	ip[9] = proto;
	put32(ip + 12, draw_addr(rng, &plan->src));
	put32(ip + 16, draw_addr(rng, &plan->dst));
	finish_ip(ip, 20);
	memcpy(ip + header, MAGIC, sizeof(MAGIC));
	put32(ip + header + sizeof(MAGIC), id);
	for (size_t i = header + MARKER_BYTES; i < total; i++)
		ip[i] = (uint8_t)(id + i);
	put_l4(plan, rng, ip, total - 20);
}

/* --- faults ----------------------------------------------------------------------------------- */

/*
 * Each spoils one thing in a good frame: a function does it, or `n_bytes` at `at` (from the IP
 * header) become `value`. The header checksum is mended afterwards unless that is the fault.
 */
struct variant {
	const char *name;
	bool keeps_csum;
	uint8_t at, n_bytes;
	uint32_t value;
	void (*spoil)(struct frame *, uint8_t *ip, uint64_t *rng);
};

static void set_ihl_short(struct frame *f, uint8_t *ip, uint64_t *rng)
{
	(void)f;
	ip[0] = (uint8_t)(0x40 | draw(rng) % 5);
}

static void set_ihl_past_total(struct frame *f, uint8_t *ip, uint64_t *rng)
{
	(void)rng;
	ip[0] = 0x4f;
	put16(ip + 2, 40);
	f->len = ETH_BYTES + 40;
}

static void set_total_past_frame(struct frame *f, uint8_t *ip, uint64_t *rng)
{
	(void)f;
	put16(ip + 2, get16(ip + 2) + 1 + (unsigned)(draw(rng) % 500));
}

static void set_total_below_header(struct frame *f, uint8_t *ip, uint64_t *rng)
{
	(void)f;
	put16(ip + 2, (unsigned)(draw(rng) % 20));
}

static void cut_frame(struct frame *f, uint8_t *ip, uint64_t *rng)
{
	(void)ip;
	f->len = ETH_BYTES + 20 + draw(rng) % (f->len - ETH_BYTES - 20);
}

static void cut_header(struct frame *f, uint8_t *ip, uint64_t *rng)
{
	(void)ip;
	f->len = ETH_BYTES + draw(rng) % 20;
}

static void spoil_csum(struct frame *f, uint8_t *ip, uint64_t *rng)
{
	(void)f;
	put16(ip + 10, get16(ip + 10) ^ (1U << draw(rng) % 16));
}

/* Not the router's to judge: must be forwarded as it is. */
static void spoil_data(struct frame *f, uint8_t *ip, uint64_t *rng)
{
	(void)ip;
	f->bytes[f->len - 1] ^= (uint8_t)(1U << draw(rng) % 8);
}

static void insert_options(struct frame *f, uint8_t *ip, uint64_t *rng)
{
	(void)rng;
	memmove(ip + 24, ip + 20, f->len - ETH_BYTES - 20);
	memset(ip + 20, IPOPT_NOP, 4);
	f->len += 4;
	ip[0] = 0x46;
	put16(ip + 2, get16(ip + 2) + 4);
}

static void set_fragment_next(struct frame *f, uint8_t *ip, uint64_t *rng)
{
	(void)f;
	put16(ip + 6, 1 + (unsigned)(draw(rng) % 100));
}

static void add_padding(struct frame *f, uint8_t *ip, uint64_t *rng)
{
	size_t n = 1 + draw(rng) % 40;

	(void)ip;
	memset(f->bytes + f->len, 0xee, n);
	f->len += n;
}

static void set_mac_other(struct frame *f, uint8_t *ip, uint64_t *rng)
{
	(void)ip, (void)rng;
	f->bytes[5] ^= 0x40;
}

static void set_mac_broadcast(struct frame *f, uint8_t *ip, uint64_t *rng)
{
	(void)ip, (void)rng;
	memset(f->bytes, 0xff, 6);
}

static void set_ethertype(struct frame *f, uint8_t *ip, uint64_t *rng)
{
	(void)ip, (void)rng;
	put16(f->bytes + 12, 0x88b5);
}

static void insert_vlan(struct frame *f, uint8_t *ip, uint64_t *rng)
{
	(void)ip;
	memmove(f->bytes + 16, f->bytes + 12, f->len - 12);
	put16(f->bytes + 12, ETHERTYPE_VLAN);
	put16(f->bytes + 14, 1 + (unsigned)(draw(rng) % 4000));
	f->len += 4;
}

static void flip_bits(struct frame *f, uint8_t *ip, uint64_t *rng)
{
	(void)f;
	for (uint64_t n = 1 + draw(rng) % 8; n > 0; n--)
		ip[draw(rng) % 40] ^= (uint8_t)(1U << draw(rng) % 8);
}

static void draw_bytes(uint8_t *at, size_t len, uint64_t *rng)
{
	for (size_t i = 0; i < len; i++)
		at[i] = (uint8_t)draw(rng);
}

static void draw_header(struct frame *f, uint8_t *ip, uint64_t *rng)
{
	(void)f;
	draw_bytes(ip, 28, rng);
	ip[0] = 0x40 | (ip[0] & 15);
}

/* Any length, nothing of the good frame left but, in half of them, to whom and what it is. */
static void draw_frame(struct frame *f, uint8_t *ip, uint64_t *rng)
{
	size_t keep = draw(rng) % 2 ? ETH_BYTES : 0;

	(void)ip;
	f->len = ETH_BYTES + draw(rng) % (1500 + 1);
	draw_bytes(f->bytes + keep, f->len - keep, rng);
}

/* clang-format off */
static const struct variant VARIANTS[] = {
	/* name, keeps the checksum, at, bytes, value, done by */
	{"version", false, 0, 1, 0x55, NULL},
	{"ihl-short", true, 0, 0, 0, set_ihl_short},
	{"ihl-past-total", true, 0, 0, 0, set_ihl_past_total},
	{"total-past-frame", false, 0, 0, 0, set_total_past_frame},
	{"total-huge", false, 2, 2, 65535, NULL},
	{"total-below-header", false, 0, 0, 0, set_total_below_header},
	{"cut-frame", true, 0, 0, 0, cut_frame},
	{"cut-header", true, 0, 0, 0, cut_header},
	{"checksum", true, 0, 0, 0, spoil_csum},
	{"data", false, 0, 0, 0, spoil_data},
	{"ttl-0", false, 8, 1, 0, NULL},
	{"ttl-1", false, 8, 1, 1, NULL},
	{"options", false, 0, 0, 0, insert_options},
	{"fragment-first", false, 6, 2, IP_MF, NULL},
	{"fragment-next", false, 0, 0, 0, set_fragment_next},
	{"padded", false, 0, 0, 0, add_padding},
	{"src-loopback", false, 12, 4, INADDR_LOOPBACK, NULL},
	{"src-multicast", false, 12, 4, 0xe0000005, NULL},
	{"src-zero", false, 12, 4, INADDR_ANY, NULL},
	{"src-broadcast", false, 12, 4, INADDR_BROADCAST, NULL},
	{"src-class-e", false, 12, 4, 0xf0000001, NULL},
	{"dst-loopback", false, 16, 4, INADDR_LOOPBACK, NULL},
	{"dst-multicast", false, 16, 4, 0xe0000009, NULL},
	{"dst-broadcast", false, 16, 4, INADDR_BROADCAST, NULL},
	{"dst-zero", false, 16, 4, INADDR_ANY, NULL},
	{"dst-class-e", false, 16, 4, 0xf0000001, NULL},
	{"mac-other", true, 0, 0, 0, set_mac_other},
	{"mac-broadcast", true, 0, 0, 0, set_mac_broadcast},
	{"ethertype", true, 0, 0, 0, set_ethertype},
	{"vlan", true, 0, 0, 0, insert_vlan},
	{"flipped", true, 0, 0, 0, flip_bits},
	{"flipped-mended", false, 0, 0, 0, flip_bits},
	{"random-header", false, 0, 0, 0, draw_header},
	{"random-frame", true, 0, 0, 0, draw_frame},
};
/* clang-format on */

enum { N_VARIANTS = sizeof(VARIANTS) / sizeof(VARIANTS[0]) };

/* Is `name` a word of the comma-separated list? */
static bool is_listed(const char *list, const char *name)
{
	size_t len = strlen(name);

	for (const char *at = strstr(list, name); at; at = strstr(at + 1, name))
		if ((at == list || at[-1] == ',') && (at[len] == ',' || !at[len]))
			return true;
	return false;
}

/* NULL: a good frame. */
static const struct variant *draw_variant(const struct plan *plan, uint64_t *rng)
{
	const struct variant *allowed[N_VARIANTS];
	size_t n = 0;

	if (draw(rng) % 100 >= plan->bad_percent)
		return NULL;
	for (size_t i = 0; i < N_VARIANTS; i++)
		if (!plan->variants || is_listed(plan->variants, VARIANTS[i].name))
			allowed[n++] = &VARIANTS[i];
	return n ? allowed[draw(rng) % n] : NULL;
}

static void spoil(const struct variant *variant, struct frame *frame, uint64_t *rng)
{
	uint8_t *ip = frame->bytes + ETH_BYTES;

	if (variant->spoil)
		variant->spoil(frame, ip, rng);
	for (unsigned i = 0; i < variant->n_bytes; i++)
		ip[variant->at + i] = (uint8_t)(variant->value >> 8 * (variant->n_bytes - 1 - i));
	if (!variant->keeps_csum)
		finish_ip(ip, (size_t)(ip[0] & 15) * 4);
}

/* --- reading the command line ----------------------------------------------------------------- */

static uint64_t parse_number(const char *text, uint64_t max)
{
	char *end;
	uint64_t value;

	errno = 0;
	value = strtoull(text, &end, 0);
	if (errno || end == text || *end || value > max)
		usage(text);
	return value;
}

static struct range parse_range(char *text, unsigned max)
{
	char *dash = strchr(text, '-');
	struct range range;

	if (dash)
		*dash = 0;
	range.low = (unsigned)parse_number(text, max);
	range.high = dash ? (unsigned)parse_number(dash + 1, max) : range.low;
	if (range.low > range.high)
		usage("a range begins above its end");
	return range;
}

static void parse_mac(const char *text, uint8_t *ret_mac)
{
	unsigned b[6];

	/* NOLINTNEXTLINE(cert-err34-c): two hexadecimal digits cannot overflow */
	if (sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5]) != 6)
		usage(text);
	for (unsigned i = 0; i < 6; i++)
		ret_mac[i] = (uint8_t)b[i];
}

static void add_prefix(struct prefixes *prefixes, char *text)
{
	char *slash = strchr(text, '/');
	unsigned len = 32;
	struct in_addr addr;
	uint32_t mask;

	if (slash) {
		*slash = 0;
		len = (unsigned)parse_number(slash + 1, 32);
	}
	if (inet_pton(AF_INET, text, &addr) != 1 || prefixes->n == MAX_PREFIXES)
		usage(text);
	mask = len ? ~(uint32_t)0 << (32 - len) : 0;
	if (!(prefixes->n & (prefixes->n - 1))) { /* doubles at powers of two */
		prefixes->list =
			realloc(prefixes->list, (prefixes->n * 2 + 1) * sizeof(*prefixes->list));
		if (!prefixes->list)
			die("realloc");
	}
	prefixes->list[prefixes->n++] = (struct prefix){ntohl(addr.s_addr) & mask, mask};
}

static void add_prefixes(struct prefixes *prefixes, char *text)
{
	char line[64], *word, *rest = NULL;
	FILE *file;

	if (*text != '@') {
		for (word = strtok_r(text, ",", &rest); word; word = strtok_r(NULL, ",", &rest))
			add_prefix(prefixes, word);
		return;
	}
	file = fopen(text + 1, "re");
	if (!file)
		die(text + 1);
	while (fgets(line, sizeof(line), file)) {
		line[strcspn(line, " \t\n")] = 0;
		if (*line)
			add_prefix(prefixes, line);
	}
	if (fclose(file))
		die(text + 1);
}

static void parse_protos(struct plan *plan, const char *text)
{
	static const struct {
		const char *name;
		uint8_t proto;
	} known[] = {{"udp", IPPROTO_UDP}, {"tcp", IPPROTO_TCP}, {"icmp", IPPROTO_ICMP}};

	plan->n_protos = 0;
	for (unsigned i = 0; i < 3; i++)
		if (is_listed(text, known[i].name))
			plan->protos[plan->n_protos++] = known[i].proto;
	if (!plan->n_protos)
		usage(text);
}

/* --- sending ---------------------------------------------------------------------------------- */

static bool is_zero_mac(const uint8_t *mac)
{
	return !(mac[0] | mac[1] | mac[2] | mac[3] | mac[4] | mac[5]);
}

static void default_smac(struct plan *plan, int fd, const char *ifname)
{
	struct ifreq ifr = {0};

	if (!is_zero_mac(plan->smac))
		return;
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", ifname);
	if (ioctl(fd, SIOCGIFHWADDR, &ifr) < 0)
		die(ifname);
	memcpy(plan->smac, ifr.ifr_hwaddr.sa_data, 6);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Bursts of 16. Time lost is not made up for: that would be one long burst, and queues overflow. */
static void pace(const struct plan *plan, uint64_t sent, uint64_t *next_ns)
{
	struct timespec at;

	if (!plan->pps || sent % 16)
		return;
	at.tv_sec = (time_t)(*next_ns / 1000000000);
	at.tv_nsec = (long)(*next_ns % 1000000000);
	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
	*next_ns = now_ns() + 16 * 1000000000UL / plan->pps;
}

/* True if it went out. A frame above the MTU does not; a full queue is waited for. */
static bool transmit(int fd, const struct frame *frame)
{
	for (unsigned tries = 0; tries < 1000; tries++) {
		struct timespec ms = {.tv_nsec = 1000000};

		if (send(fd, frame->bytes, frame->len, 0) >= 0)
			return true;
		if (errno != ENOBUFS && errno != EAGAIN && errno != EINTR)
			return false;
		nanosleep(&ms, NULL);
	}
	return false;
}

static void send_frames(const struct plan *plan, int fd)
{
	static struct frame frame;
	uint64_t rng = plan->seed, refused = 0, next_ns = 0;

	for (uint64_t i = 0; i < plan->n; i++) {
		uint32_t id = (uint32_t)(plan->first_id + i);
		const struct variant *variant = draw_variant(plan, &rng);

		build_good(plan, &rng, id, &frame);
		if (variant)
			spoil(variant, &frame, &rng);
		if (plan->only_plan) {
			printf("%u %s\n", id, variant ? variant->name : "good");
			continue;
		}
		pace(plan, i, &next_ns);
		refused += !transmit(fd, &frame);
	}
	if (!plan->only_plan)
		fprintf(stderr, "pkt: %llu frames, %llu refused by the interface\n",
			(unsigned long long)plan->n, (unsigned long long)refused);
}

enum option_type { FLAG, NUMBER, RANGE, PREFIXES, MAC, PROTOS, TEXT };

/* clang-format off */
static struct plan the_plan = {
	.ttl = { 64, 64 }, .sport = { 1024, 65535 }, .dport = { 9, 9 }, .size = { 60, 60 },
	.protos = { IPPROTO_UDP }, .n_protos = 1, .n = 1, .seed = 1,
};

static const struct {
	const char *name;
	enum option_type type;
	void *to;
	uint64_t max;
} OPTIONS[] = {
	{ "count",   NUMBER,   &the_plan.n,           UINT32_MAX },
	{ "seed",    NUMBER,   &the_plan.seed,        UINT64_MAX },
	{ "first",   NUMBER,   &the_plan.first_id,    UINT32_MAX },
	{ "pps",     NUMBER,   &the_plan.pps,         100000000 },
	{ "bad",     NUMBER,   &the_plan.bad_percent, 100 },
	{ "ttl",     RANGE,    &the_plan.ttl,         255 },
	{ "sport",   RANGE,    &the_plan.sport,       65535 },
	{ "dport",   RANGE,    &the_plan.dport,       65535 },
	{ "size",    RANGE,    &the_plan.size,        MAX_IP_BYTES },
	{ "src",     PREFIXES, &the_plan.src,         0 },
	{ "dst",     PREFIXES, &the_plan.dst,         0 },
	{ "smac",    MAC,      the_plan.smac,         0 },
	{ "dmac",    MAC,      the_plan.dmac,         0 },
	{ "proto",   PROTOS,   &the_plan,             0 },
	{ "variant", TEXT,     &the_plan.variants,    0 },
	{ "plan",    FLAG,     &the_plan.only_plan,   0 },
};
/* clang-format on */

enum { N_OPTIONS = sizeof(OPTIONS) / sizeof(OPTIONS[0]) };

static void set_option(unsigned i, char *text)
{
	switch (OPTIONS[i].type) {
	case FLAG:
		*(bool *)OPTIONS[i].to = true;
		break;
	case NUMBER:
		*(uint64_t *)OPTIONS[i].to = parse_number(text, OPTIONS[i].max);
		break;
	case RANGE:
		*(struct range *)OPTIONS[i].to = parse_range(text, (unsigned)OPTIONS[i].max);
		break;
	case PREFIXES:
		add_prefixes(OPTIONS[i].to, text);
		break;
	case MAC:
		parse_mac(text, OPTIONS[i].to);
		break;
	case PROTOS:
		parse_protos(OPTIONS[i].to, text);
		break;
	case TEXT:
		*(const char **)OPTIONS[i].to = text;
		break;
	}
}

static int pkt_send(int argc, char **argv)
{
	struct option options[N_OPTIONS + 1] = {0};
	int opt, fd = -1;

	for (unsigned i = 0; i < N_OPTIONS; i++)
		options[i] =
			(struct option){OPTIONS[i].name, OPTIONS[i].type != FLAG, NULL, (int)i};
	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt == '?')
			usage("unknown option");
		set_option((unsigned)opt, optarg);
	}
	if (!the_plan.src.n || !the_plan.dst.n || is_zero_mac(the_plan.dmac) || argc - optind != 1)
		usage("--src, --dst, --dmac and an interface are needed");
	if (!the_plan.only_plan) {
		fd = open_raw(argv[optind], 0);
		default_smac(&the_plan, fd, argv[optind]);
	}
	send_frames(&the_plan, fd);
	if (fd >= 0)
		close(fd);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc >= 2 && !strcmp(argv[1], "send"))
		return pkt_send(argc - 1, argv + 1);
	if (argc == 2 && !strcmp(argv[1], "variants")) {
		for (size_t i = 0; i < N_VARIANTS; i++)
			puts(VARIANTS[i].name);
		return 0;
	}
	usage("send or variants?");
}
