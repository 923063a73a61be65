#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# What is lost when the data plane dies, hangs, ends and begins anew under traffic.

. "$(dirname "$0")/lib.sh"

ROUNDS=$(quick 1 5)
PPS=20000
SECONDS_EACH=$(quick 2 3)

table loss lost "Loss at $PPS packets a second"
note loss "ms: lost packets in time of traffic; gap: the longest time without a packet at the receiver, which the machine's other work lengthens too (see the row \`nothing\`)."

happen() {
	case $1 in
	nothing) ;;
	SIGKILL) weir_kill dut ;;
	"SIGSTOP, SIGCONT")
		kill -STOP "${WEIR_PID[dut]}"
		sleep 0.5
		kill -CONT "${WEIR_PID[dut]}"
		;;
	SIGTERM) weir_stop dut ;;
	restart)
		weir_stop dut
		weir_start dut -i "$IN" -i "$OUT"
		;;
	start) weir_start dut -i "$IN" -i "$OUT" ;;
	esac
}

# What has ended, or has crashed and left its program behind.
clean_up() {
	if [ -n "${WEIR_PID[dut]:-}" ]; then
		weir_stop dut
	else
		on dut "$WEIR_BIN/weir" -s /run/weir/dut.sock detach || true
	fi
}

path
for ((round = 1; round <= ROUNDS; round++)); do
	for event in nothing SIGKILL "SIGSTOP, SIGCONT" SIGTERM restart start; do
		[ "$event" = start ] || weir_start dut -i "$IN" -i "$OUT"
		flood_start flood gen sink 10.0.2.2 $PPS "$SECONDS_EACH"
		sleep 0.7
		happen "$event"
		flood_end flood
		lost=$(($(flood_result lost) - $(flood_result overflow)))
		sample loss "$event" $round "lost=$lost" \
			"ms=$(awk -v n=$lost -v pps=$PPS 'BEGIN { printf "%.2f", n * 1e3 / pps }')" \
			"gap ms=$(flood_result gap_ms)" "reordered=$(flood_result reordered)"
		clean_up
	done
done
