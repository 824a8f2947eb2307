"""What the method asks of a diffusion model: pure torch, and `Backbone`, the Protocol it sees."""

from .attention import training_attention
from .conditioning import Conditioning
from .protocol import Backbone, LoraWeights, TextEdit, TrainableLora
from .recompute import recomputing

__all__ = [
    "Backbone",
    "Conditioning",
    "LoraWeights",
    "TextEdit",
    "TrainableLora",
    "recomputing",
    "training_attention",
]
