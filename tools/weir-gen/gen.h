/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What all commands of weir-gen stand on: the ports, the clock, the signal that ends them, the line
 * a second. The commands are generate.c (tx, rx, txrx), echo.c and replay.c; each runs to its end
 * and adds its rows to the report.
 *
 * One thread. It sends by queue 0 of its port and receives by all queues of the other.
 */
#ifndef WR_GEN_GEN_H
#define WR_GEN_GEN_H

#include "cnet/port.h"
#include "tools/weir-gen/options.h"
#include "tools/weir-gen/report.h"

#include <signal.h>

enum { GEN_MAX_REST_NS = 20 * 1000 * 1000, GEN_LINGER_NS = 100 * 1000 * 1000 };

/* What a port has sent since wr_sent_start(). */
struct sent {
	struct weir_io_stats before;
	uint64_t n_offered, n_bytes_offered; /* to weir_tx(); bytes with FCS */
	uint64_t n_full;                     /* of n_offered: the port had no room */
	uint64_t n_errors; /* refused later, by the kernel or the far end; known at the end */
	uint64_t n_short;  /* times that no buffer was free */
	uint64_t start_ns, end_ns; /* first and last packet */
};

struct gen {
	const struct gen_options *o;
	const volatile sig_atomic_t *must_stop;
	struct weir_io *io;
	unsigned tx_idx, rx_idx; /* ports */
	struct weir_queue *tx;
	struct weir_queue *rx[WEIR_IO_QUEUES];
	unsigned n_rx;
	struct mac tx_mac, rx_mac;
	const char *ended_by; /* for the report */
	uint64_t start_ns, last_line_ns;
	uint64_t n_sent_then, n_received_then; /* at the last line */
	uint64_t n_arp_answers;
	bool is_tty, has_line;
};

uint64_t wr_gen_now_ns(void);
int wr_gen_open(struct gen *, const struct gen_options *, const volatile sig_atomic_t *must_stop,
		struct wr_err *);
void wr_gen_close(struct gen *);
/* Asks for the MAC address of o->via by the port that sends, in the name of `own`. */
int wr_gen_resolve(struct gen *, const struct mac *own, struct mac *ret_mac, struct wr_err *);
/* Sleeps until `until_ns` or GEN_MAX_REST_NS have passed; if `is_receiving`, or something comes. */
void wr_gen_rest(struct gen *, uint64_t until_ns, bool is_receiving);
/* Sends the answer and returns true if the packet, received by g->rx[queue_idx], is a request for
 * an address of --arp: it is gone then. */
bool wr_gen_answer_arp(struct gen *, unsigned queue_idx, struct weir_packet *);
/* After the last packet: until the far end has had time to take it. */
void wr_gen_linger(struct gen *);
/* The line a second, if one is due. */
void wr_gen_line(struct gen *, uint64_t now_ns, uint64_t n_sent, uint64_t n_received,
		 uint64_t n_lost);
/* The first rows. */
void wr_gen_report(const struct gen *, struct report *);

void wr_sent_start(struct sent *, const struct gen *, uint64_t now_ns);
/* `n` were given to weir_tx(), which had no room for `n_full` of them. */
void wr_sent_add(struct sent *, unsigned n, unsigned n_full, uint64_t n_bytes, uint64_t now_ns);
void wr_sent_end(struct sent *, const struct gen *);
uint64_t wr_sent_packets(const struct sent *);
void wr_sent_report(const struct sent *, struct report *, double n_forgone);

/* 0 or -errno with a sentence; `ret_is_failed`: something happened that --fail-on-... forbids. */
int wr_generate(struct gen *, struct report *, bool *ret_is_failed, struct wr_err *);
int wr_echo(struct gen *, struct report *, struct wr_err *);
int wr_replay(struct gen *, struct report *, struct wr_err *);

#endif
