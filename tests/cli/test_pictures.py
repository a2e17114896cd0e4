"""The picture in the terminal, and the page."""

import re

import numpy as np
import pytest

from ungrid._base.errors import InputError
from ungrid.cli.picture import as_rgb, half_blocks, in_two_colours
from ungrid.cli.report import Report, chart


def test_half_blocks_show_two_rows_a_line():
    values = np.zeros((4, 3, 3))
    values[0, 0] = (1, 0, 0)
    values[1, 0] = (0, 0, 1)
    text = half_blocks(values, columns=80)
    assert text.plain == "▀▀▀\n▀▀▀\n"
    first = text.spans[0].style
    assert first.color.triplet == (255, 0, 0)
    assert first.bgcolor.triplet == (0, 0, 255)


def test_half_blocks_fit_the_terminal():
    lines = half_blocks(np.ones((600, 900, 1)), columns=60).plain.splitlines()
    assert {len(line) for line in lines} == {60}
    assert len(lines) == 20


def test_as_rgb():
    assert as_rgb(np.array([[[2.0]], [[np.nan]]])).tolist() == [[[255] * 3], [[0] * 3]]
    assert as_rgb(np.array([[[1.0, 1.0, 1.0, 0.0]]])).tolist() == [[[0, 0, 0]]]


def test_differences_are_white_at_zero_and_equally_light_at_both_ends():
    below, zero, above, nowhere = in_two_colours(np.array([[-2.0, 0.0, 2.0, np.nan]]), 2.0)[0]
    assert zero.tolist() == [1, 1, 1]
    assert below[2] > below[0]
    assert above[0] > above[2]
    light = np.array([0.2126, 0.7152, 0.0722])
    assert abs(light @ below - light @ above) < 0.05
    assert 0 < nowhere.min() == nowhere.max() < 1


def test_a_straight_line_is_drawn_straight():
    drawn = chart({"a": [(t, 3 * t + 1) for t in (0.0, 1.0, 2.0, 5.0)]}, x="seconds", y="value")
    points = re.search(r'polyline points="([^"]+)"', drawn)[1].split()
    (x0, y0), *rest = [tuple(map(float, point.split(","))) for point in points]
    slopes = [(y - y0) / (x - x0) for x, y in rest]
    np.testing.assert_allclose(slopes, slopes[-1], rtol=0.01)
    assert slopes[0] < 0  # up on the page


def test_powers_of_ten_are_equally_far_apart_on_a_log_scale():
    drawn = chart({"a": [(k, 10.0**-k) for k in range(4)]}, x="x", y="loss", log=True)
    heights = [float(p.split(",")[1]) for p in re.search(r'polyline points="([^"]+)"', drawn)[1].split()]
    np.testing.assert_allclose(np.diff(heights), np.diff(heights)[0], atol=0.11)


@pytest.mark.parametrize("curve", [[(1.0, 2.0)], [(0.0, 0.0), (1.0, 0.0)], [(0.0, float("nan")), (1.0, 5.0)]])
def test_charts_of_few_points(curve):
    assert "nan" not in chart({"a": curve}, x="x", y="y")


def test_nothing_to_draw():
    assert "nothing to draw" in chart({"a": [(0.0, -1.0)]}, x="x", y="loss", log=True)


def test_text_from_outside_is_escaped(tmp_path):
    page = Report("<script>")
    page.table("A & B", {"x<y": "<b>", "row": {"PSNR": 1.0}})
    page.write(tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert "<script>" not in text
    assert "&lt;b&gt;" in text
    assert [file.name for file in tmp_path.iterdir()] == ["page.html"]


def test_a_page_that_cannot_be_written(tmp_path):
    with pytest.raises(InputError, match="cannot write"):
        Report("x").write(tmp_path / "missing" / "page.html")
