"""Build the open face basis from the studio's own rig, in the layout of the Basel Face Model 2009's published cut.

    python -m models.studio.face_basis

``models/assets/face_basis.npz`` holds the arrays that ``models.sadtalker.face_model`` reads, by their published
names, indices from 1. All derives from CC0 shapes: n vertices of the base mesh's front, from ear to ear and from
chin to hairline.

- ``meanshape`` (1, 3 n): the mean of the cast and the studio's avatars, decimetres; x to the left as seen, y up, z
  towards the viewer. It lies where the mean face of ``models.sadtalker.alignment`` lies.
- ``idBase`` (3 n, 80): principal components of their shapes, each times its standard deviation, the largest first
  (Blanz and Vetter, "A Morphable Model for the Synthesis of 3D Faces", SIGGRAPH 1999).
- ``exBase`` (3 n, 64): column i is the full blend shape ``ARKIT_NAMES[i]``, so that a coefficient is its weight; the
  last twelve are zero.
- ``meantex`` (1, 3 n) and ``texBase`` (3 n, 80): the same of their painted skins, 0 to 255 by a display's curve.

Components that move nothing by a tenth of a millimetre, or a quarter of a step of colour, are zero.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from models.sadtalker.alignment import STANDARD_FIVE, five_points
from models.sadtalker.coefficients import EXPRESSION_SIZE, IDENTITY_SIZE, TEXTURE_SIZE
from models.sadtalker.open_face import ASSET
from models.studio.arkit import ARKIT_NAMES
from models.studio.cast import CAST_SIZE, member
from models.studio.head import GAINS
from models.studio.head_source import ASSET as HEAD
from models.studio.identity import IDENTITIES, Identity
from models.studio.mesh import Floats, Ints, Material, SkinPart, triangles_of
from models.studio.proportions import DELTA_STEP, shaped
from models.studio.texture import paint_iris, paint_skin, skin_coordinates, texture_share
from models.studio.wardrobe import EYE_TEXTURE_EXTENT

_LANDMARKS = (
    *(870, 2541, 1876, 910, 2019, 737, 917, 914, 732),
    *(720, 1728, 229, 223, 233),
    *(132, 131, 164, 1832),
    *(286, 313, 317),
    *(21, 0, 54, 66, 47, 41),
    *(425, 2132, 450, 455),
    *(492, 486, 406),
    *(444, 470, 474),
    *(493, 482),
)
"""Vertices of the head asset for those landmarks of the 68 that lie left in the picture, or in its middle: jaw 0 to 8,
brow 17 to 21, nose 27 to 30, 31 to 33, eye 36 to 41, lips 48 to 51, 57 to 59, 60 to 62, 66 to 67."""
_PLACES = (*range(9), *range(17, 22), *range(27, 31), *range(31, 34), *range(36, 42))
_MOUTH_PLACES = (48, 49, 50, 51, 57, 58, 59, 60, 61, 62, 66, 67)
_SIDE = (31, 32, 36, 37, 38, 39, 40, 41, 48, 49, 50, 58, 59, 60, 61, 67)
_OTHER_SIDE = (35, 34, 45, 44, 43, 42, 47, 46, 54, 53, 52, 56, 55, 64, 63, 65)
_MIRRORED = {
    **{place: 16 - place for place in range(8)},
    **{place: 43 - place for place in range(17, 22)},
    **dict(zip(_SIDE, _OTHER_SIDE, strict=True)),
}
"""Landmark to the one on the face's other side (Sagonas et al., "300 Faces in-the-Wild Challenge", 2013)."""
_BACK_Z, _CHIN_Y, _HAIRLINE_Y = 0.20, -0.72, 0.98
"""Where the cut ends, in the mean shape over the head joint, decimetres."""
_TEXTURE_PX, _SAMPLED_PX = 512, 128
_LEAST_SHAPE, _LEAST_TEXTURE = 1e-3, 0.25
_LINING, _BALL = 1.1, 0.97
"""In eye radii: skin this close to an eye's centre lines its socket; the ball it becomes lies under the lids."""
_NEIGHBOURS = 8
Doubles = NDArray[np.float64]


