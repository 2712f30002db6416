#!/usr/bin/env bash
# Everything that must hold, in one command. The last line of its output is "N passed, N failed".
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root" || exit 1
stages=(checks cpp asan tsan fuzz python frameworks)

usage() {
  cat <<'TEXT'
Usage: bash tests/runtest.sh [checks] [cpp] [asan] [tsan] [fuzz] [python] [frameworks] [-- <arguments of pytest, paths from tests/>]
  checks  what reads the tree without running it, tests/checks/run.sh
  cpp     C++ tests as GCC builds the release
  asan    C++ tests, GCC with AddressSanitizer and UndefinedBehaviorSanitizer
  tsan    C++ tests, clang-16 with ThreadSanitizer
  fuzz    the fuzz targets of tests/fuzz: each over its corpus, then all of them for two minutes
  python  tests/ut/python, tests/st and tests/faults, with the wheel of build/package installed in .venv
  frameworks  the trainers on PyTorch and MindSpore, in an environment of their own in build/frameworks (3.7 GB)
Without a name, all of them. Results are left in build/test-results.
TEXT
}

selected=()
while [ $# -gt 0 ]; do
  case $1 in
    checks | cpp | asan | tsan | fuzz | python | frameworks) selected+=("$1") ;;
    -h | --help)
      usage
      exit 0
      ;;
    --)
      shift
      break
      ;;
    *)
      usage >&2
      exit 2
      ;;
  esac
  shift
done
[ ${#selected[@]} -gt 0 ] || selected=("${stages[@]}")
pytest_arguments=("$@")

# Two runs in one checkout would build over each other; two checkouts share nothing.
mkdir -p build
exec 8>build/.test.lock
if ! flock -n 8; then
  echo "Another run of the tests in this checkout is going on; waiting for it."
  flock 8
fi

results=$root/build/test-results
rm -rf "$results"
mkdir -p "$results"
export MSFL_RESULTS=$results
# Speaks the reader's language nowhere: output is compared.
export LC_ALL=C.UTF-8
# Compiled once, used by every checkout that has the same source.
export CCACHE_BASEDIR=$root
export CCACHE_SLOPPINESS=pch_defines,time_macros  # without which it leaves users of precompiled headers alone
unset PYTHONPATH PYTHONHOME GTEST_FILTER

stage() {  # name, command...: runs it and notes a failure that left no test result behind
  local name=$1 began=$SECONDS
  shift
  echo "==== $name"
  if "$@" 8>&-; then
    echo "---- $name passed in $((SECONDS - began)) s"
  else
    echo "---- $name FAILED after $((SECONDS - began)) s"
    echo "fail $name" >>"$results/stages.txt"
  fi
}

finish() {
  echo "==== summary"
  python3 tests/checks/count_results.py "$results"
}

set_up() { bash build.sh && bash scripts/setup_environment.sh test; }

build_tree() {  # folder, arguments of cmake
  local tree=$1
  shift
  # Configured anew only for other arguments; Ninja itself sees to changed CMake files.
  if [ ! -f "$tree/build.ninja" ] || [ "$(cat "$tree/.arguments" 2>/dev/null)" != "$*" ]; then
    cmake -S . -B "$tree" -G Ninja "$@" || return 1
    echo "$*" >"$tree/.arguments"
  fi
  cmake --build "$tree" --parallel "$(bash scripts/build_jobs.sh)"
}

cpp_tests() {  # name, folder, arguments of cmake
  local name=$1 tree=$2
  shift 2
  build_tree "$tree" -DMSFL_BUILD_TESTS=ON "$@" || return 1
  mkdir -p "$results/$name"
  GTEST_OUTPUT=xml:$results/$name/ ctest --test-dir "$tree" --output-on-failure --no-tests=error --timeout 300 \
    --parallel "$(nproc)" --output-junit "$results/$name/programs.xml"
}

# -O1 -g1: half the compiling time of -O2, and reports with line numbers.
sanitized() {  # name, kind, compiler, further arguments of cmake
  cpp_tests "$1" "build/$1" -DMSFL_BUILD_MODULE=OFF -DMSFL_SANITIZE="$2" -DCMAKE_CXX_COMPILER="$3" \
    -DCMAKE_BUILD_TYPE=None -DCMAKE_CXX_FLAGS="-O1 -g1" "${@:4}"
}

fuzz_tests() {
  build_tree build/fuzz -DMSFL_BUILD_FUZZERS=ON -DMSFL_BUILD_MODULE=OFF -DMSFL_PRECOMPILE=OFF \
    -DCMAKE_CXX_COMPILER=clang++-16 -DCMAKE_BUILD_TYPE=None -DCMAKE_CXX_FLAGS="-O1 -g1" || return 1
  python3 tests/fuzz/run_targets.py --programs build/fuzz --python .venv/bin/python --seconds 120 --jobs 2 \
    --artifacts "$results/fuzz" --junit "$results/fuzz.xml"
}

run_stage() {
  case $1 in
    checks) bash tests/checks/run.sh ;;
    # The wheel's own build folder: its objects are there already.
    cpp) cpp_tests cpp "build/core-$(.venv/bin/python -c 'import sys; print(sys.implementation.cache_tag)')" ;;
    # Compiled as the release is: GCC ends the lives of a coroutine's parameters in its own order.
    asan) sanitized asan address g++ ;;
    # The other compiler, and the bindings as well, for its warnings.
    tsan) sanitized tsan thread clang++-16 -DMSFL_BUILD_MODULE=ON -DPython_EXECUTABLE="$root/.venv/bin/python" ;;
    fuzz) fuzz_tests ;;
    python) python_tests ;;
    frameworks) framework_tests ;;
  esac
}

