"""Diffusers folders: code beside a model never runs, and what a folder lacks or hides is said."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from guda.backbone.files.load import DEMO_FOLDER, check, load
from guda.errors import ModelError

from ....lowest import lowest_libraries

ROOT = Path(__file__).parents[4]
UNET = Path("unet/diffusion_pytorch_model.safetensors")
VAE = Path("vae/diffusion_pytorch_model.safetensors")
TEXT = Path("text_encoder/model.safetensors")


@pytest.fixture
def folder(model_folder, tmp_path):
    return Path(shutil.copytree(model_folder, tmp_path / "model"))


def edit(path: Path, **changes) -> None:
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | changes), "utf-8")


def rewrite(path: Path, change) -> None:
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, {"format": "pt"})


def refused(folder: Path) -> str:
    """What `load` says, on one line, without the folder's path."""
    with pytest.raises(ModelError) as caught:
        load(folder)
    message = str(caught.value)
    assert "\n" not in message and str(folder) in message and len(message) < 700
    return message.replace(str(folder), "F")


def plant(folder: Path, name: str = "evil") -> Path:
    """A Python file wherever a loader of code might look for one; the mark it leaves when run."""
    mark = folder.parent / "it ran"
    code = f"open({str(mark)!r}, 'w').close()\nclass Evil:\n    from_pretrained = None\n"
    for place in (folder, *(p for p in folder.iterdir() if p.is_dir())):
        (place / f"{name}.py").write_text(code, "utf-8")
    (folder / name).mkdir()
    (folder / name / "__init__.py").write_text(code, "utf-8")
    return mark


PLANTED = {
    "scheduler": ["evil", "Evil"],
    "unet": ["evil", "Evil"],
    "vae": ["diffusers", "Evil"],
    "tokenizer": ["evil", "CLIPTokenizer"],
    "text_encoder": ["transformers.evil", "CLIPTextModel"],
    "safety_checker": ["evil", "StableDiffusionSafetyChecker"],
    "feature_extractor": ["evil", None],
    "extra": ["evil", "Evil"],
    "image_encoder": [["evil"], "Evil"],
}


@pytest.mark.parametrize("part", PLANTED)
def test_code_beside_a_model_is_refused(folder, monkeypatch, part):
    mark = plant(folder)
    monkeypatch.chdir(folder)
    edit(folder / "model_index.json", **{part: PLANTED[part]})
    message = refused(folder)
    assert message.startswith(f"The model folder F asks in model_index.json for {part} = [")
    assert "Code beside a model is never run" in message
    with pytest.raises(ModelError, match="Code beside a model"):
        check(folder)
    assert not mark.exists()


@pytest.mark.parametrize("kind", [["evil", "Evil"], "Evil", "evil.Evil", 5])
def test_a_pipeline_of_its_own_is_refused(folder, kind):
    mark = plant(folder)
    edit(folder / "model_index.json", _class_name=kind)
    assert "only StableDiffusionPipeline" in refused(folder)
    assert not mark.exists()


ATTACK = """
import sys
from guda.backbone.load import load
from guda.errors import ModelError
try:
    load(sys.argv[1])
except ModelError as error:
    assert "Code beside a model" in str(error)
    print([m for m in ("diffusers", "transformers", "evil") if m in sys.modules])
import diffusers
demo = load("demo")
first = next(iter(demo.text_encoder.state_dict()))
print(diffusers.__version__, demo.prediction, demo.fingerprint, first)
"""


