"""Memory: less of it changes no result, running out loses no step, and all of it comes back."""

from __future__ import annotations

import gc
import hashlib
import runpy
import weakref
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch

from guda.backbone import placement
from guda.backbone.files.load import load
from guda.backbone.precision import choose
from guda.budget import footprint
from guda.budget import rows as fitting
from guda.budget.rows import Rooms
from guda.config import ElboConfig, MemoryConfig
from guda.counterfactuals import unlearn_set
from guda.diffusion import recomputing, training_attention
from guda.diffusion.room import Room, free_bytes, is_out_of_memory
from guda.errors import ConfigError, ModelError, OutOfMemoryError
from guda.groups.encode import encode_groups
from guda.jobs.attribute import AttributeRequest, attribute
from guda.jobs.unlearn import UnlearnRequest, unlearn
from guda.scoring.differences import score_queries
from guda.scoring.elbo import Query
from guda.steps import drain
from guda.unlearning.gradient import LossScale
from guda.unlearning.recipe import STABLE_DIFFUSION
from guda.unlearning.train import unlearn_group

CPU = torch.device("cpu")
FULL = "CUDA out of memory. Tried to allocate 512.00 MiB.\nGPU 0 has a total capacity of 8 GiB."


def state_hash(*modules) -> str:
    h = hashlib.sha256()
    for module in modules:
        for name, value in sorted(module.state_dict().items()):
            h.update(name.replace(".base_layer", "").encode() + value.float().numpy().tobytes())
    return h.hexdigest()


def tensor_bytes() -> int:
    """Bytes of all tensors that Python can reach."""
    gc.collect()
    tensors = [x for x in gc.get_objects() if isinstance(x, torch.Tensor)]
    storages = {t.untyped_storage()._cdata: t.untyped_storage().nbytes() for t in tensors}
    return sum(storages.values())


class Full:
    """A device that is full when more than `rows` pictures enter the UNet, from call `start` on."""

    def __init__(self, unet, rows: int, start: int = 0):
        self.rows, self.start, self.calls, self.sizes = rows, start, 0, []
        self.hook = unet.register_forward_pre_hook(self._check)

    def _check(self, module, args):
        self.calls += 1
        self.sizes.append(len(args[0]))
        if self.calls > self.start and len(args[0]) > self.rows:
            raise torch.OutOfMemoryError(FULL)


@pytest.fixture
def encoded(backbone, groups, quick):
    return drain(encode_groups(backbone, groups, quick.heldout))


@pytest.fixture
def learn(backbone, groups, encoded):
    def learn(config, rooms=None):
        return drain(unlearn_group(backbone, groups, encoded, "dots", config, rooms=rooms))

    return learn


@pytest.fixture
def query(backbone):
    pictures = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    prompts = backbone.encode_prompts(["a fox", "a cat", "a house"])
    return Query(backbone.encode_images(pictures), prompts, ("p", "q", "r"))


def alike(a, b):
    """The same up to the order in which numbers are summed."""
    np.testing.assert_allclose(a.losses, b.losses, rtol=1e-3, atol=1e-6)
    for name, pair in a.lora.layers.items():
        for x, y in zip(pair, b.lora.layers[name], strict=True):
            torch.testing.assert_close(x, y, rtol=5e-3, atol=5e-4)


@pytest.mark.parametrize("operator", ["redirect", "esd", "teacher_anchored"])
@pytest.mark.parametrize("rows", [1, 4])
def test_micro_batches_learn_the_same(learn, quick, rows, operator):
    config = quick.replace(steps=3, batch_size=3, retain_batch_size=2, operator=operator)
    alike(learn(config, Rooms(Room(rows, CPU))), learn(config))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_gradient_checkpointing_learns_the_same_bits(learn, backbone, quick, precision):
    backbone.cast(precision, CPU)
    methods = {n: m.forward for n, m in backbone.unet.named_modules()}
    plain, again = learn(quick), learn(quick, Rooms(Room(6, CPU, recompute=True)))
    assert plain.losses == again.losses
    for name, pair in plain.lora.layers.items():
        assert all(torch.equal(x, y) for x, y in zip(pair, again.lora.layers[name], strict=True))
    assert {n: m.forward for n, m in backbone.unet.named_modules()} == methods


