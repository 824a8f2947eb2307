"""Counterfactual sets: one LoRA per style group, made, kept, verified and loaded."""

from .make import existing, recipe_key, unlearn_set
from .manifest import load_set
from .set import CounterfactualSet, Entry

__all__ = ["CounterfactualSet", "Entry", "existing", "load_set", "recipe_key", "unlearn_set"]
