"""Pictures drawn by a model: DPM-Solver++ (2M) with classifier-free guidance, through diffusers."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..config import SampleConfig
from ..diffusion.noise import generator
from ..diffusion.room import Room

if TYPE_CHECKING:
    from .stable_diffusion import StableDiffusion


@torch.no_grad()
def sample(
    model: StableDiffusion, prompts: Sequence[str], keys: Sequence[str], config: SampleConfig
) -> Generator[int, None, Tensor]:
    """See `Backbone.sample`."""
    pictures = []
    done = 0
    for start in range(0, len(prompts), config.batch_size):
        part = slice(start, start + config.batch_size)
        scheduler = solver(model.scheduler_config, config.steps, model.device)
        noise = [
            torch.randn(model.latent_shape, generator=generator("picture", config.seed, key))
            for key in keys[part]
        ]
        x = (torch.stack(noise) * scheduler.init_noise_sigma).to(model.device)
        n = len(x)
        condition = model.encode_prompts([*prompts[part], *([""] * n)])
        room = Room(2 * n, model.device)
        for t in scheduler.timesteps:
            x_in = scheduler.scale_model_input(x, t)
            x_in, times = torch.cat([x_in, x_in]), t.expand(2 * n).long()

            def predict(some: slice, x_in=x_in, times=times, condition=condition) -> Tensor:
                given = condition.take(range(len(condition))[some])
                return model.predict_eps(x_in[some], times[some], given)

            eps, eps_free = torch.cat(list(room.over(2 * n, predict))).chunk(2)
            x = scheduler.step(eps_free + config.guidance * (eps - eps_free), t, x).prev_sample
            done += 1
            yield done
        pictures.append(model.decode(x))
    return torch.cat(pictures)


def solver(config: Mapping[str, Any], steps: int, device: torch.device) -> Any:
    """diffusers' scheduler for a model that answers with eps, whatever its network predicts."""
    from diffusers import DPMSolverMultistepScheduler  # type: ignore[attr-defined]

    made: Any = DPMSolverMultistepScheduler.from_config(
        dict(config) | {"prediction_type": "epsilon"}, final_sigmas_type="zero"
    )
    made.set_timesteps(steps, device=device)
    return made