def test_running_out_at_a_step_loses_no_step(learn, backbone, quick):
    """Two calls a step, teacher and student: the third step is the first to meet a full device."""
    whole = learn(quick)
    full = Full(backbone.unet, rows=2, start=5)
    room = Room(6, CPU)
    found = learn(quick, Rooms(room))
    assert room.rows == 1 and full.sizes[:8] == [6, 6, 6, 6, 6, 6, 3, 1]
    assert [step for step, *_ in found.losses] == list(range(6))
    alike(found, whole)


def test_running_out_in_the_backward_pass_takes_back_its_gradients(learn, backbone, quick):
    whole = learn(quick)
    calls = []

    def full(grad):
        calls.append(len(grad))
        if len(calls) == 3:  # in the second part of the second step
            raise torch.OutOfMemoryError(FULL)

    backbone.unet.conv_out.register_forward_hook(
        lambda m, args, out: out.register_hook(full) and None if out.requires_grad else None
    )
    room = Room(4, CPU)
    found = learn(quick, Rooms(room))
    assert calls[:5] == [4, 2, 4, 2, 2] and room.rows == 2
    alike(found, whole)


def test_running_out_while_scoring_changes_no_score(backbone, make_lora, query):
    loras = {n: make_lora(backbone, s, seed=i) for i, (n, s) in enumerate([("a", 1.0), ("b", 2.0)])}
    config = ElboConfig(evaluations=8)
    whole = drain(score_queries(backbone, loras, query, config))
    full = Full(backbone.unet, rows=10, start=1)
    steps = []
    found = drain(score_queries(backbone, loras, query, config), steps.append)
    assert max(full.sizes[3:]) == 6 and found.unet_evaluations == whole.unet_evaluations == 72
    assert steps[-1].done == steps[-1].total == 72
    scale = np.abs(whole.contributions).max()
    np.testing.assert_allclose(
        found.contributions, whole.contributions, rtol=1e-4, atol=1e-5 * scale
    )


def test_checkpointing_is_switched_on_before_giving_up(learn, backbone, quick):
    """Full for every backward pass without it."""

    def check(module, args):
        again = any("forward" in vars(m) for m in module.modules())
        if torch.is_grad_enabled() and not again:
            raise torch.OutOfMemoryError(FULL)

    whole = learn(quick)
    backbone.unet.register_forward_pre_hook(check)
    room = Room(6, CPU, may_recompute=True)
    alike(learn(quick, Rooms(room)), whole)
    assert room.recompute and room.rows == 1
    with pytest.raises(OutOfMemoryError):
        learn(quick, Rooms(Room(6, CPU, may_recompute=False)))


def test_not_even_one_picture_fits(backbone, groups, quick, tmp_path):
    before, weights = tensor_bytes(), state_hash(backbone.unet)
    full = Full(backbone.unet, rows=0, start=4)
    request = UnlearnRequest(backbone, groups, tmp_path, quick.replace(checkpoint_every=1))
    with pytest.raises(OutOfMemoryError) as caught:
        drain(unlearn(request))
    message = str(caught.value)
    assert message.startswith(
        "The memory of cpu is full even with one picture at a time (CUDA out of memory. Tried to "
        "allocate 512.00 MiB). Close what else uses it, "
    )
    del caught
    assert state_hash(backbone.unet) == weights and not any(
        p.requires_grad for p in backbone.unet.parameters()
    )
    assert tensor_bytes() == before
    full.hook.remove()
    made = drain(unlearn(request))  # goes on from its checkpoint at step 2
    assert [len(e.losses) for e in made.entries] == [6, 6, 6]


def test_other_errors_are_not_taken_for_full_memory(learn, backbone, quick):
    def fail(module, args):
        raise RuntimeError("shapes do not match")

    backbone.unet.register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        learn(quick)
    assert is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"))
    assert is_out_of_memory(RuntimeError("MPS backend out of memory (MPS allocated: 5 GB)"))
    assert not is_out_of_memory(MemoryError("out of memory"))


