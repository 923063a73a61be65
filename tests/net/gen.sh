#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
#     g eth0 ---- eth0 r eth1 ---- eth1 g        a router, and weir-gen on both sides of it
#     a eth0 ---- eth0 b                         a wire
#
# weir-gen measures what is known beforehand. Through r, first the kernel's forwarding and then
# Weir's: 100,000 packets, none lost, in order, byte for byte, with ARP asked and answered by weir-gen
# itself. A firewall at r that drops every tenth: a tenth is lost, to the packet. Over the wire:
# captures are replayed byte-identical; those whose odd packets come before the even ones give exact
# numbers for lost, reordered, too late and duplicate; `echo` sends all back, by the wire and by memif; signals
# end it with a report; nothing is left on the interfaces.
#
# timeout: 400
# also under: address

# shellcheck source=tests/net/lib.sh
. "$(dirname "$0")/lib.sh"
need nft tcpdump

GEN=$WEIR_BIN/weir-gen

ns g a b
router r
link g eth0 r eth0
link g eth1 r eth1
link a eth0 b eth0
addr r eth0 10.0.1.1/24
addr r eth1 10.0.2.1/24

# gen NS WORDS...: runs it; its report is $T/report then, its exit status $STATUS.
gen() {
	local name=$1
	shift
	STATUS=0
	on "$name" timeout 120 "$GEN" "$@" -j >$T/report 2>$T/gen_said || STATUS=$?
	cat $T/gen_said
	head -c 1500 $T/report
}

# reports FILTER: a number of the last report.
reports() {
	jq -er "$1" $T/report
}

# receive WORDS...: weir-gen rx on b in the background; `received` waits for its end.
receive() {
	rm -f $T/report
	nsenter --net=/run/netns/b -- timeout 120 "$GEN" rx af_xdp:eth0 "$@" -j >$T/report 2>>$T/rx.log &
	RX_PID=$!
	wait_for 10 "weir-gen has b's eth0" has_xdp b
}
received() {
	STATUS=0
	wait "$RX_PID" || STATUS=$?
	cat $T/report
}

has_xdp() {
	on "$1" ip -o -d link show eth0 | grep -q xdp
}

# --- through a router ----------------------------------------------------------------------------

through_r() {
	gen g txrx af_xdp:eth0 af_xdp:eth1,descs=8192 --src 10.0.1.2 --dst 10.0.2.128/25 --via 10.0.1.1 \
		--arp 10.0.2.0/24 --flows 100 "$@"
}

measure() { # WHO
	through_r --count 100k --rate 10k --size 76-1500 --verify --drain 10 --fail-on-loss --fail-on-reorder \
		--fail-on-duplicate --fail-on-corruption
	expect_eq "$1: nothing that was forbidden" 0 "$STATUS"
	expect_eq "$1: sent" 100000 "$(reports .sent.packets)"
	expect_eq "$1: received" 100000 "$(reports .received.packets)"
	expect_eq "$1: the same bytes" "$(reports .sent.bytes)" "$(reports .received.bytes)"
	check "$1: none lost, doubled, out of order or spoiled" jq -e '.received |
		.lost_packets == 0 and .duplicate_packets == 0 and .reordered_packets == 0 and
		.too_late_packets == 0 and .corrupted_packets == 0 and .max_distance_packets == 0' $T/report
	expect_eq "$1: flows" 100 "$(reports .received.flows)"
	check "$1: latencies are there, in order" jq -e '.latency | .measured_packets == 100000 and
		.min_ns > 0 and .min_ns <= .mean_ns and .min_ns <= .p50_ns and .p50_ns <= .p90_ns and
		.p90_ns <= .p99_ns and .p99_ns <= .p999_ns and .p999_ns <= .max_ns and .jitter_ns > 0 and
		([.buckets[].packets] | add) == 100000' $T/report
	check "$1: the size is what was asked for" jq -e '.sent | .bytes / .packets | . > 780 and . < 796' $T/report
	# Slower on a busy machine, but never faster.
	check "$1: the rate is not above what was asked for" jq -e '.sent.packets_per_s < 10100' $T/report
	check "$1: it ended by itself" jq -e '.run.ended_by == "count"' $T/report
	check_not "$1: its interfaces are free again" has_xdp g
}

measure "the kernel"

