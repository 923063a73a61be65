/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Many routes into the kernel, quickly, and the bare cost of reading them back.
 *
 *   routes add N GATEWAY...   N routes, /24 to /20, spread over the gateways
 *   routes dump               reads all of the kernel's IPv4 routes and drops them; prints how many
 *                             and the milliseconds that it took
 */
#include "tests/bench/bench.h"

#include <arpa/inet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdbool.h>
#include <sys/socket.h>

enum {
	BATCH_BYTES = 32 << 10,
	REPLY_BYTES = 64 << 10,
	/* /24 networks from one route to the next; the routes start in the first GAP - 4 of them,
	 * so that no two are the same after rounding down to a /22. */
	STRIDE = 13,
	GAP = 4,
	FIRST_24 = 24 << 16, /* 24.0.0.0 */
};

struct route_msg {
	struct nlmsghdr nlh;
	struct rtmsg rtm;
	struct rtattr dst_attr;
	uint32_t dst;
	struct rtattr via_attr;
	uint32_t via;
};

static int open_netlink(void)
{
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), bytes = 4 << 20;

	if (fd < 0 || connect(fd, (struct sockaddr *)&kernel, sizeof(kernel)) < 0)
		die("netlink");
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
	return fd;
}

static uint32_t scatter(uint32_t i)
{
	return (i * 2654435761U) >> 16;
}

static struct route_msg route(uint32_t i, uint32_t via_be)
{
	static const uint8_t lens[] = {24, 24, 24, 24, 24, 23, 22, 22};
	uint8_t len = lens[scatter(i) % sizeof(lens)];
	uint32_t addr = (FIRST_24 + i * STRIDE + scatter(i + 1) % (STRIDE - GAP + 1)) << 8;

	return (struct route_msg){
		.nlh = {.nlmsg_len = sizeof(struct route_msg),
			.nlmsg_type = RTM_NEWROUTE,
			.nlmsg_flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_REPLACE},
		.rtm = {.rtm_family = AF_INET,
			.rtm_dst_len = len,
			.rtm_table = RT_TABLE_MAIN,
			.rtm_protocol = RTPROT_BGP,
			.rtm_type = RTN_UNICAST},
		.dst_attr = {.rta_len = RTA_LENGTH(4), .rta_type = RTA_DST},
		.dst = htonl(addr & ~(UINT32_MAX >> len)),
		.via_attr = {.rta_len = RTA_LENGTH(4), .rta_type = RTA_GATEWAY},
		.via = via_be,
	};
}

/* The kernel answers errors only, and the one request of a batch that asks for an answer. */
static void send_batch(int fd, struct route_msg *batch, unsigned n)
{
	struct {
		struct nlmsghdr nlh;
		struct nlmsgerr err;
	} answer;

	batch[n - 1].nlh.nlmsg_flags |= NLM_F_ACK;
	if (send(fd, batch, n * sizeof(*batch), 0) < 0 ||
	    recv(fd, &answer, sizeof(answer), 0) < (ssize_t)sizeof(answer))
		die("netlink");
	if (answer.err.error) {
		errno = -answer.err.error;
		die("RTM_NEWROUTE");
	}
}

static void add(unsigned n_routes, char **gateways, unsigned n_gateways)
{
	static struct route_msg batch[BATCH_BYTES / sizeof(struct route_msg)];
	const unsigned max = sizeof(batch) / sizeof(batch[0]);
	int fd = open_netlink();
	unsigned n = 0;

	for (unsigned i = 0; i < n_routes; i++) {
		/* Neighbouring networks often share their way out. */
		batch[n++] = route(i, inet_addr(gateways[scatter(i / 4) % n_gateways]));
		if (n < max && i + 1 < n_routes)
			continue;
		send_batch(fd, batch, n);
		n = 0;
	}
	close(fd);
}

/* Returns true at the dump's end. */
static bool count_routes(const void *reply, size_t n_bytes, unsigned *count)
{
	unsigned left = (unsigned)n_bytes;

	for (const struct nlmsghdr *nlh = reply; NLMSG_OK(nlh, left); nlh = NLMSG_NEXT(nlh, left)) {
		if (nlh->nlmsg_type == NLMSG_DONE || nlh->nlmsg_type == NLMSG_ERROR)
			return true;
		*count += nlh->nlmsg_type == RTM_NEWROUTE;
	}
	return false;
}

static void dump(void)
{
	struct {
		struct nlmsghdr nlh;
		struct rtmsg rtm;
	} request = {.nlh = {.nlmsg_len = sizeof(request),
			     .nlmsg_type = RTM_GETROUTE,
			     .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
		     .rtm.rtm_family = AF_INET};
	static char reply[REPLY_BYTES] __attribute__((aligned(NLMSG_ALIGNTO)));
	uint64_t start_ns = now_ns();
	int fd = open_netlink();
	unsigned count = 0;
	ssize_t n_bytes;

	if (send(fd, &request, sizeof(request), 0) < 0)
		die("RTM_GETROUTE");
	do {
		n_bytes = recv(fd, reply, sizeof(reply), 0);
		if (n_bytes < 0)
			die("netlink");
	} while (!count_routes(reply, (size_t)n_bytes, &count));
	printf("%u %.1f\n", count, (double)(now_ns() - start_ns) / 1e6);
	close(fd);
}

int main(int argc, char **argv)
{
	if (argc >= 4 && !strcmp(argv[1], "add"))
		add((unsigned)number(argv[2]), argv + 3, (unsigned)argc - 3);
	else if (argc == 2 && !strcmp(argv[1], "dump"))
		dump();
	else
		usage("routes add N GATEWAY... | routes dump");
	return 0;
}
