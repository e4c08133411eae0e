"""Files: written whole or not at all, under a temporary name first; their names and SHA-256."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from overpaint.errors import ConfigError, WriteError, brief

# What file systems answer that cannot be asked to put a file on the disk.
_NO_SYNC = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)

_TEMPORARY = re.compile(r"\..+-[a-z0-9_]{8}(\.\w+)?")  # as `replacing` names its files


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`; it takes its place if the block succeeds.

    The ending stays, for writers that choose their format by it. On failure nothing is left behind.
    The new file is on the disk before it takes the old one's name, so that after a power cut either
    the old or the new one is there, whole.

    Raises:
        WriteError: if the folder or the file cannot be written, or the block raises an OSError.
    """
    temporary: Path | None = None
    try:
        handle, name = tempfile.mkstemp(
            dir=path.parent,
            prefix=_prefix(path),
            suffix=path.suffix,
        )
        os.close(handle)
        temporary = Path(name)
        yield temporary
        _sync(temporary)
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)  # mkstemp's files are private; results need not be
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise WriteError(error.errno, error.strerror or brief(error), str(path)) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def readable(text: str) -> str:
    """A text, or a file's name, as UTF-8 can hold it: escapes for bytes that are no UTF-8.

    Where the system's encoding is not UTF-8, Python hands over the bytes of other characters as
    surrogates; those that are UTF-8 become the characters.
    """
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # surrogates that stand for no bytes
        return text.encode("utf-8", "backslashreplace").decode("utf-8")


def write_text(path: Path, text: str) -> None:
    """Writes `text` as UTF-8, whole or not at all.

    Raises:
        WriteError: if it cannot be written.
    """
    write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Writes `data`, whole or not at all.

    Raises:
        WriteError: if it cannot be written.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(data)


@contextmanager
def put_off(faults: list[WriteError]) -> Iterator[None]:
    """Collects the failure to write one file, so that the next ones are written all the same."""
    try:
        yield
    except WriteError as error:
        faults.append(error)


def _sync(path: Path) -> None:
    """Waits until a file is on the disk; only there a disk may turn out to be full."""
    with path.open("rb+") as file:
        try:
            os.fsync(file.fileno())
        except OSError as error:
            if error.errno not in _NO_SYNC:
                raise


def _sync_folder(path: Path) -> None:
    """Waits until the names in a folder are on the disk, where the system knows how to."""
    with suppress(OSError):  # the file itself is safe; Windows cannot open a folder
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def try_to_write(path: Path) -> None:
    """Finds out whether a file can be written, and leaves what is there as it is.

    Raises:
        OSError: if it cannot: the folder or the file is protected, or the name is too long.
    """
    with suppress(FileNotFoundError):
        path.lstat()  # which refuses a name that is too long
    if os.path.exists(path) and not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    with tempfile.TemporaryFile(dir=path.absolute().parent):
        pass


def require_writable(path: Path, told: str) -> None:
    """Finds out whether a file can be written, for whoever named it.

    Args:
        path: of the file.
        told: how the message begins: who wants it, and its name as it was given.

    Raises:
        ConfigError: if it cannot.
    """
    try:
        try_to_write(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or brief(error)
        raise ConfigError(f"{told} cannot be written ({reason}).") from error


def named_file(output: str | Path, suffixes: Iterable[str], what: str) -> Path:
    """The file that somebody names for a result.

    Args:
        output: its name.
        suffixes: the endings that it may have.
        what: wants it, for messages.

    Raises:
        ConfigError: if it has another ending, is a folder, or is in none.
    """
    path = Path(os.path.expanduser(output))
    if path.suffix.lower() not in suffixes:
        raise ConfigError(f"{what}: '{output}' must end in one of {', '.join(suffixes)}.")
    if os.path.isdir(path):
        raise ConfigError(f"{what}: '{output}' is a folder; name a file in it.")
    if not os.path.isdir(path.absolute().parent):  # of a name that is too long too
        raise ConfigError(f"{what}: no such folder: '{path.parent}'; make it first.")
    return path


def try_folder(folder: Path) -> None:
    """Finds out whether files can be written in a folder that is there or would be made.

    Raises:
        OSError: if they cannot.
    """
    place, *above = [folder.absolute(), *folder.absolute().parents]
    missing = []
    while above and not os.path.exists(place):
        missing.append(place.name)
        place, *above = above
    for name in missing:
        with suppress(FileNotFoundError):
            (place / name).lstat()  # which refuses a name that is too long
    with tempfile.TemporaryFile(dir=place):
        pass


def file_sha256(path: str | Path) -> str:
    """The SHA-256 of a file, in hexadecimal.

    Raises:
        OSError: if it cannot be read.
    """
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def remove_leftovers(place: Path) -> None:
    """Deletes what a killed process left of files that `replacing` was to put at a place.

    Args:
        place: a folder of which no other process writes a file; or a file that none writes.
    """
    is_folder = place.is_dir()
    folder, start = (place, ".") if is_folder else (place.parent, _prefix(place))
    for path in folder.glob(".*"):
        if path.is_file() and path.name.startswith(start) and _TEMPORARY.fullmatch(path.name):
            path.unlink(missing_ok=True)


def _prefix(path: Path) -> str:
    """How the temporary names for a file begin: short, as its own may be as long as is allowed."""
    return f".{path.stem[:20]}-{zlib.crc32(os.fsencode(path.name)):08x}-"
