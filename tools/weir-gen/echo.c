/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * echo: each packet goes back to where it came from, MAC addresses, IPv4 addresses and ports of UDP
 * and TCP swapped, which leaves every checksum right. Not sent back is what was not sent to one
 * station (broadcast, multicast: two echoes would play ping-pong for ever) and what is not IPv4.
 */
#include "tools/weir-gen/gen.h"

#include "lib/wire/wire.h"

#include <errno.h>

struct tally {
	uint64_t n_packets, n_bytes, n_other;
	uint64_t last_ns;
};

static void swap_bytes(uint8_t *a, uint8_t *b, size_t n)
{
	uint8_t kept[8];

	memcpy(kept, a, n);
	memcpy(a, b, n);
	memcpy(b, kept, n);
}

/* False: not to be sent back. The headers lie in the first segment or are left as they are. */
static bool turn_round(struct weir_packet *packet)
{
	struct eth_hdr *eth = (struct eth_hdr *)packet->data;
	struct ip4_hdr *ip = (struct ip4_hdr *)(packet->data + ETH_HDR_BYTES);
	unsigned ip_bytes;

	if (packet->seg_len < ETH_HDR_BYTES + IP4_HDR_BYTES || eth->dst.b[0] & 1 ||
	    be16_to(eth->type) != ETHERTYPE_IP4 || ip4_version(ip) != 4)
		return false;
	swap_bytes(eth->dst.b, eth->src.b, sizeof(struct mac));
	swap_bytes((uint8_t *)&ip->src, (uint8_t *)&ip->dst, sizeof(struct ip4));
	ip_bytes = ip4_hdr_bytes(ip);
	if ((ip->protocol == IP_PROTO_UDP || ip->protocol == IP_PROTO_TCP) &&
	    !(be16_to(ip->frag_off) & IP4_OFFSET_MASK) && ip_bytes >= IP4_HDR_BYTES &&
	    packet->seg_len >= ETH_HDR_BYTES + ip_bytes + 4)
		swap_bytes((uint8_t *)ip + ip_bytes, (uint8_t *)ip + ip_bytes + 2, 2);
	return true;
}

static unsigned serve_queue(struct gen *g, unsigned queue_idx, struct tally *tally)
{
	struct weir_packet *packets[WEIR_BURST];
	unsigned n = weir_rx(g->rx[queue_idx], packets, WEIR_BURST), n_back = 0;

	for (unsigned i = 0; i < n; i++) {
		if (wr_gen_answer_arp(g, queue_idx, packets[i]))
			continue;
		if (!turn_round(packets[i])) {
			weir_packet_put(g->rx[queue_idx], &packets[i], 1);
			tally->n_other++;
			continue;
		}
		tally->n_bytes += packets[i]->len + FCS_BYTES;
		packets[n_back++] = packets[i];
	}
	if (n_back)
		weir_tx(g->rx[queue_idx], packets, n_back);
	tally->n_packets += n_back;
	return n;
}

static const char *why_stop(const struct gen *g, const struct tally *tally, uint64_t now_ns)
{
	if (*g->must_stop)
		return "signal";
	if (g->o->n_packets && tally->n_packets >= g->o->n_packets)
		return "count";
	if (g->o->duration_ns && now_ns - g->start_ns >= g->o->duration_ns)
		return "duration";
	if (g->o->idle_ns && tally->n_packets && now_ns - tally->last_ns >= g->o->idle_ns)
		return "idle";
	return NULL;
}

static void report_echo(const struct gen *g, const struct tally *tally, struct report *report)
{
	static const char section[] = "echoed";
	struct weir_io_stats stats = {0};

	wr_gen_report(g, report);
	weir_io_stats(g->io, g->rx_idx, &stats);
	wr_report_number(report, section, "packets", "packets sent back", REPORT_PACKETS,
			 (double)tally->n_packets);
	wr_report_number(report, section, "bytes", "bytes, with FCS", REPORT_BYTES,
			 (double)tally->n_bytes);
	wr_report_number(report, section, "full_packets", "of these lost: port full",
			 REPORT_PACKETS, (double)stats.tx_full);
	wr_report_number(report, section, "foreign_packets", "others, not sent back",
			 REPORT_PACKETS, (double)tally->n_other);
	wr_report_number(report, section, "missed_packets", "lost by the port: echo too slow",
			 REPORT_PACKETS, (double)stats.rx_missed);
}

int wr_echo(struct gen *g, struct report *report, struct wr_err *err)
{
	uint64_t now_ns = wr_gen_now_ns();
	struct tally tally = {0};

	(void)err;
	while (!(g->ended_by = why_stop(g, &tally, now_ns))) {
		unsigned n = 0;

		for (unsigned i = 0; i < g->n_rx; i++)
			n += serve_queue(g, i, &tally);
		if (!n)
			wr_gen_rest(g, now_ns + GEN_MAX_REST_NS, true);
		now_ns = wr_gen_now_ns();
		if (n)
			tally.last_ns = now_ns;
		wr_gen_line(g, now_ns, tally.n_packets, tally.n_packets + tally.n_other, 0);
	}
	wr_gen_linger(g);
	report_echo(g, &tally, report);
	return 0;
}
