/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The way out: longest prefix match, then down to one neighbour.
 *
 * A route leads to a next hop; a group of them is resolved by the flow's hash, an attached network
 * by the destination's own neighbour entry. Each step goes at most once, so the order group ->
 * attached -> neighbour is fixed.
 */
#include "cnet/fib/fib4_lookup.h"
#include "cnet/node/flow.h"
#include "cnet/worker.h"

static inline enum ip4_lookup_edge edge_of_final(struct packet *pkt, const struct nexthop *nh)
{
	switch ((enum nh_type)nh->type) {
	case NH_NEIGH:
		pkt->decision = nh;
		return wr_likely(nh->is_resolved) ? ip4_lookup_to_ip4_forward
						  : ip4_lookup_punt_no_neighbour;
	case NH_LOCAL:
		return ip4_lookup_punt_local;
	case NH_BLACKHOLE:
		return ip4_lookup_drop_blackhole;
	case NH_REJECT:
		return ip4_lookup_punt_reject;
	case NH_NONE:
		return ip4_lookup_punt_no_route;
	case NH_KERNEL:
	case NH_ATTACHED: /* both were resolved: a table that says otherwise is the kernel's */
	case NH_GROUP:
		break;
	}
	return ip4_lookup_punt_by_kernel;
}

static inline enum ip4_lookup_edge ip4_lookup(struct worker *w, struct packet *pkt)
{
	const struct ip4_hdr *ip = (const struct ip4_hdr *)(pkt->data + ETH_HDR_BYTES);
	const struct nexthop *nh = wr_fib_nh(w->fib, wr_fib4_lookup(w->fib->routes, ip->dst));

	if (wr_unlikely(!nh))
		return ip4_lookup_punt_by_kernel;
	pkt->object_id = nh->id;
	if (nh->type == NH_GROUP) {
		pkt->flow_hash = wr_flow_hash(pkt, ip);
		nh = wr_fib_nh(w->fib, nh->buckets[pkt->flow_hash & (nh->n_buckets - 1U)]);
		if (wr_unlikely(!nh))
			return ip4_lookup_punt_by_kernel;
		pkt->object_id = nh->id;
	}
	pkt->mtu = nh->mtu;
	if (nh->type == NH_ATTACHED) {
		nh = wr_fib_neigh_lookup(w->fib, nh->oif, ip->dst);
		if (!nh)
			return ip4_lookup_punt_no_neighbour;
	}
	return edge_of_final(pkt, nh);
}

GRAPH_NODE(ip4_lookup, struct worker, &wr_node_table.nodes[NODE_ip4_lookup])
