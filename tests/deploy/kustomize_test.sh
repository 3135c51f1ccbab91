#!/usr/bin/env bash
# Renders the Kubernetes manifests and checks what the cluster would get.
#
#   kustomize_test.sh KUBECTL FOLDER
set -euo pipefail

rendered=$("$1" kustomize "$2")

fail() {
  printf '%s\n\nin the rendered manifests:\n%s\n' "$1" "$rendered" >&2
  exit 1
}

# document KIND: the rendered document of that kind.
document() {
  awk -v kind="kind: $1" 'BEGIN { RS = "---\n" } index($0, kind "\n") { print; found = 1 } END { exit !found }' \
    <<<"$rendered"
}

# holds TEXT LINE...: whether the lines, indentation aside, follow one another in the text.
holds() {
  local text wanted
  # shellcheck disable=SC2001  # per line
  text=$(sed 's/^[- ]*//' <<<"$1")
  shift
  wanted=$(printf '%s\n' "$@")
  [[ $'\n'"$text"$'\n' == *$'\n'"$wanted"$'\n'* ]]
}

# setting TEXT NAME: the number behind "NAME: ".
setting() { sed -n "s/^[- ]*$2[:=] *\"\{0,1\}\([0-9]*\).*/\1/p" <<<"$1" | head -n 1; }

deployment=$(document Deployment) || fail 'there is no Deployment'
for probe in startupProbe readinessProbe livenessProbe; do
  block=$(awk -v probe="$probe:" '$1 == probe { on = 1; match($0, /^ */); depth = RLENGTH; print; next }
    on { match($0, /^ */); if (RLENGTH <= depth) exit; print }' <<<"$deployment")
  holds "$block" 'grpc:' 'port: 50051' || fail "$probe is no gRPC probe on port 50051"
done
holds "$deployment" 'containerPort: 50051' 'name: grpc' || fail 'port 50051 is not named grpc'
holds "$deployment" 'readOnlyRootFilesystem: true' || fail 'the root file system is writable'
holds "$deployment" 'drop:' 'ALL' || fail 'capabilities are kept'
holds "$deployment" 'seccompProfile:' 'type: RuntimeDefault' || fail 'there is no seccomp profile'

grace=$(setting "$deployment" '--shutdown_grace_seconds')
allowed=$(setting "$deployment" terminationGracePeriodSeconds)
[ "$allowed" -gt "$grace" ] || fail "the pod is killed after $allowed s, within the server's grace of $grace s"

service=$(document Service) || fail 'there is no Service'
holds "$service" 'clusterIP: None' || fail 'the Service is not headless'
holds "$service" 'port: 50051' 'targetPort: grpc' || fail 'the Service does not lead to port 50051'

label='app.kubernetes.io/name: attend'
holds "$service" 'selector:' "$label" || fail 'the Service selects other pods'
holds "$deployment" 'matchLabels:' "$label" || fail 'the Deployment selects other pods'
echo "Deployment with gRPC probes and headless Service: as they should be"
