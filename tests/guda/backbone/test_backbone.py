"""The seam to diffusers and peft: loading, encoding, prediction, and LoRAs that leave no trace."""

from __future__ import annotations

import copy
import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline
from diffusers.utils.state_dict_utils import StateDictType, convert_state_dict_to_kohya
from safetensors.torch import load_file, save_file

from guda.backbone.files.load import load
from guda.backbone.lora import TARGETS, beside, merged
from guda.config import SampleConfig
from guda.diffusion import LoraWeights
from guda.diffusion.lora_keys import from_file_keys, to_file_keys
from guda.errors import CounterfactualError, ModelError

UNET = Path("unet/diffusion_pytorch_model.safetensors")


def rows(backbone, n=3, seed=0):
    """x_t, t and conditions of n rows."""
    x_t = torch.randn(n, 4, 16, 16, generator=torch.Generator().manual_seed(seed))
    t = torch.tensor([5, 400, 999])[:n]
    return x_t, t, backbone.encode_prompts(["a fox", "", "a cat, in dots style"][:n])


def predict(backbone):
    with torch.no_grad():
        return backbone.predict_eps(*rows(backbone))


def state_hash(module) -> str:
    h = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        h.update(name.encode() + value.numpy().tobytes())
    return h.hexdigest()


def copied(model_folder, tmp_path) -> Path:
    return Path(shutil.copytree(model_folder, tmp_path / "copy"))


def test_the_demo_loads():
    backbone = load("demo")
    assert backbone.name == "demo"
    assert predict_shape(backbone) == (2, *latent_shape(backbone))


def latent_shape(backbone):
    side = int(backbone.unet.config.sample_size)
    return (backbone.unet.config.in_channels, side, side)


def predict_shape(backbone):
    pictures = torch.rand(2, 3, backbone.resolution, backbone.resolution)
    latents = backbone.encode_images(pictures)
    with torch.no_grad():
        eps = backbone.predict_eps(
            latents, torch.tensor([1, 500]), backbone.encode_prompts(["a", "b"])
        )
    return tuple(eps.shape)


def test_shapes_and_the_posterior_mean(backbone):
    assert backbone.resolution == 32
    pictures = torch.rand(3, 3, 32, 32)
    latents = backbone.encode_images(pictures)
    assert latents.shape == (3, 4, 16, 16) and latents.dtype == torch.float32
    assert torch.equal(backbone.encode_images(pictures), latents)
    decoded = backbone.decode(latents)
    assert decoded.shape == (3, 3, 32, 32)
    assert decoded.min() >= 0 and decoded.max() <= 1
    assert predict(backbone).dtype == torch.float32


def test_latents_are_diffusers_own(backbone):
    x = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        mean = backbone.vae.encode(2 * x - 1).latent_dist.mode()
    expected = mean * backbone.vae.config.scaling_factor
    torch.testing.assert_close(backbone.encode_images(x), expected)


def test_prompts_are_encoded_row_by_row(backbone):
    both = backbone.encode_prompts(["a fox", "", "a fox"]).embeds
    assert torch.equal(both[0], both[2])
    alone = backbone.encode_prompts(["a fox"]).embeds
    torch.testing.assert_close(both[:1], alone)
    assert not torch.allclose(both[0], both[1])


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_predict_eps_agrees_with_diffusers(tmp_path, save_model, prediction):
    backbone = load(save_model(tmp_path / "m", prediction=prediction))
    scheduler = DDIMScheduler.from_pretrained(
        tmp_path / "m", subfolder="scheduler", clip_sample=False
    )
    scheduler.set_timesteps(1000)
    x_t, t, condition = rows(backbone)
    found = predict(backbone)
    for i in range(len(t)):
        with torch.no_grad():
            out = backbone.unet(x_t[i : i + 1], t[i], condition.embeds[i : i + 1]).sample
        x0 = scheduler.step(out, int(t[i]), x_t[i : i + 1]).pred_original_sample.double()
        a = scheduler.alphas_cumprod[int(t[i])].double()
        eps = (x_t[i : i + 1].double() - a.sqrt() * x0) / (1 - a).sqrt()
        torch.testing.assert_close(found[i : i + 1].double(), eps, rtol=1e-3, atol=2e-4)


def test_an_unknown_prediction_type_is_refused(model_folder, tmp_path):
    folder = copied(model_folder, tmp_path)
    path = folder / "scheduler" / "scheduler_config.json"
    path.write_text(path.read_text().replace("epsilon", "flow"))
    with pytest.raises(ModelError, match="'flow'"):
        load(folder)


