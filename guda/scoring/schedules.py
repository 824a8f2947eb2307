"""Schedules: which noise levels are evaluated.

A schedule is a function (evaluations, length, seed, profile) -> Points; profile is None, or what a
pilot found: (timesteps, spread of the term's difference there). To add one, write the function here
under `SCHEDULES.add`, with its arithmetic in `allocation`, imported inside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..settings import setting
from ..variants import SCHEDULES

if TYPE_CHECKING:
    from .allocation import Profile
    from .elbo import Points

PILOT = {
    "pilot": setting(16, "importance: UNet evaluations of the pilot, per picture and model.", low=4)
}


@SCHEDULES.add("strata evenly spaced in log t, two draws each")
def log(n: int, length: int, seed: int, profile: Profile | None = None) -> Points:
    from . import allocation

    return allocation.log(n, length, seed)


@SCHEDULES.add("strata from a short pilot", needs_pilot=True, settings=PILOT)
def importance(n: int, length: int, seed: int, profile: Profile | None = None) -> Points:
    from . import allocation

    assert profile is not None  # it needs one
    return allocation.from_profile(*profile, n, length, seed)


@SCHEDULES.add("the reference's even stride")
def uniform(n: int, length: int, seed: int, profile: Profile | None = None) -> Points:
    from . import allocation

    return allocation.uniform(n, length, seed)