def build(out: Path) -> None:
    """Write the basis: the same numbers every time, but for rounding on another machine."""
    people = [*IDENTITIES.values(), *map(member, range(CAST_SIZE))]
    with np.load(HEAD) as data:
        head = {name: data[name] for name in data}
    shapes, eyes = (np.stack(part).astype(np.float64) for part in zip(*map(shaped, people), strict=True))
    balls = _fill_sockets(shapes, eyes)
    mean = shapes.mean(axis=0)
    used, quads = _cut(mean, head)
    landmarks = _landmarks(head["rest"])
    origin = (five_points(mean[landmarks]) - STANDARD_FIVE).mean(axis=0)
    moved = np.zeros((len(ARKIT_NAMES), *mean.shape))
    moved[head["delta_shape"], head["delta_vertex"]] = head["delta"] * DELTA_STEP
    for stem, gain in GAINS.items():
        moved[[name.startswith(stem) for name in ARKIT_NAMES]] *= gain
    expression = np.zeros((EXPRESSION_SIZE, 3 * len(used)))
    expression[: len(ARKIT_NAMES)] = moved[:, used].reshape(len(ARKIT_NAMES), -1)
    whole = np.empty_like(shapes)
    for painted, person, shape, spheres in zip(whole, people, shapes, eyes, strict=True):
        painted[:] = _colours(person, shape, spheres, balls, head)
    triangles = triangles_of(quads)
    _, identity = _components(shapes[:, used], IDENTITY_SIZE, _LEAST_SHAPE)
    mean_texture, texture = _components(whole[:, used], TEXTURE_SIZE, _LEAST_TEXTURE)
    place = {int(vertex): index for index, vertex in enumerate(used)}
    partial = out.with_name(f".{out.stem}.part.npz")
    np.savez_compressed(
        partial,
        meanshape=(mean[used] - origin).reshape(1, -1).astype(np.float32),
        idBase=identity.astype(np.float16),
        exBase=expression.T.astype(np.float16),
        meantex=mean_texture.reshape(1, -1).astype(np.float32),
        texBase=texture.astype(np.float16),
        tri=(triangles + 1).astype(np.uint16),
        point_buf=(_around(triangles, len(used)) + 1).astype(np.uint16),
        keypoints=np.array([[place[int(vertex)] + 1 for vertex in landmarks]], np.uint16),
    )
    partial.replace(out)


def _fill_sockets(shapes: Doubles, eyes: Doubles) -> list[NDArray[np.int64]]:
    """Bring the back of each eye's socket to the front of its ball, which the head asset is without.

    Args:
        shapes: (m, v, 3), changed in place.
        eyes: (m, 2, 4) spheres.

    Returns:
        The vertices of both balls.
    """
    balls = []
    for side in range(eyes.shape[1]):
        away = (shapes - eyes[:, side, None, :3]) / eyes[:, side, None, 3:]
        middle = away.mean(axis=0)
        ball = np.flatnonzero((np.linalg.norm(middle, axis=1) < _LINING) & (middle[:, 2] < 0))
        outward = away[:, ball] / np.linalg.norm(away[:, ball], axis=2, keepdims=True)
        shapes[:, ball] = eyes[:, side, None, :3] + _BALL * eyes[:, side, None, 3:] * outward * (1, 1, -1)
        balls.append(ball)
    return balls


