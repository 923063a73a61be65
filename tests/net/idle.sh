#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
#     a ---- eth0 r eth1 ---- b        nobody sends anything
#
# Idle costs nothing (DESIGN.md, law 5): in ten seconds without traffic the process uses less than
# 20 ms of CPU, and its worker wakes no more often than once a second; after that a packet is
# forwarded by Weir at once, not by the kernel.

. "$(dirname "$0")/lib.sh"

one_router

weir_start r -i eth0 -i eth1
check "a reaches b" on a ping -c 3 -i 0.1 -W 2 10.0.2.2

# Nanoseconds on a CPU of all threads of the process; and times they were put on one.
run_ns() {
	cat /proc/"${WEIR_PID[r]}"/task/*/schedstat | awk '{ ns += $1 } END { print ns }'
}
wakes() {
	cat /proc/"${WEIR_PID[r]}"/task/*/schedstat | awk '{ n += $3 } END { print n }'
}

settled() {
	local before
	before=$(run_ns)
	sleep 1
	(($(run_ns) - before < 2000000))
}
wait_for 20 "the start has settled" settled

before_ns=$(run_ns) before_wakes=$(wakes)
sleep 10 # this is the measurement, not a wait
used_us=$((($(run_ns) - before_ns) / 1000)) woken=$(($(wakes) - before_wakes))
expect_num "microseconds of CPU in 10 s" $used_us "<" 20000
expect_num "wake-ups in 10 s" $woken "<" 60

before=$(counter r rx_pkts)
kernel_before=$(kernel_forwarded r)
check "a reaches b after the pause" on a ping -c 5 -i 0.1 -W 2 10.0.2.2
expect_eq "packets forwarded by the kernel since" "$kernel_before" "$(kernel_forwarded r)"
expect_num "packets received by Weir since" "$(($(counter r rx_pkts) - before))" ">=" 10
