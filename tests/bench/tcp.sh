#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# TCP of two kernels through the router.

. "$(dirname "$0")/lib.sh"

need iperf3 jq
ROUNDS=$(quick 2 5)
SECONDS_EACH=$(quick 1 3)

path
spawn iperf3 sink taskset -c "$CPU_DUT" iperf3 -s
wait_for 5 "iperf3" on gen iperf3 -c 10.0.2.2 -n 1K

table tcp Gbit/s "TCP through the router, one connection" kernel
note tcp "A veth with an XDP program gets no segmentation offload from its peer: with Weir the packets are 1514 bytes, with the kernel alone up to 64 KiB."
table tcp-mtu Gbit/s "The same without segmentation offload: packets of 1514 bytes for both" kernel

# tcp TABLE ROUND DUT
tcp() {
	local bits retransmits
	on gen taskset -c "$CPU_GEN" iperf3 -J -c 10.0.2.2 -t "$SECONDS_EACH" >$T/iperf
	bits=$(jq -r .end.sum_received.bits_per_second $T/iperf)
	retransmits=$(jq -r .end.sum_sent.retransmits $T/iperf)
	sample "$1" "$3" "$2" "Gbit/s=$(awk -v b="$bits" 'BEGIN { printf "%.3f", b / 1e9 }')" "retransmits=$retransmits"
}

offload() {
	on gen ethtool -K eth0 tso "$1" gso "$1"
	on sink ethtool -K eth0 tso "$1" gso "$1"
}

for ((round = 1; round <= ROUNDS; round++)); do
	for dut in kernel weir; do
		dut_start $dut
		offload on
		tcp tcp $round $dut
		offload off
		tcp tcp-mtu $round $dut
		dut_stop
	done
done
