# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# Two routers that cannot be told apart from outside, w with Weir and k with the kernel alone, each
# with four clients of its own. MAC addresses, addresses and routes are the same on both sides, so
# that the same frames can be sent into both and what leaves be compared to the letter.
#
#     w1 --- eth1 .---. eth3 --- w3          k1 --- eth1 .---. eth3 --- k3
#                 | w |                                  | k |
#     w2 --- eth2 '---' eth4 --- w4          k2 --- eth2 '---' eth4 --- k4
#
#     10.0.N.0/24   the cable of client N: the router is .1, the client .2 and .6
#     10.0.N.3-5    further gateways there: their MAC addresses are known, the client sees their
#                   frames
#     20.N.0.0/16   behind 10.0.N.2; parts of it behind .3 and .4
#
#     both CMD...                  on both routers
#     both_from N [options of pkt send]   the same frames from client N of both; all_sent waits
#     compare_start; compare_stop WHAT    captures at all clients; they must have seen the same

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

SIDES=(w k)
CLIENTS=(1 2 3 4)

both() {
	local side
	for side in "${SIDES[@]}"; do
		on "$side" "$@"
	done
}

# twins MTU1 MTU2 MTU3 MTU4
twins() {
	local side n mtu
	for side in "${SIDES[@]}"; do
		router "$side"
		ns "${CLIENTS[@]/#/$side}"
		# Of the kernel's answers none may be left out: that would differ by chance.
		on "$side" sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0 \
			net.ipv4.icmp_ratemask=0
	done
	# MAC addresses are made from these.
	for n in "" "${CLIENTS[@]}"; do
		NS_NUMBER["k${n}"]=${NS_NUMBER["w${n}"]}
	done
	for n in "${CLIENTS[@]}"; do
		mtu=${!n}
		for side in "${SIDES[@]}"; do
			twin_link "$side" "$n" "$mtu"
		done
	done
}

twin_link() {
	local side=$1 n=$2 mtu=$3 host
	link "$side$n" eth0 "$side" "eth$n" mtu "$mtu"
	addr "$side" "eth$n" "10.0.$n.1/24"
	addr "$side$n" eth0 "10.0.$n.2/24" "10.0.$n.6/24"
	# Packets that wait for a neighbour are all kept: which ones are not would be chance.
	on "$side" sysctl -qw "net.ipv4.neigh.eth$n.unres_qlen_bytes=67108864"
	# No route: clients answer nobody.
	on "$side" ip neigh replace "10.0.$n.2" lladdr "$(mac_of "$side$n" eth0)" dev "eth$n"
	for host in 3 4 5; do
		on "$side" ip neigh replace "10.0.$n.$host" lladdr "02:00:00:01:0$n:0$host" dev "eth$n"
	done
	on "$side" ip route add "20.$n.0.0/16" via "10.0.$n.2"
	on "$side" ip route add "20.$n.64.0/18" via "10.0.$n.3"
	on "$side" ip route add "20.$n.64.128/25" via "10.0.$n.4"
}

SENDING=()

# both_from N OPTIONS...: begins; several may run at a time.
both_from() {
	local n=$1 side
	shift
	for side in "${SIDES[@]}"; do
		on "$side$n" "$NET_BIN/pkt" send --dmac "$(mac_of "$side" "eth$n")" "$@" eth0 2>>$T/pkt.log &
		SENDING+=($!)
	done
}

# all_sent: waits for what both_from began.
all_sent() {
	local pid
	for pid in "${SENDING[@]}"; do
		wait "$pid" || fail "pkt send ended with status $?"
	done
	SENDING=()
}

compare_start() {
	local side n
	for side in "${SIDES[@]}"; do
		for n in "${CLIENTS[@]}"; do
			capture_start "$side$n" "$side$n" eth0
		done
	done
}

# Nothing has come to any client since the last look.
is_still() {
	local side n now
	now=$(for side in "${SIDES[@]}"; do
		for n in "${CLIENTS[@]}"; do
			on "$side$n" cat /proc/net/dev
		done
	done)
	if [ "$now" = "${LAST_LOOK:-}" ]; then
		N_STILL=$((N_STILL + 1))
	else
		LAST_LOOK=$now N_STILL=0
	fi
	((N_STILL >= 3))
}

# Redirects are left out: how many a kernel sends depends on the time between packets.
# compare_stop WHAT: $T/w and $T/k are then what was seen, and N_SEEN its number of lines.
compare_stop() {
	local side n what=$1
	all_sent
	if [ -n "${WEIR_PID[w]:-}" ]; then
		check_accounts w
	fi
	wait_for 20 "nothing moves any more" is_still
	for side in "${SIDES[@]}"; do
		: >"$T/$side"
		for n in "${CLIENTS[@]}"; do
			capture_stop "$side$n" >$T/seen
			sed -e '/ icmp 5\//d' -e "s/^/client $n: /" $T/seen >>"$T/$side"
		done
	done
	N_SEEN=$(wc -l <$T/k)
	if ! diff $T/k $T/w >$T/diff; then
		echo "only the kernel's clients saw (<), only Weir's clients saw (>):"
		head -n 40 $T/diff
		echo "($(grep -c '^[<>]' $T/diff) lines in all)"
		fail "$what: the same leaves both routers"
	fi
	echo "ok: $what: the same leaves both routers ($N_SEEN packets)"
}
