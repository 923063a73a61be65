#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
#     in0.pcap ---> [ far end 0 ] === [ port 0, p0  r  p1, port 1 ] === [ far end 1 ] <--- in1.pcap
#     out0.pcap <---                                                                  ---> out1.pcap
#
# One router, over every kind of port, by changing strings only: AF_XDP in native and generic mode,
# TAP, memif, a ring in memory, and captures that the router itself reads and writes. In the kernel
# of r the interfaces are p0 and p1 each time, with the same MAC addresses, addresses, routes and
# neighbours. Two captures with a thousand frames of all kinds are sent into the two ports.
#
#   - what leaves is the same over each kind of port, to the byte: forwarded packets, the kernel's
#     own answers, what the kernel forwards for Weir
#   - the plain packets are forwarded by Weir, every single one, and the accounts balance
#   - by captures it is the same bytes in the same order in each run, and the same counters
#   - strings that are wrong, and what cannot be had, cost one line and leave nothing
# timeout: 400

# shellcheck source=tests/net/lib.sh
. "$(dirname "$0")/lib.sh"
need tcpdump

MAC=(02:00:00:00:aa:00 02:00:00:00:aa:01)
FAR_MAC=(02:00:00:00:bb:00 02:00:00:00:bb:01)
PLAIN=300 MIXED=200
L2FWD=$WEIR_BIN/l2fwd

# --- the captures --------------------------------------------------------------------------------

make_input() { # N: $T/inN.pcap
	local n=$1 far=$((1 - $1)) all bad
	bad=$("$NET_BIN/pkt" variants | grep -v -e flipped -e random -e mac-other | paste -sd,)
	all=20.$far.0.0/16,20.$far.64.0/18,30.1.0.0/16,30.3.0.0/16,99.0.0.0/8,10.0.$n.1,10.0.$far.2
	nsenter --net=/run/netns/y -- tcpdump -Unn --immediate-mode -B 65536 -i y0 -w "$T/in$n.pcap" 2>$T/tcpdump.$n &
	local tcpdump=$!
	wait_for 5 "tcpdump listens" grep -q listening $T/tcpdump.$n
	on x "$NET_BIN/pkt" send --dmac "${MAC[n]}" --smac "${FAR_MAC[n]}" --seed $((1 + n)) --count $PLAIN \
		--first $((n * 10000)) --pps 5000 --proto udp,tcp,icmp --ttl 2-255 --size 60-1400 \
		--src 20.$n.0.0/16 --dst 20.$far.0.0/16 x0
	on x "$NET_BIN/pkt" send --dmac "${MAC[n]}" --smac "${FAR_MAC[n]}" --seed $((11 + n)) --count $MIXED \
		--first $((n * 10000 + 5000)) --pps 5000 --proto udp,tcp,icmp --ttl 1-9 --size 60-1400 \
		--src 20.$n.0.0/16 --dst "$all" --bad 40 --variant "$bad" x0
	wait_for 5 "all are captured" eval "tcpdump --count -r $T/in$n.pcap | grep -q '^$((PLAIN + MIXED)) '"
	end $tcpdump
}

ns x y
link x x0 y y0
on x ethtool -K x0 tx off
make_input 0
make_input 1
ns_del x y

# --- the router's kernel -------------------------------------------------------------------------

# The interfaces p0 and p1 are there; what they are differs.
configure() {
	local n
	on r sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0 \
		net.ipv4.icmp_ratemask=0
	for n in 0 1; do
		on r sysctl -qw "net.ipv4.conf.p$n.rp_filter=0" "net.ipv4.conf.p$n.send_redirects=0"
		on r ip link set "p$n" address "${MAC[n]}" up
		on r ip addr add "10.0.$n.1/24" dev "p$n"
		on r ip neigh add "10.0.$n.2" lladdr "${FAR_MAC[n]}" dev "p$n"
		on r ip route add "20.$n.0.0/16" via "10.0.$n.2"
	done
	on r ip route add unreachable 30.1.0.0/16
	on r ip route add blackhole 30.3.0.0/16
}

