"""Still pictures: PNG, JPEG, TIFF, BMP and WebP.

Convention: axes (y, x), +y down, the longest spans [-1, 1], samples at pixel centres. Values float32 in [0, 1],
sRGB-coded as stored, channels grey or red, green, blue, and straight alpha last. The EXIF orientation is applied.
Float TIFFs keep their own range; NaN marks missing samples.
"""

import io
import os
from io import BufferedIOBase
from typing import Any, BinaryIO, cast

import numpy as np
import tifffile
from PIL import Image

from ungrid._base.errors import InputError
from ungrid.domains import RegularGrid
from ungrid.io import png16
from ungrid.io.arrays import check_samples, color_names, picture_peak, scaled
from ungrid.io.files import byte_count, check_decoded_size, existing_file, opened, replacing
from ungrid.sampling import GridSamples

_FORMATS = {"png": "PNG", "jpeg": "JPEG", "tiff": "TIFF", "bmp": "BMP", "webp": "WEBP"}
_OTHER_COLOURS = tuple(tifffile.PHOTOMETRIC[name] for name in ("SEPARATED", "YCBCR", "CIELAB"))  # Pillow converts them
LONGEST_SIDE = {".jpg": 65535, ".jpeg": 65535, ".webp": 16383}  # pixels that the formats can count
_ORIENTATION = 0x0112  # the EXIF and TIFF tag
_UNPACKED_TIFF = (1, 8, 32946)  # compression tags that tifffile undoes by itself: none, and deflate twice
_JPEG_QUALITY = 95


def read_image(path: str | os.PathLike[str]) -> GridSamples:
    """Read a picture.

    Args:
        path: a PNG, JPEG, TIFF, BMP or WebP file, recognised by its content.

    Returns:
        Values (H, W, c); metadata: ``format`` and ``bit_depth``.

    Raises:
        InputError: if it is not a picture, is damaged, has more than 178 million pixels, or a single one.
    """
    file = existing_file(path)
    with opened(file, "a picture") as stream:
        head = stream.read(64)
        stream.seek(0)
        if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
            array, metadata = _tiff(stream)
        elif png16.bit_depth(head) == 16:
            array, metadata = png16.decode(stream.read()), {"format": "png", "bit_depth": 16}
        else:
            array, metadata = _pillow(stream)
        return _samples(array, metadata)


def _samples(array: np.ndarray, metadata: dict[str, Any]) -> GridSamples:
    check_samples(array.shape[:2], "a picture")
    values = np.ascontiguousarray(scaled(array))
    grid = RegularGrid.isotropic(array.shape[:2], ("y", "x"))
    peak = picture_peak(array, values)
    return GridSamples(grid, values, color_names(array.shape[2]), "image", peak, metadata)


def _pillow(stream: BufferedIOBase) -> tuple[np.ndarray, dict[str, Any]]:
    held = io.BytesIO(stream.read())  # reads past its end cost nothing, those of a file allocate what a header claims
    with Image.open(held, formats=list(_FORMATS.values())) as image:
        width, height = image.size
        check_decoded_size(width * height * len(image.getbands()), byte_count(held), f"a picture of {width}x{height}")
        kind = str(image.format).lower()
        array = np.asarray(_plain(image))
        orientation = image.getexif().get(_ORIENTATION, 1)  # after loading: Pillow turns TIFFs and then drops the tag
    array = array[..., None] if array.ndim == 2 else array
    depth = 8 * array.dtype.itemsize if array.dtype != np.bool_ else 1
    return oriented(array, orientation), {"format": kind, "bit_depth": depth}


def _plain(image: Image.Image) -> Image.Image:
    """The picture in a mode whose array is grey, grey and alpha, RGB or RGBA."""
    if image.mode in ("1", "L", "LA", "RGB", "RGBA", "F", "I") or image.mode.startswith("I;16"):
        transparent = image.mode in ("1", "L", "RGB") and "transparency" in image.info
        return image.convert("LA" if image.mode in ("1", "L") else "RGBA") if transparent else image
    if image.mode in ("P", "PA", "RGBa", "La"):
        return image.convert("RGBA" if image.has_transparency_data else "RGB")
    return image.convert("RGB")


def eight_bits(image: Image.Image) -> np.ndarray:
    """A picture as bytes (h, w, 3), or (h, w, 4) with straight alpha, whatever its mode.

    Raises:
        InputError: if it has floating-point numbers.
    """
    if image.mode == "F":
        raise InputError("a picture of floating-point numbers", "8 or 16 bits", "write it as png or jpg")
    if image.mode.startswith("I"):  # 16 bits, which Pillow would cut off at 255
        grey = np.round(np.asarray(image, np.float32) / 257).clip(0, 255).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    return np.asarray(image.convert("RGBA" if image.has_transparency_data else "RGB"))


