#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
#     a ---- eth0 r eth1 ---- b        TCP between kernel hosts, default offloads
#
# On veth the hosts leave checksums unfinished and, in generic mode, send packets of up to 64 KiB. A
# transfer of 32 MB both ways is byte-identical in native and generic mode, at MTU 1500 and 9000, and
# with interfaces of different MTU; most of it, in native mode, goes through Weir. So it is where the
# kernel is asked to see to the checksums, and where Weir finishes them.

. "$(dirname "$0")/lib.sh"
need socat

head -c 32M /dev/urandom >$T/blob

# tx_checksum NS: the fact, of all its ports: 0 or 1.
tx_checksum() {
	weir "$1" -j stats show | jq '[.ports[].facts.tx_checksum] | unique[]'
}

for mode in native generic; do
	for case in "1500 1500 on" "9000 9000 on" "9000 1500 on" "1500 1500 off" "9000 1500 off"; do
		read -r mtu_a mtu_b checksum <<<"$case"
		echo "--- $mode, MTU $mtu_a and $mtu_b, tx_checksum $checksum"
		one_router "$mtu_a" "$mtu_b"
		weir_start r -i eth0 -i eth1 --xdp-mode $mode --tx-checksum="$checksum"
		expect_eq "mode" "$mode" "$(weir r -j link show | jq -r '.[0].xdp')"
		if [ "$checksum" = off ]; then
			expect_eq "the kernel is not asked" 0 "$(tx_checksum r)"
		else
			echo "the kernel is asked (since 6.11): $(tx_checksum r)"
		fi
		transfer a b 10.0.2.2
		transfer b a 10.0.1.2
		check_accounts r
		if [ $mode = native ]; then
			expect_num "packets through Weir, of more than $((2 * 32000000 / 9000))" \
				"$(counter r tx_pkts)" ">" $((2 * 32000000 / 9000))
		fi
		weir_stop r
		ns_del a b r
	done
done
