"""Any MODEL that ComfyUI samples, with its CLIP and VAE, as scoring asks for a model.

Answers come through ComfyUI's own sampling call, as a KSampler gets them: LoRAs, patches, hooks and
quantized weights are as they are, and so is where the weights lie. There is no guidance: scored is
the model's own answer to a prompt. Latents are (n, c, h, w) here, whatever they are there.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import comfy.model_management as mm
import comfy.samplers
import torch
from torch import Tensor

from ..guda.backbone.identity import schedule
from ..guda.config import SampleConfig
from ..guda.errors import ImageError, ModelError
from ..guda.scoring.denoiser import predicted_eps
from . import kinds
from .drawing import draw
from .identity import along, fingerprint, parts


class Texts(tuple):
    """Conditionings of ComfyUI, one a prompt."""

    def take(self, index: Any) -> Texts:
        return Texts(self[int(i)] for i in index)

    def then(self, other: Texts) -> Texts:
        """Row by row the tokens of both; what stands beside the first's text stays."""
        return Texts(
            [_behind(a, b) for a, b in zip(mine, theirs, strict=True)]
            for mine, theirs in zip(self, other, strict=True)
        )

    @staticmethod
    def cat(parts: Sequence[Texts]) -> Texts:
        return Texts(row for part in parts for row in part)


def _behind(mine: Sequence, theirs: Sequence) -> list:
    """As Conditioning (Concat), and the marks of tokens likewise."""
    (cond, beside), (more, others) = mine, theirs
    masks = [d.get("attention_mask") for d in (beside, others)]
    if all(isinstance(m, Tensor) for m in masks):
        beside = {**beside, "attention_mask": torch.cat(masks, -1)}
    return [torch.cat([cond, more.to(cond)], 1), beside]


