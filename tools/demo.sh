#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# The demo: two FRR routers with Weir between two clients, told as a story of about a minute.
#
#     A ---------- R1 ============ R2 ---------- B        = two links
#      10.0.1.0/24    10.0.12.0/30    10.0.2.0/24
#                     10.0.12.4/30
#
# KEEP=1     leaves everything running and says how to look around and how to remove it
# V=1        shows what the story leaves out
# NO_WEIR=1  the same network with the kernel alone
#
# Ends with a table; exit status 1 if a claim did not hold. Nothing outlives it, unless KEEP=1.

set -euo pipefail
cd "$(dirname "$0")/.."

KEEP=${KEEP:-0}
NO_WEIR=${NO_WEIR:-0}

# KEEP=1: the story runs in a session of its own that stays; this process shows it and leaves.
if [ "$KEEP" = 1 ] && [ -z "${DEMO_VERDICT:-}" ]; then
	dir=$(mktemp -d)
	trap 'rm -rf "$dir"' EXIT
	DEMO_VERDICT=$dir/verdict
	export DEMO_VERDICT KEEP
	setsid "$PWD/tools/demo.sh" &
	unshare=$!
	trap 'kill -KILL $unshare; exit 130' INT TERM
	while [ ! -s "$DEMO_VERDICT" ] && kill -0 $unshare 2>/dev/null; do
		sleep 0.1
	done
	if [ ! -s "$DEMO_VERDICT" ]; then
		wait $unshare
		exit $?
	fi
	world=$(pgrep -P $unshare)
	disown
	tool=$(realpath -m "${WEIR_BIN:-build/bin}")/weir
	cat <<-END

	It is still running. To look around:
	  nsenter -t $world -m -p ip netns exec r1 vtysh -N r1 -c 'show ip ospf neighbor'
	  nsenter -t $world -m -p ip netns exec r1 $tool -s /run/weir/r1.sock stats show
	  nsenter -t $world -m -p ip netns exec a ping 10.0.2.2
	(a, b: the clients; r1, r2: the routers; with bash as the command you stay there.)
	To remove it:
	  kill -9 $world
	END
	exit "$(cat "$DEMO_VERDICT")"
fi

if [ "$(id -u)" != 0 ]; then
	echo "The demo makes network namespaces: run it as root (sudo make demo)." >&2
	exit 1
fi

# shellcheck source=tests/net/lib.sh
. tests/net/lib.sh
need iperf3 ping traceroute vtysh

PPS=20000
SECONDS=0
STEP=0
ROWS=()
N_FAILED=0

# --- telling -------------------------------------------------------------------------------------

say() {
	printf '%s\n' "$@" >&"$ANSWER"
}

title() {
	STEP=$((STEP + 1))
	say "" "$STEP. $*"
}

# show NS LINES CMD...: the command as one would type it, and the first lines of what it says.
show() {
	local name=$1 lines=$2 out
	shift 2
	say "   $name# $*"
	out=$(shown "$name" "$@" 2>&1) || out="$out (status $?)"
	sed -e '/^[[:space:]]*$/d' -e 's/[[:space:]]*$//' -e 's/^/   | /' <<<"$out" | expand |
		head -n "$lines" | cut -c -98 >&"$ANSWER"
}

# What is shown without its plumbing: weir's socket, vtysh's instance, a traceroute that was taken
# before.
shown() {
	local name=$1
	shift
	case $1 in
	weir) weir "$name" "${@:2}" ;;
	traceroute) cat $T/traceroute ;;
	vtysh) frr "$name" "$3" ;;
	*) on "$name" "$@" ;;
	esac
}

# claim SENTENCE NUMBER CMD...: a row of the last table.
claim() {
	local what=$1 number=$2 verdict=yes
	shift 2
	if ! "$@" >$T/claim 2>&1; then
		verdict=NO
		N_FAILED=$((N_FAILED + 1))
		echo "claim \"$what\": \`$*\` failed:"
		cat $T/claim
	fi
	ROWS+=("$what|$number|$verdict")
	say "   -> $what: $number$([ $verdict = yes ] || echo " - DOES NOT HOLD")"
}

