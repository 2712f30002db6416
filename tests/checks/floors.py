"""Checks that imports only go down: C++ as ccsrc/CMakeLists.txt links, Python by the table below."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "mindspore_federated"

# What each part of the package may import, itself aside. `_core` is the extension, `schema` is generated.
PYTHON_FLOORS: dict[str, frozenset[str]] = {
    "log": frozenset(),
    "machine": frozenset({"log"}),
    "schema": frozenset(),
    "config": frozenset({"log", "_core"}),
    "cache": frozenset({"log", "config"}),
    "checkpoint": frozenset({"log"}),
    "privacy": frozenset({"log"}),
    "monitoring": frozenset({"log", "config"}),
    "client": frozenset({"log", "schema", "checkpoint", "privacy", "_core"}),
    "scheduler": frozenset(
        {"log", "schema", "config", "cache", "checkpoint", "monitoring", "client", "_core"}
    ),
    "startup": frozenset({"log", "machine", "config", "cache", "checkpoint", "monitoring", "scheduler"})
    | {"_core"},
    "trainer": frozenset({"log", "config", "checkpoint", "privacy", "client", "startup"}),
    "simulation": frozenset({"log", "config", "checkpoint", "privacy", "client", "startup", "trainer"}),
    "cli": frozenset({"log", "config", "checkpoint", "privacy", "scheduler", "client", "startup"})
    | {"machine", "cache", "monitoring", "trainer", "simulation", "_core"},
    "common": frozenset(),  # the reference's path of one tool
}

# Libraries that one floor alone may include.
CPP_LIBRARIES = {"pybind11/": "python", "hiredis/": "cache"}


def cpp_floors() -> dict[str, set[str]]:
    """Each floor with all floors below it, as linked."""
    text = (ROOT / "ccsrc" / "CMakeLists.txt").read_text()
    floors: dict[str, set[str]] = {}
    for line in re.findall(r"^msfl_floor\(([^)]*)\)", text, re.MULTILINE):
        name, *links = line.split()
        below = {link.removeprefix("msfl_") for link in links if link.startswith("msfl_")}
        if unknown := below - floors.keys():
            raise SystemExit(f"ccsrc/CMakeLists.txt: {name} links {sorted(unknown)}, which stand(s) no lower")
        floors[name] = below.union(*(floors[other] for other in below))
    floors["python"] = set(floors)
    return floors


def check_cpp() -> Iterator[str]:
    floors = cpp_floors()
    folders = {path.name for path in (ROOT / "ccsrc").iterdir() if path.is_dir() and any(path.rglob("*.cc"))}
    for folder in sorted(folders - floors.keys()):
        yield f"ccsrc/{folder} is no floor of ccsrc/CMakeLists.txt"
    for path in sorted((ROOT / "ccsrc").rglob("*")):
        floor = path.relative_to(ROOT / "ccsrc").parts[0]
        if path.suffix not in {".h", ".cc"} or floor not in floors:
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            included = re.match(r'\s*#\s*include\s*[<"]([^>"]+)[>"]', line)
            if included is None:
                continue
            target = included[1]
            where = f"{path.relative_to(ROOT)}:{number}"
            folder = target.split("/")[0]
            if folder in floors and folder != floor and folder not in floors[floor]:
                yield f"{where}: {floor} includes {target}, which does not stand below it"
            for library, owner in CPP_LIBRARIES.items():
                if target.startswith(library) and floor != owner:
                    yield f"{where}: only {owner} includes {library}"


def imported_parts(tree: ast.Module, package: list[str]) -> Iterator[tuple[int, str]]:
    """Line and part of the package for each import; `package` is where relative imports start."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            names = [module] if module != PACKAGE else [f"{PACKAGE}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            if name.startswith(PACKAGE + "."):
                yield node.lineno, name.split(".")[1]


def check_python() -> Iterator[str]:
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        relative = path.relative_to(ROOT)
        part = relative.parts[1].removesuffix(".py")
        if part == "schema" or part == "__init__":
            continue
        if part not in PYTHON_FLOORS:
            yield f"{relative}: {part} is not in the table of tests/checks/floors.py"
            continue
        tree = ast.parse(path.read_text(), str(relative))
        if path.name == "__init__.py" and not ast.get_docstring(tree):
            yield f"{relative}: says in no line what the folder is for"
        for line, target in imported_parts(tree, list(relative.parent.parts)):
            if target != part and target not in PYTHON_FLOORS[part]:
                yield f"{relative}:{line}: {part} imports {target}, which does not stand below it"


def main() -> int:
    faults = [*check_cpp(), *check_python()]
    print(*faults, sep="\n", end="\n" if faults else "")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
