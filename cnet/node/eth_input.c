/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The door: is this a plain IPv4 frame for this station, on an interface that Weir may route on?
 *
 * The XDP program asked the same, but settings change while frames are in the ring, and not every
 * port has a program.
 */
#include "cnet/worker.h"
#include "lib/wire/wire.h"

#include <string.h>

static inline enum eth_input_edge eth_input(struct worker *w, struct packet *pkt)
{
	const struct fib_iface *iface = wr_rcu_load(w->fib->iface[pkt->rx_port]);
	const struct eth_hdr *eth = (const struct eth_hdr *)pkt->data;

	if (wr_unlikely(pkt->seg_len < sizeof(*eth)))
		return eth_input_drop_too_short;
	if (wr_unlikely(be16_to(eth->type) != ETHERTYPE_IP4))
		return eth_input_punt_not_ip4;
	if (wr_unlikely(!iface || !iface->transit))
		return eth_input_punt_not_router;
	if (wr_unlikely(memcmp(&eth->dst, &iface->mac, sizeof(eth->dst)) != 0))
		return eth_input_punt_not_our_mac;
	return eth_input_to_ip4_input;
}

GRAPH_NODE(eth_input, struct worker, &wr_node_table.nodes[NODE_eth_input])
