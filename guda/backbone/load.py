"""Base models from disk, under the name that scripts know: see `files.load`."""

from .files.load import DEMO, DEMO_FOLDER, check, load

__all__ = ["DEMO", "DEMO_FOLDER", "check", "load"]
