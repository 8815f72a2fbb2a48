"""One line on stderr that tells how far the matrix is and how long it still takes.

On a terminal the line is written over itself; elsewhere a new line comes now and then.
"""
from __future__ import annotations

import shutil
import sys
import time
from typing import TextIO

PLAIN_SECONDS = 15


def duration(seconds: float) -> str:
    """4 h 5 min, 3 min 20 s, 12 s"""
    whole = max(0, round(seconds))
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    if whole >= 60:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole} s"


class Progress:
    def __init__(self, stream: TextIO = sys.stderr) -> None:
        self._stream = stream
        self._is_terminal = stream.isatty()
        self._last = float(-PLAIN_SECONDS)

    def show(self, text: str) -> None:
        if self._is_terminal:
            width = shutil.get_terminal_size().columns - 1
            self._write(f"\r\x1b[K{text[:width]}")
        elif time.monotonic() - self._last >= PLAIN_SECONDS:
            self._last = time.monotonic()
            self._write(f"{text}\n")

    def say(self, text: str) -> None:
        """A line that stays."""
        self._write(f"\r\x1b[K{text}\n" if self._is_terminal else f"{text}\n")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
