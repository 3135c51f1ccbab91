#!/usr/bin/env bash
# Installs what is missing and builds the release: build/release/bin/attend-server and build/release/bin/attend.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

"$root/scripts/install_deps.sh" build
# A folder that was set up with tests stays so: switching back and forth would configure it each time.
configured "$release" || configure "$release" CMAKE_BUILD_TYPE=Release ATTEND_TESTS=OFF
compile "$release" attend attend-server
