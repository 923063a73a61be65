#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
#     a --- eth0 r eth1 --- b        MTU 3800: larger frames are several buffers of Weir's
#
# A million frames go from a into r, nine in ten of them spoiled: truncated, with lying lengths,
# flipped bits, headers and whole frames of random bytes (pkt.c). With native and with generic XDP:
#
#   - what comes out at b was sent by a: the same bytes, a TTL less by one, the header's checksum right
#   - the router lives, forwards a ping, and its accounts balance to the packet
#
# The one exception: r's neighbour being a veth, a checksum that is by chance what a sender leaves
# for hardware to complete is completed. One in 65,536 wrong ones is.
#
# FRAMES=N sends N for each mode, SEED=N others.
#
# timeout: 400
# also under: address

# shellcheck source=tests/net/lib.sh
. "$(dirname "$0")/lib.sh"

FRAMES=${FRAMES:-1000000}
SEED=${SEED:-1}
BATCH=250000

ns a b
router r
link a eth0 r eth0 mtu 3800
link b eth0 r eth1 mtu 3800
addr a eth0 10.0.1.2/24
addr r eth0 10.0.1.1/24
addr r eth1 10.0.2.1/24
addr b eth0 10.0.2.2/24
on a ip route add 10.0.2.0/24 via 10.0.1.1
on b ip route add 10.0.1.0/24 via 10.0.2.1
on r sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth0.rp_filter=0 net.ipv4.conf.eth1.rp_filter=0
on r ip neigh replace 10.0.2.2 lladdr "$(mac_of b eth0)" dev eth1
# Whatever becomes of an address, there is a way for it.
on r ip route add default via 10.0.2.2
on r ip route add 20.9.0.0/16 via 10.0.1.2

# Without what a router may change: MACs, padding (with the marker, where a length lies); the TTL as
# it came in.
normalise() {
	awk -v add="$1" '{
		$1 = $2 = ""
		if (match($4, /^ttl=/))
			$4 = "ttl=" substr($4, 5) + add
		sub(/ padding=[0-9]+/, "")
		print
	}' | LC_ALL=C sort
}

# Lines as `normalise` leaves them, with any checksum and the data it is in.
without_l4() {
	sed -E 's/ l4sum=[a-z]+//; s/ data=[0-9a-f]+//' | LC_ALL=C sort
}

was_all_sent() {
	local n_out n_new
	normalise 0 <$T/sent.txt >$T/sent
	# Not the router's own words: ARP, ICMP errors.
	awk '!/ ethertype=0806 / && !/ 10\.0\.[12]\.1>/' $T/out.txt >$T/forwarded
	check_not "$1: no bad header leaves" grep -E "broken header|ipsum=bad|ethertype=" $T/forwarded
	normalise 1 <$T/forwarded >$T/out
	LC_ALL=C comm -13 $T/sent $T/out >$T/new
	n_out=$(wc -l <$T/out)
	n_new=$(wc -l <$T/new)
	head -n 20 $T/new
	expect_num "$1: something leaves at all" "$n_out" ">" "$((BATCH / 20))"
	expect_num "$1: next to nothing leaves with other bytes than it came" "$((n_new * 5000))" "<" "$n_out"
	without_l4 <$T/sent >$T/sent.l3
	without_l4 <$T/new >$T/new.l3
	expect_eq "$1: and that only where a checksum was completed" "" \
		"$(sed '/l4sum=ok/d' $T/new; LC_ALL=C comm -13 $T/sent.l3 $T/new.l3)"
}

one_batch() {
	local what="$1, from frame $2" first=$2
	capture_start sent a eth0 --all --sent
	capture_start out b eth0 --all
	on a "$NET_BIN/pkt" send --dmac "$(mac_of r eth0)" --seed $((SEED + first)) --first "$first" --count $BATCH \
		--pps 60000 --bad 90 --proto udp,tcp,icmp --ttl 1-255 --size 60-400 --src 20.1.0.0/16 \
		--dst 20.2.0.0/16,20.9.0.0/16 eth0
	on a "$NET_BIN/pkt" send --dmac "$(mac_of r eth0)" --seed $((SEED + first)) --first "$((first + BATCH))" \
		--count $((BATCH / 100)) --pps 20000 --bad 50 --size 1500-3800 --src 20.1.0.0/16 --dst 20.2.0.0/16 eth0
	check "$what: the router lives" kill -0 "${WEIR_PID[r]}"
	check_accounts r
	capture_stop sent >/dev/null
	capture_stop out >/dev/null
	was_all_sent "$what"
}

one_mode() {
	local mode=$1 first before
	weir_start r -i eth0 -i eth1 --xdp-mode "$mode"
	for ((first = 0; first < FRAMES; first += BATCH)); do
		one_batch "$mode" "$first"
	done
	before=$(counter r tx_pkts)
	wait_for 5 "$mode: a ping goes through" on a ping -c 1 -W 1 10.0.2.2
	expect_num "$mode: by Weir" "$(counter r tx_pkts)" ">" "$before"
	weir r drops show
	weir_stop r
}

one_mode native
one_mode generic
