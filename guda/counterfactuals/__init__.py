"""Counterfactual sets: one LoRA per style group, made, kept, verified and loaded."""

from .set import CounterfactualSet, Entry, existing, load_set, recipe_key, unlearn_set

__all__ = ["CounterfactualSet", "Entry", "existing", "load_set", "recipe_key", "unlearn_set"]
