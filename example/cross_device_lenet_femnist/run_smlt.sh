#!/usr/bin/env bash
# Starts devices that send random weights for ever, to see the rounds of a cluster turn.
# Usage: bash run_smlt.sh <how many> <http|https> <ip:port of a Server> [checkpoint whose weights they send]
set -euo pipefail
if [ $# -lt 3 ]; then
  sed -n '3s/^# //p' "${BASH_SOURCE[0]}" >&2
  exit 2
fi
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=$(command -v python || command -v python3)

pids=()
for ((i = 0; i < $1; i++)); do
  echo "$3"
  "$python" "$here/simulator.py" --pid="$i" --http_type="$2" --http_server_address="$3" --checkpoint_path="${4:-}" \
    </dev/null >"simulator_$i.log" 2>&1 &
  pids+=($!)
done
[ ${#pids[@]} = 0 ] || echo "They run until: kill ${pids[*]}"
