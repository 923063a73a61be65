#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# Installs what building, testing and the demo need, on Debian 12 as root. Elsewhere it says what
# is missing and fails only if Weir could not be built. DEPS=0: never installs.
#
#   tools/deps.sh            all but what one target alone needs
#   tools/deps.sh kernels    what `make check-kernels` needs besides

set -eu

# Also libc6-dev, which Debian's compilers only recommend.
BUILD="gcc libc6-dev make clang llvm bpftool pkg-config libxdp-dev libbpf-dev libelf-dev zlib1g-dev
	libnl-3-dev liburcu-dev libjansson-dev libpcap-dev"
TEST="libcmocka-dev libclang-rt-14-dev clang-format clang-tidy shellcheck git jq valgrind"
RUN="frr iproute2 ethtool tcpdump iperf3 traceroute nftables iputils-ping procps socat netcat-openbsd
	xdp-tools util-linux strace dpdk"
KERNELS="qemu-system-x86 busybox-static kmod xz-utils debian-archive-keyring bsdextrautils"

POLICY=/usr/sbin/policy-rc.d

# Those of the given packages that are not installed.
missing() {
	for package; do
		status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) || status=none
		[ "$status" = installed ] || printf '%s ' "$package"
	done
}

# FRR must neither start now nor at the next boot: the tests run their own in namespaces.
install_quietly() {
	export DEBIAN_FRONTEND=noninteractive
	if [ ! -e $POLICY ]; then
		trap 'rm -f $POLICY' EXIT
		trap 'exit 130' INT
		trap 'exit 143' TERM HUP
		printf '#!/bin/sh\nexit 101\n' >$POLICY
		chmod 755 $POLICY
	fi
	log=$(mktemp)
	# shellcheck disable=SC2086 # a list of words
	if ! { apt-get -qq update && apt-get -qq -y --no-install-recommends install $1; } >"$log" 2>&1; then
		cat "$log" >&2
		rm -f "$log"
		echo "deps: apt-get failed; needed are: $1" >&2
		return 1
	fi
	rm -f "$log"
	case " $1 " in
	*" frr "*) systemctl --quiet disable frr 2>/dev/null || true ;;
	esac
}

if ! command -v dpkg-query >/dev/null; then
	echo "deps: not a Debian system; Weir needs the equivalents of: $BUILD $TEST $RUN" >&2
	exit 0
fi

more=
[ "${1:-}" != kernels ] || more=$KERNELS
# shellcheck disable=SC2086 # lists of words
want=$(missing $BUILD $TEST $RUN $more)
[ -n "$want" ] || exit 0

if [ "${DEPS:-1}" != 0 ] && [ "$(id -u)" = 0 ]; then
	echo "  DEPS   $want"
	install_quietly "$want"
	exit
fi

echo "deps: not installed: $want" >&2
echo "deps: as root: apt-get install --no-install-recommends $want" >&2
# shellcheck disable=SC2086
[ -z "$(missing $BUILD)" ]
