#!/usr/bin/env bash
# Installs what is missing, builds the benchmarks and runs them, or only the parts named:
#
#   scripts/bench.sh                    everything
#   scripts/bench.sh attention_memory   one part
#   scripts/bench.sh rpc python         what a call costs: against plain protobuf, and against a server around PyTorch
#
# The figures end in build/bench/report.json: {"figures": [{"name", "value", "unit"}]}. Parts that did not run keep the
# figures they had there.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

"$root/scripts/install_deps.sh" test
configure "$release" CMAKE_BUILD_TYPE=Release ATTEND_TESTS=ON
compile "$release" attend-bench attend_python_stubs
report="$root/build/bench/report.json"
mkdir -p "$root/build/bench"

# The Python part is a program of its own.
parts=()
python=no
if [ "$#" -eq 0 ]; then python=yes; fi
for part in "$@"; do
  if [ "$part" = python ]; then python=yes; else parts+=("$part"); fi
done

if [ "$#" -eq 0 ] || [ "${#parts[@]}" -gt 0 ]; then "$release/bin/attend-bench" "$report" "${parts[@]}"; fi
if [ "$python" = yes ]; then
  "$root/scripts/install_deps.sh" bench || say "python3-torch cannot be installed: no comparison with it"
  /usr/bin/python3 "$root/tests/bench/python_bench.py" "$release/bin/attend-server" "$release/tests/e2e/python" "$report"
fi
