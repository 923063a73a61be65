#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
#     a --- eth0 .---. eth2 --- c
#                | r |
#     b --- eth1 '---' eth3 --- d
#
# r forwards with Weir on eth0, eth1 and eth2. From a to b flow packets that must not notice what
# happens on eth2, in the tables and to Weir's ear:
#
#   - link down and up, rename, MTU, addresses, an interface deleted and made again
#   - 100,000 routes come and go, next-hop objects and groups change under their routes
#   - a neighbour changes its MAC address
#   - events are lost (a receive buffer far too small): Weir notices and reads the tables again
#
# After each: the mirror has settled, Weir's answers are those of `ip route get`, packets from a reach
# c again where there is a way, the accounts balance, and the flow from a to b has lost less than
# one packet in 200 (it loses none on a machine with nothing else to do).
#
# timeout: 400

# shellcheck source=tests/net/lib.sh
. "$(dirname "$0")/lib.sh"

ns a b c d
router r
link a eth0 r eth0
link b eth0 r eth1
link c eth0 r eth2
link d eth0 r eth3
addr r eth0 10.0.0.1/24
addr r eth1 10.0.1.1/24
addr r eth2 10.0.2.1/24
addr r eth3 10.0.3.1/24
addr a eth0 10.0.0.2/24
addr b eth0 10.0.1.2/24
addr c eth0 10.0.2.2/24 10.0.2.3/24
addr d eth0 10.0.3.2/24
for client in a b c d; do
	on $client ip route add default via "10.0.$((${NS_NUMBER[$client]} - 1)).1"
done
on r sysctl -qw net.ipv4.conf.all.arp_accept=1

# What depends on eth2, on eth1, on both, and on neither.
routes_by_eth2() {
	on r ip route replace 20.2.0.0/16 via 10.0.2.2
	on r ip route replace 20.2.128.0/17 via 10.0.2.3
	on r ip route replace 20.12.0.0/16 nexthop via 10.0.1.2 weight 2 nexthop via 10.0.2.2
	on r ip route replace 20.13.0.0/16 via 10.0.2.2 metric 5
}
routes_by_eth2
on r ip route add 20.1.0.0/16 via 10.0.1.2
on r ip route add 20.3.0.0/16 via 10.0.3.2
on r ip route add 20.13.0.0/16 via 10.0.1.2 metric 10
on r ip route add unreachable 20.4.0.0/16
on r ip route add blackhole 20.5.0.0/16
on r ip route add 20.2.4.0/24 via 10.0.3.2
on b ip addr add 20.1.0.1/32 dev eth0

DESTINATIONS=(10.0.0.1 10.0.0.2 10.0.1.1 10.0.1.2 10.0.2.1 10.0.2.2 10.0.2.3 10.0.2.9 10.0.2.255 10.0.3.2
	10.9.0.1 10.9.0.7 20.1.0.1 20.2.0.1 20.2.4.1 20.2.128.1 20.3.0.1 20.4.0.1 20.5.0.1 20.12.0.1 20.13.0.1
	20.14.0.1 20.15.0.1
	40.0.0.1 40.0.0.65 40.0.0.129 40.1.7.1 40.2.9.200 40.50.60.70 40.96.0.1 40.97.168.1 40.200.3.9 99.0.0.1)

# --- the same answers ----------------------------------------------------------------------------

