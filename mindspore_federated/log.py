"""The log of a process: one logger, one format, whatever the language of the code that speaks.

Settings come from the environment and are read at first use: ``GLOG_v`` (0 debug, 1 info, 2 warning, 3
error; default 2), ``MS_SUBMODULE_LOG_v`` (``{FEDERATED:<level>}``, goes before ``GLOG_v``),
``GLOG_logtostderr`` (1 console, 0 file; default 1), ``GLOG_log_dir``, ``logger_maxBytes`` or
``GLOG_max_log_size`` (MB), ``logger_backupCount``, ``GLOG_logfile_mode`` (octal), ``GLOG_stderrthreshold``.
Names, defaults and texts are those of MindSpore Federated r0.1/0.2. Other than there, `progress` speaks as
long as no level is set, and an event is one line: control characters of its text, newlines included, are
written as escapes, so that nobody who gets a text into the log can forge a line.
"""

from __future__ import annotations

import logging
import logging.handlers
import os
import stat
import sys
import threading
import time

__all__ = ["debug", "error", "get_level", "get_log_config", "info", "progress", "warning"]

_LEVEL_NAMES = {"0": "DEBUG", "1": "INFO", "2": "WARNING", "3": "ERROR"}
_LEVELS = {"0": logging.DEBUG, "1": logging.INFO, "2": logging.WARNING, "3": logging.ERROR}
_PROGRESS = logging.WARNING - 1
_TO_STDERR, _FOLDER = "GLOG_logtostderr", "GLOG_log_dir"
_SUBMODULES, _FILE_MODE = "MS_SUBMODULE_LOG_v", "GLOG_logfile_mode"
_SOURCE_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

# All that a reader of lines, or a terminal, may take for more than text; tabs stay.
_ESCAPES = {
    code: repr(chr(code))[1:-1] for code in (*range(9), *range(10, 32), *range(127, 160), 0x2028, 0x2029)
}

_lock = threading.Lock()
_logger: logging.Logger | None = None
_config: dict[str, str] = {}
_owner = 0  # pid that opened the log: a forked child opens its own


def _checked_level(value: str, names: str) -> str:
    if value not in _LEVELS:
        raise ValueError(
            f"Incorrect log level:{value}, Please check the configuration of {names}, "
            f"desired log level :{_LEVEL_NAMES}"
        )
    return value


def _level(name: str) -> str:
    return _checked_level(os.environ.get(name, "2"), "GLOG_v or GLOG_stderrthreshold")


def _submodule_level() -> str:
    """The level of ``MS_SUBMODULE_LOG_v={FEDERATED:1,PARSER:2}``; "" if it names us not."""
    for pair in os.environ.get(_SUBMODULES, "").strip(" {}").split(","):
        name, _, value = pair.partition(":")
        if name.strip() == "FEDERATED":
            return _checked_level(value.strip(), "MS_SUBMODULE_LOG_v")
    return ""


def _file_bytes() -> str:
    if "logger_maxBytes" not in os.environ and "GLOG_max_log_size" in os.environ:
        return str(int(_positive("GLOG_max_log_size", "50")) << 20)
    return _positive("logger_maxBytes", "52428800")


def _file_mode() -> str:
    value = os.environ.get(_FILE_MODE, "0640")
    if not (value.isascii() and value.isdigit() and len(value) <= 4 and not set(value) & {"8", "9"}):
        raise ValueError(
            "Incorrect value, The value of GLOG_logfile_mode must be an octal file mode, such as 0640. "
            f"GLOG_logfile_mode:{value}"
        )
    return value


def _positive(name: str, default: str) -> str:
    value = os.environ.get(name, default)
    if not (value.isascii() and value.isdigit() and int(value) > 0):
        raise ValueError(f"Incorrect value, The value of {name} must be positive integer. {name}:{value}")
    return value


def _read_environment() -> dict[str, str]:
    level = _level("GLOG_v")
    config = {"GLOG_v": _submodule_level() or level, "GLOG_logtostderr": os.environ.get(_TO_STDERR, "1")}
    if config["GLOG_logtostderr"] not in ("0", "1"):
        raise ValueError(
            "Incorrect value, The value of GLOG_logtostderr must be 0 or 1, "
            "Output log to console, configure to 1."
        )
    if config["GLOG_logtostderr"] == "0":
        folder = os.environ.get(_FOLDER, "")
        if not folder:
            raise ValueError(
                "When GLOG_logtostderr is set to 0, The directory of saving log must be set, "
                "GLOG_log_dir cannot be empty."
            )
        if not os.path.isdir(folder):
            raise ValueError(f"The file path does not exist. GLOG_log_dir:{folder}")
        config["GLOG_log_dir"] = os.path.realpath(folder)
        config["logger_maxBytes"] = _file_bytes()
        config["logger_backupCount"] = _positive("logger_backupCount", "30")
        config["GLOG_logfile_mode"] = _file_mode()
        config["GLOG_stderrthreshold"] = _level("GLOG_stderrthreshold")
    return config


