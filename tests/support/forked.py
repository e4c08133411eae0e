"""Commands in processes that can be killed, without seconds of imports for each.

A server imports what a run needs, computes nothing, and forks a child for each command. As a script
this file is the server: a JSON list of words in, the child's number out; then the number in, its
exit status out, negative for a signal.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


class Server:
    """A process that runs commands in children."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def start(self, words: Sequence[str], *, log: Path) -> int:
        """Starts a command, its output to a file; returns the process's number."""
        return int(self._ask(json.dumps([str(log), *words])))

    def wait(self, number: int) -> int:
        """The exit status of a command once it has ended; negative: the signal that ended it."""
        return int(self._ask(json.dumps(number)))

    def run(self, words: Sequence[str], *, log: Path) -> int:
        """Starts a command and waits for it."""
        return self.wait(self.start(words, log=log))

    def _ask(self, line: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the server of commands has ended"
        return answer


@contextmanager
def serving() -> Iterator[Server]:
    """A server for as long as the block lasts."""
    process = subprocess.Popen(
        [sys.executable, __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Server(process)
    finally:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        process.wait(timeout=60)
        process.stdout.close()


def _child(log: str, words: list[str]) -> None:
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(file, 1)
    os.dup2(file, 2)
    import torch

    from overpaint.cli import run
    from overpaint.exits import leave

    torch.set_num_threads(1)  # pictures are small, and threads would wait for each other
    leave(run(words))


def _serve() -> None:
    import overpaint.runs.resume
    import overpaint.runs.stylize  # noqa: F401

    for line in sys.stdin:
        asked = json.loads(line)
        if isinstance(asked, int):
            _, status = os.waitpid(asked, 0)
            answer = os.waitstatus_to_exitcode(status)
        elif not (answer := os.fork()):
            try:
                _child(asked[0], asked[1:])
            except SystemExit as done:
                os._exit(int(done.code or 0))
            except BaseException:
                traceback.print_exc()
            os._exit(70)
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _serve()
