#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
#     a ---- eth0 r eth1 ---- b        r: receives on two queues an interface, two workers
#
# An interface may receive by more queues than it sends by: so a driver that adds some for an XDP
# program, and any with 'ethtool -L eth0 rx 2 tx 1'. The kernel takes nothing to send by the others, and
# says nothing. What came by them is forwarded all the same: nothing is lost, nothing waits for ever.
#
#   - two queues receive, one sends
#   - a queue that only receives goes to the other worker and back, under traffic
#   - of two queues one is asked for: what comes by the other is the kernel's, and the log says so
#
# tests/kernels has the driver that adds queues.
# timeout: 120

# shellcheck source=tests/net/lib.sh
. "$(dirname "$0")/lib.sh"

ns a b
router r
link a eth0 r eth0 numrxqueues 2 numtxqueues 2
link b eth0 r eth1 numrxqueues 2 numtxqueues 2
on r ethtool -L eth0 rx 2 tx 1
on r ethtool -L eth1 rx 2 tx 1
addr a eth0 10.0.1.2/24
addr r eth0 10.0.1.1/24
addr r eth1 10.0.2.1/24
addr b eth0 10.0.2.2/24
on a ip route add default via 10.0.1.1
on b ip route add default via 10.0.2.1

# Of worker N: worker N KEY
worker() {
	weir r -j worker show | jq -e --argjson n "$1" ".[] | select(.worker == \$n) | .$2"
}

flood() { # NAME SECONDS
	by_kernel=$(kernel_forwarded r)
	flood_start "$1" a b 10.0.2.2 2000 "$2" -f 32
}

is_whole() { # NAME
	flood_end "$1"
	expect_eq "$1: lost" 0 "$(flood_result lost)"
	expect_eq "$1: the kernel has forwarded none" "$by_kernel" "$(kernel_forwarded r)"
	check_accounts r
}

weir_start r -i eth0 -i eth1 -w 2 --heartbeat-ms 5000
check "a reaches b" on a ping -c 2 -i 0.1 -W 5 10.0.2.2
expect_eq "queues" 2 "$(weir r -j link show dev eth0 | jq '.[0].queues')"

flood both 2
is_whole "both"
expect_num "the second queue has its share" "$(worker 1 rx_pkts)" ">" 500
expect_num "sent by the first worker" "$(worker 0 taken_over)" ">" 500

flood moved 3
for _ in 1 2 3; do
	for worker in 0 1; do
		check "what only receives goes to worker $worker" weir r worker set dev eth1 queue 1 worker $worker
		check "what sends goes to worker $worker" weir r worker set dev eth1 queue 0 worker $worker
	done
done
is_whole "moved"
check_not "no queue is said to be left out" grep -q 'receives on' $T/weir-router.r.log
weir_stop r

weir_start r -i eth0,queues=1 -i eth1 --heartbeat-ms 5000
check "the log says what is left out" grep -q \
	'eth0: receives on 2 queues, Weir on 1 of them: .* kernel; queues= asks for no more' $T/weir-router.r.log
flood some 1
flood_end some
expect_eq "some: lost" 0 "$(flood_result lost)"
expect_num "what comes by the other queue the kernel forwards" "$(kernel_forwarded r)" ">" "$((by_kernel + 200))"
expect_num "the rest does not" "$(counter r rx_pkts)" ">" 200
check_accounts r
weir_stop r
check "nothing is left" weir_is_gone r
