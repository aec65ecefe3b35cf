#!/bin/sh
# Installs what `python -m bench` compares redisproxy with, from Debian, where it is missing.
set -eu

missing=""
for pair in redis-server:redis-server redis-benchmark:redis-tools haproxy:haproxy nutcracker:nutcracker; do
    command -v "${pair%%:*}" >/dev/null 2>&1 || [ -x "/usr/sbin/${pair%%:*}" ] || missing="$missing ${pair##*:}"
done
[ -n "$missing" ] || exit 0

as_root=""
[ "$(id -u)" -eq 0 ] || as_root="sudo"
# Run level 1 keeps the packages from starting their services: the benchmark starts its own processes.
export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
# shellcheck disable=SC2086
install() { timeout 300 $as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -q --no-install-recommends $missing; }
install || { timeout 120 $as_root apt-get update -q && install; }
