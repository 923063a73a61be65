#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# What lib.sh promises: a test's status and words, and that nothing outlives it however it ends.

# shellcheck source=tests/net/lib.sh
. "$(dirname "$0")/lib.sh"

# inner NAME: writes a test of its own from standard input.
inner() {
	{
		printf '#!/usr/bin/env bash\n. %q\n' "$TOP/tests/net/lib.sh"
		cat
	} >"$T/$1.sh"
	chmod +x "$T/$1.sh"
}

# run_inner NAME: its status in $STATUS, its output in $T/NAME.out.
run_inner() {
	STATUS=0
	env -u WEIR_TEST_WORLD -u V "$T/$1.sh" >"$T/$1.out" 2>&1 || STATUS=$?
}

inner passes <<-'END'
	ns a b
	link a eth0 b eth0
	addr a eth0 10.0.0.1/24
	addr b eth0 10.0.0.2/24
	check "neighbours reach each other" on a ping -q -c 1 -W 1 10.0.0.2
	expect_eq "the second namespace's first interface" 02:00:00:00:02:00 "$(mac_of b eth0)"
	flood_start f a b 10.0.0.2 1000 0.2
	flood_end f
	expect_eq "all arrive" 200 "$(flood_result received)"
END
run_inner passes
expect_eq "a test that passes" 0 $STATUS
expect_eq "is silent" "" "$(cat $T/passes.out)"

inner fails <<-'END'
	echo "what went before"
	check "false is true" false
END
run_inner fails
expect_eq "a test that fails" 1 $STATUS
check "says what failed and where" grep -q "^FAIL: false is true (line 4 of fails.sh)" $T/fails.out
check "and what went before" grep -q "^what went before" $T/fails.out

inner stumbles <<-'END'
	ns a
	on a ip route get 192.0.2.1
END
run_inner stumbles
check_not "a command that fails ends the test" [ $STATUS = 0 ]
check "and its line is named" grep -q "^FAIL: line 4 of stumbles.sh" $T/stumbles.out

inner skips <<-'END'
	need a-tool-that-nobody-has
END
run_inner skips
expect_eq "a test that cannot run" 77 $STATUS
expect_eq "says why" "skip: no a-tool-that-nobody-has on this machine" "$(cat $T/skips.out)"

inner waits <<-'END'
	wait_for 1 "a file that nobody makes" test -e /nobody/made/this
END
run_inner waits
expect_eq "waiting in vain" 1 $STATUS
check "says for what" grep -q "in vain for: a file that nobody makes" $T/waits.out

inner is_killed <<-'END'
	ns a
	spawn sleeper a sleep 98765
	sleep 98765
END
env -u WEIR_TEST_WORLD -u V "$T/is_killed.sh" >/dev/null 2>&1 &
killed=$!
wait_for 5 "both of its processes" eval '[ "$(pgrep -fc "sleep 98765")" = 2 ]'
end $killed KILL
wait_for 5 "nothing is left of a test that was killed" eval '! pgrep -f "sleep 98765"'
