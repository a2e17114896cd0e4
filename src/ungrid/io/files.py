"""Opening sources and replacing targets: what every reader and writer of this room shares.

Convention: a reader receives an open binary file (unpacked where it was gzip or xz) inside `decoding`, which turns
whatever a decoder raises on damaged bytes into an `InputError`; a writer writes to a temporary name that `replacing`
moves over the target when it is complete.
"""

import gzip
import io
import logging
import lzma
import os
import secrets
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from ungrid._base.errors import InputError

INFLATION = 1100  # deflate cannot expand a byte to more than 1032, progressive JPEG one to less than that
FREE_BYTES = 1 << 26  # decoded sizes up to this are not questioned
_LOGGERS = ("nibabel.global", "tifffile", "trimesh", "PIL.TiffImagePlugin", "PIL.PngImagePlugin")


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
    and with warnings and log lines that say nothing about the caller's program: hence the broad clause and the silence.
    """
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    before = [logger.disabled for logger in loggers]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for logger in loggers:
                logger.disabled = True
            yield
    except InputError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".split("\n")[0][:200]
        raise InputError(
            f"{path} cannot be read as {what} ({reason})", "a complete file of that kind", "is it damaged or cut short?"
        ) from error
    finally:
        for logger, disabled in zip(loggers, before, strict=True):
            logger.disabled = disabled


@contextmanager
def opened(path: Path, what: str) -> Iterator[io.BufferedIOBase]:
    """The file opened for reading, unpacked in memory where it is gzip or xz; errors as in `decoding`."""
    with decoding(path, what), open(path, "rb") as file:
        unpacker = _unpacker(file)
        yield file if unpacker is None else _unpacked(unpacker, path)


def first_bytes(path: Path, count: int) -> bytes:
    """The first bytes of the content, unpacked where the file is gzip or xz; errors as in `decoding`."""
    with decoding(path, "a source"), open(path, "rb") as file:
        return (_unpacker(file) or file).read(count)


def byte_count(file: io.BufferedIOBase) -> int:
    """The size of an open file; its position stays."""
    position = file.tell()
    size = file.seek(0, os.SEEK_END)
    file.seek(position)
    return size


def _unpacker(file: io.BufferedIOBase) -> gzip.GzipFile | lzma.LZMAFile | None:
    head = file.read(6)
    file.seek(0)
    if head[:2] == b"\x1f\x8b":
        return gzip.GzipFile(fileobj=cast(BinaryIO, file))
    return lzma.LZMAFile(cast(BinaryIO, file)) if head == b"\xfd7zXZ\x00" else None


def _unpacked(packed: gzip.GzipFile | lzma.LZMAFile, path: Path) -> io.BytesIO:
    content, size = io.BytesIO(), path.stat().st_size
    while part := packed.read(1 << 22):
        content.write(part)
        check_decoded_size(content.tell(), size, str(path))
    if content.tell() == 0:
        raise InputError(f"{path} unpacks to nothing", "a file with content")
    content.seek(0)
    return content


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
