#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
#     a ---- eth0 r1 eth1 ==== memif ==== eth1 r2 eth0 ---- b
#
# The link between two FRR routers is shared memory. Each one's eth1 is a TAP that stands for it, and
# FRR knows nothing of that: OSPF gets Full, routes come, Weir forwards from cable to memory and back.
# Either router is killed and starts again: the memory is connected anew, OSPF and traffic come back.

# shellcheck source=tests/net/lib.sh
. "$(dirname "$0")/lib.sh"

ns a b
router r1 r2
link a eth0 r1 eth0
link b eth0 r2 eth0
addr a eth0 10.0.1.2/24
addr r1 eth0 10.0.1.1/24
addr r2 eth0 10.0.2.1/24
addr b eth0 10.0.2.2/24
on a ip route add default via 10.0.1.1
on b ip route add default via 10.0.2.1
for r in 1 2; do
	on r$r ip tuntap add dev eth1 mode tap
	on r$r ip addr add 10.0.12.$r/30 dev eth1
	on r$r ip link set eth1 up
done

start() {
	local role=(- server client)
	weir_start "r$1" -i eth0 -i "memif:/run/test/link,role=${role[$1]},dev=eth1" --heartbeat-ms 500
}

converged() {
	wait_for 40 "$1: the adjacency is Full" ospf_full r1 1
	wait_for 30 "$1: r1 has the route to b" has_route r1 10.0.2.0/24
	wait_for 30 "$1: r2 has the route to a" has_route r2 10.0.1.0/24
	# For two hellos on end: a neighbour that has not yet noticed the other's absence is Full, too.
	wait_for 30 "$1: a reaches b, and goes on doing so" reaches
}

reaches() {
	on a ping -c 25 -i 0.1 -W 1 10.0.2.2 | grep -q ' 0% packet loss'
}

start 1
start 2
frr_start r1 1.1.1.1
frr_start r2 2.2.2.2
converged "started"

kernel=$(kernel_forwarded r1)
flood_start load a b 10.0.2.2 5000 2 -f 8
flood_end load
expect_eq "lost" 0 "$(flood_result lost)"
expect_eq "reordered" 0 "$(flood_result reordered)"
expect_num "packets that r1's kernel forwarded of 10000" $(($(kernel_forwarded r1) - kernel)) "<" 100
check_accounts r1 r2
check "tcpdump on the interface in memory's place sees OSPF" \
	on r1 timeout 10 tcpdump -nn -c 1 -i eth1 'ip proto 89'

for r in 2 1; do
	weir_kill r$r
	start $r
	converged "r$r killed and back"
	flood_start again a b 10.0.2.2 5000 1 -f 8
	flood_end again
	expect_eq "r$r killed and back: lost" 0 "$(flood_result lost)"
done
check_accounts r1 r2
weir_stop r1
weir_stop r2
