"""Draw a sheet of the cast, to look at: everybody at rest and, turned aside, talking.

python -m models.studio.cast_sheet sheet.png [--numbers 16 40]
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from models.studio.arkit import weights
from models.studio.cast import CAST_SIZE, member
from models.studio.head import Head
from models.studio.idle import REST, talking_weights
from models.studio.renderer import Renderer

_COLUMNS = 16
_TALKING = weights(jawOpen=0.6, mouthLowerDown=0.4, mouthUpperUp=0.3)
_TURN = 0.26
"""Radians; 15 degrees."""


def portrait(number: int, size_px: int) -> NDArray[np.uint8]:
    """A head of the cast, (2 size_px, size_px, 3) RGB: at rest over talking, with its number."""
    head = Head(member(number))
    renderer = Renderer(head, size_px)
    rest = renderer.render(head.pose(REST))
    talking = renderer.render(head.pose(talking_weights(REST, _TALKING)), (0.0, _TURN * (-1) ** number, 0.0))
    both = np.ascontiguousarray(np.concatenate([rest, talking]))
    cv2.putText(both, str(number), (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1, cv2.LINE_AA)
    return both


def sheet(numbers: Sequence[int], size_px: int) -> NDArray[np.uint8]:
    """All of these heads, RGB."""
    portraits = [portrait(number, size_px) for number in tqdm(numbers, unit="head")]
    columns = min(_COLUMNS, len(portraits))
    portraits += [np.zeros_like(portraits[0])] * (-len(portraits) % columns)
    rows = [np.concatenate(portraits[i : i + columns], axis=1) for i in range(0, len(portraits), columns)]
    return np.concatenate(rows)


def main(argv: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Draw a sheet of the cast.")
    parser.add_argument("out", type=Path, help="picture to write")
    parser.add_argument("--numbers", type=int, nargs="+", default=range(CAST_SIZE))
    parser.add_argument("--size", type=int, default=128, help="pixels a head")
    options = parser.parse_args(argv)
    picture = sheet(options.numbers, options.size)
    if not cv2.imwrite(str(options.out), np.ascontiguousarray(picture[..., ::-1])):
        raise OSError(f"{options.out} cannot be written.")


if __name__ == "__main__":
    main()
