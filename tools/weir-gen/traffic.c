/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/weir-gen/traffic.h"

#include "lib/wire/csum.h"
#include "tools/weir-gen/pace.h"

#include <errno.h>
#include <stdlib.h>

enum { IP_AT = ETH_HDR_BYTES, L4_AT = IP_AT + IP4_HDR_BYTES };
enum { UDP_CSUM_AT = L4_AT + 6, UDP_LEN_AT = L4_AT + 4, TCP_CSUM_AT = L4_AT + 16 };

/* 7 of 12, 4 of 12, 1 of 12. */
static const uint16_t imix[12] = {64, 64, 64, 64, 64, 64, 64, 594, 594, 594, 594, 1518};

/* --- flows ------------------------------------------------------------------------------------ */

static uint64_t n_addresses(const struct prefix4 *prefix)
{
	return UINT64_C(1) << (32 - prefix->len);
}

static uint64_t n_ports(const struct port_range *range)
{
	return (uint64_t)range->high - range->low + 1;
}

uint64_t wr_traffic_max_flows(const struct traffic_conf *conf)
{
	const uint64_t n_pairs = n_ports(&conf->sport) * n_ports(&conf->dport);
	unsigned bits = 64U - conf->src.len - conf->dst.len;

	return bits >= 32 || n_pairs << bits > MARK_MAX_FLOWS ? MARK_MAX_FLOWS : n_pairs << bits;
}

/* The i-th address of a prefix, in an order that `order` gives: odd factor, summand. */
static uint32_t address_at(const struct prefix4 *prefix, uint64_t i, const uint64_t order[2])
{
	return ip4_to(prefix->addr) |
	       ((uint32_t)(i * order[0] + order[1]) & ~ip4_mask(prefix->len));
}

static uint64_t take_digit(uint64_t *number, uint64_t base)
{
	uint64_t digit = *number % base;

	*number /= base;
	return digit;
}

static uint32_t sum32(uint32_t value)
{
	return (value >> 16) + (value & 0xffff);
}

static void init_flows(struct traffic *t, const struct traffic_conf *conf)
{
	uint64_t orders[2][2] = {{1, 0}, {1, 0}}, seed = conf->seed;

	for (unsigned i = 0; conf->is_shuffled && i < 2; i++) {
		orders[i][0] = wr_splitmix(&seed) | 1;
		orders[i][1] = wr_splitmix(&seed);
	}
	for (uint32_t i = 0; i < t->n_flows; i++) {
		struct flow *flow = &t->flows[i];
		uint64_t rest = i;
		const uint64_t dst_idx = take_digit(&rest, n_addresses(&conf->dst));
		const uint64_t src_idx = take_digit(&rest, n_addresses(&conf->src));
		const uint32_t dst = address_at(&conf->dst, dst_idx, orders[0]);
		const uint32_t src = address_at(&conf->src, src_idx, orders[1]);
		const uint16_t sport =
			(uint16_t)(conf->sport.low + take_digit(&rest, n_ports(&conf->sport)));
		const uint16_t dport = (uint16_t)(conf->dport.low + rest);

		flow->src = ip4_from(src);
		flow->dst = ip4_from(dst);
		flow->sport = be16_from(sport);
		flow->dport = be16_from(dport);
		flow->addr_sum = sum32(src) + sum32(dst);
		flow->l4_sum = flow->addr_sum + sport + dport;
	}
}

/* --- what all packets have in common ---------------------------------------------------------- */

static uint32_t sum_bytes(const uint8_t *bytes, size_t n)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < n; i += 2)
		sum += (uint32_t)bytes[i] << 8 | bytes[i + 1];
	return sum;
}

static void init_head(struct traffic *t, const struct traffic_conf *conf)
{
	const struct eth_hdr eth = {
		.dst = conf->dmac, .src = conf->smac, .type = be16_from(ETHERTYPE_IP4)};
	/* Not to be fragmented, so the id may be anything (RFC 6864, section 4.1). */
	const struct ip4_hdr ip = {.version_ihl = 0x45,
				   .tos = conf->tos,
				   .frag_off = be16_from(IP4_DF),
				   .ttl = conf->ttl,
				   .protocol = conf->protocol};

	memcpy(t->head, &eth, sizeof(eth));
	memcpy(t->head + IP_AT, &ip, sizeof(ip));
	if (!t->is_udp) {
		t->head[L4_AT + 12] = 5 << 4; /* header of five words */
		t->head[L4_AT + 13] = 0x10;   /* ACK */
		t->head[L4_AT + 14] = 0xff;   /* window */
	}
	t->head_bytes = L4_AT + (t->is_udp ? UDP_HDR_BYTES : TCP_HDR_BYTES);
	t->n_lengths = t->is_udp ? 2 : 1;
	t->ip_sum = sum_bytes(t->head + IP_AT, IP4_HDR_BYTES);
	t->l4_sum = conf->protocol + sum_bytes(t->head + L4_AT, t->head_bytes - L4_AT);
}