@pytest.mark.parametrize("checkpointing", ["off", "on"])
def test_cancelled_unlearning_gives_its_memory_back(
    backbone, groups, quick, tmp_path, checkpointing
):
    memory = MemoryConfig(micro_batch=2, checkpointing=checkpointing)
    request = UnlearnRequest(backbone, groups, tmp_path, quick, memory=memory)
    everything = (backbone.unet, backbone.vae, backbone.text_encoder)
    before, weights = tensor_bytes(), state_hash(*everything)
    steps = unlearn(request)
    for step in steps:
        if (step.stage, step.done) == ("unlearn", 3):
            break
    trained = [p for p in backbone.unet.parameters() if p.requires_grad]
    optimizers = [x for x in gc.get_objects() if isinstance(x, torch.optim.AdamW)]
    moments = [m for o in optimizers for s in o.state.values() for m in s.values()]
    assert len(trained) == len(moments) / 3 > 0 and tensor_bytes() > before
    watched = [weakref.ref(x) for x in (*trained, *optimizers, *moments)]
    del trained, optimizers, moments
    steps.close()
    gc.collect()
    assert not [ref for ref in watched if ref() is not None]
    assert tensor_bytes() == before
    assert state_hash(*everything) == weights
    assert not any(vars(m).get("forward") for m in backbone.unet.modules())


def test_cancelled_scoring_gives_its_memory_back(backbone, make_lora, make_set, tmp_path):
    made = make_set(tmp_path, backbone, {n: make_lora(backbone, 1.0) for n in "ab"})
    pictures = list(torch.rand(2, 3, 32, 32))
    config = ElboConfig(evaluations=8, batch_size=4)
    request = AttributeRequest(backbone, made, pictures, ["p", "q"], [""], config)
    before, weights = tensor_bytes(), state_hash(backbone.unet)
    steps = attribute(request)
    for step in steps:
        if step.group == "b":
            break
    changed = next(p for n, p in backbone.unet.named_parameters() if "attn2.to_q" in n)
    merged = weakref.ref(changed.data.untyped_storage())
    assert state_hash(backbone.unet) != weights and tensor_bytes() > before
    steps.close()
    gc.collect()
    assert merged() is None or changed.data.untyped_storage()._cdata == merged()._cdata
    assert tensor_bytes() == before
    assert state_hash(backbone.unet) == weights


@pytest.mark.parametrize("modules", ["attention", "all", "full"])
def test_no_weight_is_trained_that_should_not_be(backbone, groups, quick, tmp_path, modules):
    everything = (backbone.unet, backbone.vae, backbone.text_encoder)
    before = state_hash(*everything)
    frozen = {n for n, p in backbone.unet.named_parameters()}
    steps = unlearn_set(backbone, groups, quick.replace(modules=modules), tmp_path, ["dots"])
    for step in steps:
        if step.stage == "unlearn" and modules != "full":
            now = {n.replace(".base_layer", ""): p for n, p in backbone.unet.named_parameters()}
            assert not any(now[n].requires_grad for n in frozen)
            kept = [v for k, v in sorted(backbone.unet.state_dict().items()) if "lora_" not in k]
            assert all(v.grad is None for v in kept)
    assert state_hash(*everything) == before


def test_half_precision_learns_with_float32_loras(learn, backbone, quick, model_folder):
    exact = learn(quick.replace(lr=1e-3))
    half = load(model_folder)
    half.cast("bfloat16", CPU)
    assert {p.dtype for p in half.unet.parameters()} == {torch.bfloat16}
    assert {p.dtype for p in half.vae.parameters()} == {torch.float32}
    assert half.fingerprint == backbone.fingerprint
    backbone.cast("bfloat16", CPU)
    before = state_hash(backbone.unet)
    dtypes = set()

    def look(module, args, out):
        dtypes.update(p.dtype for p in module.parameters() if p.requires_grad)
        assert out.sample.dtype == torch.bfloat16

    backbone.unet.register_forward_hook(look)
    found = learn(quick.replace(lr=1e-3))
    assert dtypes == {torch.float32}
    assert state_hash(backbone.unet) == before
    loss, expected = np.array(found.losses)[:, 1], np.array(exact.losses)[:, 1]
    np.testing.assert_allclose(loss, expected, rtol=0.1)


def test_full_fine_tuning_of_rounded_weights_is_refused(backbone, groups, quick, tmp_path):
    backbone.cast("bfloat16", CPU)
    config = quick.replace(modules="full")
    with pytest.raises(ConfigError, match="precision float32, or choose modules all"):
        drain(unlearn_set(backbone, groups, config, tmp_path))


