#!/usr/bin/env bash
# Prints how many compilers may run at once: no more than processors, than memory allows, and than $1 (if given).
# One Asio or Beast file takes up to 1 GB, so a plain -j on a small machine ends in the kernel's out-of-memory killer.
set -eu
megabytes_each=1200

jobs=$(nproc)
[ -n "${1:-}" ] && jobs=$1
available=$(awk '/^MemAvailable:/ {print int($2 / 1024)}' /proc/meminfo)
limit=$(cat /sys/fs/cgroup/memory.max 2>/dev/null || echo max)
if [ "$limit" != max ]; then
  left=$(((limit - $(cat /sys/fs/cgroup/memory.current)) / 1048576))
  [ "$left" -lt "$available" ] && available=$left
fi
by_memory=$((available / megabytes_each))
[ "$by_memory" -lt 1 ] && by_memory=1
[ "$jobs" -gt "$by_memory" ] && jobs=$by_memory
echo "$jobs"