int wr_traffic_create(const struct traffic_conf *conf, struct traffic **ret_traffic)
{
	struct traffic *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->size = conf->size;
	t->stream = conf->stream;
	t->is_udp = conf->protocol == IP_PROTO_UDP;
	t->has_l4_sum = !(t->is_udp && conf->no_udp_checksum);
	t->n_flows = conf->n_flows;
	t->flows = calloc(t->n_flows, sizeof(*t->flows));
	if (!t->flows ||
	    wr_choose_init(&t->choose, conf->choose, conf->exponent, t->n_flows, conf->seed)) {
		wr_traffic_free(t);
		return -ENOMEM;
	}
	wr_rng_init(&t->rng, ~conf->seed);
	wr_pattern_init(&t->pattern);
	init_head(t, conf);
	init_flows(t, conf);
	*ret_traffic = t;
	return 0;
}

void wr_traffic_free(struct traffic *t)
{
	if (!t)
		return;
	wr_choose_fini(&t->choose);
	free(t->flows);
	free(t);
}

/* --- sizes ------------------------------------------------------------------------------------ */

double wr_traffic_mean_bytes(const struct size_rule *size)
{
	const size_t n = wr_array_size(imix);
	double sum = 0;

	if (!size->is_imix)
		return ((double)size->low + size->high) / 2;
	for (size_t i = 0; i < n; i++)
		sum += imix[i];
	return sum / (double)n;
}

unsigned wr_traffic_max_bytes(const struct size_rule *size)
{
	return size->is_imix ? imix[wr_array_size(imix) - 1] : size->high;
}

static unsigned draw_size(struct traffic *t)
{
	const struct size_rule *size = &t->size;

	if (wr_likely(!size->is_imix && size->low == size->high))
		return size->low;
	if (size->is_imix)
		return imix[wr_rng_below(&t->rng, wr_array_size(imix))];
	return size->low + wr_rng_below(&t->rng, size->high - size->low + 1U);
}

/* --- a packet --------------------------------------------------------------------------------- */

static void put_be16(uint8_t *at, uint32_t value)
{
	const be16 v = be16_from((uint16_t)value);

	memcpy(at, &v, sizeof(v));
}

static void write_ip(const struct traffic *t, const struct flow *flow, uint8_t *frame,
		     unsigned total_bytes)
{
	struct ip4_hdr *ip = (struct ip4_hdr *)(frame + IP_AT);

	ip->total_len = be16_from((uint16_t)total_bytes);
	ip->checksum = be16_from(
		(uint16_t)~wr_csum_fold((uint64_t)t->ip_sum + flow->addr_sum + total_bytes));
	ip->src = flow->src;
	ip->dst = flow->dst;
}

/* `sum`: of the payload. */
static void write_l4(const struct traffic *t, const struct flow *flow, uint8_t *frame,
		     unsigned l4_bytes, uint64_t sum)
{
	uint16_t checksum;

	memcpy(frame + L4_AT, &flow->sport, sizeof(flow->sport));
	memcpy(frame + L4_AT + 2, &flow->dport, sizeof(flow->dport));
	sum += (uint64_t)t->l4_sum + flow->l4_sum + (uint64_t)t->n_lengths * l4_bytes;
	checksum = (uint16_t)~wr_csum_fold(sum);
	if (!t->is_udp) {
		put_be16(frame + TCP_CSUM_AT, checksum);
		return;
	}
	put_be16(frame + UDP_LEN_AT, l4_bytes);
	/* 0 would mean that there is none (RFC 768). */
	put_be16(frame + UDP_CSUM_AT, !t->has_l4_sum ? 0 : checksum ? checksum : 0xffff);
}

unsigned wr_traffic_build(struct traffic *t, uint64_t now_ns, uint8_t *frame)
{
	const unsigned len = draw_size(t) - FCS_BYTES;
	const unsigned payload_bytes = len - t->head_bytes;
	const unsigned mark_bytes = wr_mark_bytes(payload_bytes);
	const unsigned pad_bytes = payload_bytes - mark_bytes;
	const uint32_t flow_idx = wr_choose_next(&t->choose);
	struct flow *flow = &t->flows[flow_idx];
	const struct mark mark = {
		.stream = t->stream,
		.is_long = mark_bytes == MARK_LONG_BYTES,
		.flow = flow_idx,
		.flow_seq = flow->next_seq++,
		.time_ns = now_ns & ((UINT64_C(1) << MARK_TIME_BITS) - 1),
		.seq = t->next_seq++,
	};
	uint64_t sum;

	memcpy(frame, t->head, sizeof(t->head));
	sum = wr_mark_write(frame + t->head_bytes, &mark) + t->pattern.sums[pad_bytes];
	memcpy(frame + t->head_bytes + mark_bytes, t->pattern.bytes, pad_bytes);
	write_ip(t, flow, frame, len - IP_AT);
	write_l4(t, flow, frame, len - L4_AT, sum);
	return len;
}
