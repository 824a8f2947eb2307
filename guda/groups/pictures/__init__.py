"""Pictures in and out: files and tensors to RGB (3, H, W), float32 in [0, 1]."""

from .reading import LARGE, check, load, marks, probe
from .tensors import as_rgb, check_tensor, fit, save_png

__all__ = [
    "LARGE",
    "as_rgb",
    "check",
    "check_tensor",
    "fit",
    "load",
    "marks",
    "probe",
    "save_png",
]
