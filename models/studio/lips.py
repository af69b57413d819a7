"""Contacts of the mouth that blend shapes alone do not make: lips that seal, and an F's lip under the teeth.

Both are corrective shapes in the sense of J. P. Lewis et al., "Practice and Theory of Blendshape Facial Models"
(2014): functions of the weights, added where plain sums of shapes leave a gap or push one surface through another.
"""

import numpy as np
from numpy.typing import NDArray

from models.studio.arkit import INDEX, weights
from models.studio.mesh import Floats, SkinPart, smoothstep

TEETH_BELOW_LIP_LINE = 0.036
"""How far the upper teeth's edge lies under the line of the closed lips, in decimetres."""
_COLUMNS = np.linspace(-0.9, 0.9, 21)
_APERTURE_COLUMNS = np.array([2, 6, 10, 14, 18])
"""Where the lips' opening is measured: columns of the above, well inside the corners."""
_SEALED, _PARTED = 0.003, 0.012
"""Openings (decimetres) below which lips stick together all along, and above which nothing holds them."""
_SEAL_REACH = 0.045
_TUCK = weights(mouthUpperUp=0.22, mouthRollLower=0.45, mouthLowerDown=0.15)
"""What a full F adds to its own rolled lip."""
_OVERLAP = 0.016
"""How far the lip covers the teeth's edge in an F."""


class Lips:
    """The lips of one head at rest, and what brings them together.

    Args:
        skin: the head's skin; its vertices must come first in the merged mesh.
        deltas: (52, n, 3) its blend shapes.
    """

    def __init__(self, skin: SkinPart, deltas: Floats) -> None:
        self._skin, self._drop = skin, -deltas[INDEX["jawOpen"], :, 1]
        painted = np.nonzero((skin.lips > 0.5) & (skin.vertices[:, 2] > 0.8))[0]
        x = skin.vertices[painted, 0]
        self.corners = int(painted[np.argmin(x)]), int(painted[np.argmax(x)])
        self.half_width = (float(x.max()) - float(x.min())) / 2
        self.rims = np.array([self._rim_pair(float(column)) for column in _COLUMNS])
        """(columns, 2): the upper lip's lowest and the lower lip's highest vertex."""
        self._rest_gaps = self._gaps(skin.vertices)
        middle = self.rims[len(_COLUMNS) // 2]
        self.line_y = float(skin.vertices[middle, 1].mean())
        """Height of the closed lips in the middle."""
        self._lower_rise = deltas[:, middle[1], 1].astype(np.float64)
        self._lower_y = float(skin.vertices[middle[1], 1])
        self._find_reach()

    def _rim_pair(self, column: float) -> tuple[int, int]:
        """Toward the corners the mesh is finer and the lips steeper: a narrower strip is looked at."""
        part, strip = self._skin, 0.016 * (1 - 0.6 * column**2)
        away = np.abs(part.vertices[:, 0] - column * self.half_width)
        near = np.nonzero((away < strip) & (part.lips > 0.5))[0]
        drop, height = self._drop[near], part.vertices[near, 1]
        of_jaw = drop > (drop.min() + drop.max()) / 2
        upper, lower = near[~of_jaw][np.argmin(height[~of_jaw])], near[of_jaw][np.argmax(height[of_jaw])]
        return int(upper), int(lower)

    def _find_reach(self) -> None:
        """Which vertices a seal moves, and how much of it each takes: half a gap up or down at the rims."""
        vertices, rims = self._skin.vertices, self._skin.vertices[self.rims]
        column_x, seam = rims[..., 0].mean(1), rims[..., 1].mean(1)
        over = vertices[:, 1] - np.interp(vertices[:, 0], column_x, seam)
        depth = np.interp(vertices[:, 0], column_x, rims[..., 2].min(1)) - vertices[:, 2]
        within = smoothstep(1.25, 1.0, np.abs(vertices[:, 0]) / self.half_width)
        share = within * np.exp(-((over / _SEAL_REACH) ** 2)) * (depth < 0.12)
        share *= np.maximum(self._skin.lips, self._skin.inside)
        self._sealed = np.nonzero(share > 0.02)[0]
        self._share = (-0.5 * np.sign(over) * share)[self._sealed].astype(np.float32)
        self._sealed_x, self._column_x = vertices[self._sealed, 0], column_x

    def _gaps(self, vertices: Floats) -> NDArray[np.float64]:
        return np.asarray(vertices[self.rims[:, 0], 1] - vertices[self.rims[:, 1], 1], np.float64)

    def aperture(self, vertices: Floats) -> float:
        """Mean opening of the lips beyond that at rest, in decimetres; 0 = closed."""
        openings = np.maximum(self._gaps(vertices) - self._rest_gaps, 0.0)
        return float(openings[_APERTURE_COLUMNS].mean())

    def seal(self, vertices: Floats) -> None:
        """Close, in place, what stays open beside the middle when the lips as good as touch."""
        hold = float(smoothstep(_PARTED, _SEALED, np.array(self.aperture(vertices))))
        if hold > 0:
            gaps = np.maximum(self._gaps(vertices), 0.0) * hold
            vertices[self._sealed, 1] += self._share * np.interp(self._sealed_x, self._column_x, gaps)

    def tuck(self, weights: Floats) -> Floats:
        """(52,) weights with the corrective of an F: a rolled lower lip goes to the edge of the upper teeth.

        A lip rolled together with the upper one is an M's and stays as it is.
        """
        rolled = weights[INDEX["mouthRollLower"]] - 2 * weights[INDEX["mouthRollUpper"]]
        share = float(smoothstep(0.15, 0.60, rolled))
        if share == 0:
            return weights
        result = weights + share * _TUCK
        edge = self.line_y - TEETH_BELOW_LIP_LINE + _OVERLAP
        missing = edge - (self._lower_y + float(result @ self._lower_rise))
        result[INDEX["jawOpen"]] += share * missing / self._lower_rise[INDEX["jawOpen"]]
        return np.asarray(result, np.float32)