@pytest.mark.parametrize("suffix", [".ckpt", ".pt"])
def test_pickles_are_refused(tmp_path, suffix):
    path = tmp_path / f"model{suffix}"
    path.write_bytes(b"\x80\x04")
    with pytest.raises(ModelError) as caught:
        load(path)
    assert str(caught.value) == (
        f"The model {path} is a pickle ({suffix}), which can run any code when opened, so it is "
        "refused. Convert it to .safetensors, or use a diffusers folder."
    )


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(ModelError) as caught:
        load(tmp_path / "none")
    assert str(caught.value) == (
        f"The model {tmp_path / 'none'} does not exist; give a .safetensors checkpoint, a "
        "diffusers folder, or 'demo' for the built-in model."
    )


def test_a_folder_without_an_index_is_refused(tmp_path):
    with pytest.raises(ModelError) as caught:
        load(tmp_path)
    assert str(caught.value) == (
        f"The model folder {tmp_path} has no model_index.json; give the folder of a diffusers "
        "Stable Diffusion pipeline."
    )


def test_another_pipeline_is_refused(model_folder, tmp_path):
    folder = copied(model_folder, tmp_path)
    index = folder / "model_index.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | {"_class_name": "FluxPipeline"}))
    with pytest.raises(ModelError) as caught:
        load(folder)
    assert str(caught.value) == (
        f"The model folder {folder} holds a FluxPipeline; only StableDiffusionPipeline (Stable "
        "Diffusion 1.x and 2.x) and StableDiffusionXLPipeline (SDXL base) are supported."
    )


@pytest.mark.parametrize("text", ["{", "[]", "{}"])
def test_a_broken_index_is_refused(tmp_path, text):
    (tmp_path / "model_index.json").write_text(text)
    with pytest.raises(ModelError, match=r"is not (valid JSON|a diffusers pipeline description)"):
        load(tmp_path)


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_pickled_weights_are_refused(model_folder, tmp_path, part):
    folder = copied(model_folder, tmp_path)
    for path in (folder / part).glob("*.safetensors"):
        torch.save(load_file(path), path.with_suffix(".bin"))
        path.unlink()
    with pytest.raises(ModelError) as caught:
        load(folder)
    assert str(caught.value) == (
        f"The model folder {folder} has no safetensors weights in {part}/; save the pipeline "
        "again with safe_serialization=True (pickled weights are refused)."
    )


