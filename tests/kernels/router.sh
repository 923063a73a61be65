#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
#     a ---- eth0 r eth1 ---- b
#
#     router.sh LINK XDP-MODE     in a guest of tests/kernels/run; the veth links anywhere
#
# A router in the given XDP mode, over links of the given kind. Whatever mode it gets, and it says
# which:
#
#   - pings, UDP and TCP arrive, both ways, TCP byte for byte; Weir has forwarded them
#   - zero-copy is used where the driver has it
#   - all queues are served, also those that the driver adds for the XDP program; nothing of what comes
#     by them is left to the kernel
#   - where large packets are left to the kernel the log says so
#   - the accounts balance
#   - killed, it leaves the traffic to the kernel, and a new start takes all of it back
#   - it ends leaving nothing behind
#
# The links, see LINKS: veth pairs, or pairs of the guest's own NICs that are wired to each other
# outside. An interface is known by its MAC address: 52:54:00:00:<link>:<end>, with the ends in the
# order a, r eth0, r eth1, b.

# What the test is called by tests/kernels/guest.sh.
TEST=${TEST:-router.sh $*}
export TEST

# shellcheck source=tests/net/lib.sh
. "$(dirname "$0")/../net/lib.sh"
need socat

LINK=$1
MODE=$2

# Kind of link -> MTU; for NICs, the number of the link in the MAC addresses. virtio_net has a queue for
# each processor and adds as many for an XDP program, if the device has them.
declare -A LINKS=(
	[veth]="1500"
	[jumbo]="9000"
	[virtio]="1500 1"
	[virtio-mq]="1500 2"
	[virtio-platform]="1500 3"
)
[ -n "${LINKS[$LINK]:-}" ] || fail "$LINK: not one of: ${!LINKS[*]}"
read -r MTU NUMBER <<<"${LINKS[$LINK]}"

# --- the NICs of the guest -----------------------------------------------------------------------

nics() {
	nsenter --net="$NICS" -- "$@"
}

# The name of the NIC with this MAC address while it waits; a namespace that ended gives it back
# late.
waiting_nic() {
	nics ip -j link show | jq -er --arg mac "$1" '.[] | select(.address == $mac) | .ifname'
}

# nic NS IF END
nic() {
	local mac
	mac=52:54:00:00:0$NUMBER:0$3
	[ -e "${NICS:-}" ] || skip "not in a guest: no such NICs"
	wait_for 20 "the NIC $mac" waiting_nic "$mac"
	nics ip link set dev "$(waiting_nic "$mac")" down
	nics ip link set dev "$(waiting_nic "$mac")" netns "$1" name "$2"
	on "$1" ip link set "$2" mtu "$MTU" up
}

topology() {
	if [ -z "$NUMBER" ]; then
		one_router "$MTU" "$MTU"
		return
	fi
	ns a b
	router r
	nic a eth0 0
	nic r eth0 1
	nic r eth1 2
	nic b eth0 3
	addr a eth0 10.0.1.2/24
	addr r eth0 10.0.1.1/24
	addr r eth1 10.0.2.1/24
	addr b eth0 10.0.2.2/24
	on a ip route add default via 10.0.1.1
	on b ip route add default via 10.0.2.1
}

# --- what is asked and shown ---------------------------------------------------------------------

# On a slow machine a worker may well be silent for longer than the default.
start() {
	weir_start r -i eth0 -i eth1 --xdp-mode "$MODE" --heartbeat-ms 10000
}

# report: a line for tests/kernels/guest.sh about r's eth0, with the packets that Weir forwarded, and
# those of the UDP packets that the kernel did.
report() {
	local link stats
	link=$(weir r -j link show dev eth0)
	stats=$(weir r -j stats show)
	jq -nr --arg test "$TEST" --arg driver "$DRIVER" --argjson link "$link" --argjson stats "$stats" \
		--arg by_kernel "$by_kernel" '
		($stats.ports[] | select(.name == "eth0") | .facts.multi_buffer) as $multi_buffer |
		["mode", $test, $driver, ($link[0] | .xdp, .mode), if $multi_buffer == 1 then "yes" else "no" end,
			$link[0].queues, $stats.tx_pkts, $by_kernel, $link[0].why_mode] |
		map(tostring) | join("|")' >&"$ANSWER"
}

