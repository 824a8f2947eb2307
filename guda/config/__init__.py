"""Every setting of the method, documented, bounded and validated in one place.

The command line and the nodes build their options from these dataclasses, so a setting's name,
help, default and range are written once, here.
"""

from .drawing import SampleConfig
from .scoring import DIRECT_EVALUATIONS, EVALUATIONS, SHAPES, WEIGHTINGS, ElboConfig
from .unlearning import (
    CHECKPOINTING,
    MODULES,
    STARTS,
    STOPS,
    TIMESTEPS,
    MemoryConfig,
    UnlearnConfig,
)

PREDICTION_CHOICES = ("auto", "epsilon", "v_prediction")  # what a user may say of a model
PRECISIONS = ("auto", "float32", "bfloat16", "float16")

__all__ = [
    "CHECKPOINTING",
    "DIRECT_EVALUATIONS",
    "EVALUATIONS",
    "MODULES",
    "PRECISIONS",
    "PREDICTION_CHOICES",
    "SHAPES",
    "STARTS",
    "STOPS",
    "TIMESTEPS",
    "WEIGHTINGS",
    "ElboConfig",
    "MemoryConfig",
    "SampleConfig",
    "UnlearnConfig",
]
