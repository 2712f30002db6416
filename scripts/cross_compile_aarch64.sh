#!/usr/bin/env bash
# Compiles the core for 64-bit ARM on another machine (Debian 12), into build/aarch64. The ARM libraries are unpacked
# below that folder; this machine's package database learns of none of them.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tree=$root/build/aarch64
sysroot=$tree/sysroot
mirror=${MSFL_DEBIAN_MIRROR:-http://deb.debian.org/debian}
libraries=(libc6-dev libstdc++-12-dev libboost1.81-dev libssl-dev libhiredis-dev libflatbuffers-dev libxxhash-dev
           libpython3.11-dev)

if [ $# -gt 0 ]; then
  cat <<'TEXT'
Usage: bash scripts/cross_compile_aarch64.sh
Environment: MSFL_DEBIAN_MIRROR  where the ARM packages come from, default http://deb.debian.org/debian
             MSFL_PYTHON         the Python (3.11, as in the sysroot) whose pybind11 is taken, default that of .venv
             MSFL_BUILD_JOBS     compilers at once
TEXT
  exit 2
fi

# An apt of its own: other architecture, no installed packages, nothing outside the folder is written.
fetch_packages() {
  local apt=$tree/apt
  rm -rf "$apt" && mkdir -p "$apt"/{lists/partial,cache/archives/partial,log,conf.d,preferences.d,sources.d}
  : >"$apt/status"
  echo "deb $mirror bookworm main" >"$apt/sources.list"
  cat >"$apt/apt.conf" <<TEXT
APT { Architecture "arm64"; Architectures { "arm64"; }; Install-Recommends "false"; Sandbox::User "root"; };
Acquire::Languages "none";
Dir {
  State "$apt"; State::lists "$apt/lists"; State::status "$apt/status"; Cache "$apt/cache"; Log "$apt/log";
  Etc::sourcelist "$apt/sources.list"; Etc::sourceparts "$apt/sources.d"; Etc::parts "$apt/conf.d";
  Etc::preferences "$apt/preferences"; Etc::preferencesparts "$apt/preferences.d";
};
TEXT
  APT_CONFIG=$apt/apt.conf apt-get -qq update
  APT_CONFIG=$apt/apt.conf apt-get -qq -y --download-only -o Debug::NoLocking=1 install "${libraries[@]}"
}

unpack() {
  local package
  rm -rf "$sysroot.new" && mkdir -p "$sysroot.new"/usr/{bin,lib,sbin}
  # Programs of the libraries' dependencies are of no use here.
  for package in bin lib sbin; do ln -s "usr/$package" "$sysroot.new/$package"; done
  for package in "$tree"/apt/cache/archives/*.deb; do
    dpkg-deb --fsys-tarfile "$package" | tar -x -C "$sysroot.new" --keep-directory-symlink --exclude='./usr/share/doc'
  done
  printf '%s\n' "$mirror ${libraries[*]}" >"$sysroot.new/stamp"
  rm -rf "$sysroot" "$tree/apt" && mv "$sysroot.new" "$sysroot"
}

bash "$root/scripts/setup_environment.sh" cross
[ -n "${MSFL_PYTHON:-}" ] || bash "$root/scripts/setup_environment.sh" build
python=${MSFL_PYTHON:-$root/.venv/bin/python}
pybind11=$("$python" -c 'import pybind11; print(pybind11.get_cmake_dir())')

mkdir -p "$tree"
if [ "$(cat "$sysroot/stamp" 2>/dev/null)" != "$mirror ${libraries[*]}" ]; then
  echo "Fetching the ARM libraries: ${libraries[*]}"
  fetch_packages
  unpack
fi

cmake -S "$root" -B "$tree/core" -G Ninja --toolchain "$root/scripts/aarch64-linux-gnu.cmake" \
  -DMSFL_SYSROOT="$sysroot" -DCMAKE_BUILD_TYPE=Release -DMSFL_BUILD_MODULE=ON \
  -DPython_EXECUTABLE="$python" -DPython_INCLUDE_DIR="$sysroot/usr/include/python3.11" \
  -DPYTHON_MODULE_EXTENSION=.cpython-311-aarch64-linux-gnu.so -Dpybind11_DIR="$pybind11"
cmake --build "$tree/core" --target _core --parallel "$(bash "$root/scripts/build_jobs.sh" "${MSFL_BUILD_JOBS:-}")"

core=$tree/core/ccsrc/_core.cpython-311-aarch64-linux-gnu.so
file "$core"
file "$core" | grep -q 'ELF 64-bit LSB shared object, ARM aarch64'
