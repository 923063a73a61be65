#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Forwarding of the smallest frames, as many as the generator can send.

. "$(dirname "$0")/lib.sh"

need pgrep
ROUNDS=$(quick 2 5)
MILLISECONDS=$(quick 700 1500)

# In `split` the receive side of an AF_XDP program's driver is on the generator's CPU, as veth has
# it; kernel and xdp get NAPI threads, or that CPU would do all their work. The sink is in softirq of
# whoever sends to it.
place() {
	local ifname napi=inline
	case "$1 $2" in "split kernel" | "split xdp") napi=$CPU_DUT ;; esac
	for ifname in "$IN" "$OUT"; do
		napi_place dut "$ifname" $napi
	done
}

# forward TABLE ROUND WHERE DUT FLOWS ROUTES
forward() {
	local name=$1 round=$2 where=$3 dut=$4 flows=$5 routes=$6
	local cpu=$CPU_GEN nice=-15 before sink gen mpps what by_kernel
	# Only what the DUT leaves unused: else the generator's frames crowd it out.
	[ "$where" = split ] || { cpu=$CPU_DUT nice=19; }
	[ "$where $dut" != "one raw" ] || dut=raw-poll
	dut_start "$dut"
	place "$where" "$dut"
	before=$(kernel_forwarded dut)
	on sink taskset -c "$cpu" "$BENCH_BIN/sink" eth0 "$MILLISECONDS" >$T/sink &
	sink=$!
	wait_for 5 "the sink" eval 'on sink ip link show dev eth0 | grep -q xdp'
	nsenter --net=/run/netns/gen -- nice -n $((nice + 20)) taskset -c "$cpu" \
		"$BENCH_BIN/gen" -f "$flows" -r "$routes" eth0 "$(mac_of dut "$IN")" >$T/gen &
	gen=$!
	wait $sink
	end $gen
	dut_stop
	read -r mpps what <$T/sink
	by_kernel=$(awk -v n=$(($(kernel_forwarded dut) - before)) -v mpps="$mpps" -v ms="$MILLISECONDS" \
		'BEGIN { all = mpps * ms * 1e3; printf "%.0f", (n < all ? 100 * n / all : 100) }')
	[ "$dut" = weir ] || by_kernel=-
	sample "$name" "${dut%-poll}" "$round" "Mpps=$mpps" "seen=$what" "by kernel %=$by_kernel"
}

path
for pair in "gen eth0" "dut $IN" "dut $OUT" "sink eth0"; do
	# shellcheck disable=SC2086
	napi_on $pair
done
# One route for both is the default; the others are what the traffic of 10,000 flows uses.
on dut ip route add 20.0.0.0/8 via 10.0.2.2
many=0 kinds=("1 1" "10000 1000")
[ "${QUICK:-}" != 1 ] || kinds=("10000 1000")

for kind in "${kinds[@]}"; do
	read -r flows routes <<<"$kind"
	for where in split one; do
		name="forward-$where-$flows"
		table "$name" Mpps "Forwarding, 64-byte frames, \`$where\`, $flows flows over $routes routes" raw kernel
	done
	if ((routes > 1 && !many)); then
		for ((i = 0; i < routes; i++)); do
			echo "route add 20.$((i / 256)).$((i % 256)).0/24 via 10.0.2.2"
		done >$T/batch
		on dut ip -batch $T/batch
		many=1
	fi
	for ((round = 1; round <= ROUNDS; round++)); do
		for where in split one; do
			for dut in kernel weir raw xdp; do
				forward "forward-$where-$flows" "$round" "$where" "$dut" "$flows" "$routes"
			done
		done
	done
done
many=forward-split-10000
note $many "\`split\`: generator on CPU $CPU_GEN; what forwards, and the sink, on CPU $CPU_DUT."
note $many "For weir and raw the driver's receive side is on the generator's CPU, for kernel and xdp"
note $many "in a NAPI thread on CPU $CPU_DUT. raw spins."
many=forward-one-10000
note $many "\`one\`: everything on CPU $CPU_DUT, generator and sink included. raw sleeps in poll()."
note $many "seen: \`routed\` is TTL - 1, right checksum and MAC address; \`bridged\` is what raw does."
note $many "by kernel: share of weir's frames that the kernel forwarded, the heartbeat being late."
