"""Pictures as people have them, made ready for the network and put together again: alpha, grey, palettes, 16 bits, profiles.

Convention: colours (h, w, 3) float32 in [0, 1], upright; alpha (h, w, 1) straight. A result has the modes of its source: a
grey picture stays grey, 16 bits stay 16 where the format can hold them, the ICC profile and the EXIF tags go with it (the
orientation is applied, and its tag says so). Alpha is enlarged by bicubic interpolation; colours behind full transparency are
first replaced by the nearest visible ones, so that they do not bleed into the edges.
"""

import os
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image, ImageCms
from scipy.ndimage import distance_transform_edt

from ungrid._base.errors import InputError
from ungrid.io.files import decoding, existing_file
from ungrid.io.images import oriented, read_image, write_pixels
from ungrid.upscale.resize import resized
from ungrid.upscale.tiles import numbers

RAW = (".cr2", ".cr3", ".nef", ".arw", ".dng", ".raf", ".orf", ".rw2", ".pef", ".srw", ".x3f")
TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # their first bytes
ICC_PROFILE = 34675  # the TIFF tag
ORIENTATION, UPRIGHT = 0x0112, 1  # the EXIF tag, and its value for a picture that need not be turned
GREY = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601


@dataclass(frozen=True, eq=False)
class Photograph:
    """A picture with what belongs to it.

    Attributes:
        colours: (h, w, 3).
        alpha: (h, w, 1), or None.
        grey: whether the source has no colours.
        depth: bits of a stored number: 8 or 16.
        profile: its ICC profile.
        exif: its EXIF tags.
        notes: what was converted.
    """

    colours: np.ndarray
    alpha: np.ndarray | None = None
    grey: bool = False
    depth: int = 8
    profile: bytes | None = None
    exif: bytes | None = None
    notes: tuple[str, ...] = ()


def read_photograph(path: str | os.PathLike[str]) -> Photograph:
    """Read a PNG, JPEG, TIFF, BMP or WebP.

    Raises:
        InputError: if it is a camera's raw file, an animation, no picture, or damaged.
    """
    file = existing_file(path)
    if file.suffix.lower() in RAW:
        raise InputError(
            f"{file}, the raw data of a camera's sensor",
            "a developed picture",
            "export a 16-bit TIFF or PNG from it first",
        )
    mode, profile, exif = _tags(file)
    notes: list[str] = []
    if mode == "CMYK":
        values, depth = _from_cmyk(file, profile), 8
        notes.append(f"{file.name} is CMYK: converted to RGB" + (" by its profile" if profile else ""))
        profile = None
    else:
        samples = read_image(file)
        values, depth = samples.values, int(samples.metadata["bit_depth"])
        if depth == 32:
            values, depth = _unit_range(file, values), 16
            notes.append(f"{file.name} has floating-point numbers: written with 16 bits")
    channels = values.shape[2]
    if channels > 4:
        raise InputError(f"{file} with {channels} channels", "grey or RGB, with or without alpha")
    alpha = values[..., -1:] if channels in (2, 4) else None
    grey = channels < 3
    colours = np.repeat(values[..., :1], 3, axis=-1) if grey else values[..., :3]
    if alpha is not None:
        colours = _filled(colours, alpha[..., 0])
    return Photograph(colours, alpha, grey, 16 if depth == 16 else 8, profile, exif, tuple(notes))


def write_photograph(path: Path, source: Photograph, colours: np.ndarray) -> None:
    """Write an enlargement with what belongs to its source.

    Args:
        path: its suffix names the format.
        source: whose enlargement it is.
        colours: (rows, columns, 3) uint8 or uint16.

    Raises:
        InputError: if the format cannot hold it.
    """
    if source.grey:
        mean = np.einsum("yxc,c->yx", colours.astype(np.float32), GREY)[..., None]
        colours = np.rint(mean).astype(colours.dtype)
    if source.alpha is not None:
        alpha = resized(source.alpha, (colours.shape[0], colours.shape[1])).clip(0, 1)
        colours = np.concatenate([colours, numbers(alpha, colours.dtype.type)], axis=-1)
    write_pixels(path, colours, profile=source.profile, exif=source.exif)


def stored_type(source: Photograph, path: Path) -> type[np.unsignedinteger[Any]]:
    """The numbers of a result: 16 bits if the source has them and the format holds them."""
    return np.uint16 if source.depth == 16 and path.suffix.lower() in (".png", ".tif", ".tiff") else np.uint8


def _tags(file: Path) -> tuple[str, bytes | None, bytes | None]:
    """The mode, the ICC profile, and the EXIF tags as of an upright picture."""
    with open(file, "rb") as stream:
        is_tiff = stream.read(4) in TIFF
    if is_tiff:  # Pillow does not know all of them
        with decoding(file, "a picture"), tifffile.TiffFile(file) as tiff:
            page = tiff.pages.first
            tag = page.tags.get(ICC_PROFILE)
            separated = page.photometric == tifffile.PHOTOMETRIC.SEPARATED
            return "CMYK" if separated else "", bytes(tag.value) if tag else None, None
    with decoding(file, "a picture"), Image.open(file) as image:
        frames = getattr(image, "n_frames", 1)
        if frames > 1 and image.format != "MPO":  # cameras put a preview after the picture
            raise InputError(f"{file}, an animation or stack of {frames} pictures", "one still picture")
        tags = image.getexif()
        exif = None
        if len(tags):
            tags[ORIENTATION] = UPRIGHT
            exif = tags.tobytes()
        return image.mode, image.info.get("icc_profile"), exif


def _from_cmyk(file: Path, profile: bytes | None) -> np.ndarray:
    """The sRGB colours of a CMYK picture: by its profile, else by the complements."""
    with decoding(file, "a picture"), Image.open(file) as image:
        converted: Image.Image | None = image
        if profile:
            srgb = ImageCms.createProfile("sRGB")
            converted = ImageCms.profileToProfile(image, BytesIO(profile), srgb, outputMode="RGB")
        assert converted is not None  # only None where the image is changed in place
        array = np.asarray(converted.convert("RGB"))
        if image.format == "JPEG":  # Pillow turns TIFFs itself
            array = oriented(array, image.getexif().get(ORIENTATION, UPRIGHT))
    return array.astype(np.float32) / 255


def _unit_range(file: Path, values: np.ndarray) -> np.ndarray:
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
        raise InputError(
            f"{file} with values from {np.nanmin(values):.4g} to {np.nanmax(values):.4g}",
            "finite values in [0, 1]",
            "fit a field to it with `ungrid fit`, which takes any values",
        )
    return values


def _filled(colours: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """The colours, where nothing shows replaced by the nearest that shows."""
    hidden = alpha <= 0
    if not hidden.any() or hidden.all():
        return colours
    nearest = distance_transform_edt(hidden, return_distances=False, return_indices=True)
    return colours[tuple(nearest)]
