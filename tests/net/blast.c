/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Numbered UDP packets at a given rate, and what became of them.
 *
 *   blast send [-f FLOWS] [-s SIZE] ADDRESS PORT PPS SECONDS
 *   blast count [--ready FILE] PORT
 *
 * The receiver ends when the sender says that it has ended (packets that carry the total), and
 * prints one line of JSON: sent, received, lost, duplicated, reordered (older than one of the
 * same flow that came before it), corrupt, overflow (lost in the receiver's own socket buffer),
 * gap_ms (the longest time without a packet). SECONDS may be a fraction; SIGTERM ends the sending
 * earlier, as if it had been meant to.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	MAGIC = 0x77656972,
	MAX_FLOWS = 64,
	MAX_SIZE = 9000,
	TURN_NS = 1000000, /* the sender's pacing */
	END_GAP_NS = 25 * TURN_NS,
	/* Times that the end is told: a second of outage is survived. */
	END_TRIES = 40,
	LATE_MS = 300,            /* how long stragglers are waited for after the end */
	PATIENCE_MS = 120 * 1000, /* without any packet, the receiver gives up */
	RCVBUF_BYTES = 32 << 20,
};

/* All fields in network byte order. The rest of the payload is a pattern made from `seq`. */
struct mark {
	uint32_t magic;
	uint32_t flow;
	uint32_t seq;   /* over all flows */
	uint32_t total; /* 0, or in an end packet: how many were sent */
};

static int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void sleep_until(int64_t ns)
{
	struct timespec ts = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR)
		;
}

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "blast: %s: %s\n", what, strerror(errno));
	exit(1);
}

static _Noreturn void usage(void)
{
	fputs("usage: blast send [-f FLOWS] [-s SIZE] ADDRESS PORT PPS SECONDS\n"
	      "       blast count [--ready FILE] PORT\n",
	      stderr);
	exit(2);
}

/* A number of a command line; leaves with the usage if it is none or out of range. */
static double number(const char *text, double min, double max)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text || *end || !(value >= min && value <= max)) {
		fprintf(stderr, "blast: %s: not a number from %g to %g\n", text, min, max);
		exit(2);
	}
	return value;
}

static void fill(unsigned char *payload, size_t len, uint32_t seq)
{
	for (size_t i = 0; i < len; i++)
		payload[i] = (unsigned char)(seq + i);
}

static bool is_filled(const unsigned char *payload, size_t len, uint32_t seq)
{
	for (size_t i = 0; i < len; i++)
		if (payload[i] != (unsigned char)(seq + i))
			return false;
	return true;
}

/* --- sending ---------------------------------------------------------------------------------- */

struct sender {
	int fds[MAX_FLOWS];
	unsigned n_flows;
	size_t size;
	uint64_t failed;
	unsigned char packet[MAX_SIZE];
};

static void open_flows(struct sender *s, const char *address, unsigned port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};

	if (inet_pton(AF_INET, address, &to.sin_addr) != 1)
		usage();
	for (unsigned i = 0; i < s->n_flows; i++) {
		s->fds[i] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		if (s->fds[i] < 0 || connect(s->fds[i], (struct sockaddr *)&to, sizeof(to)) < 0)
			die(address);
	}
}

/* ECONNREFUSED and its kin are ICMP errors for earlier packets: this one is sent again. */
static void send_one(struct sender *s, uint32_t seq, uint32_t total)
{
	unsigned flow = seq % s->n_flows;
	struct mark mark = {htonl(MAGIC), htonl(flow), htonl(seq), htonl(total)};

	memcpy(s->packet, &mark, sizeof(mark));
	fill(s->packet + sizeof(mark), s->size - sizeof(mark), seq);
	for (unsigned tries = 0; tries < 3; tries++)
		if (send(s->fds[flow], s->packet, s->size, 0) >= 0)
			return;
	s->failed++;
}

static volatile sig_atomic_t must_end;

static void on_signal(int signo)
{
	(void)signo;
	must_end = 1;
}

static int blast_send(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = on_signal};
	static struct sender s = {.n_flows = 1, .size = 64};
	uint32_t total, seq = 0;
	int64_t start_ns;
	double pps;
	int opt;

	while ((opt = getopt(argc, argv, "f:s:")) != -1) {
		if (opt == 'f')
			s.n_flows = (unsigned)number(optarg, 1, MAX_FLOWS);
		else if (opt == 's')
			s.size = (size_t)number(optarg, sizeof(struct mark), MAX_SIZE);
		else
			usage();
	}
	if (argc - optind != 4)
		usage();
	open_flows(&s, argv[optind], (unsigned)number(argv[optind + 1], 1, 65535));
	pps = number(argv[optind + 2], 1, 1e7);
	total = (uint32_t)(pps * number(argv[optind + 3], 0, 3600));

	sigaction(SIGTERM, &action, NULL);
	start_ns = now_ns();
	for (int64_t turn_ns = start_ns; seq < total && !must_end; turn_ns += TURN_NS) {
		uint32_t due;

		sleep_until(turn_ns);
		due = (uint32_t)((double)(now_ns() - start_ns) * pps / 1e9) + 1;
		while (seq < due && seq < total)
			send_one(&s, seq++, 0);
	}
	total = seq;
	for (unsigned i = 0; i < END_TRIES; i++) {
		sleep_until(now_ns() + END_GAP_NS);
		send_one(&s, i, total);
	}
	fprintf(stderr, "blast: sent %u packets in %.3f s, %llu refused by the kernel\n", total,
		(double)(now_ns() - start_ns) / 1e9, (unsigned long long)s.failed);
	return 0;
}

/* --- counting --------------------------------------------------------------------------------- */

