/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * What the generator sends and the sink expects: UDP in IPv4, 60 bytes (64 on a wire, with the
 * frame check sequence). Flow f goes to host .2 of route f % n_routes, /24 networks counted up from
 * 20.0.0.0.
 */
#ifndef WEIR_BENCH_TRAFFIC_H
#define WEIR_BENCH_TRAFFIC_H

#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/udp.h>

enum {
	FRAME_BYTES = 60,
	TTL_SENT = 64,
	FIRST_NETWORK = 20 << 24,
	SRC_ADDR = 10 << 24 | 1 << 8 | 2, /* 10.0.1.2 */
	PORT_DISCARD = 9,
	CHECK_EVERY = 64, /* frames; the sink looks into one of these */
};

struct headers {
	struct ethhdr eth;
	struct iphdr ip;
	struct udphdr udp;
} __attribute__((packed, aligned(2)));

#endif
