"""GUDA: which style groups did a Stable Diffusion model learn an image from?"""

from .version import __version__

__all__ = ["__version__"]
