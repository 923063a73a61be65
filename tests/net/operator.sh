#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
#     a ---- eth0 r eth1 ---- b
#                 r eth2 ---- c
#
# What an operator does and sees at the router: what the options refuse, what --check says, what the log
# says and does not repeat, interfaces that are down or have no address, `weir` and its exit statuses,
# two routers side by side, and what `weir detach` removes and leaves alone.
#
# timeout: 240

# shellcheck source=tests/net/lib.sh
. "$(dirname "$0")/lib.sh"
need nft setpriv

ROUTER=$WEIR_BIN/weir-router
LOG=$T/weir-router.r.log

ns a b c
router r
link a eth0 r eth0
link b eth0 r eth1
link c eth0 r eth2
addr r eth0 10.0.1.1/24
addr r eth1 10.0.2.1/24
addr r eth2 10.0.3.1/24
addr a eth0 10.0.1.2/24
addr b eth0 10.0.2.2/24
addr c eth0 10.0.3.2/24
on a ip route add default via 10.0.1.1
on b ip route add default via 10.0.2.1
on c ip route add default via 10.0.3.1

# says STATUS PATTERN CMD...: it ends with this status, and its output has a line like this.
says() {
	local status=0 want=$1 pattern=$2
	shift 2
	timeout 20 "$@" >$T/said 2>&1 || status=$?
	cat $T/said
	expect_eq "status of ${*##*/}" "$want" "$status"
	check "it says: $pattern" grep -Eq -- "$pattern" $T/said
}

router_says() {
	says "$1" "$2" nsenter --net=/run/netns/r -- "$ROUTER" -s /run/weir/other.sock "${@:3}"
}

weir_says() {
	says "$1" "$2" "$WEIR_BIN/weir" -s /run/weir/r.sock "${@:3}"
}

log_has() {
	grep -Eq -- "$1" "$LOG"
}

has_program() {
	on r ip link show "$1" | grep -q xdp
}

# --- options -------------------------------------------------------------------------------------

router_says 2 "^weir-router: -i: needs a value" -i
router_says 2 "^weir-router: --workers: needs a value" -i eth0 --workers
router_says 2 "^weir-router: -x: no such option; .*--help" -i eth0 -x
router_says 2 "named 'worker-count'; .*--help|did you mean" -i eth0 --worker-count 3
router_says 2 "did you mean 'xdp_mode'" -i eth0 --xdp-mdoe native
router_says 2 "^weir-router: --check: takes no value" -i eth0 --check=yes
router_says 2 "ring_descs: 100 is not a power of two" -i eth0 --ring_descs=100
router_says 2 "is named twice" -i eth0 -i eth0
router_says 2 "name one interface at a time" -i eth0,eth1
router_says 2 "/nonexistent: cannot read settings from it" -c /nonexistent
router_says 2 ":1: interface: needs the name of one" -c <(echo interface)
router_says 2 "ring_descs: 100 is not a power of two; use 64..8192" -i eth0 --ring-descs 100

# The control socket is refused before an interface has been taken.
router_says 1 "/nowhere/at/all: cannot make this directory" -i eth0 -s /nowhere/at/all/weir.sock
check_not "nothing was taken" grep -q "XDP" $T/said
touch /run/weir/file.sock
router_says 1 "file.sock: exists and is no socket; remove it" -i eth0 -s /run/weir/file.sock

# --- before the start ----------------------------------------------------------------------------

router_says 1 "^eth9: no such interface" --check -i eth9 -i eth0
check "one that is not there does not hide the others" grep -q "^eth0: veth, 1 queue" $T/said
on r sysctl -qw net.ipv4.ip_forward=0
router_says 0 "^eth0: .*stays with the kernel: .*forwarding is off.*sysctl" --check -i eth0
on r sysctl -qw net.ipv4.ip_forward=1
on r ip link set eth2 down
router_says 0 "^eth2: .*stays with the kernel: .*down.*ip link set eth2 up" --check -i eth2
FIREWALL="add table ip f; add chain ip f c { type filter hook forward priority 0; policy drop; }"
on r nft "$FIREWALL"
router_says 0 "^eth0: .*stays with the kernel: .*nft" --check -i eth0
router_says 0 "^eth0: .*else generic$" --check -i eth0 --bypass-netfilter
on r nft delete table ip f
weir_says 3 "no weir-router is running on /run/weir/r.sock; start it"
weir_says 0 "nothing was left behind" detach
weir_says 0 "route get +ADDRESS" help

# --- the log -------------------------------------------------------------------------------------

# eth2 is down, eth1 has no address.
on r ip addr flush dev eth1
weir_start r -i eth0 -i eth1 -i eth2
cat "$LOG"
check "how an interface was taken comes before what it does" \
	awk '/^eth0: native XDP/ { taken = 1 } /^eth0: forwarding/ { exit !taken }' "$LOG"
check "it says why it copies" log_has "^eth0: native XDP, native copy .*the driver has no zero-copy: EOPNOTSUPP"
check "and so does link show" jq -e 'all(.why_mode | test("no zero-copy: EOPNOTSUPP"))' <<<"$(weir r -j link show)"
check "one that is down is the kernel's, and it says why" log_has "^eth2: left to the kernel: .*down.*ip link set eth2 up"
check "one line sums up" log_has "^ready: forwarding on [12] of 3 interfaces, [0-9]+ routes; ask with 'weir -s /run/weir/r.sock'"
addr r eth1 10.0.2.1/24
on r ip link set eth2 up
wait_for 5 "eth2 forwards once it is up" log_has "^eth2: forwarding"
on c ip route replace default via 10.0.3.1
wait_for 5 "a reaches b" on a ping -c 1 -W 1 10.0.2.2
wait_for 5 "a reaches c" on a ping -c 1 -W 1 10.0.3.2