less() {
	awk -v a="$1" -v b="$2" 'BEGIN { exit !(a < b) }'
}

# part_of A B: A in percent of A + B.
part_of() {
	awk -v a="$1" -v b="$2" 'BEGIN { printf "%.3f", a + b ? 100 * a / (a + b) : 0 }'
}

# --- measuring -----------------------------------------------------------------------------------

# Packets that left R1 by Weir (0 while it is not running) and by the kernel.
weir_forwarded() {
	counter "$1" tx_pkts 2>/dev/null || echo 0
}

declare -A BEFORE=()

mark() {
	local name
	for name in r1 r2; do
		BEFORE[$name]="$(weir_forwarded $name) $(kernel_forwarded $name)"
	done
}

# Since mark: sets BY_WEIR and BY_KERNEL. A restarted Weir counts from 0.
measure() {
	local weir_before kernel_before weir_now
	read -r weir_before kernel_before <<<"${BEFORE[$1]}"
	weir_now=$(weir_forwarded "$1")
	((weir_now >= weir_before)) || weir_before=0
	BY_WEIR=$((weir_now - weir_before))
	BY_KERNEL=$(($(kernel_forwarded "$1") - kernel_before))
}

# On a starved machine the heartbeats stall now and then, and the kernel takes over for these moments: that is
# as it should be, so the verdict asks for most, and the tests for 99.9 %.
claim_shares() {
	local name percent
	for name in r1 r2; do
		measure $name
		percent=$(part_of "$BY_WEIR" "$BY_KERNEL")
		say "   $name: $BY_WEIR packets by Weir, $BY_KERNEL by the kernel"
		[ "$NO_WEIR" = 1 ] || claim "$1: share forwarded by Weir on ${name^^}" "$percent %" less 90 "$percent"
	done
}

flood() {
	flood_start "$1" a b 10.0.2.2 $PPS "$2" -f 16
}

# claim_flood NAME SENTENCE MAX_MS: less than that long a time's packets were lost, none doubled or damaged.
# The limits leave room for a busy machine; what is usual stands in the table.
claim_flood() {
	local lost max=$((PPS * $3 / 1000))
	flood_end "$1"
	lost=$(flood_result lost)
	say "   $(jq -r '"\(.sent) sent, \(.received) arrived, \(.lost) lost, \(.reordered) out of order"' <<<"$FLOOD")"
	claim "$2" "$lost packets lost (= $((lost * 1000 / PPS)) ms)" flood_survived $max
}

flood_survived() {
	jq -e --argjson max "$1" \
		'.lost <= $max and .received > 0 and .corrupt == 0 and .duplicated == 0' <<<"$FLOOD"
}

# --- the pieces ----------------------------------------------------------------------------------

build_network() {
	ns a b
	router r1 r2
	link a eth0 r1 eth0
	link r1 eth1 r2 eth1
	link r1 eth2 r2 eth2
	link r2 eth0 b eth0
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
	# Both links carry flows between the same two hosts: choose by ports, too.
	on r1 sysctl -qw net.ipv4.fib_multipath_hash_policy=1
	on r2 sysctl -qw net.ipv4.fib_multipath_hash_policy=1
}

start_weir() {
	[ "$NO_WEIR" = 1 ] || weir_start "$1" -i eth0 -i eth1 -i eth2
}

# Weir has the route with both paths, as the kernel has.
weir_has_both_paths() {
	weir "$1" -j route show | jq -e --arg dst "$2" \
		'[.[] | select(.dst == $dst) | .nexthops // [.] | length] == [2]'
}

both_paths() {
	has_route r1 10.0.2.0/24 2 && has_route r2 10.0.1.0/24 2 &&
		{ [ "$NO_WEIR" = 1 ] || { weir_has_both_paths r1 10.0.2.0/24 && weir_has_both_paths r2 10.0.1.0/24; }; }
}

