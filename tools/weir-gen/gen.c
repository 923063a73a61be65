/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/weir-gen/gen.h"

#include "lib/sys/clock.h"
#include "tools/weir-gen/arp.h"

#include <errno.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { ARP_TRIES = 3, ARP_WAIT_NS = 1000 * 1000 * 1000 };
/* What an interface received before a longer pause than this is thrown away. A measurement is
 * better served by late packets than by lost ones, and a killed weir-gen leaves its interface at
 * once. */
enum { DEADLINE_MS = 2000 };
enum { LINE_NS = 1000 * 1000 * 1000, LINE_BYTES = 160 };

uint64_t wr_gen_now_ns(void)
{
	return wr_now_ns(wr_clock_monotonic());
}

/* --- ports ------------------------------------------------------------------------------------ */

/* The same string twice is one port, but "ring:x" twice is a wire and both its ends. */
static bool is_one_port(const struct gen_options *o)
{
	return o->n_ports == 1 ||
	       (!strcmp(o->ports[0], o->ports[1]) && strncmp(o->ports[0], "ring:", 5) != 0);
}

int wr_gen_open(struct gen *g, const struct gen_options *o, const volatile sig_atomic_t *must_stop,
		struct wr_err *err)
{
	const unsigned n_ports = is_one_port(o) ? 1 : 2;
	const struct weir_io_options options = {.deadline_ms = DEADLINE_MS};
	struct weir_error error = {""};
	int rc = weir_io_open(o->ports, n_ports, &options, &g->io, &error);

	if (rc < 0)
		return wr_err(err, rc, "%s", error.text);
	g->o = o;
	g->must_stop = must_stop;
	g->tx_idx = 0;
	g->rx_idx = n_ports - 1;
	g->tx = weir_io_queue(g->io, g->tx_idx, 0);
	g->n_rx = weir_io_n_queues(g->io, g->rx_idx);
	for (unsigned i = 0; i < g->n_rx; i++)
		g->rx[i] = weir_io_queue(g->io, g->rx_idx, i);
	weir_io_mac(g->io, g->tx_idx, g->tx_mac.b);
	weir_io_mac(g->io, g->rx_idx, g->rx_mac.b);
	g->is_tty = isatty(STDERR_FILENO);
	g->ended_by = "signal";
	g->start_ns = g->last_line_ns = wr_gen_now_ns();
	prctl(PR_SET_TIMERSLACK, 1UL);
	return 0;
}

void wr_gen_close(struct gen *g)
{
	weir_io_close(g->io);
	g->io = NULL;
}

static void sleep_ns(uint64_t ns)
{
	const struct timespec ts = {.tv_sec = (time_t)(ns / WR_NS_PER_S),
				    .tv_nsec = (long)(ns % WR_NS_PER_S)};

	clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, NULL);
}

void wr_gen_rest(struct gen *g, uint64_t until_ns, bool is_receiving)
{
	const uint64_t now_ns = wr_gen_now_ns();
	uint64_t ns;

	if (until_ns <= now_ns)
		return;
	ns = until_ns - now_ns < GEN_MAX_REST_NS ? until_ns - now_ns : GEN_MAX_REST_NS;
	if (!is_receiving || weir_wait(g->rx, g->n_rx, (int64_t)ns) == -ENOTSUP)
		sleep_ns(ns);
}

void wr_gen_linger(struct gen *g)
{
	const uint64_t end_ns = wr_gen_now_ns() + GEN_LINGER_NS;

	while (!*g->must_stop && wr_gen_now_ns() < end_ns) {
		weir_tx(g->tx, NULL, 0);
		wr_gen_rest(g, end_ns, false);
	}
}

/* --- ARP -------------------------------------------------------------------------------------- */

