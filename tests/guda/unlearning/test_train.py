"""Unlearning one group: its loss, its records, resumption, divergence and the gate."""

from __future__ import annotations

import copy
import multiprocessing
import os
import signal
from collections.abc import Iterator

import pytest
import torch
from diffusers import DDPMScheduler
from safetensors.torch import load_file, save_file

from guda.backbone.files.load import load
from guda.diffusion import LoraWeights
from guda.diffusion.noise import generator, standard_normal
from guda.errors import CounterfactualError, DivergedError
from guda.groups.encode import PromptTable, encode_groups
from guda.jobs.attribute import AttributeRequest, attribute
from guda.settings import digest
from guda.steps import Step, drain
from guda.unlearning.batches import AHEAD, Batches, timesteps
from guda.unlearning.context import anchor_context
from guda.unlearning.gate import Gate, measure
from guda.unlearning.progress import LEVELS
from guda.unlearning.resume import Place
from guda.unlearning.train import Unlearned, learning_rate, unlearn_group

GOLDEN = "f912e31c09bacb1c78d2dc795a16f2ee"


@pytest.fixture
def encoded(backbone, groups, quick):
    return drain(encode_groups(backbone, groups, quick.heldout))


@pytest.fixture
def run(backbone, groups, encoded):
    """Unlearn "dots"; `stop` ends it after that many steps, as a closed window would."""

    def run(config, path=None, key="k", stop=None) -> tuple[list[Step], Unlearned | None]:
        steps: Iterator[Step] = unlearn_group(
            backbone, groups, encoded, "dots", config, path and Place(path, key)
        )
        seen = []
        while len(seen) != stop:
            try:
                seen.append(next(steps))
            except StopIteration as end:
                return seen, end.value
        steps.close()
        return seen, None

    return run


@pytest.fixture(scope="module")
def whole(model_folder, groups, recipe) -> Unlearned:
    """What an uninterrupted run gives."""
    backbone = load(model_folder)
    encoded = drain(encode_groups(backbone, groups, recipe.heldout))
    return drain(unlearn_group(backbone, groups, encoded, "dots", recipe))


def same(a: Unlearned, b: Unlearned) -> bool:
    return (
        a.losses == b.losses
        and a.lora.layers.keys() == b.lora.layers.keys()
        and all(
            torch.equal(x, y)
            for name, pair in a.lora.layers.items()
            for x, y in zip(pair, b.lora.layers[name], strict=True)
        )
    )


def weights(backbone) -> dict:
    return {k: v.clone() for k, v in backbone.unet.state_dict().items()}


def test_the_first_loss_by_hand(backbone, groups, encoded, quick, run, model_folder):
    quick = quick.replace(caption_dropout=0.0)
    steps, _ = run(quick, stop=1)
    anchors = anchor_context(backbone, groups, groups["dots"], quick)
    choice = Batches(encoded, anchors, backbone.schedule, quick).choose(0)
    scheduler = DDPMScheduler.from_pretrained(model_folder, subfolder="scheduler")
    noise = torch.randn(6, 4, 16, 16, generator=generator("unlearn noise", 0, "dots", 0))
    errors = []
    for row, index in enumerate(choice.forget):
        x0 = encoded["dots"].latents[index : index + 1]
        x_t = scheduler.add_noise(x0, noise[row : row + 1], choice.t[row : row + 1])
        asked = encoded["dots"].train[index]
        assert choice.prompts[row] == f"{asked.content}, in dots style"
        assert choice.teacher_prompts[row].startswith(f"{asked.content}, in ")
        assert "dots" not in choice.teacher_prompts[row]
        with torch.no_grad():
            eps, anchor = (
                backbone.unet(x_t, choice.t[row], backbone.encode_prompts([p]).embeds).sample
                for p in (choice.prompts[row], choice.teacher_prompts[row])
            )
        errors.append(((eps - anchor).double() ** 2).mean().item())
    assert steps[0].forget == pytest.approx(sum(errors) / len(errors), rel=1e-4)
    assert steps[0].preserve == pytest.approx(0, abs=1e-12)
    assert steps[0].loss == pytest.approx(steps[0].forget, rel=1e-6)


