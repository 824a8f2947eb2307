"""How styles are unlearned, and how that is made to fit a device."""

from __future__ import annotations

from dataclasses import dataclass

from ..settings import Settings, setting
from ..variants import ANCHORS, OPERATORS, with_settings_of

MODULES = ("cross_attention", "attention", "all", "full")
TIMESTEPS = ("uniform", "low")
STOPS = ("never", "auto")
STARTS = ("zero", "text")
CHECKPOINTING = ("auto", "on", "off")


@dataclass(frozen=True)
@with_settings_of(OPERATORS, ANCHORS)
class UnlearnConfig(Settings):
    """How one style group is unlearned into a counterfactual LoRA (GUDA-C).

    The defaults suit the built-in 64-pixel model on a CPU; `recipe.py` has what suits others.
    """

    steps: int = setting(
        60, "Optimizer steps per style group.", low=1, high=100_000, advanced=False, large=1500
    )
    lr: float = setting(
        1e-2, "Learning rate of AdamW.", low=1e-8, high=1.0, advanced=False, step=1e-7, large=1e-4
    )
    rank: int = setting(
        8, "Rank of the counterfactual LoRA.", low=1, high=1024, advanced=False, large=16
    )
    anchor: str = setting(
        "awss",
        f"What a forget prompt is redirected to. {ANCHORS.told()}.",
        choices=ANCHORS,
        advanced=False,
    )
    preserve_weight: float = setting(
        1.0,
        "Weight (lambda) of the term that keeps the retain groups as they are.",
        low=0.0,
        high=1000.0,
    )
    batch_size: int = setting(8, "Forget pictures per step.", low=1, high=1024, large=4)
    retain_batch_size: int = setting(8, "Retain pictures per step.", low=1, high=1024, large=4)
    modules: str = setting(
        "attention",
        "UNet layers that get a LoRA: cross_attention (text only), attention (self and cross), "
        "all (attention, feed-forward and convolutions). full: no LoRA, every weight is trained, "
        "as in the paper; files and memory are a hundred times larger.",
        choices=MODULES,
    )
    alpha: float = setting(
        0.0, "LoRA alpha; the LoRA is scaled by alpha / rank. 0 means alpha = rank.", low=0.0
    )
    anchor_beta: float = ANCHORS.setting("anchor_beta")
    anchor_eta: float = ANCHORS.setting("anchor_eta")
    timesteps: str = setting(
        "low",
        "Noise levels trained on: low (log-uniform, most steps at little noise, where the ELBO "
        "has most of its weight) or uniform (the paper's).",
        choices=TIMESTEPS,
    )
    operator: str = setting(
        "redirect",
        f"What a forget picture is trained towards. {OPERATORS.told()}.",
        choices=OPERATORS,
    )
    neighbours: int = OPERATORS.setting("neighbours")
    kl_cap: float = OPERATORS.setting("kl_cap")
    esd_strength: float = OPERATORS.setting("esd_strength")
    warmup: int = setting(5, "Steps over which the learning rate rises.", low=0)
    weight_decay: float = setting(0.0, "Weight decay of AdamW.", low=0.0, high=1.0, step=1e-4)
    clip_norm: float = setting(1.0, "Gradient norm is clipped to this.", low=1e-6)
    checkpoint_every: int = setting(
        20, "Steps between checkpoints from which an interrupted run continues.", low=1, large=100
    )
    heldout: float = setting(
        0.15,
        "Share of each group's pictures kept out of unlearning, for the gate.",
        low=0.01,
        high=0.5,
    )
    gate_margin: float = setting(
        0.001,
        "A counterfactual passes its gate when the held-out forget error rises by more than the "
        "held-out retain error plus this (relative to the full model's error).",
        low=0.0,
        step=1e-4,
    )
    seed: int = setting(0, "Seed of the LoRA, the batches and the noise.", low=0, high=2**53)
    caption_dropout: float = setting(
        0.5,
        "Share of the pictures that are trained without the style's name: half of them by their "
        "content alone, half with an empty prompt. So the style is forgotten where it is not "
        "named, too.",
        low=0.0,
        high=1.0,
        before=0.0,
    )
    repeats: int = setting(
        1,
        "How many times a style is unlearned, each time from another seed; the LoRAs are averaged "
        "into one of `repeats` times the rank. Its answers are steadier; it takes that much more "
        "time and disk.",
        low=1,
        high=16,
        before=1,
    )
    stop: str = setting(
        "never",
        "Whether unlearning ends by itself. never: all steps are taken. auto: steps is the most; "
        "held-out pictures are looked at now and then, and it ends when goal is reached and other "
        "styles are kept, or when nothing moves any more. The learning rate then stays as it is, "
        "and the LoRA is the mean over the last steps.",
        choices=STOPS,
        before="never",
        large="auto",
    )
    goal: float = setting(
        0.7,
        "stop=auto: the part of the way to its target, on held-out pictures, at which unlearning "
        "is done.",
        low=0.0,
        high=1.0,
        before=0.7,
    )
    anchors: int = setting(
        1,
        "Anchors that every forget picture is redirected to, by the mean of the model's answers "
        "to them; more make steadier steps, each of which costs as much as a picture more.",
        low=1,
        high=64,
        before=1,
    )
    lr_probe: str = setting(
        "never",
        "Whether the learning rate is found by short trials. never: lr is used. auto: lr is where "
        "they begin; on one style of the set a few rates are tried for some dozens of steps, and "
        "the one is used that goes farthest while other styles are kept.",
        choices=STOPS,
        before="never",
    )
    unlearn_resolution: int = setting(
        0,
        "Side in pixels of the pictures that are trained on, where that is to be smaller than the "
        "model's, at which they are checked and scored: half the side takes a quarter of the work. "
        "0: the model's.",
        low=0,
        high=4096,
        before=0,
    )
    start: str = setting(
        "zero",
        "Where the LoRA begins. zero: at nothing. text: half of its rank, where cross-attention "
        "reads the prompt, is given to a change in closed form that leads the style's words to the "
        "anchors', which takes no step; the rest begins at nothing. Only where a forget prompt is "
        "redirected to anchors, and for a LoRA of rank 2 and more.",
        choices=STARTS,
        before="zero",
        large="text",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.warmup > self.steps:
            object.__setattr__(self, "warmup", self.steps)

    @property
    def total_steps(self) -> int:
        return self.steps * self.repeats

    @property
    def lora_alpha(self) -> float:
        return self.alpha or float(self.rank)

    @property
    def text_rank(self) -> int:
        """Of the rank, what the LoRA begins with; 0 where it begins at nothing."""
        led = self.start == "text" and OPERATORS[self.operator].anchored and self.modules != "full"
        return self.rank // 2 if led else 0


@dataclass(frozen=True)
class MemoryConfig(Settings):
    """How unlearning is made to fit the device. What is learned does not depend on it."""

    micro_batch: int = setting(
        0,
        "Pictures that go through the UNet at once; the gradients of a step's parts add up to that "
        "of the whole. 0: as many as fit. Halved by itself when memory runs out.",
        low=0,
        high=4096,
    )
    checkpointing: str = setting(
        "auto",
        "Gradient checkpointing: keeps the inputs of the UNet's blocks only and computes the rest "
        "again, which needs much less memory and about a third more time. auto: when not even one "
        "picture fits without it.",
        choices=CHECKPOINTING,
    )
