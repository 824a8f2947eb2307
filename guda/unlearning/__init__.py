"""Unlearning one style group from the base model into a LoRA."""