def test_on_the_lowest_versions_nothing_is_imported_before_the_check(folder, tmp_path):
    """diffusers below 0.38 runs the planted file; the check comes before diffusers itself."""
    mark = plant(folder)
    edit(folder / "model_index.json", scheduler=["evil", "Evil"])
    places = os.pathsep.join([str(lowest_libraries()), str(ROOT)])
    env = os.environ | {"PYTHONPATH": places, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", ATTACK, str(folder)]
    run = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    imported, told, *_ = run.stdout.split("\n")
    fingerprint = "1c552fdd7e9d9a2cce1d9654effdb238"  # though the tensors are called otherwise
    assert imported == "[]"
    assert told == f"0.32.0 epsilon {fingerprint} text_model.embeddings.token_embedding.weight"
    assert not mark.exists()


def test_what_is_never_loaded_may_be_there(folder, backbone):
    """The parts that published folders have beside those that count."""
    edit(
        folder / "model_index.json",
        safety_checker=["stable_diffusion", "StableDiffusionSafetyChecker"],
        feature_extractor=["transformers", "CLIPFeatureExtractor"],
        image_encoder=None,
        tokenizer=["transformers", "CLIPTokenizerFast"],
        requires_safety_checker=True,
        _name_or_path="somebody/model",
    )
    assert load(folder).fingerprint == backbone.fingerprint


def rename(folder: Path, *, paths=(UNET, VAE, TEXT), to: str) -> None:
    for path in paths:
        place = folder / path
        place.rename(place.with_name(to.format(place.stem)))


@pytest.mark.parametrize("name", ["{}.fp16.safetensors", "{}.bf16.safetensors", "{}.x.safetensors"])
def test_one_variant_alone_loads(folder, backbone, name):
    rename(folder, to=name)
    check(folder)
    assert load(folder).fingerprint == backbone.fingerprint


def test_of_variants_side_by_side_the_plain_one_counts(folder, backbone):
    for path in (UNET, VAE, TEXT):
        tensors = {k: v + 1 for k, v in load_file(folder / path).items() if v.is_floating_point()}
        for variant in ("fp16", "non_ema", "odd"):
            save_file(tensors, folder / path.with_suffix(f".{variant}.safetensors"))
    assert load(folder).fingerprint == backbone.fingerprint
    rename(folder, paths=[VAE], to="{}.bf16.safetensors")
    assert load(folder).fingerprint == backbone.fingerprint, "each part has its own variants"
    (folder / UNET).unlink()
    assert load(folder).fingerprint != backbone.fingerprint
    (folder / UNET.with_suffix(".fp16.safetensors")).unlink()
    (folder / UNET.with_suffix(".non_ema.safetensors")).unlink()
    assert load(folder).fingerprint != backbone.fingerprint
    shutil.copy(
        folder / UNET.with_suffix(".odd.safetensors"), folder / UNET.with_suffix(".b.safetensors")
    )
    assert "several weights in unet/ (b, odd), and none that is plain" in refused(folder)


@pytest.mark.parametrize("variant", ["", ".fp16"])
def test_weights_in_several_files(folder, backbone, variant):
    tensors = load_file(folder / UNET)
    (folder / UNET).unlink()
    stem = UNET.stem + variant
    for i in range(3):
        part = {k: v for j, (k, v) in enumerate(tensors.items()) if j % 3 == i}
        save_file(part, folder / "unet" / f"{stem}-{i + 1:05d}-of-00003.safetensors")
    assert load(folder).fingerprint == backbone.fingerprint
    (folder / "unet" / f"{stem}-00002-of-00003.safetensors").unlink()
    assert "has 2 of the 3 files of its weights in unet/" in refused(folder)


def test_old_names_of_attention_in_the_vae(folder, backbone):
    """As Stable Diffusion 1.5's own folder has them."""
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}

    def change(tensors):
        for name in [k for k in tensors if ".attentions." in k]:
            value = tensors.pop(name)
            for new, before in old.items():
                name = name.replace(f".{new}.", f".{before}.")
            tensors[name] = value

    rewrite(folder / VAE, change)
    assert any(".query." in k for k in load_file(folder / VAE))
    x = torch.rand(1, 3, 32, 32)
    assert torch.equal(load(folder).encode_images(x), backbone.encode_images(x))


def removed(*names):
    return lambda folder: [(folder / n).unlink() for n in names]


def changed(name, **changes):
    return lambda folder: edit(folder / name, **changes)


def words_of(tensors):
    return next(k for k in tensors if "token_embedding" in k)


