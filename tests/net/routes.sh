#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
#     a --- eth0 .---. eth2 --- c
#                | r | eth3 --- d
#     b --- eth1 '---' eth4 --- e
#
# r forwards with Weir on eth0, eth1 and eth2. Into its kernel go 100 random route tables, one after
# the other, each of more than 1,000 prefixes: all types, metrics, several paths, next-hop objects
# and groups, TOS, on-link gateways, route MTUs, preferred sources; added, replaced, appended and
# deleted in random order (routes.c). Meanwhile packets flow from a to b, which these routes do not
# concern, and from a to everywhere, which they do.
#
#   - once the mirror has settled, for 10,000 destinations a table Weir's `route get` is the kernel's
#     RTM_GETROUTE: type, prefix, metric, object, MTU, source, every path with its weight
#   - the flow from a to b loses nothing to speak of, and the accounts balance
#   - a resync at the end finds nothing to mend
#
# TABLES=N takes fewer or more of them, SEED=N others.
#
# timeout: 600

# shellcheck source=tests/net/lib.sh
. "$(dirname "$0")/lib.sh"

TABLES=${TABLES:-100}
SEED=${SEED:-1}

CLIENTS=(a b c d e)
ns "${CLIENTS[@]}"
router r
for i in 0 1 2 3 4; do
	client=${CLIENTS[i]}
	link "$client" eth0 r "eth$i"
	addr r "eth$i" "10.0.$i.1/24"
	addr "$client" eth0 "10.0.$i.2/24"
	on "$client" ip route add default via "10.0.$i.1"
	for host in 2 3 4 5 6 7; do
		on r ip neigh add "10.0.$i.$host" lladdr "$(mac_of "$client" eth0)" dev "eth$i"
	done
done

# A worker may wait for its processor; that is not what is looked for here.
weir_start r -i eth0 -i eth1 -i eth2 --heartbeat-ms 1000

flood_start flow a b 10.0.1.2 3000 1000
# More than will ever be sent: ended when the tables are done.
spawn everywhere a "$NET_BIN/pkt" send --dmac "$(mac_of r eth0)" --src 10.0.0.2 --dst 20.0.0.0/6,24.0.0.0/6 \
	--pps 3000 --count 4000000000 eth0
EVERYWHERE=$!
check "Weir answers as the kernel does" on r "$NET_BIN/routes" --tables "$TABLES" --seed "$SEED" \
	/run/weir/r.sock eth0 eth1 eth2 eth3 eth4
cat $T/check
kill -0 $EVERYWHERE || fail "packets to everywhere have ended early"
end $EVERYWHERE
flood_stop flow
expect_num "the flow from a to b does not suffer" "$(($(flood_result lost) * 200))" "<=" "$(flood_result sent)"
check_accounts r

weir r drops show
weir r -j status | jq .mirror
has_resynced() {
	(($(weir r -j status | jq .mirror.resyncs) > $1))
}
before=$(weir r -j status | jq .mirror.resyncs)
kill -HUP "${WEIR_PID[r]}"
wait_for 10 "a resync" has_resynced "$before"
expect_eq "no dump had to mend anything" 0 "$(weir r -j status | jq .mirror.mended)"
weir_stop r