bool wr_gen_answer_arp(struct gen *g, unsigned queue_idx, struct weir_packet *packet)
{
	if (!g->o->has_arp || !wr_arp_is_request(packet->data, packet->seg_len, &g->o->arp))
		return false;
	wr_arp_answer(packet->data, &g->rx_mac);
	g->n_arp_answers++;
	weir_tx(g->rx[queue_idx], &packet, 1);
	return true;
}

static void send_request(struct gen *g, const struct mac *own)
{
	uint8_t frame[ARP_FRAME_BYTES];
	struct weir_packet *packet;

	wr_arp_ask(frame, own, g->o->traffic.src.addr, g->o->via.addr);
	packet = weir_packet_from(g->tx, frame, sizeof(frame));
	if (packet)
		weir_tx(g->tx, &packet, 1);
}

static bool look_for_answer(struct gen *g, struct weir_queue *queue, struct mac *ret_mac)
{
	struct weir_packet *packets[WEIR_BURST];
	unsigned n = weir_rx(queue, packets, WEIR_BURST);
	bool is_found = false;

	for (unsigned i = 0; i < n; i++)
		is_found |= wr_arp_is_from(packets[i]->data, packets[i]->seg_len, g->o->via.addr,
					   ret_mac);
	weir_packet_put(queue, packets, n);
	return is_found;
}

static bool wait_for_answer(struct gen *g, struct weir_queue **queues, unsigned n_queues,
			    struct mac *ret_mac)
{
	const uint64_t end_ns = wr_gen_now_ns() + ARP_WAIT_NS;

	while (!*g->must_stop && wr_gen_now_ns() < end_ns) {
		for (unsigned i = 0; i < n_queues; i++)
			if (look_for_answer(g, queues[i], ret_mac))
				return true;
		if (weir_wait(queues, n_queues, GEN_MAX_REST_NS) == -ENOTSUP)
			return false;
	}
	return false;
}

int wr_gen_resolve(struct gen *g, const struct mac *own, struct mac *ret_mac, struct wr_err *err)
{
	const uint8_t *a = (const uint8_t *)&g->o->via.addr.raw;
	struct weir_queue *queues[WEIR_IO_QUEUES];
	const unsigned n_queues = weir_io_n_queues(g->io, g->tx_idx);

	for (unsigned i = 0; i < n_queues; i++)
		queues[i] = weir_io_queue(g->io, g->tx_idx, i);
	for (unsigned i = 0; i < ARP_TRIES && !*g->must_stop; i++) {
		send_request(g, own);
		if (wait_for_answer(g, queues, n_queues, ret_mac))
			return 0;
	}
	return wr_err(err, -EHOSTUNREACH,
		      "%u.%u.%u.%u does not answer ARP on %s: check the address and --src, "
		      "or give its MAC address by --dmac",
		      a[0], a[1], a[2], a[3], g->o->ports[0]);
}

/* --- the line a second ------------------------------------------------------------------------ */

void wr_gen_line(struct gen *g, uint64_t now_ns, uint64_t n_sent, uint64_t n_received,
		 uint64_t n_lost)
{
	const double s = (double)(now_ns - g->last_line_ns) / 1e9;
	char line[LINE_BYTES];
	int at;

	if (g->o->is_quiet || now_ns - g->last_line_ns < LINE_NS)
		return;
	at = snprintf(line, sizeof(line), "%6.1f s", (double)(now_ns - g->start_ns) / 1e9);
	if (g->o->mode != GEN_RX)
		at += snprintf(line + at, sizeof(line) - (size_t)at, "  sent %llu (%.0f/s)",
			       (unsigned long long)n_sent, (double)(n_sent - g->n_sent_then) / s);
	if (g->o->mode != GEN_TX && g->o->mode != GEN_REPLAY)
		at += snprintf(line + at, sizeof(line) - (size_t)at, "  received %llu (%.0f/s)",
			       (unsigned long long)n_received,
			       (double)(n_received - g->n_received_then) / s);
	if (g->o->mode == GEN_RX || g->o->mode == GEN_TXRX)
		snprintf(line + at, sizeof(line) - (size_t)at, "  lost %llu",
			 (unsigned long long)n_lost);
	fprintf(stderr, g->is_tty ? "\r%-78s" : "%s\n", line);
	g->has_line = g->is_tty;
	g->last_line_ns = now_ns;
	g->n_sent_then = n_sent;
	g->n_received_then = n_received;
}

