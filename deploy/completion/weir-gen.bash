# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# Completion for weir-gen. Commands and options are those that its help names.

_weir_gen() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} possible=""

	case $prev in
	weir-gen) possible=$(weir-gen --help | sed -n '/^Commands:/,/^$/s/^  \([a-z][a-z]*\) .*/\1/p') ;;
	tx | rx | txrx | echo) possible=$(ls /sys/class/net) ;;
	--size | -s) possible="64 1518 imix" ;;
	--choose) possible="turn uniform zipf" ;;
	--protocol | -p) possible="udp tcp" ;;
	--rate | -r) possible="max" ;;
	esac
	case $cur in
	-*) possible=$(weir-gen --help | grep -o '^  .*--[a-z-]*' | grep -o -- '--.*') ;;
	esac
	if [ -z "$possible" ]; then
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
	else
		mapfile -t COMPREPLY < <(compgen -W "$possible" -- "$cur")
	fi
}
complete -F _weir_gen weir-gen
