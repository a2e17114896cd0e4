"""The command on tables of scattered measurements: groups, projections, intervals, the hold-out made again."""

import csv

import numpy as np
import pytest

import ungrid as library
from ungrid.signals import planning


@pytest.fixture
def table(tmp_path):
    """A plane over degrees about (9 E, 50 N), measured in six campaigns, with a little noise."""
    rng = np.random.default_rng(0)
    lon, lat = rng.uniform(8.9, 9.1, 120), rng.uniform(49.9, 50.1, 120)
    v = 2 * lon - lat + 1e-3 * rng.standard_normal(120)
    path = tmp_path / "plane.csv"
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["lon", "lat", "v", "campaign"])
        writer.writerows(zip(lon, lat, v, np.arange(120) % 6, strict=True))
    return path


def test_heldout_metrics_are_made_again_from_the_file(ungrid, table, tmp_path):
    """Whole groups are left out; the seed in the header gives the same ones, so the figures agree."""
    words = ["--values", "v", "--method", "grid", "--holdout", "campaign", "--seed", "3", "--steps", "40"]
    fitted = ungrid("fit", table, "-o", tmp_path / "p.field", *words, "--json").object["metrics"]
    found = ungrid("evaluate", tmp_path / "p.field", "--json").object["metrics"]
    for name in ("heldout_rmse", "heldout_mae"):
        assert found[name] == pytest.approx(fitted[name], rel=1e-4)
    assert found["heldout_rmse"] != pytest.approx(found["rmse"], rel=1e-3)


def test_heldout_metrics_of_a_picture(ungrid, picture, tmp_path):
    words = ["--holdout", "0.2", "--seed", "3", "--steps", "40"]
    fitted = ungrid("fit", picture, "-o", tmp_path / "p.field", *words, "--json").object["metrics"]
    found = ungrid("evaluate", tmp_path / "p.field", "--json").object["metrics"]
    assert found["heldout_psnr_db"] == pytest.approx(fitted["heldout_psnr_db"], abs=1e-3)


def test_projected_axes_are_in_metres(ungrid, table, tmp_path):
    """At the central meridian of UTM zone 32 (9 degrees east) the easting is 500 km by definition."""
    words = ["--values", "v", "--crs-from", "4326", "--crs-to", "32632", "--method", "grid", "--steps", "5"]
    assert ungrid("fit", table, "-o", tmp_path / "p.field", *words).code == 0
    x, y = library.load(tmp_path / "p.field").domain.axes
    assert (x.name, x.unit, y.name) == ("x", "m", "y")
    assert x.low < 500_000 < x.high
    assert ungrid("evaluate", tmp_path / "p.field").code == 0  # read again in the same way


@pytest.mark.slow
def test_closed_form_table_and_intervals(ungrid, table, tmp_path):
    field, page = tmp_path / "p.field", tmp_path / "p.html"
    words = ["--values", "v", "--group", "campaign", "--budget", "0.1", "--report", page, "--json"]
    done = ungrid("fit", table, "-o", field, *words)
    rows = {row["method"]: row for row in done.object["metrics"]["table"]}
    assert {"inverse distance", "local kriging"} < set(rows)
    assert "inverse distance" in page.read_text()
    assert "on held-out samples" in done.err
    assert ungrid("render", field, "-o", tmp_path / "p.csv", "--size", "8x8", "--interval", "0.9").code == 0
    with open(tmp_path / "p.csv", newline="") as file:
        written = list(csv.DictReader(file))
    middle = written[len(written) // 2]
    assert float(middle["v_lower"]) < float(middle["v"]) < float(middle["v_upper"])
    x = np.array([[float(middle["lon"]), float(middle["lat"])]])
    assert float(middle["v"]) == pytest.approx(float(library.load(field)(x)[0, 0]), rel=1e-4)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--total-variation", "0.1"], "samples on a grid"),
        (["--harmonic", "--method", "grid"], "the method 'auto'"),
        (["--crs-from", "4326"], "both"),
        (["--select", "lat"], "name=index"),
        (["--group", "nowhere"], "nowhere"),
        (["--group", "campaign", "--holdout", "v"], "one column"),
        (["--scale", "2"], "scale for plane.csv"),
    ],
)
def test_flags_that_do_not_apply_are_refused(ungrid, table, tmp_path, words, message):
    done = ungrid("fit", table, "-o", tmp_path / "p.field", *words, "--json")
    assert done.code == 2
    assert message in done.object["error"]


