"""Run a command to its end and measure it from outside: time, and memory as it goes. Nothing here knows what runs."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

EVERY_SECONDS = 0.05


class CommandError(Exception):
    """The command failed; the text ends with the last lines it wrote."""


@dataclass(frozen=True)
class Measured:
    """`seconds` of wall time, `cpu_seconds` over all cores, `peak_bytes` of resident memory; `samples` of (unix time,
    resident bytes)."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    samples: tuple[tuple[float, int], ...]

    def peak_between(self, start: float, end: float) -> int:
        """The most memory seen between two unix times; 0 where the time was too short to be sampled."""
        return max((size for at, size in self.samples if start <= at <= end), default=0)


def measure(
    command: Sequence[str | Path], environment: Mapping[str, str], log: Path, is_shown: bool = False
) -> Measured:
    """Run it with its output in `log`; `is_shown`: what it writes to its standard error is seen instead. Raises
    CommandError on a non-zero exit."""
    samples: list[tuple[float, int]] = []
    over = threading.Event()
    with log.open("w") as output:
        started = time.monotonic()
        errors = None if is_shown else output
        process = subprocess.Popen(list(map(str, command)), env=dict(environment), stdout=output, stderr=errors)
        watcher = threading.Thread(target=_watch, args=(process.pid, over, samples), daemon=True)
        watcher.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            raise
        finally:
            over.set()
        seconds = time.monotonic() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    watcher.join()
    if process.returncode:
        lines = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        raise CommandError(f"{' '.join(map(str, command))} ended with {process.returncode}:\n{lines}")
    return Measured(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, tuple(samples))


def _watch(pid: int, over: threading.Event, samples: list[tuple[float, int]]) -> None:
    page = os.sysconf("SC_PAGE_SIZE")
    while not over.wait(EVERY_SECONDS):
        try:
            resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        except (OSError, IndexError):  # not Linux, or just gone
            return
        samples.append((time.time(), resident * page))
