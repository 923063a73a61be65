# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# Network tests: routers and clients in namespaces of one machine.
#
# A test sources this file first. It is then started again inside mount, network and process
# namespaces of its own, with a private /run, /etc/frr and bpffs, so that nothing survives it
# however it ends (kill -9 included) and any number of tests run side by side.
#
#     ns r1; ns a                      two network namespaces; `router r1` also forwards
#     link a eth0 r1 eth0              a cable between them; MAC addresses are fixed, see mac_of
#     addr a eth0 10.0.1.2/24          an address, interface up
#     on r1 ip route                   runs a command there
#     weir_start r1 -i eth0            Weir on it; `weir r1 stats show`, weir_stop, weir_kill
#     frr_start r1                     zebra and ospfd with the configuration of deploy/frr
#     wait_for 5 "a route" on r1 ...   repeats a command until it succeeds; never sleep instead
#     check "it forwards" on a ping .. must succeed, else the test fails with this sentence
#
# Output is kept back and shown only when the test fails; V=1 shows it as it comes. A test that
# needs what the machine lacks calls `need TOOL` or `skip why`: exit status 77.
#
# Variables: WEIR_BIN  directory of weir-router and weir (build/bin), e.g. build/address/bin
#            NET_BIN   directory of the packet tools (build/tests/net)

set -euo pipefail
shopt -s inherit_errexit

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
WEIR_BIN=$(cd "$TOP" && realpath -m "${WEIR_BIN:-build/bin}")
NET_BIN=$(cd "$TOP" && realpath -m "${NET_BIN:-build/tests/net}")

skip() {
	echo "skip: $*" >&"${ANSWER:-1}"
	trap - EXIT
	exit 77
}

fail() {
	echo "FAIL: $* ($(where))"
	trap - ERR
	exit 1
}

# The line of the test that led here.
where() {
	local frame
	for frame in "${!BASH_SOURCE[@]}"; do
		[ "${BASH_SOURCE[frame]}" != "${BASH_SOURCE[0]}" ] || continue
		echo "line ${BASH_LINENO[frame - 1]} of ${BASH_SOURCE[frame]##*/}"
		return
	done
	echo "lib.sh"
}

need() {
	local tool
	for tool; do
		command -v "$tool" >/dev/null || skip "no $tool on this machine"
	done
}

# --- the private world ---------------------------------------------------------------------------

if [ -z "${WEIR_TEST_WORLD:-}" ]; then
	[ "$(id -u)" = 0 ] || skip "needs root"
	PATH=$PATH:/usr/sbin:/sbin
	need unshare nsenter ip jq
	unshare --net --mount --pid --fork true 2>/dev/null || skip "no namespaces may be created here"
	export PATH WEIR_TEST_WORLD=1
	exec unshare --mount --net --pid --fork --kill-child --mount-proc -- "$0" "$@"
fi

T=/run/test # scratch files of the test
mount -t tmpfs -o mode=755 tmpfs /run
mount -t tmpfs -o mode=1777 tmpfs /var/tmp
mkdir -p $T /run/netns /run/weir /run/lock
if [ -d /sys/fs/bpf ]; then
	mount -t bpf bpf /sys/fs/bpf
fi
export HISTFILE=/dev/null XTABLES_LOCKFILE=/run/xtables.lock

exec {ANSWER}>&1
[ "${V:-0}" = 1 ] || exec >$T/output 2>&1

# The first process of a namespace ignores what it does not handle.
trap 'exit 130' INT
trap 'exit 143' TERM HUP
trap 'finish $?' EXIT

finish() {
	local status=$1 log
	trap - EXIT INT TERM HUP
	if [ "$status" != 0 ] && [ "${V:-0}" != 1 ]; then
		cat $T/output >&"$ANSWER"
	fi
	if [ "$status" != 0 ] && [ "$status" != 77 ]; then
		for log in "$T"/*.log; do
			[ -s "$log" ] || continue
			printf -- '--- %s, its end:\n' "${log##*/}" >&"$ANSWER"
			tail -n "${LOG_LINES:-30}" "$log" >&"$ANSWER"
		done
	fi
	exit "$status"
}

# A command that fails ends the test.
stumble() {
	trap - ERR
	echo "FAIL: $(where): $2: status $1"
}
trap 'stumble $? "$BASH_COMMAND"' ERR
set -E

# --- claims --------------------------------------------------------------------------------------

now_ms() {
	echo $((${EPOCHREALTIME/./} / 1000))
}

# wait_for SECONDS DESCRIPTION CMD...
wait_for() {
	local end=$(($(now_ms) + $1 * 1000)) start what=$2
	start=$(now_ms)
	shift 2
	until "$@" >$T/wait_for 2>&1; do
		if (($(now_ms) >= end)); then
			echo "waited $(($(now_ms) - start)) ms in vain for: $what"
			echo "the last try of \`$*\` said:"
			cat $T/wait_for
			fail "$what"
		fi
		sleep 0.03
	done
	echo "after $(($(now_ms) - start)) ms: $what"
}

