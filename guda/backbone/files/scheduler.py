"""The noise schedule of a model: its family's, a folder's, or a graph's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ...diffusion.schedule import PREDICTIONS
from ...errors import ModelError

AUTO = "auto"
SMALLEST = 4.9e-8
"""alpha_bar of the last step where a model's schedule ends in pure noise."""
LONGEST = 10_000
"""Steps of a schedule; Stable Diffusion has 1000."""
KINDS = frozenset(
    f"{name}Scheduler"
    for name in (
        *("DDIM", "DDIMParallel", "DDPM", "DDPMParallel", "PNDM", "LMSDiscrete", "UniPCMultistep"),
        *("EulerDiscrete", "EulerAncestralDiscrete", "HeunDiscrete", "DEISMultistep", "LCM", "TCD"),
        *("KDPM2Discrete", "KDPM2AncestralDiscrete", "DPMSolverMultistep", "DPMSolverSinglestep"),
        *("DPMSolverSDE", "SASolver", "DDIMInverse", "DPMSolverMultistepInverse"),
    )
)
"""diffusers' schedulers over the steps of a discrete schedule, from which a folder may choose."""
_FOREIGN = {"EDM": "the EDM noise schedule", "FlowMatch": "flow matching"}
_SUPPORTED = "use Stable Diffusion 1.x, 2.x or SDXL base"


def check_prediction(kind: str) -> None:
    """Raises ModelError for what is not among `schedule.PREDICTIONS`."""
    if kind not in PREDICTIONS:
        allowed = ", ".join((AUTO, *PREDICTIONS))
        raise ModelError(f"prediction is {kind!r}; choose one of: {allowed}.")


def of_family(prediction: str, zero_snr: bool) -> Any:
    """The schedule that all families share, with or without zero terminal SNR."""
    from diffusers import DDPMScheduler  # type: ignore[attr-defined]

    check_prediction(prediction)
    scheduler: Any = DDPMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type=prediction,  # type: ignore[arg-type]
        steps_offset=1,
        clip_sample=False,
        rescale_betas_zero_snr=zero_snr,
    )
    scheduler.alphas_cumprod = scheduler.alphas_cumprod.clamp(min=SMALLEST)
    return scheduler


def fitting(prediction: str, alpha_bar: Tensor, where: str) -> tuple[Any, bool]:
    """The scheduler with this alpha_bar, and whether it is one of the families' own."""
    alpha_bar = alpha_bar.double().cpu().clamp(min=SMALLEST)
    for zero_snr in (False, True):
        scheduler = of_family(prediction, zero_snr)
        known = scheduler.alphas_cumprod.double()
        if known.shape == alpha_bar.shape and torch.allclose(known, alpha_bar, rtol=1e-3):
            return scheduler, True
    check_alpha_bar(alpha_bar, where)
    scheduler = of_family(prediction, False)
    betas = 1 - alpha_bar / torch.cat([alpha_bar.new_ones(1), alpha_bar[:-1]])
    scheduler.register_to_config(trained_betas=betas.tolist())
    scheduler.alphas_cumprod = alpha_bar
    return scheduler, False


def check_config(kind: str, config: Mapping[str, Any], where: str) -> None:
    """Raises ModelError for a folder's scheduler that is not supported, before it takes memory."""
    for mark, title in _FOREIGN.items():
        for name in (kind, str(config.get("_class_name"))):
            if name.startswith(mark):
                raise ModelError(
                    f"{where} uses {title} (its scheduler is {name}), which is not supported; "
                    f"{_SUPPORTED}."
                )
    if config.get("use_flow_sigmas"):
        raise ModelError(
            f"{where} uses flow matching (its scheduler says use_flow_sigmas), which is not "
            f"supported; {_SUPPORTED}."
        )
    steps = config.get("num_train_timesteps", 1000)
    if type(steps) is not int or not 2 <= steps <= LONGEST:
        raise _odd(where, "num_train_timesteps", steps, f"2 to {LONGEST} steps are possible")
    betas = config.get("trained_betas")
    if betas is not None and not (
        isinstance(betas, list) and len(betas) == steps and all(_is_beta(b) for b in betas)
    ):
        raise _odd(where, "trained_betas", betas, f"{steps} numbers between 0 and 1 are needed")
    for name in ("beta_start", "beta_end"):
        if name in config and not _is_beta(config[name]):
            raise _odd(where, name, config[name], "a number between 0 and 1 is needed")


def _is_beta(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 1


def _odd(where: str, name: str, value: Any, remedy: str) -> ModelError:
    told = repr(value)
    told = told if len(told) <= 60 else told[:57] + "..."
    return ModelError(
        f"{where} has a scheduler with {name} = {told}; {remedy}. Take "
        "scheduler/scheduler_config.json from the model that it was made from."
    )


def of_config(kind: str, config: Mapping[str, Any], where: str) -> Any:
    """The scheduler that a folder describes; `check_config` has been passed."""
    import diffusers

    scheduler = getattr(diffusers, kind).from_config(dict(config))
    alpha_bar = getattr(scheduler, "alphas_cumprod", None)
    if alpha_bar is None:
        raise ModelError(f"{where} has a scheduler without steps ({kind}); {_SUPPORTED}.")
    scheduler.alphas_cumprod = alpha_bar.clamp(min=SMALLEST)
    check_alpha_bar(scheduler.alphas_cumprod, where)
    return scheduler


def check_alpha_bar(alpha_bar: Tensor, where: str) -> None:
    """Raises ModelError unless alpha_bar (T,) falls from step to step between 1 and 0."""
    a = alpha_bar.double()
    whole = a.dim() == 1 and len(a) > 1 and bool(torch.isfinite(a).all())
    if not whole or a[0] >= 1 or a[-1] <= 0 or bool((a[1:] >= a[:-1]).any()):
        raise ModelError(
            f"{where} has a noise schedule whose noise does not grow from step to step, so that "
            "its steps cannot be weighed; use the model with its own scheduler and sampling."
        )
