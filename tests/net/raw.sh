#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
#     a ---- eth0 l eth1 ---- b        l2fwd (apps/l2fwd) between the interfaces of l
#
# a and b are in one network, 10.0.1.0/24, and l2fwd is the cable between them: ARP, ping and TCP
# pass through it, byte-identical. Once it is killed, the interfaces are as they were: no XDP
# program, and the kernel of l gets the frames. A second one on the same interface is refused.

. "$(dirname "$0")/lib.sh"
need socat

L2FWD=$WEIR_BIN/l2fwd
head -c 8M /dev/urandom >$T/blob

has_xdp() {
	on l ip -o -d link show | grep -q xdp
}
has_none() {
	! has_xdp
}

forward() { # OPTIONS of the ports
	spawn l2fwd l "$L2FWD" "af_xdp:eth0$1" "af_xdp:eth1$1"
	PID=$!
	wait_for 10 "l2fwd has its interfaces" has_xdp
}

transfer() {
	rm -f $T/got
	spawn socat b socat -u TCP-LISTEN:5000,reuseaddr CREATE:$T/got
	local listener=$!
	wait_for 5 "b listens" on b sh -c "ss -Htln 'sport = :5000' | grep -q 5000"
	check "a sends 8 MB to b" on a timeout 60 socat -u OPEN:$T/blob TCP:10.0.1.3:5000
	wait "$listener"
	check "b got the same bytes" cmp $T/blob $T/got
}

ns a l b
link a eth0 l eth0
link b eth0 l eth1
addr a eth0 10.0.1.2/24
addr l eth0 10.0.1.1/24
addr b eth0 10.0.1.3/24
# In generic mode a local sender's packets of up to 64 KiB would arrive as they are.
on a ethtool -K eth0 tso off gso off
on b ethtool -K eth0 tso off gso off

for mode in native generic; do
	forward ",mode=$mode"
	check "$mode: a pings b through it" on a ping -c 3 -i 0.05 -W 5 10.0.1.3
	transfer
	check_not "$mode: a second one is refused" on l "$L2FWD" af_xdp:eth0 null:
	end "$PID" KILL
	wait_for 10 "$mode: nothing is left on the interfaces" has_none
	check "$mode: the kernel of l answers again" on a ping -c 3 -i 0.05 -W 5 10.0.1.1
	on a ip neigh flush all
done

check_not "a wrong string" "$L2FWD" af_xdp:eth0 bogus:
check_not "too few ports" "$L2FWD" af_xdp:eth0
