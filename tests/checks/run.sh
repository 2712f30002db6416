#!/usr/bin/env bash
# The checks that read the tree without running it. Needs what `bash scripts/setup_environment.sh test` installs.
# With $MSFL_RESULTS, writes one line for each check to checks.txt there.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
bin=$PWD/.venv/bin
failed=0
mkdir -p build

check() {  # name, command...
  local name=$1 verdict=pass
  shift
  "$@" >build/.check.log 2>&1 || verdict=fail
  if [ $verdict = fail ]; then
    failed=$((failed + 1))
    echo "FAILED $name"
    cat build/.check.log
  else
    echo "ok     $name"
  fi
  [ -z "${MSFL_RESULTS:-}" ] || echo "$verdict $name" >>"$MSFL_RESULTS/checks.txt"
}

# Files of the project, also in a tree that is no git checkout.
files() {
  if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
    git ls-files -z --cached --others --exclude-standard -- "$@"
  else
    find . \( -name build -o -name .venv -o -name .git -o -name '*.egg-info' -o -name '.*_cache' \) -prune -o -type f -print0
  fi
}

clang_format() {
  find ccsrc tests benchmarks -name '*.h' -print0 -o -name '*.cc' -print0 |
    xargs -0 -r clang-format-16 --dry-run -Werror
}

shell_syntax() {
  local script
  for script in build.sh .ci/run $(find scripts tests example benchmarks -name '*.sh'); do
    bash -n "$script" || return 1
  done
}

# A path of the machine that it was written on means nothing on the reader's.
machine_paths() {
  ! files | xargs -0 -r grep -nIE '(^|[^A-Za-z0-9_./-])/(work|farm|root|home)/[A-Za-z0-9_.]'
}

schema_is_complete() {  # a new .fbs must reach C++ as well
  local file
  for file in schema/*.fbs; do
    grep -qE "^foreach\(name .*\b$(basename "$file" .fbs)\b" CMakeLists.txt || { echo "$file is not in CMakeLists.txt"; return 1; }
  done
}

yaml_reference() {  # from tests/, so that the installed wheel answers
  (cd tests && "$bin/python" -m mindspore_federated.config.reference ../build/yaml.md) &&
    diff docs/yaml.md build/yaml.md
}

check "ruff check" "$bin/ruff" check --cache-dir build/.ruff_cache .
check "ruff format" "$bin/ruff" format --check --cache-dir build/.ruff_cache .
check "mypy --strict" "$bin/mypy" --cache-dir build/.mypy_cache
check "clang-format" clang_format
check "floors" "$bin/python" tests/checks/floors.py
check "schema in C++" schema_is_complete
check "docs/yaml.md is current" yaml_reference
check "shell syntax" shell_syntax
check "no paths of a machine" machine_paths
rm -f build/.check.log build/yaml.md
[ $failed = 0 ]