def oriented(array: np.ndarray, orientation: Any) -> np.ndarray:
    """Turn and mirror (H, W, c) as the EXIF orientation 1 to 8 asks (EXIF 2.3, table 4.6.4-A); others leave it."""
    if orientation not in range(2, 9):
        return array
    array = array.swapaxes(0, 1) if orientation >= 5 else array
    flip_y, flip_x = orientation in (3, 4, 7, 8), orientation in (2, 3, 6, 7)
    return array[:: -1 if flip_y else 1, :: -1 if flip_x else 1]


def _tiff(stream: BufferedIOBase) -> tuple[np.ndarray, dict[str, Any]]:
    with tifffile.TiffFile(cast(BinaryIO, stream)) as tiff:
        page: Any = tiff.pages.first
        _check_tiff(tiff, page, byte_count(stream))
        packed = page.compression not in _UNPACKED_TIFF
        if packed and page.samplesperpixel > 1 and page.bitspersample > 8:
            raise InputError(
                f"a {page.bitspersample}-bit colour TIFF with compression {page.compression}",
                "no compression or deflate",
            )
        other = page.photometric in _OTHER_COLOURS
        if other and page.bitspersample > 8:
            raise InputError(
                f"a {page.bitspersample}-bit TIFF of {page.photometric.name} colours", "grey or RGB, or 8 bits"
            )
        if not packed and not other and page.photometric != tifffile.PHOTOMETRIC.PALETTE:
            return _tiff_page(page)
    stream.seek(0)
    return _pillow(stream)


def _check_tiff(tiff: tifffile.TiffFile, page: Any, size: int) -> None:
    if page.imagedepth != 1 or (len(tiff.series) and tiff.series[0].size != page.size):
        raise InputError(
            "a TIFF of several pages", "one picture", "split it, or save the stack as a volume (nii, nrrd, npy)"
        )
    count = page.imagewidth * page.imagelength * page.samplesperpixel
    check_decoded_size(count * max(page.bitspersample, 8) / 8, size, f"a TIFF of shape {page.shape}")
    ends = [offset + length for offset, length in zip(page.dataoffsets, page.databytecounts, strict=True)]
    if len(ends) < int(np.prod(page.chunked)) or max(ends, default=0) > size:  # tifffile would read zeros there
        raise InputError(f"a TIFF of shape {page.shape} with parts missing", "a complete TIFF", "it is cut short")


def _tiff_page(page: Any) -> tuple[np.ndarray, dict[str, Any]]:
    array = page.asarray()
    if page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and array.ndim == 3:
        array = np.moveaxis(array, 0, -1)
    array = array[..., None] if array.ndim == 2 else array
    if array.ndim != 3 or array.dtype.kind not in "buif":
        raise InputError(f"a TIFF of shape {array.shape} and type {array.dtype}", "one page of real numbers")
    if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE and array.dtype.kind in ("b", "u"):
        array = ~array
    if array.shape[2] in (2, 4) and page.extrasamples[:1] == (tifffile.EXTRASAMPLE.ASSOCALPHA,):
        array = _straight(scaled(array))
    tag = page.tags.get("Orientation")
    whole = array.dtype in (np.uint8, np.uint16, np.bool_)
    metadata = {"format": "tiff", "bit_depth": int(page.bitspersample) if whole else 32}
    return oriented(array, tag.value if tag else 1), metadata


def _straight(values: np.ndarray) -> np.ndarray:
    """Premultiplied colours divided by their alpha (float32)."""
    alpha = values[..., -1:]
    colors = np.divide(values[..., :-1], alpha, out=np.zeros_like(values[..., :-1]), where=alpha > 0)
    return np.concatenate([colors, alpha], axis=-1)


def write_image(path: str | os.PathLike[str], samples: GridSamples) -> None:
    """Write a picture as the suffix of `path` says, with the bit depth of ``samples.metadata["bit_depth"]``.

    Args:
        path: .png (8 or 16 bits; missing samples become transparent), .jpg or .jpeg (quality 95, full colour
            resolution), .bmp, .webp (lossless), .tif or .tiff (uint8, uint16, else float32).
        samples: values (H, W, c); all formats except float TIFF clip to [0, 1].

    Raises:
        InputError: if the format cannot hold the values.
    """
    suffix = os.path.splitext(path)[1].lower()
    values, depth = samples.values, samples.metadata.get("bit_depth", 8)
    if values.ndim != 3:
        raise InputError(f"samples of shape {values.shape}", "a picture (H, W, c)")
    with replacing(path) as temporary:
        if suffix in (".tif", ".tiff"):
            whole = depth in (8, 16) and samples.peak == 1.0 and not samples.missing and "bit_depth" in samples.metadata
            pixels = quantised(values, np.uint8 if depth == 8 else np.uint16) if whole else values.astype(np.float32)
            _write_tiff(temporary, pixels, samples.out_names[-1] == "alpha")
            return
        _check_displayable(samples, suffix)
        values = _transparent_where_missing(values)
        if suffix == ".png" and depth == 16:
            temporary.write_bytes(png16.encode(quantised(values, np.uint16)))
        else:
            temporary.write_bytes(_encoded(quantised(values, np.uint8), suffix))


