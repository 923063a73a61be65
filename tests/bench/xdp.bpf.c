/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * A router in the kernel's XDP, to compare with: the kernel's own tables, looked up before there is
 * a socket buffer. Attached with `ip link set dev IFNAME xdpdrv object ... program route`.
 */
#include "tests/bench/traffic.h"

#include <linux/bpf.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

enum { ADDRESS_FAMILY_IP4 = 2 };

SEC("xdp")
int route(struct xdp_md *ctx)
{
	struct headers *h = (void *)(long)ctx->data;
	struct bpf_fib_lookup fib = {.family = ADDRESS_FAMILY_IP4};
	__u32 check;

	if ((void *)(h + 1) > (void *)(long)ctx->data_end ||
	    h->eth.h_proto != bpf_htons(ETH_P_IP) || h->ip.ihl != 5 || h->ip.ttl <= 1)
		return XDP_PASS;
	fib.tos = h->ip.tos;
	fib.l4_protocol = h->ip.protocol;
	fib.tot_len = bpf_ntohs(h->ip.tot_len);
	fib.ipv4_src = h->ip.saddr;
	fib.ipv4_dst = h->ip.daddr;
	fib.ifindex = ctx->ingress_ifindex;
	if (bpf_fib_lookup(ctx, &fib, sizeof(fib), 0) != BPF_FIB_LKUP_RET_SUCCESS)
		return XDP_PASS;
	/* RFC 1624: the TTL is the high byte of its word. */
	check = h->ip.check + bpf_htons(0x0100);
	h->ip.check = check + (check >= 0xffff);
	h->ip.ttl--;
	__builtin_memcpy(h->eth.h_dest, fib.dmac, ETH_ALEN);
	__builtin_memcpy(h->eth.h_source, fib.smac, ETH_ALEN);
	return bpf_redirect(fib.ifindex, 0);
}

/* A port takes redirected frames only if its peer has a program; this one changes nothing. */
SEC("xdp")
int pass(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_PASS;
}

char licence[] SEC("license") = "Dual BSD/GPL";
