"""Sample sheets: what the training draws, beside what it should."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]


def write_sheet(path: Path, rows: list[tuple[Picture, ...]]) -> None:
    """Write equally sized RGB pictures as a grid, one tuple a row."""
    sheet = np.concatenate([np.concatenate(row, axis=1) for row in rows], axis=0)
    if not cv2.imwrite(str(path), np.ascontiguousarray(sheet[..., ::-1])):
        raise OSError(f"The sample sheet {path} cannot be written.")


def sharpness(picture: Picture) -> float:
    """Variance of the Laplacian of a picture's luma: falls as edges blur."""
    luma = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    return float(cv2.Laplacian(luma, cv2.CV_64F).var())


def psnr_db(first: Picture, second: Picture) -> float:
    """Peak signal-to-noise ratio of two pictures."""
    error = float(np.mean((first.astype(np.float64) - second) ** 2))
    return 10 * float(np.log10(255**2 / max(error, 1e-9)))


def ssim(first: Picture, second: Picture) -> float:
    """Mean structural similarity of two pictures' luma (Wang et al., IEEE TIP 2004; 11x11 Gaussian)."""
    a, b = (cv2.cvtColor(p, cv2.COLOR_RGB2GRAY).astype(np.float64) for p in (first, second))
    mean_a, mean_b = _blurred(a), _blurred(b)
    variance_a, variance_b = _blurred(a * a) - mean_a**2, _blurred(b * b) - mean_b**2
    covariance = _blurred(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    above = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    below = (mean_a**2 + mean_b**2 + c1) * (variance_a + variance_b + c2)
    return float(np.mean(above / below))


def _blurred(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(cv2.GaussianBlur(plane, (11, 11), 1.5), dtype=np.float64)