SCHEDULER = "scheduler/scheduler_config.json"
UNFIT = {
    "no vocabulary": (
        removed("tokenizer/tokenizer.json"),
        "has no vocabulary in tokenizer/",
    ),
    "an empty vocabulary": (
        lambda f: edit(
            f / "tokenizer" / "tokenizer.json",
            model={"type": "BPE", "vocab": {"<|endoftext|>": 0}, "merges": []},
            added_tokens=[],
        ),
        "words, and its text encoder knows",
    ),
    "another model's tokenizer": (
        lambda f: (
            edit(f / "text_encoder" / "config.json", vocab_size=9000),
            rewrite(f / TEXT, lambda t: t.update({words_of(t): torch.rand(9000, 32)})),
        ),
        "has a tokenizer of 2023 words, and its text encoder knows 9000",
    ),
    "no scheduler": (removed(SCHEDULER), "has no scheduler (F/scheduler/scheduler_config.json)"),
    "a scheduler of null": (
        changed("model_index.json", scheduler=[None, None]),
        "has no scheduler (",
    ),
    "no config": (removed("unet/config.json"), "F/unet/config.json was not found"),
    "a config that nests": (
        lambda f: (f / "vae" / "config.json").write_text("[" * 100_000),
        "F/vae/config.json is not valid JSON (",
    ),
    "a part of null": (changed("model_index.json", vae=[None, None]), "has no vae in its model_"),
    "an EDM scheduler": (
        changed("model_index.json", scheduler=["diffusers", "EDMEulerScheduler"]),
        "uses the EDM noise schedule (its scheduler is EDMEulerScheduler)",
    ),
    "flow matching": (
        changed(SCHEDULER, _class_name="FlowMatchEulerDiscreteScheduler"),
        "uses flow matching (its scheduler is FlowMatchEulerDiscreteScheduler)",
    ),
    "flow sigmas": (changed(SCHEDULER, use_flow_sigmas=True), "uses flow matching ("),
    "consistency": (
        changed("model_index.json", scheduler=["diffusers", "CMStochasticIterativeScheduler"]),
        'asks in model_index.json for scheduler = ["diffusers", "CMStochastic',
    ),
    "a billion steps": (
        changed(SCHEDULER, num_train_timesteps=10**9),
        "has a scheduler with num_train_timesteps = 1000000000; 2 to 10000 steps are possible",
    ),
    "steps that are no number": (
        changed(SCHEDULER, num_train_timesteps="many"),
        "has a scheduler with num_train_timesteps = 'many'",
    ),
    "betas of another length": (
        changed(SCHEDULER, trained_betas=[0.1] * 7),
        "with trained_betas = [0.1, 0.1,",
    ),
    "a negative beta": (changed(SCHEDULER, beta_start=-0.1), "with beta_start = -0.1"),
    "noise at once": (
        changed(SCHEDULER, beta_start=0.9, beta_end=0.9, beta_schedule="linear"),
        "has a noise schedule whose noise does not grow from step to step",
    ),
    "NaN": (
        lambda f: (f / SCHEDULER).write_text('{"beta_start": NaN}'),
        "F/scheduler/scheduler_config.json is not valid JSON (NaN is no number)",
    ),
    "means of latents": (
        changed("vae/config.json", latents_mean=[0.1, 0, 0, 0], latents_std=[1, 1, 1, 1]),
        "has a VAE with latents_mean = [0.1, 0, 0, 0]",
    ),
    "no scale": (changed("vae/config.json", scaling_factor=None), "with scaling_factor = None"),
    "a scale of nothing": (changed("vae/config.json", scaling_factor=0), "with scaling_factor = 0"),
    "an LCM": (
        changed("unet/config.json", time_cond_proj_dim=256),
        "has a UNet with time_cond_proj_dim = 256, as an LCM has, which a plain model has not",
    ),
    "GLIGEN": (changed("unet/config.json", attention_type="gated"), 'attention_type = "gated"'),
    "classes": (changed("unet/config.json", num_class_embeds=10), "num_class_embeds = 10"),
    "an unknown tensor": (
        lambda f: rewrite(
            f / UNET, lambda t: t.update({"down_blocks.0.ip_adapter.weight": torch.ones(2)})
        ),
        "has a UNet with a tensor that a plain model has not (down_blocks.0.ip_adapter.weight)",
    ),
    "layers without end": (
        changed("unet/config.json", layers_per_block=10**9),
        "has unet/config.json with layers_per_block = 1e+09, more than any model",
    ),
    "a width without end": (
        changed("text_encoder/config.json", hidden_size=10**12),
        "has text_encoder/config.json with hidden_size = 1e+12",
    ),
    "no size": (changed("unet/config.json", sample_size=None), "with sample_size = None"),
}


