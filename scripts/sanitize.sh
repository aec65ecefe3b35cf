#!/bin/sh
# Builds the compiled module with AddressSanitizer and UndefinedBehaviorSanitizer in a scratch folder, and runs the tests
# in memory, those of the transports on real sockets, and each fuzzing target for a while there.
set -eu
python=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
seconds=${2:-60}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cp -r redisproxy "$scratch"
here=$PWD
cd "$scratch"
rm -f redisproxy/_native/*.so redisproxy/_native/*.c

flags="-g -O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined"
CFLAGS="$flags" LDFLAGS="$flags" "$(dirname "$python")/cythonize" -q -3 -i redisproxy/_native/core.pyx
cp -r "$here/tests" "$here/docs" "$here/bench" "$scratch"
cp "$here"/*.md "$here/config_example.json" "$here/pyproject.toml" "$scratch"

# The interpreter is built without sanitizers: theirs has to be loaded first, and what Python keeps to its end is no leak.
LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libstdc++.so)"
export LD_PRELOAD
export PYTHONPATH="$scratch" PYTHONMALLOC=malloc
export ASAN_OPTIONS="detect_leaks=0:abort_on_error=1:allocator_may_return_null=1" UBSAN_OPTIONS="print_stacktrace=1"

"$python" - <<'END'
import subprocess
from redisproxy._native import core
linked = subprocess.run(["ldd", core.__file__], capture_output=True, text=True, env={}).stdout
assert core.__file__.startswith(__import__("os").getcwd()) and "libasan" in linked, core.__file__
END
"$python" -m pytest -q -p no:cacheprovider --timeout 300 --ignore tests/end_to_end --ignore tests/test_fuzz.py
"$python" -m pytest -q -p no:cacheprovider --timeout 600 tests/test_fuzz.py
"$python" -m tests.fuzz --random --seconds "$seconds"
