"""Unlearning one style group from the base model into a LoRA."""

from .loop import Unlearned, unlearn_group
from .operators import OPERATORS

__all__ = ["OPERATORS", "Unlearned", "unlearn_group"]
