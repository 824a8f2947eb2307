"""A set knows its model: whatever changes what is computed is refused by name, or reused."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from guda.backbone.files.load import DEMO_FOLDER, load
from guda.backbone.identity import known
from guda.config import SampleConfig
from guda.counterfactuals import load_set, unlearn_set
from guda.diffusion.identity import differences, name
from guda.errors import CounterfactualError
from guda.groups import from_prompts
from guda.groups.draw import generate_pictures, missing
from guda.steps import drain
from guda.unlearning import resume

GOLDEN = Path(__file__).parents[2] / "fixtures" / "golden_set" / "set"
SCHEDULER = "scheduler/scheduler_config.json"
VAE = "vae/diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def made(model_folder, groups, recipe, tmp_path_factory):
    """A set of one style, and its recipe."""
    folder = tmp_path_factory.mktemp("made") / "set"
    brief = recipe.replace(steps=2, gate_margin=0.0)
    drain(unlearn_set(load(model_folder), groups, brief, folder, ["dots"]))
    return folder, brief


def edited(path, **changes):
    return lambda folder: (folder / path).write_text(
        json.dumps(json.loads((folder / path).read_text("utf-8")) | changes)
    )


def weights(path, key, change):
    def apply(folder):
        tensors = load_file(folder / path)
        found = next(k for k in tensors if k.endswith(key))
        tensors[found] = change(tensors[found].clone())
        save_file(tensors, folder / path, {"format": "pt"})

    return apply


def other_words(folder):
    path = folder / "tokenizer" / "tokenizer.json"
    data = json.loads(path.read_text("utf-8"))
    vocabulary = data["model"]["vocab"]
    first, second = list(vocabulary)[40:42]
    vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
    path.write_text(json.dumps(data), "utf-8")


CHANGES = {
    "prediction": (
        edited(SCHEDULER, prediction_type="v_prediction"),
        "prediction (epsilon then, v_prediction now)",
    ),
    "betas": (edited(SCHEDULER, beta_end=0.012), "noise schedule"),
    "zero terminal SNR": (edited(SCHEDULER, rescale_betas_zero_snr=True), "noise schedule"),
    "fewer steps": (edited(SCHEDULER, num_train_timesteps=500), "noise schedule"),
    "scaling": (
        edited("vae/config.json", scaling_factor=0.13025),
        "VAE scaling factor (0.18215 then, 0.13025 now)",
    ),
    "shift": (edited("vae/config.json", shift_factor=0.1), "VAE shift (0.0 then, 0.1 now)"),
    "encoder": (weights(VAE, "encoder.conv_in.weight", lambda x: x * 1.05), "VAE"),
    "decoder": (weights(VAE, "decoder.conv_out.bias", lambda x: x + 0.01), "VAE"),
    "tokenizer": (other_words, "tokenizer"),
    "length": (edited("tokenizer/tokenizer_config.json", model_max_length=12), "tokenizer"),
    "activation": (
        edited("text_encoder/config.json", hidden_act="gelu"),
        "text encoder's layer (CLIP skip) (1 normed quick_gelu then, 1 normed gelu now)",
    ),
    "heads": (edited("unet/config.json", attention_head_dim=4), "UNet's settings"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_model_that_computes_otherwise_is_refused_by_name(
    model_folder, groups, made, tmp_path, change
):
    folder, brief = made
    apply, words = CHANGES[change]
    place = Path(shutil.copytree(model_folder, tmp_path / "model"))
    apply(place)
    other = load(place)
    found = load_set(folder)
    assert found.fingerprint == other.fingerprint, "the weights alone do not tell"
    with pytest.raises(CounterfactualError) as caught:
        found.verify(other)
    assert str(caught.value) == (
        f"The counterfactual set {folder} was made from the model 'tiny' with another {words}. "
        "Load the model as it was then, or unlearn the styles from this one into another set."
    )
    mixed = replace(found, identity=dict(other.identity))
    with pytest.raises(CounterfactualError, match="was made from another model than its set says"):
        mixed.load(mixed.entries[0], other)
    with pytest.raises(CounterfactualError) as caught:
        drain(unlearn_set(other, groups, brief, folder, ["dots"]))
    assert f"already holds counterfactuals of the model 'tiny' with another {words}." in str(
        caught.value
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"prediction": "sample"}, "prediction (epsilon then, sample now)"),
        ({"resolution": 64}, "resolution (32 then, 64 now)"),
        (
            {"resolution": 64, "prediction": "sample"},
            "prediction (epsilon then, sample now) and resolution (32 then, 64 now)",
        ),
    ],
)
def test_options_count_too(model_folder, made, options, words):
    with pytest.raises(CounterfactualError) as caught:
        load_set(made[0]).verify(load(model_folder, **options))
    assert f"with another {words}. Load" in str(caught.value)


def test_the_same_model_is_reused_whatever_its_format_is(model_folder, groups, made, tmp_path):
    folder, brief = made
    place = Path(shutil.copytree(model_folder, tmp_path / "tiny"))
    for path in (VAE, "unet/diffusion_pytorch_model.safetensors"):
        half = {k: v.half() for k, v in load_file(place / path).items()}
        save_file(half, place / path, {"format": "pt"})
    steps = []
    drain(unlearn_set(load(place), groups, brief, folder, ["dots"]), steps.append)
    assert [s.done for s in steps if s.stage == "unlearn"] == [2]
    model = load(model_folder)
    model.vae.to(torch.bfloat16).to(torch.float32)  # as ComfyUI keeps it on a GPU
    assert load_set(folder).since(model) == []


def earlier(folder: Path, to: Path) -> Path:
    """The set as version 0.1.0 would have left it."""
    shutil.copytree(folder, to)
    path = to / "counterfactuals.json"
    data = json.loads(path.read_text("utf-8"))
    del data["identity"]
    path.write_text(json.dumps(data), "utf-8")
    return to


def test_keys_of_earlier_sets_tell_their_settings(model_folder, groups, recipe, tmp_path):
    brief = recipe.replace(steps=1, gate_margin=0.0)
    large = load(model_folder, resolution=48)
    drain(unlearn_set(large, groups, brief, tmp_path / "new", ["dots"]))
    found = load_set(earlier(tmp_path / "new", tmp_path / "earlier"))
    assert found.since(large) == []
    with pytest.raises(CounterfactualError, match=r"resolution \(48 then, the model's own now\)"):
        found.verify(load(model_folder))
    with pytest.raises(CounterfactualError, match=r"resolution \(48 then, 64 now\)"):
        found.verify(load(model_folder, resolution=64))


def test_earlier_sets_of_a_model_as_it_was_are_reused(model_folder, groups, made, tmp_path):
    folder = earlier(made[0], tmp_path / "earlier")
    steps = []
    drain(unlearn_set(load(model_folder), groups, made[1], folder, ["dots"]), steps.append)
    assert [s.done for s in steps if s.stage == "unlearn"] == [2]
    forced = load(model_folder, prediction="v_prediction")
    with pytest.raises(CounterfactualError, match=r"own then, v_prediction now"):
        load_set(folder).verify(forced)


def test_the_built_in_model_is_known():
    assert differences(known()[load("demo").fingerprint], load("demo").identity) == []


@pytest.mark.parametrize("change", ["prediction", "zero terminal SNR", "scaling", "encoder"])
def test_the_golden_set_is_refused_for_a_changed_model(tmp_path, change):
    place = Path(shutil.copytree(DEMO_FOLDER, tmp_path / "demo"))
    found = load_set(GOLDEN).subset(["Fluent Ink"])
    found.verify(load(place))
    CHANGES[change][0](place)
    with pytest.raises(CounterfactualError, match=r"with another (prediction|noise|VAE)"):
        found.verify(load(place))


def test_the_golden_set_is_refused_at_another_size_or_prediction():
    found = load_set(GOLDEN).subset(["Fluent Ink"])
    with pytest.raises(CounterfactualError, match=r"resolution \(the model's own then, 32 now\)"):
        found.verify(load("demo", resolution=32))
    with pytest.raises(CounterfactualError, match=r"prediction \(the model's own then, v_pred"):
        found.verify(load("demo", prediction="v_prediction"))


def test_unfinished_training_of_another_model_is_not_continued(
    model_folder, groups, recipe, tmp_path
):
    """Stopped in the middle, the model's VAE changed, and run again."""

    def start(model, stop_at=0):
        steps = []
        for step in unlearn_set(model, groups, recipe, tmp_path / "set", ["dots"]):
            steps.append(step.done) if step.stage == "unlearn" else None
            if stop_at and steps and steps[-1] >= stop_at:
                return steps
        return steps

    start(load(model_folder), stop_at=5)
    (state,) = (tmp_path / "set").glob(f"*{resume.ENDING}")
    kept = state.read_bytes()
    place = Path(shutil.copytree(model_folder, tmp_path / "tiny"))
    CHANGES["encoder"][0](place)
    assert start(load(place), stop_at=2)[0] < 4
    state.write_bytes(kept)
    assert start(load(model_folder))[0] >= 4


