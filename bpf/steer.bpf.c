/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Whose is this packet?
 *
 * One program per interface. It gives each frame one verdict (bpf/steer.h has the table and its
 * order) and counts it. STEER_TRANSIT goes to the AF_XDP socket of the frame's queue; every other
 * verdict is XDP_PASS, so whatever goes wrong in user space, the kernel takes the packet as if
 * nothing were here. Nothing is ever dropped or changed.
 *
 * The predicates below return the verdict that stops the packet, or STEER_TRANSIT (zero) if they
 * have no objection.
 *
 * Loads on Linux 5.15 and later. Multi-buffer (5.18) is switched off by user space where it is
 * missing: the section is "xdp" and not "xdp.frags" because libbpf sets the flag for the latter
 * whatever one asks.
 */
#include "bpf/steer.h"

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

/* False: the kernel has no multi-buffer XDP, and the verifier removes the call that it does not
 * know. */
const volatile uint8_t multi_buffer = 1;

volatile struct steer_settings settings SEC(".data") = {};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, STEER_MAX_LOCALS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, uint32_t); /* address as in the packet */
	__type(value, uint8_t);
} locals SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, STEER_LOCAL_BITS / 64);
	__type(key, uint32_t);
	__type(value, uint64_t);
} local_bits SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, STEER_MAX_WORKERS);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, uint32_t);
	__type(value, struct steer_beat);
} beats SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, STEER_MAX_QUEUES);
	__type(key, uint32_t);
	__type(value, uint32_t);
} xsks SEC(".maps");

struct counts {
	uint64_t of[STEER_N_VERDICTS];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, uint32_t);
	__type(value, struct counts);
} counts SEC(".maps");

struct frame {
	const struct iphdr *ip;
	const void *end; /* of the linear part */
	uint32_t n_bytes;
	uint16_t flags; /* enum steer_flags */
};

static __always_inline uint32_t frame_bytes(struct xdp_md *ctx)
{
	if (multi_buffer)
		return bpf_xdp_get_buff_len(ctx);
	return ctx->data_end - ctx->data;
}

static __always_inline enum steer_verdict other_station(const struct ethhdr *eth,
							const struct steer_settings *now)
{
	const uint16_t *got = (const uint16_t *)eth->h_dest;
	const uint16_t *own = (const uint16_t *)now->mac;

	if (eth->h_proto != bpf_htons(ETH_P_IP))
		return STEER_OTHER_ETHERTYPE;
	if (got[0] != own[0] || got[1] != own[1] || got[2] != own[2])
		return STEER_OTHER_MAC;
	return STEER_TRANSIT;
}

static __always_inline enum steer_verdict bad_header(const struct frame *f)
{
	const struct iphdr *ip = f->ip;
	uint32_t n_header = ip->ihl * 4, n_total = bpf_ntohs(ip->tot_len);

	if (ip->version != 4 || n_header < sizeof(*ip))
		return STEER_BAD_HEADER;
	if (n_total < n_header || n_total + ETH_HLEN > f->n_bytes)
		return STEER_BAD_HEADER;
	return STEER_TRANSIT;
}

/* 0/8, 127/8, and 224/4 with everything above it. */
static __always_inline int is_special(uint32_t addr_be)
{
	uint32_t octet = bpf_ntohl(addr_be) >> 24;

	return octet == 0 || octet == 127 || octet >= 224;
}

static __always_inline int is_local(uint32_t addr_be)
{
	uint32_t bit = steer_local_bit(addr_be), word = bit / 64;
	const uint64_t *bits = bpf_map_lookup_elem(&local_bits, &word);

	if (bits && !(*bits >> (bit % 64) & 1))
		return 0;
	return bpf_map_lookup_elem(&locals, &addr_be) != 0;
}

static __always_inline enum steer_verdict not_in_transit(const struct frame *f)
{
	uint32_t src = f->ip->saddr, dst = f->ip->daddr;

	if (is_special(src) || is_special(dst))
		return STEER_SPECIAL_ADDRESS;
	if (is_local(dst) || is_local(src))
		return STEER_LOCAL;
	if (!(f->flags & STEER_F_TRANSIT))
		return STEER_NOT_ROUTER;
	return STEER_TRANSIT;
}

/* UDP ports of tunnels whose inner packets a local sender may leave to be completed. */
static __always_inline int is_tunnel_port(uint16_t port)
{
	switch (port) {
	case 4789: /* VXLAN */
	case 4790: /* VXLAN-GPE */
	case 8472: /* VXLAN, Linux's first choice */
	case 6081: /* Geneve */
	case 2152: /* GTP-U */
	case 1701: /* L2TP */
	case 6635: /* MPLS */
		return 1;
	}
	return 0;
}

/* The checksum field holds the pseudo-header's sum: "hardware" was to do the rest
 * (lib/mem/l4_csum.h). */
static __always_inline int is_half_summed(const struct iphdr *ip, const struct udphdr *udp)
{
	uint32_t sum = (ip->saddr & 0xffff) + (ip->saddr >> 16) + (ip->daddr & 0xffff) +
		       (ip->daddr >> 16) + bpf_htons(IPPROTO_UDP) +
		       bpf_htons(bpf_ntohs(ip->tot_len) - sizeof(*ip));

	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return udp->check == sum;
}

