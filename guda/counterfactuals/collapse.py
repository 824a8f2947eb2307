"""Collapse: whether pictures in the styles that were kept stay as sharp and as varied as before.

sharp  = exp(mean over pictures of log(variance of the Laplacian without / by the full model))
varied = mean distance of two pictures without / the same by the full model

Both are 1 for an untouched model. The Laplacian's variance falls where pictures blur and rises
where they turn into noise (Pech-Pacheco et al., ICPR 2000); the distance falls where all prompts
give one picture. Pictures are paired: the same prompts from the same seeds.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from scipy.special import stdtrit
from torch import Tensor
from torch.nn import functional as F

from ..files.reading import shown
from ..unlearning.progress import Share

BOUND = 2.0
"""A model without the style is broken where it is more than so many times, or less than the
inverse, as sharp or as varied, and the interval has no 1 in it."""
LEAST = 1e-6
"""Variance of the Laplacian of a flat picture: about that of 8 bits."""
SIDE = 16
"""Pixels to which pictures are averaged before they are compared, so that noise is no variety."""
LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Collapse:
    """Ratios of pictures without a style to the full model's, with 95 % intervals."""

    sharp: Share
    varied: Share | None  # None where the full model itself draws one picture
    pictures: int

    @property
    def broken(self) -> bool:
        return any(map(_beyond, filter(None, (self.sharp, self.varied))))

    def __str__(self) -> str:
        varied = "" if self.varied is None else f" and {self.varied.value:.2f} times as varied"
        return f"kept styles are drawn {self.sharp.value:.2f} times as sharp{varied}"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def read(cls, told: Any) -> Collapse | None:
        """What `as_dict` gave, or None. Raises ValueError."""
        if told is None:
            return None
        if not isinstance(told, dict):
            raise ValueError(f"collapse is {shown(told, 40)}, no object")
        sharp, count = Share.read(told.get("sharp")), told.get("pictures")
        if sharp is None or not isinstance(count, int) or isinstance(count, bool):
            raise ValueError(f"collapse is {shown(told, 40)}, without sharp or pictures")
        return cls(sharp, Share.read(told.get("varied")), count)


def collapse_of(full: Tensor, without: Tensor) -> Collapse:
    """full, without: (n, 3, H, W) in [0, 1], n at least 2, of the same prompts and seeds."""
    a, b = (torch.nan_to_num(x.double()) for x in (full, without))
    return Collapse(_sharper(a, b), _more_varied(a, b), len(a))


def sharpness(pictures: Tensor) -> Tensor:
    """(n,) variance of the Laplacian of the luma; pictures: (n, 3, H, W)."""
    grey = torch.einsum("nchw,c->nhw", pictures, torch.tensor(LUMA).to(pictures))[:, None]
    kernel = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]]).to(pictures)[None, None]
    return F.conv2d(grey, kernel).flatten(1).var(1) + LEAST


def distances(pictures: Tensor) -> Tensor:
    """(n, n) root mean square differences of the pictures averaged down to `SIDE` pixels."""
    small = F.adaptive_avg_pool2d(pictures, SIDE).flatten(1)
    return torch.cdist(small, small) / math.sqrt(small.shape[1])


def _sharper(full: Tensor, without: Tensor) -> Share:
    ratios = (sharpness(without) / sharpness(full)).log()
    n, mean = len(ratios), float(ratios.mean())
    half = float(stdtrit(n - 1, 0.975)) * float(ratios.std()) / math.sqrt(n)
    return _rounded(*(math.exp(x) for x in (mean, mean - half, mean + half)))


def _more_varied(full: Tensor, without: Tensor) -> Share | None:
    """With the jackknife's interval over pictures."""
    a, b = (distances(x) for x in (full, without))
    n, sum_a, sum_b = len(a), a.sum(), b.sum()
    left_a, left_b = (x.sum() - 2 * x.sum(1) for x in (a, b))
    if not bool((left_a > 0).all()) or not sum_a > 0:
        return None
    value, each = float(sum_b / sum_a), left_b / left_a
    error = math.sqrt((n - 1) / n * float((each - each.mean()).square().sum()))
    half = float(stdtrit(n - 1, 0.975)) * error
    return _rounded(value, value - half, value + half)


def _rounded(value: float, low: float, high: float) -> Share:
    """To what is told of it, so that the last bits of a drawing do not change a file."""
    return Share(*(float(f"{x:.4g}") for x in (value, low, high)))


def _beyond(ratio: Share) -> bool:
    """Beyond the bound, and surely to that side of an untouched model."""
    low = ratio.value if ratio.low is None else ratio.low
    high = ratio.value if ratio.high is None else ratio.high
    return (ratio.value > BOUND and low > 1) or (ratio.value < 1 / BOUND and high < 1)
