"""Full fine-tuning of a UNet, the reference's way: all is trained, the teacher is a copy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from ..diffusion.protocol import LoraWeights


class FullTuning:
    """All weights of a UNet being trained, seen as a `TrainableLora` of whole differences."""

    def __init__(self, unet: nn.Module):
        self._parameters = dict(unet.named_parameters())
        self._teacher = {name: p.data for name, p in self._parameters.items()}

    def parameters(self) -> dict[str, nn.Parameter]:
        return self._parameters

    def weights(self) -> LoraWeights:
        def difference(name: str) -> Tensor:
            trained, full = self._parameters[name].detach().float(), self._teacher[name].float()
            return (trained - full).cpu().contiguous()

        return LoraWeights({}, 1.0, {name: difference(name) for name in self._parameters})

    @contextmanager
    def off(self) -> Iterator[None]:
        trained = {name: p.data for name, p in self._parameters.items()}
        self._put(self._teacher)
        try:
            yield
        finally:
            self._put(trained)

    def _put(self, data: dict[str, Tensor]) -> None:
        for name, p in self._parameters.items():
            p.data = data[name]


@contextmanager
def training(unet: nn.Module) -> Iterator[FullTuning]:
    """Train copies of the weights; the very same weights are put back afterwards."""
    kept = {name: (p.data, p.requires_grad) for name, p in unet.named_parameters()}
    try:
        tuning = FullTuning(unet)
        for p in unet.parameters():
            p.data = p.data.clone()
            p.requires_grad_(True)
        yield tuning
    finally:
        for name, p in unet.named_parameters():
            p.data, p.requires_grad = kept[name][0], kept[name][1]
            p.grad = None
