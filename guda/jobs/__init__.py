"""The two jobs, unlearning and attribution, and their plans."""
