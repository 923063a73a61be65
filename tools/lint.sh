#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# The rules of the tree that the compilers do not check.
#
#   tools/lint.sh [RULE...]   all, or these; each finding is a line "file:line: what, and what to do"
#   tools/lint.sh -l          their names

set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

RULES="format includes calls globals width names headers shellcheck tidy"
JOBS=${JOBS:-2}
OBJ=${BUILD:-build}/obj

# The tree's files, by git where there is a repository; new ones count as well.
files() {
	if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
		git ls-files --cached --others --exclude-standard -- "$@" | sort -u | while read -r file; do
			[ -f "$file" ] && echo "$file"
		done
	else
		local pattern args=()
		for pattern; do
			args+=(-o -path "./$pattern")
		done
		find . -path ./build -prune -o -type f \( "${args[@]:1}" \) -print | sed 's,^\./,,' | sort
	fi
}

c_files() {
	files '*.c' '*.h'
}

scripts() {
	{
		files '*.sh'
		grep -lsE '^#!.*\b(ba)?sh' .ci/run tests/run tests/*/run || true
	} | sort -u
}

# A rule whose tool is missing is skipped: `need TOOL || return 77`.
need() {
	command -v "$1" >/dev/null || {
		echo "skip: no $1 on this machine"
		return 77
	}
}

# --- the rules: each prints its findings and is false if there are any ---------------------------

lint_format() {
	need clang-format || return 77
	local findings
	findings=$(c_files | xargs -r clang-format --dry-run 2>&1 | awk -F: '
		/: warning: code should be/ && !n[$1]++ { file[++files] = $1; line[$1] = $2 }
		END {
			for (i = 1; i <= files; i++)
				printf "%s:%d: %d places not as clang-format would have them: make format\n",
					file[i], line[file[i]], n[file[i]]
		}')
	[ -z "$findings" ] || { echo "$findings"; return 1; }
}

# DESIGN.md, section 3: who may include whom. A file may include its own directory and every level
# below its own.
lint_includes() {
	c_files | grep -E '^(lib|cnet|apps|tools|bpf)/' | xargs -r awk '
		function level(path) {
			if (path ~ /^bpf\//) return 0
			if (path ~ /^lib\/base\//) return 1
			if (path ~ /^lib\/(sys|wire)\//) return 2
			if (path ~ /^lib\/(mem|nl|req)\//) return 3
			if (path ~ /^lib\/(port|steer|graph)\//) return 4
			if (path ~ /^cnet\/fib\//) return 5
			if (path ~ /^cnet\/(tcp|udp)\//) return 6
			# What a node is given: its worker, and the edges it may return.
			if (path ~ /^cnet\/(worker|nodes)\.h$/) return 6.5
			if (path ~ /^cnet\/(node|chnl)\//) return 7
			if (path ~ /^cnet\/(mirror|cmd)\//) return 8
			if (path ~ /^cnet\/[^\/]*$/) return 9
			if (path ~ /^(apps|tools)\//) return 10
			return -1
		}
		function dir(path) { sub(/\/[^\/]*$/, "", path); return path }
		/^[ \t]*#[ \t]*include[ \t]*"/ {
			split($0, part, "\"")
			to = part[2]
			if (to ~ /\.skel\.h$/) {
				if (FILENAME !~ /^lib\/steer\//)
					bad("only lib/steer loads BPF programs")
				next
			}
			if (level(to) < 0) {
				bad("name it from the top of the tree, as in \"lib/base/err.h\"")
				next
			}
			if (dir(FILENAME) == dir(to) || level(to) < level(FILENAME))
				next
			# Commands show the whole stack.
			if (FILENAME ~ /^cnet\/cmd\// && to ~ /^cnet\/([a-z]*\.(h|def)$|mirror\/)/)
				next
			bad("stands above or beside its user (DESIGN.md, section 3): " \
			    "move the shared part down, or pass it in")
		}
		function bad(why) {
			printf "%s:%d: %s: %s\n", FILENAME, FNR, to, why
			n++
		}
		END { exit n > 0 }'
}

# Law 7: time and chance are arguments. And a library does not talk.
lint_calls() {
	c_files | grep -E '^(lib|cnet)/' | grep -vE '^lib/(sys/|base/log\.)' | xargs -r awk '
		# Comments and strings out; what is left is code.
		function code(line,    out) {
			out = ""
			while (line != "") {
				if (in_comment) {
					if (!match(line, /\*\//)) return out
					line = substr(line, RSTART + 2); in_comment = 0
				} else if (match(line, /\/\*|\/\/|"(\\.|[^"\\])*"/)) {
					out = out substr(line, 1, RSTART - 1)
					tok = substr(line, RSTART, 2)
					if (tok == "//") return out
					if (tok == "/*") { in_comment = 1; line = substr(line, RSTART + 2) }
					else { out = out "\"\""; line = substr(line, RSTART + RLENGTH) }
				} else {
					out = out line; line = ""
				}
			}
			return out
		}
		FNR == 1 { in_comment = 0 }
		{
			text = " " code($0)
			if (match(text, /[^A-Za-z0-9_.>](clock_gettime|gettimeofday|time|times|clock|__rdtsc)[ ]?\(/))
				bad("reads a clock: take the time as an argument (struct wr_clock)")
			if (match(text, /[^A-Za-z0-9_.>](s?rand|s?random|[dlm]rand48|getrandom)[ ]?\(/))
				bad("draws at random: take the seed as an argument")
			if (match(text, /[^A-Za-z0-9_.>](v?printf|puts|putchar|perror|v?syslog)[ ]?\(/) ||
			    match(text, /[^A-Za-z0-9_.>](v?fprintf|fputs|fputc|fwrite)[ ]?\(.*(stderr|stdout)/))
				bad("prints: return an error or a text, the caller knows what it is for")
			if (FILENAME ~ /^lib\// && match(text, /[^A-Za-z0-9_]wr_log(_stderr)?[ ]?\(/))
				bad("logs: lib returns errors (struct wr_err), cnet decides who is told")
			if (match(text, /[^A-Za-z0-9_.>](exit|_exit|abort)[ ]?\(/))
				bad("ends the process: return an error")
		}
		function bad(why) {
			printf "%s:%d: %s\n", FILENAME, FNR, why
			n++
		}
		END { exit n > 0 }'
}

# Law 7: no variables at file scope. Constant tables of pointers lie in .data.rel.ro.
lint_globals() {
	local source object bad=0 found=0
	while read -r source; do
		object=$OBJ/${source%.c}.o
		[ -f "$object" ] || continue
		found=1
		objdump -t "$object" | awk -v source="$source" '
			$0 ~ / O \.(data|bss|tdata|tbss)/ && $0 !~ /\.data\.rel\.ro/ {
				name = $NF
				printf "%s %s\n", source, name
			}' | {
			local n=0 name line
			while read -r _ name; do
				line=$(grep -nw -- "${name%%.*}" "$source" | head -n 1 | cut -d: -f1)
				echo "$source:${line:-1}: '${name%%.*}' is a variable at file scope:" \
					"hang it on the struct that owns it"
				n=1
			done
			[ $n = 0 ]
		} || bad=1
	done < <(c_files | grep -E '^(lib|cnet)/.*\.c$')
	if [ $found = 0 ]; then
		echo "skip: nothing is built in $OBJ"
		return 77
	fi
	return $bad
}

# too_wide COLUMNS FILES...: a tab counts eight.
too_wide() {
	local max=$1 file
	shift
	for file; do
		expand -t 8 "$file" | awk -v file="$file" -v max="$max" '
			{ line = $0; gsub(/\\"/, "", line); gsub(/"[^"]*"/, "\"\"", line) }
			length($0) - length(line) > 30 { next }
			length($0) > max && !/https?:\/\// {
				printf "%s:%d: %d columns, more than %d: break the line\n", file, NR, length($0), max
			}'
	done
}

# C by 100 columns, scripts by 120; a long string is not broken. Tables of contents (*.def) may be as wide as they like.
lint_width() {
	local c scripts findings
	mapfile -t c < <(c_files)
	mapfile -t scripts < <(scripts)
	findings=$(too_wide 100 "${c[@]}"; too_wide 120 "${scripts[@]}")
	[ -z "$findings" ] || { echo "$findings"; return 1; }
}

# Licence lines, and names of functions that are shared.
lint_names() {
	local bad=0 file
	while read -r file; do
		head -n 3 "$file" | grep -q 'SPDX-License-Identifier:' || {
			echo "$file:1: no line with SPDX-License-Identifier"
			bad=1
		}
	done < <(c_files; scripts)
	while read -r file; do
		[ -f "$OBJ/${file%.c}.o" ] || continue
		nm --defined-only -g "$OBJ/${file%.c}.o" | awk -v file="$file" '
			$2 == "T" && $3 !~ /^(wr_|weir_)/ {
				printf "%s:1: %s() is visible to all: make it static or name it wr_%s\n", file, $3, $3
				n++
			}
			END { exit n > 0 }' || bad=1
	done < <(c_files | grep -E '^(lib|cnet)/.*\.c$')
	return $bad
}

# What users include: C99 to the letter, C++ too, and each on its own. What README prints is what is compiled.
lint_headers() {
	local header bad=0
	need clang || return 77
	for header in $(sed -n 's,^PUBLIC_HEADERS.*weir/\,\(.*\)),\1,p' Makefile); do
		clang -x c -std=c99 -pedantic -Wall -Wextra -Wshadow -Werror -fsyntax-only "cnet/$header" || bad=1
		clang -x c++ -std=c++11 -pedantic -Wall -Wextra -Werror -fsyntax-only -nostdinc++ \
			-Wno-pragma-once-outside-header "cnet/$header" || bad=1
	done
	cmp <(sed -n '/^```c$/,/^```$/p' README.md | sed '1d;$d') <(tail -n +2 apps/l2fwd/main.c) || {
		echo "README.md: the program printed is not apps/l2fwd/main.c"
		bad=1
	}
	return $bad
}

lint_shellcheck() {
	need shellcheck || return 77
	scripts | xargs -r shellcheck --external-sources --severity=warning --format=gcc
}

# Slow, so what has passed is remembered: build/tidy/FILE.ok is newer than the file and all headers.
lint_tidy() {
	need clang-tidy || return 77
	local newest_header
	newest_header=$(c_files | grep '\.h$' | xargs -r ls -t .clang-tidy 2>/dev/null | head -n 1)
	export TIDY_FLAGS
	TIDY_FLAGS="-std=gnu11 -D_GNU_SOURCE -I. -isystem build/gen -Ibuild/include"
	TIDY_FLAGS+=" $(pkg-config --cflags libxdp libbpf libnl-3.0 jansson libpcap)"
	c_files | grep '\.c$' | grep -vE '^(bpf|tests)/' | while read -r file; do
		if [ "build/tidy/$file.ok" -nt "$file" ] && [ "build/tidy/$file.ok" -nt "$newest_header" ]; then
			continue
		fi
		echo "$file"
	done | xargs -r -n 1 -P "$JOBS" tools/lint.sh -tidy
}

# What bpftool generates is not ours to mend.
tidy_one() {
	local out
	mkdir -p "build/tidy/$(dirname "$1")"
	# shellcheck disable=SC2086 # a list of flags
	out=$(clang-tidy --quiet "$1" -- ${TIDY_FLAGS:-} 2>/dev/null)
	if ! grep 'error:' <<<"$out" | grep -qv 'build/gen/'; then
		touch "build/tidy/$1.ok"
		return 0
	fi
	sed "s,^$PWD/,," <<<"$out"
	return 1
}

case ${1:-} in
-l)
	tr ' ' '\n' <<<"$RULES"
	exit
	;;
-tidy)
	tidy_one "$2"
	exit
	;;
esac

read -ra RULES_LIST <<<"${*:-$RULES}"
failed=0
skipped=0
for rule in "${RULES_LIST[@]}"; do
	"lint_$rule"
	case $? in
	0) ;;
	77) skipped=77 ;;
	*)
		failed=1
		echo "lint: rule '$rule' is broken" >&2
		;;
	esac
done
[ $failed = 0 ] || exit 1
exit $skipped