/* --- report ----------------------------------------------------------------------------------- */

void wr_gen_report(const struct gen *g, struct report *report)
{
	static const char run[] = "run";

	if (g->has_line)
		fputc('\n', stderr);
	wr_report_word(report, run, "command", "command", wr_mode_name(g->o->mode));
	wr_report_word(report, run, "port", "port", g->o->ports[0]);
	wr_report_word(report, run, "port_mode", "carried by", weir_io_mode(g->io, 0));
	if (g->o->n_ports == 2)
		wr_report_word(report, run, "rx_port", "received by", g->o->ports[1]);
	wr_report_word(report, run, "ended_by", "ended by", g->ended_by);
	wr_report_number(report, run, "duration_s", "duration", REPORT_SECONDS,
			 (double)(wr_gen_now_ns() - g->start_ns) / 1e9);
}

void wr_sent_start(struct sent *sent, const struct gen *g, uint64_t now_ns)
{
	*sent = (struct sent){.start_ns = now_ns, .end_ns = now_ns};
	weir_io_stats(g->io, g->tx_idx, &sent->before);
}

void wr_sent_end(struct sent *sent, const struct gen *g)
{
	struct weir_io_stats stats;

	if (!weir_io_stats(g->io, g->tx_idx, &stats))
		sent->n_errors = stats.tx_errors - sent->before.tx_errors;
}

void wr_sent_add(struct sent *sent, unsigned n, unsigned n_full, uint64_t n_bytes, uint64_t now_ns)
{
	sent->n_offered += n;
	sent->n_full += n_full;
	sent->n_bytes_offered += n_bytes;
	sent->end_ns = now_ns;
}

uint64_t wr_sent_packets(const struct sent *sent)
{
	return sent->n_offered - sent->n_full;
}

void wr_sent_report(const struct sent *sent, struct report *report, double n_forgone)
{
	static const char section[] = "sent";
	const double s = (double)(sent->end_ns - sent->start_ns) / 1e9;
	const double n = (double)wr_sent_packets(sent);
	/* Which ones the port refused is not known: their share of the bytes is that of the
	 * packets. */
	const double n_bytes =
		sent->n_offered ? (double)sent->n_bytes_offered * n / (double)sent->n_offered : 0;

	wr_report_number(report, section, "packets", "packets", REPORT_PACKETS, n);
	wr_report_number(report, section, "bytes", "bytes, with FCS", REPORT_BYTES, n_bytes);
	wr_report_number(report, section, "duration_s", "first to last", REPORT_SECONDS, s);
	wr_report_number(report, section, "packets_per_s", "rate", REPORT_PACKETS_PER_S,
			 s > 0 && n > 1 ? (n - 1) / s : 0);
	wr_report_number(report, section, "bits_per_s", "rate in bits", REPORT_BITS_PER_S,
			 s > 0 && n > 1 ? n_bytes * 8 * (n - 1) / n / s : 0);
	wr_report_number(report, section, "full_packets", "not sent: port full", REPORT_PACKETS,
			 (double)sent->n_full);
	wr_report_number(report, section, "refused_packets", "sent, but refused by the far end",
			 REPORT_PACKETS, (double)sent->n_errors);
	wr_report_number(report, section, "no_buffer_times", "waits for a free buffer",
			 REPORT_NUMBER, (double)sent->n_short);
	wr_report_number(report, section, "behind_packets", "not sent: generator too slow",
			 REPORT_PACKETS, n_forgone);
}
