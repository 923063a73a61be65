/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * May the packet go on, and does it fit? What the kernel would refuse, fragment or answer goes to
 * it, unchanged; the rest gets its time to live decremented. The checks are those of
 * fib_validate_source() and ip_forward() in Linux; wherever Weir is not sure that the kernel would
 * forward, the kernel decides.
 */
#include "cnet/fib/fib4_lookup.h"
#include "cnet/worker.h"
#include "lib/mem/l4_csum.h"

enum { RP_STRICT = 1 };

enum reverse { REVERSE_PASS, REVERSE_FAIL, REVERSE_KERNEL };

static enum reverse reverse_by(const struct nexthop *nh, const struct fib_iface *in)
{
	switch (nh ? (enum nh_type)nh->type : NH_KERNEL) {
	case NH_ATTACHED:
	case NH_NEIGH:
		if (nh->oif == in->ifindex)
			return REVERSE_PASS;
		return in->rp_filter == RP_STRICT || !in->has_address ? REVERSE_FAIL : REVERSE_PASS;
	case NH_KERNEL:
	case NH_GROUP:
		return REVERSE_KERNEL;
	default:
		return REVERSE_FAIL;
	}
}

/* Any path of a group back to the source will do; if one could be the kernel's and none else fits,
 * it decides. */
static enum reverse check_reverse_path(const struct fib *fib, const struct fib_iface *in,
				       struct ip4 src)
{
	const struct nexthop *nh = wr_fib_nh(fib, wr_fib4_lookup(fib->routes, src));
	enum reverse worst = REVERSE_FAIL;

	if (!nh || nh->type != NH_GROUP)
		return reverse_by(nh, in);
	for (unsigned i = 0; i < nh->n_members; i++) {
		enum reverse r = reverse_by(wr_fib_nh(fib, nh->members[i]), in);

		if (r == REVERSE_PASS)
			return r;
		if (r == REVERSE_KERNEL)
			worst = r;
	}
	return worst;
}

/* Linux refuses a source that is one of the host's addresses even without rp_filter. */
static bool is_local(const struct fib *fib, struct ip4 a)
{
	const struct nexthop *nh = wr_fib_nh(fib, wr_fib4_lookup(fib->routes, a));

	return !nh || nh->type == NH_LOCAL;
}

static inline enum ip4_forward_edge ip4_forward(struct worker *w, struct packet *pkt)
{
	struct ip4_hdr *ip = (struct ip4_hdr *)(pkt->data + ETH_HDR_BYTES);
	const struct fib_iface *in = wr_rcu_load(w->fib->iface[pkt->rx_port]);
	const struct nexthop *nh = pkt->decision;

	if (wr_unlikely(!in || (wr_fib_maybe_local(w->fib, ip->src) && is_local(w->fib, ip->src))))
		return ip4_forward_punt_local_source;
	if (in->rp_filter) {
		enum reverse r = check_reverse_path(w->fib, in, ip->src);

		if (r == REVERSE_FAIL)
			return ip4_forward_punt_reverse_path;
		if (r == REVERSE_KERNEL)
			return ip4_forward_punt_reverse_by_kernel;
	}
	if (wr_unlikely(!w->outs[nh->port_idx].queue))
		return ip4_forward_punt_no_port;
	if (wr_unlikely(pkt->n_segs > 1 && (w->ports[nh->port_idx].flags & PORT_ONE_BUFFER)))
		return ip4_forward_punt_buffers;
	if (wr_unlikely(pkt->len - ETH_HDR_BYTES > pkt->mtu))
		return ip4_forward_punt_too_big;
	if (wr_unlikely(nh->oif == in->ifindex && in->send_redirects) &&
	    wr_worker_may_punt(w, EDGE(ip4_forward_punt_redirect)))
		return ip4_forward_punt_redirect;
	if ((pkt->flags & PKT_CSUM_PARTIAL) && !(w->ports[nh->port_idx].flags & PORT_TX_CSUM)) {
		wr_l4_finish(pkt, ip);
		pkt->flags &= (uint8_t)~PKT_CSUM_PARTIAL;
	}
	wr_ip4_decrement_ttl(ip);
	return ip4_forward_to_rewrite;
}

GRAPH_NODE(ip4_forward, struct worker, &wr_node_table.nodes[NODE_ip4_forward])