def test_retain_rows_are_other_groups_own_captions(backbone, groups, encoded, quick):
    quick = quick.replace(caption_dropout=0.0)
    anchors = anchor_context(backbone, groups, groups["dots"], quick)
    batches = Batches(encoded, anchors, backbone.schedule, quick)
    choice = batches.choose(3)
    prompts = PromptTable(backbone, (*choice.prompts, *choice.teacher_prompts))
    batch = batches.make(3, choice, prompts)
    assert batch.n == 3 and len(batch.x_t) == len(batch.t) == 6
    assert torch.equal(batch.condition.embeds[3:], batch.teacher_condition.embeds[3:])
    assert not torch.equal(batch.condition.embeds[:3], batch.teacher_condition.embeds[:3])
    for (name, index), prompt in zip(choice.retain, choice.prompts[3:], strict=True):
        assert name != "dots"
        assert prompt == f"{encoded[name].train[index].content}, in {name} style"


def test_caption_dropout_takes_the_style_or_every_word(backbone, groups, encoded, quick):
    anchors = anchor_context(backbone, groups, groups["dots"], quick)
    recipe = quick.replace(caption_dropout=0.6, batch_size=20, retain_batch_size=20)
    batches = Batches(encoded, anchors, backbone.schedule, recipe)
    choices = [batches.choose(s) for s in range(60)]
    for choice in choices:
        assert all("dots" not in p and ", in " in p for p in choice.teacher_prompts[:20])
    for rows in (slice(20), slice(20, None)):
        prompts = [p for choice in choices for p in choice.prompts[rows]]
        empty = sum(p == "" for p in prompts) / len(prompts)
        full = sum(", in " in p for p in prompts) / len(prompts)
        assert empty == pytest.approx(0.3, abs=0.06) and full == pytest.approx(0.4, abs=0.06)
    contents = {e.content for g in encoded.values() for e in g.train}
    bare = {p for p in prompts if p and ", in " not in p}
    assert bare and bare <= contents


def test_the_teacher_is_shown_whole_captions(backbone, groups, encoded, quick):
    anchors = anchor_context(backbone, groups, groups["dots"], quick)
    recipe = quick.replace(caption_dropout=1.0)
    batches = Batches(encoded, anchors, backbone.schedule, recipe)
    choice = batches.choose(3)
    assert not any(", in " in p for p in choice.prompts)
    assert all("dots" not in p and ", in " in p for p in choice.teacher_prompts[:3])
    for (name, index), prompt in zip(choice.retain, choice.teacher_prompts[3:], strict=True):
        assert prompt == f"{encoded[name].train[index].content}, in {name} style"
    prompts = PromptTable(backbone, (*choice.prompts, *choice.teacher_prompts))
    batch = batches.make(3, choice, prompts)
    assert torch.equal(batch.condition.embeds, prompts[choice.prompts].embeds)
    assert torch.equal(batch.teacher_condition.embeds, prompts[choice.teacher_prompts].embeds)


def test_a_step_trains_on_what_it_always_did(backbone, groups, encoded, quick):
    """Saved sets name their recipe: it has to mean the same batches as in version 0.1.0."""
    anchors = anchor_context(backbone, groups, groups["dots"], quick)
    batches = Batches(encoded, anchors, backbone.schedule, quick.replace(steps=100_000))
    choices = [batches.choose(step) for step in (0, 1, 999, 1000, 54_321)]
    rows = [(c.forget, c.retain, c.prompts, c.teacher_prompts, c.t.tolist()) for c in choices]
    assert digest(rows) == GOLDEN


def test_a_long_recipe_begins_at_once(backbone, groups, encoded, quick, monkeypatch):
    """All its steps would be chosen and their prompts encoded for a minute and more."""
    anchors = anchor_context(backbone, groups, groups["dots"], quick)
    batches = Batches(encoded, anchors, backbone.schedule, quick.replace(steps=100_000))
    chosen, real = [], Batches.choose
    monkeypatch.setattr(
        Batches, "choose", lambda self, step: chosen.append(step) or real(self, step)
    )
    next(batches.since(0, backbone))
    next(batches.since(99_999, backbone))
    assert chosen == [*range(AHEAD), *range(100_000 - AHEAD, 100_000)]


def test_batches_are_the_same_wherever_training_begins(
    backbone, groups, encoded, quick, monkeypatch
):
    monkeypatch.setattr("guda.unlearning.batches.AHEAD", 4)
    anchors = anchor_context(backbone, groups, groups["dots"], quick)
    batches = Batches(encoded, anchors, backbone.schedule, quick.replace(steps=10))
    whole = list(batches.since(0, backbone))
    assert len(whole) == 10
    for first in (3, 4, 9, 10):
        rest = list(batches.since(first, backbone))
        assert len(rest) == 10 - first
        for a, b in zip(whole[first:], rest, strict=True):
            assert torch.equal(a.x_t, b.x_t) and torch.equal(a.t, b.t)
            assert a.condition.equal(b.condition).all()
            assert a.teacher_condition.equal(b.teacher_condition).all()


