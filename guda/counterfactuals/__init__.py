"""Counterfactual sets: one LoRA per style group, made, kept, verified and loaded."""

from .make import Left, SetWork, recipe_key, survey, unlearn_set
from .manifest import load_set
from .set import CounterfactualSet, Entry

__all__ = [
    "CounterfactualSet",
    "Entry",
    "Left",
    "SetWork",
    "load_set",
    "recipe_key",
    "survey",
    "unlearn_set",
]
