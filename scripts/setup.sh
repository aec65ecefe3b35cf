#!/bin/sh
# Makes the virtual environment, and installs Debian's redis-server if it may; further versions of the server come with the
# Python packages for tests. Installs the client libraries of Node.js for the end-to-end tests, where there is a Node.js,
# a Chromium that looks at the admin page, and the shells that complete commands.
set -eu
venv=$1

missing=
need() { missing="$missing $1"; }
for program in python3:python3 redis-server:redis-server redis-cli:redis-tools curl:curl nc:netcat-openbsd gcc:gcc \
    node:nodejs npm:npm systemd-analyze:systemd chromium:chromium zsh:zsh fish:fish; do
    command -v "${program%%:*}" >/dev/null 2>&1 || need "${program##*:}"
done
# Debian keeps these apart from python3 and gcc; without the headers the proxy is installed uncompiled.
python3 -c 'import ensurepip' 2>/dev/null || need python3-venv
python3 - 2>/dev/null <<'EOF' || need python3-dev
import os, sysconfig
os.stat(os.path.join(sysconfig.get_paths()["include"], "Python.h"))
EOF
[ -e /usr/include/stdio.h ] || need libc6-dev
if [ -n "$missing" ] && command -v apt-get >/dev/null 2>&1; then
    if [ "$(id -u)" = 0 ]; then sudo=; else sudo="sudo -n"; fi
    # A Debian package starts its server by itself; the tests start their own.
    # shellcheck disable=SC2086
    if $sudo true 2>/dev/null; then
        $sudo apt-get update -qq || true
        for package in $missing; do
            $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" \
                >/dev/null || echo "could not install $package; going on without it" >&2
        done
    fi
fi

[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --upgrade pip
"$venv/bin/python" -m pip install --quiet -e '.[dev]'
# Prometheus's own check of metrics and rules. The whole package would start a server.
if ! command -v promtool >/dev/null 2>&1 && [ ! -e "$venv/bin/promtool" ] && command -v apt-get >/dev/null 2>&1; then
    folder=$(mktemp -d)
    (cd "$folder" && apt-get download -qq prometheus && dpkg-deb --fsys-tarfile prometheus_*.deb |
        tar -x ./usr/bin/promtool) >/dev/null 2>&1 && cp "$folder/usr/bin/promtool" "$venv/bin/" ||
        echo "could not get promtool; its tests pass without it" >&2
    rm -rf "$folder"
fi
if command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1; then
    npm ci --prefix tests/end_to_end/node --no-audit --no-fund --loglevel=error >/dev/null ||
        echo "could not install the client libraries of Node.js; their tests will fail" >&2
fi
