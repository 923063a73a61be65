#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# The first process of a guest, in its initramfs: busybox and nothing else. It makes the machine's own
# file system the guest's root, so that the guest has the tools, libraries and the build that the
# machine has. What the guest writes stays in its memory: the share is read-only, a tmpfs lies on top.
#
# /config says where the tree lies (TOP) and which kernel this is (KERNEL); /modules/* are in the order
# in which they must be loaded.

set -e

/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t devtmpfs dev /dev
. /config

for module in /modules/*; do
	insmod "$module"
done

mkdir -p /host /ram /root
mount -t 9p -o trans=virtio,version=9p2000.L,ro,cache=loose,msize=262144 host /host
mount -t tmpfs -o size=50% ram /ram
mkdir -p /ram/upper /ram/work
mount -t overlay -o lowerdir=/host,upperdir=/ram/upper,workdir=/ram/work root /root
mkdir -p "/root/lib/modules"
mount --bind "/host$TOP/build/kernels/$KERNEL/lib/modules" /root/lib/modules

umount /proc
mount --move /dev /root/dev
exec switch_root /root "$TOP/tests/kernels/guest.sh"
