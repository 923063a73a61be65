#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# The guest's first process once its root is there: the tests, one after the other, then power off.
#
# All output goes to the first serial line, the console. The second one is for tests/kernels/run; a
# line there is
#
#     mode|TEST|...         what router.sh reports
#     passed|TEST           or failed|TEST, skipped|TEST
#     end                   all of them were run
#
# A test that goes on for longer than its seconds is killed and has failed.

set -uo pipefail
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb LANG=C.UTF-8
TOP=$(cd "$(dirname "$0")/../.." && pwd)
NICS=/nics # the namespace in which the guest's own interfaces wait, see router.sh

# SECONDS TEST: a script of this directory with its arguments, or the name of one in tests/net.
# router.sh LINK XDP-MODE, with the links that router.sh knows. Those of tests/net that flood at
# thousands of packets a second (mixed, kill, idle, hostile, churn, routes) were not tried by
# emulation: too slow for what they claim.
ALL_TESTS=(
	"400 router.sh veth native"
	"400 router.sh veth generic"
	"400 router.sh jumbo auto"
	"400 router.sh jumbo generic"
	"400 router.sh virtio auto"
	"400 router.sh virtio generic"
	"400 router.sh virtio-mq auto"
	"400 router.sh virtio-platform auto"
)

mount_all() {
	mount -t proc proc /proc
	mount -t sysfs sys /sys
	mount -t tmpfs -o mode=755 tmpfs /run
	mkdir -p /dev/pts /dev/shm
	mount -t devpts -o ptmxmode=666 devpts /dev/pts
	mount -t tmpfs shm /dev/shm
	ln -sfn /proc/self/fd /dev/fd
	mount -t bpf bpf /sys/fs/bpf
	mount -t cgroup2 cgroup2 /sys/fs/cgroup
	touch $NICS
	mount --bind /proc/self/ns/net $NICS
}

# What the kernel does not load by itself when it is first used.
load_modules() {
	local module
	for module in virtio_pci virtio_net veth tun sch_ingress cls_u32 act_mirred; do
		modprobe "$module" || echo "guest: no module $module"
	done
}

# run SECONDS COMMAND...
run() {
	local limit=$1 name="${*:2}" command=$TOP/tests/kernels/$2 status output=/run/output start=$SECONDS
	[ -x "$command" ] || command=$TOP/tests/net/$2.sh
	echo "--- $name"
	TEST=$name timeout -k 10 "$limit" "$command" "${@:3}" </dev/null 2>&1 | tee $output
	status=${PIPESTATUS[0]}
	sed -n 's/^mode|/&/p' $output >&"$RESULTS"
	case $status in
	0) status=passed ;;
	77) status=skipped ;;
	*) status=failed ;;
	esac
	echo "$status after $((SECONDS - start)) s: $name"
	echo "$status|$name" >&"$RESULTS"
}

mount_all
exec >/dev/console 2>&1 </dev/null
exec {RESULTS}>/dev/ttyS1
load_modules
ip link set lo up
sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1
export NICS WEIR_START_S=60
for test in "${ALL_TESTS[@]}"; do
	[[ $test =~ ${TESTS:-} ]] || continue
	# shellcheck disable=SC2086 # a list of words
	run $test
done
echo end >&"$RESULTS"
# Closing waits until the line is out.
exec {RESULTS}>&-
busybox poweroff -f
