#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# libyarder and the rooms below it, cross-built for aarch64, and their unit tests under qemu's user
# emulation. No thread has a restartable-sequence area there, so producers use the plain ring; the
# sequence itself is executed by ring-sequence and ring-interrupted, with an area of their own.
set -eu
cd "$(dirname "$0")/../.."

missing=
for tool in aarch64-linux-gnu-gcc qemu-aarch64; do
    command -v "$tool" >/dev/null || missing="$missing $tool"
done
libc=/usr/aarch64-linux-gnu/lib/libc.so.6
[ -e "$libc" ] || missing="$missing $libc"
if [ -n "$missing" ]; then
    echo "test-aarch64: nothing was tested; not here:$missing" >&2
    echo "test-aarch64: on Debian packaging/setup.sh aarch64 installs them" >&2
    exit 1
fi

[ -f build-aarch64/build.ninja ] || /usr/bin/meson setup build-aarch64 \
    --cross-file tests/aarch64/cross.ini -Dlibrary-only=true -Dwerror=true
ninja -C build-aarch64

# What the emulator cannot do: read SO_RXQ_OVFL and SO_MEMINFO back, and MADV_WIPEONFORK, which it
# takes for done.
export YARDER_TESTS_WITHOUT="udp a_datagram_socket_presses child_attaches"
/usr/bin/meson test -C build-aarch64 --no-rebuild -t 4 "$@"
for bytes in 16384 65536; do # other kernels' pages
    QEMU_PAGESIZE=$bytes /usr/bin/meson test -C build-aarch64 --no-rebuild -t 4 --suite ring
done
