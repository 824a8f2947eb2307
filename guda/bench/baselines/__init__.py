"""Attribution scorers, GUDA's among them, by name: settings -> Scorer.

Each is a function under `SCORERS.add` in a module of this folder, which is named below.
"""

from __future__ import annotations

from . import direct, gradient, influence, instance, similarity, simple, unlearned  # noqa: F401
from .base import SCORERS, Corpus, Scorer, Scores

__all__ = ["SCORERS", "Corpus", "Scorer", "Scores"]
