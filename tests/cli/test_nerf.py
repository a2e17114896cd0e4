"""`ungrid nerf` and the views that `ungrid render` makes of its field."""

import json

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

import ungrid as library
from ungrid import radiance
from ungrid.io.scenes import picture, read_scene
from ungrid.radiance.builtin import write_scene


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_scene(tmp_path_factory.mktemp("scene"), views=12, tests=2, size=32)


@pytest.fixture(scope="module")
def field(folder, tmp_path_factory):
    from ungrid.io import save
    from ungrid.radiance import reconstruct

    return save(reconstruct(read_scene(folder), steps=60).field, tmp_path_factory.mktemp("field") / "scene.field")


def test_photographs_to_a_field_with_a_report(ungrid, folder, tmp_path):
    page = tmp_path / "page.html"
    done = ungrid("nerf", folder, "-o", tmp_path / "a.field", "--steps", "40", "--report", page, "--json")
    assert done.code == 0
    assert done.object["outputs"] == [str(tmp_path / "a.field"), str(page)]
    assert done.object["protocol"]["fitted_views"] == 12
    assert done.object["protocol"]["resolution"] == "32x32"
    metrics = done.object["metrics"]
    truth = [picture(view, (1.0, 1.0, 1.0))[0] / 255.0 for view in read_scene(folder).held_out]
    grey = -10 * np.log10(np.mean([np.mean((one - one.mean(axis=(0, 1))) ** 2) for one in truth]))
    assert metrics["heldout_psnr_db"] > grey + 3
    assert len(metrics["heldout_views"]) == 2
    assert "Protocol" in page.read_text()
    again = ungrid("evaluate", tmp_path / "a.field", "--json")
    assert again.code == 0
    assert again.object["metrics"]["heldout_psnr_db"] == pytest.approx(metrics["heldout_psnr_db"], abs=1e-4)
    assert again.object["protocol"] == done.object["protocol"]
    assert not (tmp_path / "a.checkpoint").exists()


def test_the_networks_of_the_paper_on_shrunk_pictures(ungrid, folder, tmp_path):
    done = ungrid(
        "nerf", folder, "-o", tmp_path / "a.field", "--method", "nerf", "--shrink", "4", "--steps", "1", "--json"
    )
    assert done.code == 0
    assert done.object["protocol"]["resolution"] == "8x8"
    again = ungrid("evaluate", tmp_path / "a.field", "--json")
    assert again.object["metrics"]["heldout_psnr_db"] == pytest.approx(
        done.object["metrics"]["heldout_psnr_db"], abs=1e-4
    )
    assert ungrid("nerf", folder, "-o", tmp_path / "b.field", "--method", "splats").code == 2


def test_the_plan_does_nothing(ungrid, folder, tmp_path):
    done = ungrid("nerf", folder, "-o", tmp_path / "a.field", "--plan", "--json")
    assert (done.code, done.object["plan"]["views"], done.object["plan"]["rays"]) == (0, 12, 12 * 32 * 32)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("quantity", ["value", "depth", "normals", "opacity"])
def test_a_view_as_a_picture(ungrid, field, tmp_path, quantity):
    done = ungrid("render", field, "-o", tmp_path / "a.png", "--quantity", quantity, "--size", "40x20", "--json")
    assert (done.code, done.object["shape"]) == (0, [20, 40])
    assert library.read(tmp_path / "a.png").values.std() > 0.02


def test_an_orbit_as_a_clip(ungrid, field, tmp_path):
    pytest.importorskip("av")
    done = ungrid("render", field, "-o", tmp_path / "a.mp4", "--orbit", "6", "--fps", "3", "--size", "31x33")
    assert done.code == 0
    clip = library.read(tmp_path / "a.mp4")
    assert clip.values.shape == (6, 34, 32, 3)
    assert clip.grid.box.axes[0].length == pytest.approx(2.0)


def test_a_camera_path_of_nerfstudio(ungrid, field, folder, tmp_path):
    """The path's only camera is one of the data set's: the same picture."""
    camera = read_scene(folder).views[0].camera
    fov = float(np.degrees(2 * np.arctan(camera.height / (2 * camera.fy))))
    frame = {"camera_to_world": list(camera.pose), "fov": fov, "aspect": 1.0}
    content = {"camera_type": "perspective", "render_height": 32, "render_width": 32, "fps": 24, "camera_path": [frame]}
    (tmp_path / "path.json").write_text(json.dumps(content))
    for name, flags in (("a.png", ("--camera", tmp_path / "path.json")), ("b.png", ())):
        assert ungrid("render", field, "-o", tmp_path / name, *flags).code == 0
    first, second = (library.read(tmp_path / name).values for name in ("a.png", "b.png"))
    np.testing.assert_allclose(first, second, atol=1.5 / 255)


def test_the_density_as_a_volume(ungrid, field, tmp_path):
    done = ungrid("render", field, "-o", tmp_path / "a.npy", "--size", "8x9x10")
    assert done.code == 0
    density = np.load(tmp_path / "a.npy")
    assert density.shape[:3] == (10, 9, 8)
    assert density.min() >= 0
    assert density.max() > 1


