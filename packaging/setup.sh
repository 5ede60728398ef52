#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs those Debian packages of packages.txt that are missing, for the groups named (needed,
# backends, test, aarch64, compare). Never removes a package, never starts a daemon that a package
# brings.
set -eu
here=$(dirname "$0")
groups=${*:-needed backends test}

packages=$(for group in $groups; do
    sed -n "s/^$group //p" "$here/packages.txt"
done)
if [ -z "$packages" ]; then
    echo "setup: no such group: $groups (there are: needed, backends, test, aarch64, compare)" >&2
    exit 2
fi
if ! command -v dpkg-query >/dev/null; then
    echo "setup: not a Debian machine; yarder wants what Debian calls:" $packages >&2
    exit 0
fi

installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' $packages 2>/dev/null |
    sed -n 's/^installed //p')
missing=$(printf '%s\n' $packages | grep -vxF "$installed" || true)
if [ -z "$missing" ]; then
    echo "setup: nothing missing ($groups)"
    exit 0
fi

as_root=
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "setup: not root and no sudo; as root: apt-get install" $missing >&2
        exit 1
    fi
    as_root=sudo
fi

# Without a policy of the machine's own, one for the time of this installation: a package that comes
# with a daemon (nginx, syslog-ng) does not start it. Tests start their own, on loopback.
policy=/usr/sbin/policy-rc.d
drop_policy() { $as_root rm -f "$policy"; }
if [ ! -e "$policy" ]; then
    trap drop_policy EXIT
    trap 'exit 1' INT TERM
    printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
    $as_root chmod 755 "$policy"
fi

refresh() {
    echo "setup: apt-get update"
    $as_root apt-get update -qq
}
install() {
    $as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -qq -y --no-install-recommends --no-remove "$@"
}

echo "setup: installing" $missing
ls /var/lib/apt/lists/*_Packages* >/dev/null 2>&1 || refresh
install $missing && exit 0

# Old lists name versions that are gone; one package may conflict with what the machine has.
refresh
install $missing && exit 0
failed=
for package in $missing; do
    install "$package" || failed="$failed $package"
done
for package in $failed; do
    if grep -qx "needed $package" "$here/packages.txt"; then
        echo "setup: could not be installed:$failed" >&2
        exit 1
    fi
done
echo "setup: not installed, what needs them is left out:$failed" >&2