# check SENTENCE CMD...
check() {
	local what=$1
	shift
	if "$@" >$T/check 2>&1; then
		echo "ok: $what"
		return
	fi
	echo "\`$*\` said:"
	cat $T/check
	fail "$what"
}

# check_not SENTENCE CMD...: the command must fail.
check_not() {
	local what=$1
	shift
	if "$@" >$T/check 2>&1; then
		echo "\`$*\` succeeded and said:"
		cat $T/check
		fail "$what"
	fi
	echo "ok: $what"
}

# expect_eq SENTENCE WANTED GOT
expect_eq() {
	[ "$2" = "$3" ] || fail "$1: wanted '$2', got '$3'"
	echo "ok: $1 ($3)"
}

# expect_num SENTENCE A OP B, with OP one of == < <= > >= !=
expect_num() {
	# What is no number would end the command that the shell is at, and not the test.
	[[ "$2" =~ ^[-+*/\ 0-9]+$ && "$4" =~ ^[-+*/\ 0-9]+$ ]] || fail "$1: '$2' $3 '$4' are not two numbers"
	[ "$(($2$3$4))" = 1 ] || fail "$1: $2 $3 $4 does not hold"
	echo "ok: $1 ($2 $3 $4)"
}

# --- topology ------------------------------------------------------------------------------------

NS_COUNT=0
declare -A NS_NUMBER=() # name -> 1, 2, ...
declare -A IF_NUMBER=() # "name ifname" -> 0, 1, ...

# ns NAME...
ns() {
	local name
	for name; do
		ip netns add "$name"
		NS_COUNT=$((NS_COUNT + 1))
		NS_NUMBER[$name]=$NS_COUNT
		# Quiet: no IPv6 autoconfiguration, the fewest packets that nobody asked for.
		on "$name" sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1
		on "$name" ip link set lo up
	done
}

