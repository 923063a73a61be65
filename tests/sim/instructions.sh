#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# What a packet costs, in instructions, on each way through a worker (fastpath.c): counted by valgrind, so
# two runs agree and no clock is asked. tests/golden/instructions.txt has what they were and how far they
# may move; it fails in both directions, since a gain that nobody wrote down is lost again unseen.
#
#     tests/sim/instructions.sh            compares
#     UPDATE=1 tests/sim/instructions.sh   writes the golden file anew; the commit shows what it was
#
# A row is a function and all that it calls, a packet that came in:
#
#     total           wr_worker_turn() without the drivers; with `alone` that is a whole turn
#     turn            of these, what no node takes: time, heartbeat, the walk, the ways out
#     eth_input ...   the nodes
#     pcap_rx ...     the drivers, without what libpcap does and without reading the file anew
#
# The numbers are those of one compiler and its options: of others nothing can be said.

set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "$0")/../.."

B=${BUILD:-build}
PROGRAM=$B/tests/sim/fastpath
GOLDEN=tests/golden/instructions.txt
# Where counting begins and ends, and what within is not counted.
TOGGLES=(wr_worker_turn 'look_up*' pcap_next_ex pcap_close pcap_fopen_offline)

skip() {
	echo "skip: $*"
	exit 77
}

# Options of the compiler, from the library itself.
producer() {
	ar p "$B/libweir.a" graph.o >"$T/graph.o"
	readelf --debug-dump=info "$T/graph.o" | sed -n '/DW_AT_producer/ { s/.*): //; s/^GNU C11/gcc/; p; }'
}

check_machine() {
	local made_by
	for tool in valgrind readelf; do
		command -v $tool >/dev/null || skip "no $tool on this machine"
	done
	[ -x "$PROGRAM" ] || { echo "no $PROGRAM: make tests"; exit 1; }
	made_by=$(producer)
	case " $made_by " in
	*-fsanitize*) skip "a sanitizer's build" ;;
	*" gcc 12."*" -march=x86-64 "*" -O2 "*) ;;
	*) skip "counted for gcc 12 -O2 on x86-64 only, this is: $made_by" ;;
	esac
}

# count WAY: its rows, "WAY NAME INSTRUCTIONS". Functions are bound at start, and whose environment it is
# does not matter.
count() {
	local way=$1 packets
	env -i PATH="$PATH" LD_BIND_NOW=1 valgrind --tool=callgrind --callgrind-out-file="$T/$way.out" \
		--compress-strings=no --compress-pos=no "${TOGGLES[@]/#/--toggle-collect=}" \
		"$PROGRAM" "$way" >"$T/$way.said" 2>&1 || {
		cat "$T/$way.said"
		exit 1
	}
	packets=$(sed -n 's/^packets //p' "$T/$way.said")
	functions "$T/$way.out" | rows "$way" "$packets"
}

# functions FILE: "NAME INSTRUCTIONS" with all that it calls, of callgrind's file (valgrind's manual, "Callgrind
# Format"). The line after calls= is what the call has cost. callgrind_annotate shows a function in as many
# pieces as files are inlined into it.
functions() {
	awk -F'[= ]' '
		/^fn=/ { name = $2; sub(/\.(constprop|isra|part)\..*/, "", name) }
		/^[0-9]/ { cost[name] += $2 }
		END { for (name in cost) print name, cost[name] }' "$1"
}

# rows WAY PACKETS: those of the table, from what functions prints.
rows() {
	awk -v way="$1" -v packets="$2" '
		{ name = $1; n = $2 / packets }
		name == "wr_worker_turn" { total += n; turn += n }
		name == "look_up" { row[name] = n }
		sub(/^wr_node_/, "", name) { row[name] = n; turn -= n; next }
		name ~ /^(pcap|null|ring)_(rx|tx|flush)$/ { row[name] = n; total -= n; turn -= n }
		END {
			if (total) {
				row[".total"] = total
				row[".turn"] = turn
			}
			for (name in row)
				if (row[name] >= 0.05)
					printf "%-8s %-12s %7.1f\n", way, name, row[name] | "sort"
		}' | sed 's/ \.\([a-z]*\)/ \1 /'
}

# compare GOLDEN GOT: a line for each row that has moved.
compare() {
	awk '
		/^# tolerance:/ { percent = $3; least = $6 }
		/^#/ || !NF { next }
		{ key = $1 ": " $2 }
		NR == FNR { was[key] = $3; next }
		!(key in was) { say(key, "is new", $3); next }
		{
			moved = $3 - was[key]
			may = was[key] * percent / 100
			if (may < least)
				may = least
			if (moved > may || -moved > may)
				say(key, "was " was[key] ", is", $3)
			delete was[key]
		}
		END {
			for (key in was)
				say(key, "is gone, was", was[key])
			exit bad
		}
		function say(key, what, n) {
			printf "%s %s %s instructions a packet\n", key, what, n
			bad = 1
		}' "$1" "$2"
}

# The head of the golden file, with its tolerance, stays.
update() {
	grep '^#' $GOLDEN >"$T/golden"
	cat "$T/got" >>"$T/golden"
	cp "$T/golden" $GOLDEN
}

T=$(mktemp -d)
trap 'rm -rf "$T"' EXIT
check_machine
for way in $("$PROGRAM" list); do
	count "$way"
done >"$T/got"
[ -z "${UPDATE:-}" ] || update
compare $GOLDEN "$T/got" || {
	echo "the fast path is no longer what $GOLDEN says, beyond its tolerance;"
	echo "if that is wanted: UPDATE=1 tests/sim/instructions.sh"
	exit 1
}
