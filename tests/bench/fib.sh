#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# The IPv4 table by itself.

. "$(dirname "$0")/lib.sh"

N_ROUTES=$(quick 100000 1000000)

table fib - "The IPv4 table with $N_ROUTES routes, times in ns a lookup; dir-24-8 is what DPDK and VPP use"
progress "  fib: $N_ROUTES routes"
taskset -c "$CPU_DUT" "$BENCH_BIN/fib4" "$N_ROUTES" >$T/fib
text fib $T/fib