def test_the_precision_is_chosen_by_the_device(backbone):
    assert choose("auto", "cpu") == torch.float32
    assert choose("auto", "cuda") == choose("auto", "mps") == torch.float16
    assert choose("bfloat16", "cpu") == torch.bfloat16
    with pytest.raises(ConfigError, match="precision is 'int8'; choose one of: auto, float32"):
        choose("int8", "cpu")


def test_scores_in_half_precision_come_near(backbone, make_lora, query):
    """Merging would round most of a small LoRA away; beside the weights it keeps its effect."""
    loras = {"a": make_lora(backbone, 0.3)}
    config = ElboConfig(evaluations=32)
    exact = drain(score_queries(backbone, loras, query, config)).contributions.sum(-1)
    backbone.cast("bfloat16", CPU)
    found = drain(score_queries(backbone, loras, query, config)).contributions.sum(-1)
    np.testing.assert_allclose(found, exact, rtol=0.2, atol=0.05 * np.abs(exact).max())
    untouched = {"a": make_lora(backbone, 0.0)}
    assert not drain(score_queries(backbone, untouched, query, config)).contributions.any()


def test_answers_that_are_not_finite_are_refused(backbone, query):
    with torch.no_grad():
        backbone.unet.conv_out.bias.fill_(float("inf"))
    with pytest.raises(ModelError, match=r"not finite\. Load it with precision"):
        drain(score_queries(backbone, {}, query, ElboConfig(evaluations=4)))


def test_an_overflow_lowers_the_scale_and_repeats_the_step(learn, backbone, quick, monkeypatch):
    """As in float16, where gradients beyond 65504 are infinite."""
    scales = []

    class Watched(LossScale):
        def __init__(self, dtype):
            super().__init__(torch.float16)
            scales.append(self)

    whole = learn(quick)
    monkeypatch.setattr("guda.unlearning.train.LossScale", Watched)
    forward = []

    def overflow(module, args, out):
        if out.requires_grad:
            forward.append(1)
            out.register_hook(lambda g: g * float("inf") if scales[0].value > 2**13 else g)

    backbone.unet.conv_out.register_forward_hook(overflow)
    found = learn(quick)
    assert scales[0].value == 2**13 and len(forward) == 6 + 3
    assert found.losses == whole.losses
    for name, pair in whole.lora.layers.items():
        assert all(torch.equal(x, y) for x, y in zip(pair, found.lora.layers[name], strict=True))


def test_the_scale_rises_again():
    scale = LossScale(torch.float16)
    assert scale.value == 2**16
    assert scale.overflowed() and scale.value == 2**15
    for _ in range(200):
        scale.succeeded()
    assert scale.value == 2**16
    plain = LossScale(torch.bfloat16)
    assert plain.value == 1 and not plain.overflowed()


@pytest.mark.parametrize("checkpointing", [False, True])
def test_the_ghost_counts_what_the_real_run_takes(backbone, quick, checkpointing):
    ghost = footprint.training(backbone, quick, 3, checkpointing=checkpointing)
    x_t, t = torch.zeros(3, 4, 16, 16), torch.ones(3).long()
    condition = backbone.encode_prompts([""]).take([0, 0, 0])
    with backbone.training_lora(modules="attention", rank=2, alpha=2.0, seed=0) as lora:
        held = footprint.size(lora.parameters().values())
        known = [*backbone.unet.parameters(), *backbone.unet.buffers()]
        blocks = recomputing(backbone.unet) if checkpointing else nullcontext()
        with training_attention(CPU), blocks, footprint.Live(known) as live:
            with torch.no_grad(), lora.off():
                target = backbone.predict_eps(x_t, t, condition)
            error = (backbone.predict_eps(x_t, t, condition) - target).square()
            error.mean(dim=(1, 2, 3)).mean().backward()
    assert ghost.weights == footprint.size(backbone.unet.parameters())
    assert (ghost.lora, ghost.optimizer) == (2 * held, 2 * held)
    assert live.peak - held == pytest.approx(ghost.activations, rel=0.01)


def test_checkpointing_saves_memory(backbone, quick):
    plain = footprint.training(backbone, quick, 4, checkpointing=False)
    again = footprint.training(backbone, quick, 4, checkpointing=True)
    assert again.activations < 0.5 * plain.activations


def test_memory_grows_evenly_with_the_pictures(backbone, quick, make_lora):
    for cost in (
        lambda n: footprint.training(backbone, quick, n, checkpointing=False).total,
        lambda n: footprint.scoring(backbone, make_lora(backbone, 1.0), n).total,
    ):
        one, two, five = cost(1), cost(2), cost(5)
        assert one < two and five == pytest.approx(one + 4 * (two - one), rel=0.02)


