"""Unlearning operators, against the formulas they cite and on a real unconditional model."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from diffusers import UNet2DModel

from guda.backbone.unconditional import Unconditional
from guda.config import SampleConfig, UnlearnConfig
from guda.counterfactuals import load_set, unlearn_set
from guda.diffusion import Conditioning
from guda.diffusion.noise import generator
from guda.diffusion.schedule import NoiseSchedule
from guda.errors import ConfigError
from guda.groups import Example, Group, StyleGroups
from guda.groups.draw import draw
from guda.groups.pictures import save_png
from guda.steps import drain
from guda.unlearning.batches import Batch
from guda.variants import OPERATORS

from ..backbone.test_devices import META, NoDouble

SCHEDULE = NoiseSchedule(torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000).double(), 0))
SHAPE = (4, 2, 2)


def normal(*shape, key):
    return torch.randn(shape, generator=generator("test", key))


@pytest.fixture
def batch():
    """Three forget rows with four neighbours each, two retain rows."""
    n, m = 3, 2
    x0, eps = normal(n + m, *SHAPE, key="x0"), normal(n + m, *SHAPE, key="eps")
    t = torch.tensor([5, 200, 900, 50, 500])
    condition = Conditioning(normal(n + m, 2, 3, key="c"))
    return Batch(
        n=n,
        x0=x0,
        eps=eps,
        x_t=SCHEDULE.add_noise(x0, eps, t),
        t=t,
        condition=condition,
        teacher_condition=condition,
        empty_condition=Conditioning(torch.zeros(n, 2, 3)),
        neighbours=normal(n, 4, *SHAPE, key="retain"),
        schedule=SCHEDULE,
    )


def full(x_t, t, condition):
    return 0.5 * x_t + condition.embeds.mean((1, 2)).view(-1, 1, 1, 1)


def target_of(name, batch, **settings):
    """The forget target, found as the answer that makes the forget loss zero."""
    answer = torch.zeros_like(batch.x_t, requires_grad=True)
    config = UnlearnConfig(operator=name, **settings)
    forget, preserve = OPERATORS[name](full, lambda *_: answer, batch, config)
    numbers = answer[0].numel() * batch.n
    (gradient,) = torch.autograd.grad(forget, answer, retain_graph=True)
    (kept,) = torch.autograd.grad(preserve, answer)
    assert not gradient[batch.n :].any() and not kept[: batch.n].any()
    teacher = full(batch.x_t, batch.t, batch.condition)[batch.n :]
    wanted = batch.eps[batch.n :] if name == "retain_only" else teacher
    torch.testing.assert_close(-kept[batch.n :] * wanted.numel() / 2, wanted)
    return -gradient[: batch.n] * numbers / 2


@pytest.mark.parametrize("name", OPERATORS)
def test_no_float64_is_made_on_the_device(batch, name):
    weight = torch.ones((), device=META, requires_grad=True)

    def answer(x_t, t, condition):
        return x_t.to(META) * weight

    with NoDouble():
        forget, preserve = OPERATORS[name](answer, answer, batch, UnlearnConfig(kl_cap=8.0))
        (forget + preserve).backward()
    assert forget.device == META and weight.grad is not None


def test_redirect_takes_the_teachers_answer(batch):
    teacher = full(batch.x_t, batch.t, batch.condition)[: batch.n]
    torch.testing.assert_close(target_of("redirect", batch), teacher)


def test_retrack_by_hand(batch):
    target = target_of("retrack", batch)
    for i in range(batch.n):
        a_bar = SCHEDULE.alpha_bar[batch.t[i]].item()
        weights = [
            math.exp(-(batch.x_t[i] - a_bar**0.5 * r).square().sum().item() / (2 * (1 - a_bar)))
            for r in batch.neighbours[i].double()
        ]
        nearest = max(
            range(4), key=lambda k: -(batch.x_t[i] - a_bar**0.5 * batch.neighbours[i][k]).norm()
        )
        if sum(weights) < 1e-30:  # all underflow at little noise: the nearest one has it all
            weights = [float(k == nearest) for k in range(4)]
        mean = sum(w * r for w, r in zip(weights, batch.neighbours[i].double(), strict=True))
        mean = mean / sum(weights)
        expected = (batch.x_t[i].double() - a_bar**0.5 * mean) / (1 - a_bar) ** 0.5
        torch.testing.assert_close(target[i].double(), expected, rtol=2e-3, atol=2e-3)


def test_retrack_without_a_cap_is_the_best_denoiser_of_the_retain_pictures(batch):
    expected = SCHEDULE.posterior_eps(batch.x_t[:3], batch.t[:3], batch.neighbours)
    torch.testing.assert_close(target_of("retrack", batch), expected, rtol=1e-4, atol=1e-4)


def test_the_best_denoiser_is_exact_for_the_picture_itself(batch):
    own = batch.x0[:3, None]
    eps = SCHEDULE.posterior_eps(batch.x_t[:3], batch.t[:3], own)
    torch.testing.assert_close(eps, batch.eps[:3], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("cap", [0.5, 8.0])
def test_the_cap_bounds_the_correction(batch, cap):
    teacher = full(batch.x_t, batch.t, batch.condition)[:3]
    for name, centre in (("retrack", batch.eps[:3]), ("teacher_anchored", teacher)):
        free, capped = (target_of(name, batch, kl_cap=c) - centre for c in (0.0, cap))
        size = capped.flatten(1).square().sum(1) / 2
        assert (size <= cap * 1.001).all()
        assert (size < free.flatten(1).square().sum(1) / 2 + 1e-4).all()
    tiny = target_of("retrack", batch, kl_cap=1e-9)
    torch.testing.assert_close(tiny, batch.eps[:3], rtol=0, atol=1e-3)


def test_esd_by_hand(batch):
    free = full(batch.x_t, batch.t, Conditioning(torch.zeros(5, 2, 3)))[:3]
    named = full(batch.x_t, batch.t, batch.condition)[:3]
    torch.testing.assert_close(target_of("esd", batch, esd_strength=2.0), free - 2 * (named - free))


def test_esd_of_a_row_without_words(batch):
    """Its own pictures stand for the words that are missing; the other rows are as ever."""
    whole = target_of("esd", batch)
    silent = batch.condition.embeds.clone()
    silent[1] = 0
    mixed = dataclasses.replace(batch, condition=Conditioning(silent))
    found = target_of("esd", mixed)
    assert torch.equal(found[[0, 2]], whole[[0, 2]])
    free = 0.5 * batch.x_t[1:2]
    own = SCHEDULE.posterior_eps(batch.x_t[1:2], batch.t[1:2], batch.x0[None, :3])
    torch.testing.assert_close(found[1:2], free - (own - free))


def test_gradient_ascent_goes_up(batch):
    answer = torch.zeros_like(batch.x_t)
    forget, _ = OPERATORS["gradient_ascent"](
        full, lambda *_: answer, batch, UnlearnConfig(operator="gradient_ascent")
    )
    assert forget.item() == pytest.approx(-batch.eps[:3].square().mean().item(), rel=1e-5)


@pytest.fixture(scope="module")
def unconditional():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        unet = UNet2DModel(
            sample_size=8,
            in_channels=4,
            out_channels=4,
            layers_per_block=1,
            block_out_channels=(16, 32),
            down_block_types=("DownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "UpBlock2D"),
            norm_num_groups=4,
            attention_head_dim=8,
        )
    return Unconditional(unet, SCHEDULE, fold=2, shrink=2)


@pytest.fixture(scope="module")
def classes(tmp_path_factory):
    """Two kinds of pictures, 32 pixels, that this model's 16 x 16 grey pixels hold."""
    root = tmp_path_factory.mktemp("classes")
    groups = []
    for k, name in enumerate(("bars", "blobs")):
        examples = []
        for i in range(8):
            x = torch.rand(1, 16, 16, generator=generator(name, i))
            x = x.cumsum(1 + k) / 16
            path = root / name / f"{i}.png"
            save_png(x.repeat_interleave(2, 1).repeat_interleave(2, 2).expand(3, -1, -1), path)
            examples.append(Example(f"{i}", f"shape {i}", "{style}", path))
        groups.append(Group(name, name, name, (), tuple(examples)))
    return StyleGroups(tuple(groups), "folder")