lines_before=$(grep -c "^eth2: " "$LOG")
for _ in {1..30}; do
	on r ip link set eth2 down
	on r ip link set eth2 up
done
status_says_up() {
	weir r -j status | jq -e '.interfaces[] | select(.ifname == "eth2") | .transit'
}
wait_for 5 "status knows at once that eth2 forwards" status_says_up
expect_num "30 flaps make few lines" "$(($(grep -c "^eth2: " "$LOG") - lines_before))" "<=" 12
check "and it says so" log_has "^eth2: .*changes often"
on c ip route replace default via 10.0.3.1

kill -HUP "${WEIR_PID[r]}"
wait_for 5 "SIGHUP is acknowledged" log_has "SIGHUP: comparing the tables"

# --- asking --------------------------------------------------------------------------------------

expect_eq "the socket is root's" "660 root" "$(stat -c '%a %U' /run/weir/r.sock)"
says 1 "permission denied: be root or of the socket's group" \
	setpriv --reuid=nobody --regid=nogroup --clear-groups "$WEIR_BIN/weir" -s /run/weir/r.sock status
weir_says 0 "^summary: +forwarding on all interfaces"
weir_says 0 "^10.0.2.2 +eth1 .*yes" r g 10.0.2.2
weir_says 0 "^224.0.0.5 .*no .*kernel's" route get 224.0.0.5
weir_says 1 "'fish' is not a command; possible: status" fish
weir_says 1 "'10.0.0.300' is not an IPv4 address" route get 10.0.0.300
weir_says 1 "eth9: not one of Weir's interfaces" link dev eth9
weir_says 1 "one word too many" status now
weir_says 2 "invalid option" -Z
for words in status "link show" "route show table all" "neigh show" "stats show" "drops show all" "graph show" \
	"conf show" help; do
	# shellcheck disable=SC2086 # words
	check "$words is JSON" jq -e . <<<"$(weir r -j $words)"
	# shellcheck disable=SC2086
	weir r $words >$T/table
	check_not "$words has no line that ends with blanks" grep -q ' $' $T/table
done
weir r link >$T/table
expect_num "link show is as wide as a terminal" "$(awk '{ if (length > n) n = length } END { print n }' $T/table)" "<=" 110
on r nft "$FIREWALL"
wait_for 5 "with a chain on forward all is the kernel's" log_has "^eth0: left to the kernel: "
weir_says 0 "^10.0.2.2 .*no +the kernel forwards on all interfaces" route get 10.0.2.2
on r nft delete table ip f
all_forward() {
	weir r -j status | jq -e '.interfaces | all(.transit)'
}
wait_for 5 "and back" all_forward

# --- 100,000 routes ------------------------------------------------------------------------------

awk 'BEGIN { for (i = 0; i < 100000; i++)
	printf "route add 30.%d.%d.%d/32 via 10.0.2.2\n", int(i / 65536), int(i / 256) % 256, i % 256 }' >$T/many
on r ip -batch $T/many
has_many() {
	weir r -j status | jq -e '.mirror.settled and .mirror.routes >= 100000'
}
wait_for 20 "100,000 routes are mirrored" has_many
start=$(now_ms)
expect_num "all are shown, lines" "$(weir r route show | wc -l)" ">=" 100000
expect_num "within seconds, ms" "$(($(now_ms) - start))" "<=" 15000
weir_says 0 "^30.1.2.3 +10.0.2.2 +eth1 .*yes" route get 30.1.2.3

# --- two routers, and what a crash leaves --------------------------------------------------------

router_says 1 "^eth0: another weir-router has it: stop that one first" --check -i eth0
router_says 1 "eth0: .*(taken|stop)" -i eth0
router_says 1 "r.sock: another process serves this socket" -i eth0 -s /run/weir/r.sock
weir_says 1 "weir-router is running .pid [0-9]+.: stop it first" detach
weir_stop r

weir_start r -i eth0
spawn second r env --default-signal=INT "$ROUTER" -s /run/weir/second.sock -i eth1
SECOND=$!
wait_for 10 "a second router, on another interface" "$WEIR_BIN/weir" -s /run/weir/second.sock status
wait_for 5 "a reaches b through both" on a ping -c 1 -W 1 10.0.2.2
says 0 "nothing was left behind" nsenter --net=/run/netns/r -- "$WEIR_BIN/weir" -s /run/weir/nobody.sock detach
check "the living keep their programs" has_program eth0
check "both of them" has_program eth1
weir_kill r
says 1 "run it as root" nsenter --net=/run/netns/r -- setpriv --reuid=nobody --regid=nogroup --clear-groups \
	"$WEIR_BIN/weir" -s /run/weir/r.sock detach
# Here /sys is another one, and the pins of the routers are not to be seen.
says 0 "^eth0$" ip netns exec r "$WEIR_BIN/weir" -s /run/weir/r.sock detach
check_not "the dead one's program is gone" has_program eth0
check "the living one's is not" has_program eth1
status=0
kill -INT $SECOND
wait $SECOND || status=$?
expect_eq "SIGINT ends a router" 0 $status
weir_start r -i eth0 -i eth1 -i eth2
weir_kill r
says 0 "^eth2$" nsenter --net=/run/netns/r -- "$WEIR_BIN/weir" -s /run/weir/r.sock detach
says 0 "nothing was left behind" nsenter --net=/run/netns/r -- "$WEIR_BIN/weir" -s /run/weir/r.sock detach
check "nothing of Weir is left" weir_is_gone r