on r nft -f - <<'RULES'
table ip t {
	chain c {
		type filter hook forward priority 0
		meta l4proto udp numgen inc mod 10 0 counter drop
	}
}
RULES
through_r --count 20k --rate 10k --drain 5 --fail-on-loss
expect_eq "every tenth lost: the exit status says it" 3 "$STATUS"
expect_eq "every tenth lost: so many" 2000 "$(reports .received.lost_packets)"
expect_eq "every tenth lost: the others have come" 18000 "$(reports .received.packets)"
check "every tenth lost: a tenth is 10 %" jq -e '.received.lost_percent == 10' $T/report
check "every tenth lost: nothing else" jq -e '.received |
	.reordered_packets == 0 and .duplicate_packets == 0' $T/report
on r nft delete table ip t

weir_start r -i eth0 -i eth1 --heartbeat-ms 10000 --ring-descs 8192
BEFORE=$(counter r tx_pkts)
measure "Weir"
expect_num "Weir: it was Weir that forwarded" "$(counter r tx_pkts) - $BEFORE" '>=' 99000
check_accounts r
weir_stop r

gen g tx af_xdp:eth0 --src 10.0.1.2 --via 10.0.1.77 --count 1
expect_eq "a router that is not there" 1 "$STATUS"
expect_eq "a router that is not there: one sentence" \
	"weir-gen: 10.0.1.77 does not answer ARP on af_xdp:eth0: check the address and --src, or give its MAC address by --dmac" \
	"$(cat $T/gen_said)"

# --- captures ------------------------------------------------------------------------------------

# tcpdump_start NAME FILE [FILTER]; tcpdump_stop COUNT waits for so many frames.
tcpdump_start() {
	rm -f "$2"
	spawn tcpdump "$1" tcpdump -i eth0 -U -n -s 0 -w "$2" --time-stamp-precision=nano -B 16384 "${@:3}"
	TCPDUMP_PID=$!
	wait_for 10 "tcpdump at $1" test -s "$2"
}
frames_of() {
	tcpdump -r "$1" -n -t 2>/dev/null | wc -l
}
has_frames() {
	[ "$(frames_of "$1")" -ge "$2" ]
}
tcpdump_stop() {
	wait_for 20 "$2 frames in ${1##*/}" has_frames "$1" "$2"
	end "$TCPDUMP_PID" INT
	expect_eq "frames in ${1##*/}" "$2" "$(frames_of "$1")"
}
# Every byte of every frame, without the times.
bytes_of() {
	tcpdump -r "$1" -n -t -xx 2>/dev/null
}
same_bytes() {
	bytes_of "$1" >$T/bytes_a
	bytes_of "$2" >$T/bytes_b
	[ -s $T/bytes_a ] && cmp $T/bytes_a $T/bytes_b
}

to_b="--dmac $(mac_of b eth0)"

tcpdump_start b $T/imix.pcap udp
# shellcheck disable=SC2086 # two words
gen a tx af_xdp:eth0 $to_b --count 500 --rate 2k --size imix --flows 7 --choose zipf
expect_eq "a sender alone" 0 "$STATUS"
tcpdump_stop $T/imix.pcap 500
check_not "no checksum is wrong" sh -c "tcpdump -r $T/imix.pcap -n -vv | grep -E 'bad|incorrect'"

for how in own 3k max; do
	tcpdump_start b $T/again.pcap udp
	gen a replay af_xdp:eth0 $T/imix.pcap --rate $how --loops 1
	expect_eq "replay at $how" 500 "$(reports .sent.packets)"
	tcpdump_stop $T/again.pcap 500
	check "replay at $how: the same bytes in the same order" same_bytes $T/imix.pcap $T/again.pcap
done

# --- what is lost, reordered, too late, doubled --------------------------------------------------

tcpdump_start b $T/all.pcap udp
# shellcheck disable=SC2086
gen a tx af_xdp:eth0 $to_b --count 100 --rate 2k
tcpdump_stop $T/all.pcap 100
# The lowest byte of the number within the flow.
tcpdump -r $T/all.pcap -w $T/odd.pcap 'udp[19] & 1 = 1'
tcpdump -r $T/all.pcap -w $T/even.pcap 'udp[19] & 1 = 0'

