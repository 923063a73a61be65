#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Round trips of one packet at a time, through the router to an XDP program that sends it back.

. "$(dirname "$0")/lib.sh"

ROUNDS=$(quick 2 5)
N_BUSY=$(quick 5000 20000)
N_IDLE=$(quick 40 100)
IDLE_MS=20

# latency TABLE ROUND DUT COUNT [options of rtt]
latency() {
	local name=$1 round=$2 dut=$3 count=$4 p50 p99 least lost
	read -r p50 p99 least lost < <(on gen taskset -c "$CPU_GEN" "$BENCH_BIN/rtt" "${@:5}" 10.0.2.2 7 "$count")
	sample "$name" "$dut" "$round" "median us=$p50" "p99 us=$p99" "least us=$least" "lost=$lost"
}

path
for pair in "gen eth0" "dut $IN" "dut $OUT" "sink eth0"; do
	# shellcheck disable=SC2086
	napi_on $pair
done
# Finished checksums: XDP at the far end forgets that they are to be finished.
on gen ethtool -K eth0 tx off
spawn echo sink taskset -c "$CPU_DUT" "$BENCH_BIN/sink" -e eth0
wait_for 5 "the echo" eval 'on sink ip link show dev eth0 | grep -q xdp'

table rtt-busy "median us" "Round trip, one packet after the other" kernel
table rtt-idle "median us" "Round trip, first packet after $IDLE_MS ms of idleness" kernel
note rtt-idle "Both ways: two packets are forwarded in a round trip. Weir sleeps after a moment without packets; its thread has to be woken, and here the CPU as well."
for ((round = 1; round <= ROUNDS; round++)); do
	for dut in kernel weir raw xdp; do
		dut_start "$dut"
		latency rtt-busy "$round" "$dut" "$N_BUSY"
		dut_stop
		[ "$dut" != raw ] || dut=raw-poll
		dut_start "$dut"
		latency rtt-idle "$round" "${dut%-poll}" "$N_IDLE" -i $IDLE_MS
		dut_stop
	done
done