iperf() {
	on b iperf3 -s -1 -D --pidfile $T/iperf.pid --logfile $T/iperf3.log
	wait_for 5 "iperf3's server" listens b 5201
	on a iperf3 -c 10.0.2.2 -J "$@" >"$T/iperf.json"
}

listens() {
	[ -n "$(on "$1" ss -Hltn "sport = :$2")" ]
}

# --- the story -----------------------------------------------------------------------------------

act_network() {
	title "Two clients, two routers, two links between the routers. All of it lives in network namespaces."
	say "     A ---------- R1 ============ R2 ---------- B" \
		"      10.0.1.0/24    10.0.12.0/30    10.0.2.0/24" \
		"                     10.0.12.4/30"
	build_network
	show r1 4 ip -br -4 addr
}

act_ospf() {
	local start
	title "FRR on both routers speaks OSPF, as on any Linux router. The kernel gets the routes."
	start=$(now_ms)
	frr_start r1 10.255.0.1
	frr_start r2 10.255.0.2
	wait_for 30 "OSPF has converged" kernel_has_both_paths
	start=$(($(now_ms) - start))
	wait_for 10 "OSPF adjacencies on r1" ospf_full r1 2
	wait_for 10 "OSPF adjacencies on r2" ospf_full r2 2
	show r1 4 vtysh -c "show ip ospf neighbor"
	show r1 3 ip route show 10.0.2.0/24
	claim "OSPF converges, routes in both kernels" "$((start / 1000)).$((start / 100 % 10)) s" kernel_has_both_paths
}

kernel_has_both_paths() {
	has_route r1 10.0.2.0/24 2 && has_route r2 10.0.1.0/24 2
}

act_weir() {
	[ "$NO_WEIR" != 1 ] || return 0
	title "Weir starts on the same interfaces. It configures nothing: it mirrors the kernel's tables."
	say "   r1# weir-router -i eth0 -i eth1 -i eth2 &"
	start_weir r1
	start_weir r2
	wait_for 10 "the mirrored routes" both_paths
	show r1 12 weir link show
	show r1 12 weir route show
	claim "The OSPF route is mirrored" "2 paths" weir_has_both_paths r1 10.0.2.0/24
}

act_ping() {
	local got
	title "A reaches B. Both routers answer traceroute: what is theirs to answer, Weir leaves to the kernel."
	show a 5 ping -c 4 -i 0.2 -W 1 10.0.2.2
	on a ping -q -c 10 -i 0.05 -W 1 10.0.2.2 >$T/ping || true
	got=$(awk '/received/ { print $4 }' $T/ping)
	claim "ping from A to B" "$got of 10 answered" [ "$got" = 10 ]
	# Once, and one probe at a time: hosts limit how many such answers they give.
	on a traceroute -n -q 1 -N 1 -w 1 10.0.2.2 >$T/traceroute || true
	show a 5 traceroute -n -q 1 -N 1 -w 1 10.0.2.2
	got=$(awk 'NR > 1 && $2 != "*"' $T/traceroute | wc -l)
	claim "traceroute: R1, R2 and B answer" "$got of 3 hops" three_hops
}

three_hops() {
	[ "$(awk 'NR > 1 { printf "%s ", $2 }' $T/traceroute | sed 's/10\.0\.12\.[26]/R2/')" = "10.0.1.1 R2 10.0.2.2 " ]
}

act_iperf() {
	local rate
	title "A TCP transfer and a UDP stream from A to B."
	mark
	say "   a# iperf3 -c 10.0.2.2 -t 3"
	iperf -t 3
	rate=$(jq '.end.sum_received.bits_per_second / 1e6 | round' $T/iperf.json)
	claim "TCP transfer (iperf3)" "$rate Mbit/s" jq -e '.end.sum_received.bytes > 1e6' $T/iperf.json
	say "   a# iperf3 -c 10.0.2.2 -u -b 100M -t 3"
	iperf -u -b 100M -t 3
	rate=$(jq '.end.sum.lost_packets' $T/iperf.json)
	claim "UDP stream (iperf3, 100 Mbit/s)" "$rate of $(jq .end.sum.packets $T/iperf.json) lost" \
		jq -e '.end.sum.packets > 0 and .end.sum.lost_percent < 5' $T/iperf.json
	title "Who forwarded these packets?"
	claim_shares "Transfers"
	[ "$NO_WEIR" = 1 ] || show r1 24 weir stats show
}

