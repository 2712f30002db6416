"""Builds what setuptools cannot: the C++ core with CMake, and the wire schema's Python with flatc."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
SYSTEM_PACKAGES = "bash scripts/setup_environment.sh build"


def require(tool: str) -> str:
    path = shutil.which(tool)
    if path is None:
        sys.exit(f"{tool} is not on PATH. In a checkout `{SYSTEM_PACKAGES}` installs or names it.")
    return path


def run(*command: str) -> None:
    code = subprocess.run(command).returncode
    if code != 0:
        sys.exit(f"{Path(command[0]).name} failed with code {code}; see above.")


class BuildPython(build_py):
    def run(self) -> None:
        package = Path(self.get_package_dir("mindspore_federated") or "mindspore_federated")
        if not self.editable_mode:
            package = Path(self.build_lib) / "mindspore_federated"
            # What was deleted from the sources must not live on in the next wheel.
            shutil.rmtree(package, ignore_errors=True)
        super().run()
        self.generate_schema(package / "schema")

    def generate_schema(self, package: Path) -> None:
        schemas = sorted(str(path) for path in (ROOT / "schema").glob("*.fbs"))
        with tempfile.TemporaryDirectory() as folder:
            run(require("flatc"), "--python", "-I", str(ROOT / "schema"), "-o", folder, *schemas)
            shutil.rmtree(package, ignore_errors=True)
            # flatc makes the namespace's parent as well; its empty __init__.py must not replace ours.
            shutil.copytree(Path(folder) / "mindspore_federated" / "schema", package)
        (package / "__init__.py").write_text('"""The wire\'s tables, generated from schema/*.fbs."""\n')


class BuildCore(build_ext):
    def build_extension(self, ext: Extension) -> None:
        import pybind11

        target = Path(self.get_ext_fullpath(ext.name)).resolve()
        tree = ROOT / "build" / f"core-{sys.implementation.cache_tag}"
        os.environ.setdefault("CCACHE_BASEDIR", str(ROOT))
        os.environ.setdefault("CCACHE_SLOPPINESS", "pch_defines,time_macros")
        build_type = os.environ.get("MSFL_BUILD_TYPE", "Release")
        configure = [
            require("cmake"),
            *("-S", str(ROOT), "-B", str(tree), "-G", "Ninja"),
            f"-DCMAKE_MAKE_PROGRAM={require('ninja')}",
            f"-DCMAKE_BUILD_TYPE={build_type}",
            f"-DPython_EXECUTABLE={sys.executable}",
            f"-Dpybind11_DIR={pybind11.get_cmake_dir()}",
            f"-DMSFL_VERSION={self.distribution.get_version()}",
            "-DMSFL_BUILD_MODULE=ON",
            *os.environ.get("MSFL_CMAKE_ARGUMENTS", "").split(),
        ]
        run(*configure)
        jobs = ["bash", str(ROOT / "scripts" / "build_jobs.sh"), os.environ.get("MSFL_BUILD_JOBS", "")]
        count = subprocess.run(jobs, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
        build = [require("cmake"), "--build", str(tree), "--parallel", count]
        if not os.environ.get("MSFL_BUILD_ALL"):
            build += ["--target", "_core"]
        if os.environ.get("MSFL_BUILD_VERBOSE"):
            build.append("--verbose")
        run(*build)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(tree / "ccsrc" / target.name, target)


setup(
    ext_modules=[Extension("mindspore_federated._core", sources=[])],
    cmdclass={"build_py": BuildPython, "build_ext": BuildCore},
)