class _Format(logging.Formatter):
    """``[LEVEL] FEDERATED(pid:tid,process name):YYYY-mm-dd-HH:MM:SS.mmm.uuu [path:line] message``."""

    def format(self, record: logging.LogRecord) -> str:
        micros = int((record.created - int(record.created)) * 1_000_000)
        when = time.strftime("%Y-%m-%d-%H:%M:%S", time.localtime(record.created))
        path = record.pathname
        if path.startswith(_SOURCE_ROOT + os.sep):
            path = path[len(_SOURCE_ROOT) + 1 :]
        text = record.getMessage()
        if record.exc_info:
            text = f"{text}\n{self.formatException(record.exc_info)}"
        level = "INFO" if record.levelno == _PROGRESS else record.levelname
        return (
            f"[{level}] FEDERATED({record.process}:{record.thread},{record.processName}):"
            f"{when}.{micros // 1000:03d}.{micros % 1000:03d} [{path}:{record.lineno}] "
            f"{text.translate(_ESCAPES)}"
        )


class _Console(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes to what sys.stderr is at the moment, which may be replaced."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self):  # type: ignore[no-untyped-def]
        return sys.stderr


class _File(logging.handlers.RotatingFileHandler):
    """Rotated by size; what was rotated away is read-only."""

    def __init__(self, path: str, mode: int, max_bytes: int, backups: int) -> None:
        self._file_mode = mode
        super().__init__(
            path,
            maxBytes=max_bytes,
            backupCount=backups,
            encoding="utf-8",
            errors="backslashreplace",
            delay=True,
        )

    def _open(self):  # type: ignore[no-untyped-def]
        def opener(path: str, flags: int) -> int:
            descriptor = os.open(path, flags, self._file_mode)
            os.fchmod(descriptor, self._file_mode)  # whatever the umask
            return descriptor

        return open(self.baseFilename, self.mode, encoding=self.encoding, errors=self.errors, opener=opener)

    def rotate(self, source: str, dest: str) -> None:
        super().rotate(source, dest)
        os.chmod(dest, self._file_mode & (stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH))


def _handlers(config: dict[str, str]) -> list[logging.Handler]:
    console = _Console()
    if config["GLOG_logtostderr"] == "1":
        return [console]
    console.setLevel(_LEVELS[config["GLOG_stderrthreshold"]])
    path = os.path.join(config["GLOG_log_dir"], f"mindspore_federated.log.{os.getpid()}")
    limit, count = int(config["logger_maxBytes"]), int(config["logger_backupCount"])
    return [_File(path, int(config["GLOG_logfile_mode"], 8), limit, count), console]


def _get() -> logging.Logger:
    global _logger, _config, _owner
    if _logger is not None and _owner == os.getpid():
        return _logger
    with _lock:
        config = _read_environment()
        is_set = "GLOG_v" in os.environ or _submodule_level()
        level = _LEVELS[config["GLOG_v"]] if is_set else _PROGRESS
        logger = logging.Logger("mindspore_federated", level)
        for handler in _handlers(config):
            handler.setFormatter(_Format())
            logger.addHandler(handler)
        _logger, _config, _owner = logger, config, os.getpid()
        return logger


if hasattr(os, "register_at_fork"):

    def _renew_lock() -> None:
        global _lock
        _lock = threading.Lock()

    os.register_at_fork(after_in_child=_renew_lock)


def debug(msg: str, *args: object) -> None:
    """Writes ``msg % args`` at level DEBUG."""
    _get().debug(msg, *args, stacklevel=2)


def info(msg: str, *args: object) -> None:
    """Writes ``msg % args`` at level INFO."""
    _get().info(msg, *args, stacklevel=2)


def progress(msg: str, *args: object) -> None:
    """Writes ``msg % args`` at level INFO, even if ``GLOG_v`` is not set: what people wait to see."""
    _get().log(_PROGRESS, msg, *args, stacklevel=2)


def warning(msg: str, *args: object) -> None:
    """Writes ``msg % args`` at level WARNING."""
    _get().warning(msg, *args, stacklevel=2)


def error(msg: str, *args: object) -> None:
    """Writes ``msg % args`` at level ERROR."""
    _get().error(msg, *args, stacklevel=2)


def from_core(level: int, text: str, file: str, line: int) -> None:
    """Writes an event of the C++ core: level 0..3 as in GLOG_v, the file's base name and line."""
    logger = _get()
    number = _LEVELS[str(level)]
    if logger.isEnabledFor(number):
        logger.handle(logger.makeRecord(logger.name, number, file, line, "%s", (text,), None))


def get_level() -> str:
    """The level in use: '0' debug, '1' info, '2' warning, '3' error."""
    _get()
    return _config["GLOG_v"]


def get_log_config() -> dict[str, str]:
    """The values in use by the name of their variable; those of log files only when there is one."""
    _get()
    return dict(_config)
