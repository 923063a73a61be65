#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
#     a ---- eth0 r eth1 ---- b        r forwards 20,000 packets a second with Weir
#
# The kernel is the fallback: whatever is done to the data plane, traffic goes on after a moment.
#
#   - SIGKILL: the kernel forwards on, and the next start takes the traffic back
#   - SIGSTOP: the heartbeat gives the traffic to the kernel; SIGCONT gives it back, nothing reordered
#     by more than the change of paths
#   - SIGTERM: nothing of ours is left behind, no packet is lost to speak of
#   - a crashed router's leftovers: `weir detach` removes them, and refuses while a router runs
#
# How much is lost depends on the machine; what must hold is that it is a moment and not an outage:
# less than a tenth of five seconds.

. "$(dirname "$0")/lib.sh"

one_router

rx() {
	counter r rx_pkts
}

weir_takes_more_than() {
	(($(rx) > $1))
}

kernel_takes_more_than() {
	(($(kernel_forwarded r) > $1))
}

only_a_moment_was_lost() {
	local lost sent
	lost=$(flood_result lost)
	sent=$(flood_result sent)
	echo "$1: $lost of $sent lost, $(flood_result reordered) reordered"
	expect_num "$1 loses a moment, not the traffic" "$((lost * 10))" "<" "$sent"
}

nothing_is_left() {
	check_not "$1: no XDP program is left" grep -q xdp <(on r ip link)
	check_not "$1: no TAP is left" grep -q ': weir' <(on r ip link)
	expect_eq "$1: no qdisc is left" "" "$(on r tc qdisc show | grep -E 'clsact|ingress' || true)"
	expect_eq "$1: no pin is left" "" "$(find /sys/fs/bpf -name '[0-9]*' -path '*weir*')"
}

weir_start r -i eth0 -i eth1
check "a reaches b" on a ping -c 1 -W 2 10.0.2.2

# --- SIGKILL under traffic, and a new start ------------------------------------------------------

flood_start kill a b 10.0.2.2 20000 5
wait_for 5 "Weir forwards" weir_takes_more_than 1000
before=$(kernel_forwarded r)
weir_kill r
wait_for 5 "the kernel forwards instead" kernel_takes_more_than $((before + 1000))
weir_start r -i eth0 -i eth1
wait_for 5 "the new Weir forwards" weir_takes_more_than 1000
flood_end kill
only_a_moment_was_lost "SIGKILL and a new start"
check_accounts r

# --- SIGSTOP, SIGCONT ----------------------------------------------------------------------------

flood_start stop a b 10.0.2.2 20000 5
before=$(rx)
wait_for 5 "Weir forwards" weir_takes_more_than $((before + 1000))
before=$(kernel_forwarded r)
kill -STOP "${WEIR_PID[r]}"
wait_for 5 "the kernel forwards instead" kernel_takes_more_than $((before + 1000))
kill -CONT "${WEIR_PID[r]}"
before=$(rx)
wait_for 5 "Weir forwards again" weir_takes_more_than $((before + 1000))
flood_end stop
only_a_moment_was_lost "SIGSTOP and SIGCONT"
check_accounts r

# Stopped while asleep: nobody tells the XDP program, yet the traffic must find the kernel.
kill -STOP "${WEIR_PID[r]}"
flood_start asleep a b 10.0.2.2 20000 2
flood_end asleep
only_a_moment_was_lost "traffic that begins while Weir is stopped in its sleep"
kill -CONT "${WEIR_PID[r]}"
wait_for 5 "a reaches b through Weir again" on a ping -c 1 -W 1 10.0.2.2

# --- a crash leaves the program; detach ----------------------------------------------------------

check_not "detach refuses while a router runs" on r "$WEIR_BIN/weir" -s /run/weir/r.sock detach
weir_kill r
check "a crashed router's program stays, for the next start" grep -q xdp <(on r ip link)
check "a reaches b by the kernel" on a ping -c 1 -W 2 10.0.2.2
check "detach removes it" on r "$WEIR_BIN/weir" -s /run/weir/r.sock detach
nothing_is_left "detach"

# --- SIGTERM under traffic -----------------------------------------------------------------------

weir_start r -i eth0 -i eth1
flood_start term a b 10.0.2.2 20000 4
wait_for 5 "Weir forwards" weir_takes_more_than 1000
weir_stop r
nothing_is_left "SIGTERM"
flood_end term
only_a_moment_was_lost "SIGTERM"