def test_pixels_survive_the_unconditional_model(unconditional):
    grey = torch.rand(2, 1, 16, 16, generator=generator("grey"))
    pictures = grey.repeat_interleave(2, 2).repeat_interleave(2, 3).expand(-1, 3, -1, -1)
    latents = unconditional.encode_images(pictures)
    assert latents.shape == (2, 4, 8, 8)
    torch.testing.assert_close(unconditional.decode(latents), pictures)


def test_unconditional_pictures_depend_on_their_key_alone(unconditional):
    config = SampleConfig(steps=4, batch_size=2)
    together = drain(draw(unconditional, ["", "", ""], config))
    assert together.shape == (3, 3, 32, 32)
    alone = drain(draw(unconditional, [""], config))
    torch.testing.assert_close(together[:1], alone, rtol=1e-4, atol=1e-4)
    assert not torch.equal(together[0], together[1])


@pytest.mark.parametrize("modules", ["attention", "all", "full"])
@pytest.mark.parametrize("operator", [n for n in OPERATORS if n != "redirect"])
def test_every_operator_makes_a_set(unconditional, classes, tmp_path, operator, modules):
    before = {n: p.clone() for n, p in unconditional.unet.named_parameters()}
    recipe = UnlearnConfig(
        operator=operator,
        modules=modules,
        steps=3,
        lr=1e-3,
        rank=2,
        batch_size=3,
        retain_batch_size=3,
        neighbours=3,
        checkpoint_every=2,
    )
    made = drain(unlearn_set(unconditional, classes, recipe, tmp_path / "set"))
    after = dict(unconditional.unet.named_parameters())
    assert after.keys() == before.keys()
    assert all(torch.equal(before[n], p) and not p.requires_grad for n, p in after.items())
    lora = load_set(made.folder).load(made.entries[0], unconditional)
    assert bool(lora.diffs) == (modules == "full") != bool(lora.layers)
    changes = [*lora.diffs.values(), *(up for up, _ in lora.layers.values())]
    assert any(c.any() for c in changes)


def test_full_fine_tuning_continues_from_its_checkpoint(unconditional, classes, tmp_path):
    recipe = UnlearnConfig(
        operator="retrack", modules="full", steps=4, lr=1e-3, batch_size=3, checkpoint_every=2
    )
    straight = drain(unlearn_set(unconditional, classes, recipe, tmp_path / "a"))
    steps = unlearn_set(unconditional, classes, recipe, tmp_path / "b")
    while (step := next(steps)).stage != "unlearn" or step.done < 3:
        pass
    steps.close()
    resumed = drain(unlearn_set(unconditional, classes, recipe, tmp_path / "b"))
    for entry in straight.entries:
        a, b = (s.load(entry, unconditional).diffs for s in (straight, resumed))
        assert all(torch.equal(a[n], b[n]) for n in a)


def test_redirect_needs_prompts(unconditional, classes, tmp_path):
    with pytest.raises(ConfigError, match=r"operator is .redirect.*choose retrack"):
        drain(unlearn_set(unconditional, classes, UnlearnConfig(), tmp_path))


def test_the_channels_must_fit(unconditional):
    with pytest.raises(ValueError, match="in_channels is 4 with fold 1; give 1"):
        Unconditional(unconditional.unet, SCHEDULE)
