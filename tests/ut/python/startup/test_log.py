"""The log: environment, levels, format, files."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from mindspore_federated import log

LINE = re.compile(
    r"\[(?P<level>[A-Z]+)\] FEDERATED\((?P<pid>\d+):(?P<tid>\d+),MainProcess\):"
    r"\d{4}-\d\d-\d\d-\d\d:\d\d:\d\d\.\d{3}\.\d{3} \[(?P<path>[^:\]]+):(?P<line>\d+)\] (?P<text>.*)"
)
SPEAK = """from mindspore_federated import log
for name in ('debug', 'info', 'warning', 'error'):
    getattr(log, name)('%s %d', name, 5)"""


def speak(code: str = SPEAK, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("GLOG_", "logger_", "MS_"))}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", f"import sys; sys.path[:] = {sys.path!r}\n{code}"],
        capture_output=True,
        text=True,
        env={**clean, **environment},
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_levels(level: int) -> None:
    run = speak(GLOG_v=str(level))
    found = [LINE.fullmatch(line) for line in run.stderr.splitlines()]
    assert all(found)
    assert [m["level"] for m in found if m] == ["DEBUG", "INFO", "WARNING", "ERROR"][level:]
    assert found[-1] is not None
    assert found[-1]["text"] == "error 5"
    assert run.stdout == ""


def test_the_default_is_warning() -> None:
    assert len(speak().stderr.splitlines()) == 2


@pytest.mark.parametrize(
    ("environment", "speaks"), [({}, True), ({"GLOG_v": "1"}, True), ({"GLOG_v": "2"}, False)]
)
def test_progress_is_told_unless_a_level_forbids_it(environment: dict[str, str], speaks: bool) -> None:
    errors = speak("from mindspore_federated import log\nlog.progress('step %d', 3)", **environment).stderr
    match = LINE.fullmatch(errors.strip())
    assert (match is not None) is speaks
    if match is not None:
        assert (match["level"], match["path"], match["text"]) == ("INFO", "<string>", "step 3")


@pytest.mark.parametrize(
    ("environment", "text"),
    [
        (
            {"GLOG_v": "4"},
            "Incorrect log level:4, Please check the configuration of GLOG_v or GLOG_stderrthreshold",
        ),
        ({"GLOG_logtostderr": "2"}, "Incorrect value, The value of GLOG_logtostderr must be 0 or 1"),
        ({"GLOG_logtostderr": "0"}, "GLOG_log_dir cannot be empty."),
        (
            {"GLOG_logtostderr": "0", "GLOG_log_dir": "/no/such"},
            "The file path does not exist. GLOG_log_dir:/no/such",
        ),
        (
            {"GLOG_logtostderr": "0", "GLOG_log_dir": "/tmp", "logger_maxBytes": "x"},
            "The value of logger_maxBytes must be positive integer. logger_maxBytes:x",
        ),
        (
            {"GLOG_logtostderr": "0", "GLOG_log_dir": "/tmp", "logger_backupCount": "0"},
            "The value of logger_backupCount must be positive integer. logger_backupCount:0",
        ),
        (
            {"GLOG_logtostderr": "0", "GLOG_log_dir": "/tmp", "GLOG_max_log_size": "0.5"},
            "The value of GLOG_max_log_size must be positive integer. GLOG_max_log_size:0.5",
        ),
        (
            {"GLOG_logtostderr": "0", "GLOG_log_dir": "/tmp", "GLOG_logfile_mode": "0680"},
            "The value of GLOG_logfile_mode must be an octal file mode, such as 0640. GLOG_logfile_mode:0680",
        ),
        (
            {"GLOG_logtostderr": "0", "GLOG_log_dir": "/tmp", "GLOG_stderrthreshold": "x"},
            "Incorrect log level:x, Please check the configuration of GLOG_v or GLOG_stderrthreshold",
        ),
        (
            {"MS_SUBMODULE_LOG_v": "{FEDERATED:7}"},
            "Incorrect log level:7, Please check the configuration of MS_SUBMODULE_LOG_v",
        ),
    ],
)
def test_a_wrong_environment(environment: dict[str, str], text: str) -> None:
    run = speak(**environment)
    assert run.returncode == 1
    assert f"ValueError: {text}" in run.stderr or text in run.stderr.splitlines()[-1]


def test_a_file(tmp_path: Path) -> None:
    run = speak(
        SPEAK + "\nprint(log.get_log_config(), log.get_level(), __import__('os').getpid())",
        GLOG_logtostderr="0",
        GLOG_log_dir=str(tmp_path),
        GLOG_v="1",
        GLOG_stderrthreshold="3",
    )
    pid = run.stdout.split()[-1]
    (file,) = tmp_path.iterdir()
    assert file.name == f"mindspore_federated.log.{pid}"
    assert len(file.read_text().splitlines()) == 3
    assert len(run.stderr.splitlines()) == 1
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert "'logger_maxBytes': '52428800'" in run.stdout
    assert "'GLOG_v': '1'" in run.stdout


def test_rotated_files_are_read_only(tmp_path: Path) -> None:
    code = "from mindspore_federated import log\nfor _ in range(20): log.error('x' * 100)"
    speak(
        code, GLOG_logtostderr="0", GLOG_log_dir=str(tmp_path), logger_maxBytes="1000", logger_backupCount="2"
    )
    files = sorted(tmp_path.iterdir())
    assert len(files) == 3
    assert [stat.S_IMODE(f.stat().st_mode) for f in files] == [0o640, 0o440, 0o440]


@pytest.mark.parametrize(
    ("environment", "size", "mode"),
    [
        ({"GLOG_max_log_size": "3", "GLOG_logfile_mode": "0600"}, 3 << 20, 0o600),
        ({"GLOG_max_log_size": "3", "logger_maxBytes": "1000", "GLOG_logfile_mode": "644"}, 1000, 0o644),
    ],
)
def test_size_and_mode_of_a_file(tmp_path: Path, environment: dict[str, str], size: int, mode: int) -> None:
    code = (
        "from mindspore_federated import log\nlog.error('x')\nprint(log.get_log_config()['logger_maxBytes'])"
    )
    run = speak(code, GLOG_logtostderr="0", GLOG_log_dir=str(tmp_path), **environment)
    assert run.stdout == f"{size}\n"
    (file,) = tmp_path.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == mode


@pytest.mark.parametrize(
    ("text", "lines"),
    [("{FEDERATED:1}", 3), ("{ PARSER:0, FEDERATED:0 }", 4), ("FEDERATED:3", 1), ("{PARSER:0}", 2), ("", 2)],
)
def test_the_level_of_the_submodule_goes_first(text: str, lines: int) -> None:
    assert len(speak(GLOG_v="2", MS_SUBMODULE_LOG_v=text).stderr.splitlines()) == lines


def test_an_event_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    log.error("%s", "a\nb\r\x1b[2J\tc\u2028d\x85e\x00 \u00e4\u8054")
    try:
        raise KeyError("gone")
    except KeyError:
        log._get().exception("caught")
    first, second = capsys.readouterr().err.splitlines()
    assert first.endswith("a\\nb\\r\\x1b[2J\tc\\u2028d\\x85e\\x00 \u00e4\u8054")
    assert "caught\\nTraceback" in second


def test_half_a_character_is_written(tmp_path: Path) -> None:
    code = "from mindspore_federated import log\nlog.error('a\\udc80b')"
    run = speak(code, GLOG_logtostderr="0", GLOG_log_dir=str(tmp_path))
    (file,) = tmp_path.iterdir()
    assert file.read_text().endswith("a\\udc80b\n")
    assert "Traceback" not in run.stderr


def test_a_forked_child_has_its_own_file(tmp_path: Path) -> None:
    code = "import os\nfrom mindspore_federated import log\nlog.error('parent')\npid = os.fork()\n"
    code += "log.error('child') if not pid else os.waitpid(pid, 0)"
    speak(code, GLOG_logtostderr="0", GLOG_log_dir=str(tmp_path))
    contents = sorted(file.read_text().rpartition("] ")[2].strip() for file in tmp_path.iterdir())
    assert contents == ["child", "parent"]


def test_lines_of_the_core(capsys: pytest.CaptureFixture[str]) -> None:
    log.from_core(3, "100% broken", "server.cc", 7)
    match = LINE.fullmatch(capsys.readouterr().err.strip())
    assert match is not None
    assert (match["level"], match["path"], match["line"], match["text"]) == (
        "ERROR",
        "server.cc",
        "7",
        "100% broken",
    )