python_tests() (
  # From tests/, so that no import finds the source tree in place of the installed wheel.
  cd tests || exit 1
  place=$(../.venv/bin/python -c 'import mindspore_federated as m; print(m.__file__)') || exit 1
  case $place in
    "$root"/.venv/*) ;;
    *)
      echo "mindspore_federated is imported from $place instead of .venv"
      exit 1
      ;;
  esac
  local paths=(ut/python st faults) argument
  for argument in ${pytest_arguments[@]+"${pytest_arguments[@]}"}; do
    [ -e "${argument%%::*}" ] && paths=()
  done
  if [ ${#pytest_arguments[@]} -gt 0 ]; then
    run_pytest python ${paths[@]+"${paths[@]}"} "${pytest_arguments[@]}"
    exit
  fi
  # Side by side: both wait more than they work. What comes second is shown when it is complete.
  run_pytest python-ut ut/python >"$results/python-ut.log" 2>&1 &
  local unit=$! failed=0
  run_pytest python-st st faults || failed=1
  wait "$unit" || failed=1
  cat "$results/python-ut.log"
  exit "$failed"
)

run_pytest() {  # name of the results, arguments of pytest
  local name=$1
  shift
  # A run in the background ignores Ctrl-C, and so would the processes whose answer to it is tested.
  local heed='import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])'
  ../.venv/bin/python -c "$heed" ../.venv/bin/pytest -W error --junit-xml "$results/$name.xml" \
    -o cache_dir="$root/build/.pytest_cache_$name" "$@"
}

framework_tests() (
  bash scripts/setup_frameworks.sh || exit 1
  cd tests || exit 1
  exec ../build/frameworks/bin/python -m pytest -W error --junit-xml "$results/frameworks.xml" -p no:cacheprovider \
    ut/python/client/test_framework_trainers.py ut/python/checkpoint/test_mindspore.py \
    ut/python/example/test_lenet_networks.py st/test_walkthroughs.py::test_devices_with_handwriting
)

stage set-up set_up
if [ -f "$results/stages.txt" ]; then
  finish
  exit 1
fi
for name in "${selected[@]}"; do
  stage "$name" run_stage "$name"
done
finish
