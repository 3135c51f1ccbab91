#!/usr/bin/env bash
# Installs what is missing, builds the benchmarks and runs them, or only the parts named:
#
#   scripts/bench.sh                    everything
#   scripts/bench.sh attention_memory   one part
#   scripts/bench.sh rpc python         what a call costs: against plain protobuf, and against a server around PyTorch
#
# The parts attention_accuracy and python compare with PyTorch, which is installed for them, low_rank_peers with NumPy and
# SciPy.
#
# The figures end in build/bench/report.json: {"figures": [{"name", "value", "unit"}]}. Parts that did not run keep the
# figures they had there.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

"$root/scripts/install_deps.sh" test
configure "$release" CMAKE_BUILD_TYPE=Release ATTEND_TESTS=ON
report="$root/build/bench/report.json"
mkdir -p "$root/build/bench"
has_torch() { /usr/bin/python3 -c 'import numpy, torch' 2>/dev/null; }

# Three parts are programs of their own.
parts=()
accuracy=no
python=no
low_rank_peers=no
if [ "$#" -eq 0 ]; then
  accuracy=yes
  python=yes
  low_rank_peers=yes
fi
for part in "$@"; do
  case "$part" in
    attention_accuracy) accuracy=yes ;;
    python) python=yes ;;
    low_rank_peers) low_rank_peers=yes ;;
    *) parts+=("$part") ;;
  esac
done
if [ "$accuracy$python" != nono ]; then
  "$root/scripts/install_deps.sh" bench || say "python3-torch cannot be installed: no comparison with it"
fi

compile "$release" attend attend-server attend-bench attend_python_stubs
if [ "$#" -eq 0 ] || [ "${#parts[@]}" -gt 0 ]; then "$release/bin/attend-bench" "$report" "${parts[@]}"; fi
if [ "$accuracy" = yes ] && has_torch; then
  /usr/bin/python3 "$root/tests/bench/attention_accuracy.py" "$release/bin/attend" "$report"
fi
if [ "$python" = yes ]; then
  /usr/bin/python3 "$root/tests/bench/python_bench.py" "$release/bin/attend-server" "$release/tests/e2e/python" "$report"
fi
if [ "$low_rank_peers" = yes ]; then
  /usr/bin/python3 "$root/tests/bench/low_rank_peers.py" "$release/bin/attend-bench" "$report"
fi
