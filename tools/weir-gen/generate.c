/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tx, rx and txrx. One loop: send what is due, receive what has come, and if there was neither
 * sleep until something is. txrx goes on receiving after the last packet until all have come back
 * or --drain is over.
 */
#include "tools/weir-gen/gen.h"
#include "tools/weir-gen/sink.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

struct run {
	struct gen *g;
	const struct gen_options *o;
	struct traffic *traffic; /* NULL: rx */
	struct sink *sink;       /* NULL: tx */
	struct pace pace;
	struct sent sent;
	bool is_sending, is_large;
	uint64_t start_ns, now_ns;
	unsigned n_pending; /* bytes of a large frame in `scratch` that waits for buffers */
	uint8_t scratch[MAX_FRAME_BYTES];
};

/* --- sending ---------------------------------------------------------------------------------- */

/* NULL: no buffers; the frame, whose number is drawn, waits for the next call. */
static struct weir_packet *build_large(struct run *r)
{
	struct weir_packet *packet;

	if (!r->n_pending)
		r->n_pending = wr_traffic_build(r->traffic, r->now_ns, r->scratch);
	packet = weir_packet_from(r->g->tx, r->scratch, r->n_pending);
	if (packet)
		r->n_pending = 0;
	return packet;
}

/* Up to `n`: as many as there are buffers for. */
static unsigned build_burst(struct run *r, struct weir_packet **packets, unsigned n)
{
	if (r->is_large) {
		unsigned i = 0;

		while (i < n && (packets[i] = build_large(r)))
			i++;
		return i;
	}
	n = weir_packet_get(r->g->tx, packets, n);
	for (unsigned i = 0; i < n; i++) {
		struct weir_packet *packet = packets[i];

		packet->seg_len = (uint16_t)wr_traffic_build(r->traffic, r->now_ns, packet->data);
		packet->len = packet->seg_len;
	}
	return n;
}

/* False: nothing was due, or nothing could be sent. */
static bool send_some(struct run *r)
{
	struct weir_packet *packets[WEIR_BURST];
	unsigned n_full, n = wr_pace_due(&r->pace, r->now_ns);
	uint64_t n_bytes = 0;

	if (r->o->n_packets && r->o->n_packets - wr_sent_packets(&r->sent) < n)
		n = (unsigned)(r->o->n_packets - wr_sent_packets(&r->sent));
	if (!n)
		return false;
	n = build_burst(r, packets, n);
	if (!n) {
		r->sent.n_short++;
		weir_tx(r->g->tx, NULL, 0);
		return false;
	}
	for (unsigned i = 0; i < n; i++)
		n_bytes += packets[i]->len + FCS_BYTES;
	n_full = n - weir_tx(r->g->tx, packets, n);
	wr_pace_sent(&r->pace, n, n_bytes);
	wr_pace_refused(&r->pace, n_full);
	wr_sent_add(&r->sent, n, n_full, n_bytes, r->now_ns);
	return true;
}

static void end_sending(struct run *r, const char *why)
{
	r->is_sending = false;
	r->g->ended_by = why;
	wr_sent_end(&r->sent, r->g);
}

/* --- receiving -------------------------------------------------------------------------------- */

static bool receive_some(struct run *r)
{
	struct weir_packet *packets[WEIR_BURST];
	unsigned n_all = 0;

	for (unsigned i = 0; i < r->g->n_rx; i++) {
		unsigned n = weir_rx(r->g->rx[i], packets, WEIR_BURST), n_kept = 0;

		if (!n)
			continue;
		r->now_ns = wr_gen_now_ns();
		for (unsigned k = 0; k < n; k++) {
			wr_sink_take(r->sink, packets[k], r->now_ns);
			if (!wr_gen_answer_arp(r->g, i, packets[k]))
				packets[n_kept++] = packets[k];
		}
		weir_packet_put(r->g->rx[i], packets, n_kept);
		n_all += n;
	}
	return n_all > 0;
}

