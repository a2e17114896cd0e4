import itertools
import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from ungrid._base.errors import InputError
from ungrid.domains import RegularGrid
from ungrid.io import from_array, read, write
from ungrid.io.images import read_image, write_image
from ungrid.io.png16 import decode, encode
from ungrid.sampling import GridSamples


def picture(values: np.ndarray, **metadata) -> GridSamples:
    names = {1: ("grey",), 3: ("red", "green", "blue"), 4: ("red", "green", "blue", "alpha")}[values.shape[2]]
    grid = RegularGrid.isotropic(values.shape[:2], ("y", "x"))
    return GridSamples(grid, values.astype(np.float32), names, "image", 1.0, metadata)


def png_chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


@pytest.mark.parametrize(
    ("suffix", "depth", "channels"),
    [
        *itertools.product([".png", ".tif"], [8, 16], [1, 3, 4]),
        *itertools.product([".bmp"], [8], [1, 3]),
        *itertools.product([".webp"], [8], [3, 4]),
    ],
)
def test_whole_numbers_come_back_exactly(tmp_path, suffix, depth, channels):
    top = 2**depth - 1
    stored = np.random.default_rng(depth + channels).integers(0, top + 1, (7, 5, channels))
    stored[..., -1] |= 1  # lossless WebP does not keep colours where alpha is 0
    path = tmp_path / f"a{suffix}"
    write(path, picture(stored / top, bit_depth=depth))
    back = read(path)
    assert back.values.dtype == np.float32
    assert np.array_equal(np.rint(back.values.astype(np.float64) * top), stored)
    assert back.metadata["bit_depth"] == depth
    assert len(back.out_names) == channels
    assert back.peak == 1.0
    write(path, back)
    assert np.array_equal(read(path).values, back.values)


def test_axes_are_y_then_x_with_square_pixels(tmp_path):
    write(tmp_path / "a.png", picture(np.zeros((10, 20, 1))))
    axes = read(tmp_path / "a.png").grid.box.axes
    assert [(axis.name, axis.low, axis.high) for axis in axes] == [("y", -0.5, 0.5), ("x", -1.0, 1.0)]


def test_float_tiff_keeps_its_range_and_its_gaps(tmp_path):
    values = np.array([[-3.5, 2.0], [np.nan, 7.25]], dtype=np.float32)[..., None]
    tifffile.imwrite(tmp_path / "a.tif", values[..., 0])
    back = read(tmp_path / "a.tif")
    assert np.array_equal(back.values, values, equal_nan=True)
    assert back.peak == 7.25 + 3.5
    assert back.missing == 1
    write(tmp_path / "b.tif", back)
    assert np.array_equal(read(tmp_path / "b.tif").values, values, equal_nan=True)
    with pytest.raises(InputError, match="full scale"):
        write(tmp_path / "b.png", back)


def test_jpeg_is_near(tmp_path):
    y, x = np.mgrid[0:64, 0:48] / 64
    values = np.stack([x, y, (x + y) / 2], axis=-1)
    write(tmp_path / "a.jpg", picture(values))
    error = read(tmp_path / "a.jpg").values - values
    assert 10 * np.log10(1 / np.mean(error**2)) > 40


def test_palette_and_transparency_become_colours(tmp_path):
    image = Image.new("P", (3, 2))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putdata([0, 1, 0, 1, 0, 1])
    image.save(tmp_path / "a.png")
    image.save(tmp_path / "b.png", transparency=1)
    red, blue = [1, 0, 0], [0, 0, 1]
    assert np.array_equal(read(tmp_path / "a.png").values, [[red, blue, red], [blue, red, blue]])
    assert np.array_equal(read(tmp_path / "b.png").values[0, :, 3], [1, 0, 1])


