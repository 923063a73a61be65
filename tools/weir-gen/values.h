/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What stands behind an option, read. Each reader has one sentence that says what it takes, for the
 * help and for who wrote something else. All return 0 or -EINVAL and write only on success.
 */
#ifndef WR_GEN_VALUES_H
#define WR_GEN_VALUES_H

#include "tools/weir-gen/pace.h"
#include "tools/weir-gen/traffic.h"

/* A whole number; k, M and G are thousands, 1.5M is one too. */
int wr_read_count(const char *text, uint64_t *ret);
/* Seconds; or with a unit: ns, us, ms, s, m, h. */
int wr_read_time_ns(const char *text, uint64_t *ret_ns);
/* Packets/s; with bps: bits/s of frames, with bpsl1: bits/s on the wire. "max", "own". */
int wr_read_rate(const char *text, struct pace_rate *ret);
/* BYTES, LOW-HIGH, "imix". */
int wr_read_size(const char *text, struct size_rule *ret);
int wr_read_ports(const char *text, struct port_range *ret);
/* ADDRESS or ADDRESS/LEN without bits beyond LEN. */
int wr_read_prefix(const char *text, struct prefix4 *ret);
int wr_read_mac(const char *text, struct mac *ret);
/* "turn", "uniform", "zipf", "zipf:EXPONENT". */
int wr_read_choice(const char *text, enum choose_how *ret_how, double *ret_exponent);

#endif