with_taps() {
	on r ip tuntap add dev p0 mode tap
	on r ip tuntap add dev p1 mode tap
}

with_veths() {
	ns f
	link r p0 f w0
	link r p1 f w1
}

# --- kinds of ports: R are the router's strings, F those of the far ends -------------------------

kind_native() {
	with_veths
	R=("af_xdp:p0,mode=native" "af_xdp:p1,mode=native") F=("af_xdp:w0" "af_xdp:w1") F_NS=f
}
kind_generic() {
	with_veths
	R=("af_xdp:p0,mode=generic" "af_xdp:p1,mode=generic") F=("af_xdp:w0" "af_xdp:w1") F_NS=f
}
kind_tap() {
	with_taps
	R=("tap:w0,dev=p0" "tap:w1,dev=p1") F=("af_xdp:w0" "af_xdp:w1") F_NS=r
}
kind_memif() {
	with_taps
	R=("memif:$T/m0,role=server,dev=p0" "memif:$T/m1,role=server,dev=p1") F=("memif:$T/m0" "memif:$T/m1") F_NS=r
}
kind_ring() {
	with_taps
	R=("ring:w0,dev=p0" "ring:w1,dev=p1") F=("ring:w0" "ring:w1") F_NS=
}
kind_pcap() {
	with_taps
	R=("pcap:$T/in0.pcap,$T/out0.pcap,dev=p0" "pcap:$T/in1.pcap,$T/out1.pcap,dev=p1") F=() F_NS=
}

# --- one run -------------------------------------------------------------------------------------

start_router() {
	local n
	if [ "$1" = ring ]; then
		spawn ringed r "$NET_BIN/ringed" /run/weir/r.sock \
			"${R[0]}" "${F[0]}" "pcap:$T/in0.pcap,$T/out0.pcap" \
			"${R[1]}" "${F[1]}" "pcap:$T/in1.pcap,$T/out1.pcap"
		WEIR_PID[r]=$!
		wait_for 10 "the router is ready" weir_has_begun r
		return
	fi
	weir_start r -i "${R[0]}" -i "${R[1]}" --punt-answer-pps 0 --heartbeat-ms 10000
	for n in "${!F[@]}"; do
		[ "${F[n]#af_xdp:}" = "${F[n]}" ] || on $F_NS ip link set "${F[n]#af_xdp:}" up
	done
}

# All of them are open before the first frame is sent.
start_far_ends() {
	FAR=
	[ -n "$F_NS" ] || return 0
	spawn far $F_NS "$L2FWD" "pcap:$T/in0.pcap,$T/out0.pcap" "${F[0]}" "pcap:$T/in1.pcap,$T/out1.pcap" "${F[1]}"
	FAR=$!
}

# Nothing moves any more, and the plain packets have left.
is_through() {
	local now
	now=$(weir r -j stats show | jq -c '[.rx_pkts, .tx_pkts, .punted, .dropped]')
	[ "$now" = "${BEFORE:-}" ] && (($(counter r rx_pkts) >= 2 * PLAIN))
	local status=$?
	BEFORE=$now
	sleep 0.3
	return $status
}

# A line a frame, without what differs by chance: the IP id of the kernel's own packets.
as_text() {
	tcpdump -nn -t -xx -r "$1" 'not arp and not (icmp and src net 10.0.0.0/16)' 2>/dev/null |
		awk '/^\t0x/ { sub(/^\t0x[0-9a-f]*: */, ""); line = line " " $0; next }
			{ if (line) print line; line = "" } END { if (line) print line }'
}

# How many of the kernel's own answers, by kind.
answers() {
	tcpdump -nn -t -r "$1" 'icmp and src net 10.0.0.0/16' 2>/dev/null |
		sed -e 's/.*ICMP //' -e 's/[0-9.]* udp port .*/udp/' -e 's/,.*//' -e 's/[0-9]\+\.[0-9.]*//g' |
		sort | uniq -c
}