class NativeModel:
    """The part of `guda.diffusion.Backbone` that scoring asks for. Raises ModelError."""

    conditional = True
    weighs_prompts = True
    unrepeatable = "The scores come from the model of a ComfyUI graph, which is not in here."
    rows = 8
    counts = ("shape",)
    """Settings that a null pool holds beside those of every model."""
    aliases: Sequence[str] = ()

    def __init__(self, model, clip, vae, name: str, resolution: int = 0):
        self.name, self._model, self._clip, self._vae = name, model, clip, vae
        self.warnings = kinds.check(model, name)
        self.levels = kinds.levels_of(model, name)
        self.schedule = self.levels.schedule
        self.resolution = resolution or kinds.resolution_of(model)
        self.device = mm.get_torch_device()
        self.overrides = {"resolution": resolution} if resolution else {}
        self.fingerprint = fingerprint(model)
        self.former = {"unet": self.fingerprint}
        self._carried, self._known = {}, {}
        self._deep = model.model.latent_format.latent_dimensions == 3

    @property
    def identity(self) -> dict[str, Any]:
        """With what goes along with every prompt by now."""
        return {
            "unet": self.fingerprint,
            "kind of model": kinds.kind_of(self._model),
            "prediction": kinds.prediction_of(self._model),
            "noise schedule": schedule(self.schedule),
            "resolution": self.resolution,
            "conditioning beside the text": along(self._carried),
            **self._parts[0],
        }

    @property
    def incomparable(self) -> str:
        """Why no pool of pictures can be held against its scores; empty where one can."""
        return self._parts[1]

    @cached_property
    def _parts(self) -> tuple[dict[str, Any], str]:
        return parts(self._model, self._clip, self._vae)

    def ready(self) -> None:
        """ComfyUI itself brings the model to the device."""

    @property
    def multiple(self) -> int:
        """Sides that survive a UNet's halvings, or a transformer's patches."""
        cells = 8 if type(self._model.model.diffusion_model).__name__ == "UNetModel" else 2
        return max(16, cells * self._vae.spacial_compression_encode())

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        side = self.resolution // self._vae.spacial_compression_encode()
        return self._model.model.latent_format.latent_channels, side, side

    def at_work(self, rows: int, shape: Sequence[int] | None = None) -> tuple[int, int]:
        """Bytes of the weights, and of the work on so many pictures."""
        c, h, w = shape or self.latent_shape
        asked = [rows, c, 1, h, w] if self._deep else [rows, c, h, w]
        return self._model.model_size(), int(self._model.model.memory_required(asked))

    def encode_prompts(self, prompts: Sequence[str]) -> Texts:
        for text in dict.fromkeys(prompts):
            if text not in self._known:
                with torch.inference_mode():
                    made = self._clip.encode_from_tokens_scheduled(self._clip.tokenize(text))
                self._known[text] = [[cond, {**more, **self._carried}] for cond, more in made]
        return Texts(self._known[text] for text in prompts)

    def carry(self, beside: Mapping[str, Any]) -> None:
        """What stands beside the text in the graph's conditioning (Flux' guidance, SDXL's sizes)
        goes along with every prompt from now on."""
        self._carried, self._known = dict(beside), {}

    def chunks(self, prompts: Sequence[str]) -> list[int]:
        return [1] * len(prompts)

    def encode_images(self, pictures: Tensor) -> Tensor:
        """One at a time: a VAE of videos takes several for one after the other."""
        with torch.inference_mode():
            made = [self._vae.encode(p.permute(1, 2, 0)[None]) for p in pictures]
        return torch.cat([self.scale_latents(raw) for raw in made])

    def decode(self, latents: Tensor) -> Tensor:
        with torch.inference_mode():
            out = self._model.model.process_latent_out
            shown = [self.shown(out(self.own(x0[None]))) for x0 in latents]
        return torch.stack(shown)

    def shown(self, raw: Tensor) -> Tensor:
        """The picture (3, H, W) of one of the VAE's own latents."""
        picture = self._vae.decode(raw)
        first = picture.reshape(-1, *picture.shape[-3:])[0].permute(2, 0, 1)
        return first.float().cpu().clamp(0, 1)

    def sample(
        self, prompts: Sequence[str], keys: Sequence[str], config: SampleConfig
    ) -> Generator[int, None, Tensor]:
        """See `guda.diffusion.Backbone`."""
        return (yield from draw(self, self._model, prompts, keys, config))

    def scale_latents(self, raw: Tensor) -> Tensor:
        """The VAE's own latents as the model takes them. Raises ImageError for another model's."""
        channels, whole = self._model.model.latent_format.latent_channels, tuple(raw.shape)
        if raw.dim() == 5 and self._deep and raw.shape[2] != 1:
            raise ImageError(
                f"the latents have shape {whole}: {raw.shape[2]} pictures of a video; give one."
            )
        if raw.dim() not in ((4, 5) if self._deep else (4,)) or raw.shape[1] != channels:
            raise ImageError(
                f"the latents have shape {whole}; the model {self.name} takes (n, {channels}, "
                "height, width). Encode the picture with this model's VAE."
            )
        with torch.inference_mode():
            own = raw[:, :, None] if self._deep and raw.dim() == 4 else raw
            scaled = self._model.model.process_latent_in(own).float().cpu()
            return (scaled[:, :, 0] if self._deep else scaled).clone()

    def predict_eps(self, x_t: Tensor, t: Tensor, condition: Any) -> Tensor:
        return predicted_eps(self, x_t, t, condition)

    def denoise(self, x: Tensor, t: Tensor, conditions: Any) -> Tensor:
        """See `guda.scoring.denoiser`. Raises ModelError when an answer is not finite."""
        answers = []
        for rows in together(x, t):
            level = float(self.levels.label[int(t[rows.start])])
            answers += self._ask(x[rows.start], level, conditions[rows])
        made = torch.stack(answers)
        if not made.isfinite().all():
            raise ModelError(
                f"The model {self.name} answers with values that are not finite. Start ComfyUI "
                "with --force-fp32 or --bf16-unet, or link a file of another precision; if that "
                "does not help, its weights are damaged."
            )
        return made

    def own(self, x: Tensor) -> Tensor:
        return x[:, :, None] if self._deep else x

    def _ask(self, x: Tensor, sigma: float, conditions: Sequence) -> list[Tensor]:
        """The clean pictures (c, h, w) to one noisy one, by every conditioning."""
        guider = comfy.samplers.CFGGuider(self._model)
        names = [f"prompt {i}" for i in range(len(conditions))]
        guider.inner_set_conds(dict(zip(names, conditions, strict=True)))
        asking = _Asking(names)
        with torch.inference_mode():
            noisy = self.own(x[None].float().cpu())
            levels = torch.tensor([sigma, 0.0])
            guider.sample(noisy, torch.zeros_like(noisy), asking, levels, disable_pbar=True, seed=0)
            answers = [a[0, :, 0] if self._deep else a[0] for a in asking.answers]
        return [a.float().cpu().clone() for a in answers]


class _Asking:
    """In a sampler's place: the model is asked once, and nothing is sampled."""

    def __init__(self, names: Sequence[str]):
        self._names, self.answers = names, ()

    def sample(self, guider, sigmas, extra_args, callback, noise, *_, **__):
        options = extra_args["model_options"]
        conds = [guider.conds[name] for name in self._names]
        model, sigma = guider.inner_model, sigmas[:1].expand(len(noise))
        if ask := options.get("sampler_calc_cond_batch_function"):
            given = {"conds": conds, "input": noise, "sigma": sigma}
            self.answers = ask(given | {"model": model, "model_options": options})
        else:
            self.answers = comfy.samplers.calc_cond_batch(model, conds, noise, sigma, options)
        return noise


def together(x: Tensor, t: Tensor) -> Iterator[slice]:
    """Rows of the same noisy picture that stand side by side."""
    start = 0
    for i in range(1, len(x) + 1):
        if i == len(x) or t[i] != t[start] or not torch.equal(x[i], x[start]):
            yield slice(start, i)
            start = i
