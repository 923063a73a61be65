/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * replay: the frames of a capture as they are, at the pace of their timestamps, at a rate, or as
 * fast as the port takes them. At its own pace a loop begins when the one before it has ended; a
 * sender that comes late catches up, so that the whole takes as long as the original.
 */
#include "tools/weir-gen/capture.h"
#include "tools/weir-gen/gen.h"

#include <errno.h>
#include <math.h>

struct replay {
	struct gen *g;
	const struct gen_options *o;
	struct capture capture;
	struct pace pace;
	struct sent sent;
	uint32_t at; /* the next frame */
	uint64_t n_loops;
	uint64_t loop_start_ns, now_ns;
};

/* --- what is due ------------------------------------------------------------------------------ */

static uint64_t due_ns(const struct replay *r)
{
	if (r->o->rate.unit != PACE_OWN)
		return wr_pace_next_ns(&r->pace);
	return r->loop_start_ns + r->capture.frames[r->at].at_ns;
}

/* Frames to send now, of this loop. */
static unsigned n_due(struct replay *r)
{
	const struct captured *frames = r->capture.frames;
	uint32_t left = r->capture.n_frames - r->at;
	unsigned n = 0;

	if (r->o->n_packets && r->o->n_packets - wr_sent_packets(&r->sent) < left)
		left = (uint32_t)(r->o->n_packets - wr_sent_packets(&r->sent));
	if (left > r->o->burst)
		left = (uint32_t)r->o->burst;
	if (r->o->rate.unit == PACE_OWN) {
		while (n < left && r->loop_start_ns + frames[r->at + n].at_ns <= r->now_ns)
			n++;
		return n;
	}
	n = wr_pace_due(&r->pace, r->now_ns);
	return n < left ? n : left;
}

/* --- sending ---------------------------------------------------------------------------------- */

static bool send_some(struct replay *r)
{
	struct weir_packet *packets[WEIR_BURST];
	const unsigned wanted = n_due(r);
	uint64_t n_bytes = 0;
	unsigned n, n_full;

	for (n = 0; n < wanted; n++) {
		const struct captured *frame = &r->capture.frames[r->at + n];

		packets[n] =
			weir_packet_from(r->g->tx, r->capture.bytes + frame->offset, frame->len);
		if (!packets[n])
			break;
		n_bytes += frame->len + FCS_BYTES;
	}
	r->sent.n_short += n < wanted;
	n_full = n - weir_tx(r->g->tx, packets, n);
	if (!n)
		return false;
	r->at += n;
	wr_pace_sent(&r->pace, n, n_bytes);
	wr_pace_refused(&r->pace, n_full);
	wr_sent_add(&r->sent, n, n_full, n_bytes, r->now_ns);
	return true;
}

/* At the end of a loop: the next one, if there is one. */
static bool next_loop(struct replay *r)
{
	r->n_loops++;
	if (r->o->n_loops && r->n_loops == r->o->n_loops)
		return false;
	r->at = 0;
	r->loop_start_ns = r->now_ns;
	return true;
}

static const char *why_stop(struct replay *r)
{
	if (*r->g->must_stop)
		return "signal";
	if (r->o->n_packets && wr_sent_packets(&r->sent) >= r->o->n_packets)
		return "count";
	if (r->o->duration_ns && r->now_ns - r->sent.start_ns >= r->o->duration_ns)
		return "duration";
	if (r->at == r->capture.n_frames && !next_loop(r))
		return "end of capture";
	return NULL;
}

static void loop(struct replay *r)
{
	r->now_ns = wr_gen_now_ns();
	r->loop_start_ns = r->now_ns;
	wr_pace_start(&r->pace, r->now_ns);
	wr_sent_start(&r->sent, r->g, r->now_ns);
	while (!(r->g->ended_by = why_stop(r))) {
		if (!send_some(r))
			wr_gen_rest(r->g, due_ns(r), false);
		r->now_ns = wr_gen_now_ns();
		wr_gen_line(r->g, r->now_ns, wr_sent_packets(&r->sent), 0, 0);
	}
	wr_gen_linger(r->g);
	wr_sent_end(&r->sent, r->g);
}

/* --- around it -------------------------------------------------------------------------------- */

/* A frame that fits into no packet would be waited for without end. */
static int check_frames(const struct replay *r, struct wr_err *err)
{
	for (uint32_t i = 0; i < r->capture.n_frames; i++)
		if (r->capture.frames[i].len > UINT16_MAX)
			return wr_err(err, -EMSGSIZE,
				      "%s: frame %u has %u bytes, and a packet %u at most: leave "
				      "it out, see editcap",
				      r->o->file, i + 1, r->capture.frames[i].len, UINT16_MAX);
	return 0;
}

static void report_replay(const struct replay *r, struct report *report)
{
	static const char section[] = "capture";

	wr_gen_report(r->g, report);
	wr_report_word(report, section, "file", "file", r->o->file);
	wr_report_number(report, section, "frames", "frames", REPORT_NUMBER, r->capture.n_frames);
	wr_report_number(report, section, "cut_frames", "left out: not whole in the file",
			 REPORT_NUMBER, (double)r->capture.n_cut);
	wr_report_number(report, section, "loops", "times sent to the end", REPORT_NUMBER,
			 (double)r->n_loops);
	wr_sent_report(&r->sent, report, floor(r->pace.n_forgone / r->pace.mean_cost));
}

int wr_replay(struct gen *g, struct report *report, struct wr_err *err)
{
	struct replay r = {.g = g, .o = g->o};
	int rc = wr_capture_read(g->o->file, &r.capture, err);

	if (rc)
		return rc;
	rc = check_frames(&r, err);
	if (!rc) {
		wr_pace_init(&r.pace, g->o->rate,
			     FCS_BYTES + (double)r.capture.n_bytes / r.capture.n_frames,
			     (uint32_t)g->o->burst);
		loop(&r);
		report_replay(&r, report);
	}
	wr_capture_fini(&r.capture);
	return rc;
}