# Two things are the kernel's manner of speaking: refusals are errors, and the whole table is default.
AS_TEXT='.[] | if .error or (.type | IN("unreachable", "prohibit", "blackhole", "throw")) then "refused" else
	[.type // "unicast", (.route // .dst), .gateway // "-", (if .type == "local" then "lo" else .dev // "-" end),
	(.metric // 0), (.nhid // 0), (.metrics // [])] +
	[.nexthops[]? | [.gateway // "-", .dev, .weight]] | tostring end'

kernel_answers() {
	local address
	for address in "${DESTINATIONS[@]}"; do
		on r ip -j route get fibmatch "$address" 2>/dev/null || echo '[{"error": "refused"}]'
	done | jq -r "$AS_TEXT" | paste -d ' ' <(printf '%s\n' "${DESTINATIONS[@]}") -
}

weir_answers() {
	weir r -j route get "${DESTINATIONS[@]}" | jq -r "$AS_TEXT" |
		paste -d ' ' <(printf '%s\n' "${DESTINATIONS[@]}") -
}

answers_agree() {
	kernel_answers >$T/kernel.answers
	weir_answers >$T/weir.answers
	diff $T/kernel.answers $T/weir.answers
}

settled() {
	weir r -j status | jq -e .mirror.settled
}

agreed() {
	wait_for 20 "$1: the mirror settles" settled
	check "$1: Weir answers as the kernel does" answers_agree
}

# --- around each event ---------------------------------------------------------------------------

begin() {
	EVENT=$1
	flood_start flow a b 20.1.0.1 3000 100
	wait_for 5 "packets flow" forwards_more_than "$(counter r tx_pkts)"
}

forwards_more_than() {
	(($(counter r tx_pkts) > $1))
}

done_with_it() {
	flood_stop flow
	expect_num "$EVENT: the flow from a to b does not suffer" "$(($(flood_result lost) * 200))" "<=" \
		"$(flood_result sent)"
	agreed "$EVENT, afterwards"
	check_accounts r
}

c_is_reached() {
	wait_for 5 "$EVENT: a reaches c" on a ping -c 1 -W 1 10.0.2.2
	wait_for 5 "$EVENT: by Weir" c_is_reached_by_weir
}

c_is_reached_by_weir() {
	local before
	before=$(port_counter r "${C_PORT:-eth2}" rx_pkts)
	on a ping -c 1 -W 1 10.0.2.2
	(($(port_counter r "${C_PORT:-eth2}" rx_pkts) > before))
}

# On a busy machine a worker may wait long for its processor; with the default deadline that costs
# packets, for which no event is to blame.
PATIENT=(--heartbeat-ms 1000)

weir_start r -i eth0 -i eth1 -i eth2 "${PATIENT[@]}"
agreed "at first"

begin "link down and up"
on r ip link set eth2 down
agreed "link down"
on r ip link set eth2 up
agreed "link up"
routes_by_eth2
c_is_reached
done_with_it

begin "carrier lost and back"
on c ip link set eth0 down
agreed "carrier lost"
on c ip link set eth0 up
on c ip route replace default via 10.0.2.1
agreed "carrier back"
routes_by_eth2
c_is_reached
done_with_it

begin "rename"
on r ip link set eth2 down
on r ip link set eth2 name wan7
on r ip link set wan7 up
routes_by_eth2
agreed "rename"
C_PORT=wan7 c_is_reached
check "Weir says the new name" jq -e 'any(.interfaces[]; .ifname == "wan7")' <<<"$(weir r -j status)"
on r ip link set wan7 down
on r ip link set wan7 name eth2
on r ip link set eth2 up
routes_by_eth2
agreed "the old name again"
c_is_reached
done_with_it

begin "MTU change"
on r ip link set eth2 mtu 1300
on c ip link set eth0 mtu 1300
agreed "MTU 1300"
check "too large is answered by r" grep -q "From 10.0.0.1 .* (mtu = 1300)" \
	<(on a ping -c 1 -W 2 -M "do" -s 1400 10.0.2.2)
on a ip route flush cache
check "and a fragmented one arrives" on a ping -c 1 -W 2 -M dont -s 1400 10.0.2.3
on r ip link set eth2 mtu 9000
on c ip link set eth0 mtu 9000
agreed "MTU 9000"
on r ip link set eth2 mtu 1500
on c ip link set eth0 mtu 1500
on a ip route flush cache
wait_for 5 "1500 as before" on a ping -c 1 -W 1 -M "do" -s 1472 10.0.2.2
done_with_it

begin "addresses"
on r ip addr add 10.9.0.1/29 dev eth2
agreed "address added"
check "it is local at once" on a ping -c 1 -W 2 10.9.0.1
on r ip addr del 10.9.0.1/29 dev eth2
agreed "address deleted"
on r ip addr del 10.0.2.1/24 dev eth2
agreed "the interface's only address deleted, its routes with it"
on r ip addr add 10.0.2.1/24 brd + dev eth2
routes_by_eth2
agreed "and back"
c_is_reached
done_with_it

begin "interface deleted and made again"
on r ip link del eth2
agreed "interface deleted"
link c eth0 r eth2
addr r eth2 10.0.2.1/24
addr c eth0 10.0.2.2/24 10.0.2.3/24
on c ip route add default via 10.0.2.1
routes_by_eth2
wait_for 10 "Weir takes it again" eval \
	'weir r -j status | jq -e "any(.interfaces[]; .ifname == \"eth2\" and .transit)"'
agreed "made again"
c_is_reached
done_with_it

begin "next-hop objects"
on r ip nexthop add id 1 via 10.0.2.2 dev eth2
on r ip nexthop add id 2 via 10.0.1.2 dev eth1
on r ip nexthop add id 3 via 10.0.3.2 dev eth3
on r ip nexthop add id 10 group 1/2
on r ip nexthop add id 11 group 1,3/2,1
on r ip route add 20.14.0.0/16 nhid 10
on r ip route add 20.15.0.0/16 nhid 1
agreed "objects added"
on r ip nexthop replace id 1 via 10.0.2.3 dev eth2
agreed "an object replaced, in its group and alone"
on r ip nexthop replace id 10 group 2,5/3
agreed "a group replaced"
on r ip route replace 20.14.0.0/16 nhid 11
agreed "a route to another group"
on r ip nexthop del id 1
agreed "an object deleted: its route with it, the group without it"
on r ip nexthop del id 2
agreed "the last of a group deleted"
on r ip nexthop flush
agreed "all objects deleted"
done_with_it

begin "a neighbour's new MAC"
on c sysctl -qw net.ipv4.conf.eth0.arp_notify=1
on c ip link set eth0 address 02:00:00:00:77:77
wait_for 5 "r has heard of it" eval 'on r ip neigh show 10.0.2.2 | grep -q 02:00:00:00:77:77'
c_is_reached
on r ip neigh replace 10.0.2.3 lladdr 02:00:00:00:66:66 dev eth2
capture_start moved c eth0
agreed "a neighbour's MAC by hand"
on a "$NET_BIN/pkt" send --dmac "$(mac_of r eth0)" --src 10.0.0.0/24 --dst 20.2.128.0/17 --count 5 \
	eth0
wait_for 5 "they have left" forwards_more_than "$(($(counter r tx_pkts) + 4))"
capture_stop moved >$T/moved
expect_eq "packets go to the new address" 5 "$(grep -c '>02:00:00:00:66:66' $T/moved)"
on r ip neigh del 10.0.2.3 dev eth2
done_with_it

# --- many routes ---------------------------------------------------------------------------------

# 40.0.0.0/26 and on: 100,000 prefixes, by three gateways in turn.
many_routes() {
	awk -v verb="$1" 'BEGIN {
		for (i = 0; i < 100000; i++)
			printf "route %s 40.%d.%d.%d/26 via 10.0.%d.2\n", verb,
				i / 1024, i / 4 % 256, i % 4 * 64, i % 3 + 1
	}'
}

begin "100,000 routes"
many_routes add >$T/batch
on r ip -batch $T/batch
agreed "added"
expect_num "all are there" "$(weir r -j status | jq .mirror.routes)" ">" 100000
on r ip link set eth2 down
agreed "a third of them gone with their link"
on r ip link set eth2 up
on r ip route flush root 40.0.0.0/8
routes_by_eth2
agreed "flushed"
expect_num "none is left" "$(weir r -j status | jq .mirror.routes)" "<" 100
done_with_it
weir_stop r

# --- a deaf ear ----------------------------------------------------------------------------------

weir_start r -i eth0 -i eth1 -i eth2 "${PATIENT[@]}" --netlink-rcvbuf-kib 16
agreed "with a small buffer"
begin "events lost"
head -n 20000 $T/batch >$T/batch.small
for i in 1 2 3; do
	on r ip -batch $T/batch.small
	agreed "batch $i"
	on r ip route flush root 40.0.0.0/8
	agreed "flush $i"
done
expect_num "events were lost indeed" "$(weir r -j status | jq .mirror.overruns)" ">" 0
c_is_reached
done_with_it
weir_stop r