/* Each number once. */
static uint64_t n_arrived(const struct sink *sink)
{
	return sink->track.stats.n_in_order + sink->track.stats.n_reordered;
}

static uint64_t n_lost(const struct run *r)
{
	uint64_t n = r->sink ? n_arrived(r->sink) : 0;

	if (!r->sink)
		return 0;
	if (r->traffic)
		return wr_sent_packets(&r->sent) > n ? wr_sent_packets(&r->sent) - n : 0;
	/* What was lost at the end is known by the number that was to come. */
	if (r->o->n_packets > n && r->o->n_packets - n > r->sink->track.stats.n_lost)
		return r->o->n_packets - n;
	return r->sink->track.stats.n_lost;
}

/* --- the loop --------------------------------------------------------------------------------- */

static const char *why_stop_sending(const struct run *r)
{
	if (*r->g->must_stop)
		return "signal";
	if (r->o->n_packets && wr_sent_packets(&r->sent) >= r->o->n_packets)
		return "count";
	if (r->o->duration_ns && r->now_ns - r->start_ns >= r->o->duration_ns)
		return "duration";
	return NULL;
}

static const char *why_stop_receiving(const struct run *r)
{
	const struct sink *sink = r->sink;

	if (*r->g->must_stop)
		return "signal";
	if (r->o->n_packets && sink->n_packets >= r->o->n_packets)
		return "count";
	if (r->o->duration_ns && r->now_ns - r->start_ns >= r->o->duration_ns)
		return "duration";
	if (r->o->idle_ns && sink->n_packets && r->now_ns - sink->last_ns >= r->o->idle_ns)
		return "idle";
	return NULL;
}

/* Whether the run goes on. */
static bool go_on(struct run *r)
{
	const char *why;

	if (r->sink && !r->traffic) {
		why = why_stop_receiving(r);
		r->g->ended_by = why ? why : "signal";
		return !why;
	}
	if (r->is_sending) {
		why = why_stop_sending(r);
		if (!why)
			return true;
		end_sending(r, why);
	}
	return r->sink && !*r->g->must_stop && n_lost(r) &&
	       r->now_ns - r->sent.end_ns < r->o->drain_ns;
}

static uint64_t rest_until_ns(const struct run *r)
{
	uint64_t until_ns = r->now_ns + GEN_MAX_REST_NS;
	uint64_t end_ns = r->start_ns + r->o->duration_ns;

	if (!r->is_sending)
		return until_ns;
	if (r->o->duration_ns && end_ns < until_ns)
		until_ns = end_ns;
	return wr_pace_next_ns(&r->pace) < until_ns ? wr_pace_next_ns(&r->pace) : until_ns;
}

static void loop(struct run *r)
{
	r->start_ns = r->now_ns = wr_gen_now_ns();
	wr_pace_start(&r->pace, r->start_ns);
	wr_sent_start(&r->sent, r->g, r->start_ns);
	while (go_on(r)) {
		bool is_busy = r->is_sending && send_some(r);

		if (r->sink && receive_some(r))
			is_busy = true;
		if (!is_busy)
			wr_gen_rest(r->g, rest_until_ns(r), r->sink);
		r->now_ns = wr_gen_now_ns();
		wr_gen_line(r->g, r->now_ns, wr_sent_packets(&r->sent),
			    r->sink ? r->sink->n_packets : 0, n_lost(r));
	}
}

/* --- report ----------------------------------------------------------------------------------- */

