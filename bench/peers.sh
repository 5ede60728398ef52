#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Fetches what bench/compare.py and bench/latency.py compare with, as far as Debian has it.
# Libraries and LTTng are installed (group `compare` of packaging/packages.txt). rsyslog conflicts
# with syslog-ng as a package, so it is unpacked into FOLDER/rsyslog (FOLDER: build/peers if not
# said) and runs in place. What cannot be had is left out of the tables; then the status is 1, and a
# line says why. With --rsyslog nothing else is fetched: tests send to a real one.
set -eu
top=$(dirname "$0")/..
rsyslog_only=false
[ "${1:-}" != --rsyslog ] || { rsyslog_only=true; shift; }
folder=${1:-$top/build/peers}
packages='rsyslog libestr0 libfastjson4 liblognorm5'
status=0

lacks() {
    echo "peers: $1, their rows are left out: $2" >&2
    status=1
}

# A build looks for libraries when it is set up.
install_libraries() {
    before=$(dpkg-query -W 2>/dev/null | wc -l)
    "$top/packaging/setup.sh" compare || return 1
    [ "$(dpkg-query -W 2>/dev/null | wc -l)" -eq "$before" ] || [ ! -f "$top/build/build.ninja" ] ||
        /usr/bin/meson setup --reconfigure "$top/build" >/dev/null
}

# In a subshell: its folder goes whatever happens.
unpack_rsyslog() (
    mkdir -p "$folder"
    fresh=$(mktemp -d "$folder/fresh-XXXXXX")
    trap 'rm -rf "$fresh"' EXIT
    # apt drops its rights to a user that must be able to write where it downloads to.
    chmod 755 "$fresh"
    (cd "$fresh" && apt-get -qq -o APT::Sandbox::User=root download $packages >/dev/null) || exit 1
    mkdir "$fresh/root"
    for package in "$fresh"/*.deb; do
        dpkg -x "$package" "$fresh/root" || exit 1
    done
    LD_LIBRARY_PATH="$fresh/root/usr/lib/$(gcc -print-multiarch)" \
        "$fresh/root/usr/sbin/rsyslogd" -v >/dev/null || exit 1
    rm -rf "$folder/rsyslog"
    mv "$fresh/root" "$folder/rsyslog" # whole or not at all
)

if ! command -v apt-get >/dev/null || ! command -v dpkg >/dev/null; then
    lacks "rsyslog, spdlog and LTTng, where they are missing" "this is not a Debian machine"
    exit "$status"
fi
$rsyslog_only || install_libraries || lacks "spdlog and LTTng" "they could not be installed"
[ -x "$folder/rsyslog/usr/sbin/rsyslogd" ] || unpack_rsyslog ||
    lacks "rsyslog" "it could not be downloaded (apt-get update may help), or does not start"
exit "$status"
