#!/usr/bin/env bash
# The service from buf curl, which knows nothing but what reflection tells it.
# Usage: buf_client_test.sh ATTEND_SERVER BUF
set -euo pipefail

server=$1
buf=$2
folder=$(mktemp -d)
servers=()
trap 'kill "${servers[@]}" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$folder"' EXIT
failures=0

start() { # start NAME ARGUMENTS...: runs a server; sets address
  local banner="$folder/$1"
  shift
  "$server" --listen 127.0.0.1:0 --metrics_listen off --log_level off "$@" >"$banner" &
  servers+=($!)
  until grep -q 'listening on' "$banner"; do
    kill -0 "${servers[-1]}" || { echo "the server did not start"; exit 1; }
  done
  address=$(sed -n 's/.*listening on \(127\.0\.0\.1:[0-9]*\).*/\1/p' "$banner")
}

call() { # call METHOD JSON
  "$buf" curl --protocol grpc --http2-prior-knowledge -d "$2" "http://$address/$1" 2>&1 || true
}
expect() { # expect WHAT PATTERN TEXT
  if grep -qE -- "$2" <<<"$3"; then
    echo "ok: $1"
  else
    echo "FAILED: $1: expected $2 in:"
    echo "$3"
    failures=$((failures + 1))
  fi
}

list_methods() { "$buf" curl --protocol grpc --http2-prior-knowledge --list-methods "http://$address" 2>&1 || true; }

start silent --reflection=false
expect "reflection can be switched off" 'unimplemented|not support|404' "$(list_methods)"
start talkative
methods=$(list_methods)
for method in attend.v1.AttentionService/{Attention,MatrixExp,Project,MatrixLog,GetServerInfo} grpc.health.v1.Health/{Check,Watch}; do
  expect "reflection lists $method" "^$method\$" "$methods"
done

vectors='"query":{"shape":[1,2],"floatValues":[1,2]},"key":{"shape":[1,2],"floatValues":[1,2]}'
# One key: its value comes back. 3.0f and 4.0f are AABAQAAAgEA= in base64.
expect "attention answers" 'AABAQAAAgEA=' \
  "$(call attend.v1.AttentionService/Attention "{\"heads\":{$vectors,\"value\":{\"shape\":[1,2],\"floatValues\":[3,4]}}}")"
expect "a refusal names the field" 'heads.value: got nothing' \
  "$(call attend.v1.AttentionService/Attention "{\"heads\":{$vectors}}")"
expect "a refusal has its code" 'invalid_argument' \
  "$(call attend.v1.AttentionService/Attention "{\"heads\":{$vectors}}")"
expect "health is told" 'SERVING' "$(call grpc.health.v1.Health/Check '{"service":"attend.v1.AttentionService"}')"
expect "the server tells about itself" 'onednnVersion' "$(call attend.v1.AttentionService/GetServerInfo '{}')"
exit "$failures"
