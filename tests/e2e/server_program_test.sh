#!/usr/bin/env bash
# attend-server as an operator meets it: flags, environment, signals, exit codes.
# Usage: server_program_test.sh ATTEND_SERVER
set -uo pipefail

server=$1
folder=$(mktemp -d)
failures=0
started=()
trap 'for pid in "${started[@]}"; do kill -KILL "$pid" 2>/dev/null; done; rm -rf "$folder"' EXIT

expect() { # expect WHAT WANTED GOT
  # shellcheck disable=SC2053  # what is wanted is a pattern
  if [[ "$3" == $2 ]]; then
    echo "ok: $1"
  else
    echo "FAILED: $1: wanted $2, got $3"
    failures=$((failures + 1))
  fi
}
start() { # start NAME ARGUMENTS...: runs a server and waits for its banner; sets pid and banner
  local name=$1
  shift
  "$server" "$@" >"$folder/$name.out" 2>"$folder/$name.err" &
  pid=$!
  started+=("$pid")
  until [[ -s "$folder/$name.out" ]]; do
    kill -0 "$pid" 2>/dev/null || break
  done
  banner=$(head -1 "$folder/$name.out")
}
port_in() { sed -n 's/.*listening on [^ ]*:\([0-9]*\),.*/\1/p' <<<"$1"; }

start first --listen 127.0.0.1:0 --metrics_listen 127.0.0.1:0
first=$pid
port=$(port_in "$banner")
expect "the banner is one line with addresses, ISA, oneDNN and threads" \
  "attend-server *listening on 127.0.0.1:*, metrics on http://127.0.0.1:*/metrics, *, oneDNN *thread*" "$banner"
expect "one line and no more" 1 "$(wc -l <"$folder/first.out")"

"$server" --listen "127.0.0.1:$port" --metrics_listen off >"$folder/taken.out" 2>"$folder/taken.err"
expect "a taken port is exit code 1" 1 $?
expect "and says which" "*127.0.0.1:$port*" "$(tail -1 "$folder/taken.err")"

kill -XFSZ "$first"
kill -TERM "$first"
wait "$first"
expect "SIGTERM ends it cleanly, a file size limit not at all" 0 $?

# Whichever thread gets the signal: the first may not wait for it yet.
unclean=0
for i in {1..20}; do
  start "hasty$i" --listen 127.0.0.1:0 --metrics_listen off
  kill -TERM "$pid"
  wait "$pid" || unclean=$((unclean + 1))
done
expect "SIGTERM ends it cleanly as soon as it has said that it listens" 0 "$unclean"

ATTEND_LISTEN=127.0.0.1:0 ATTEND_METRICS_LISTEN=off ATTEND_COMPUTE_THREADS=3 start environment
expect "the environment sets flags" "*metrics off*3 threads*" "$banner"
kill -INT "$pid"
wait "$pid"
expect "SIGINT ends it cleanly" 0 $?

printf 'listen = "127.0.0.1:0"\nmetrics_listen = "off"\ncompute_threads = 5\n' >"$folder/attend.toml"
start file --config "$folder/attend.toml" --compute_threads 4
expect "a config file sets flags, a flag goes before it" "*metrics off*4 threads*" "$banner"
kill -TERM "$pid"
wait "$pid"

for arguments in "--no_such_flag" "--listen nonsense" "--compute_threads -3" "--max_message_bytes 12XB" \
  "--log_level loud" "--config $folder/missing.toml"; do
  # shellcheck disable=SC2086  # the words are separate arguments
  "$server" $arguments >"$folder/bad.out" 2>"$folder/bad.err"
  expect "'$arguments' is exit code 2" 2 $?
  flag=${arguments%% *}
  expect "and the message names $flag" "*${flag#--}*" "$(cat "$folder/bad.err")"
done
expect "--help shows the groups" "*--listen*--metrics_listen*--compute_threads*--memory_budget*" "$("$server" --help)"
expect "--version" "*attend-server [0-9]*" "$("$server" --version)"
exit "$failures"
