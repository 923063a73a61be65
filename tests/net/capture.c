/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Frames written down so that two routers can be compared.
 *
 *   capture [--ready FILE] [--idle MS] [--all] [--sent] IF
 *
 * One line a received frame that carries the marker of `pkt send`, also where an ICMP error
 * quotes it, sorted by the marker's id. A fragment behind the first has no marker and goes by its
 * IP id. --all: also frames that have neither. --sent: those sent by IF instead. Ends on SIGTERM
 * or SIGINT, or when no frame has come for MS. FILE appears when it listens.
 */
#include "tests/net/frame.h"

#include <fcntl.h>
#include <getopt.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <unistd.h>

enum { RCVBUF_BYTES = 64 << 20, LINE_BYTES = 400 };

static _Noreturn void usage(void)
{
	fputs("usage: capture [--ready FILE] [--idle MS] [--all] [--sent] IF\n", stderr);
	exit(2);
}

static volatile sig_atomic_t must_end;

static void on_signal(int signo)
{
	(void)signo;
	must_end = 1;
}

struct lines {
	char **list;
	size_t n, max;
	bool wants_all;
};

static void add_line(struct lines *lines, const char *text)
{
	if (lines->n == lines->max) {
		lines->max = lines->max * 2 + 1024;
		lines->list = realloc(lines->list, lines->max * sizeof(*lines->list));
	}
	if (!lines->list || !(lines->list[lines->n++] = strdup(text)))
		die("out of memory");
}

static int compare_lines(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* FNV-1a */
static uint32_t hash_bytes(const uint8_t *data, size_t len)
{
	uint32_t hash = 2166136261;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ data[i]) * 16777619;
	return hash;
}

/* What the packet says about itself above IP; `len` bytes from `l4` on are of the packet. */
static int describe_l4(char *text, size_t room, const uint8_t *ip, const uint8_t *l4, size_t len)
{
	bool is_fragment = get16(ip + 6) & (IP_MF | IP_OFFMASK), is_ok;
	size_t header = ip[9] == IPPROTO_TCP ? 20 : 8;

	if (is_fragment || len < header ||
	    (ip[9] != IPPROTO_TCP && ip[9] != IPPROTO_UDP && ip[9] != IPPROTO_ICMP))
		return snprintf(text, room, " proto=%u%s", ip[9], is_fragment ? " fragment" : "");
	is_ok = !l4_sum(ip, l4, len) || (ip[9] == IPPROTO_UDP && !get16(l4 + 6));
	if (ip[9] == IPPROTO_ICMP)
		return snprintf(text, room, " icmp %u/%u l4sum=%s", l4[0], l4[1],
				is_ok ? "ok" : "bad");
	return snprintf(text, room, " %s %u>%u l4sum=%s", ip[9] == IPPROTO_TCP ? "tcp" : "udp",
			get16(l4), get16(l4 + 2), is_ok ? "ok" : "bad");
}

/* A host numbers the ICMP packets it makes itself as it likes: their IP id is not compared. */
static bool is_made_by_host(const uint8_t *ip, size_t header, size_t len)
{
	return ip[9] == IPPROTO_ICMP && len > header && ip[header] != ICMP_ECHO;
}

static int describe_ip(char *text, size_t room, const uint8_t *ip, size_t len)
{
	char src[INET_ADDRSTRLEN], dst[INET_ADDRSTRLEN];
	size_t header = (size_t)(ip[0] & 15) * 4, total = get16(ip + 2);
	int n;

	if (len < 20 || ip[0] >> 4 != 4 || header < 20 || total < header || total > len)
		return snprintf(text, room, " broken header, %zu bytes, data=%08x", len,
				hash_bytes(ip, len));
	inet_ntop(AF_INET, ip + 12, src, sizeof(src));
	inet_ntop(AF_INET, ip + 16, dst, sizeof(dst));
	n = snprintf(text, room, " %s>%s ttl=%u tos=%u id=%u off=%u len=%zu ipsum=%s", src, dst,
		     ip[8], ip[1], is_made_by_host(ip, header, total) ? 0 : get16(ip + 4),
		     get16(ip + 6), total, fold(sum_bytes(ip, header, 0)) ? "bad" : "ok");
	n += describe_l4(text + n, room - (size_t)n, ip, ip + header, total - header);
	n += snprintf(text + n, room - (size_t)n, " data=%08x",
		      hash_bytes(ip + header, total - header));
	if (header > 20)
		n += snprintf(text + n, room - (size_t)n, " options=%zu", header - 20);
	if (total < len)
		n += snprintf(text + n, room - (size_t)n, " padding=%zu", len - total);
	return n;
}

