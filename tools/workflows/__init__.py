"""The makers of the example workflows, the blueprint and the pictures of the docs."""
