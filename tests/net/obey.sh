#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
#     w1 --- eth1 .---. eth3 --- w3          k1 --- eth1 .---. eth3 --- k3
#                 | w |                                  | k |
#     w2 --- eth2 '---' eth4 --- w4          k2 --- eth2 '---' eth4 --- k4
#
# w forwards with Weir on eth1, eth2 and eth3, k with the kernel alone; see _twins.sh. Whatever an
# operator switches on both while packets flow, once Weir has taken notice the same frames get
# through w and k: honest and spoofed sources, several ports, over every pair of interfaces.
#
#   - ip_forward, conf.IF.forwarding, and back
#   - rp_filter strict, loose, and on one interface
#   - nft: a forward chain that drops by policy or one port, prerouting, ingress of one device
#   - ip rules that block, send by another table, or by interface and mark
#   - IPsec policies
#   - what Weir does not evaluate it leaves to the kernel, packet by packet, and says so in `status`;
#     when it is gone, Weir forwards again
#   - --bypass-netfilter forwards all the same
#
# SEED=N sends other frames.

# shellcheck source=tests/net/_twins.sh
. "$(dirname "$0")/_twins.sh"
need nft

twins 1500 1500 1500 1500
SEED=${SEED:-1}
for side in "${SIDES[@]}"; do
	on "${side}1" ip route add 20.2.0.0/16 via 10.0.1.1
done
both ip route add blackhole 30.3.0.0/16
both ip route add unreachable 30.1.0.0/16
both ip route add 20.3.9.0/24 via 10.0.2.3 table 100

# --- what is sent --------------------------------------------------------------------------------

# Behind the router on all sides, nowhere, refused, the router itself, next to it.
SOURCES=20.1.0.0/16,20.1.0.0/17,20.2.0.0/16,20.3.0.0/16,20.4.0.0/16
SOURCES=$SOURCES,99.0.0.0/8,30.1.0.0/16,30.3.0.0/16,10.0.2.1,10.0.1.5,10.0.2.5
TARGETS=20.1.0.0/16,20.2.0.0/16,20.3.0.0/16,20.3.9.0/24,20.4.0.0/16,10.0.2.2

the_same_gets_through() {
	local n=1500 i
	compare_start
	for i in 1 2 3; do
		both_from "$i" --seed $((SEED + i)) --count $n --first $((i * n)) --pps 8000 --proto udp,tcp,icmp \
			--size 60-200 --dport 5-12 --src $SOURCES --dst $TARGETS
	done
	compare_stop "$1"
}

# Packets that flow while something is switched, from client 1 to client 2.
flow_begin() {
	spawn flow w1 "$NET_BIN/blast" send -f 8 20.2.1.1 5001 5000 60
	FLOW_PID=$!
	wait_for 5 "packets flow" came_in_more_than $(($(came_in) + 100))
}

# Frames that the XDP program at eth1 has seen.
came_in() {
	port_counter w eth1 'verdicts | add'
}

came_in_more_than() {
	(($(came_in) > $1))
}

# --- how far Weir is -----------------------------------------------------------------------------

# takes IF true|false: whether Weir forwards what comes in there.
takes() {
	weir w -j status | jq -e --arg dev "$1" --argjson want "$2" '.mirror.settled and
		([.interfaces[] | select(.ifname == $dev or $dev == "all") | .transit == $want] | all)'
}

settled() {
	weir w -j status | jq -e .mirror.settled
}

obstacle_is_said() {
	weir w -j status | jq -e --arg what "$1" '[.obstacles[].why, .interfaces[].why] | any(test($what))'
}

# switched WHAT PATTERN CMD...: both do it under traffic; Weir leaves all packets to the kernel and
# says a reason that matches.
switched() {
	local what=$1 pattern=$2 sent
	shift 2
	flow_begin
	both "$@"
	wait_for 5 "$what: Weir leaves the packets to the kernel" takes "${DEV:-all}" false
	sent=$(counter w tx_pkts)
	check "$what: status says why" obstacle_is_said "$pattern"
	end $FLOW_PID
	[ -n "${DEV:-}" ] || expect_eq "$what: Weir has forwarded nothing since" "$sent" "$(counter w tx_pkts)"
	the_same_gets_through "$what"
}

# undone WHAT CMD...: Weir forwards again.
undone() {
	local what=$1
	shift
	flow_begin
	both "$@"
	wait_for 5 "$what: Weir forwards again" takes all true
	wait_for 5 "$what: and packets say so" weir_forwards_more_than "$(counter w tx_pkts)"
	end $FLOW_PID
	the_same_gets_through "$what"
}

weir_forwards_more_than() {
	(($(counter w tx_pkts) > $1))
}

# evaluated WHAT CMD...: Weir goes on forwarding, by the new setting.
evaluated() {
	local what=$1
	shift
	flow_begin
	both "$@"
	wait_for 5 "$what: Weir has heard of it" settled
	end $FLOW_PID
	check "$what: Weir forwards" takes all true
	the_same_gets_through "$what"
}

