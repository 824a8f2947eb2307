"""Does the model explain pictures? Asked by a few UNet calls before anything is made with it.

A model that is read wrongly (its prediction type, the scale of its VAE) or never was trained gives
scores like any other, and they mean nothing. Its relative error ||eps - eps_hat||^2 / ||eps||^2
tells: about 0.05 at t = 500 and 0.007 at t = 900 of a model that works.

It is measured against what the best guess reaches that knows no more of a picture than its mean
square s^2, eps_hat = c x_t: alpha_bar s^2 / (alpha_bar s^2 + 1 - alpha_bar), with s at most 1, the
size that latents are meant to have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ..diffusion import Backbone
from ..diffusion.noise import standard_normal
from ..diffusion.room import Room
from ..diffusion.schedule import PREDICTIONS, NoiseSchedule
from ..errors import ModelError
from ..steps import Step, Steps, warn
from .elbo import Query

LEVELS = (500, 900)  # thousandths of the schedule's length
WORKING = (0.05, 0.007)  # the errors of a model that works, there
MOST = 4  # pictures
SHARES = (0.75, 2.0)  # of the best guess's error, that a model may make at the levels
CLEAR = (0.5, 0.75)  # shares of the error, at the levels, with which another reading fits better
SPREAD = (0.4, 2.5)  # of latents, between which the VAE's scale is in doubt no more than all else


@dataclass(frozen=True)
class Explained:
    """Relative errors at `LEVELS`: of the best guess, and of the model under every reading."""

    guess: tuple[float, ...]
    errors: Mapping[str, tuple[float, ...]]  # by prediction type; only `reading` if it is unknown
    reading: str
    spread: float  # s, of the latents
    evaluations: int

    @property
    def error(self) -> tuple[float, ...]:
        return self.errors[self.reading]

    def explains(self, errors: tuple[float, ...]) -> bool:
        rows = zip(errors, self.guess, SHARES, strict=True)
        return all(error < share * guess for error, guess, share in rows)

    @property
    def better(self) -> str | None:
        """The reading that explains the pictures and clearly fits better than the model's own."""
        fitting = [
            kind
            for kind, errors in self.errors.items()
            if self.explains(errors)
            and all(e < c * own for e, c, own in zip(errors, CLEAR, self.error, strict=True))
        ]
        return min(fitting, key=lambda kind: self.errors[kind]) if fitting else None

    def refusal(self, name: str) -> str:
        """Why the model may not be used as it is; empty when it may."""
        kind = self.better
        return (
            kind
            and (
                f"The model {name} is read as {self.reading}, and its answers to the pictures are "
                f"those of {kind}: its error is {_at(self.error)}, read as {kind} it is "
                f"{_both(self.errors[kind])}. Load it with prediction {kind}; in a graph, set "
                "ModelSamplingDiscrete so."
            )
        ) or ""

    def warning(self, name: str) -> str:
        """What is doubtful; empty when nothing is."""
        if self.explains(self.error):
            return ""
        low, high = SPREAD
        cause = (
            f"Its latents have the size {self.spread:.2g}, and should have about 1: the scale of "
            "its VAE (scaling_factor) looks wrong, so load it with its own VAE."
        )
        if not self.spread:
            cause = "Its latents are empty."
        elif low < self.spread < high:
            cause = (
                "Either it is not trained or it is loaded wrongly (prediction, VAE, precision), or "
                "the pictures are of a kind that it never learned: mere noise, say."
            )
        return (
            f"The model {name} does not explain the pictures: its error is {_at(self.error)}; that "
            f"of a model that works is about {_both(WORKING)}, and a mere guess has "
            f"{_both(self.guess)}. Scores by it mean nothing. {cause}"
        )


class Look:
    """A job's look at its model: made once, whether its price or its run asks first."""

    def __init__(self) -> None:
        self._explained: Explained | None = None

    def explained(self, backbone: Backbone, query: Callable[[], Query]) -> Explained:
        """Raises ModelError when another reading explains the pictures."""
        if self._explained is None:
            self._explained = measure(backbone, query())
        if reason := self._explained.refusal(backbone.name):
            raise ModelError(reason)
        return self._explained


def check(backbone: Backbone, query: Callable[[], Query], look: Look | None = None) -> Steps[int]:
    """Warns of a model that does not explain some of the pictures; returns the UNet evaluations.

    Raises ModelError when another reading explains them, or when an answer is not finite.
    """
    yield Step("check", 0, 1)
    explained = (look or Look()).explained(backbone, query)
    if doubt := explained.warning(backbone.name):
        yield warn(doubt)
    yield Step("check", 1, 1)
    return explained.evaluations


