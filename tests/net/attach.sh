#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
#     a ---- eth0 r eth1 ---- b
#
# What an operator meets at the start: clear refusals, nothing left behind by them, and living beside
# other XDP programs when asked to.

. "$(dirname "$0")/lib.sh"
need xdp-loader tcpdump

one_router

# refused STATUS PATTERN OPTIONS...: it ends with this status and says this.
refused() {
	local status=0 want=$1 pattern=$2
	shift 2
	on r timeout 20 "$WEIR_BIN/weir-router" -s /run/weir/other.sock "$@" >$T/refused 2>&1 || status=$?
	cat $T/refused
	expect_eq "status of weir-router $*" "$want" "$status"
	check "it says: $pattern" grep -Eq "$pattern" $T/refused
	check_not "it leaves no XDP program" grep -q 'weir_steer' <(on r ip -d link show | grep -v "${KEPT:-none}")
	check_not "it leaves no TAP" grep -q ': weir' <([ -n "${KEPT:-}" ] || on r ip link)
}

refused 2 "no interface; name at least one"
refused 2 "eth0.*: not an option" eth0
refused 2 "is tried|not a setting|no such setting|nearest|did you mean" -i eth0 -c <(echo "workerz 2")
refused 2 "workers" -i eth0 -w 99
refused 1 "eth7: no such interface" -i eth7
refused 1 "loopback" -i lo

say=$(on r "$WEIR_BIN/weir-router" --check -i eth0 -i eth1)
echo "$say"
check "--check says what would be taken" grep -q 'eth1: veth, 1 queue, MTU 1500' <<<"$say"
check_not "--check takes nothing" grep -q 'xdp' <(on r ip link)

status=0
on r setpriv --bounding-set=-all --inh-caps=-all --reuid=nobody --clear-groups \
	"$WEIR_BIN/weir-router" -s /run/weir/none.sock -i eth0 >$T/unprivileged 2>&1 || status=$?
expect_eq "status without privileges" 1 $status
check "it names the capabilities" grep -q 'CAP_' $T/unprivileged

# --- somebody else's program ---------------------------------------------------------------------

cat >$T/pass.c <<-'END'
	#include <linux/bpf.h>
	#include <bpf/bpf_helpers.h>
	SEC("xdp") int somebodys(struct xdp_md *ctx) { return XDP_PASS; }
	char licence[] SEC("license") = "GPL";
END
clang -target bpf -O2 -g -I/usr/include/"$(uname -m)"-linux-gnu -c $T/pass.c -o $T/pass.o
on r ip link set dev eth0 xdpdrv obj $T/pass.o sec xdp
KEPT=somebodys refused 1 "eth0: an XDP program 'somebodys'.*--xdp-share" -i eth0
check "the other program is still there" grep -q somebodys <(on r ip -d link show eth0)
on r ip link set dev eth0 xdp off

# libxdp's dispatcher needs programs of type EXT, which some kernels refuse even to root; libxdp then
# attaches a single program without it, and sharing is not to be had.
check "another loader attaches its program" on r xdp-loader load -m native eth0 $T/pass.o
if on r xdp-loader status eth0 | grep -q xdp_dispatcher; then
	weir_start r -i eth0 -i eth1 --xdp-share
	check "both are attached" grep -q somebodys <(on r xdp-loader status eth0)
	check "both are attached" grep -q weir_steer <(on r xdp-loader status eth0)
	check "a reaches b" on a ping -c 3 -i 0.1 -W 2 10.0.2.2
	expect_num "by Weir" "$(counter r rx_pkts)" ">=" 6
	weir_stop r
	check_not "ours is gone" grep -q weir_steer <(on r xdp-loader status)
else
	KEPT=somebodys refused 1 "eth0: .*without libxdp's dispatcher" -i eth0 --xdp-share
fi
check "the other program stays" grep -q somebodys <(on r xdp-loader status eth0)
on r xdp-loader unload eth0 --all

# --- two at once, and a queue that is taken ------------------------------------------------------

weir_start r -i eth0
KEPT=weir_steer refused 1 "eth0: .*(taken|running|attached)" -i eth0
check "the first one goes on" weir r status
weir_stop r