weir_start w -i eth1 -i eth2 -i eth3 --heartbeat-ms 10000 --punt-answer-pps 0
the_same_gets_through "at first"

# --- forwarding ----------------------------------------------------------------------------------

switched "ip_forward=0" "forwarding is off" sysctl -qw net.ipv4.ip_forward=0
expect_eq "nothing at all gets through" 0 "$N_SEEN"
undone "ip_forward=1" sysctl -qw net.ipv4.ip_forward=1
DEV=eth1 switched "eth1.forwarding=0" "forwarding is off" sysctl -qw net.ipv4.conf.eth1.forwarding=0
undone "eth1.forwarding=1" sysctl -qw net.ipv4.conf.eth1.forwarding=1

# --- reverse path --------------------------------------------------------------------------------

n_open=$N_SEEN
evaluated "rp_filter=1" sysctl -qw net.ipv4.conf.all.rp_filter=1
expect_num "it stops spoofed sources" "$N_SEEN" "<" "$n_open"
n_strict=$N_SEEN
evaluated "rp_filter=2" sysctl -qw net.ipv4.conf.all.rp_filter=2
expect_num "but not as many" "$N_SEEN" ">" "$n_strict"
evaluated "rp_filter=0" sysctl -qw net.ipv4.conf.all.rp_filter=0
expect_eq "all as before" "$n_open" "$N_SEEN"
evaluated "rp_filter=1 on eth2" sysctl -qw net.ipv4.conf.eth2.rp_filter=1
evaluated "and a way back by the default route" ip route add default via 10.0.2.5
evaluated "no more" ip route del default
evaluated "rp_filter=0 on eth2" sysctl -qw net.ipv4.conf.eth2.rp_filter=0

# --- netfilter -----------------------------------------------------------------------------------

nft_load() {
	cat >"$T/$1.nft"
}

nft_load policy <<-END
	table ip guard { chain forward {
		type filter hook forward priority 0; policy drop; ip daddr 20.3.0.0/16 accept;
	}; }
END
nft_load port <<-END
	table inet guard { chain forward {
		type filter hook forward priority 0; udp dport 9 drop; tcp dport 10 drop;
	}; }
END
nft_load prerouting <<-END
	table ip guard { chain early { type filter hook prerouting priority -300; ip saddr 20.1.0.0/17 drop; }; }
END
nft_load ingress <<-END
	table netdev guard { chain in1 { type filter hook ingress device eth1 priority 0; udp dport 7 drop; }; }
END

for rules in policy port prerouting; do
	switched "nft: $rules" "nft|netfilter|chain" nft -f "$T/$rules.nft"
	expect_num "some are dropped" "$N_SEEN" "<" "$n_open"
	undone "nft: no more $rules" nft flush ruleset
	expect_eq "all as before" "$n_open" "$N_SEEN"
done
DEV=eth1 switched "nft: ingress" "nft|netfilter|chain" nft -f "$T/ingress.nft"
expect_num "some are dropped" "$N_SEEN" "<" "$n_open"
undone "nft: no more ingress" nft flush ruleset

# --- rules ---------------------------------------------------------------------------------------

switched "a rule that blocks" "rule" ip rule add from 20.1.0.0/17 prohibit
undone "none" ip rule del from 20.1.0.0/17 prohibit
switched "a rule with a table" "rule" ip rule add to 20.3.0.0/16 lookup 100
undone "none" ip rule del to 20.3.0.0/16 lookup 100
both ip rule add iif eth1 lookup 100
wait_for 5 "eth1 is left to the kernel" takes eth1 false
the_same_gets_through "a rule for one interface"
undone "none" ip rule del iif eth1 lookup 100

# --- IPsec ---------------------------------------------------------------------------------------

if both ip xfrm policy list >/dev/null 2>&1; then
	block=(src 20.1.0.0/17 dst 20.2.0.0/16 dir fwd)
	switched "an IPsec policy" "IPsec" ip xfrm policy add "${block[@]}" action block
	expect_num "some are dropped" "$N_SEEN" "<" "$n_open"
	undone "none" ip xfrm policy delete "${block[@]}"
	expect_eq "all as before" "$n_open" "$N_SEEN"
else
	echo "no IPsec in this kernel"
fi
weir_stop w

# --- on demand -----------------------------------------------------------------------------------

both nft -f $T/policy.nft
weir_start w -i eth1 -i eth2 -i eth3 --heartbeat-ms 10000
check "with a drop policy Weir does not begin to forward" takes all false
weir_stop w
weir_start w -i eth1 -i eth2 -i eth3 --heartbeat-ms 10000 --bypass-netfilter
check "unless it is told to" takes all true
both_from 1 --count 100 --src 20.1.0.0/16 --dst 20.2.0.0/16
all_sent
wait_for 5 "all hundred" eval '(($(counter w tx_pkts) == 100))'
check_accounts w
weir_stop w