# The rows and columns that the viewer sees at the top and at the left, EXIF 2.3, table 4.6.4-A:
# orientation: (0th row is the visual ..., 0th column is the visual ...)
ORIENTATIONS = {1: "TL", 2: "TR", 3: "BR", 4: "BL", 5: "LT", 6: "RT", 7: "RB", 8: "LB"}


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_exif_orientation_is_applied(tmp_path, orientation, suffix):
    stored = np.zeros((16, 24), dtype=np.uint8)
    stored[:8], stored[:, :8] = 100, 200  # row 0 is 100 at its end, column 0 is 200 throughout
    path = tmp_path / f"a{suffix}"
    if suffix == ".tif":
        tifffile.imwrite(path, stored, extratags=[(274, "H", 1, orientation, True)])
    else:
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(stored).save(path, exif=exif)
    shown = read(path).values[..., 0]
    row, column = ORIENTATIONS[orientation]
    sides = {"T": shown[0], "B": shown[-1], "L": shown[:, 0], "R": shown[:, -1]}
    assert np.median(sides[column]) == pytest.approx(200 / 255, abs=0.02)
    assert np.sort(sides[row])[len(sides[row]) // 4] == pytest.approx(100 / 255, abs=0.02)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_compressed_tiffs_are_turned_once(tmp_path, orientation):
    stored = np.random.default_rng(0).integers(0, 256, (6, 9, 3)).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(stored).save(tmp_path / "a.tif", compression="tiff_lzw", exif=exif)
    tifffile.imwrite(tmp_path / "b.tif", stored, photometric="rgb", extratags=[(274, "H", 1, orientation, True)])
    assert np.array_equal(read(tmp_path / "a.tif").values, read(tmp_path / "b.tif").values)


def test_more_modes(tmp_path):
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
    Image.fromarray(grey).convert("CMYK").save(tmp_path / "cmyk.jpg", quality=100)
    assert read(tmp_path / "cmyk.jpg").values.shape == (3, 4, 3)
    Image.fromarray(grey > 100).save(tmp_path / "bits.png")
    assert np.array_equal(read(tmp_path / "bits.png").values[..., 0], grey > 100)
    tifffile.imwrite(
        tmp_path / "planes.tif", np.stack([grey, grey // 2, grey // 4]), photometric="rgb", planarconfig="separate"
    )
    planes = read(tmp_path / "planes.tif").values * 255
    np.testing.assert_allclose(planes, np.stack([grey, grey // 2, grey // 4], axis=-1), atol=1e-4)
    many = from_array(np.random.default_rng(1).normal(size=(4, 5, 6)), "image")
    write(tmp_path / "many.tif", many)
    assert np.array_equal(read(tmp_path / "many.tif").values, many.values)
    tifffile.imwrite(tmp_path / "white.tif", grey, photometric="miniswhite")
    np.testing.assert_allclose(read(tmp_path / "white.tif").values[..., 0] * 255, 255 - grey, atol=1e-4)


def test_premultiplied_tiff_becomes_straight(tmp_path):
    stored = np.array([[[100, 50, 0, 200], [0, 0, 0, 0]]], dtype=np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", extrasamples=["assocalpha"])
    values = read(tmp_path / "a.tif").values
    np.testing.assert_allclose(values[0, 0], [0.5, 0.25, 0, 200 / 255], rtol=1e-6)
    assert np.array_equal(values[0, 1], [0, 0, 0, 0])


def test_missing_samples_become_transparent(tmp_path):
    values = np.full((2, 3, 3), 0.2)
    values[1, 2] = np.nan
    write(tmp_path / "a.png", picture(values))
    alpha = read(tmp_path / "a.png").values[..., 3]
    assert alpha[1, 2] == 0
    assert alpha.sum() == 5
    with pytest.raises(InputError, match="missing"):
        write(tmp_path / "a.jpg", picture(values))


def unfiltered_slowly(kinds, lines):
    """ISO/IEC 15948:2004, clause 9, byte by byte."""
    height, width, depth = lines.shape
    out = np.zeros((height, width, depth), dtype=int)
    for i, j, k in np.ndindex(height, width, depth):
        a = out[i, j - 1, k] if j else 0
        b = out[i - 1, j, k] if i else 0
        c = out[i - 1, j - 1, k] if i and j else 0
        nearest = min((abs(b - c), 0, a), (abs(a - c), 1, b), (abs(a + b - 2 * c), 2, c))[2]
        out[i, j, k] = (lines[i, j, k] + (0, a, b, (a + b) // 2, nearest)[kinds[i]]) % 256
    return out


@pytest.mark.parametrize("color", [0, 2, 4, 6])
def test_every_png_filter_is_undone(color):
    rng = np.random.default_rng(color)
    height, width, depth = 12, 7, 2 * {0: 1, 4: 2, 2: 3, 6: 4}[color]
    kinds, lines = rng.integers(0, 5, height), rng.integers(0, 256, (height, width, depth))
    raw = np.concatenate([kinds[:, None], lines.reshape(height, -1)], axis=1).astype(np.uint8).tobytes()
    header = struct.pack(">IIBBBBB", width, height, 16, color, 0, 0, 0)
    body = zlib.compress(raw)
    data = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", body) + png_chunk(b"IEND", b"")
    slow = unfiltered_slowly(kinds, lines).reshape(height, width, -1, 2)
    assert np.array_equal(decode(data), slow[..., 0] * 256 + slow[..., 1])


def test_pillow_reads_our_16_bit_grey(tmp_path):
    samples = np.random.default_rng(0).integers(0, 65536, (6, 9, 1)).astype(np.uint16)
    (tmp_path / "a.png").write_bytes(encode(samples))
    with Image.open(tmp_path / "a.png") as image:
        assert np.array_equal(np.asarray(image), samples[..., 0])


@pytest.mark.parametrize("depth", [8, 16])
def test_a_header_bomb_is_refused_before_it_is_unpacked(tmp_path, depth):
    header = struct.pack(">IIBBBBB", 10000, 10000, depth, 2, 0, 0, 0)
    body = zlib.compress(bytes(1000))
    data = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", body) + png_chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(InputError, match="promises"):
        read(tmp_path / "a.png")


def test_large_flat_pictures_pass(tmp_path):
    """Fourteen megapixels of one colour: the best that deflate can do must not be taken for a bomb."""
    Image.new("RGB", (3750, 3750), (9, 9, 9)).save(tmp_path / "a.png")
    assert read(tmp_path / "a.png").values.shape == (3750, 3750, 3)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".bmp", ".webp"])
@pytest.mark.parametrize("depth", [8, 16])
def test_a_stump_is_refused_and_a_tail_is_ignored(tmp_path, suffix, depth):
    path = tmp_path / f"a{suffix}"
    write(path, picture(np.random.default_rng(0).random((60, 50, 3)), bit_depth=depth))
    data, whole = path.read_bytes(), read(path).values
    for share in (0.2, 0.5, 0.9):
        path.write_bytes(data[: int(share * len(data))])
        with pytest.raises(InputError):
            read(path)
    path.write_bytes(data + b"something behind the end")
    assert np.array_equal(read(path).values, whole)


def test_one_pixel_and_stacks_are_refused(tmp_path):
    Image.new("L", (1, 1)).save(tmp_path / "a.png")
    with pytest.raises(InputError, match="at least two samples"):
        read(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((3, 8, 8), np.uint8), photometric="minisblack")
    with pytest.raises(InputError, match="several pages"):
        read(tmp_path / "a.tif")


def test_text_named_png_and_jpeg_named_png(tmp_path):
    (tmp_path / "a.png").write_text("this is not a picture")
    with pytest.raises(InputError, match="begins with"):
        read(tmp_path / "a.png")
    with pytest.raises(InputError):
        read_image(tmp_path / "a.png")
    Image.new("RGB", (4, 4)).save(tmp_path / "b.png", "JPEG")
    assert read(tmp_path / "b.png").metadata["format"] == "jpeg"


def test_targets_that_cannot_be(tmp_path):
    flat = picture(np.zeros((2, 2, 4)))
    with pytest.raises(InputError, match="4 channels"):
        write(tmp_path / "a.jpg", flat)
    with pytest.raises(InputError, match="existing folder"):
        write(tmp_path / "none" / "a.png", flat)
    with pytest.raises(InputError, match="a picture named"):
        write_image(tmp_path / "a.gif", flat)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", ["CMYK", "LAB", "YCbCr"])
def test_tiffs_of_other_colours_become_rgb(tmp_path, mode):
    colours = np.zeros((16, 16, 3), np.uint8)
    colours[:8], colours[8:] = (200, 60, 40), (20, 90, 160)
    image = Image.fromarray(colours)
    if mode == "LAB":
        lab = ImageCms.profileToProfile(
            image, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
        )
        lab.save(tmp_path / "a.tif")
    else:
        image.convert(mode).save(tmp_path / "a.tif")
    found = read_image(tmp_path / "a.tif").values
    assert found.shape == (16, 16, 3)
    np.testing.assert_allclose(found, colours / 255, atol=0.03)


def test_bytes_in_the_other_order_are_the_same_numbers(tmp_path):
    values = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000
    first, second = from_array(values), from_array(values.astype(values.dtype.newbyteorder()))
    np.testing.assert_array_equal(first.values, second.values)
    assert first.peak == second.peak == 1.0
