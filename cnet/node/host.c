/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A port without an interface of the kernel (memif, tap ...) has one of Weir's making: what the
 * kernel sends by it, answers to ARP and OSPF's hellos, pings and its own forwarding, leaves by the
 * port, unchanged. The graph has no say in it: the kernel has decided.
 */
#include "cnet/worker.h"

static inline enum host_edge host(struct worker *w, struct packet *pkt)
{
	const struct worker_port *port = &w->ports[pkt->rx_port];

	if (wr_unlikely(!w->outs[pkt->rx_port].queue))
		return host_drop_no_port;
	if (wr_unlikely(pkt->n_segs > 1 && (port->flags & PORT_ONE_BUFFER)))
		return host_drop_buffers;
	if (wr_unlikely(port->max_frame_bytes && pkt->len > port->max_frame_bytes))
		return host_drop_too_long;
	pkt->tx_port = pkt->rx_port;
	return host_to_tx;
}

GRAPH_NODE(host, struct worker, &wr_node_table.nodes[NODE_host])
