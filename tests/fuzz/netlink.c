/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Hostile netlink messages into the mirror. Input: messages one after the other, each a byte that
 * picks its type, a byte of flags, two bytes of length, then its body. After each input everything
 * is taken down again, so a leak or a next hop that nobody releases shows too (LeakSanitizer,
 * n_nh).
 */
#include "cnet/mirror/mirror.h"

#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_BODY = 4096, N_PORTS = 3 };

static const uint16_t types[] = {RTM_NEWLINK,    RTM_DELLINK,    RTM_NEWADDR,    RTM_DELADDR,
				 RTM_NEWROUTE,   RTM_DELROUTE,   RTM_NEWNEIGH,   RTM_DELNEIGH,
				 RTM_NEWNEXTHOP, RTM_DELNEXTHOP, RTM_NEWNETCONF, RTM_DELNETCONF,
				 RTM_NEWRULE,    NLMSG_DONE};

static uint64_t no_time(const struct wr_clock *clock)
{
	(void)clock;
	return WR_NS_PER_S;
}

static void local_changed(void *arg, struct ip4 addr, bool is_local)
{
	(void)arg, (void)addr, (void)is_local;
}

static void port_changed(void *arg, unsigned port_idx, const struct mirror_link *link, bool gone)
{
	(void)arg, (void)port_idx, (void)link, (void)gone;
}

static void transit_changed(void *arg, unsigned port_idx, bool transit, const char *why)
{
	(void)arg, (void)port_idx, (void)transit;
	if (!transit && !why)
		abort();
}

/* The message lies at the end of its own allocation, so that a read beyond it is seen. */
static void feed(struct mirror *mirror, uint16_t type, uint16_t flags, const uint8_t *body,
		 size_t n)
{
	const struct nlmsghdr hdr = {.nlmsg_len = (uint32_t)(NLMSG_HDRLEN + n),
				     .nlmsg_type = type,
				     .nlmsg_flags = flags};
	uint8_t *msg = malloc(NLMSG_HDRLEN + n);

	if (!msg)
		abort();
	memcpy(msg, &hdr, sizeof(hdr));
	memcpy(msg + NLMSG_HDRLEN, body, n);
	wr_mirror_feed(mirror, msg, NLMSG_HDRLEN + n);
	free(msg);
}

static int ask(void *arg, const struct mirror_route *route)
{
	uint64_t *sum = arg;

	*sum += route->n_paths;
	for (unsigned i = 0; i < route->n_paths; i++)
		*sum += route->paths[i].oif;
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const struct mirror_ops ops = {local_changed, port_changed, transit_changed};
	static const struct wr_clock clock = {.now_ns = no_time};
	static struct rcu_writer rcu;
	struct mirror_conf conf = {.ops = &ops, .rcu = &rcu};
	struct mirror *mirror;
	uint64_t sum = 0;

	if (wr_loop_create(&clock, &conf.loop) || wr_fib_create(&rcu, &conf.fib) ||
	    wr_mirror_create_detached(&conf, &mirror))
		abort();
	for (unsigned i = 0; n >= 4; i++) {
		size_t len = (size_t)(data[2] | data[3] << 8) % MAX_BODY;
		uint16_t type = types[data[0] % wr_array_size(types)];
		uint16_t flags = (uint16_t)(data[1] << 8);

		data += 4;
		n -= 4;
		if (len > n)
			len = n;
		feed(mirror, type, flags, data, len);
		if (i < N_PORTS)
			(void)wr_mirror_port_add(mirror, i + 1, i);
		data += len;
		n -= len;
	}
	wr_mirror_each_route(mirror, ask, &sum);
	wr_mirror_free(mirror);
	wr_rcu_flush(&rcu);
	wr_fib_free(conf.fib);
	wr_loop_free(conf.loop);
	return 0;
}
