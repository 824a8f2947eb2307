"""Damage on disk is found, set aside with a word, and made good."""

from __future__ import annotations

import dataclasses
import os
import random
import shutil

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch.optim.optimizer import register_optimizer_step_post_hook

from guda.backbone.files.load import load
from guda.counterfactuals import load_set, unlearn_set
from guda.counterfactuals import set as set_module
from guda.counterfactuals.lora_file import read_file
from guda.counterfactuals.make import survey
from guda.counterfactuals.set import MANIFEST
from guda.errors import CounterfactualError, DamagedError, DivergedError
from guda.files import sealed
from guda.steps import drain
from guda.unlearning import resume

FLIPS = 20
LISTED = {".ckpt", ".pt", ".pt2", ".bin", ".pth", ".safetensors", ".pkl", ".sft"}
"""What ComfyUI lists below models/loras."""


@pytest.fixture
def brief(quick):
    return quick.replace(steps=4, checkpoint_every=1)


def flip(path, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


def half_of_zeros(path) -> None:
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 2)
        file.write(bytes(size - size // 2))


def not_a_number(path) -> None:
    """As an earlier version may have saved it."""
    with safe_open(path, "pt") as file:
        metadata = {k: v for k, v in file.metadata().items() if k != sealed.DIGEST}
    tensors = {k: v.clone() for k, v in load_file(path).items()}
    name = min(k for k, v in tensors.items() if v.is_floating_point() and v.numel() > 1)
    tensors[name].view(-1)[0] = float("nan")
    save_file(tensors, path, metadata)


def without_digest(path) -> None:
    """The file as versions up to 0.1.0 wrote it."""
    with safe_open(path, "pt") as file:
        metadata = {k: v for k, v in file.metadata().items() if k != sealed.DIGEST}
    save_file({k: v.clone() for k, v in load_file(path).items()}, path, metadata)


def make(backbone, groups, config, folder, names=("dots",)):
    steps = []
    made = drain(unlearn_set(backbone, groups, config, folder, names), steps.append)
    return made, steps


def interrupt(backbone, groups, config, folder, after: int):
    """A run that ends after so many steps of its first group."""
    running = unlearn_set(backbone, groups, config, folder, ("dots",))
    for step in running:
        if (step.stage, step.done) == ("unlearn", after):
            break
    running.close()


def said(steps, folder) -> list[str]:
    """The warnings about what lies in the folder."""
    return [s.warning for s in steps if str(folder) in s.warning]


def trained(steps) -> list[int]:
    return [s.done for s in steps if s.stage == "unlearn"]


def places(path, seed: int) -> list[int]:
    """Bits of a file, half of them in its header, the digest's name and the padding among them."""
    data, rng = path.read_bytes(), random.Random(seed)
    header = 8 + int.from_bytes(data[:8], "little")
    bits = [rng.randrange(8 * header) for _ in range(FLIPS // 2 - 2)]
    bits += [8 * data.index(b"guda.digest") + 3, 8 * (header - 1)]
    return bits + [rng.randrange(8 * header, 8 * len(data)) for _ in range(FLIPS // 2)]


def test_every_flipped_bit_in_a_lora_is_found(backbone, groups, brief, tmp_path):
    made, _ = make(backbone, groups, brief, tmp_path)
    path = made.path(made.entries[0])
    for bit in (bits := places(path, 1)):
        flip(path, bit)
        with pytest.raises(CounterfactualError, match="is damaged"):
            made.load(made.entries[0], backbone)
        flip(path, bit)
    assert len(bits) == FLIPS
    made.load(made.entries[0], backbone)


def test_every_flipped_bit_in_a_resume_file_is_found(backbone, groups, brief, tmp_path):
    interrupt(backbone, groups, brief, tmp_path, 2)
    path = tmp_path / "dots.resume"
    whole = path.read_bytes()
    for bit in (bits := places(path, 2)):
        flip(path, bit)
        with pytest.raises(DamagedError):
            sealed.read(path)
        path.write_bytes(whole)
    assert len(bits) == FLIPS
    sealed.read(path)


@pytest.mark.parametrize("damage", [lambda p: flip(p, 8 * 9000), half_of_zeros, not_a_number])
def test_a_damaged_lora_is_set_aside_and_made_again(backbone, groups, brief, tmp_path, damage):
    made, _ = make(backbone, groups, brief, tmp_path)
    path = made.path(made.entries[0])
    whole = path.read_bytes()
    damage(path)
    harmed = path.read_bytes()
    again, steps = make(backbone, groups, brief, tmp_path)
    (note,) = said(steps, tmp_path)
    assert str(path) in note and "was set aside as dots.safetensors.damaged" in note
    assert path.read_bytes() == whole and again == made
    assert (tmp_path / "dots.safetensors.damaged").read_bytes() == harmed


@pytest.mark.parametrize("damage", [lambda p: flip(p, 8 * 9000), half_of_zeros, not_a_number])
def test_training_goes_on_from_the_last_good_state(backbone, groups, brief, tmp_path, damage):
    straight, _ = make(backbone, groups, brief, tmp_path / "straight")
    folder = tmp_path / "set"
    interrupt(backbone, groups, brief, folder, 3)
    damage(folder / "dots.resume")
    assert list(survey(backbone, groups, brief, folder, ["dots"]).left) == [(groups["dots"], 2)]
    made, steps = make(backbone, groups, brief, folder)
    (note,) = said(steps, tmp_path)
    assert "was set aside as dots.resume.damaged; training goes on after step 2." in note
    assert trained(steps) == [3, 4]
    entry = made.entries[0]
    assert made.path(entry).read_bytes() == straight.path(entry).read_bytes()
    assert not list(folder.glob("*.resume*"))


def test_weights_that_are_not_finite_are_never_saved(backbone, groups, brief, tmp_path):
    """A run that saved them would end each later run with the same error."""
    running = unlearn_set(backbone, groups, brief, tmp_path, ("dots",))
    for step in running:
        if (step.stage, step.done) == ("unlearn", 2):
            break
    kept = (tmp_path / "dots.resume").read_bytes()

    def to_infinity(optimizer, *_):
        for group in optimizer.param_groups:
            for p in group["params"]:
                p.data.fill_(float("inf"))

    hook = register_optimizer_step_post_hook(to_infinity)
    try:
        with pytest.raises(
            DivergedError, match=r"at step 3: its weights are not finite\. Lower lr"
        ):
            drain(running)
    finally:
        hook.remove()
    assert (tmp_path / "dots.resume").read_bytes() == kept
    assert trained(make(backbone, groups, brief, tmp_path)[1]) == [3, 4]


def test_nothing_but_loras_is_listed_while_a_run_goes_on(backbone, groups, brief, tmp_path):
    running = unlearn_set(backbone, groups, brief.replace(repeats=2), tmp_path, ("dots", "waves"))
    seen = set()
    for _ in running:
        seen |= {name for _, _, names in os.walk(tmp_path) for name in names}
    assert "dots.resume" in seen and "1.waves.resume" in seen
    seen |= set(os.listdir(tmp_path))
    listed = {name for name in seen if os.path.splitext(name)[1] in LISTED}
    assert listed == {"dots.safetensors", "waves.safetensors"}


def test_what_an_earlier_version_wrote_is_continued_and_reused(backbone, groups, brief, tmp_path):
    straight, _ = make(backbone, groups, brief, tmp_path / "straight")
    folder, twice = tmp_path / "set", brief.replace(repeats=2)
    for config, numbers in ((brief, [""]), (twice, ["", "1."])):
        interrupt(backbone, groups, config, folder, config.total_steps - 1)
        for number in numbers:
            state = folder / f"{number}dots.resume"
            without_digest(state)
            state.rename(folder / f"{number}dots.checkpoint.safetensors")
            state.with_name(f"{number}dots.resume.old").unlink()
        left = list(survey(backbone, groups, config, folder, ["dots"]).left)
        assert left == [(groups["dots"], config.total_steps - 1)]
        made, steps = make(backbone, groups, config, folder)
        assert trained(steps) == [config.total_steps] and not said(steps, tmp_path)
        assert sorted(os.listdir(folder)) == ["counterfactuals.json", "dots.safetensors"]
        if config is brief:
            entry = straight.entries[0]
            assert made.path(entry).read_bytes() == straight.path(entry).read_bytes()
    path = made.path(made.entries[0])
    without_digest(path)
    earlier = path.read_bytes()
    load_set(folder).load(made.entries[0], backbone)
    assert sealed.DIGEST not in read_file(path)[1]
    assert trained(make(backbone, groups, twice, folder)[1]) == [twice.total_steps]
    assert path.read_bytes() == earlier, "it is made of the same things, and whole"


def test_the_digest_is_of_every_part(tmp_path):
    tensors = {"a": torch.ones(3), "b": torch.tensor(2, dtype=torch.bfloat16), "c": torch.ones(0)}
    sealed_ = sealed.seal(tensors, {"key": "k"})
    save_file(tensors, tmp_path / "x", sealed_)
    found, metadata = sealed.read(tmp_path / "x")
    assert metadata == {"key": "k"} and found.keys() == tensors.keys()
    others = [
        ({**tensors, "a": torch.zeros(3)}, sealed_),
        ({**tensors, "a": torch.ones(3).int()}, sealed_),
        ({**tensors, "a": torch.ones(1, 3)}, sealed_),
        ({"d": tensors["a"], **{k: tensors[k] for k in "bc"}}, sealed_),
        ({k: tensors[k] for k in "ab"}, sealed_),
        (tensors, {**sealed_, "key": "l"}),
        (tensors, {**sealed_, "more": ""}),
        (tensors, {("gudb.digest" if k == sealed.DIGEST else k): v for k, v in sealed_.items()}),
    ]
    for changed, about in others:
        save_file(changed, tmp_path / "x", about)
        with pytest.raises(DamagedError):
            sealed.read(tmp_path / "x")


def test_a_state_of_another_recipe_is_neither_lost_nor_called_damaged(
    backbone, groups, brief, tmp_path
):
    interrupt(backbone, groups, brief, tmp_path, 2)
    other = brief.replace(seed=5)
    assert resume.progress(tmp_path / "dots.resume", "another key") == 0
    interrupt(backbone, groups, other, tmp_path, 1)
    assert survey(backbone, groups, brief, tmp_path, ["dots"]).left[0][1] == 2, "the one before"


WHOLE = ("dots", "waves")


@pytest.fixture(scope="module")
def whole(model_folder, groups, recipe, tmp_path_factory):
    """A set of two styles whose learning rate was found by trials."""
    folder, config = tmp_path_factory.mktemp("whole") / "set", recipe.replace(steps=2)
    config = config.replace(lr_probe="auto")
    drain(unlearn_set(load(model_folder), groups, config, folder, WHOLE))
    return folder


MANIFESTS = {
    "missing": lambda path: path.unlink(),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:2000]),
    "empty": lambda path: path.write_bytes(b""),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("damage", MANIFESTS.values(), ids=MANIFESTS)
def test_a_set_without_its_manifest_is_read_from_its_loras(
    backbone, groups, quick, whole, tmp_path, damage
):
    folder = shutil.copytree(whole, tmp_path / "set")
    before = load_set(folder)
    damage(folder / MANIFEST)
    harmed = sorted(os.listdir(folder))
    made = load_set(folder)
    assert sorted(os.listdir(folder)) == harmed, "who reads writes nothing"
    told = tuple(dataclasses.replace(e, warnings=()) for e in before.entries)
    assert before.trials and before.warnings, "which are not in the LoRAs"
    assert made == dataclasses.replace(before, entries=told, restored=made.restored)
    assert made.warnings == (made.restored,)
    assert made.restored.startswith(f"{folder / MANIFEST} ")
    assert "; the set was read from its LoRAs, which are of 'dots', 'waves'. " in made.restored
    steps, config = [], quick.replace(steps=2, lr_probe="auto")
    drain(unlearn_set(backbone, groups, config, folder, WHOLE), steps.append)
    assert trained(steps) == [2, 2] and "rate" not in {s.stage for s in steps}
    assert made.restored in said(steps, folder)
    assert load_set(folder) == dataclasses.replace(made, restored="")
    (folder / "learning_rate.json").unlink()
    work = survey(backbone, groups, config, folder, WHOLE)
    assert not work.left and work.trials == before.trials, "the manifest tells them, too"
    aside = folder / f"{MANIFEST}.damaged"
    assert aside.exists() == (damage is not MANIFESTS["missing"])


def test_what_is_not_of_a_set_without_its_manifest(backbone, groups, quick, whole, tmp_path):
    folder = shutil.copytree(whole, tmp_path / "set")
    (folder / MANIFEST).unlink()
    save_file({"x": torch.full((9,), torch.nan)}, folder / "foreign.safetensors")
    shutil.copy(folder / "dots.safetensors", folder / "a-copy.safetensors")
    flip(folder / "waves.safetensors", 8 * 9000)
    with pytest.raises(CounterfactualError) as refused:
        load_set(folder)
    told = (
        "Of its LoRAs, these cannot be used: a-copy.safetensors (it is of 'dots', as "
        "dots.safetensors is); waves.safetensors (it is damaged)."
    )
    assert told in str(refused.value) and "foreign" not in str(refused.value)
    config = quick.replace(steps=2, lr_probe="auto")
    assert [g.name for g, _ in survey(backbone, groups, config, folder, WHOLE).left] == ["waves"]
    again, steps = make(backbone, groups, config, folder, WHOLE)
    assert told in said(steps, folder)[0] and again.names == WHOLE
    assert load_set(folder).names == WHOLE and not load_set(folder).restored


def test_loras_of_two_models_are_no_set(whole, tmp_path):
    folder = shutil.copytree(whole, tmp_path / "set")
    (folder / MANIFEST).unlink()
    tensors, metadata = read_file(folder / "waves.safetensors")
    other = {**metadata, "guda.base_fingerprint": "0" * 32}
    save_file(tensors, folder / "waves.safetensors", sealed.seal(tensors, other))
    with pytest.raises(CounterfactualError, match=r"waves.*dots.*are of different models"):
        load_set(folder)


def test_loras_that_tell_too_little_are_named(backbone, make_lora, make_set, tmp_path):
    folder = tmp_path / "set"
    make_set(folder, backbone, {"dots": make_lora(backbone, 0.1)})
    (folder / MANIFEST).unlink()
    with pytest.raises(CounterfactualError, match=r'dots.safetensors \("guda.group" is missing\)'):
        load_set(folder)


def test_the_headers_of_a_set_are_read_once(whole, monkeypatch):
    read = []
    monkeypatch.setattr(set_module, "noted", lambda path: read.append(path) or {})
    made = load_set(whole)
    assert made.doubts == made.doubts and len(read) == 2