act_cut() {
	title "$PPS packets a second from A to B, and one of the two links is cut."
	flood cut 3
	sleep 1
	say "   r1# ip link set eth1 down"
	on r1 ip link set eth1 down
	claim_flood cut "A link is cut under traffic" 500
	show r1 3 ip route show 10.0.2.0/24
	say "   r1# ip link set eth1 up"
	on r1 ip link set eth1 up
	wait_for 30 "both links are routed over again" both_paths
	flood again 1
	claim_flood again "The link is back, traffic over both" 20
}

act_kill() {
	[ "$NO_WEIR" != 1 ] || return 0
	title "The same traffic, and R1's data plane is killed. The kernel has the same tables and carries on."
	mark
	flood kill 3
	sleep 1
	say "   r1# kill -9 ${WEIR_PID[r1]}"
	weir_kill r1
	claim_flood kill "kill -9 of the data plane under traffic" 250
	measure r1
	say "   r1: $BY_KERNEL packets by the kernel since"
	claim "Meanwhile the kernel forwards on R1" "$BY_KERNEL packets" less 0 "$BY_KERNEL"
	claim "OSPF has not noticed" "adjacencies stayed Full" adjacencies_lasted
}

# No adjacency is younger than the traffic was long.
adjacencies_lasted() {
	ospf_full r1 2 3 && ospf_full r2 2 3
}

act_restart() {
	[ "$NO_WEIR" != 1 ] || return 0
	title "It is started again, under traffic, and takes it back."
	flood restart 3
	sleep 1
	say "   r1# weir-router -i eth0 -i eth1 -i eth2 &"
	start_weir r1
	claim_flood restart "The data plane is started under traffic" 250
	wait_for 10 "the mirrored routes" both_paths
	mark
	flood back 1
	flood_end back
	claim_shares "After the restart"
}

act_accounts() {
	[ "$NO_WEIR" != 1 ] || return 0
	title "No packet goes missing: what was received was sent, handed to the kernel, or counted with a reason."
	show r2 8 weir drops show
	claim "R1: rx = tx + punted + dropped" "$(counter r1 rx_pkts) packets" balanced r1
	claim "R2: rx = tx + punted + dropped" "$(counter r2 rx_pkts) packets" balanced r2
}

balanced() {
	local try
	for try in {1..50}; do
		accounts_balance "$1" && return
		sleep 0.05
	done
	echo "not after $try tries"
	return 1
}

table() {
	local row what number verdict
	say "" "$(printf '%-50s  %-34s %s' "What was shown" "Number" "Held")" \
		"$(printf -- '-%.0s' {1..91})"
	for row in "${ROWS[@]}"; do
		IFS='|' read -r what number verdict <<<"$row"
		say "$(printf '%-50s  %-34s %s' "$what" "$number" "$verdict")"
	done
	say "" "$((${#ROWS[@]} - N_FAILED)) of ${#ROWS[@]} claims held; $SECONDS s."
}

act_network
act_ospf
act_weir
act_ping
act_iperf
act_cut
act_kill
act_restart
act_accounts
table

status=$((N_FAILED > 0))
if [ $status != 0 ] && [ "${V:-0}" != 1 ]; then
	say "" "What lay behind:"
	grep -A 20 '^claim' $T/output >&"$ANSWER" || true
fi
if [ "$KEEP" = 1 ]; then
	echo $status >"$DEMO_VERDICT"
	trap - EXIT
	exec sleep infinity >/dev/null 2>&1
fi
trap - EXIT
exit $status
