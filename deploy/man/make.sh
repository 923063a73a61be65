#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# The manual pages: prose from *.in beside this script, commands and settings from the programs
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
"$bin/weir-gen" --help | sed '1,/^Commands:/d' | sed '/^$/,$d' | paragraphs >"$tmp/gen_commands"
"$bin/weir-gen" --help | sed '1,/^Options:/d' | sed '/^$/,$d' | paragraphs >"$tmp/gen_options"
"$bin/weir-router" --help | sed '1,/^settings:/d' | sed '/^$/,$d' | paragraphs >"$tmp/settings"
# An option of a port is a line of its own.
"$bin/weir-router" --help | sed '1,/^ports:/d' | sed '/^$/,$d' | grep '^  ' | paragraphs |
	sed 's/^\([a-z]*\)=\([^:]*\): /.br\n.BR \1 =\2:\n/' >"$tmp/ports"
for part in commands settings ports gen_commands gen_options; do
	[ -s "$tmp/$part" ]
done
version=$("$bin/weir" -V | sed 's/^weir //')

mkdir -p "$out"
for page in weir.8 weir-router.8 weir-gen.8 weir-ports.7; do
	sed -e "s/@VERSION@/$version/" \
		-e "/^@COMMANDS@\$/{r $tmp/commands
d}" \
		-e "/^@GEN_COMMANDS@\$/{r $tmp/gen_commands
d}" \
		-e "/^@GEN_OPTIONS@\$/{r $tmp/gen_options
d}" \
		-e "/^@SETTINGS@\$/{r $tmp/settings
d}" \
		-e "/^@PORTS@\$/{r $tmp/ports
d}" "$here/$page.in" >"$out/$page"
done
