#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Fetches kernels of Debian and lays them out for tests/kernels/run; installs nothing.
#
#   tests/kernels/fetch.sh KERNEL...     each one of: 6.1, 6.12, newest
#
# What becomes of it:
#
#   build/kernels/KERNEL/version        6.1.0-56-amd64; written last: the directory is whole
#   build/kernels/KERNEL/vmlinuz
#   build/kernels/KERNEL/lib/modules/   those that networks and the guest's root need
#
# The packages come from the machine's own Debian mirror by a private apt configuration, so that the
# suites it takes (bookworm, trixie, trixie-backports) need not be the machine's. What is there is
# not fetched again; FRESH=1 asks for the newest build of each.

set -euo pipefail
cd "$(dirname "$0")/../.."
export PATH=$PATH:/usr/sbin:/sbin

DIR=build/kernels
APT=$PWD/$DIR/apt

# The suite whose linux-image-amd64 is this kernel; "newest" has what is too new for a release.
declare -A SUITE=([6.1]=bookworm [6.12]=trixie [newest]=trixie-backports)

# What of the modules is unpacked: a tenth of them.
PARTS=(net lib arch crypto fs/9p fs/netfs fs/fscache fs/overlayfs drivers/virtio)

# The machine's Debian mirror; security.debian.org and other archives are no mirrors of it.
mirror() {
	local found
	found=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.{list,sources} 2>/dev/null |
		grep -v '^ *#' | grep -oE '\b(https?|file)://?[^ ]*/debian/?( |$)' | head -n 1 | tr -d ' ') || true
	echo "${found:-http://deb.debian.org/debian}"
}

# The lists and the cache are ours; keys and proxies are the machine's.
write_apt_conf() {
	mkdir -p "$APT"/{parts,state/lists/partial,cache/archives/partial}
	cat >"$APT/apt.conf" <<-END
		Dir::Etc::sourcelist "/dev/null";
		Dir::Etc::sourceparts "$APT/parts";
		Dir::Etc::preferences "/dev/null";
		Dir::Etc::preferencesparts "/dev/null";
		Dir::State "$APT/state";
		Dir::State::status "$APT/status";
		Dir::Cache "$APT/cache";
		APT::Architecture "amd64";
		APT::Sandbox::User "root";
		Acquire::Languages "none";
	END
	: >"$APT/status"
	cat >"$APT/parts/debian.sources" <<-END
		Types: deb
		URIs: $(mirror)
		Suites: bookworm trixie trixie-backports
		Components: main
		Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
	END
}

update_lists() {
	write_apt_conf
	APT_CONFIG=$APT/apt.conf apt-get -qq update || {
		echo "kernels: no package lists from $(mirror): is the network there?" >&2
		return 1
	}
}

# packages SUITE: those that hold the kernel. One in Debian 12 and 13; image, binary, modules and base
# since.
packages() {
	APT_CONFIG=$APT/apt.conf apt-cache -o APT::Default-Release="$1" depends --recurse --important \
		linux-image-amd64 | grep -E '^linux-(image|binary|modules|base)-[0-9].*-amd64$' | sort -u
}

# download KERNEL DIRECTORY
download() {
	local names suite=${SUITE[$1]}
	mapfile -t names < <(packages "$suite")
	((${#names[@]})) || {
		echo "kernels: $suite has no linux-image-amd64" >&2
		return 1
	}
	echo "  GET    ${names[*]}" >&2
	mkdir -p "$2/deb"
	(cd "$2/deb" && APT_CONFIG=$APT/apt.conf apt-get -qq -o APT::Default-Release="$suite" download "${names[@]}")
}

# unpack DIRECTORY
unpack() {
	local deb dir=$1 wanted=('*/vmlinuz*' '*/modules.builtin*' '*/modules.order' '*/kernel/drivers/net/*.ko*') part
	for part in "${PARTS[@]}"; do
		wanted+=("*/kernel/$part/*")
	done
	mkdir "$dir/tree"
	for deb in "$dir"/deb/*.deb; do
		# tar is not pleased when a package has none of them.
		dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$dir/tree" --wildcards --exclude='*/drivers/net/*/*' \
			"${wanted[@]}" 2>/dev/null || true
	done
	find "$dir/tree" -name 'vmlinuz*' -exec mv {} "$dir/vmlinuz" \;
	mkdir -p "$dir/lib"
	mv "$(find "$dir/tree" -path '*/lib/modules')" "$dir/lib"
	rm -rf "$dir/tree" "$dir/deb"
}

# fetch KERNEL
fetch() {
	local dir=$DIR/$1 new=$DIR/$1.new version
	rm -rf "$new"
	mkdir -p "$new"
	download "$1" "$new"
	unpack "$new"
	version=$(ls "$new/lib/modules")
	[ -s "$new/vmlinuz" ] && [ -n "$version" ] || {
		echo "kernels: the packages of $1 hold no vmlinuz or no modules" >&2
		return 1
	}
	depmod -b "$PWD/$new" "$version"
	echo "$version" >"$new/version"
	rm -rf "$dir"
	mv "$new" "$dir"
}

want=()
for kernel; do
	[ -n "${SUITE[$kernel]:-}" ] || {
		echo "kernels: $kernel: not one of: ${!SUITE[*]}" >&2
		exit 2
	}
	[ "${FRESH:-0}" != 1 ] && [ -s "$DIR/$kernel/version" ] || want+=("$kernel")
done
((${#want[@]})) || exit 0
update_lists
for kernel in "${want[@]}"; do
	fetch "$kernel"
done
