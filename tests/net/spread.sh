#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
#     a ---- eth0 r eth1 ---- b        r: two queues an interface, two workers
#
# All that a sends arrives in queue 0 of eth0, as on a NIC that cannot spread flows. With `spread
# flow` both workers forward, each its own flows: nothing is lost, no flow is reordered, the counters
# add up. Under traffic, and without losing a packet or reordering a flow: the spread is switched,
# and queues are moved from worker to worker. Interfaces with fewer queues than there are workers are taken, too.
# timeout: 200
# also under: thread

. "$(dirname "$0")/lib.sh"

SECONDS_EACH=3 PPS=4000

ns a b
router r
link a eth0 r eth0 numrxqueues 2 numtxqueues 2
link b eth0 r eth1 numrxqueues 2 numtxqueues 2
# Of the two queues the sender uses one.
on a ethtool -L eth0 rx 2 tx 1
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

flood_is_whole() { # WHAT
	expect_eq "$1: lost" 0 "$(flood_result lost)"
	expect_eq "$1: duplicated" 0 "$(flood_result duplicated)"
}

weir_start r -i eth0 -i eth1 -w 2 --spread flow --heartbeat-ms 5000
expect_eq "workers" 2 "$(weir r -j worker show | jq length)"
check "a reaches b" on a ping -c 2 -i 0.1 -W 5 10.0.2.2
flood_start flow a b 10.0.2.2 $PPS $SECONDS_EACH -f 32
flood_end flow
flood_is_whole "flows spread"
expect_eq "no flow is reordered" 0 "$(flood_result reordered)"
expect_num "worker 0 has handed over" "$(worker 0 handed_over)" ">" 1000
expect_num "worker 1 has forwarded" "$(worker 1 taken_over)" ">" 1000
expect_num "worker 0 has forwarded its own" \
	"$(weir r -j graph show | jq '.[] | select(.node == "spread") | .edges[0].packets')" ">" 1000
check_accounts r

flood_start queue a b 10.0.2.2 $PPS $SECONDS_EACH -f 32
weir r worker set spread queue
before=$(worker 0 handed_over)
for _ in 1 2 3 4 5; do
	for worker in 1 0; do
		for queue in 0 1; do
			for dev in eth0 eth1; do
				check "$dev queue $queue goes to worker $worker" \
					weir r worker set dev $dev queue $queue worker $worker
			done
		done
		weir r worker set spread flow
		weir r worker set spread queue
	done
done
flood_end queue
flood_is_whole "moved under traffic"
expect_eq "moved under traffic: reordered" 0 "$(flood_result reordered)"
check "both queues are worker 0's" jq -e '(.[0].queues | length == 4) and (.[1].queues == [])' \
	<<<"$(weir r -j worker show)"
check_accounts r
check_not "there is no third worker" weir r worker set dev eth0 queue 0 worker 2
weir_stop r

# One queue for two workers: the second one forwards by the first one's.
on r ethtool -L eth1 rx 1 tx 1
weir_start r -i eth0 -i eth1 -w 2 --spread flow --heartbeat-ms 5000
flood_start narrow a b 10.0.2.2 $PPS 1 -f 32
flood_end narrow
flood_is_whole "one queue, two workers"
expect_eq "no flow is reordered" 0 "$(flood_result reordered)"
expect_num "worker 1 has handed back" "$(worker 1 handed_over)" ">" 100
check_accounts r
weir_stop r
check "nothing is left" weir_is_gone r
echo "before the changes worker 0 had handed over $before"