def check_reading(backbone: Backbone, look: Look | None = None) -> Steps[int]:
    """Before there are any pictures: refuses a model that is read wrongly, by soft shapes.

    They are like nothing that it was trained on, so nothing else is made of it. Returns the UNet
    evaluations. Raises ModelError.
    """

    def query() -> Query:
        shapes = soft_shapes(backbone.resolution)
        names = tuple(f"soft shape {i}" for i in range(len(shapes)))
        empty = backbone.encode_prompts([""] * len(shapes))
        return Query(backbone.encode_images(shapes), empty, names)

    yield Step("check", 0, 1)
    explained = (look or Look()).explained(backbone, query)
    yield Step("check", 1, 1)
    return explained.evaluations


def soft_shapes(side: int) -> Tensor:
    """(3, 3, side, side): two washes of colour, and a soft disc on one of them."""
    y, x = torch.meshgrid(torch.linspace(0, 1, side), torch.linspace(0, 1, side), indexing="ij")
    ground = torch.stack([0.2 + 0.6 * x, 0.3 + 0.5 * y, 1 - 0.6 * x * y])
    wash = torch.stack([0.9 - 0.3 * y, 0.2 + 0.5 * x, torch.full_like(x, 0.3)])
    disc = torch.sigmoid((0.3 - torch.hypot(x - 0.5, y - 0.55)) * side / 4)
    return torch.stack([ground, torch.lerp(ground, wash, disc), wash])


@torch.no_grad()
def measure(backbone: Backbone, query: Query) -> Explained:
    """At most `MOST` of the pictures, evenly chosen, at every one of `LEVELS`."""
    n = min(MOST, len(query))
    chosen = [i * len(query) // n for i in range(n)]
    x0, condition = query.latents[chosen], query.condition.take(chosen)
    keys = [query.keys[i] for i in chosen]
    schedule, room = backbone.schedule, Room(n, backbone.device)
    reading = getattr(backbone, "prediction", PREDICTIONS[0])
    kinds = PREDICTIONS if hasattr(backbone, "prediction") else (reading,)
    square = x0.double().square().mean().item()
    guess, errors = [], {kind: [] for kind in kinds}
    for level in LEVELS:
        t = torch.full((n,), max(1, level * schedule.length // 1000))
        eps = torch.stack([standard_normal(0, key, int(t[0]), 0, x0.shape[1:]) for key in keys])
        x_t = schedule.add_noise(x0, eps, t)

        def answer(part: slice, x_t=x_t, t=t) -> Tensor:
            given = condition.take(range(n)[part])
            return backbone.predict_eps(x_t[part], t[part], given).float().cpu()

        eps_hat = torch.cat(list(room.over(n, answer)))
        if not eps_hat.isfinite().all():
            raise ModelError(
                f"The model {backbone.name} answers with values that are not finite. Load it with "
                "precision bfloat16 or float32; if it is so already, its weights are damaged."
            )
        signal = schedule.alpha_bar[t[0]].item() * min(square, 1.0)
        guess.append(signal / (signal + 1 - schedule.alpha_bar[t[0]].item()))
        for kind in kinds:
            read = eps_hat if kind == reading else again(schedule, eps_hat, x_t, t, reading, kind)
            errors[kind].append(((read - eps).square().sum() / eps.square().sum()).item())
    return Explained(
        tuple(guess),
        {k: tuple(e) for k, e in errors.items()},
        reading,
        square**0.5,
        n * len(LEVELS),
    )


def again(
    schedule: NoiseSchedule, eps_hat: Tensor, x_t: Tensor, t: Tensor, reading: str, kind: str
) -> Tensor:
    """The noise that the network's output implies under `kind`, from that under `reading`."""
    signal, noise = schedule.scales(t, x_t)
    output = {
        "epsilon": eps_hat,
        "v_prediction": (eps_hat - noise * x_t) / signal,
        "sample": (x_t - noise * eps_hat) / signal,
    }[reading]
    return schedule.to_eps(output, x_t, t, kind)


def _both(errors: tuple[float, ...]) -> str:
    return " and ".join(f"{error:.2g}" for error in errors)


def _at(errors: tuple[float, ...]) -> str:
    rows = zip(errors, LEVELS, strict=True)
    return " and ".join(f"{error:.2g} at t = {level}" for error, level in rows)
