#!/usr/bin/env bash
# Installs what is missing, builds the benchmarks and runs them, or only the parts named:
#
#   scripts/bench.sh                    everything
#   scripts/bench.sh attention_memory   one part
#
# The figures end in build/bench/report.json: {"figures": [{"name", "value", "unit"}]}. Parts that did not run keep the
# figures they had there.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

"$root/scripts/install_deps.sh" test
configure "$release" CMAKE_BUILD_TYPE=Release ATTEND_TESTS=ON
compile "$release" attend-bench
mkdir -p "$root/build/bench"
exec "$release/bin/attend-bench" "$root/build/bench/report.json" "$@"
