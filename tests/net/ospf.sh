#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
#     a ---- eth0 r1 eth1 ======== eth1 r2 eth0 ---- b      two links between the routers (eth1, eth2)
#
# FRR runs OSPF on r1 and r2, Weir forwards on all their interfaces, and FRR knows nothing of it:
#
#   - more than 99.9 % of the packets in transit are Weir's, by the kernel's own count of the others
#   - the adjacencies stay Full under load, for the whole run
#   - TCP to the router itself works on an interface that Weir runs on, under load
#   - the router answers traceroute and errors from the right address
#   - tcpdump on the interface of entry sees the packets that Weir hands to the kernel
#   - ECMP: both links carry flows; one link cut under traffic: rerouted, nothing left behind

. "$(dirname "$0")/lib.sh"
need tcpdump socat traceroute

ns a b
router r1 r2
link a eth0 r1 eth0
link r1 eth1 r2 eth1
link r1 eth2 r2 eth2
link b eth0 r2 eth0
addr a eth0 10.0.1.2/24
addr r1 eth0 10.0.1.1/24
addr r1 eth1 10.0.12.1/30
addr r2 eth1 10.0.12.2/30
addr r1 eth2 10.0.12.5/30
addr r2 eth2 10.0.12.6/30
addr r2 eth0 10.0.2.1/24
addr b eth0 10.0.2.2/24
on a ip route add default via 10.0.1.1
on b ip route add default via 10.0.2.1

frr_start r1 1.1.1.1
frr_start r2 2.2.2.2
# A busy test machine may stall a worker for longer than the default deadline.
weir_start r1 -i eth0 -i eth1 -i eth2 --heartbeat-ms 500
weir_start r2 -i eth0 -i eth1 -i eth2 --heartbeat-ms 500
wait_for 30 "both adjacencies are Full" ospf_full r1 2
wait_for 30 "r1 has the route to b, by both links" has_route r1 10.0.2.0/24 2
wait_for 30 "r2 has the route to a, by both links" has_route r2 10.0.1.0/24 2
wait_for 10 "a reaches b" on a ping -c 1 -W 1 10.0.2.2

by_weir() {
	weir "$1" -j route get "$2" | jq -e '.[0].via_weir'
}
wait_for 5 "r1's Weir has the route" by_weir r1 10.0.2.2
wait_for 5 "r2's Weir has the route" by_weir r2 10.0.1.2

# --- load, and everything else beside it ---------------------------------------------------------

before_kernel=$(kernel_forwarded r1)
before_weir=$(counter r1 tx_pkts)
flood_start load a b 10.0.2.2 20000 6 -f 32

spawn "echo.r1" r1 socat TCP-LISTEN:2222,reuseaddr EXEC:cat
wait_for 5 "r1 listens" on r1 sh -c "ss -Htln 'sport = :2222' | grep -q 2222"
expect_eq "TCP to the router itself under load" "to the router" \
	"$(echo 'to the router' | on a timeout 10 socat -t 5 - TCP:10.0.1.1:2222)"
check "ping of the router itself" on a ping -c 3 -i 0.2 -W 2 10.0.1.1
on a traceroute -n -q 1 -w 2 -m 4 10.0.2.2 >$T/traceroute
cat $T/traceroute
check "the first router answers traceroute from its own address" grep -q '^ *1  10.0.1.1 ' $T/traceroute
check "the second one too" grep -Eq '^ *2  10.0.12.[26] ' $T/traceroute

flood_end load
expect_num "the load lost less than a tenth" "$(($(flood_result lost) * 10))" "<" "$(flood_result sent)"
by_kernel=$(($(kernel_forwarded r1) - before_kernel))
by_weir=$(($(counter r1 tx_pkts) - before_weir))
echo "r1: $by_weir packets by Weir, $by_kernel by the kernel"
expect_num "more than 99.9 % in transit are Weir's" "$((by_kernel * 1000))" "<" "$by_weir"
check "the adjacencies stayed Full all the time" ospf_full r1 2 5
for out in eth1 eth2; do
	expect_num "flows by $out" "$(port_counter r1 $out tx_pkts)" ">" 10000
done

# --- what Weir hands to the kernel is seen on the interface of entry -----------------------------

spawn tcpdump r1 tcpdump -n -l -i eth0 "icmp and dst host 203.0.113.9"
wait_for 10 "tcpdump listens" grep -q 'listening on' $T/tcpdump.log
on a ping -c 2 -i 0.2 -W 1 203.0.113.9 >$T/unreachable || true
check "the router answers for what has no route" grep -q 'From 10.0.1.1 .*Unreachable' $T/unreachable
wait_for 10 "tcpdump saw the packet" grep -q '10.0.1.2 > 203.0.113.9' $T/tcpdump.log

# --- a link is cut under traffic -----------------------------------------------------------------

flood_start cut a b 10.0.2.2 5000 5 -f 32
wait_for 5 "the flood is under way" test -n "$(pgrep -f 'blast send' || true)"
on r2 ip link set eth1 down
wait_for 10 "r1 has one path left" has_route r1 10.0.2.0/24 1
flood_end cut
expect_num "the cut lost less than a fifth" "$(($(flood_result lost) * 5))" "<" "$(flood_result sent)"
on r2 ip link set eth1 up
wait_for 30 "both adjacencies are Full again" ospf_full r1 2

check_accounts r1 r2
