#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Fetches those peers of bench/compare.py that cannot be installed: Debian's rsyslog conflicts with
# syslog-ng, so its packages are unpacked into FOLDER/rsyslog (FOLDER: build/peers if not said); it
# runs in place. Nothing is installed, nothing stays running. Status 1, and why, when it cannot be
# had.
set -eu
folder=${1:-$(dirname "$0")/../build/peers}
packages='rsyslog libestr0 libfastjson4 liblognorm5'

[ -x "$folder/rsyslog/usr/sbin/rsyslogd" ] && exit 0
fail() {
    echo "peers: no rsyslog, its rows are left out: $1" >&2
    exit 1
}
command -v apt-get >/dev/null && command -v dpkg >/dev/null || fail "this is not a Debian machine"
mkdir -p "$folder"
fresh=$(mktemp -d "$folder/fresh-XXXXXX")
trap 'rm -rf "$fresh"' EXIT
# apt drops its rights to a user that must be able to write where it downloads to.
chmod 755 "$fresh"
(cd "$fresh" && apt-get -qq -o APT::Sandbox::User=root download $packages >/dev/null) ||
    fail "apt-get download failed (apt-get update may help)"
mkdir "$fresh/root"
for package in "$fresh"/*.deb; do
    dpkg -x "$package" "$fresh/root"
done
LD_LIBRARY_PATH="$fresh/root/usr/lib/$(gcc -print-multiarch)" \
    "$fresh/root/usr/sbin/rsyslogd" -v >/dev/null || fail "it does not start"
rm -rf "$folder/rsyslog"
mv "$fresh/root" "$folder/rsyslog" # whole or not at all