run() { # KIND
	local kind=$1 n
	rm -f $T/out?.pcap $T/m?
	router r
	F=() F_NS=
	"kind_$kind"
	configure
	start_router "$kind"
	start_far_ends
	wait_for 30 "$kind: all is through" is_through
	check_accounts r
	for n in 0 1; do
		as_text "$T/out$n.pcap" | sort >"$T/$kind.out$n"
		answers "$T/out$n.pcap" >"$T/$kind.answers$n"
		expect_num "$kind: frames out of port $n" "$(wc -l <"$T/$kind.out$n")" ">=" $PLAIN
	done
	expect_num "$kind: Weir forwarded the plain packets" \
		"$(weir r -j graph show | jq '.[] | select(.node == "rewrite") | .edges[0].packets')" ">=" $((2 * PLAIN))
	weir r -j link show | jq -r '.[] | "\(.ifname): \(.port), \(.mode)"'
	weir r -j graph show | jq -c '[.[] | {node, edges: [.edges[] | [.name, .packets]]}]' >"$T/$kind.graph"
	[ -z "$FAR" ] || end "$FAR"
	weir_stop r
	ns_del r
	[ -z "${NS_NUMBER[f]:-}" ] || ns_del f
}

same_as_first() { # KIND
	local n what
	for n in 0 1; do
		for what in out answers; do
			diff "$T/native.$what$n" "$T/$1.$what$n" >$T/diff || {
				head -n 20 $T/diff
				fail "$1: the same $what of port $n as with AF_XDP in native mode"
			}
		done
	done
	echo "ok: $1: the same leaves as with AF_XDP in native mode"
}

run native
for kind in generic tap memif ring pcap; do
	run $kind
	same_as_first $kind
done

# --- captures: the same each time ----------------------------------------------------------------

# Of plain packets, in whose order the kernel has no part.
for n in 0 1; do
	tcpdump -c $PLAIN -r "$T/in$n.pcap" -w "$T/plain$n.pcap" 2>/dev/null
	mv "$T/plain$n.pcap" "$T/in$n.pcap"
done
run pcap
for n in 0 1; do
	mv "$T/out$n.pcap" "$T/first$n.pcap"
done
mv $T/pcap.graph $T/first.graph
run pcap
for n in 0 1; do
	check "a second run writes the same bytes to port $n" cmp "$T/first$n.pcap" "$T/out$n.pcap"
done
check "and counts the same" cmp $T/first.graph $T/pcap.graph

# --- what cannot be had --------------------------------------------------------------------------

router r
on r ip link set lo up

refused() { # PATTERN PORT
	local status=0
	on r timeout 20 "$WEIR_BIN/weir-router" -s /run/weir/none.sock -i "$2" >$T/refused 2>&1 || status=$?
	expect_num "$2: it ends with an error" "$status" "!=" 0
	expect_num "$2: not by time" "$status" "!=" 124
	expect_eq "$2: one line" 1 "$(grep -c . $T/refused)"
	check "$2: it says why" grep -Eq "$1" $T/refused
	expect_eq "$2: no interface is left" 1 "$(on r ip -o link show | wc -l)"
}
refused 'no driver is named .dpdk.; there are: ' dpdk:0
refused 'a name is missing: use memif:SOCKET' memif:
refused "memif has no option 'rolle'; it has: role" "memif:$T/s,rolle=server"
refused 'role is .master.: use one of' "memif:$T/s,role=master"
refused 'No such file|no such' "memif:$T/no/such/place,role=server"
refused 'No such file|no such' "pcap:$T/none.pcap"
refused 'not a name that an interface can have' tap:a/b
refused 'use a number from' 'tap:x,queues=0'
refused 'dev is' 'tap:x,dev=a/b'
refused 'no such interface' af_xdp:eth9
