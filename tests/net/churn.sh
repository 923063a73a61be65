#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
#     a --- eth0 .---. eth2 --- c
#                | r |
#     b --- eth1 '---'
#
# Everything that changes Weir's tables happens at once, for CHURN_S seconds, while packets flow: from
# a to b by a route that nobody touches, from a to everywhere by those that come and go.
#
#   - thousands of routes added, replaced, deleted; next-hop objects and a group changed under theirs
#   - neighbours deleted and given other MAC addresses; eth2 goes down and up
#   - all the while `weir` asks for routes, counters, neighbours and the rest
#
# Then: Weir still runs, has settled, answers as the kernel, ends with status 0; the accounts balance;
# the flow from a to b has lost less than one packet in 200. With a sanitizer's build it is the threads
# and the memory that are looked at, and the loss, in a router ten times as slow, is not.
#
# also under: address thread
# timeout: 180

# shellcheck source=tests/net/lib.sh
. "$(dirname "$0")/lib.sh"

CHURN_S=${CHURN_S:-8}
N_ROUTES=3000

ns a b c
router r
# Two queues each, for two workers.
link a eth0 r eth0 numrxqueues 2 numtxqueues 2
link b eth0 r eth1 numrxqueues 2 numtxqueues 2
link c eth0 r eth2 numrxqueues 2 numtxqueues 2
addr r eth0 10.0.0.1/24
addr r eth1 10.0.1.1/24
addr r eth2 10.0.2.1/24
addr a eth0 10.0.0.2/24
addr b eth0 10.0.1.2/24 20.0.0.1/32
addr c eth0 10.0.2.2/24
on a ip route add default via 10.0.0.1
on b ip route add default via 10.0.1.1
on c ip route add default via 10.0.2.1
on r ip route add 20.0.0.1/32 via 10.0.1.2
on r ip neigh replace 10.0.1.2 lladdr "$(mac_of b eth0)" dev eth1 nud permanent

# --- what happens at once ------------------------------------------------------------------------

# batch VERB WAY: a command for each of N_ROUTES prefixes, 20.1.0.0/24 and up.
batch() {
	awk -v n="$N_ROUTES" -v verb="$1" -v way="$2" 'BEGIN {
		for (i = 0; i < n; i++)
			printf "route %s 20.%d.%d.0/%d %s\n", verb, 1 + int(i / 256), i % 256, 24 + i % 3, way
	}'
}
batch replace "via 10.0.1.2" >$T/by_b
batch replace "via 10.0.2.2" >$T/by_c
batch replace "nexthop via 10.0.1.2 weight 3 nexthop via 10.0.2.2" >$T/by_both
batch replace "nhid 3" >$T/by_object
batch delete "" >$T/gone

# Refused commands (a way out that is down, a route that is gone) are part of it.
routes_change() {
	local list
	for list in by_b by_c by_both gone by_object by_b gone; do
		on r ip -force -batch $T/$list || true
	done
}

objects_change() {
	on r ip nexthop replace id 1 via 10.0.1.2 dev eth1 || true
	on r ip nexthop replace id 2 via 10.0.2.2 dev eth2 || true
	on r ip nexthop replace id 3 group 1/2 || true
	on r ip nexthop replace id 3 group 1,5 || true
	on r ip route replace 20.60.0.0/16 nhid 3 || true
	on r ip nexthop replace id 1 via 10.0.1.9 dev eth1 || true
	on r ip nexthop del id 2 || true
	on r ip nexthop del id 3 || true
}

neighbours_change() {
	on r ip neigh replace 10.0.2.2 lladdr 02:00:00:00:99:01 dev eth2 nud reachable || true
	on r ip neigh replace 10.0.1.9 lladdr 02:00:00:00:99:02 dev eth1 nud stale || true
	on r ip neigh replace 10.0.2.2 lladdr "$(mac_of c eth0)" dev eth2 nud reachable || true
	on r ip neigh del 10.0.2.2 dev eth2 || true
	on r ip neigh del 10.0.1.9 dev eth1 || true
}

