"""Counterfactual sets: one LoRA per style group, made, kept, verified and loaded."""

from .load import load_set
from .make import Left, SetWork, recipe_key, survey, unlearn_set
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