# ns_del NAME...: with all their interfaces. Numbers begin anew when none is left.
ns_del() {
	local name key
	for name; do
		ip netns del "$name"
		unset "NS_NUMBER[$name]"
		for key in "${!IF_NUMBER[@]}"; do
			[ "${key% *}" != "$name" ] || unset "IF_NUMBER[$key]"
		done
	done
	[ ${#NS_NUMBER[@]} != 0 ] || NS_COUNT=0
}

# router NAME...: namespaces that forward.
router() {
	local name
	ns "$@"
	for name; do
		on "$name" sysctl -qw net.ipv4.ip_forward=1
	done
}

# The namespace's interfaces, but the test's mounts: bpffs and the sockets stay visible.
# (/sys/class/net would show another namespace; nothing here reads it.)
on() {
	nsenter --net="/run/netns/$1" -- "${@:2}"
}

# The MAC address of an interface: 02:00:00:00:<number of the namespace>:<number of the interface>
mac_of() {
	[ -n "${IF_NUMBER[$1 $2]:-}" ] || fail "mac_of: no link $2 at $1"
	printf '02:00:00:00:%02x:%02x\n' "${NS_NUMBER[$1]}" "${IF_NUMBER[$1 $2]}"
}

# The next free interface number of a namespace.
number_if() {
	local key count=0
	for key in "${!IF_NUMBER[@]}"; do
		[ "${key% *}" != "$1" ] || count=$((count + 1))
	done
	IF_NUMBER[$1 $2]=${IF_NUMBER[$1 $2]:-$count}
}

# link NS IF NS IF [ip-link options, e.g. mtu 9000 numrxqueues 2 numtxqueues 2]
link() {
	local a=$1 a_if=$2 b=$3 b_if=$4
	shift 4
	number_if "$a" "$a_if"
	number_if "$b" "$b_if"
	ip link add name "$a_if" netns "$a" address "$(mac_of "$a" "$a_if")" "$@" \
		type veth peer name "$b_if" netns "$b" address "$(mac_of "$b" "$b_if")" "$@"
	on "$a" ip link set "$a_if" up
	on "$b" ip link set "$b_if" up
}

# addr NS IF ADDRESS/LEN...
addr() {
	local name=$1 ifname=$2 address
	shift 2
	for address; do
		on "$name" ip addr add "$address" brd + dev "$ifname"
	done
}

# one_router [MTU MTU]: the least network there is.
#
#     a ---- eth0 r eth1 ---- b       10.0.1.0/24 at a, 10.0.2.0/24 at b, .1 is r
one_router() {
	ns a b
	router r
	link a eth0 r eth0 mtu "${1:-1500}"
	link b eth0 r eth1 mtu "${2:-1500}"
	addr a eth0 10.0.1.2/24
	addr r eth0 10.0.1.1/24
	addr r eth1 10.0.2.1/24
	addr b eth0 10.0.2.2/24
	on a ip route add default via 10.0.1.1
	on b ip route add default via 10.0.2.1
}

# Starts a command in a namespace in the background; its output goes to $T/LOG.log, its pid into $!.
spawn() {
	local log=$1 name=$2
	shift 2
	nsenter --net="/run/netns/$name" -- "$@" >>"$T/$log.log" 2>&1 &
}

# Ends a background process and waits for it. end PID [SIGNAL]
end() {
	kill -"${2:-TERM}" "$1" 2>/dev/null || true
	wait "$1" 2>/dev/null || true
}

# transfer FROM TO ADDRESS: $T/blob by TCP between two kernels; it must arrive as it was.
transfer() {
	rm -f $T/got
	spawn "socat.$2" "$2" socat -u TCP-LISTEN:5000,reuseaddr CREATE:$T/got
	local listener=$!
	wait_for 5 "$2 listens" on "$2" sh -c "ss -Htln 'sport = :5000' | grep -q 5000"
	check "$1 sends $(wc -c <$T/blob) bytes to $2" on "$1" timeout 100 socat -u OPEN:$T/blob "TCP:$3:5000"
	wait "$listener"
	check "$2 got the same bytes" cmp $T/blob $T/got
}

# --- Weir ----------------------------------------------------------------------------------------

declare -A WEIR_PID=()

# weir NS WORDS...
weir() {
	"$WEIR_BIN/weir" -s "/run/weir/$1.sock" "${@:2}"
}

# weir_start NS OPTIONS...: returns when it answers and its tables are the kernel's.
weir_start() {
	local name=$1
	[ -x "$WEIR_BIN/weir-router" ] || fail "no $WEIR_BIN/weir-router: run make first"
	shift
	weir_spawn "$name" "$@"
	wait_for "${WEIR_START_S:-10}" "weir-router on $name is ready" weir_has_begun "$name"
	kill -0 "${WEIR_PID[$name]}" 2>/dev/null || fail "weir-router on $name ended at once"
}

weir_spawn() {
	local name=$1
	shift
	spawn "weir-router.$name" "$name" "$WEIR_BIN/weir-router" -s "/run/weir/$name.sock" "$@"
	WEIR_PID[$name]=$!
}

# Or it has died and waiting is of no use.
weir_has_begun() {
	weir "$1" -j status | jq -e .mirror.settled || ! kill -0 "${WEIR_PID[$1]}" 2>/dev/null
}

# weir_stop NS: SIGTERM; it must end by itself with status 0.
weir_stop() {
	local status=0 pid=${WEIR_PID[$1]}
	kill -TERM "$pid"
	wait "$pid" || status=$?
	unset "WEIR_PID[$1]"
	[ $status = 0 ] || fail "weir-router on $1 ended with status $status"
}

# weir_kill NS: as if it had crashed.
weir_kill() {
	end "${WEIR_PID[$1]}" KILL
	unset "WEIR_PID[$1]"
}

# weir_is_gone NS: the interfaces are as they were: no XDP program, no TAP, no qdisc, no pin.
weir_is_gone() {
	local left
	left=$(
		on "$1" ip -o -d link show | grep -E 'xdp|tun type' || true
		on "$1" tc qdisc show | grep -E 'clsact|ingress' || true
		find /sys/fs/bpf/weir -type f 2>/dev/null || true
	)
	[ -z "$left" ] || { echo "$left"; return 1; }
}

# counter NS KEY: a number of `stats show`, e.g. `counter r1 rx_pkts`, `counter r1 frames.free`.
counter() {
	weir "$1" -j stats show | jq -er ".$2"
}

# port_counter NS IF KEY
port_counter() {
	weir "$1" -j stats show | jq -er --arg name "$2" ".ports[] | select(.name == \$name) | .$3"
}

# What DESIGN.md's third law says, once traffic has stopped.
accounts_balance() {
	weir "$1" -j stats show | tee $T/stats | jq -e '
		.rx_pkts == .tx_pkts + .delivered + .punted + .dropped and
		.frames.free + .frames.in_flight == .frames.total' >/dev/null || {
		cat $T/stats
		return 1
	}
}

check_accounts() {
	local name
	for name; do
		wait_for 3 "$name: rx = tx + delivered + punted + dropped; free + in flight = total" \
			accounts_balance "$name"
	done
}

# Packets that the kernel of a namespace has forwarded (IPv4, all interfaces).
kernel_forwarded() {
	on "$1" awk '
		/^Ip:/ && col { print $col }
		/^Ip:/ && !col { while ($++col != "ForwDatagrams"); }' /proc/net/snmp
}

# --- FRR -----------------------------------------------------------------------------------------

FRR_BIN=${FRR_BIN:-/usr/lib/frr}

# A private /etc/frr and /run/frr for this test.
frr_world() {
	[ -x "$FRR_BIN/zebra" ] || skip "no FRR on this machine"
	! mountpoint -q /etc/frr || return 0
	mount -t tmpfs -o mode=755 tmpfs /etc/frr
	install -d -o frr -g frr -m 755 /run/frr
	touch /etc/frr/vtysh.conf
}

# frr_start NS ROUTER_ID [DIRECTORY]: the templates zebra.conf and ospfd.conf (and bgpd.conf if it
# is there).
frr_start() {
	local name=$1 router_id=$2 dir=${3:-$TOP/deploy/frr} daemon conf
	frr_world
	install -d -o frr -g frrvty -m 775 "/run/frr/$name"
	install -d -o frr -g frr -m 755 "/etc/frr/$name"
	touch "/etc/frr/$name/vtysh.conf"
	for daemon in zebra ospfd bgpd; do
		[ -f "$dir/$daemon.conf" ] || continue
		conf=/etc/frr/$name/$daemon.conf
		sed -e "s/@NAME@/$name/g" -e "s/@ROUTER_ID@/$router_id/g" "$dir/$daemon.conf" >"$conf"
		chown frr:frr "$conf"
		on "$name" "$FRR_BIN/$daemon" -d -N "$name" -f "$conf" -A 127.0.0.1 -i "/run/frr/$name/$daemon.pid" \
			--log "file:/run/frr/$name/$daemon.log"
	done
}

# frr_stop NS
frr_stop() {
	local pid_file
	for pid_file in /run/frr/"$1"/*.pid; do
		kill "$(cat "$pid_file")" 2>/dev/null || true
	done
}

# frr NS COMMAND: what one would type into vtysh.
frr() {
	on "$1" vtysh -N "$1" -c "${@:2}" 2>/dev/null
}

# ospf_full NS COUNT [SECONDS]: that many adjacencies are Full, and have been for so long.
ospf_full() {
	frr "$1" 'show ip ospf neighbor json' | jq -e --argjson count "$2" --argjson ms "$((${3:-0} * 1000))" \
		'[.neighbors[][] | select(.converged == "Full" and .upTimeInMsec >= $ms)] | length == $count'
}

# has_route NS PREFIX [COUNT]: the kernel has it, with COUNT paths.
has_route() {
	on "$1" ip -j route show exact "$2" | jq -e --argjson count "${3:-1}" \
		'[.[] | .nexthops[]? // .] | length == $count'
}

# --- traffic -------------------------------------------------------------------------------------

# flood_start NAME FROM TO ADDRESS PPS SECONDS [options of blast send]: numbered UDP packets
# between two namespaces. flood_end NAME waits for the end, flood_stop NAME brings it about; $FLOOD
# is then what became of them, as JSON.
flood_start() {
	local flood=$1 from=$2 to=$3 address=$4 pps=$5 seconds=$6
	shift 6
	rm -f "$T/$flood.json" "$T/$flood.ready"
	on "$to" "$NET_BIN/blast" count --ready "$T/$flood.ready" 5001 >"$T/$flood.json" 2>>"$T/$flood.log" &
	FLOOD_COUNT_PID=$!
	wait_for 5 "the receiver of $flood" test -e "$T/$flood.ready"
	spawn "$flood" "$from" "$NET_BIN/blast" send "$@" "$address" 5001 "$pps" "$seconds"
	FLOOD_SEND_PID=$!
}

flood_end() {
	wait "$FLOOD_SEND_PID" || fail "the sender of $1 failed"
	wait "$FLOOD_COUNT_PID" || fail "the receiver of $1 saw no end of the flood"
	FLOOD=$(cat "$T/$1.json")
	echo "flood $1: $FLOOD"
}

flood_stop() {
	kill -TERM "$FLOOD_SEND_PID"
	flood_end "$1"
}

# flood_result KEY: a number of the last flood.
flood_result() {
	jq -er ".$1" <<<"$FLOOD"
}

# capture_start NAME NS IF [options of pkt capture]; capture_stop NAME prints the frames as sorted
# text.
declare -A CAPTURE_PID=()

capture_start() {
	local name=$1
	rm -f "$T/$name.ready"
	nsenter --net="/run/netns/$2" -- "$NET_BIN/capture" --ready "$T/$name.ready" "${@:4}" "$3" \
		>"$T/$name.txt" 2>>"$T/$name.log" &
	CAPTURE_PID[$name]=$!
	wait_for 5 "capturing at $2 $3" test -e "$T/$name.ready"
}

capture_stop() {
	end "${CAPTURE_PID[$1]}" TERM
	cat "$T/$1.txt"
}