@pytest.mark.parametrize("kind", ["uniform", "low"])
def test_timesteps_cover_their_slices(kind):
    for n in (1, 4, 50):
        t = timesteps(n, 1000, kind, generator("t", n)).double()
        assert t.min() >= 1 and t.max() <= 999
        for i, value in enumerate(t.sort().values.tolist()):
            ends = [1 + 999 * k / n if kind == "uniform" else 999 ** (k / n) for k in (i, i + 1)]
            assert int(ends[0]) <= value <= ends[1]
    many = torch.cat([timesteps(8, 1000, "low", generator("t", i)) for i in range(200)])
    assert abs((many < 32).double().mean() - 0.5) < 0.05


def test_the_steps_are_records(run, quick):
    steps, result = run(quick)
    trained, gate = steps[:6], steps[6:]
    assert [(s.stage, s.done, s.total, s.group) for s in trained] == [
        ("unlearn", i + 1, 6, "dots") for i in range(6)
    ]
    assert [(s.stage, s.done) for s in gate] == [("gate", 0), ("gate", 1)]
    assert [(s.done - 1, s.forget, s.preserve) for s in trained] == list(result.losses)
    for s in trained:
        assert s.loss == pytest.approx(s.forget + quick.preserve_weight * s.preserve, rel=1e-5)
    assert all(up.any() for up, _ in result.lora.layers.values())


def test_the_learning_rate_rises_then_falls(quick):
    config = quick.replace(steps=100, warmup=10)
    rates = [learning_rate(s, config) for s in range(100)]
    assert rates[0] == pytest.approx(0.1, rel=0.01)
    assert rates.index(max(rates)) == 9
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert rates[-1] == pytest.approx(0.1, abs=0.01)


def test_the_model_is_untouched(backbone, run, quick):
    before = weights(backbone)
    run(quick)
    run(quick, stop=2)
    assert all(torch.equal(v, before[k]) for k, v in backbone.unet.state_dict().items())
    assert backbone.unet.state_dict().keys() == before.keys()