static bool find_id(const uint8_t *frame, size_t len, uint32_t *ret_id)
{
	const uint8_t *marker = memmem(frame, len, MAGIC, sizeof(MAGIC)), *ip = frame + ETH_BYTES;

	if (marker && marker + MARKER_BYTES <= frame + len) {
		*ret_id = get32(marker + sizeof(MAGIC));
		return true;
	}
	if (get16(frame + 12) != ETHERTYPE_IP || len < ETH_BYTES + 20 ||
	    !(get16(ip + 6) & IP_OFFMASK))
		return false;
	*ret_id = get16(ip + 4);
	return true;
}

static void describe(struct lines *lines, const uint8_t *m, size_t len)
{
	char text[LINE_BYTES];
	const uint8_t *frame = m;
	uint32_t id = UINT32_MAX;
	int n;

	if (len < ETH_BYTES || (!find_id(frame, len, &id) && !lines->wants_all))
		return;
	n = snprintf(text, sizeof(text),
		     "%010u %02x:%02x:%02x:%02x:%02x:%02x>%02x:%02x:%02x:%02x:%02x:%02x", id, m[6],
		     m[7], m[8], m[9], m[10], m[11], m[0], m[1], m[2], m[3], m[4], m[5]);
	if (get16(frame + 12) == ETHERTYPE_IP)
		describe_ip(text + n, sizeof(text) - (size_t)n, frame + ETH_BYTES, len - ETH_BYTES);
	else
		snprintf(text + n, sizeof(text) - (size_t)n, " ethertype=%04x data=%08x",
			 get16(frame + 12), hash_bytes(frame + ETH_BYTES, len - ETH_BYTES));
	add_line(lines, text);
}

static int open_capture(const char *ifname, bool wants_sent)
{
	int fd = open_raw(ifname, ETH_P_ALL), bytes = RCVBUF_BYTES, on = 1;

	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) < 0)
		die("SO_RCVBUFFORCE");
	if (!wants_sent && setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)) < 0)
		die("PACKET_IGNORE_OUTGOING");
	return fd;
}

static void check_losses(int fd)
{
	struct tpacket_stats stats;
	socklen_t len = sizeof(stats);

	if (!getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &stats, &len) && stats.tp_drops) {
		fprintf(stderr, "pkt: the capture itself lost %u frames\n", stats.tp_drops);
		exit(1);
	}
}

/* Until a signal, and then until what has come is read; or until it was quiet for `idle_ms`. */
static void capture_all(int fd, struct lines *lines, bool wants_sent, int idle_ms)
{
	static uint8_t frame[MAX_FRAME_BYTES];
	struct pollfd pfd = {.fd = fd, .events = POLLIN};

	for (;;) {
		struct sockaddr_ll from;
		socklen_t from_len = sizeof(from);
		ssize_t len = recvfrom(fd, frame, sizeof(frame), MSG_DONTWAIT,
				       (struct sockaddr *)&from, &from_len);
		int ready;

		if (len >= 0) {
			if ((from.sll_pkttype == PACKET_OUTGOING) == wants_sent)
				describe(lines, frame, (size_t)len);
			continue;
		}
		if (must_end)
			return;
		ready = poll(&pfd, 1, idle_ms > 0 ? idle_ms : 100);
		if (!ready && idle_ms > 0)
			return;
	}
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"ready", 1, NULL, 'r'}, {"idle", 1, NULL, 'i'}, {"all", 0, NULL, 'a'},
		{"sent", 0, NULL, 's'},  {NULL, 0, NULL, 0},
	};
	struct sigaction action = {.sa_handler = on_signal};
	static struct lines lines;
	const char *ready = NULL;
	bool wants_sent = false;
	int opt, fd, idle_ms = 0;

	while ((opt = getopt_long(argc, argv, "r:i:as", options, NULL)) != -1) {
		if (opt == 'r')
			ready = optarg;
		else if (opt == 'i')
			idle_ms = atoi(optarg); /* NOLINT(cert-err34-c): garbage is 0, no limit */
		else if (opt == 'a')
			lines.wants_all = true;
		else if (opt == 's')
			wants_sent = true;
		else
			usage();
	}
	if (argc - optind != 1)
		usage();
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	fd = open_capture(argv[optind], wants_sent);
	if (ready && close(open(ready, O_CREAT | O_WRONLY | O_CLOEXEC, 0644)) < 0)
		die(ready);
	capture_all(fd, &lines, wants_sent, idle_ms);
	check_losses(fd);
	close(fd);
	if (lines.n)
		qsort(lines.list, lines.n, sizeof(*lines.list), compare_lines);
	for (size_t i = 0; i < lines.n; i++) {
		puts(lines.list[i]);
		free(lines.list[i]);
	}
	free(lines.list);
	return 0;
}
