"""Any head's shape out of its identity: MakeHuman's macro and face targets, kept as one compact table.

``models/assets/proportions.npz`` holds ``names`` (t,) of the targets; ``starts`` (t + 1,), ``vertex`` (m,) and
``delta`` (m, 3), their sparse offsets; ``base`` (v + 144, 3), the untouched head and then both eyes. All are over
the head joint, in decimetres; ``head_source`` writes it.
"""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.errors import AvatarError
from models.studio.identity import Identity
from models.studio.mesh import Floats

PROPORTIONS = Path(__file__).parent.parent / "assets" / "proportions.npz"
DELTA_STEP = 1e-4
"""Unit of the stored int16 offsets, in decimetres (the mesh's unit)."""
EYE_VERTICES = 72
"""Of one eye: the last of the table."""
Doubles = NDArray[np.float64]


def targets_of(identity: Identity) -> Iterator[tuple[str, float]]:
    """An identity's targets and their weights: macro targets by sex, age and ancestry, then face targets."""
    young = 1 - identity.old - identity.child
    for gender, gender_share in (("female", 1 - identity.male), ("male", identity.male)):
        for age, age_share in (("young", young), ("old", identity.old), ("child", identity.child)):
            share = gender_share * age_share
            if share == 0:
                continue
            yield f"macrodetails/universal-{gender}-{age}-averagemuscle-averageweight", share
            for ancestry, weight in zip(("caucasian", "asian", "african"), identity.ancestry, strict=True):
                yield f"macrodetails/{ancestry}-{gender}-{age}", share * weight
    yield from identity.face.items()


def sphere_fit(points: Doubles) -> Doubles:
    """Least-squares sphere as (x, y, z, radius)."""
    system = np.c_[2 * points, np.ones(len(points))]
    solution = np.linalg.lstsq(system, (points**2).sum(1), rcond=None)[0]
    centre = solution[:3]
    return np.asarray(np.r_[centre, np.sqrt(solution[3] + centre @ centre)], np.float64)


def shaped(identity: Identity, table: Path = PROPORTIONS) -> tuple[Floats, Floats]:
    """A head's vertices (v, 3), in the head asset's order, and its eyes (2, 4) as fitted spheres.

    Raises:
        AvatarError: when the table is missing or lacks one of the identity's targets.
    """
    base, targets = _read(table)
    shape = base.copy()
    for name, weight in targets_of(identity):
        if name not in targets:
            raise AvatarError(
                f"{table.name} lacks the target '{name}' of '{identity.name}'; add it to head_source and rebuild."
            )
        vertices, offsets = targets[name]
        shape[vertices] += weight * offsets
    skin, eyes = shape[: -2 * EYE_VERTICES], shape[-2 * EYE_VERTICES :].reshape(2, EYE_VERTICES, 3)
    return skin.astype(np.float32), np.stack([sphere_fit(eye) for eye in eyes]).astype(np.float32)


@cache
def _read(table: Path) -> tuple[Doubles, dict[str, tuple[NDArray[np.int64], Doubles]]]:
    if not table.is_file():
        raise AvatarError(f"The table of proportions {table.name} is missing; rebuild it with head_source.")
    with np.load(table) as data:
        starts, vertex = data["starts"], data["vertex"].astype(np.int64)
        delta = data["delta"] * DELTA_STEP
        targets = {
            str(name): (vertex[start:stop], delta[start:stop])
            for name, start, stop in zip(data["names"], starts[:-1], starts[1:], strict=True)
        }
        return data["base"].astype(np.float64), targets
