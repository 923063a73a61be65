#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
#     a ---- eth0 .---. eth1 ---- b        r: two workers, flows spread over them
#                 | r | memif m0 ==== l2fwd ==== t0 c
#     d ---- w0 tap'---'                   w0 is a TAP's far end, moved to d; h0 is its interface at r
#
# Under traffic, ports go away and come back, while queues are moved from worker to worker. After
# each, Weir forwards again and the counters add up:
#
#   - an interface is renamed, and then its way into the kernel is deleted
#   - an interface that was renamed is deleted, and comes back under its new name with fewer queues
#   - interfaces are deleted and made again and again
#   - the peer of a memif is killed and started again
#   - the interface that stands for a memif (dev=) is deleted
#   - the far end of a TAP is deleted, in another namespace
#
# timeout: 300
# also under: address thread

. "$(dirname "$0")/lib.sh"

SEED=${SEED:-$RANDOM}

ns a b c d
router r
links_eth0() { # QUEUES NAME
	link a eth0 r "$2" numrxqueues "$1" numtxqueues "$1"
	addr a eth0 10.0.1.2/24
	addr r "$2" 10.0.1.1/24
	on a ip route add default via 10.0.1.1
}
links_eth0 2 eth0
link b eth0 r eth1 numrxqueues 2 numtxqueues 2
addr b eth0 10.0.2.2/24
addr r eth1 10.0.2.1/24
on b ip route add default via 10.0.2.1

# Interfaces made beforehand outlive what Weir does with them, and so do their addresses.
for dev in m0:10.0.3.1/24 h0:10.0.4.1/24; do
	on r ip tuntap add dev "${dev%%:*}" mode tap
	on r ip addr add "${dev#*:}" dev "${dev%%:*}"
	on r ip link set "${dev%%:*}" up
done

peer_start() {
	spawn peer c "$WEIR_BIN/l2fwd" "memif:$T/m.sock" tap:t0
	PEER=$!
	wait_for 10 "the peer's interface" on c ip link set t0 up address 02:00:00:00:0c:00
	on c ip addr replace 10.0.3.2/24 dev t0
	on c ip route replace default via 10.0.3.1
}

far_end_there() {
	on r ip link show w0
}
far_end_start() {
	wait_for 10 "the TAP's far end is there" far_end_there
	on r ip link set w0 netns d
	on d ip link set w0 up address 02:00:00:00:0d:00
	on d ip addr add 10.0.4.2/24 dev w0
	on d ip route add default via 10.0.4.1
}

reaches() {
	on "$1" ping -c 1 -W 1 "$2"
}
is_back() { # NAME TIMES
	[ "$(grep -c "$1: is back" $T/weir-router.r.log)" -ge "$2" ]
}
by_weir() { # WHAT FROM TO: forwarded, and by Weir
	local before
	wait_for 20 "$1: $2 reaches $3" reaches "$2" "$3"
	before=$(counter r tx_pkts)
	check "$1: $2 reaches $3 again" on "$2" ping -c 3 -i 0.05 -W 5 "$3"
	expect_num "$1: packets sent by Weir" "$(($(counter r tx_pkts) - before))" ">=" 6
}

weir_start r -i eth0 -i eth1 -i "memif:$T/m.sock,role=server,dev=m0" -i tap:w0,dev=h0 \
	-w 2 --spread flow --heartbeat-ms 10000
peer_start
far_end_start
by_weir "at first" a 10.0.2.2
by_weir "at first" a 10.0.3.2
by_weir "at first" a 10.0.4.2
check_accounts r

# Traffic of many flows all the while, by all ports.
for target in 10.0.2.2 10.0.3.2 10.0.4.2; do
	spawn blast b "$NET_BIN/blast" send -f 32 $target 5001 1000 600
done
# And queues that wander; the port may be gone, or have fewer.
wander() {
	local dev
	RANDOM=$SEED
	while [ ! -e $T/enough ]; do
		for dev in eth0 eth1 lan0 wan0 m0 h0; do
			weir r worker set dev $dev queue $((RANDOM % 2)) worker $((RANDOM % 2)) || true
		done
		weir r worker set spread queue || true
		weir r worker set spread flow || true
	done
} >/dev/null 2>&1
wander &
WANDERER=$!

# --- names ----------------------------------------------------------------------------------------

rename() { # OLD NEW
	on r ip link set "$1" down
	on r ip link set "$1" name "$2"
	on r ip link set "$2" up
	wait_for 10 "$1 is $2" grep -q "$1: is now named $2" $T/weir-router.r.log
}
rename eth1 wan0
on r ip link del "weir$(on r ip -j link show wan0 | jq '.[0].ifindex')"
wait_for 10 "wan0 is taken again" is_back wan0 1
by_weir "renamed" a 10.0.2.2

rename eth0 lan0
on r ip link del lan0
wait_for 10 "it is gone" grep -q "lan0: interface is gone" $T/weir-router.r.log
unset "IF_NUMBER[r eth0]" "IF_NUMBER[a eth0]"
links_eth0 1 lan0
wait_for 10 "lan0 is taken again" is_back lan0 1
by_weir "with one queue" a 10.0.2.2

# --- again and again ------------------------------------------------------------------------------

for round in 2 3 4 5; do
	on r ip link del lan0
	links_eth0 2 lan0
	wait_for 10 "lan0 is taken again, $round" is_back lan0 $round
done
by_weir "made anew" a 10.0.2.2

# --- those that the kernel does not have ----------------------------------------------------------

for _ in 1 2; do
	end "$PEER" KILL
	peer_start
	by_weir "a new peer" a 10.0.3.2
done
on r ip link del m0
wait_for 10 "m0 is taken again" is_back m0 1
on r ip addr add 10.0.3.1/24 dev m0
on r ip link set m0 up
by_weir "a new interface for the memif" a 10.0.3.2

on d ip link del w0
wait_for 10 "h0 is taken again" is_back h0 1
far_end_start
by_weir "a new far end" a 10.0.4.2

# --- the end --------------------------------------------------------------------------------------

touch $T/enough
wait $WANDERER || true
# shellcheck disable=SC2046
kill $(on b ip netns pids b | xargs -r ps -o pid=,comm= -p | awk '$2 == "blast" { print $1 }') || true
check_accounts r
end "$PEER" KILL
weir_stop r
check "nothing is left" test -z "$(on r ip -o -d link show | grep -E 'xdp|weir' || true)"
