# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# Completion for weir. The commands are asked of `weir help`, which knows them without a daemon;
# names of interfaces are those of the system.

_weir() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
	local i words=() possible=""

	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-s) ((i++)) ;;
		-*) ;;
		*) words+=("${COMP_WORDS[i]}") ;;
		esac
	done
	case $prev in
	-s)
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
		;;
	dev)
		possible=$(ls /sys/class/net)
		;;
	table)
		possible="main local all"
		;;
	spread)
		possible="queue flow"
		;;
	*)
		case ${#words[@]} in
		0) possible="-s -j -p -h -V $(weir -j help | grep -o '"command":"[a-z]*' | cut -d'"' -f4)" ;;
		1) possible=$(weir -j help | grep -o "\"command\":\"${words[0]} [a-z]*" | cut -d' ' -f2) ;;
		*)
			case ${words[0]} in
			link | neigh) possible=dev ;;
			route) possible="default table" ;;
			drops) possible=all ;;
			worker) [ "${words[1]}" != set ] || possible="spread dev queue worker" ;;
			esac
			;;
		esac
		;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$possible" -- "$cur")
}
complete -F _weir weir