# the_log_says PATTERN
the_log_says() {
	grep -q "$1" $T/weir-router.r.log
}

# flood: of its packets most arrive; $by_kernel is how many the kernel has forwarded.
flood() {
	by_kernel=$(kernel_forwarded r)
	flood_start udp a b 10.0.2.2 500 2 -f 32
	flood_end udp
	by_kernel=$(($(kernel_forwarded r) - by_kernel))
	expect_num "most of the UDP packets arrive" "$(flood_result lost) * 2" "<" "$(flood_result sent)"
}

# Generic XDP leaves the kernel what has unfinished checksums, as all from these senders may.
all_came_to_weir() {
	the_log_says 'eth0: generic XDP' || expect_eq "what the kernel forwarded" 0 "$by_kernel"
}

queues_now() {
	on r ethtool -l eth0 | awk '/^Current/ { now = 1 } now && /^(RX|Combined):/ { n += $2 } END { print n }'
}

all_queues_are_served() {
	expect_eq "queues that are served" "$(queues_now)" "$(weir r -j link show dev eth0 | jq '.[0].queues')"
	check_not "none is said to be left out" the_log_says 'receives on .* queues'
	[ "$LINK $MODE" != "virtio-mq auto" ] ||
		expect_num "virtio_net has added queues" "$(queues_now)" ">" "$queues_before"
}

limits_are_told() {
	[ "$MTU" -le 3000 ] || weir r -j stats show | jq -e 'all(.ports[]; .facts.multi_buffer == 1)' >/dev/null ||
		check "it says that large packets stay with the kernel" the_log_says 'packets of more than .* bytes'
}

# virtio_net has it, for devices with ACCESS_PLATFORM; 6.12 only for receiving, which is none.
zero_copy_is_had() {
	[ "$LINK $MODE" = "virtio-platform auto" ] || return 0
	printf '%s\n' 6.18 "$(uname -r)" | sort -CV || return 0
	expect_eq "the sockets" "native zero-copy" "$(weir r -j link show dev eth0 | jq -r '.[0].mode')"
}

# transfer FROM TO ADDRESS
transfer() {
	rm -f $T/got
	spawn "socat.$2" "$2" socat -u TCP-LISTEN:5000,reuseaddr CREATE:$T/got
	local listener=$!
	wait_for 20 "$2 listens" on "$2" sh -c "ss -Htln 'sport = :5000' | grep -q 5000"
	check "$1 sends to $2" on "$1" timeout 60 socat -u OPEN:$T/blob "TCP:$3:5000"
	wait "$listener"
	check "$2 got the same bytes" cmp $T/blob $T/got
}

pings_pass() {
	check "$1" on a ping -q -c "${2:-3}" -i 0.2 -W 5 10.0.2.2
}

kernel_forwards_on() {
	local before
	pings_pass "$1: pings pass"
	before=$(kernel_forwarded r)
	pings_pass "$1: more pings pass"
	expect_num "$1: by the kernel" "$(kernel_forwarded r)" ">=" $((before + 6))
}

# --- the story -----------------------------------------------------------------------------------

head -c 2M /dev/urandom >$T/blob
topology
DRIVER=$(on r ethtool -i eth0 | sed -n 's/^driver: //p')
queues_before=$(queues_now)
pings_pass "pings pass without Weir"

start
[ "$MODE" = auto ] || expect_eq "the mode" "$MODE" "$(weir r -j link show dev eth0 | jq -r '.[0].xdp')"
pings_pass "pings pass" 10
expect_num "Weir forwards them, both ways" "$(counter r tx_pkts)" ">=" 18

flood
all_came_to_weir
all_queues_are_served
transfer a b 10.0.2.2
transfer b a 10.0.1.2
check_accounts r
limits_are_told
zero_copy_is_had
report

weir_kill r
kernel_forwards_on "killed"
start
pings_pass "started again, pings pass"
expect_num "Weir forwards them" "$(counter r tx_pkts)" ">=" 4
flood
all_came_to_weir
all_queues_are_served
check_accounts r
weir_stop r
check "nothing is left of it" weir_is_gone r
pings_pass "pings pass without it"
