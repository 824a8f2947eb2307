"""Where to spend UNet evaluations.

Every schedule gives strata of timesteps with two points each. A point in a stratum of L timesteps
weighs L / 2, so the weighted sum estimates the sum over all t = 1 ... T-1, and the difference of a
stratum's two points measures its error (`verdict.interval`).
"""

from __future__ import annotations

import numpy as np
import torch

from ..config import EVALUATIONS, ElboConfig
from ..diffusion.noise import generator
from ..variants import SCHEDULES
from .elbo import Points

Profile = tuple[np.ndarray, np.ndarray]
"""(m,) increasing timesteps of a pilot, and the root mean square of the term's difference there."""


def uniform(n: int, length: int, seed: int) -> Points:
    """The reference's even stride over 1 ... T-1, one draw each; neighbours make a stratum.

    The timesteps are fixed, so the intervals see only the noise and the step between neighbours.
    """
    stride = (length - 1) / n
    t = (torch.arange(1, n + 1).double() * stride).floor().long().clamp(1, length - 1)
    strata = tuple((int(a), int(b)) for a, b in t.view(-1, 2))
    return Points(t, _draws(t), torch.full((n,), stride).double(), strata)


def log(n: int, length: int, seed: int) -> Points:
    """n / 2 strata evenly spaced in log t, two random timesteps in each."""
    edges = np.geomspace(1, length, n // 2 + 1)
    return stratified(edges, n, length, seed)


def from_profile(t: np.ndarray, spread: np.ndarray, n: int, length: int, seed: int) -> Points:
    """Strata in which the pilot's spread is equal (Neyman allocation).

    t: (m,) increasing timesteps of a pilot; spread: (m,) root mean square of the term's difference
    there. A tenth of the evaluations stays uniform in log t, so that no region is left out.
    """
    grid = np.arange(1, length)
    density = np.exp(np.interp(np.log(grid), np.log(t), np.log(np.maximum(spread, 1e-30))))
    density = 0.9 * density / density.sum() + 0.1 * (1 / grid) / (1 / grid).sum()
    cumulative = np.concatenate([[0], np.cumsum(density)])
    shares = np.linspace(0, 1, n // 2 + 1)
    edges = np.interp(shares, cumulative / cumulative[-1], np.arange(1, length + 1))
    return stratified(edges, n, length, seed)


def stratified(edges: np.ndarray, n: int, length: int, seed: int) -> Points:
    """Two random timesteps in each stratum.

    edges: (n / 2 + 1,) increasing from 1 to T. They are rounded to whole timesteps with at least
    one each; where there are more strata than timesteps, several share one, and its weight.
    """
    count = n // 2
    first = np.floor(edges[:-1] + 1e-9).astype(int)
    if count <= length - 1:
        for s in range(1, count):
            first[s] = max(first[s], first[s - 1] + 1)
        first = np.minimum(first, length - count + np.arange(count))
        last = np.append(first[1:], length) - 1
    else:
        first = 1 + np.arange(count) * (length - 1) // count
        last = first
    shared = np.array(
        [np.sum((first == f) & (last == e)) for f, e in zip(first, last, strict=True)]
    )
    size = (last - first + 1) / shared
    u = torch.rand(count, 2, generator=generator("timesteps", seed, n, length)).numpy()
    t = first[:, None] + np.floor(u * (last - first + 1)[:, None]).astype(int)
    times = torch.from_numpy(t.reshape(-1)).long()
    weight = torch.from_numpy(np.repeat(size / 2, 2))
    strata = tuple(zip(first.tolist(), last.tolist(), strict=True))
    return Points(times, _draws(times), weight, strata)


def pilot(config: ElboConfig, length: int) -> Points | None:
    """The points of the short run before the others, if the schedule needs one."""
    if not SCHEDULES[config.schedule].needs_pilot:
        return None
    return log(config.pilot, length, config.seed)


def points(config: ElboConfig, length: int, profile: Profile | None = None) -> Points:
    """The points of the schedule. profile: what the pilot found, where the schedule needs one."""
    n = config.filled(EVALUATIONS).evaluations
    return SCHEDULES[config.schedule](n, length, config.seed, profile)


def evaluations(config: ElboConfig, length: int) -> int:
    """UNet evaluations per picture and model, the pilot's among them."""
    return config.filled(EVALUATIONS).evaluations + len(pilot(config, length) or ())


def _draws(t: torch.Tensor) -> torch.Tensor:
    """0, 1, 2 ... for the repetitions of a timestep, so that no two points share their noise."""
    seen: dict[int, int] = {}
    out = []
    for value in t.tolist():
        out.append(seen.get(value, 0))
        seen[value] = out[-1] + 1
    return torch.tensor(out)
