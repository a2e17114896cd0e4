"""Opening sources and replacing targets: what every reader and writer of this room shares.

Convention: a reader receives an open binary file (unpacked where it was gzip or xz) inside `decoding`, which turns
whatever a decoder raises on damaged bytes into an `InputError`; a writer writes to a temporary name that `replacing`
moves over the target when it is complete.
"""

import gzip
import io
import lzma
import os
import secrets
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ungrid._base.errors import InputError

INFLATION = 1100  # deflate cannot expand a byte to more than 1032, progressive JPEG one to less than that
FREE_BYTES = 1 << 26  # decoded sizes up to this are not questioned


def existing_file(path: str | os.PathLike[str]) -> Path:
    """The path as a `Path`.

    Raises:
        InputError: if there is no such file, it is a folder, it is empty or it may not be read.
    """
    file = Path(path)
    try:
        if file.is_dir():
            raise InputError(f"{file} is a folder", "a file")
        if not file.exists():
            raise InputError(f"{file} does not exist", "an existing file", "check the path")
        if file.stat().st_size == 0:
            raise InputError(f"{file} is empty (0 bytes)", "a file with content")
        if not os.access(file, os.R_OK):
            raise InputError(f"{file} may not be read", "a file with read permission")
    except (OSError, ValueError) as error:  # a name that is too long, or holds a zero byte
        if isinstance(error, InputError):
            raise
        raise InputError(f"the path {str(path)!r} ({error})", "the path of a file") from error
    return file


def check_decoded_size(size: float, packed: int, what: str) -> None:
    """Refuse a header that promises more bytes than its file can hold, before anything is allocated.

    Args:
        size: bytes of the decoded samples, as the header says.
        packed: bytes of the file.
        what: the file and its kind, for the message.

    Raises:
        InputError: if `size` is more than 64 MiB and more than 1100 times `packed`.
    """
    if size < 0 or size > FREE_BYTES + INFLATION * packed:
        raise InputError(
            f"{what}: its header promises {size:.3g} bytes, the file has {packed}",
            "a header that fits the file",
            "the file is damaged or cut short",
        )


@contextmanager
def decoding(path: Path, what: str) -> Iterator[None]:
    """Turn every exception of a decoder into an `InputError` with its cause, and keep its warnings to itself.

    Third-party decoders answer damaged bytes with exceptions of every type (struct.error, KeyError, MemoryError, ...),
    and with warnings that say nothing about the caller's program: hence the broad clause and the silence.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except InputError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".split("\n")[0][:200]
        raise InputError(
            f"{path} cannot be read as {what} ({reason})", "a complete file of that kind", "is it damaged or cut short?"
        ) from error


@contextmanager
def opened(path: Path, what: str) -> Iterator[io.BufferedIOBase]:
    """The file opened for reading, unpacked in memory where it is gzip or xz; errors as in `decoding`."""
    with decoding(path, what), open(path, "rb") as file:
        head = file.read(6)
        file.seek(0)
        if head[:2] == b"\x1f\x8b":
            yield io.BytesIO(_unpacked(gzip.GzipFile(fileobj=file), path))
        elif head == b"\xfd7zXZ\x00":
            yield io.BytesIO(_unpacked(lzma.LZMAFile(file), path))
        else:
            yield file


def byte_count(file: io.BufferedIOBase) -> int:
    """The size of an open file; its position stays."""
    position = file.tell()
    size = file.seek(0, os.SEEK_END)
    file.seek(position)
    return size


def _unpacked(packed: gzip.GzipFile | lzma.LZMAFile, path: Path) -> bytes:
    limit = FREE_BYTES + INFLATION * path.stat().st_size
    parts, total = [], 0
    while part := packed.read(1 << 22):
        parts.append(part)
        total += len(part)
        check_decoded_size(total, path.stat().st_size, str(path)) if total > limit else None
    if total == 0:
        raise InputError(f"{path} unpacks to nothing", "a file with content")
    return b"".join(parts)


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary name beside `path` that takes its place when the block ends well and vanishes when it does not.

    Raises:
        InputError: if `path` is a folder, its folder does not exist, or it cannot be written.
    """
    target = Path(path)
    if target.is_dir() or not target.parent.is_dir():
        raise InputError(f"cannot write {target}", "the name of a file in an existing folder")
    temporary = target.with_name(f".{secrets.token_hex(4)}.{target.name}")
    try:
        yield temporary
        os.replace(temporary, target)
    except OSError as error:
        raise InputError(f"cannot write {target} ({error})", "a place with room and permission to write") from error
    finally:
        temporary.unlink(missing_ok=True)