static void report_order(const struct run *r, struct report *report)
{
	static const char section[] = "received";
	const struct track_stats *stats = &r->sink->track.stats;
	const uint64_t n_missing = n_lost(r), n_wanted = n_missing + n_arrived(r->sink);
	const struct {
		const char *key, *label;
		uint64_t n;
	} rows[] = {
		{"duplicate_packets", "duplicates", stats->n_duplicates},
		{"reordered_packets", "reordered", stats->n_reordered},
		{"too_late_packets", "later than the window: lost or duplicate", stats->n_too_late},
		{"max_distance_packets", "farthest behind a later one", stats->max_distance},
		{"window_packets", "window of a flow", r->o->window},
		{"corrupted_packets", "corrupted", r->sink->n_corrupted},
		{"foreign_packets", "others, not counted above", r->sink->n_foreign},
		{"unknown_flow_packets", "of flows beyond --max-flows", r->sink->n_unknown_flow},
	};

	wr_report_number(report, section, "lost_packets", "lost", REPORT_PACKETS,
			 (double)n_missing);
	wr_report_number(report, section, "lost_percent", "lost, share", REPORT_PERCENT,
			 n_wanted ? 100.0 * (double)n_missing / (double)n_wanted : 0);
	for (size_t i = 0; i < wr_array_size(rows); i++)
		wr_report_number(report, section, rows[i].key, rows[i].label, REPORT_PACKETS,
				 (double)rows[i].n);
	wr_report_number(report, section, "flows", "flows seen", REPORT_NUMBER,
			 (double)stats->n_flows);
}

static void report_received(const struct run *r, struct report *report)
{
	static const char section[] = "received";
	const struct sink *sink = r->sink;
	const double s = (double)(sink->last_ns - sink->first_ns) / 1e9;
	const double n = (double)sink->n_packets, n_bytes = (double)sink->n_bytes;
	struct weir_io_stats stats = {0};

	weir_io_stats(r->g->io, r->g->rx_idx, &stats);
	wr_report_number(report, section, "packets", "packets", REPORT_PACKETS, n);
	wr_report_number(report, section, "bytes", "bytes, with FCS", REPORT_BYTES, n_bytes);
	wr_report_number(report, section, "duration_s", "first to last", REPORT_SECONDS, s);
	wr_report_number(report, section, "packets_per_s", "rate", REPORT_PACKETS_PER_S,
			 s > 0 ? (n - 1) / s : 0);
	wr_report_number(report, section, "bits_per_s", "rate in bits", REPORT_BITS_PER_S,
			 s > 0 ? n_bytes * 8 * (n - 1) / n / s : 0);
	report_order(r, report);
	wr_report_number(report, section, "missed_packets", "lost by the port: receiver too slow",
			 REPORT_PACKETS, (double)stats.rx_missed);
}

static void report_latency(const struct sink *sink, struct report *report)
{
	static const char section[] = "latency";
	static const struct {
		const char *key, *label;
		double share;
	} percentiles[] = {{"p50_ns", "median", 0.5},
			   {"p90_ns", "90 %", 0.9},
			   {"p99_ns", "99 %", 0.99},
			   {"p999_ns", "99.9 %", 0.999}};
	const struct hist *hist = &sink->latency_ns;

	wr_report_number(report, section, "measured_packets", "packets measured", REPORT_PACKETS,
			 (double)hist->n);
	wr_report_number(report, section, "skewed_packets", "from another clock, not measured",
			 REPORT_PACKETS, (double)sink->n_skewed);
	if (!hist->n)
		return;
	wr_report_number(report, section, "min_ns", "min", REPORT_NS, (double)hist->min);
	wr_report_number(report, section, "mean_ns", "mean", REPORT_NS, wr_hist_mean(hist));
	for (size_t i = 0; i < wr_array_size(percentiles); i++)
		wr_report_number(report, section, percentiles[i].key, percentiles[i].label,
				 REPORT_NS, (double)wr_hist_percentile(hist, percentiles[i].share));
	wr_report_number(report, section, "max_ns", "max", REPORT_NS, (double)hist->max);
	wr_report_number(report, section, "jitter_ns", "jitter (RFC 3550)", REPORT_NS,
			 (double)sink->jitter_16ths_ns / 16);
	wr_report_number(report, section, "error_percent", "percentiles too high by at most",
			 REPORT_PERCENT, 100.0 / HIST_STEPS);
	report->has_latency = true;
	report->latency_ns = *hist;
}

