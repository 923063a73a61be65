/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/weir-gen/sink.h"

#include "lib/wire/csum.h"
#include "tools/weir-gen/pace.h"

#include <errno.h>
#include <stdlib.h>

/* A packet's bytes in one piece: all, or its first SINK_HEAD_BYTES. */
struct view {
	const uint8_t *bytes;
	size_t n;
	const struct ip4_hdr *ip;
	size_t l4_at, payload_at;
	size_t end; /* of the IP packet; the frame may be padded */
};

int wr_sink_create(const struct sink_conf *conf, struct sink **ret_sink)
{
	struct sink *sink = calloc(1, sizeof(*sink));

	if (!sink)
		return -ENOMEM;
	sink->conf = *conf;
	wr_hist_init(&sink->latency_ns);
	wr_pattern_init(&sink->pattern);
	if (wr_track_init(&sink->track, conf->n_flows, conf->window, conf->is_joining)) {
		free(sink);
		return -ENOMEM;
	}
	*ret_sink = sink;
	return 0;
}

void wr_sink_free(struct sink *sink)
{
	if (!sink)
		return;
	wr_track_fini(&sink->track);
	free(sink);
}

static void view_bytes(struct sink *sink, const struct weir_packet *packet, struct view *ret_view)
{
	const size_t wanted = sink->conf.is_verifying ? packet->len : SINK_HEAD_BYTES;
	size_t n = 0;

	ret_view->bytes = packet->data;
	ret_view->n = packet->seg_len;
	if (wr_likely(packet->n_segs == 1 || packet->seg_len >= wanted))
		return;
	for (const struct weir_packet *seg = packet; seg && n < wanted; seg = seg->next) {
		const size_t room = sizeof(sink->scratch) - n;
		const size_t part = seg->seg_len < room ? seg->seg_len : room;

		memcpy(sink->scratch + n, seg->data, part);
		n += part;
	}
	ret_view->bytes = sink->scratch;
	ret_view->n = n;
}

/* Where the payload of UDP or TCP begins; false if there is none. */
static bool view_payload(struct view *view)
{
	const uint8_t *ip = view->bytes + ETH_HDR_BYTES;
	size_t l4_bytes = 8;

	if (view->n < ETH_HDR_BYTES + IP4_HDR_BYTES + 8 || view->bytes[12] != 0x08 ||
	    view->bytes[13] != 0x00 || ip[0] >> 4 != 4)
		return false;
	view->ip = (const struct ip4_hdr *)ip;
	view->l4_at = ETH_HDR_BYTES + ip4_hdr_bytes(view->ip);
	view->end = ETH_HDR_BYTES + (size_t)be16_to(view->ip->total_len);
	if (ip4_hdr_bytes(view->ip) < IP4_HDR_BYTES || ip4_is_fragment(view->ip) ||
	    view->l4_at + 20 > view->n)
		return false;
	if (view->ip->protocol == IP_PROTO_TCP)
		l4_bytes = (size_t)4 * (view->bytes[view->l4_at + 12] >> 4);
	else if (view->ip->protocol != IP_PROTO_UDP)
		return false;
	view->payload_at = view->l4_at + l4_bytes;
	return view->payload_at < view->n;
}

static bool is_l4_sum_right(const struct view *view, const struct weir_packet *packet)
{
	const size_t n = view->end - view->l4_at;
	const uint8_t *field = view->bytes + view->l4_at + wr_l4_csum_offset(view->ip->protocol);

	if (packet->flags & WEIR_PACKET_CSUM_PARTIAL)
		return true;
	if (view->ip->protocol == IP_PROTO_UDP && !field[0] && !field[1])
		return true;
	return wr_csum_fold(wr_csum_add(wr_l4_pseudo_sum(view->ip, (uint16_t)n),
					view->bytes + view->l4_at, n)) == 0xffff;
}

/* All of the packet is in the view. */
static bool is_as_sent(const struct sink *sink, const struct view *view,
		       const struct weir_packet *packet, const struct mark *mark)
{
	const size_t pad_at =
		view->payload_at + (mark->is_long ? MARK_LONG_BYTES : MARK_SHORT_BYTES);

	if (view->end > view->n || view->end < pad_at || view->end - pad_at > PATTERN_BYTES)
		return false;
	return wr_csum_fold(wr_csum_add(0, view->ip, view->l4_at - ETH_HDR_BYTES)) == 0xffff &&
	       is_l4_sum_right(view, packet) &&
	       !memcmp(view->bytes + pad_at, sink->pattern.bytes, view->end - pad_at);
}

static void take_time(struct sink *sink, const struct mark *mark, uint64_t now_ns)
{
	const uint64_t mask = (UINT64_C(1) << MARK_TIME_BITS) - 1;
	const uint64_t latency_ns = (now_ns - mark->time_ns) & mask;
	uint64_t change_ns;

	if (latency_ns > mask / 2) {
		sink->n_skewed++;
		return;
	}
	if (sink->latency_ns.n) {
		change_ns = latency_ns > sink->last_latency_ns ? latency_ns - sink->last_latency_ns
							       : sink->last_latency_ns - latency_ns;
		sink->jitter_16ths_ns += change_ns - (sink->jitter_16ths_ns + 8) / 16;
	}
	sink->last_latency_ns = latency_ns;
	wr_hist_add(&sink->latency_ns, latency_ns);
}

void wr_sink_take(struct sink *sink, const struct weir_packet *packet, uint64_t now_ns)
{
	struct view view;
	struct mark mark;
	bool is_whole;

	view_bytes(sink, packet, &view);
	if (!view_payload(&view) ||
	    !wr_mark_read(view.bytes + view.payload_at, view.n - view.payload_at, &mark,
			  &is_whole) ||
	    mark.stream != sink->conf.stream) {
		sink->n_foreign++;
		return;
	}
	if (!is_whole || (sink->conf.is_verifying && !is_as_sent(sink, &view, packet, &mark))) {
		sink->n_corrupted++;
		return;
	}
	if (!sink->n_packets++)
		sink->first_ns = now_ns;
	sink->last_ns = now_ns;
	sink->n_bytes += packet->len + FCS_BYTES;
	take_time(sink, &mark, now_ns);
	if (wr_likely(mark.flow < sink->conf.n_flows))
		wr_track_see(&sink->track, mark.flow, mark.flow_seq);
	else
		sink->n_unknown_flow++;
}
