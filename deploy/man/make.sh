#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# The manual pages: prose from *.8.in beside this script, commands and settings from the programs
# themselves, so that a page never tells of one that is not there.
#
#   make.sh BIN_DIR OUT_DIR
set -eu

bin=$1
out=$2
here=$(dirname "$0")
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# "  head" and an indented text below it become a tagged paragraph.
paragraphs() {
	awk '/^  [^ ]/ { sub(/^ +/, ""); gsub(/-/, "\\-"); print ".TP\n.B " $0; next }
	     /^   / { sub(/^ +/, ""); gsub(/-/, "\\-"); print }'
}

"$bin/weir" -h | sed '1,/^Commands:/d' | paragraphs >"$tmp/commands"
"$bin/weir-router" --help | sed '1,/^settings:/d' | sed '/^$/,$d' | paragraphs >"$tmp/settings"
[ -s "$tmp/commands" ] && [ -s "$tmp/settings" ]
version=$("$bin/weir" -V | sed 's/^weir //')

mkdir -p "$out"
for page in weir weir-router; do
	sed -e "s/@VERSION@/$version/" \
		-e "/^@COMMANDS@\$/{r $tmp/commands
d}" \
		-e "/^@SETTINGS@\$/{r $tmp/settings
d}" "$here/$page.8.in" >"$out/$page.8"
done
