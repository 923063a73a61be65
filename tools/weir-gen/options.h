/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the command line asks for. One table (options.c) has each option with its reader, its
 * default and the commands it belongs to; help and manual come from it.
 */
#ifndef WR_GEN_OPTIONS_H
#define WR_GEN_OPTIONS_H

#include "tools/weir-gen/pace.h"
#include "tools/weir-gen/track.h"
#include "tools/weir-gen/traffic.h"

#include <stdio.h>

enum gen_mode { GEN_TX, GEN_RX, GEN_TXRX, GEN_ECHO, GEN_REPLAY, GEN_MODES };

struct gen_options {
	enum gen_mode mode;
	const char *ports[2];
	unsigned n_ports;
	const char *file; /* of replay */

	struct traffic_conf traffic;
	struct pace_rate rate;
	uint64_t n_packets; /* 0: no limit; also duration, idle */
	uint64_t duration_ns, idle_ns, drain_ns;
	uint64_t n_loops; /* 0: for ever */
	uint64_t burst;
	bool has_rate, has_dmac, has_smac, has_via, has_arp;
	struct prefix4 via, arp;
	uint64_t window, max_flows;
	bool is_verifying, is_joining;
	bool fail_on_loss, fail_on_reorder, fail_on_duplicate, fail_on_corruption;
	bool is_json, is_quiet, wants_help, wants_version;
};

/* 0, or -EINVAL and a sentence. `argv` may be reordered. With wants_help or wants_version nothing
 * else is checked. */
int wr_options_read(int argc, char **argv, struct gen_options *ret_options, struct wr_err *);
void wr_options_help(FILE *);
const char *wr_mode_name(enum gen_mode);

#endif
