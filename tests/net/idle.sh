#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
#     a ---- eth0 r eth1 ---- b        nobody sends anything; then a sends without a pause
#            eth2   eth3               two more interfaces, two queues each, two workers
#
# Idle costs nothing (DESIGN.md, law 5): in ten seconds without traffic the process uses less than
# 20 ms of CPU (0.2 % of a core), and its workers wake no more often than once a second; after that
# a packet is forwarded by Weir at once, not by the kernel. Busy, a worker never sleeps: the one
# that the traffic comes to makes no system call but those that hand packets to the kernel.

. "$(dirname "$0")/lib.sh"
need strace

one_router
ns c
for n in 2 3; do
	link c eth$n r eth$n numrxqueues 2 numtxqueues 2
	addr r eth$n 10.0.$((n + 1)).1/24
done
on r ethtool -L eth2 rx 2 tx 2

weir_start r -i eth0 -i eth1 -i eth2 -i eth3 -w 2
expect_eq "workers" 2 "$(weir r -j worker show | jq length)"
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
expect_num "wake-ups in 10 s" $woken "<" 80

before=$(counter r rx_pkts)
kernel_before=$(kernel_forwarded r)
check "a reaches b after the pause" on a ping -c 5 -i 0.1 -W 2 10.0.2.2
expect_eq "packets forwarded by the kernel since" "$kernel_before" "$(kernel_forwarded r)"
expect_num "packets received by Weir since" "$(($(counter r rx_pkts) - before))" ">=" 10
weir_stop r

# --- busy ----------------------------------------------------------------------------------------

# Spinning outlasts what this machine puts between two packets; being traced takes its time, too.
weir_start r -i eth0 -i eth1 -w 2 --spin-us 1000000 --heartbeat-ms 10000
flood_start busy a b 10.0.2.2 20000 4
tid=$(grep -l '^weir-worker-0$' /proc/"${WEIR_PID[r]}"/task/*/comm | cut -d/ -f5)
has_forwarded() { (($(counter r tx_pkts) > 1000)); }
wait_for 5 "traffic flows" has_forwarded
timeout -s INT 2 strace -qq -c -p "$tid" -o $T/strace || true
flood_end busy
cat $T/strace
awk '$1 ~ /^[0-9]/ && $NF != "total" { print $NF }' $T/strace >$T/calls
check "it sends" grep -qx sendto $T/calls
check_not "and makes no other call" grep -vxE 'sendto|recvfrom' $T/calls
check_accounts r