replay() {
	local file
	for file; do
		gen_replay "$file"
	done
}
gen_replay() {
	on a "$GEN" replay af_xdp:eth0 "$T/$1.pcap" --rate 2k -q >>$T/replay.log
}

receive --count 100 --fail-on-loss
replay odd even
received
expect_eq "odd before even: none lost" 0 "$STATUS"
check "odd before even: the even ones are reordered, the first by 99" jq -e '.received | .packets == 100 and
	.reordered_packets == 50 and .max_distance_packets == 99 and .lost_packets == 0' $T/report

receive --count 100 --window 64 --fail-on-reorder
replay odd even
received
expect_eq "a small window: the exit status says it" 3 "$STATUS"
check "a small window: the first 18 even ones are too late, and lost" jq -e '.received |
	.reordered_packets == 32 and .too_late_packets == 18 and .lost_packets == 18' $T/report

receive --count 100 --fail-on-duplicate
replay odd odd
received
expect_eq "the odd ones twice: the exit status says it" 3 "$STATUS"
check "the odd ones twice: 50 duplicates, 50 lost" jq -e '.received |
	.duplicate_packets == 50 and .lost_packets == 50 and .reordered_packets == 0' $T/report

receive --idle 2
replay odd
received
check "the odd ones only: the even ones are lost" jq -e '.received |
	.packets == 50 and .lost_packets == 50' $T/report
check "it ended when nothing came any more" jq -e '.run.ended_by == "idle"' $T/report

receive --count 1 --stream 9
replay all
# shellcheck disable=SC2086
on a "$GEN" tx af_xdp:eth0 $to_b --count 1 --stream 9 -q
received
check "packets of another stream are foreign" jq -e '.received |
	.packets == 1 and .lost_packets == 0 and .foreign_packets >= 100' $T/report

# --- echo, signals, errors -----------------------------------------------------------------------

echo_between() { # PORT PORT READY...: the second one echoes
	rm -f $T/echo.log
	spawn echo b "$GEN" echo "$2" --arp 10.9.0.2 -q
	local pid=$!
	wait_for 10 "echo has $2" "${@:3}"
	gen a txrx "$1" --src 10.9.0.1 --dst 10.9.0.2 --via 10.9.0.2 --count 5k --rate 5k --flows 3 --verify \
		--drain 10 --fail-on-loss --fail-on-reorder
	expect_eq "echo by $2: all came back, in order" 0 "$STATUS"
	expect_eq "echo by $2: all 5000" 5000 "$(reports .received.packets)"
	kill -TERM "$pid"
	check "echo by $2: SIGTERM ends it well" wait "$pid"
	check "echo by $2: its report has them" grep -Eq 'packets sent back +5000' $T/echo.log
}

echo_between af_xdp:eth0 af_xdp:eth0 has_xdp b
echo_between memif:$T/m.sock,role=client memif:$T/m.sock,role=server test -S $T/m.sock

gen a tx "pcap:,$T/file.pcap" --dmac 02:00:00:00:00:01 --count 1k --rate max --size imix --flows 9
gen a rx "pcap:$T/file.pcap" --count 1k --verify --fail-on-loss --fail-on-corruption
expect_eq "by a file: all are there, byte for byte" 0 "$STATUS"

# shellcheck disable=SC2086
nsenter --net=/run/netns/a -- "$GEN" tx af_xdp:eth0 $to_b --rate 1k -j >$T/report 2>$T/lines &
GEN_PID=$!
wait_for 20 "a line a second" grep -Eq '^ +[0-9.]+ s  sent [0-9]+ \([0-9]+/s\)$' $T/lines
kill -INT "$GEN_PID"
check "SIGINT ends it well" wait "$GEN_PID"
check "SIGINT: it says so, and what was sent until then" jq -e '.run.ended_by == "signal" and
	.sent.packets > 0' $T/report

gen a tx af_xdp:nothere --dmac 02:00:00:00:00:01
expect_eq "no such interface" 1 "$STATUS"
expect_eq "no such interface: one sentence" \
	"weir-gen: nothere: no such interface; 'ip link' lists those there are" "$(cat $T/gen_said)"
gen a tx af_xdp:eth0
expect_eq "to whom?" 2 "$STATUS"
for name in g a b; do
	check_not "nothing is left at $name" has_xdp $name
done
