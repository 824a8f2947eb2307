"""GUDA: which style groups did a Stable Diffusion model learn an image from?

The functions of `guda.api` are here, too; they are loaded when they are first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .version import __version__

if TYPE_CHECKING:
    from .api import (
        attribute,
        from_prompts,
        load_folder,
        load_model,
        load_set,
        null_pool,
        save_report,
        unlearn,
    )

__all__ = [
    "__version__",
    "attribute",
    "from_prompts",
    "load_folder",
    "load_model",
    "load_set",
    "null_pool",
    "save_report",
    "unlearn",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
