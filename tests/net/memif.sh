#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# timeout: 600
#
# Shared memory with a stranger: DPDK's memif, at either end of the socket.
#
#     memif (numbered frames) ---- socket, memfd, eventfds ---- dpdk-testpmd (sends back what comes)
#
# For Weir as client and as server:
#     a million frames come back, each whole and in order, none lost
#     so do jumbo frames, several buffers each, among small ones
#     one at a time, asleep in between
#     testpmd is killed and started again: traffic goes on
#     Weir's side is killed and started again: traffic goes on
#
# testpmd runs without huge pages and in one core. It is told to stop forwarding before its peer is
# killed: DPDK 22.11 unmaps the memory under its own receive function, and may crash there.

. "$(dirname "$0")/lib.sh"

need dpdk-testpmd
MEMIF=$NET_BIN/memif
[ -x "$MEMIF" ] || fail "no $MEMIF: run make tests first"

CPU=$(awk '/^Cpus_allowed_list/ { sub(/[-,].*/, "", $2); print $2 }' /proc/self/status)
mkdir -p /run/dpdk
mkfifo $T/pmd.in
exec {PMD_IN}<>$T/pmd.in

# pmd_start VDEV-OPTIONS: returns when it forwards.
pmd_start() {
	: >$T/pmd.log
	dpdk-testpmd --no-huge -m 256 --no-pci --no-telemetry --no-shconf --file-prefix=weir$$ \
		--lcores "0@$CPU,1@$CPU" --vdev="net_memif0,$1" -- -i --auto-start --total-num-mbufs=8192 \
		--forward-mode=io --port-topology=loop --nb-cores=1 <&"$PMD_IN" >>$T/pmd.log 2>&1 &
	PMD_PID=$!
	wait_for 60 "testpmd takes commands" grep -q 'testpmd>' $T/pmd.log
}

prompts() {
	grep -o 'testpmd>' $T/pmd.log | wc -l
}

has_prompted() {
	[ "$(prompts)" -gt "$1" ]
}

# pmd_do COMMAND: returns when it has done it.
pmd_do() {
	local before
	before=$(prompts)
	echo "$1" >&"$PMD_IN"
	wait_for 60 "testpmd did '$1'" has_prompted "$before"
}

# frames_start OPTIONS...: in the background, for ever.
frames_start() {
	rm -f $T/progress.json
	"$MEMIF" -p $T/progress.json "$@" >$T/frames.json 2>>$T/memif.log &
	FRAMES_PID=$!
}

progress() {
	jq -er ".$1" $T/progress.json
}

has_received() {
	[ "$(progress received)" -ge "$1" ]
}

# More than there were: traffic flows.
frames_flow() {
	local n=0
	[ ! -s $T/progress.json ] || n=$(progress received)
	wait_for 60 "$1" has_received $((n + 1000))
}

is_up() {
	[ "$(progress connected)" = "$1" ]
}

is_there() {
	grep -q "$1" /proc/net/unix
}

# all_come_back SENTENCE COUNT OPTIONS...: through $PORT and a testpmd with $PMD, whichever of the
# two must be there first.
all_come_back() {
	local what=$1 count=$2 pid
	shift 2
	[ $ROLE = server ] || pmd_start "$PMD"
	("$MEMIF" -n "$count" "$@" "$PORT" >$T/frames.json 2>>$T/memif.log) &
	pid=$!
	if [ $ROLE = server ]; then
		wait_for 20 "the server listens" is_there @weir-memif
		pmd_start "$PMD"
	fi
	wait $pid || fail "$what: the tool failed"
	end $PMD_PID KILL
	rm -f $T/m.sock # which testpmd does not replace
	echo "$what: $(cat $T/frames.json)"
	expect_eq "$what, as $ROLE" "$count 0 0 0 0" \
		"$(jq -r '"\(.received) \(.lost) \(.reordered) \(.corrupt) \(.rx_bad)"' $T/frames.json)"
}

all_kinds_come_back() {
	all_come_back "a million frames" 1000000 -w 256
	all_come_back "jumbo frames among small ones" 100000 -w 24 -s 60-9014
	all_come_back "one at a time" 20000 -w 1
	expect_num "it slept in between" "$(jq .sleeps $T/frames.json)" '>' 0
}

# --- Weir is the client --------------------------------------------------------------------------

ROLE=client
PMD="role=server,id=5,socket=$T/m.sock,socket-abstract=no"
PORT="memif:$T/m.sock,id=5"
all_kinds_come_back

pmd_start "$PMD"
frames_start -w 64 "$PORT"
frames_flow "traffic flows"
end $PMD_PID KILL
wait_for 20 "the client sees that the server is dead" is_up 0
rm $T/m.sock
pmd_start "$PMD"
frames_flow "traffic flows to a new server"
expect_num "it was connected again" "$(progress n_connects)" '==' 2

pmd_do stop
end $FRAMES_PID KILL
frames_start -w 64 "$PORT"
wait_for 20 "a new client is connected" is_up 1
pmd_do start
frames_flow "traffic flows from a new client"
pmd_do stop
end $FRAMES_PID
check "the client ended in good order" jq -e '.corrupt == 0 and .rx_bad == 0' $T/frames.json
end $PMD_PID KILL

# --- Weir is the server; DPDK's client does not try again by itself ------------------------------

ROLE=server
PMD="role=client,id=6,socket=weir-memif,socket-abstract=yes"
PORT="memif:@weir-memif,role=server,id=6"

all_kinds_come_back

frames_start -w 64 "$PORT"
wait_for 20 "the server listens" is_there @weir-memif
pmd_start "$PMD"
frames_flow "traffic flows"
end $PMD_PID KILL
wait_for 20 "the server sees that the client is dead" is_up 0
pmd_start "$PMD"
frames_flow "traffic flows from a new client"
expect_num "it was connected again" "$(progress n_connects)" '==' 2

pmd_do stop
end $FRAMES_PID KILL
frames_start -w 64 "$PORT"
wait_for 20 "the new server listens" is_there @weir-memif
pmd_do 'port stop 0'
pmd_do 'port start 0'
pmd_do start
frames_flow "traffic flows to a new server"
end $FRAMES_PID
check "the server ended in good order" jq -e '.corrupt == 0 and .rx_bad == 0' $T/frames.json
end $PMD_PID KILL
