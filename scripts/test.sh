#!/usr/bin/env bash
# Installs what is missing, builds the release with its tests and runs every test. Arguments go to ctest:
#
#   scripts/test.sh                               everything
#   scripts/test.sh -L unit                       what needs no other process
#   scripts/test.sh -R Attention                  by name
#   scripts/test.sh --output-junit "$PWD/t.xml"   with a report for a CI system
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

"$root/scripts/install_deps.sh" test
export PATH="$PATH:$tools/bin"
configure "$release" CMAKE_BUILD_TYPE=Release ATTEND_TESTS=ON
compile "$release"
ctest --test-dir "$release" --output-on-failure --no-tests=error --parallel "$(nproc)" "$@"
