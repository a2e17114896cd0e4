"""Pictures as people have them: what is kept, what is converted and said, what is refused."""

import io
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from ungrid._base.errors import InputError
from ungrid.io.images import read_image, write_pixels
from ungrid.upscale import read_photograph, stored_type, write_photograph
from ungrid.upscale.resize import resized

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
RNG = np.random.default_rng(0)
COLOURS = RNG.integers(0, 256, (10, 14, 3), dtype=np.uint8)


def through(path: Path, target: Path, factor: int = 2) -> np.ndarray:
    """Read, repeat the pixels, write; the array of the file that was written."""
    given = read_photograph(path)
    dtype = stored_type(given, target)
    numbers = np.rint(given.colours * np.iinfo(dtype).max).astype(dtype)
    write_photograph(target, given, numbers.repeat(factor, axis=0).repeat(factor, axis=1))
    return read_image(target).values


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".bmp"])
def test_colours(suffix: str, tmp_path: Path) -> None:
    Image.fromarray(COLOURS).save(tmp_path / "a.png")
    found = through(tmp_path / "a.png", tmp_path / f"b{suffix}")
    np.testing.assert_allclose(found[::2, ::2], COLOURS / 255, atol=1e-6)
    with Image.open(tmp_path / f"b{suffix}") as image:
        assert np.asarray(image).dtype == np.uint8


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_sixteen_bits(suffix: str, channels: int, tmp_path: Path) -> None:
    deep = RNG.integers(1, 65536, (10, 14, channels), dtype=np.uint16)
    write_pixels(tmp_path / f"a{suffix}", deep)
    given = read_photograph(tmp_path / f"a{suffix}")
    assert (given.depth, given.grey, given.alpha is not None) == (16, channels < 3, channels in (2, 4))
    found = through(tmp_path / f"a{suffix}", tmp_path / f"b{suffix}")
    kept = 1 if channels < 3 else 3
    np.testing.assert_allclose(found[::2, ::2, :kept], deep[..., :kept] / 65535, atol=2e-5)
    assert found.shape[2] == channels


def test_grey_stays_grey(tmp_path: Path) -> None:
    Image.fromarray(COLOURS[..., 0]).save(tmp_path / "a.png")
    found = through(tmp_path / "a.png", tmp_path / "b.jpg")
    assert found.shape == (20, 28, 1)
    with Image.open(tmp_path / "b.jpg") as image:
        assert image.mode == "L"


def test_palettes(tmp_path: Path) -> None:
    Image.fromarray(COLOURS).quantize(16).save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        wanted = np.asarray(image.convert("RGB")) / 255
    np.testing.assert_allclose(through(tmp_path / "a.png", tmp_path / "b.png")[::2, ::2], wanted, atol=1e-6)


def test_alpha_is_bicubic_and_hidden_colours_do_not_bleed(tmp_path: Path) -> None:
    alpha = np.zeros((10, 14), dtype=np.uint8)
    alpha[3:7, 4:10] = 255
    hidden = np.where(alpha[..., None] > 0, np.uint8([200, 30, 60]), np.uint8([0, 255, 0]))
    Image.fromarray(np.concatenate([hidden, alpha[..., None]], axis=-1)).save(tmp_path / "a.png")
    given = read_photograph(tmp_path / "a.png")
    np.testing.assert_allclose(given.colours, np.broadcast_to(np.array([200, 30, 60]) / 255, (10, 14, 3)), atol=1e-6)
    found = through(tmp_path / "a.png", tmp_path / "b.png")
    wanted = resized((alpha / 255)[..., None], (20, 28)).clip(0, 1)
    np.testing.assert_allclose(found[..., 3:], wanted, atol=1 / 255)
    with pytest.raises(InputError, match="with alpha"):
        through(tmp_path / "a.png", tmp_path / "b.jpg")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp"])
def test_profiles_and_tags(suffix: str, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "Maker", 6
    Image.fromarray(COLOURS).save(tmp_path / "a.jpg", icc_profile=PROFILE, exif=exif, quality=100, subsampling=0)
    through(tmp_path / "a.jpg", tmp_path / f"b{suffix}")
    with Image.open(tmp_path / f"b{suffix}") as image:
        assert image.info.get("icc_profile") == PROFILE
        assert image.size == (20, 28)  # upright: it was 14 wide and lay on its side
        if suffix != ".tif":
            assert image.getexif()[0x010F] == "Maker"
            assert image.getexif()[0x0112] == 1


def test_the_profile_of_sixteen_bits(tmp_path: Path) -> None:
    deep = RNG.integers(0, 65536, (10, 14, 3), dtype=np.uint16)
    write_pixels(tmp_path / "a.png", deep, profile=PROFILE)
    through(tmp_path / "a.png", tmp_path / "b.png")
    with Image.open(tmp_path / "b.png") as image:
        assert image.info["icc_profile"] == PROFILE
    assert np.array_equal(read_image(tmp_path / "a.png").values, (deep / np.float32(65535)).astype(np.float32))


def test_cmyk_is_converted_and_said(tmp_path: Path) -> None:
    Image.fromarray(COLOURS).convert("CMYK").save(tmp_path / "a.jpg", quality=100, subsampling=0)
    given = read_photograph(tmp_path / "a.jpg")
    assert "CMYK" in given.notes[0]
    np.testing.assert_allclose(given.colours, COLOURS / 255, atol=0.06)


def test_floats_inside_the_unit_interval(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", (COLOURS / 255).astype(np.float32), photometric="rgb")
    given = read_photograph(tmp_path / "a.tif")
    assert (given.depth, len(given.notes)) == (16, 1)
    tifffile.imwrite(tmp_path / "b.tif", COLOURS.astype(np.float32), photometric="rgb")
    with pytest.raises(InputError, match="ungrid fit"):
        read_photograph(tmp_path / "b.tif")


def test_formats_without_sixteen_bits(tmp_path: Path) -> None:
    write_pixels(tmp_path / "a.png", RNG.integers(0, 65536, (10, 14, 3), dtype=np.uint16))
    assert through(tmp_path / "a.png", tmp_path / "b.jpg").shape == (20, 28, 3)
    with pytest.raises(InputError, match="16 bits"):
        write_pixels(tmp_path / "c.jpg", np.zeros((2, 2, 3), np.uint16))


def test_what_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.NEF").write_bytes(b"II*\0 raw")
    with pytest.raises(InputError, match="TIFF or PNG"):
        read_photograph(tmp_path / "a.NEF")
    frames = [Image.fromarray(COLOURS), Image.fromarray(COLOURS[::-1].copy())]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    with pytest.raises(InputError, match="2 pictures"):
        read_photograph(tmp_path / "a.gif")
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:])
    with pytest.raises(InputError, match="2 pictures"):
        read_photograph(tmp_path / "a.webp")
    target = io.BytesIO()
    frames[0].save(target, "JPEG")
    (tmp_path / "b.jpg").write_bytes(target.getvalue()[: len(target.getvalue()) // 2])
    with pytest.raises(InputError, match="damaged or cut short"):
        read_photograph(tmp_path / "b.jpg")
    with pytest.raises(InputError, match="does not exist"):
        read_photograph(tmp_path / "none.png")
