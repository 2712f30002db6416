#!/usr/bin/env bash
# Builds the wheel into build/package/. Run again, it compiles only what changed.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

usage() {
  cat <<'TEXT'
Usage: bash build.sh [-d] [-v] [-j[n]] [-t on|off] [-c on|off] [-a on|off] [-S on|off] [-h]

  -d        Debug build; the default is Release
  -v        Print the compilers' command lines
  -j[n]     At most n compilers at once; the default is one for each processor. Memory may allow fewer
  -t on     Build the C++ tests as well, default off
  -c on     Build with coverage counters, default off
  -a on     Build with AddressSanitizer, default off; to import the module, preload libasan
  -S on     Accepted for older scripts: nothing is downloaded from gitee or elsewhere, the libraries are Debian's
  -h        Print this text

System packages that are missing are installed by apt, or named if that is not possible. Python comes from .venv in
this folder, made when needed with the first Python 3.9 to 3.12 on PATH or with $MSFL_PYTHON.
TEXT
}

invalid() {
  echo "Invalid value $2 for option -$1"
  usage
  exit 1
}

switch() {  # option, value -> on or off
  case $(printf '%s' "$2" | tr '[:upper:]' '[:lower:]') in
    on) echo on ;;
    off) echo off ;;
    *) return 1 ;;
  esac
}

tests=off coverage=off sanitizer=off
build_type=Release
jobs=
verbose=
while getopts ':dvhj:t:c:a:S:' option; do
  case $option in
    d) build_type=Debug ;;
    v) verbose=1 ;;
    h)
      usage
      exit 0
      ;;
    j)
      [[ $OPTARG =~ ^[1-9][0-9]*$ ]] || invalid j "$OPTARG"
      jobs=$OPTARG
      ;;
    t) tests=$(switch t "$OPTARG") || invalid t "$OPTARG" ;;
    c) coverage=$(switch c "$OPTARG") || invalid c "$OPTARG" ;;
    a) sanitizer=$(switch a "$OPTARG") || invalid a "$OPTARG" ;;
    S) switch S "$OPTARG" >/dev/null || invalid S "$OPTARG" ;;
    :) [ "$OPTARG" = j ] || invalid "$OPTARG" '""' ;;
    *)
      echo "Unknown option -$OPTARG!"
      usage
      exit 1
      ;;
  esac
done
shift $((OPTIND - 1))
if [ $# -gt 0 ]; then
  echo "Unknown argument $1!"
  usage
  exit 1
fi

echo "---------------- MindSpore Federated: build start ----------------"
cd "$root"
mkdir -p build/package
exec 9>build/.lock
if ! flock -n 9; then
  echo "Another build of this checkout is going on; waiting for it."
  flock 9
fi

bash scripts/setup_environment.sh build 9>&-

export MSFL_BUILD_TYPE=$build_type MSFL_BUILD_JOBS=$jobs MSFL_BUILD_VERBOSE=$verbose
MSFL_CMAKE_ARGUMENTS="-DMSFL_COVERAGE=$coverage -DMSFL_SANITIZE="
[ "$sanitizer" = on ] && MSFL_CMAKE_ARGUMENTS+=address
[ "$tests" = on ] && MSFL_CMAKE_ARGUMENTS+=" -DMSFL_BUILD_TESTS=ON" && export MSFL_BUILD_ALL=1
export MSFL_CMAKE_ARGUMENTS
# Equal sources give an equal wheel, so that nobody installs it again for nothing.
export SOURCE_DATE_EPOCH=315532800

# The earlier wheel stays until there is a new one.
rm -rf build/wheel && mkdir build/wheel
# What `pip wheel` does, with the compilers' progress in sight.
.venv/bin/python - "${verbose:+loud}" 9>&- <<'PYTHON'
import sys
from setuptools import build_meta
build_meta.build_wheel("build/wheel", {} if sys.argv[1] else {"--global-option": ["--quiet"]})
PYTHON
rm -f build/package/*.whl build/package/*.whl.sha256
mv build/wheel/*.whl build/package/
rmdir build/wheel
cd build/package
for wheel in *.whl; do
  sha256sum -b "$wheel" >"$wheel.sha256"
  echo "build/package/$wheel"
done

echo "success building mindspore_federated project!"
echo "---------------- mindspore_federated: build end   ----------------"
