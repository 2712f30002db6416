#!/usr/bin/env bash
# A whole federated job on this machine: builds what is missing, then trains on the digits of 20 devices.
# Options go to example/quickstart/quickstart.py; --help lists them.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# The last line of stdout is the result, so everything before the job goes to stderr.
bash "$root/build.sh" >&2
bash "$root/scripts/setup_environment.sh" run >&2
exec "$root/.venv/bin/python" "$root/example/quickstart/quickstart.py" "$@"