@pytest.mark.parametrize("stop", [1, 2, 3, 6, 7])
def test_an_interrupted_run_ends_the_same(run, quick, whole, tmp_path, stop):
    path = tmp_path / "c.safetensors"
    run(quick, path, stop=stop)
    assert path.exists() == (stop >= 2)
    torch.rand(3)
    steps, again = run(quick, path)
    assert steps[0].done == 1 + min(stop // 2 * 2, 6) or steps[0].stage == "gate"
    assert same(again, whole)
    assert again.gate == whole.gate


def change(lora: LoraWeights, name: str) -> torch.Tensor:
    """What it adds to the weights of the layer `name`, a matrix."""
    up, down = lora.layers[name]
    return lora.scale * up.flatten(1).double() @ down.flatten(1).double()


def test_repetitions_are_averaged(run, quick, whole):
    """Their LoRA changes every weight by the mean of what the seeds' own LoRAs do."""
    twice = quick.replace(repeats=2)
    steps, both = run(twice)
    trained = [s for s in steps if s.stage == "unlearn"]
    assert [(s.done, s.total) for s in trained] == [(i + 1, 12) for i in range(12)]
    assert [s for s, *_ in both.losses] == list(range(12)) and both.losses[:6] == whole.losses
    _, second = run(quick.replace(seed=1))
    assert both.lora.rank == 2 * quick.rank
    for name in whole.lora.layers:
        parts = [change(x.lora, name) for x in (whole, second)]
        assert not torch.allclose(*parts, atol=1e-3 * parts[0].abs().max())
        assert torch.allclose(change(both.lora, name), sum(parts) / 2, rtol=1e-5, atol=1e-9)


def test_full_repetitions_are_averaged(run, quick):
    full = quick.replace(modules="full", steps=2)
    _, both = run(full.replace(repeats=2))
    (_, one), (_, two) = run(full), run(full.replace(seed=1))
    for name, found in both.lora.diffs.items():
        assert torch.allclose(found, (one.lora.diffs[name] + two.lora.diffs[name]) / 2)


@pytest.mark.parametrize("stop", [6, 9, 12, 13])
def test_an_interrupted_repetition_ends_the_same(run, quick, tmp_path, stop):
    path, twice = tmp_path / "c.safetensors", quick.replace(repeats=2)
    _, expected = run(twice)
    run(twice, path, stop=stop)
    steps, again = run(twice, path)
    assert steps[0].done == 1 + stop // 2 * 2 or steps[0].stage == "gate"
    assert same(again, expected) and again.gate == expected.gate


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")
@pytest.mark.parametrize("stop", [1, 3])
def test_a_killed_run_ends_the_same(run, quick, whole, tmp_path, stop):
    path = tmp_path / "c.safetensors"

    def work():
        run(quick, path, stop=stop)
        os.kill(os.getpid(), signal.SIGKILL)

    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    process.join(300)
    assert process.exitcode == -signal.SIGKILL
    steps, again = run(quick, path)
    assert steps[0].done == stop // 2 * 2 + 1
    assert same(again, whole)


def test_a_state_of_another_recipe_is_ignored(run, quick, whole, tmp_path):
    path = tmp_path / "c.safetensors"
    run(quick, path, key="one", stop=4)
    steps, result = run(quick, path, key="two")
    assert steps[0].done == 1
    assert same(result, whole)


def _truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


def _empty(path):
    path.write_bytes(b"")


def _garbage(path):
    path.write_bytes(b"\xff" * 5000)


def _lacking(path):
    save_file({"x": torch.ones(1)}, path, {"key": "k", "losses": "[]"})


def _losses(path):
    save_file(load_file(path), path, {"key": "k", "losses": "[[0"})


@pytest.mark.parametrize("damage", [_truncate, _empty, _garbage, _lacking, _losses])
def test_after_a_damaged_state_the_one_before_it_is_continued(run, quick, whole, tmp_path, damage):
    path = tmp_path / "c.resume"
    run(quick, path, stop=4)
    damage(path)
    steps, result = run(quick, path)
    assert steps[0].done == 3
    assert same(result, whole)


def test_where_every_state_is_damaged_training_starts_anew(run, quick, whole, tmp_path):
    path = tmp_path / "c.resume"
    run(quick, path, stop=4)
    for file in list(tmp_path.iterdir()):
        _garbage(file)
    steps, result = run(quick, path)
    assert steps[0].done == 1
    assert same(result, whole)


def test_divergence_is_named_and_keeps_the_last_state(backbone, run, quick, tmp_path):
    before = weights(backbone)
    path = tmp_path / "c.safetensors"
    wild = quick.replace(lr=1.0, alpha=1e18, checkpoint_every=1)
    with pytest.raises(DivergedError) as caught:
        run(wild, path)
    message = str(caught.value)
    assert message.startswith("Unlearning 'dots' stopped at step 2: the loss is ")
    assert message.endswith("Lower lr (it is 1) and run again; what was finished before is kept.")
    assert all(v.isfinite().all() for v in load_file(path).values())
    assert all(torch.equal(v, before[k]) for k, v in backbone.unet.state_dict().items())
    steps, result = run(quick.replace(lr=1e-3), path, key="lower")
    assert steps[0].done == 1 and len(result.losses) == 6


def test_weights_that_break_the_model_in_the_last_step_are_not_kept(run, quick, tmp_path):
    """No loss tells of them any more, and a gate that is not finite could not be read again."""
    wild = quick.replace(steps=1, lr=1.0, alpha=1e18)
    with pytest.raises(DivergedError, match=r"at step 1: .* held-out pictures is not finite"):
        run(wild, tmp_path / "c.resume")


def test_weights_that_become_infinite_stop_at_the_next_step(
    backbone, groups, encoded, quick, tmp_path
):
    path = tmp_path / "c.safetensors"
    steps = unlearn_group(backbone, groups, encoded, "dots", quick, Place(path, "k"))
    for _ in range(3):
        next(steps)
    good = path.read_bytes()
    trained = next(p for p in backbone.unet.parameters() if p.requires_grad)
    with torch.no_grad():
        trained.fill_(float("inf"))
    with pytest.raises(DivergedError, match=r"stopped at step 4: .* Lower lr \(it is 0\.01\)"):
        next(steps)
    assert path.read_bytes() == good
    assert not any(p.requires_grad for p in backbone.unet.parameters())


def test_the_gate_by_hand(backbone, encoded, make_lora, model_folder):
    lora = make_lora(backbone, 0.5)
    gate = measure(backbone, encoded, "dots", lora, seed=3, margin=0.25)
    without = copy.deepcopy(backbone.unet)
    with torch.no_grad():
        for path, (up, down) in lora.layers.items():
            without.get_submodule(path).weight += (up.double() @ down.double()).float()
    scheduler = DDPMScheduler.from_pretrained(model_folder, subfolder="scheduler")

    def error(unet, names):
        errors = []
        for name in names:
            part = encoded[name]
            for example, x0 in zip(part.heldout, part.heldout_latents, strict=True):
                embeds = backbone.encode_prompts([f"{example.content}, in {name} style"]).embeds
                for t in LEVELS:
                    eps = standard_normal(3, f"{name}/{example.id}", t, 0, x0.shape)
                    x_t = scheduler.add_noise(x0[None], eps[None], torch.tensor([t]))
                    with torch.no_grad():
                        eps_hat = unet(x_t, t, embeds).sample[0]
                    errors.append((eps - eps_hat).double().square().mean().item())
        return sum(errors) / len(errors)

    assert gate.forget_full == pytest.approx(error(backbone.unet, ["dots"]), rel=1e-5)
    assert gate.forget_without == pytest.approx(error(without, ["dots"]), rel=1e-5)
    retain = ["stripes", "waves"]
    assert gate.retain_full == pytest.approx(error(backbone.unet, retain), rel=1e-5)
    assert gate.retain_without == pytest.approx(error(without, retain), rel=1e-5)
    assert gate.margin == 0.25


def test_held_out_pictures_are_never_trained_on(encoded, groups):
    for group in groups:
        part = encoded[group.name]
        train, held = {e.id for e in part.train}, {e.id for e in part.heldout}
        assert held and not train & held and train | held == {e.id for e in group.examples}
        assert len(part.latents) == len(train) and len(part.heldout_latents) == len(held)


@pytest.mark.parametrize(
    ("forget", "retain", "margin", "passed"),
    [
        (1.2, 1.1, 0.0, True),
        (1.2, 1.1, 0.09, True),
        (1.2, 1.1, 0.11, False),
        (1.1, 1.2, 0.0, False),
        (0.9, 0.8, 0.0, False),
        (1.0, 1.0, 0.0, False),
    ],
)
def test_the_gates_rule(forget, retain, margin, passed):
    gate = Gate(2.0, 2.0 * forget, 3.0, 3.0 * retain, margin)
    assert gate.passed == passed
    assert ("must rise" in gate.reason) != passed
    assert passed or (f"by over {margin:.2%} more than" in gate.reason) == (margin > 0)
    assert f"{forget - 1:+.2%}" in gate.reason and f"{retain - 1:+.2%}" in gate.reason
    assert Gate.from_dict(gate.as_dict()) == gate


def test_an_untouched_lora_fails_its_gate(backbone, encoded, make_lora):
    gate = measure(backbone, encoded, "dots", make_lora(backbone, 0.0), seed=0, margin=0.0)
    assert gate.forget_rise == 0.0 and gate.retain_rise == 0.0 and not gate.passed


def test_attribution_refuses_what_learned_nothing(backbone, run, quick, make_set, tmp_path):
    lazy = quick.replace(steps=1, lr=1e-8, gate_margin=0.01)
    _, result = run(lazy)
    assert not result.gate.passed
    made = make_set(tmp_path / "set", backbone, {"dots": result.lora}, result.gate)
    request = AttributeRequest(backbone, made, [torch.rand(3, 32, 32)], ["a"], ["a fox"])
    with pytest.raises(CounterfactualError) as caught:
        next(attribute(request))
    message = str(caught.value)
    assert f"'dots' in {made.folder} failed its gate ({result.gate.reason})" in message
    assert "Unlearn it again with more steps or another lr, or leave the style out." in message


def test_the_preserve_term_preserves(run, quick):
    config = quick.replace(steps=20, lr=2e-2, rank=4, caption_dropout=0.0)
    drift = {}
    for weight in (0.0, 10.0):
        _, result = run(config.replace(preserve_weight=weight))
        drift[weight] = sum(preserve for _, _, preserve in result.losses[-5:])
        assert sum(f for _, f, _ in result.losses[-5:]) > 0
    assert drift[0.0] > 2 * drift[10.0]
