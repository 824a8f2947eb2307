"""What the method asks of a diffusion model: pure torch, and `Backbone`, the Protocol it sees."""

from .attention import training_attention
from .protocol import Backbone, Conditioning, LoraWeights, TrainableLora
from .recompute import recomputing

__all__ = [
    "Backbone",
    "Conditioning",
    "LoraWeights",
    "TrainableLora",
    "recomputing",
    "training_attention",
]
