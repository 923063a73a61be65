/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/* Everything that comes in on queue 0 goes to the AF_XDP socket. */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} sockets SEC(".maps");

SEC("xdp")
int raw(struct xdp_md *ctx)
{
	return bpf_redirect_map(&sockets, ctx->rx_queue_index, XDP_PASS);
}

char licence[] SEC("license") = "Dual BSD/GPL";
