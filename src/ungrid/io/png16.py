"""PNG with 16 bits for each channel, which Pillow cuts down to 8 for all but single-channel pictures.

Convention: arrays (H, W, c) uint16 with c = 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA; alpha straight.
Source: ISO/IEC 15948:2004 (PNG), clauses 5 (chunks), 9 (filters) and 11 (IHDR).
"""

import struct
import zlib

import numpy as np

from ungrid._base.errors import InputError
from ungrid.io.files import check_decoded_size

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 4: 2, 2: 3, 6: 4}  # of the PNG colour types without a palette


def bit_depth(data: bytes) -> int:
    """The bits for each channel that the header of a PNG names (its first 33 bytes are enough)."""
    return data[24] if len(data) > 24 and data[:8] == SIGNATURE and data[12:16] == b"IHDR" else 0


def decode(data: bytes) -> np.ndarray:
    """The samples of a 16-bit PNG, shape (H, W, c) uint16.

    Raises:
        InputError: if it is interlaced, or its data is damaged or too short.
    """
    chunks = _chunks(data)
    if not chunks or chunks[0][0] != b"IHDR" or len(chunks[0][1]) != 13:
        raise InputError("a PNG without a complete header", "a complete PNG file")
    width, height, depth, color, _, _, interlace = struct.unpack(">IIBBBBB", chunks[0][1])
    if depth != 16 or color not in _CHANNELS or interlace or not width or not height:
        raise InputError(
            f"a PNG of {width}x{height}, {depth} bits, colour type {color}, interlace {interlace}",
            "16 bits, not interlaced",
            "save it again without interlacing",
        )
    stride = width * _CHANNELS[color] * 2
    size = height * (stride + 1)
    check_decoded_size(size, len(data), "PNG")
    raw = zlib.decompressobj().decompress(b"".join(body for name, body in chunks if name == b"IDAT"), size)
    if len(raw) < size:
        raise InputError(f"a PNG with {len(raw)} bytes of samples", f"{size} bytes", "the file is cut short")
    lines = np.frombuffer(raw, dtype=np.uint8).reshape(height, stride + 1)
    samples = _unfiltered(lines[:, 0], lines[:, 1:].reshape(height, width, -1))
    return samples.reshape(height, width, -1).view(">u2").astype(np.uint16)


def encode(samples: np.ndarray, *, profile: bytes | None = None, exif: bytes | None = None) -> bytes:
    """The PNG file of `samples` (H, W, c) uint16, every line filtered with the one above it.

    An ICC profile and a block of EXIF tags (with or without its JPEG heading) go with it.
    """
    height, width, channels = samples.shape
    lines = samples.astype(">u2").reshape(height, -1).view(np.uint8)
    filtered = np.full((height, lines.shape[1] + 1), 2, dtype=np.uint8)
    filtered[0, 1:] = lines[0]
    filtered[1:, 1:] = lines[1:] - lines[:-1]
    color = {count: kind for kind, count in _CHANNELS.items()}[channels]
    header = struct.pack(">IIBBBBB", width, height, 16, color, 0, 0, 0)
    body = zlib.compress(filtered.tobytes(), 6)
    tags = b"" if profile is None else _chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(profile))
    tags += b"" if exif is None else _chunk(b"eXIf", exif.removeprefix(b"Exif\0\0"))
    return SIGNATURE + _chunk(b"IHDR", header) + tags + _chunk(b"IDAT", body) + _chunk(b"IEND", b"")


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    chunks: list[tuple[bytes, bytes]] = []
    position = len(SIGNATURE)
    while position + 12 <= len(data) and (not chunks or chunks[-1][0] != b"IEND"):
        (length,) = struct.unpack_from(">I", data, position)
        name, body = data[position + 4 : position + 8], data[position + 8 : position + 8 + length]
        if data[position + 8 + length : position + 12 + length] != struct.pack(">I", zlib.crc32(name + body)):
            raise InputError(f"a PNG whose chunk {name!r} fails its checksum", "an undamaged PNG file")
        chunks.append((name, body))
        position += 12 + length
    return chunks


def _unfiltered(filters: np.ndarray, lines: np.ndarray) -> np.ndarray:
    """Undo the five line filters for all lines (H, W, bytes of a pixel) together.

    A byte needs its neighbours to the left, above and above left, so the pixels of one anti-diagonal of the picture
    are independent: H + W vector steps instead of H * W scalar ones.
    """
    if filters.max() > 4:
        raise InputError(f"a PNG with line filter {filters.max()}", "filters 0 to 4")
    height, width, depth = lines.shape
    out = np.zeros((height + 1, width + 1, depth), dtype=np.uint8)  # a line and a column of zeros stand around it
    for diagonal in range(height + width - 1):
        row = np.arange(max(0, diagonal - width + 1), min(height, diagonal + 1))
        column, kind = diagonal - row, filters[row][:, None]
        left = out[row + 1, column].astype(np.int16)
        above = out[row, column + 1].astype(np.int16)
        corner = out[row, column].astype(np.int16)
        candidates = [np.zeros_like(left), left, above, (left + above) // 2, _paeth(left, above, corner)]
        predicted = np.choose(kind, candidates).astype(np.uint8)
        out[row + 1, column + 1] = lines[row, column] + predicted
    return np.ascontiguousarray(out[1:, 1:])


def _paeth(left: np.ndarray, above: np.ndarray, corner: np.ndarray) -> np.ndarray:
    estimate = left + above - corner
    to_left, to_above, to_corner = np.abs(estimate - left), np.abs(estimate - above), np.abs(estimate - corner)
    nearest = np.where(to_above <= to_corner, above, corner)
    return np.where((to_left <= to_above) & (to_left <= to_corner), left, nearest)