link_flaps() {
	on r ip link set eth2 down
	sleep 0.1
	on r ip link set eth2 up
	sleep 0.4
}

# A refusal is an answer; that nobody serves the socket is not.
operator_asks() {
	local words
	for words in "stats show" "route show table all" "drops show" "graph show" "neigh show" "link show" \
		"route get 20.1.1.1 20.60.0.1 10.0.2.2" status; do
		# shellcheck disable=SC2086 # words
		weir r -j $words >$T/asked || (($? != 3)) || return 1
	done
	echo . >>$T/asked.count
}

# over_and_over FUNCTION: in the background until $T/done is there.
over_and_over() {
	(
		trap - ERR
		until [ -e $T/done ]; do
			"$1" || {
				echo "$1 failed" >>$T/failed
				break
			}
		done
	) >>"$T/$1.log" 2>&1 &
	LOOPS+=($!)
}

# --- the run -------------------------------------------------------------------------------------

LOOPS=()
# The loops above leave little of the machine: a worker that waits for a CPU is not the subject.
HEARTBEAT_MS=500
PPS=3000
if [ -n "${SANITIZER:-}" ]; then
	HEARTBEAT_MS=2000
	PPS=500
fi
WEIR_START_S=30 weir_start r -i eth0 -i eth1 -i eth2 -w 2 --heartbeat-ms "$HEARTBEAT_MS"
on a ping -c 1 -W 2 20.0.0.1 || fail "a does not reach b"

flood_start flow a b 20.0.0.1 $PPS 1000 -f 16
spawn everywhere a "$NET_BIN/pkt" send --dmac "$(mac_of r eth0)" --src 10.0.0.2 --dst 20.0.0.0/10 \
	--pps $PPS --count 4000000000 eth0
EVERYWHERE=$!
for what in routes_change objects_change neighbours_change link_flaps operator_asks; do
	over_and_over $what
done
sleep "$CHURN_S"
touch $T/done
wait "${LOOPS[@]}"
end $EVERYWHERE
flood_stop flow

weir r drops show
weir r stats show
check_not "every part went on to the end" test -e $T/failed
kill -0 "${WEIR_PID[r]}" || fail "weir-router has ended"
expect_num "the operator got answers, rounds" "$(wc -l <$T/asked.count)" ">=" 1
[ -n "${SANITIZER:-}" ] ||
	expect_num "the flow from a to b does not suffer" "$(($(flood_result lost) * 200))" "<=" \
		"$(flood_result sent)"

# --- afterwards ----------------------------------------------------------------------------------

on r ip link set eth2 up
on r ip -force -batch $T/by_both || true
settled() {
	weir r -j status | jq -e .mirror.settled
}
wait_for 30 "the mirror settles" settled

as_text() {
	jq -r '.[] | [.route // .dst, .gateway // "-", .dev // "-"] +
		[.nexthops[]? | [.gateway, .dev, .weight]] | tostring'
}
DESTINATIONS=(20.0.0.1 20.1.0.1 20.1.1.1 20.1.2.1 20.4.200.1 20.12.100.1 10.0.1.2)
answers_agree() {
	local address
	for address in "${DESTINATIONS[@]}"; do
		on r ip -j route get fibmatch "$address"
	done | as_text >$T/kernel.answers
	weir r -j route get "${DESTINATIONS[@]}" | as_text >$T/weir.answers
	diff $T/kernel.answers $T/weir.answers
}
wait_for 10 "Weir answers as the kernel does" answers_agree

before=$(weir r -j status | jq .mirror.mended)
kill -HUP "${WEIR_PID[r]}"
resynced() {
	weir r -j status | jq -e '.mirror.resyncs > 0 and .mirror.settled'
}
wait_for 30 "a full comparison" resynced
expect_eq "which finds nothing to mend" "$before" "$(weir r -j status | jq .mirror.mended)"
check_accounts r
weir r drops show
weir_stop r
