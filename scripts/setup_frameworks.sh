#!/usr/bin/env bash
# An environment in build/frameworks with PyTorch, MindSpore and the wheel of build/package, for the tests of the
# trainers. Of its own, because MindSpore needs numpy<2 and both take gigabytes. A second call takes a moment.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=$root/build/frameworks
torch=torch==2.13.0
packages=("numpy<2" "mindspore>=2.10,<2.11" "pytest>=8" "pytest-asyncio>=1")

say() { printf '%s\n' "$*" >&2; }
pip() { "$venv/bin/python" -m pip --disable-pip-version-check -qq "$@"; }

# For most machines PyPI's torch is a CUDA build of several gigabytes; this one is for the CPU, or none.
torch_is_small() {
  pip install --dry-run --ignore-installed --report "$venv/torch.json" "$torch" 2>/dev/null >&2 &&
    ! grep -q '"name": *"nvidia' "$venv/torch.json"
}

wheels=("$root"/build/package/*.whl)
[ ${#wheels[@]} = 1 ] && [ -f "${wheels[0]}" ] || { say "build/package should hold one wheel; run: bash build.sh"; exit 1; }
base=$("$root/.venv/bin/python" -c 'import os, sys; print(os.path.realpath(sys.executable), sys.version.split()[0])')
wanted="$root $base $torch ${packages[*]}"
if [ "$(cat "$venv/packages.stamp" 2>/dev/null)" != "$wanted" ]; then
  say "Making build/frameworks with $torch and ${packages[*]}"
  rm -rf "$venv"
  "$root/.venv/bin/python" -m venv "$venv"
  torch_is_small && pip install "$torch" "numpy<2" >&2 ||
    say "Without PyTorch, whose tests will be skipped: here $torch would be a CUDA build or is not to be had."
  pip install "${packages[@]}" >&2
  printf '%s' "$wanted" >"$venv/packages.stamp"
fi
hash=$(sha256sum <"${wheels[0]}")
if [ "$(cat "$venv/wheel.stamp" 2>/dev/null)" != "$hash" ]; then
  pip install "${wheels[0]}" >&2
  pip install --force-reinstall --no-deps "${wheels[0]}" >&2
  printf '%s' "$hash" >"$venv/wheel.stamp"
fi
