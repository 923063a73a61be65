#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
#     w1 --- eth1 .---. eth3 --- w3          k1 --- eth1 .---. eth3 --- k3
#                 | w |                                  | k |
#     w2 --- eth2 '---' eth4 --- w4          k2 --- eth2 '---' eth4 --- k4
#
# w forwards with Weir on eth1, eth2 and eth3, k with the kernel alone; both are set up alike, see
# _twins.sh. The cables' MTUs are 4000, 1500, 1300 and 1500. The same frames, in random order, of
# all kinds and to all kinds of routes, are sent into both.
#
#   - what leaves w is what leaves k, to the letter: next hops, MACs, TTL, checksums, data, fragments
#     and the answers (time exceeded, unreachable, fragmentation needed, port unreachable, echo)
#   - of plain packets in transit Weir forwards every single one
#   - each packet that k forwards is forwarded on w by Weir or by the kernel, and by one of them only
#   - all of this with native and with generic XDP; the accounts balance
#
# SEED=N sends other frames.

# shellcheck source=tests/net/_twins.sh
. "$(dirname "$0")/_twins.sh"

twins 4000 1500 1300 1500
SEED=${SEED:-1}

# --- routes of every kind ------------------------------------------------------------------------

both ip route add unreachable 30.1.0.0/16
both ip route add prohibit 30.2.0.0/16
both ip route add blackhole 30.3.0.0/16
both ip route add throw 30.4.0.0/16
both ip route add local 30.5.0.0/16 dev eth2
both ip route add 30.6.0.0/16 via 10.0.2.6
both ip route add 30.7.0.0/16 via 10.0.2.99
both ip nexthop add id 5 via 10.0.3.5 dev eth3
both ip route add 30.8.0.0/16 nhid 5
both ip route add 30.9.0.0/16 via 10.0.2.5 mtu lock 1000
both ip route add 30.10.0.0/16 via 172.16.0.1 dev eth3 onlink
both ip neigh add 172.16.0.1 lladdr 02:00:00:01:ac:10 dev eth3
both ip route add 30.11.0.0/16 via 10.0.3.2 metric 20
both ip route add 30.11.0.0/16 via 10.0.2.2 metric 10
both ip route add 20.3.7.0/24 via 10.0.2.4
both ip route add 20.3.7.7 via 10.0.1.4

BEHIND=20.1.0.0/16,20.2.0.0/16,20.3.0.0/16,20.4.0.0/16
NARROW=20.1.64.0/18,20.2.64.128/25,20.3.64.128/25,20.3.7.0/24,20.3.7.7,30.8.0.0/16,30.10.0.0/16
REFUSED=30.1.0.0/16,30.2.0.0/16,30.3.0.0/16,30.4.0.0/16,99.0.0.0/8
LOCAL=10.0.1.1,10.0.2.1,10.0.3.1,30.5.0.0/16,10.0.2.255
OTHER=30.6.0.0/16,30.9.0.0/16,30.11.0.0/16,10.0.2.2/31,10.0.3.2/31,10.0.2.6
ALL=$BEHIND,$NARROW,$REFUSED,$LOCAL,$OTHER

# --- bursts --------------------------------------------------------------------------------------

# Slow enough that no queue of either kernel overflows. The sources are many: to one of them the kernel
# sends but a few "unreachable" a second (ip_error()), and which would be chance.
PACE=(--pps 8000)

# Flipped bits make addresses that nobody answers for: when the kernels give them up is chance.
BAD=$("$NET_BIN/pkt" variants | grep -v -e flipped -e random | paste -sd,)

forget_neighbours() {
	local n
	for n in 2 3; do
		both ip neigh flush dev "eth$n" nud reachable nud stale nud delay nud probe nud incomplete nud failed
	done
}

# Forwarded packets, by Weir and by the two kernels.
count_forwarded() {
	BY_WEIR=$(counter w tx_pkts)
	BY_W=$(kernel_forwarded w)
	BY_K=$(kernel_forwarded k)
}

