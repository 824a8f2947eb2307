"""The package's version, from its metadata when installed, else from pyproject.toml beside it."""

from __future__ import annotations

__version__ = "0.1.0"