def test_plan_of_a_table(ungrid, table, tmp_path):
    plan = ungrid("fit", table, "-o", tmp_path / "p.field", "--values", "v", "--plan", "--json").object["plan"]
    assert (plan["method"], plan["samples"]) == ("spline", 120)
    assert plan["seconds"] > 0
    assert not (tmp_path / "p.field").exists()


def test_planned_seconds_are_those_of_the_steps_and_their_reports(ungrid, picture, tmp_path, monkeypatch):
    """At a hundredth of a second a step, 90,000 more of them take 900 s more: the reports are a fixed number from there on."""
    monkeypatch.setattr(planning, "step_seconds", lambda *_: 0.01)
    monkeypatch.setattr(planning, "choose_bandwidth", lambda *_, **__: None)
    words = ["fit", picture, "-o", tmp_path / "p.field", "--plan", "--threads", "1", "--json"]
    few, many = (ungrid(*words, "--steps", steps).object["plan"]["seconds"] for steps in ("10000", "100000"))
    assert 100 <= few < 200
    assert many - few == pytest.approx(900)
    assert ungrid(*words, "--budget", "7").object["plan"]["seconds"] == 7


def test_standard_errors_of_zero_are_refused(ungrid, tmp_path):
    rows = "\n".join(f"{k % 7},{k // 7},{k * k % 11},0" for k in range(60))
    (tmp_path / "zero.csv").write_text(f"x,y,v,v_std\n{rows}\n")
    done = ungrid("fit", tmp_path / "zero.csv", "-o", tmp_path / "z.field", "--json")
    assert done.code == 2
    assert "most of which are 0" in done.object["error"]


def test_equal_values_and_rows_that_miss_one(ungrid, tmp_path):
    rows = "\n".join(f"{k % 7},{k // 7},{'' if k % 10 == 0 else 3.5}" for k in range(60))
    (tmp_path / "flat.csv").write_text(f"x,y,v\n{rows}\n")
    done = ungrid("fit", tmp_path / "flat.csv", "-o", tmp_path / "F.FIELD", "--steps", "2", "--json")
    assert done.code == 0
    assert "6 of 60 rows are left out" in done.err
    assert library.load(tmp_path / "F.FIELD")(np.array([[3.0, 4.0]]))[0, 0] == pytest.approx(3.5, abs=1e-3)


def test_values_beyond_16_bits_are_stored_in_32(ungrid, tmp_path):
    rows = "\n".join(f"{k % 7},{k // 7},{1e7 * np.sin(k % 7 + k // 7)}" for k in range(60))
    (tmp_path / "large.csv").write_text(f"x,y,v\n{rows}\n")
    done = ungrid("fit", tmp_path / "large.csv", "-o", tmp_path / "h.field", "--steps", "2", "--half", "--json")
    assert done.code == 0
    assert "stored in 32 bits" in done.err
    assert np.isfinite(library.load(tmp_path / "h.field")(np.array([[3.0, 4.0]]))).all()


def test_infinite_samples_are_refused(ungrid, tmp_path):
    values = np.ones((20, 20), np.float32)
    values[3, 4] = np.inf
    np.save(tmp_path / "a.npy", values)
    done = ungrid("fit", tmp_path / "a.npy", "-o", tmp_path / "a.field", "--json")
    assert done.code == 2
    assert "1 infinite samples" in done.object["error"]
