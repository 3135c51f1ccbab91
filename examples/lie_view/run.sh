#!/usr/bin/env bash
# Asks a server for the Lie view of a real sentence in a real transformer layer; prints tables and writes three pictures.
# Hosts the server itself unless ATTEND_TARGET (HOST:PORT) names one. Arguments go to `attend lie-view`.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib.sh"

"$root/scripts/build.sh" >&2
pictures="$root/build/lie_view"
mkdir -p "$pictures"
if [[ " $*" == *" --pictures"* ]]; then exec "$release/bin/attend" lie-view "$@"; fi
exec "$release/bin/attend" lie-view --pictures "$pictures" "$@"