def test_pictures_drawn_by_another_model_are_not_taken(model_folder, tmp_path):
    groups = from_prompts({"ink": "ink", "oil": "oil"}, ["a fox", "an owl"], pictures=4)
    model, config = load(model_folder), SampleConfig(steps=1)
    drain(generate_pictures(model, groups, config, tmp_path / "drawn"))
    assert missing(model, groups, config, tmp_path / "drawn") == 0
    place = Path(shutil.copytree(model_folder, tmp_path / "tiny"))
    CHANGES["decoder"][0](place)
    assert missing(load(place), groups, config, tmp_path / "drawn") == 8


def test_records_are_compared_part_by_part():
    one = {"a": 1.0, "b": ["x", "y"], "c": [1000.0, 0.5], "old": 1}
    assert differences(one, {"a": 1.0004, "b": ["z", "y"], "c": [1000.0, 0.5001], "new": 2}) == []
    assert differences(one, {"a": 2.0, "b": ["z"], "c": [1000.0, 0.6]}) == [
        "a (1.0 then, 2.0 now)",
        "b (['x', 'y'] then, ['z'] now)",
        "c ([1000.0, 0.5] then, [1000.0, 0.6] now)",
    ]
    assert name({"a": 1, "b": ["x", "y"]}) == name({"b": ["x", "z"], "a": 1})