@pytest.mark.parametrize("name", UNFIT)
def test_what_a_folder_lacks_or_hides_is_said(folder, name):
    spoil, words = UNFIT[name]
    spoil(folder)
    assert words in refused(folder)


def poison(name, value):
    def change(tensors):
        key = next(k for k in tensors if k.endswith(name))
        tensors[key] = tensors[key].clone()
        tensors[key].view(-1)[-1 if value else slice(None)] = value

    return change


@pytest.mark.parametrize(
    ("path", "tensor", "value", "words"),
    [
        (UNET, "conv_out.weight", float("nan"), "a broken UNet (unet/conv_out.weight holds NaN)"),
        (VAE, "decoder.conv_in.bias", float("inf"), "(vae/decoder.conv_in.bias holds infinite va"),
        (VAE, "conv_norm_out.bias", -float("inf"), "conv_norm_out.bias holds infinite values)"),
        (TEXT, "fc1.weight", 1e20, "mlp.fc1.weight holds values up to 1e+20)"),
        (TEXT, "final_layer_norm.bias", -6e4, "final_layer_norm.bias holds values up to 6e+04)"),
        (UNET, "attn1.to_v.weight", 0.0, "attn1.to_v.weight holds nothing but zeros)"),
    ],
)
def test_values_that_no_training_leaves_behind(folder, path, tensor, value, words):
    rewrite(folder / path, poison(tensor, value))
    assert words in refused(folder)


@pytest.mark.parametrize("kind", ["DDPMScheduler", "DDIMScheduler", "EulerDiscreteScheduler"])
def test_zero_terminal_snr_has_a_finite_last_weight(folder, kind):
    edit(folder / "model_index.json", scheduler=["diffusers", kind])
    edit(folder / SCHEDULER, rescale_betas_zero_snr=True, _class_name=kind)
    schedule = load(folder).schedule
    assert 0 < schedule.alpha_bar[-1] < 1e-6
    assert torch.isfinite(schedule.kl_weight(torch.arange(1, schedule.length))).all()


@pytest.mark.parametrize("kind", ["PNDMScheduler", "LMSDiscreteScheduler", "LCMScheduler"])
def test_the_schedule_is_the_same_with_every_sampler(folder, backbone, kind):
    edit(folder / "model_index.json", scheduler=["diffusers", kind])
    edit(folder / SCHEDULER, _class_name=kind)
    torch.testing.assert_close(load(folder).schedule.alpha_bar, backbone.schedule.alpha_bar)


def test_a_part_alone_is_said_to_be_one(tmp_path):
    told = {
        "config.json": ({"_class_name": "ControlNetModel"}, "holds a ControlNetModel alone"),
        "adapter_config.json": ({"peft_type": "LORA"}, "holds a LoRA (adapter_config.json)"),
    }
    for i, (name, (config, words)) in enumerate(told.items()):
        place = tmp_path / str(i)
        place.mkdir()
        (place / name).write_text(json.dumps(config))
        assert words in refused(place)


def test_the_demo_is_a_folder_like_any_other(tmp_path):
    folder = shutil.copytree(DEMO_FOLDER, tmp_path / "copy")
    assert load(folder).fingerprint == load("demo").fingerprint
