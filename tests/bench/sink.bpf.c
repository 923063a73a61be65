/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Where the traffic ends: `sink` counts each frame, looks into one of CHECK_EVERY and drops it;
 * `echo` sends UDP back to where it came from.
 */
#include "tests/bench/traffic.h"

#include <linux/bpf.h>
#include <linux/in.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct sink_counts {
	__u64 n_frames;
	__u64 n_routed;  /* TTL one less, checksum right, to this port's MAC address */
	__u64 n_bridged; /* TTL as sent, checksum right */
	__u64 n_bad;     /* anything else */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct sink_counts);
} counts SEC(".maps");

const volatile __u8 own_mac[ETH_ALEN] = {0};

static __always_inline int is_sum_right(const struct headers *h)
{
	const __u16 *word = (const void *)(&h->eth + 1);
	__u32 sum = 0;

#pragma unroll
	for (unsigned i = 0; i < sizeof(h->ip) / 2; i++)
		sum += word[i];
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16) == 0xffff;
}

static __always_inline int is_to_us(const struct ethhdr *eth)
{
#pragma unroll
	for (unsigned i = 0; i < ETH_ALEN; i++)
		if (eth->h_dest[i] != own_mac[i])
			return 0;
	return 1;
}

static __always_inline void check(struct sink_counts *c, const struct headers *h)
{
	if (!is_sum_right(h))
		c->n_bad++;
	else if (h->ip.ttl == TTL_SENT - 1 && is_to_us(&h->eth))
		c->n_routed++;
	else if (h->ip.ttl == TTL_SENT)
		c->n_bridged++;
	else
		c->n_bad++;
}

static __always_inline struct headers *udp_frame(struct xdp_md *ctx)
{
	struct headers *h = (void *)(long)ctx->data;

	if ((void *)(h + 1) > (void *)(long)ctx->data_end || h->eth.h_proto != bpf_htons(ETH_P_IP))
		return 0;
	return h->ip.ihl == 5 && h->ip.protocol == IPPROTO_UDP ? h : 0;
}

SEC("xdp")
int sink(struct xdp_md *ctx)
{
	struct headers *h = udp_frame(ctx);
	__u32 zero = 0;
	struct sink_counts *c = bpf_map_lookup_elem(&counts, &zero);

	if (!h || !c)
		return XDP_PASS;
	if (c->n_frames++ % CHECK_EVERY == 0)
		check(c, h);
	return XDP_DROP;
}

/* By bpf_redirect(): XDP_TX into a veth whose peer has no program of its own is queued and never
 * flushed. */
SEC("xdp")
int echo(struct xdp_md *ctx)
{
	struct headers *h = udp_frame(ctx);
	struct ethhdr eth;
	__be32 addr;
	__be16 port;

	if (!h)
		return XDP_PASS;
	eth = h->eth;
	addr = h->ip.saddr;
	port = h->udp.source;
	__builtin_memcpy(h->eth.h_dest, eth.h_source, ETH_ALEN);
	__builtin_memcpy(h->eth.h_source, eth.h_dest, ETH_ALEN);
	h->ip.saddr = h->ip.daddr;
	h->ip.daddr = addr;
	h->udp.source = h->udp.dest;
	h->udp.dest = port;
	return bpf_redirect(ctx->ingress_ifindex, 0);
}

char licence[] SEC("license") = "Dual BSD/GPL";
