#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
#     a === p0 r p1 === b        TCP between kernel hosts at MTU 9000, by TAP and by memif
#
# Over TAPs the hosts have the other side of the router's ports themselves; over memif an l2fwd
# beside each host carries frames between the host's cable and the shared memory. A transfer of
# 32 MB both ways is byte-identical; its packets, larger than any one buffer, went through Weir.
# (By AF_XDP: tcp.sh.)
# timeout: 300

# shellcheck source=tests/net/lib.sh
. "$(dirname "$0")/lib.sh"
need socat

head -c 32M /dev/urandom >$T/blob
MTU=9000

# The router's own interfaces, as its operator makes them before Weir starts.
make_taps() {
	local n
	router r
	for n in 0 1; do
		on r ip tuntap add dev p$n mode tap
		on r ip link set p$n mtu $MTU up
		on r ip addr add 10.0.$n.1/24 dev p$n
	done
}

host() { # NAME IF N
	on "$1" ip link set "$2" mtu $MTU up
	on "$1" ip addr add "10.0.$3.2/24" dev "$2"
	on "$1" ip route add default via "10.0.$3.1"
}

both_ways() { # KIND
	check "$1: a pings b" on a ping -c 3 -i 0.1 -W 5 -s 8000 -M "do" 10.0.1.2
	transfer a b 10.0.1.2
	transfer b a 10.0.0.2
	expect_num "$1: packets through Weir, of more than $((2 * 32000000 / MTU))" \
		"$(weir r -j graph show | jq '.[] | select(.node == "rewrite") | .edges[0].packets')" \
		">" $((2 * 32000000 / MTU))
	# Data, not only acknowledgements: it was not the kernel that forwarded.
	expect_num "$1: bytes out of port 1" "$(port_counter r p1 tx_bytes)" ">" 32000000
	check_accounts r
}

echo "--- TAP"
make_taps
ns a b
weir_start r -i tap:h0,dev=p0 -i tap:h1,dev=p1
on r ip link set h0 netns a
on r ip link set h1 netns b
host a h0 0
host b h1 1
both_ways tap
weir_stop r
ns_del a b r

echo "--- memif"
make_taps
ns a b la lb
link a eth0 la eth0 mtu $MTU
link b eth0 lb eth0 mtu $MTU
host a eth0 0
host b eth0 1
weir_start r -i memif:$T/m0,role=server,dev=p0 -i memif:$T/m1,role=server,dev=p1
spawn l2fwd la "$WEIR_BIN/l2fwd" af_xdp:eth0 memif:$T/m0
spawn l2fwd lb "$WEIR_BIN/l2fwd" af_xdp:eth0 memif:$T/m1
both_ways memif
weir_stop r
