/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * UDP round trips, one packet at a time; spins while it waits for the answer.
 *
 *   rtt [-i IDLE_MS] ADDRESS PORT COUNT      sleeps IDLE_MS before each packet
 *
 * Prints the median, the 99th percentile and the least in microseconds, and how many were lost.
 */
#include "tests/bench/bench.h"

#include <arpa/inet.h>
#include <sys/socket.h>

enum { PATIENCE_NS = 200000000, WARM_UP = 16 };

static int connect_to(const char *address, unsigned port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	if (inet_pton(AF_INET, address, &to.sin_addr) != 1)
		usage("rtt [-i IDLE_MS] ADDRESS PORT COUNT");
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		die(address);
	return fd;
}

/* Nanoseconds, 0 if the answer does not come. A late answer to an earlier packet is passed over. */
static uint64_t round_trip(int fd, uint32_t seq)
{
	uint64_t start_ns = now_ns(), spent_ns = 0;
	uint32_t got[8] = {seq};

	if (send(fd, got, sizeof(got), 0) < 0 && errno != ECONNREFUSED)
		die("send");
	while (spent_ns < PATIENCE_NS) {
		ssize_t n = recv(fd, got, sizeof(got), 0);

		spent_ns = now_ns() - start_ns;
		if (n == sizeof(got) && got[0] == seq)
			return spent_ns;
	}
	return 0;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	unsigned idle_ms = 0, count, n = 0;
	uint64_t *spent_ns;
	int fd, opt;

	while ((opt = getopt(argc, argv, "i:")) != -1) {
		if (opt != 'i')
			usage("rtt [-i IDLE_MS] ADDRESS PORT COUNT");
		idle_ms = (unsigned)number(optarg);
	}
	if (argc - optind != 3)
		usage("rtt [-i IDLE_MS] ADDRESS PORT COUNT");
	fd = connect_to(argv[optind], (unsigned)number(argv[optind + 1]));
	count = (unsigned)number(argv[optind + 2]);
	spent_ns = calloc(count, sizeof(*spent_ns));
	if (!spent_ns)
		die("calloc");
	for (unsigned i = 0; i < WARM_UP; i++)
		(void)round_trip(fd, UINT32_MAX - i);
	for (unsigned i = 0; i < count; i++) {
		if (idle_ms)
			usleep(idle_ms * 1000);
		spent_ns[n] = round_trip(fd, i);
		n += spent_ns[n] != 0;
	}
	qsort(spent_ns, n, sizeof(*spent_ns), compare);
	if (!n) {
		fprintf(stderr, "rtt: nothing came back\n");
		return 1;
	}
	printf("%.2f %.2f %.2f %u\n", (double)spent_ns[n / 2] / 1e3,
	       (double)spent_ns[n * 99UL / 100] / 1e3, (double)spent_ns[0] / 1e3, count - n);
	free(spent_ns);
	close(fd);
	return 0;
}
