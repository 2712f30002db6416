"""Runs the fuzz targets: each over its corpus, then on from there for its share of the time.

::

    python run_targets.py --programs build/fuzz --python .venv/bin/python --seconds 120 [target ...]

Standard library only. Ends with 1 if there was a finding; prints how to see it again.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
# The steps of a target that is not slowed down take milliseconds; other work may go on beside it.
LIMITS = [
    "-timeout=25",
    "-rss_limit_mb=2048",
    "-malloc_limit_mb=512",
    "-max_len=65536",
    "-print_final_stats=1",
]
DICTIONARIES = dict.fromkeys(
    ("start_fl_job", "update_model", "get_model", "round_sequence", "fl_id_peek"), "messages"
)
PATIENCE = 300  # seconds beyond its share until a target that does not end is ended


@dataclass
class Outcome:
    target: str
    step: str  # corpus, or search
    seconds: float
    fault: str = ""
    skipped: str = ""


@dataclass
class Runner:
    programs: Path
    python: Path
    artifacts: Path
    seconds: float
    has_atheris: bool

    def is_there(self, target: str) -> bool:
        return (HERE / f"{target}_fuzz.py").exists() or any(self.programs.rglob(f"{target}_fuzz"))

    def command(self, target: str) -> list[str]:
        script = HERE / f"{target}_fuzz.py"
        if script.exists():
            return [str(self.python), str(script)]
        return [str(next(self.programs.rglob(f"{target}_fuzz")))]

    def run(self, target: str) -> list[Outcome]:
        if (HERE / f"{target}_fuzz.py").exists() and not self.has_atheris:
            why = "the package atheris is not installed"
            return [Outcome(target, step, 0, skipped=why) for step in ("corpus", "search")]
        corpus = HERE / "corpus" / target
        begun = self.step(target, "corpus", ["-runs=0", str(corpus)])
        if begun.fault:
            return [begun]
        with tempfile.TemporaryDirectory() as found:
            dictionary = HERE / "dictionaries" / f"{DICTIONARIES.get(target, target)}.dict"
            more = [f"-dict={dictionary}"] if dictionary.exists() else []
            more += [f"-max_total_time={max(1, round(self.seconds))}", found, str(corpus)]
            return [begun, self.step(target, "search", more)]

    def step(self, target: str, step: str, arguments: list[str]) -> Outcome:
        log = self.artifacts / f"{target}.{step}.log"
        prefix = self.artifacts / f"{target}-"
        command = [*self.command(target), *LIMITS, f"-artifact_prefix={prefix}", *arguments]
        environment = {**os.environ, "UBSAN_OPTIONS": "print_stacktrace=1"}
        began = time.monotonic()
        with log.open("wb") as output:
            try:
                done = subprocess.run(
                    command,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    stdin=subprocess.DEVNULL,
                    env=environment,
                    cwd=self.artifacts,
                    timeout=self.seconds + PATIENCE,
                )
                fault = f"ended with {done.returncode}" if done.returncode else ""
            except subprocess.TimeoutExpired:
                fault = "did not end"
        outcome = Outcome(target, step, time.monotonic() - began, fault)
        print(
            f"{'FAILED' if fault else 'ok    '} {target} {step} {outcome.seconds:.0f} s {self.figures(log)}"
        )
        if fault:
            print(f"  {fault}; the end of {log}:")
            print("  | " + "\n  | ".join(log.read_text(errors="replace").splitlines()[-60:]))
            for artifact in sorted(self.artifacts.glob(f"{target}-*")):
                print(f"  To see it again:  {' '.join(self.command(target))} {artifact}")
        sys.stdout.flush()
        return outcome

    def figures(self, log: Path) -> str:
        prefix = "stat::number_of_executed_units:"
        for line in log.read_text(errors="replace").splitlines():
            if line.startswith(prefix):
                return f"{line[len(prefix) :].strip()} executions"
        return ""


def targets() -> list[str]:
    return sorted(path.name.rpartition("_fuzz.")[0] for path in HERE.glob("*_fuzz.*"))


def has_atheris(python: Path) -> bool:
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.run([str(python), "-c", "import atheris"], **quiet).returncode == 0


def write_junit(path: Path, outcomes: list[Outcome]) -> None:
    suite = ElementTree.Element("testsuite", name="fuzz")
    for one in outcomes:
        case = ElementTree.SubElement(
            suite, "testcase", classname=one.target, name=one.step, time=f"{one.seconds:.1f}"
        )
        if one.fault:
            ElementTree.SubElement(case, "failure", message=one.fault)
        if one.skipped:
            ElementTree.SubElement(case, "skipped", message=one.skipped)
    ElementTree.ElementTree(suite).write(path, encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--programs", type=Path, default=Path("build/fuzz"), help="where CMake has built the targets")
    add("--python", type=Path, default=Path(sys.executable), help="a Python with atheris")
    add("--seconds", type=float, default=120, help="wall time of all searches together")
    add("--jobs", type=int, default=2, help="targets at a time")
    add("--artifacts", type=Path, default=Path("build/fuzz-findings"), help="for logs and findings")
    add("--junit", type=Path, help="file for the results")
    add("targets", nargs="*", metavar="target", help=f"of {', '.join(targets())}; all")
    arguments = parser.parse_args()
    chosen = arguments.targets or targets()
    unknown = sorted(set(chosen) - set(targets()))
    if unknown:
        parser.error(f"no such target: {', '.join(unknown)}")
    arguments.artifacts.mkdir(parents=True, exist_ok=True)
    python = arguments.python.absolute()
    atheris = has_atheris(python)
    if not atheris:
        print("skipped: the targets in Python, for the package atheris is not installed")
    share = arguments.seconds * arguments.jobs / len(chosen)
    runner = Runner(arguments.programs.absolute(), python, arguments.artifacts.absolute(), share, atheris)
    missing = [target for target in chosen if not runner.is_there(target)]
    if missing:
        parser.error(f"not built in {arguments.programs}: {', '.join(missing)}; see tests/fuzz/README.md")
    with ThreadPoolExecutor(arguments.jobs) as pool:
        outcomes = [outcome for done in pool.map(runner.run, chosen) for outcome in done]
    if arguments.junit:
        write_junit(arguments.junit, outcomes)
    return 1 if any(outcome.fault for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