def write_pixels(
    path: str | os.PathLike[str], pixels: np.ndarray, *, profile: bytes | None = None, exif: bytes | None = None
) -> None:
    """Write stored numbers as they are.

    Args:
        path: as in `write_image`.
        pixels: (H, W, c) uint8 or uint16: grey, grey and alpha, RGB or RGBA; 16 bits in .png and .tif.
        profile: an ICC colour profile to go with them.
        exif: a block of EXIF tags.

    Raises:
        InputError: if the format cannot hold them.
    """
    suffix = os.path.splitext(path)[1].lower()
    check_pixels(suffix, pixels.shape[2], pixels.dtype.itemsize * 8)
    with replacing(path) as temporary:
        if suffix in (".tif", ".tiff"):
            _write_tiff(temporary, pixels, pixels.shape[2] in (2, 4), profile)
        elif pixels.dtype == np.uint16:
            temporary.write_bytes(png16.encode(pixels, profile=profile, exif=exif))
        else:
            temporary.write_bytes(_encoded(pixels, suffix, icc_profile=profile, exif=exif))


def check_pixels(suffix: str, channels: int, depth: int) -> None:
    """Whether a format can hold channels of 8 or 16 bits.

    Raises:
        InputError: if it cannot.
    """
    if depth == 16 and suffix not in (".png", ".tif", ".tiff"):
        raise InputError(f"16 bits in a {suffix} file", "a .png or a .tif")
    if channels > 4 or (suffix in (".jpg", ".jpeg", ".bmp") and channels not in (1, 3)):
        raise InputError(f"{channels} channels in a {suffix} file", "1 or 3 (with alpha: .png, .tif)")


def quantised(values: np.ndarray, dtype: type[np.unsignedinteger]) -> np.ndarray:
    """Values clipped to [0, 1] and rounded to the full range of an unsigned integer type."""
    top = np.iinfo(dtype).max
    return np.rint(np.clip(values, 0, 1).astype(np.float64) * top).astype(dtype)


def _check_displayable(samples: GridSamples, suffix: str) -> None:
    channels = len(samples.out_names)
    if samples.peak != 1.0:
        raise InputError(f"values with full scale {samples.peak:.4g}", "values in [0, 1]", "write a .tif instead")
    check_pixels(suffix, channels, 8)
    if samples.missing and (suffix not in (".png", ".webp") or channels not in (1, 3)):
        raise InputError(f"{samples.missing} missing samples (NaN)", "none", "write a .png without alpha, or a .tif")


def _transparent_where_missing(values: np.ndarray) -> np.ndarray:
    missing = np.isnan(values).any(axis=-1, keepdims=True)
    if not missing.any():
        return values
    return np.concatenate([np.where(missing, 0, values), 1.0 - missing], axis=-1)


def _encoded(array: np.ndarray, suffix: str, **tags: bytes | None) -> bytes:
    """The file of an array; `tags` are Pillow's ``icc_profile`` and ``exif``, of which a .bmp has none."""
    tags = {name: tag for name, tag in tags.items() if tag}
    image = Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)
    target = io.BytesIO()
    if max(image.size) > (longest := LONGEST_SIDE.get(suffix, max(image.size))):
        raise InputError(
            f"{image.width} x {image.height} pixels in a {suffix} file", f"at most {longest} a side", "a .png"
        )
    if suffix in (".jpg", ".jpeg"):
        image.save(target, "JPEG", quality=_JPEG_QUALITY, subsampling=0, **tags)
    elif suffix == ".webp":
        image.save(target, "WEBP", lossless=True, **tags)
    elif suffix == ".png":
        image.save(target, "PNG", **tags)
    elif suffix == ".bmp":
        image.save(target, "BMP")
    else:
        raise InputError(f"a picture named {suffix!r}", ".png, .jpg, .tif, .bmp or .webp")
    return target.getvalue()


def _write_tiff(path: Any, pixels: np.ndarray, alpha: bool, profile: bytes | None = None) -> None:
    channels = pixels.shape[2]
    tifffile.imwrite(
        path,
        pixels[..., 0] if channels == 1 else pixels,
        photometric="rgb" if channels in (3, 4) else "minisblack",
        planarconfig="contig" if channels > 1 else None,
        extrasamples=["unassalpha"] if alpha else None,
        iccprofile=profile,
        compression="zlib",
        metadata=None,
    )