def test_truncated_weights_are_refused(model_folder, tmp_path):
    folder = copied(model_folder, tmp_path)
    data = (folder / UNET).read_bytes()
    (folder / UNET).write_bytes(data[: len(data) // 2])
    with pytest.raises(ModelError) as caught:
        load(folder)
    message = str(caught.value)
    assert message.startswith(f"The model folder {folder} could not be loaded: ")
    assert "\n" not in message and "safe_serialization=True" in message


def test_global_random_state_is_left_alone(model_folder, make_lora):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    backbone = load(model_folder)
    assert torch.equal(torch.get_rng_state(), before)
    make_lora(backbone, 0.1)
    drain_pictures(backbone, ["a"], ["a"], SampleConfig(steps=2))
    assert torch.equal(torch.get_rng_state(), before)


def test_the_fingerprint_names_the_weights(model_folder, tmp_path, backbone):
    assert load(model_folder).fingerprint == backbone.fingerprint
    folder = copied(model_folder, tmp_path)
    half = {k: v.half() for k, v in load_file(folder / UNET).items()}
    save_file(half, folder / UNET, {"format": "pt"})
    assert load(folder).fingerprint == backbone.fingerprint
    half["conv_in.bias"][3] += 0.5
    save_file(half, folder / UNET, {"format": "pt"})
    assert load(folder).fingerprint != backbone.fingerprint


def test_the_fingerprint_sees_the_end_of_every_tensor(backbone):
    from guda.backbone.fingerprint import fingerprint

    seen = fingerprint({"unet": backbone.unet})
    for n in (64, 96, 127, 1000):
        layer = torch.nn.Linear(n, 1)
        first = fingerprint({"layer": layer})
        with torch.no_grad():
            layer.weight[0, n * 3 // 4 :] += 1
        assert fingerprint({"layer": layer}) != first
    assert fingerprint({"unet": backbone.unet}) == seen


@pytest.mark.parametrize("attach", [merged, beside])
@pytest.mark.parametrize("modules", sorted(TARGETS))
def test_an_untouched_lora_changes_no_bit(backbone, make_lora, attach, modules):
    full = predict(backbone)
    with attach(backbone.unet, make_lora(backbone, 0.0, modules=modules)):
        assert torch.equal(predict(backbone), full)


@pytest.mark.parametrize("modules", sorted(TARGETS))
def test_merged_beside_and_peft_agree(backbone, make_lora, modules):
    lora = make_lora(backbone, 0.3, modules=modules, rank=3, alpha=1.5)
    full = predict(backbone)
    with merged(backbone.unet, lora):
        inside = predict(backbone)
    with beside(backbone.unet, lora):
        next_to = predict(backbone)
    with backbone.training_lora(modules=modules, rank=3, alpha=1.5, seed=7) as trainable:
        for name, p in trainable.parameters().items():
            path, kind = name.rsplit(".", 1)
            p.data.copy_(lora.layers[path][kind == "down"])
        peft = predict(backbone)
        with trainable.off():
            assert torch.equal(predict(backbone), full)
    assert (inside - full).abs().max() > 1e-3
    torch.testing.assert_close(next_to, inside, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(peft, inside, rtol=1e-5, atol=1e-5)


def test_all_modules_include_convolutions(backbone, make_lora):
    layers = make_lora(backbone, 0.0, modules="all").layers
    kinds = {down.dim() for _, down in layers.values()}
    assert kinds == {2, 4}
    assert len(make_lora(backbone, 0.0, modules="cross_attention").layers) < len(layers)


def test_weights_come_back_bit_for_bit(backbone, make_lora):
    lora = make_lora(backbone, 0.3, modules="all")
    before, pointers = state_hash(backbone.unet), [p.data_ptr() for p in backbone.unet.parameters()]
    with backbone.counterfactual(lora):
        assert state_hash(backbone.unet) != before
    with pytest.raises(KeyError), backbone.counterfactual(lora):
        raise KeyError
    foreign = LoraWeights(lora.layers | {"no.such.layer": (torch.ones(1, 1),) * 2}, lora.alpha)
    with (
        pytest.raises(CounterfactualError, match=r"no\.such\.layer"),
        backbone.counterfactual(foreign),
    ):
        pass
    assert state_hash(backbone.unet) == before
    assert [p.data_ptr() for p in backbone.unet.parameters()] == pointers


def test_a_counterfactual_leaves_the_gradient_mode_to_its_caller(backbone, make_lora):
    with backbone.counterfactual(make_lora(backbone, 0.1)):
        assert torch.is_grad_enabled()


def test_half_precision_models_run_the_lora_beside(backbone, make_lora):
    lora = make_lora(backbone, 0.3)
    backbone.unet.to(torch.bfloat16)
    before = {k: v.clone() for k, v in backbone.unet.state_dict().items()}
    full = predict(backbone)
    with backbone.counterfactual(lora):
        assert not torch.equal(predict(backbone), full)
        assert all(torch.equal(v, before[k]) for k, v in backbone.unet.state_dict().items())
    assert torch.equal(predict(backbone), full)


def test_training_leaves_no_trace(backbone):
    some = [p for n, p in backbone.unet.named_parameters() if "conv_in" in n]
    for p in some:
        p.requires_grad_(True)
    before = state_hash(backbone.unet)
    names = [n for n, _ in backbone.unet.named_modules()]
    grads = {n: p.requires_grad for n, p in backbone.unet.named_parameters()}
    modes = {n: m.training for n, m in backbone.unet.named_modules()}
    with backbone.training_lora(modules="all", rank=2, alpha=2.0, seed=0) as lora:
        parameters = lora.parameters()
        wanted = {id(p) for p in parameters.values()}
        assert {id(p) for p in backbone.unet.parameters() if p.requires_grad} == wanted
        optimizer = torch.optim.AdamW(parameters.values(), lr=0.1)
        for _ in range(2):
            backbone.predict_eps(*rows(backbone)).square().mean().backward()
            optimizer.step()
        changed = lora.weights()
    assert any(up.abs().max() > 0.05 for up, _ in changed.layers.values())
    assert state_hash(backbone.unet) == before
    assert [n for n, _ in backbone.unet.named_modules()] == names
    assert {n: p.requires_grad for n, p in backbone.unet.named_parameters()} == grads
    assert {n: m.training for n, m in backbone.unet.named_modules()} == modes
    assert all(p.grad is None for p in backbone.unet.parameters())


def test_training_leaves_no_trace_after_an_error(backbone):
    names, full = [n for n, _ in backbone.unet.named_modules()], predict(backbone)
    with (
        pytest.raises(KeyError),
        backbone.training_lora(modules="attention", rank=2, alpha=2.0, seed=0),
    ):
        raise KeyError
    assert [n for n, _ in backbone.unet.named_modules()] == names
    assert torch.equal(predict(backbone), full)


def test_a_fresh_lora_depends_on_its_seed_alone(backbone, make_lora):
    first = make_lora(backbone, 0.0, seed=3)
    torch.rand(5)
    again, other = make_lora(backbone, 0.0, seed=3), make_lora(backbone, 0.0, seed=4)
    for name, (up, down) in first.layers.items():
        assert not up.any()
        assert torch.equal(again.layers[name][1], down)
        assert not torch.equal(other.layers[name][1], down)
        bound = down[0].numel() ** -0.5  # kaiming_uniform_(a=sqrt(5))
        assert down.abs().max() <= bound and down.abs().max() > bound / 2


def test_file_keys_are_kohyas(backbone, make_lora):
    lora = make_lora(backbone, 0.3, modules="all")
    peft = {}
    for path, (up, down) in lora.layers.items():
        peft[f"unet.{path}.lora_A.weight"] = down
        peft[f"unet.{path}.lora_B.weight"] = up
    expected = convert_state_dict_to_kohya(peft, original_type=StateDictType.PEFT)
    found = to_file_keys(lora)
    assert sorted(found) == sorted(expected)
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, check_dtype=False, rtol=0, atol=0)


def test_files_round_trip(backbone, make_lora, tmp_path):
    lora = make_lora(backbone, 0.3, modules="all", rank=3, alpha=1.5)
    save_file(to_file_keys(lora), tmp_path / "x.safetensors")
    again = backbone.lora_from_file(load_file(tmp_path / "x.safetensors"))
    assert (again.alpha, again.rank, again.scale) == (1.5, 3, 0.5)
    assert set(again.layers) == set(lora.layers)
    for name, pair in lora.layers.items():
        assert all(torch.equal(a, b) for a, b in zip(again.layers[name], pair, strict=True))


def test_diffusers_reads_the_file_as_the_same_model(backbone, make_lora, model_folder, tmp_path):
    lora = make_lora(backbone, 0.3, alpha=1.0)
    save_file(to_file_keys(lora), tmp_path / "x.safetensors")
    pipeline = StableDiffusionPipeline.from_pretrained(model_folder, safety_checker=None)
    pipeline.load_lora_weights(tmp_path, weight_name="x.safetensors")
    x_t, t, condition = rows(backbone)
    with torch.no_grad():
        theirs = pipeline.unet(x_t, t, condition.embeds).sample
    with backbone.counterfactual(lora):
        ours = predict(backbone)
    assert (ours - predict(backbone)).abs().max() > 1e-3
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def _drop(t, key):
    del t[f"{key}.lora_down.weight"]


def _flat(t, key):
    t[f"{key}.lora_up.weight"] = t[f"{key}.lora_up.weight"].flatten()


def _narrow(t, key):
    t[f"{key}.lora_down.weight"] = t[f"{key}.lora_down.weight"][:, :-1]


def _nan(t, key):
    t[f"{key}.lora_up.weight"][0, 0] = float("nan")


def _alpha_nan(t, key):
    t[f"{key}.alpha"] = torch.tensor(float("nan"))


def _alpha_many(t, key):
    t[f"{key}.alpha"] = torch.ones(2)


def _rank(t, key):
    t[f"{key}.lora_up.weight"] = t[f"{key}.lora_up.weight"][:, :1]
    t[f"{key}.lora_down.weight"] = t[f"{key}.lora_down.weight"][:1]


def _foreign(t, key):
    t["lora_te_text_model_x.lora_up.weight"] = torch.ones(1, 1)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_drop, "no counterpart"),
        (_foreign, "lora_te_text_model_x"),
        (_flat, "has shape"),
        (_narrow, "has shape"),
        (_nan, "not finite"),
        (_alpha_nan, "not finite"),
        (_alpha_many, "alpha"),
        (_rank, "rank"),
        (lambda t, key: t.clear(), "no LoRA layers"),
    ],
)
def test_foreign_and_damaged_tensors_are_refused(backbone, make_lora, damage, words):
    tensors = copy.deepcopy(to_file_keys(make_lora(backbone, 0.1)))
    damage(tensors, sorted({k.split(".")[0] for k in tensors})[1])
    with pytest.raises(CounterfactualError, match=words):
        from_file_keys(tensors, backbone.unet)


def test_a_picture_depends_on_its_own_key_alone(backbone):
    config = SampleConfig(steps=3, batch_size=2)
    together = drain_pictures(backbone, ["a", "b", "c"], ["1", "2", "3"], config)
    alone = drain_pictures(backbone, ["c"], ["3"], config)
    torch.testing.assert_close(together[2:], alone, rtol=1e-4, atol=1e-4)
    assert together.shape == (3, 3, 32, 32)
    other = drain_pictures(backbone, ["c"], ["4"], config)
    assert not torch.allclose(other, alone, atol=1e-3)


def drain_pictures(backbone, prompts, keys, config):
    steps = backbone.sample(prompts, keys, config)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value
