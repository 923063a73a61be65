#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
#     a ---- eth0 .---. eth1 ---- b        r forwards with Weir on eth0 and eth1 by two workers;
#                 | r |                    what leaves by eth2 it punts
#     c ---- eth2 '---'
#
# Somebody with root's hands changes what is Weir's own, or what Weir stands on. Traffic goes on,
# after a moment:
#
#   - the TAP by which packets are punted: down, renamed, another MAC address, without its qdisc,
#     without its filter, deleted, also when its interface has a new name
#   - packets of 40,000 bytes, on interfaces whose MTU is raised while Weir runs
#   - two interfaces deleted, and one that comes back under the other's name
#   - a limit of punts that is smaller than the number of workers is still a limit
#   - SIGTERM under traffic: hardly a packet is lost, and none for want of a port
#
# timeout: 200

# shellcheck source=tests/net/lib.sh
. "$(dirname "$0")/lib.sh"

ns a b c
router r
link a eth0 r eth0 numrxqueues 2 numtxqueues 2
link b eth0 r eth1 numrxqueues 2 numtxqueues 2
link c eth0 r eth2
addr a eth0 10.0.1.2/24
addr r eth0 10.0.1.1/24
addr b eth0 10.0.2.2/24
addr r eth1 10.0.2.1/24
addr c eth0 10.0.3.2/24
addr r eth2 10.0.3.1/24
on a ip route add default via 10.0.1.1
on b ip route add default via 10.0.2.1
on c ip route add default via 10.0.3.1

reaches() {
	on "$1" ping -c 1 -W 1 "${@:2}"
}

takes_more_than() {
	(($(counter r rx_pkts) > $1))
}

# The TAP that serves an interface.
tap_of() {
	echo "weir$(on r ip -j link show "$1" | jq '.[0].ifindex')"
}

# A worker that this machine keeps waiting is no subject here: its heartbeat may be late.
weir_start r -i eth0 -i eth1 -w 2 --heartbeat-ms 10000
check "a reaches b" reaches a 10.0.2.2
check "a reaches c by the kernel" reaches a 10.0.3.2
expect_num "packets punted" "$(port_counter r eth0 punted)" ">" 0

# --- two workers ---------------------------------------------------------------------------------

# How often each worker was put on a CPU.
runs_of_workers() {
	local task
	for task in /proc/"${WEIR_PID[r]}"/task/*; do
		! grep -q weir-worker "$task/comm" || awk '{ print $3 }' "$task/schedstat"
	done
}

mapfile -t before < <(runs_of_workers)
flood_start two a b 10.0.2.2 3000 2 -f 64
flood_end two
expect_eq "no packet is lost" 0 "$(flood_result lost)"
mapfile -t after < <(runs_of_workers)
for worker in 0 1; do
	expect_num "runs of worker $worker" $((after[worker] - before[worker])) ">" 10
done
check_accounts r

# --- the TAP -------------------------------------------------------------------------------------

meddle() {
	local what=$1 before
	shift
	on r "$@"
	before=$(counter r punted)
	wait_for 5 "$what: a reaches c again" reaches a 10.0.3.2
	expect_num "$what: through Weir" "$(counter r punted)" ">" "$before"
	check "$what: a reaches b" reaches a 10.0.2.2
	check_accounts r
}

tap=$(tap_of eth0)
meddle "TAP down" ip link set "$tap" down
meddle "TAP with another MAC address" ip link set "$tap" address 02:ff:00:00:00:01
meddle "TAP without its filter" tc filter del dev "$tap" ingress
meddle "TAP without its qdisc" tc qdisc del dev "$tap" clsact
meddle "TAP renamed" ip link set "$tap" name mine
meddle "TAP deleted" ip link del mine
meddle "TAP deleted once more" ip link del "$tap"
on r ip link set eth0 down
on r ip link set eth0 name wan0
on r ip link set wan0 up
meddle "TAP deleted, its interface renamed" ip link del "$tap"
on r ip link set wan0 down
on r ip link set wan0 name eth0
on r ip link set eth0 up

# --- packets larger than what WR_MAX_SEGS buffers take -------------------------------------------

for end in "a eth0" "r eth0" "b eth0" "r eth1"; do
	on "${end% *}" ip link set "${end#* }" mtu 65535
done
check "9,000 bytes reach b" reaches a -s 9000 -M 'do' 10.0.2.2
check "40,000 bytes reach b" reaches a -s 40000 -M 'do' 10.0.2.2
for end in "a eth0" "r eth0" "b eth0" "r eth1"; do
	on "${end% *}" ip link set "${end#* }" mtu 1500
done
expect_eq "no frame was refused" 0 "$(port_counter r eth0 rx_bad)"

# --- names ---------------------------------------------------------------------------------------

on r ip link set eth1 down
on r ip link set eth1 name eth9
on r ip link set eth9 up
on r ip link del eth0
wait_for 5 "Weir has noticed" grep -q "eth0: interface is gone" $T/weir-router.r.log
on r ip link set eth9 down
on r ip link set eth9 name eth0
on r ip link set eth0 up
sleep 1 # nothing must happen
expect_num "complaints about the name of another port" \
	"$(grep -c 'tried again' $T/weir-router.r.log || true)" "<=" 1
on r ip link set eth0 down
on r ip link set eth0 name eth1
on r ip link set eth1 up
link a eth0 r eth0 numrxqueues 2 numtxqueues 2
addr a eth0 10.0.1.2/24
addr r eth0 10.0.1.1/24
on a ip route add default via 10.0.1.1
wait_for 5 "eth0 is taken again" grep -q "eth0: is back" $T/weir-router.r.log
wait_for 5 "a reaches b" reaches a 10.0.2.2
check_accounts r

# --- SIGTERM -------------------------------------------------------------------------------------

before=$(counter r rx_pkts)
flood_start end b a 10.0.1.2 20000 3 -f 64
wait_for 5 "Weir forwards" takes_more_than $((before + 3000))
weir_stop r
flood_end end
expect_num "packets lost by SIGTERM" "$(flood_result lost)" "<=" 5
check "nothing is left" weir_is_gone r

# --- a limit that is smaller than the number of workers ------------------------------------------

weir_start r -i eth0 -i eth1 -w 2 --punt-answer-pps 1
on a ping -q -f -c 100 -W 1 99.0.0.1 || true
check_accounts r
expect_num "packets without a route that the kernel was given" "$(counter r punted)" "<=" 20