static bool is_forbidden(const struct run *r)
{
	const struct track_stats *stats;

	if (!r->sink)
		return false;
	stats = &r->sink->track.stats;
	return (r->o->fail_on_loss && (n_lost(r) || !r->sink->n_packets)) ||
	       (r->o->fail_on_reorder && (stats->n_reordered || stats->n_too_late)) ||
	       (r->o->fail_on_duplicate && stats->n_duplicates) ||
	       (r->o->fail_on_corruption && r->sink->n_corrupted);
}

static void report_run(const struct run *r, struct report *report)
{
	if (r->traffic) {
		wr_report_number(report, "run", "seed", "seed", REPORT_NUMBER,
				 (double)r->o->traffic.seed);
		wr_report_number(report, "run", "flows", "flows", REPORT_NUMBER,
				 (double)r->o->traffic.n_flows);
		wr_sent_report(&r->sent, report, floor(r->pace.n_forgone / r->pace.mean_cost));
	}
	if (r->sink) {
		report_received(r, report);
		report_latency(r->sink, report);
	}
}

/* --- setting up ------------------------------------------------------------------------------- */

/* Of a buffer: longer frames take several. */
static size_t room_bytes(struct weir_queue *queue)
{
	struct weir_packet *packet;
	size_t n;

	if (!weir_packet_get(queue, &packet, 1))
		return 0;
	n = weir_packet_room(queue, packet);
	weir_packet_put(queue, &packet, 1);
	return n;
}

static int set_up_traffic(struct run *r, struct wr_err *err)
{
	struct traffic_conf conf = r->o->traffic;
	int rc = 0;

	if (!r->o->has_smac)
		conf.smac = r->g->tx_mac;
	if (r->o->has_via)
		rc = wr_gen_resolve(r->g, &conf.smac, &conf.dmac, err);
	if (rc)
		return rc;
	r->is_sending = true;
	r->is_large = wr_traffic_max_bytes(&conf.size) - FCS_BYTES > room_bytes(r->g->tx);
	wr_pace_init(&r->pace, r->o->rate, wr_traffic_mean_bytes(&conf.size),
		     (uint32_t)r->o->burst);
	rc = wr_traffic_create(&conf, &r->traffic);
	return rc ? wr_err(err, rc, "out of memory: use fewer --flows") : 0;
}

static int set_up_sink(struct run *r, struct wr_err *err)
{
	const struct sink_conf conf = {
		.n_flows =
			r->o->mode == GEN_TXRX ? r->o->traffic.n_flows : (uint32_t)r->o->max_flows,
		.window = (uint32_t)r->o->window,
		.stream = r->o->traffic.stream,
		.is_verifying = r->o->is_verifying,
		.is_joining = r->o->is_joining,
	};
	int rc = wr_sink_create(&conf, &r->sink);

	return rc ? wr_err(err, rc, "out of memory: use fewer flows or a smaller --window") : 0;
}

int wr_generate(struct gen *g, struct report *report, bool *ret_is_failed, struct wr_err *err)
{
	struct run *r = calloc(1, sizeof(*r));
	int rc = 0;

	if (!r)
		return wr_err(err, -ENOMEM, "out of memory");
	r->g = g;
	r->o = g->o;
	if (g->o->mode != GEN_TX)
		rc = set_up_sink(r, err);
	if (!rc && g->o->mode != GEN_RX)
		rc = set_up_traffic(r, err);
	if (!rc) {
		loop(r);
		if (!r->sink)
			wr_gen_linger(g);
		wr_gen_report(g, report);
		report_run(r, report);
		*ret_is_failed = is_forbidden(r);
	}
	wr_traffic_free(r->traffic);
	wr_sink_free(r->sink);
	free(r);
	return rc;
}
