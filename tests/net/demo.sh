#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# The demo's claims hold. See tools/demo.sh for the drawing; it makes its own world.

if [ "$(id -u)" != 0 ]; then
	echo "skip: needs root"
	exit 77
fi
exec "$(dirname "$0")/../../tools/demo.sh"
