#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Memory, and the time to mirror the kernel's table.

. "$(dirname "$0")/lib.sh"

need jq
ROUNDS=$(quick 1 3)
GATEWAYS=(10.0.2.{2..17})

table scale "resident MiB" "The kernel's table in Weir" "no routes"
note scale "ready ms: from the start of the process until the mirror is the kernel's table, found by asking every 30 ms. dump ms: a bare RTM_GETROUTE dump of the same table, read and thrown away, taken in the same round."

resident_mib() {
	awk '/^VmRSS/ { printf "%.1f", $2 / 1024 }' "/proc/${WEIR_PID[dut]}/status"
}

# scale ROW ROUND
scale() {
	local start end dump_ms count
	read -r count dump_ms < <(on dut taskset -c "$CPU_GEN" "$BENCH_BIN/routes" dump)
	start=$(now_ms)
	WEIR_START_S=60 weir_start dut -i "$IN" -i "$OUT"
	end=$(now_ms)
	sample scale "$1" "$2" "resident MiB=$(resident_mib)" "ready ms=$((end - start))" "dump ms=$dump_ms" \
		"routes dumped=$count"
	weir_stop dut
}

path
for gateway in "${GATEWAYS[@]}"; do
	neigh dut "$OUT" "$gateway" sink eth0
done
# The routes stay from one row to the next: they are the same ones, and more.
sizes=(0 100000 1000000)
[ "${QUICK:-}" != 1 ] || sizes=(0 100000)
for n in "${sizes[@]}"; do
	[ "$n" = 0 ] || on dut "$BENCH_BIN/routes" add "$n" "${GATEWAYS[@]}"
	for ((round = 1; round <= ROUNDS; round++)); do
		case $n in
		0) scale "no routes" "$round" ;;
		*) scale "$n routes" "$round" ;;
		esac
	done
done