each_is_forwarded_once() {
	local weir=$BY_WEIR w=$BY_W k=$BY_K
	count_forwarded
	expect_eq "$1: Weir and the kernel under it forward as many as the kernel alone" \
		$((BY_K - k)) $((BY_WEIR - weir + BY_W - w))
}

plain() {
	local n=3000 weir
	weir=$(counter w tx_pkts)
	compare_start
	both_from 1 --seed $((SEED + 1)) --count $n --first 0 "${PACE[@]}" --proto udp,tcp,icmp --ttl 2-255 \
		--size 60-1300 --src 20.1.0.0/17 --dst 20.2.0.0/16,20.3.128.0/17,30.8.0.0/16,10.0.3.2/31
	both_from 2 --seed $((SEED + 2)) --count $n --first $n "${PACE[@]}" --proto udp,tcp,icmp --ttl 2-255 \
		--size 60-1300 --src 20.2.0.0/17 --dst 20.1.0.0/16,20.3.64.0/18,30.10.0.0/16
	compare_stop "$1: plain packets"
	expect_eq "$1: all of them arrive" $((2 * n)) "$N_SEEN"
	expect_eq "$1: and Weir forwarded them all" $((2 * n)) $(($(counter w tx_pkts) - weir))
}

mixture() {
	local n=6000 dst=$2
	shift 2
	compare_start
	both_from 1 --seed $((SEED + 11)) --count $n --first 0 "${PACE[@]}" --proto udp,tcp,icmp \
		--src 20.1.0.0/16 --dst "$dst" --size 60-3900 "$@"
	both_from 2 --seed $((SEED + 12)) --count $n --first $n "${PACE[@]}" --proto udp,tcp,icmp \
		--src 20.2.0.0/16 --dst "$dst" --size 60-1500 "$@"
	both_from 3 --seed $((SEED + 13)) --count $n --first $((2 * n)) "${PACE[@]}" --proto udp,tcp,icmp \
		--src 20.3.0.0/16 --dst "$dst" --size 60-1300 "$@"
	both_from 4 --seed $((SEED + 14)) --count $n --first $((3 * n)) "${PACE[@]}" --proto udp \
		--src 20.4.0.0/16 --dst "$dst" --size 60-200 "$@"
}

# Both kernels have given up asking who 10.0.2.99 is.
gave_up() {
	local side
	for side in "${SIDES[@]}"; do
		on "$side" ip neigh show 10.0.2.99 | grep -q FAILED || return 1
	done
}

one_mode() {
	local mode=$1
	weir_start w -i eth1 -i eth2 -i eth3 --xdp-mode "$mode" --heartbeat-ms 10000 --punt-answer-pps 0 \
		--ring-descs 4096
	check "$mode: that is the mode" jq -e --arg mode "$mode" 'all(.interfaces[]; .xdp == $mode)' \
		<<<"$(weir w -j status)"
	plain "$mode"
	count_forwarded

	forget_neighbours
	mixture "$mode" "$ALL" --bad 30 --variant "$BAD"
	compare_stop "$mode: good and bad frames to all routes"
	each_is_forwarded_once "$mode: good and bad"

	mixture "$mode" "$ALL" --ttl 1-3
	compare_stop "$mode: short lives"
	each_is_forwarded_once "$mode: short lives"

	mixture "$mode" "$BEHIND,$NARROW" --bad 100 --variant fragment-first,fragment-next,padded,options,mac-other
	compare_stop "$mode: fragments, options, padding"
	each_is_forwarded_once "$mode: fragments"

	compare_start
	both_from 1 --seed "$SEED" --count 50 --src 20.1.0.0/16 --dst 30.7.0.0/16,10.0.2.99
	all_sent
	wait_for 10 "$mode: nobody is 10.0.2.99" gave_up
	compare_stop "$mode: a gateway that does not answer"
	expect_num "$mode: and the senders are told" "$(grep -c 'icmp 3/1' $T/w)" ">" 0
	weir_stop w
}

one_mode native
one_mode generic
