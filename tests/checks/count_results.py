"""Adds up what a run of tests/runtest.sh left in its results folder; exits with 1 unless everything passed.

Standard library only, Python 3.9: it must work where the set-up failed.
"""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path


def suite_totals(path: Path) -> tuple[int, int]:
    """(passed, failed) of a JUnit file; skipped tests are neither. An unreadable file is one failure."""
    try:
        root = ElementTree.parse(path).getroot()
    except ElementTree.ParseError:
        return 0, 1
    passed = failed = 0
    for case in root.iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            failed += 1
        elif case.find("skipped") is None and case.get("status") not in {"notrun", "disabled"}:
            passed += 1
    return passed, failed


def program_totals(path: Path) -> tuple[int, int]:
    """Of ctest's file: each program's own count where it left one, else the program counts as one test."""
    passed = failed = 0
    for program in ElementTree.parse(path).getroot().iter("testcase"):
        broken = program.get("status") != "run"
        own = path.parent / f"{program.get('name')}_test.xml"
        one = suite_totals(own) if own.is_file() else (int(not broken), 0)
        # A crash or a sanitizer's report after the last test.
        if broken and one[1] == 0:
            one = one[0], 1
        passed += one[0]
        failed += one[1]
    return passed, failed


def main() -> int:
    folder = Path(sys.argv[1])
    rows: dict[str, tuple[int, int]] = {}
    checks = folder / "checks.txt"
    if checks.is_file():
        verdicts = [line.split()[0] for line in checks.read_text().splitlines()]
        rows["checks"] = verdicts.count("pass"), verdicts.count("fail")
    for path in sorted(folder.glob("*/programs.xml")):
        rows[path.parent.name] = program_totals(path)
    for name in ("fuzz", "python", "frameworks"):
        suites = [suite_totals(path) for path in sorted(folder.glob(f"{name}*.xml"))]
        if suites:
            rows[name] = sum(passed for passed, _ in suites), sum(failed for _, failed in suites)

    stages = folder / "stages.txt"
    broken = [line.split()[1] for line in stages.read_text().splitlines()] if stages.is_file() else []
    for name in broken:  # did not compile, or ended before its first test
        passed, failed = rows.get(name, (0, 0))
        rows[name] = passed, max(failed, 1)

    for name, (passed, failed) in rows.items():
        print(f"{name:10} {passed:5} passed {failed:3} failed")
    total = sum(passed for passed, _ in rows.values()), sum(failed for _, failed in rows.values())
    print(f"{total[0]} passed, {total[1]} failed")
    return 0 if total[0] and not total[1] else 1


if __name__ == "__main__":
    sys.exit(main())
