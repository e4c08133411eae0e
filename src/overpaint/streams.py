"""Standard output and error that never fail: whoever reads them may go, and the work goes on."""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from contextlib import suppress
from typing import Any, TextIO

from overpaint.errors import WriteError

# Somebody is to read what was asked for later, from a file, and it is not whole.
_LOST = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def keep_standard_streams() -> None:
    """Lets nothing that is written to standard output or error raise, for the rest of the process.

    A pipe whose reader has gone, a terminal that was closed and a full disk take nothing; what is
    written there is dropped. What an encoding has no characters for is escaped. A stream that was
    closed from the start leads nowhere, instead of into whatever file is opened next.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this
            os.set_inheritable(opened, True)  # by git and wandb's service, as all three are
    for name, number in (("stdout", 1), ("stderr", 2)):
        setattr(sys, name, _kept(getattr(sys, name), number))


def deliver(text: str) -> None:
    """Writes what a command was asked for to standard output.

    Raises:
        WriteError: if it goes to a file and the disk is full; a reader who has gone is no fault.
    """
    sys.stdout.write(text)
    sys.stdout.flush()
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    fault = raw.fault if isinstance(raw, _Dropping) else None
    if fault is not None and fault.errno in _LOST:
        raise WriteError(fault.errno, fault.strerror, "standard output")


class _Dropping(io.RawIOBase):
    """A stream of bytes that drops what it cannot write, and remembers why."""

    def __init__(self, raw: io.RawIOBase) -> None:
        self.fault: OSError | None = None
        self.name = getattr(raw, "name", None)
        self._raw = raw

    def write(self, data: Any) -> int:
        try:
            while (written := self._raw.write(data)) is None:  # set not to block by someone else
                select.select([], [self._raw], [])
        except OSError as error:
            self.fault = error
            return memoryview(data).nbytes
        return written

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._raw.fileno()

    def isatty(self) -> bool:
        return self._raw.isatty()


def _kept(stream: TextIO | None, number: int) -> TextIO:
    """The same stream, but that it drops what it cannot write; one that is no file stays."""
    if stream is None:  # it was closed when Python began
        return _over(io.FileIO(number, "w", closefd=False), "utf-8", by_line=True)
    buffer = getattr(stream, "buffer", None)
    raw = getattr(buffer, "raw", buffer)  # without a buffer under `python -u`
    if not isinstance(stream, io.TextIOWrapper) or not isinstance(raw, io.RawIOBase):
        return stream
    with suppress(OSError):
        stream.flush()
    return _over(raw, stream.encoding, by_line=stream.line_buffering or stream.write_through)


def _over(raw: io.RawIOBase, encoding: str, *, by_line: bool) -> TextIO:
    return io.TextIOWrapper(
        io.BufferedWriter(_Dropping(raw)),
        encoding=encoding,
        errors="backslashreplace",
        line_buffering=by_line,
    )
