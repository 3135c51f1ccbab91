#!/usr/bin/env bash
# Installs what is missing, builds the benchmarks and runs them, or only the parts named:
#
#   scripts/bench.sh                    everything
#   scripts/bench.sh attention_memory   one part
#
# The part attention_accuracy compares with PyTorch and needs python3-torch, which is not installed for it: everything
# leaves it out where that is missing.
#
# The figures end in build/bench/report.json: {"figures": [{"name", "value", "unit"}]}. Parts that did not run keep the
# figures they had there.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

"$root/scripts/install_deps.sh" test
configure "$release" CMAKE_BUILD_TYPE=Release ATTEND_TESTS=ON
report="$root/build/bench/report.json"
has_torch() { /usr/bin/python3 -c 'import numpy, torch' 2>/dev/null; }

parts=()
accuracy=false
for part in "$@"; do
  if [ "$part" = attention_accuracy ]; then accuracy=true; else parts+=("$part"); fi
done
if [ "$accuracy" = true ] && ! has_torch; then die 1 "attention_accuracy needs python3-torch (apt-get install)"; fi
if [ "$#" -eq 0 ] && has_torch; then accuracy=true; fi

compile "$release" attend attend-bench
mkdir -p "$root/build/bench"
if [ "$#" -eq 0 ] || [ "${#parts[@]}" -gt 0 ]; then "$release/bin/attend-bench" "$report" "${parts[@]}"; fi
if [ "$accuracy" = true ]; then
  /usr/bin/python3 "$root/tests/bench/attention_accuracy.py" "$release/bin/attend" "$report"
fi
