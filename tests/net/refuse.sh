#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
#     a ---- eth0 r eth1 ---- b            br0, a bridge of r without ports
#
# What weir-router cannot have it refuses: with status 1 (2 if the words are wrong), one line that says
# what is wrong and what to do, and nothing left behind: no TAP, no program, no qdisc, no pin, no socket.
# Also where the first of two interfaces had been taken already; and without file descriptors, one more
# of them at each try until there are enough.
#
# net/operator has the command line, net/attach other XDP programs.
#
# timeout: 240

# shellcheck source=tests/net/lib.sh
. "$(dirname "$0")/lib.sh"
need setpriv prlimit

ROUTER=$WEIR_BIN/weir-router
SOCKET=/run/weir/refuse.sock
one_router
on r ip link add br0 type bridge

# refused STATUS PATTERN CMD...: it ends with this status, says this in one line, and nothing is left.
refused() {
	local status=0 want=$1 pattern=$2
	shift 2
	timeout 30 nsenter --net=/run/netns/r -- "$@" >$T/said 2>&1 </dev/null || status=$?
	cat $T/said
	expect_eq "status of ${*: -4}" "$want" "$status"
	check "it says: $pattern" grep -Eq -- "^weir-router: $pattern" $T/said
	expect_eq "in one line" 1 "$(grep -c '^weir-router: ' $T/said)"
	nothing_is_left
}

nothing_is_left() {
	check "nothing is left on the interfaces" weir_is_gone r
	check_not "nor the control socket" test -e $SOCKET
}

refuses() {
	refused "$1" "$2" "$ROUTER" -s $SOCKET "${@:3}"
}

# refuses_without CAPABILITIES PATTERN
refuses_without() {
	local drop=-${1//,/,-}
	refused 1 "$2" setpriv --bounding-set="$drop" --inh-caps="$drop" "$ROUTER" -s $SOCKET -i eth0 -i eth1
}

# --- interfaces ----------------------------------------------------------------------------------

refuses 1 "eth9: no such interface; 'ip link' lists" -i eth9
refuses 1 "eth9: no such interface; 'ip link' lists" -i eth0 -i eth9
refuses 1 "lo: a loopback interface has nothing to forward" -i eth0 -i lo
refuses 1 "br0: its driver has no native XDP" -i eth0 -i br0 --xdp-mode native
refuses 2 "frame_bytes: 3000 is not a power of two; use 2048" -i eth0 --frame-bytes 3000
refuses 2 "busy_poll_us: 200000 is out of range; use 0" -i eth0 --busy-poll-us 200000
refuses 2 "interface: .* is not a name that an interface can have" -i eth0-and-much-more

# --- a queue that another program has ------------------------------------------------------------

spawn taker r "$NET_BIN/taker" $T/taken eth1
TAKER=$!
wait_for 5 "another program has the queue of eth1" test -e $T/taken
for mode in auto generic; do
	refuses 1 "eth1: receive queue 0 is taken by another AF_XDP socket .*stop that one first" \
		-i eth0 -i eth1 --xdp-mode $mode
done
check_not "--check refuses it as well" on r "$ROUTER" --check -i eth1
expect_eq "and says" "eth1: another program receives on it by AF_XDP: stop that one first" "$(cat $T/check)"
end $TAKER

# --- privileges and limits -----------------------------------------------------------------------

refuses_without net_raw "eth0: an AF_XDP socket needs CAP_NET_RAW"
refuses_without net_admin ".* needs CAP_NET_ADMIN"
refuses_without bpf,sys_admin "needs CAP_NET_ADMIN, CAP_BPF and CAP_NET_RAW"
refused 1 "needs CAP_NET_ADMIN, CAP_BPF and CAP_NET_RAW .run as root" \
	setpriv --reuid=nobody --regid=nogroup --clear-groups "$ROUTER" -s $SOCKET -i eth0
refused 1 "eth0: .* exceed the limit of 64 KiB for locked memory: raise it .ulimit -l, LimitMEMLOCK=" \
	prlimit --memlock=65536:65536 setpriv --bounding-set=-ipc_lock,-sys_resource \
	"$ROUTER" -s $SOCKET -i eth0 -i eth1

# Enough for one interface and not for two, unless other processes of root's hold some of it.
refused 1 "eth[01]: 3072 KiB .* counted for each interface, exceed the limit of 4096 KiB" \
	prlimit --memlock=$((4 << 20)):$((4 << 20)) setpriv --bounding-set=-ipc_lock,-sys_resource \
	"$ROUTER" -s $SOCKET -i eth0 -i eth1 --ring-descs 64
refused 1 "packet memory: .* ask for fewer|not enough memory" \
	prlimit --as=$((60 << 20)) "$ROUTER" -s $SOCKET -i eth0 -i eth1

# --- one file descriptor more each time ----------------------------------------------------------

log_says_ready_or_it_has_ended() {
	grep -q '^ready: ' $T/few.log || ! kill -0 "$FEW"
}

for ((n = 4; n < 200; n++)); do
	: >$T/few.log
	spawn few r prlimit --nofile=$n:$n "$ROUTER" -s $SOCKET -i eth0 -i eth1
	FEW=$!
	wait_for 20 "with $n descriptors it is ready or has ended" log_says_ready_or_it_has_ended
	if grep -q '^ready: ' $T/few.log; then
		end $FEW
		break
	fi
	status=0
	wait $FEW || status=$?
	expect_num "with $n descriptors: not status 0" $status "!=" 0
	[ $n -lt 8 ] || expect_eq "one line" 1 "$(grep -c '^weir-router: ' $T/few.log)"
	nothing_is_left
done
expect_num "some tries had too few" $n ">" 20
expect_num "some had enough" $n "<" 200
nothing_is_left

# --- and all of it was for want of something -----------------------------------------------------

weir_start r -i eth0 -i eth1
wait_for 5 "a reaches b through Weir" on a ping -c 1 -W 1 10.0.2.2
weir_stop r
check "nothing is left of that either" weir_is_gone r
