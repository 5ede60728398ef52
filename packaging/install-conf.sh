#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The configuration that the unit names: where there is one it stays as it is.
set -eu
at="${DESTDIR:-}/etc/yarder/yarder.conf"
if [ -e "$at" ]; then
    echo "kept: $at"
elif mkdir -p "${at%/*}" 2>/dev/null && install -m 0644 "$1" "$at" 2>/dev/null; then
    echo "Installing $1 to $at"
else
    echo "not installed, for want of rights: $at; the unit needs it" >&2
fi