struct counts {
	uint32_t total; /* known when an end packet was seen */
	bool has_ended;
	uint64_t received, duplicated, reordered, corrupt, overflow;
	int64_t last_ns, gap_ns;
	uint32_t newest[MAX_FLOWS]; /* highest seq + 1 */
	uint8_t *seen;              /* a bit a packet */
	size_t seen_bytes;
};

/* True if it was not seen before. */
static bool mark_seen(struct counts *c, uint32_t seq)
{
	size_t at = seq / 8;
	uint8_t bit = (uint8_t)(1U << seq % 8);

	if (at >= c->seen_bytes) {
		size_t bytes = (at + 1) * 2 + 65536;

		c->seen = realloc(c->seen, bytes);
		if (!c->seen)
			die("realloc");
		memset(c->seen + c->seen_bytes, 0, bytes - c->seen_bytes);
		c->seen_bytes = bytes;
	}
	if (c->seen[at] & bit)
		return false;
	c->seen[at] |= bit;
	return true;
}

static void count_gap(struct counts *c)
{
	int64_t now = now_ns();

	if (c->last_ns && now - c->last_ns > c->gap_ns)
		c->gap_ns = now - c->last_ns;
	c->last_ns = now;
}

static void count_packet(struct counts *c, const unsigned char *packet, size_t len)
{
	struct mark mark;
	uint32_t seq, flow;

	if (len < sizeof(mark)) {
		c->corrupt++;
		return;
	}
	memcpy(&mark, packet, sizeof(mark));
	seq = ntohl(mark.seq);
	flow = ntohl(mark.flow);
	if (ntohl(mark.magic) != MAGIC || flow >= MAX_FLOWS ||
	    !is_filled(packet + sizeof(mark), len - sizeof(mark), seq)) {
		c->corrupt++;
		return;
	}
	if (mark.total) {
		c->total = ntohl(mark.total);
		c->has_ended = true;
		return;
	}
	count_gap(c);
	if (!mark_seen(c, seq)) {
		c->duplicated++;
		return;
	}
	c->received++;
	if (seq + 1 < c->newest[flow])
		c->reordered++;
	else
		c->newest[flow] = seq + 1;
}

/* The kernel's count of packets that found the socket's buffer full comes with each packet. */
static void note_overflow(struct counts *c, struct msghdr *msg)
{
	for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR(msg, cmsg)) {
		uint32_t overflow;

		if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SO_RXQ_OVFL)
			continue;
		memcpy(&overflow, CMSG_DATA(cmsg), sizeof(overflow));
		c->overflow = overflow;
	}
}

static int open_counter(unsigned port)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), bytes = RCVBUF_BYTES, on = 1;

	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0)
		die("bind");
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) < 0 &&
	    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes)) < 0)
		die("SO_RCVBUF");
	if (setsockopt(fd, SOL_SOCKET, SO_RXQ_OVFL, &on, sizeof(on)) < 0)
		die("SO_RXQ_OVFL");
	return fd;
}

static void receive_all(int fd, struct counts *c)
{
	static unsigned char packet[MAX_SIZE];
	unsigned char control[64];
	struct pollfd pfd = {.fd = fd, .events = POLLIN};
	int64_t late_ns = 0;

	while (!late_ns || now_ns() < late_ns) {
		struct iovec iov = {packet, sizeof(packet)};
		struct msghdr msg = {.msg_iov = &iov,
				     .msg_iovlen = 1,
				     .msg_control = control,
				     .msg_controllen = sizeof(control)};
		ssize_t len = recvmsg(fd, &msg, MSG_DONTWAIT);

		if (len < 0 && poll(&pfd, 1, late_ns ? LATE_MS : PATIENCE_MS) == 0)
			return;
		if (len < 0)
			continue;
		note_overflow(c, &msg);
		count_packet(c, packet, (size_t)len);
		if (c->has_ended && !late_ns)
			late_ns = now_ns() + (int64_t)(LATE_MS)*1000000;
	}
}

static int blast_count(int argc, char **argv)
{
	static const struct option options[] = {{"ready", required_argument, NULL, 'r'}, {0}};
	static struct counts c;
	const char *ready = NULL;
	int opt, fd;

	while ((opt = getopt_long(argc, argv, "r:", options, NULL)) != -1) {
		if (opt != 'r')
			usage();
		ready = optarg;
	}
	if (argc - optind != 1)
		usage();
	fd = open_counter((unsigned)number(argv[optind], 1, 65535));
	if (ready && close(open(ready, O_CREAT | O_WRONLY | O_CLOEXEC, 0644)) < 0)
		die(ready);
	receive_all(fd, &c);
	close(fd);
	free(c.seen);
	if (!c.has_ended) {
		fprintf(stderr, "blast: no end of the flood seen; %llu packets received\n",
			(unsigned long long)c.received);
		return 1;
	}
	printf("{\"sent\":%u,\"received\":%llu,\"lost\":%llu,", c.total,
	       (unsigned long long)c.received, (unsigned long long)(c.total - c.received));
	printf("\"duplicated\":%llu,\"reordered\":%llu,", (unsigned long long)c.duplicated,
	       (unsigned long long)c.reordered);
	printf("\"corrupt\":%llu,\"overflow\":%llu,\"gap_ms\":%.1f}\n",
	       (unsigned long long)c.corrupt, (unsigned long long)c.overflow,
	       (double)c.gap_ns / 1e6);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc >= 2 && !strcmp(argv[1], "send"))
		return blast_send(argc - 1, argv + 1);
	if (argc >= 2 && !strcmp(argv[1], "count"))
		return blast_count(argc - 1, argv + 1);
	usage();
}
