"""Unlearning one style group from the base model into a LoRA."""

from .operators import OPERATORS
from .train import Unlearned, unlearn_group

__all__ = ["OPERATORS", "Unlearned", "unlearn_group"]