def _cut(mean: Doubles, head: dict[str, NDArray[np.generic]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Vertices of the face's front, one connected surface, and its quads by their places among them."""
    inside = head["masks"][1, : len(mean)].astype(np.float64) / 255
    kept = (mean[:, 2] > _BACK_Z) & (mean[:, 1] > _CHIN_Y) & (mean[:, 1] < _HAIRLINE_Y) & (inside < 0.5)
    quads = head["quads"][head["material"] == int(Material.SKIN)].astype(np.int64)
    quads = quads[kept[quads].all(axis=1)]
    sides = np.concatenate([np.stack((quads[:, k], quads[:, (k + 1) % 4])) for k in range(4)], axis=1)
    graph = sp.coo_matrix((np.ones(sides.shape[1]), sides), (len(mean), len(mean)))
    _, label = connected_components(graph, directed=False)
    quads = quads[label[quads[:, 0]] == np.bincount(label[quads[:, 0]]).argmax()]
    used, dense = np.unique(quads, return_inverse=True)
    return used, dense.reshape(quads.shape)


def _landmarks(rest: Floats) -> NDArray[np.int64]:
    """(68,) vertices; the mesh is symmetrical, so the other side's are the mirrored ones'."""
    found = np.zeros(68, np.int64)
    for place, vertex in zip((*_PLACES, *_MOUTH_PLACES), _LANDMARKS, strict=True):
        found[place] = vertex
        if place in _MIRRORED:
            mirrored = rest[vertex] * (-1, 1, 1)
            found[_MIRRORED[place]] = np.argmin(np.abs(rest - mirrored).sum(axis=1))
    return found


def _colours(
    person: Identity,
    shape: Doubles,
    eyes: Doubles,
    balls: list[NDArray[np.int64]],
    head: dict[str, NDArray[np.generic]],
) -> Doubles:
    """A person's colour at every vertex (v, 3), 0 to 255; ``balls`` are the vertices of the two ``eyes``."""
    rest, count = head["rest"].astype(np.float32), len(shape)
    quads = head["quads"][head["material"] == int(Material.SKIN)].astype(np.int64)
    masks = head["masks"][:, :count].astype(np.float32) / 255
    part = SkinPart(
        shape.astype(np.float32), triangles_of(quads), Material.SKIN, np.zeros_like(rest),
        rest=rest, lips=masks[0], inside=masks[1], scalp=np.zeros_like(masks[0]),
    )  # fmt: skip
    painted = _sampled(paint_skin(part, person.look, _TEXTURE_PX), skin_coordinates(rest))
    share = texture_share(rest, masks[1])[:, None]
    colour = np.asarray(share * painted + (1 - share) * np.array(person.look.skin), np.float64)
    iris = paint_iris(person.look)
    for ball, sphere in zip(balls, eyes, strict=True):
        away = (shape[ball] - sphere[:3]) / sphere[3]
        colour[ball] = _sampled(iris, 0.5 + away[:, :2] * (0.5, -0.5) / EYE_TEXTURE_EXTENT)
    return np.asarray(255 * np.clip(colour, 0, 1) ** (1 / 2.2))


def _sampled(picture: Floats, coordinates: NDArray[np.floating]) -> Floats:
    """(h, w, 3) at (n, 2) coordinates in [0, 1], of a picture as coarse as the mesh."""
    coarse = cv2.resize(picture, (_SAMPLED_PX, _SAMPLED_PX), interpolation=cv2.INTER_AREA)
    x, y = (coordinates.T * _SAMPLED_PX - 0.5).astype(np.float32)
    return np.asarray(cv2.remap(coarse, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[:, 0], np.float32)


def _components(samples: Doubles, count: int, least: float) -> tuple[Doubles, Doubles]:
    """Samples (m, n, 3) -> their mean (3 n,) and ``count`` components (3 n, count) of one standard deviation each."""
    flat = samples.reshape(len(samples), -1)
    mean = flat.mean(axis=0)
    _, sizes, directions = np.linalg.svd(flat - mean, full_matrices=False)
    components = (sizes[:count, None] / np.sqrt(len(flat) - 1) * directions[:count]).T
    largest = components[np.abs(components).argmax(axis=0), np.arange(components.shape[1])]
    components = components * np.sign(largest)  # which way round is the decomposition's whim
    components[:, np.abs(largest) < least] = 0
    return mean, components


def _around(triangles: Ints, count: int) -> NDArray[np.int64]:
    """(n, 8) triangles about each vertex; the number of triangles stands for none."""
    around = np.full((count, _NEIGHBOURS), len(triangles))
    filled = np.zeros(count, np.int64)
    for index, corners in enumerate(triangles):
        for vertex in corners:
            if filled[vertex] < _NEIGHBOURS:
                around[vertex, filled[vertex]] = index
                filled[vertex] += 1
    return around


def main(argv: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Build the open face basis from the studio's head.")
    parser.add_argument("--out", type=Path, default=ASSET)
    options = parser.parse_args(argv)
    build(options.out)
    print(f"{options.out}: {options.out.stat().st_size // 1024} KB")


if __name__ == "__main__":
    main()