/*
 * On a virtual interface the sender's kernel leaves checksums to "hardware", and only it knows
 * where. For plain TCP and UDP user space can tell; of a tunnel's inner packet or SCTP's CRC it
 * cannot. Fragments were completed before they were cut.
 *
 * In generic mode a UDP frame may be several datagrams in one; nothing says where one ends, but
 * merged ones always have an unfinished checksum. (TCP's have too, and lose nothing by it.)
 */
static __always_inline enum steer_verdict unfinished(const struct frame *f)
{
	const struct udphdr *udp = (const void *)(f->ip + 1);

	switch (f->ip->protocol) {
	case IPPROTO_IPIP:
	case IPPROTO_IPV6:
	case IPPROTO_GRE:
	case IPPROTO_SCTP:
	case 115: /* L2TPv3 */
	case IPPROTO_MPLS:
		return STEER_UNFINISHED;
	case IPPROTO_UDP:
		if (f->ip->frag_off & bpf_htons(0x3fff))
			return STEER_TRANSIT;
		if ((const void *)(udp + 1) > f->end || is_tunnel_port(bpf_ntohs(udp->dest)))
			return STEER_UNFINISHED;
		if ((f->flags & STEER_F_MERGED) && is_half_summed(f->ip, udp))
			return STEER_UNFINISHED;
	}
	return STEER_TRANSIT;
}

static __always_inline enum steer_verdict untreatable(const struct frame *f)
{
	if (f->ip->ihl != 5)
		return STEER_OPTIONS;
	if (f->ip->ttl <= 1)
		return STEER_TTL;
	if (f->n_bytes > settings.max_frame_bytes)
		return STEER_OVERSIZE;
	if (f->flags & STEER_F_VIRTUAL)
		return unfinished(f);
	return STEER_TRANSIT;
}

/*
 * The redirect comes before the store to a sleeper's heartbeat: a packet that will not wake the
 * worker must not start its deadline. Compare-and-swap, because a worker that wakes or ends at this
 * moment stores its own word, and that one is right.
 */
static __always_inline enum steer_verdict nobody_there(struct xdp_md *ctx)
{
	uint32_t queue = ctx->rx_queue_index, worker;
	uint64_t beat_ns, now_ns = bpf_ktime_get_ns();
	struct steer_beat *beat;

	if (queue >= STEER_MAX_QUEUES)
		return STEER_NO_SOCKET;
	worker = settings.worker_of_queue[queue];
	beat = bpf_map_lookup_elem(&beats, &worker);
	if (!beat)
		return STEER_NO_SOCKET;
	beat_ns = *(volatile uint64_t *)&beat->ns;
	if (beat_ns == 0)
		return STEER_STALLED;
	if (beat_ns != STEER_ASLEEP && now_ns > beat_ns + settings.deadline_ns)
		return STEER_STALLED;
	if (bpf_redirect_map(&xsks, queue, XDP_PASS) != XDP_REDIRECT)
		return STEER_NO_SOCKET;
	if (beat_ns == STEER_ASLEEP)
		__sync_val_compare_and_swap(&beat->ns, STEER_ASLEEP, now_ns);
	return STEER_TRANSIT;
}

static __always_inline enum steer_verdict judge(struct xdp_md *ctx)
{
	const struct ethhdr *eth = (const void *)(long)ctx->data;
	struct frame f = {.end = (const void *)(long)ctx->data_end};
	struct steer_settings now;
	enum steer_verdict verdict;

	now.mac_and_flags = settings.mac_and_flags;
	f.flags = now.flags;
	if (f.flags & STEER_F_ALL)
		return frame_bytes(ctx) > settings.max_frame_bytes ? STEER_OVERSIZE
								   : nobody_there(ctx);
	if ((const void *)(eth + 1) > f.end)
		return STEER_OTHER_ETHERTYPE;
	verdict = other_station(eth, &now);
	if (verdict)
		return verdict;
	f.ip = (const void *)(eth + 1);
	if ((const void *)(f.ip + 1) > f.end)
		return STEER_BAD_HEADER;
	f.n_bytes = frame_bytes(ctx);
	verdict = bad_header(&f);
	if (verdict)
		return verdict;
	verdict = not_in_transit(&f);
	if (verdict)
		return verdict;
	verdict = untreatable(&f);
	if (verdict)
		return verdict;
	return nobody_there(ctx);
}

static __always_inline void count(enum steer_verdict verdict)
{
	uint32_t zero = 0;
	struct counts *c = bpf_map_lookup_elem(&counts, &zero);

	if (c && verdict < STEER_N_VERDICTS)
		c->of[verdict]++;
}

SEC("xdp")
int weir_steer(struct xdp_md *ctx)
{
	enum steer_verdict verdict = judge(ctx);

	count(verdict);
	return verdict == STEER_TRANSIT ? XDP_REDIRECT : XDP_PASS;
}

char licence[] SEC("license") = "Dual BSD/GPL";
