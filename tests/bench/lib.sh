# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# What the sections of the bench share. A section is a script that sources this file, declares its
# tables, and takes samples; tests/bench/run makes the report of them.
#
#     table NAME METRIC TITLE [REFERENCE...]   rows are compared with these rows by METRIC
#     note NAME TEXT                           a line below the table
#     sample NAME ROW ROUND METRIC=VALUE...    one measurement
#     text NAME FILE                           lines as they are
#     quick A B                                A if QUICK=1, else B
#
# Rounds go over all rows before the next begins, so that other work on the machine hits all alike;
# a ratio is the median of the rounds' ratios.
#
# The world is that of tests/net/lib.sh, but in the machine's process namespace: kernel threads of
# NAPI are pinned, and elsewhere they would not be seen.

BENCH=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
SAMPLES=${SAMPLES:-/dev/stdout}
exec {PROGRESS}>&2

if [ -z "${WEIR_TEST_WORLD:-}" ] && [ "$(id -u)" = 0 ] && unshare --net --mount true 2>/dev/null; then
	export PATH=$PATH:/usr/sbin:/sbin WEIR_TEST_WORLD=1
	exec unshare --mount --net -- "$0" "$@"
fi
. "$BENCH/../net/lib.sh"

need taskset renice ethtool
BENCH_BIN=${NET_BIN%/net}/bench
BENCH_BPF=$TOP/build/gen
# shellcheck disable=SC2034
CPU_GEN=0 CPU_DUT=1

# Nice counts within a session only: run gives each section one of its own.
if [ -w /proc/self/autogroup ]; then
	echo -20 >/proc/self/autogroup || true
fi
renice -n -20 -p $$ >/dev/null

# There is no process namespace to die with.
trap 'end_all $?' EXIT

end_all() {
	local pids
	mapfile -t pids < <(jobs -p)
	((${#pids[@]} == 0)) || kill -KILL "${pids[@]}" 2>/dev/null || true
	finish "$1"
}

quick() {
	if [ "${QUICK:-}" = 1 ]; then echo "$1"; else echo "$2"; fi
}

progress() {
	printf '%s\n' "$*" >&"$PROGRESS"
}

record() {
	local IFS=$'\t'
	printf '%s\n' "$*" >>"$SAMPLES"
}

table() {
	local name=$1 metric=$2 title=$3
	shift 3
	record table "$name" "$metric" "$title" "$@"
}

note() {
	record note "$1" "$2"
}

text() {
	local line
	while IFS= read -r line; do
		record text "$1" "$line"
	done <"$2"
}

sample() {
	local name=$1 row=$2 round=$3 pair
	shift 3
	for pair; do
		record sample "$name" "$row" "$round" "${pair%%=*}" "${pair#*=}"
	done
	progress "  $name: round $round, $row: $*"
}

# --- the path of the packets ---------------------------------------------------------------------

#     gen eth0 --- dut0 dut dut1 --- eth0 sink
#
# Addresses 10.0.1.2, .1 and 10.0.2.1, .2; all neighbours are known; IFACES of the DUT in $IN, $OUT.
IN=in$$ OUT=out$$

path() {
	ns gen sink
	router dut
	link gen eth0 dut "$IN"
	link sink eth0 dut "$OUT"
	addr gen eth0 10.0.1.2/24
	addr dut "$IN" 10.0.1.1/24
	addr dut "$OUT" 10.0.2.1/24
	addr sink eth0 10.0.2.2/24
	on gen ip route add default via 10.0.1.1
	on sink ip route add default via 10.0.2.1
	neigh gen eth0 10.0.1.1 dut "$IN"
	neigh dut "$IN" 10.0.1.2 gen eth0
	neigh dut "$OUT" 10.0.2.2 sink eth0
	neigh sink eth0 10.0.2.1 dut "$OUT"
}

# neigh NS IF ADDRESS PEER PEER_IF
neigh() {
	on "$1" ip neigh replace "$3" lladdr "$(mac_of "$4" "$5")" dev "$2" nud permanent
}

# A port takes redirected frames only if its peer has NAPI on; GRO does that, once the link is up.
napi_on() {
	on "$1" ethtool -K "$2" gro on
}

# napi_place NS IF CPU|inline: its own thread on that CPU, or in softirq on the CPU of whoever sends
# to it.
napi_place() {
	local threaded=1 pid
	[ "$3" != inline ] || threaded=0
	# /sys shows the namespace in which it was mounted.
	# shellcheck disable=SC2016
	on "$1" unshare --mount sh -c 'mount -t sysfs sysfs /sys && echo "$2" >"$1"' - \
		"/sys/class/net/$2/threaded" "$threaded"
	[ "$threaded" = 1 ] || return 0
	for pid in $(pgrep "^napi/$2-" || true); do
		taskset -pc "$3" "$pid"
		renice -n -20 -p "$pid"
	done
}

# --- what forwards -------------------------------------------------------------------------------

# dut_start kernel|weir|raw|raw-poll|xdp; dut_stop
dut_start() {
	DUT=$1
	case $DUT in
	kernel) ;;
	weir)
		weir_start dut -i "$IN" -i "$OUT"
		taskset -apc "$CPU_DUT" "${WEIR_PID[dut]}"
		;;
	raw | raw-poll)
		raw_spawn
		wait_for 5 "raw forwards" raw_forwards
		;;
	xdp)
		local ifname
		for ifname in "$IN" "$OUT"; do
			on dut ip link set dev "$ifname" xdpdrv object "$BENCH_BPF/xdp.bpf.o" program route
		done
		;;
	esac
}

raw_spawn() {
	local sleeps=()
	[ "$DUT" = raw ] || sleeps=(-p)
	spawn raw dut taskset -c "$CPU_DUT" "$BENCH_BIN/raw" "${sleeps[@]}" "$IN" "$OUT"
	RAW_PID=$!
}

# A queue is free only some time after its last user has ended: then another try.
raw_forwards() {
	kill -0 "$RAW_PID" 2>/dev/null || raw_spawn
	has_xdp "$OUT"
}

has_xdp() {
	on dut ip link show dev "$1" | grep -q xdp
}

dut_stop() {
	case $DUT in
	weir) weir_stop dut ;;
	raw | raw-poll) end "$RAW_PID" ;;
	xdp)
		on dut ip link set dev "$IN" xdpdrv off
		on dut ip link set dev "$OUT" xdpdrv off
		;;
	esac
}