def test_the_surface_as_a_mesh(ungrid, field, tmp_path):
    trimesh = pytest.importorskip("trimesh")
    pytest.importorskip("skimage")
    done = ungrid("render", field, "-o", tmp_path / "a.ply", "--json")
    assert (done.code, done.object["open_edges"]) == (0, 0)
    mesh = trimesh.load(tmp_path / "a.ply", process=False)
    assert len(mesh.faces) == done.object["faces"] > 100
    assert mesh.visual.vertex_colors[:, :3].std() > 5


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--size", "9x9x9", "-o", "a.ply"), "its whole surface"),
        (("--quantity", "depth", "-o", "a.npy"), "a radiance field, as a picture or a clip"),
        (("--size", "0x4", "-o", "a.png"), "the size '0x4'"),
        (("--quantity", "gradient", "-o", "a.png"), "the quantity 'gradient'"),
        (("--camera", "nowhere.json", "-o", "a.png"), "does not exist"),
        (("--camera", "nowhere.json", "--orbit", "3", "-o", "a.mp4"), "one of the two"),
        (("--region", "0:1,0:1", "-o", "a.png"), "a part, a rate or an interval"),
        (("--fps", "-3", "-o", "a.mp4"), "-3 frames a second"),
    ],
)
def test_wrong_views(ungrid, field, flags, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = ungrid("render", field, *flags)
    assert done.code == 2
    assert message in done.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--background", "pink"), "white or black"),
        (("--box", "0:1,0:1"), "X0:X1,Y0:Y1,Z0:Z1"),
        (("--box", "1:0,0:1,0:1"), "low < high"),
        (("-o", "scene.png"), ".field"),
        (("--budget", "-1"), "positive numbers"),
        (("--budget", "0"), "positive numbers"),
        (("--method", "nerf", "--unbounded"), "--method bricks"),
        (("--scale-by", "r_0:9,9", "r_0:9,9", "9mm"), "twice"),
        (("--scale-by", "r_0:9,9", "r_0:20,9", "long"), "the length 'long'"),
        (("--scale-by", "r_99:9,9", "r_0:20,9", "9mm"), "no photograph 'r_99'"),
    ],
)
def test_wrong_use(ungrid, folder, flags, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = ungrid("nerf", folder, *flags)
    assert done.code == 2
    assert message in done.err
    assert list(tmp_path.iterdir()) == []


def test_damaged_held_out_pictures_are_noticed_before_the_fit(ungrid, tmp_path, monkeypatch):
    scene = write_scene(tmp_path / "scene", views=4, tests=2, size=16)
    file = next((scene / "test").glob("*.png"))
    file.write_bytes(file.read_bytes()[:-40])
    monkeypatch.setattr(radiance, "reconstruct", None)  # is not come to
    done = ungrid("nerf", scene, "-o", tmp_path / "a.field", "--steps", "4")
    assert done.code == 2
    assert file.name in done.err


def test_an_interrupt_while_measuring_leaves_the_field(ungrid, folder, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(radiance, "held_out_metrics", interrupted)
    done = ungrid("nerf", folder, "-o", tmp_path / "a.field", "--steps", "4", "--json")
    assert done.code == 0
    assert "heldout_psnr_db" not in done.object["metrics"]
    assert library.load(tmp_path / "a.field").kept > 0


def test_cameras_that_were_found_are_used_again(ungrid, folder, tmp_path):
    """Photographs without cameras, and a model of theirs where an earlier run would have left it."""
    views = read_scene(folder).views
    (tmp_path / "photos").mkdir()
    model = tmp_path / "a.poses" / "cameras" / "0"
    model.mkdir(parents=True)
    lines = []
    for k, view in enumerate(views):
        Image.fromarray(picture(view, (1.0, 1.0, 1.0))[0]).save(tmp_path / "photos" / f"{k:02d}.png")
        turn = (view.camera.matrix[:3, :3] @ np.diag([1.0, -1, -1])).T
        x, y, z, w = Rotation.from_matrix(turn).as_quat()
        shift = -turn @ view.camera.position
        lines.append(" ".join(map(str, [k + 1, w, x, y, z, *shift.tolist(), 1, f"{k:02d}.png"])) + "\n")
    (model / "images.txt").write_text("\n".join(lines) + "\n")
    (model / "cameras.txt").write_text(f"1 SIMPLE_PINHOLE 32 32 {views[0].camera.fx} 16 16\n")
    words = ("nerf", tmp_path / "photos", "-o", tmp_path / "a.field", "--steps", "4", "--json")
    done = ungrid(*words)
    assert done.code == 0
    assert f"the cameras in {model} are used" in done.err
    again = ungrid("evaluate", tmp_path / "a.field", "--json")
    assert again.object["metrics"]["heldout_psnr_db"] == pytest.approx(
        done.object["metrics"]["heldout_psnr_db"], abs=1e-4
    )
    other = ungrid("evaluate", tmp_path / "a.field", "--against", folder, "--json")
    assert other.object["protocol"]["heldout_views"] == len(read_scene(folder).held_out)


def test_marks_that_show_nothing_lose_no_field(ungrid, folder, tmp_path):
    """A corner of a photograph shows the background: the field is written in the unit of its cameras."""
    words = ("nerf", folder, "-o", tmp_path / "a.field", "--steps", "60", "--resume", "--json", "--scale-by")
    refused = ungrid(*words, "r_0:0.5,0.5", "r_0:20,16", "9mm")
    assert refused.code == 2
    assert "opaque" in refused.object["error"]
    assert "--resume with other marks" in refused.err
    kept = library.load(tmp_path / "a.field").domain.axes[0]
    assert kept.unit == ""
    done = ungrid(*words, "r_0:14,16", "r_0:20,16", "9mm")
    assert done.code == 0
    axis = library.load(tmp_path / "a.field").domain.axes[0]
    assert axis.unit == "mm"
    assert axis.high == pytest.approx(done.object["scale"]["factor"] * kept.high)


def test_a_folder_without_cameras(ungrid, tmp_path):
    done = ungrid("nerf", tmp_path, "-o", tmp_path / "a.field")
    assert done.code == 2
    assert "without cameras" in done.err