@pytest.mark.parametrize(
    ("share", "rows", "again"), [(9.0, 6, False), (3.2, 3, False), (0.9, 3, True), (0.1, 1, True)]
)
def test_what_fits_is_chosen(backbone, quick, monkeypatch, share, rows, again):
    """share: free memory in units of what one picture's activations take without checkpointing."""
    one = footprint.training(backbone, quick, 1, checkpointing=False)
    needed = one.total - one.weights - one.activations + share * one.activations
    monkeypatch.setattr(fitting, "free_bytes", lambda device: int(needed / 0.9) + 1)
    found = fitting.for_training(backbone, quick, MemoryConfig())
    assert found.rows == rows
    assert found.recompute == again and found.begin_to_recompute() != again
    chosen = fitting.for_training(backbone, quick, MemoryConfig(micro_batch=2, checkpointing="on"))
    assert chosen.rows == 2 and chosen.recompute


def test_scoring_takes_fewer_where_memory_is_short(backbone, monkeypatch):
    one, two = (footprint.scoring(backbone, None, n) for n in (1, 2))
    free = one.activations + 3 * (two.activations - one.activations)
    monkeypatch.setattr(fitting, "free_bytes", lambda device: int(free / 0.9) + 2)
    assert fitting.for_scoring(backbone, None, 32).rows == 4
    assert fitting.for_scoring(backbone, None, 2).rows == 2
    monkeypatch.setattr(fitting, "free_bytes", lambda device: None)
    assert fitting.for_scoring(backbone, None, 32).rows == 32


def test_free_memory_is_known():
    free = free_bytes(CPU)
    assert free is not None and 1 << 20 < free < 1 << 50


class Part(torch.nn.Linear):
    """Remembers where it was sent."""

    def __init__(self, name: str, log: list):
        super().__init__(2, 2)
        self.name, self.log = name, log

    def to(self, device):  # type: ignore[override]
        self.log.append((self.name, str(device)))
        return super().to_empty(device=device)


def test_the_others_leave_before_a_part_comes():
    """The meta device stands for a device of its own."""
    log: list = []
    parts = {n: Part(n, log) for n in ("vae", "text encoder", "unet")}
    device, rest = torch.device("meta"), CPU
    placement.bring(parts["unet"], parts.values(), device, rest)
    assert log == [("unet", "meta")]
    placement.bring(parts["unet"], parts.values(), device, rest)
    assert len(log) == 1, "it is there already"
    placement.bring(parts["vae"], parts.values(), device, rest)
    assert log[1:] == [("unet", "cpu"), ("vae", "meta")]
    placement.bring(parts["text encoder"], parts.values(), CPU, CPU)
    assert len(log) == 3, "one device for all: nothing moves"


def test_only_the_part_at_work_is_on_the_device(backbone, monkeypatch):
    seen = []

    def bring(part, parts, device, rest):
        seen.append((type(part).__name__, len(list(parts)), str(device), str(rest)))

    monkeypatch.setattr(placement, "bring", bring)
    backbone.encode_images(torch.rand(1, 3, 32, 32))
    condition = backbone.encode_prompts(["a fox"])
    with torch.no_grad():
        backbone.predict_eps(torch.zeros(1, 4, 16, 16), torch.tensor([5]), condition)
    names = [name for name, *_ in seen]
    assert names == ["AutoencoderKL", "CLIPTextModel", "UNet2DConditionModel"]
    assert {x[1:] for x in seen} == {(3, "cpu", "cpu")}


def test_stable_diffusion_takes_what_the_readme_says():
    """At 512 pixels in float16: planned for 8 GB, and for 4 GB where it is scored."""
    path = Path(__file__).parents[3] / "benchmarks" / "memory.py"
    counted = runpy.run_path(str(path))
    backbone = counted["model"]("sd15", "cuda", torch.float16)
    learning = footprint.training(backbone, STABLE_DIFFUSION, 4, checkpointing=False)
    scoring = footprint.scoring(backbone, counted["lora"](backbone), 26)
    assert learning.total == pytest.approx(6.4e9, rel=0.01)
    assert scoring.total == pytest.approx(3.6e9, rel=0.01)
