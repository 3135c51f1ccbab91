#!/usr/bin/env bash
# Installs what is missing, builds the release and runs a real sentence through a real transformer layer, with no
# server to start: the picture ends in build/street-attention.png. Arguments go to `attend demo`.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

"$root/scripts/build.sh" >&2
picture=(--picture "$root/build/street-attention.png")
if [[ " $*" == *" --picture"* ]]; then picture=(); fi
exec "$release/bin/attend" demo "${picture[@]}" "$@"
