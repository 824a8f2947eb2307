"""The only seam to diffusers and peft. The maths sees `Backbone`, a Protocol, and nothing else."""

from .attention import training_attention
from .checkpointing import checkpointed
from .protocol import Backbone, Conditioning, LoraWeights

__all__ = ["Backbone", "Conditioning", "LoraWeights", "checkpointed", "training_attention"]
