/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * The generator's half in the kernel: run over and over by BPF_PROG_TEST_RUN, it writes a frame and
 * sends it out of a port. Live frames are used again with whatever was written into them on their
 * way, hence the whole header each time.
 */
#include "tests/bench/traffic.h"

#include <linux/bpf.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

const volatile __u32 ifindex = 0;
const volatile __u32 n_flows = 1;
const volatile __u32 n_routes = 1;
/* All but source port, destination and what follows from it. */
struct headers model;
__u32 chance = 1;
__u64 n_sent;

/* Numerical Recipes' generator; the low bits are poor. */
static __always_inline __u32 random_flow(void)
{
	chance = chance * 1664525 + 1013904223;
	return (chance >> 8) % n_flows;
}

SEC("xdp")
int gen(struct xdp_md *ctx)
{
	struct headers *h = (void *)(long)ctx->data;
	__u32 flow = random_flow(), sum;

	if ((void *)(h + 1) > (void *)(long)ctx->data_end)
		return XDP_DROP;
	*h = model;
	h->ip.daddr = bpf_htonl(FIRST_NETWORK + ((flow % n_routes) << 8) + 2);
	/* The model's checksum field holds the sum of everything else. */
	sum = h->ip.check + (h->ip.daddr & 0xffff) + (h->ip.daddr >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	h->ip.check = ~((sum & 0xffff) + (sum >> 16));
	h->udp.source = bpf_htons(1024 + flow % 60000);
	n_sent++;
	return bpf_redirect(ifindex, 0);
}

char licence[] SEC("license") = "Dual BSD/GPL";
