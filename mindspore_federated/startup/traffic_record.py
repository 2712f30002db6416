"""The traffic files of a Server: the payload of its rounds, second by second (summary.data_rate_dir)."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Mapping

from mindspore_federated.startup.appended_lines import AppendedLines

_SAMPLE_SECONDS = 1.0
_FLUSH_SECONDS = 60.0


class TrafficRecord:
    """Samples the counts of bytes once a second and appends what came every 60 s, and at the end.

    The line of a second with traffic is ``{"receive":<bytes>,"send":<bytes>,"time":"YYYY-mm-dd HH:MM:SS"}``,
    local time; the file is ``{folder}/{YYYY-mm-dd}_flow_server{tcp address}.json``, one for each day.

    Args:
        folder: of the files; "" for none, and then nothing is done.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._tcp_address = ""
        self._files: dict[str, AppendedLines] = {}
        self._received = self._sent = 0
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, tcp_address: str, stats: Callable[[], Mapping[str, int]]) -> None:
        """Samples `stats()` until `close`, on a thread of its own."""
        if not self._folder:
            return
        self._tcp_address = tcp_address
        self._thread = threading.Thread(target=lambda: self._sample(stats), name="msfl-traffic")
        self._thread.start()

    def close(self) -> None:
        """Takes a last sample and writes what is left; what cannot be written goes to the log."""
        if self._thread is not None:
            self._ended.set()
            self._thread.join()
            self._thread = None
            for file in self._files.values():
                file.close()

    def note(self, unix_seconds: float, received: int, sent: int) -> None:
        """Takes the counts at a time; what was added since the last call belongs to that second."""
        receive, send = received - self._received, sent - self._sent
        self._received, self._sent = received, sent
        if not receive and not send:
            return
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(unix_seconds))
        line = json.dumps({"receive": receive, "send": send, "time": when}, separators=(",", ":"))
        name = f"{when.partition(' ')[0]}_flow_server{self._tcp_address}.json"
        self._files.setdefault(name, AppendedLines(os.path.join(self._folder, name))).add(line)

    def flush(self) -> None:
        """Writes what was noted; what cannot be written stays for the next time."""
        today = max(self._files, default="")
        for name, file in list(self._files.items()):
            if file.flush() and name != today:
                del self._files[name]

    def _sample(self, stats: Callable[[], Mapping[str, int]]) -> None:
        flushed = time.monotonic()
        while True:
            ended = self._ended.wait(_SAMPLE_SECONDS)
            counts = stats()
            self.note(time.time(), counts.get("round_bytes_received", 0), counts.get("round_bytes_sent", 0))
            if ended:
                return
            if time.monotonic() >= flushed + _FLUSH_SECONDS:
                self.flush()
                flushed = time.monotonic()
