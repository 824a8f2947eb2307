"""Single-file checkpoints: what is loaded, and what is refused with which words."""

from __future__ import annotations

import dataclasses
import gzip
import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from guda.backbone.files.assemble import detect_prediction
from guda.backbone.files.header import Entry, entries_of, identify
from guda.backbone.files.load import load
from guda.backbone.files.tokenizer import clip_tokenizer
from guda.errors import ImageError, ModelError

from ....checkpoints import FULL, TINY, UNET, VAE, shapes, vae, write, write_tokenizer

FAMILIES = sorted(TINY)
PROMPTS = ["a fox", "", "a cat, in dots style"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoints")
    return {name: write(folder / f"{name}.safetensors", TINY[name]) for name in FAMILIES}


@pytest.fixture(scope="module", autouse=True)
def _tokenizer(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        folder = write_tokenizer(tmp_path_factory.mktemp("tokenizer"))
        patch.setenv("GUDA_TOKENIZER", str(folder))
        yield


def predict(backbone):
    x_t = torch.randn(3, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        condition = backbone.encode_prompts(PROMPTS)
        return backbone.predict_eps(x_t, torch.tensor([5, 400, 999]), condition)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_weight_is_used(files, name):
    """What the file holds is in the model, value by value, and the model holds nothing else."""
    backbone = load(files[name])
    tensors = load_file(files[name])
    used = {k: v for k, v in tensors.items() if not k.endswith(("position_ids", "logit_scale"))}
    if name == "sd2":
        used = {k: v for k, v in used.items() if "text_projection" not in k}
    total = sum(p.numel() for m in backbone.modules() for p in m.parameters())
    assert total == sum(v.numel() for v in used.values())
    for module, prefix in ((backbone.unet, UNET), (backbone.vae, VAE)):
        mine = sorted(p.double().sum().item() for p in module.parameters())
        theirs = sorted(v.double().sum().item() for k, v in used.items() if k.startswith(prefix))
        assert mine == pytest.approx(theirs, abs=1e-9)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_checkpoint_unlearns_nothing_by_being_loaded(files, name):
    first, again = load(files[name]), load(files[name])
    assert first.fingerprint == again.fingerprint and first.name == name
    assert torch.equal(predict(first), predict(again))
    assert first.encode_images(torch.rand(1, 3, 32, 32)).shape == (1, 4, 16, 16)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_precision_and_ema_keys_do_not_matter(files, tmp_path, dtype):
    path = write(tmp_path / "x.safetensors", TINY["sd1"], dtype=dtype, ema=True)
    close = {torch.bfloat16: 5e-2, torch.float32: 1e-2}[dtype]
    torch.testing.assert_close(
        predict(load(path)), predict(load(files["sd1"])), rtol=close, atol=close
    )


def test_half_precision_weights_on_request(files):
    backbone = load(files["sd1"], dtype=torch.bfloat16)
    for module in (backbone.unet, backbone.text_encoder):
        assert {p.dtype for p in module.parameters()} == {torch.bfloat16}
    assert backbone.vae.dtype == torch.float32
    assert load(files["sd1"], dtype=torch.float16).fingerprint == load(files["sd1"]).fingerprint
    assert predict(backbone).dtype == torch.float32


def test_old_names_of_the_text_encoder(files, tmp_path):
    tensors = {k.replace("text_model.", ""): v for k, v in load_file(files["sd1"]).items()}
    save_file(tensors, tmp_path / "old.safetensors")
    assert load(tmp_path / "old.safetensors").fingerprint == load(files["sd1"]).fingerprint


def test_sd2_files_without_the_last_text_layer(files, tmp_path):
    """23 of 24 layers, as diffusers' converter writes: the layer that is used is the same."""
    spec = TINY["sd2"]
    whole = dataclasses.replace(
        spec, text=(dataclasses.replace(spec.text[0], layers=24),), channels=(64, 64)
    )
    path = write(tmp_path / "24.safetensors", whole)
    tensors = load_file(path)
    cut = {k: v for k, v in tensors.items() if "resblocks.23." not in k}
    save_file(cut, tmp_path / "23.safetensors")
    with torch.no_grad():
        a, b = (load(tmp_path / f"{n}.safetensors").encode_prompts(PROMPTS) for n in (24, 23))
    torch.testing.assert_close(a.embeds, b.embeds)


@pytest.mark.parametrize(("size", "found"), [(0.1, "epsilon"), (0.2, "v_prediction")])
def test_sd2_v_prediction_is_told_as_comfyui_tells_it(size, found):
    """By the spread of one bias of the real UNet, on both sides of 0.09."""
    kind = identify({k: Entry("F16", s) for k, s in shapes(FULL["sd2"]).items()}, "x")
    key = UNET + "output_blocks.11.1.transformer_blocks.0.norm1.bias"
    assert detect_prediction({key: size * torch.linspace(-1, 1, 320)}, kind) == found


def test_what_is_told_can_be_overruled(files):
    backbone = load(files["sd2"])
    assert (backbone.prediction, backbone.resolution, backbone.overrides) == ("epsilon", 512, {})
    forced = load(files["sd2"], prediction="v_prediction")
    assert (forced.prediction, forced.resolution) == ("v_prediction", 768)
    assert forced.overrides == {"prediction": "v_prediction"}
    assert forced.fingerprint == backbone.fingerprint


def test_marks_in_the_file(tmp_path):
    path = write(tmp_path / "x.safetensors", TINY["sdxl"], extra=("v_pred", "ztsnr"))
    backbone = load(path)
    assert backbone.prediction == "v_prediction"
    assert 0 < backbone.schedule.alpha_bar[-1] < 1e-6
    assert torch.isfinite(predict(backbone)).all()


def test_unknown_prediction(files):
    with pytest.raises(ModelError, match="prediction is 'flow'; choose one of: auto, epsilon"):
        load(files["sd1"], prediction="flow")


def test_another_resolution(files, model_folder):
    backbone = load(files["sd1"], resolution=32)
    assert backbone.resolution == 32 and backbone.overrides == {"resolution": 32}
    assert load(model_folder, resolution=32).overrides == {}
    with pytest.raises(ImageError, match="a side of 33 pixels does not fit the model sd1; give a "):
        load(files["sd1"], resolution=33)
    with pytest.raises(ModelError, match="resolution is -1"):
        load(files["sd1"], resolution=-1)


def test_a_vae_beside_the_file(files, tmp_path):
    path = write(tmp_path / "x.safetensors", TINY["sd1"], with_vae=False)
    with pytest.raises(ModelError) as caught:
        load(path)
    assert str(caught.value) == (
        f"The model {path} holds no VAE; give one beside it (the input vae of Load Base Model, or "
        "--vae FILE), such as the one that its family came with."
    )
    own = {k[len(VAE) :]: v for k, v in load_file(files["sd1"]).items() if k.startswith(VAE)}
    save_file(own, tmp_path / "vae.safetensors")
    x = torch.rand(1, 3, 32, 32)
    expected = load(files["sd1"]).encode_images(x)
    for given in (own, tmp_path / "vae.safetensors", files["sd1"]):
        if given is not files["sd1"]:
            assert torch.equal(load(path, vae=given).encode_images(x), expected)
    with pytest.raises(ModelError, match="is not one of Stable Diffusion's"):
        load(path, vae={"taesd_decoder.1.weight": torch.ones(1)})
    with pytest.raises(ModelError, match=r"only decodes or is of another kind"):
        load(path, vae={k: v for k, v in own.items() if not k.startswith("encoder.")})
    with pytest.raises(ModelError, match=r"is not a \.safetensors file; convert it"):
        load(path, vae=tmp_path / "vae.pt")


def header_only(path: Path, found: dict, dtype="F16") -> Path:
    """A file with a header alone is enough to be told apart, and sparse to write."""
    header, at = {}, 0
    width = {"F16": 2, "F8_E4M3": 1, "U8": 1}[dtype]
    for name, shape in found.items():
        size = width * torch.Size(shape).numel()
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + at)
    return path


def refusal(path: Path, found: dict, dtype="F16") -> str:
    with pytest.raises(ModelError) as caught:
        load(header_only(path, found, dtype))
    message = str(caught.value)
    assert message.startswith(f"The model {path} ") and "\n" not in message
    return message.removeprefix(f"The model {path} ")


REFINER = {
    f"conditioner.embedders.0.model.{k}": (1,) for k in ("logit_scale", "text_projection")
} | {
    k: s
    for k, s in shapes(
        dataclasses.replace(
            FULL["sdxl"], channels=(384, 768, 1536, 1536), depths=(0, 4, 4, 0), middle=4,
            context=1280, added=2560, text=(),
        )
    ).items()
}  # fmt: skip
REFUSED = {
    "inpainting": (
        shapes(dataclasses.replace(FULL["sd1"], in_channels=9)),
        "is an inpainting model (its UNet takes 9 channels and gives 4, not 4 and 4), which is not "
        "supported; use the text-to-image model that it was made from.",
    ),
    "sdxl inpainting": (
        shapes(dataclasses.replace(FULL["sdxl"], in_channels=9)),
        "is an inpainting model (its UNet takes 9 channels and gives 4, not 4 and 4), which is not "
        "supported; use the text-to-image model that it was made from.",
    ),
    "depth": (
        shapes(dataclasses.replace(FULL["sd2"], in_channels=5)),
        "is a depth-to-image model (its UNet takes 5 channels and gives 4, not 4 and 4), which is "
        "not supported; use the text-to-image model that it was made from.",
    ),
    "refiner": (
        REFINER,
        "is the SDXL refiner, which only finishes pictures; use the SDXL base model.",
    ),
    "unclip": (
        shapes(dataclasses.replace(FULL["sd2"], added=2048)),
        "is unCLIP, which takes pictures in place of prompts and is not supported; use Stable "
        "Diffusion 1.x, 2.x or SDXL base.",
    ),
    "edm": (
        shapes(FULL["sdxl"]) | {"edm_mean": (4,), "edm_std": (4,)},
        "uses the EDM noise schedule (it has edm_mean), as Playground 2.5 does, which is not "
        "supported; use Stable Diffusion 1.x, 2.x or SDXL base.",
    ),
    "sd3": (
        {"model.diffusion_model.joint_blocks.0.x_block.attn.qkv.weight": (4, 4)},
        "is Stable Diffusion 3, which is not supported; use Stable Diffusion 1.x, 2.x or SDXL "
        "base.",
    ),
    "flux": (
        {"model.diffusion_model.double_blocks.0.img_attn.qkv.weight": (4, 4)},
        "is Flux or a relative of it, which is not supported; use Stable Diffusion 1.x, 2.x or "
        "SDXL base.",
    ),
    "lora": (
        {"lora_unet_mid_block_x.lora_up.weight": (4, 4)},
        "is a LoRA, not a model; load the checkpoint that it belongs to, and in ComfyUI apply the "
        "LoRA with Load LoRA before Base Model from Graph.",
    ),
    "unet": (
        {"down_blocks.0.resnets.0.conv1.weight": (4, 4, 3, 3)},
        "holds a UNet alone, without text encoder and VAE; in ComfyUI load the three parts with "
        "their own nodes and join them with Base Model from Graph, or give a whole checkpoint or a "
        "diffusers folder.",
    ),
    "vae": (vae(FULL["sd1"]), "is a VAE, not a model; give a whole checkpoint."),
    "anything": (
        {"weight": (4,)},
        "holds no Stable Diffusion UNet (model.diffusion_model.... is missing); use Stable "
        "Diffusion 1.x, 2.x or SDXL base.",
    ),
    "no text": (
        {k: s for k, s in shapes(TINY["sd1"]).items() if "cond_stage" not in k},
        "holds no text encoder (cond_stage_model.transformer.text_model.... is missing); in "
        "ComfyUI load it with its own node and join the parts with Base Model from Graph, or give "
        "a whole checkpoint.",
    ),
    "ssd-1b": (
        {
            k: s
            for k, s in shapes(FULL["sdxl"]).items()
            if not re.search(r"output_blocks\.[12]\.1\.transformer_blocks\.[4-9]\.", k)
        },
        "is a variant of Stable Diffusion XL that is not supported (its transformer blocks are "
        "spread unevenly), as SSD-1B and KOALA are; use the model that it was made from.",
    ),
    "koala": (
        {k: s for k, s in shapes(FULL["sdxl"]).items() if "middle_block." not in k},
        "is a variant of Stable Diffusion XL that is not supported (its transformer blocks are "
        "spread unevenly), as SSD-1B and KOALA are; use the model that it was made from.",
    ),
    "half a unet": (
        {k: s for k, s in shapes(TINY["sd1"]).items() if "output_blocks.3.0" not in k},
        "has a UNet that is not whole (up_blocks.1.resnets.1.conv1.bias is missing, and 11 more); "
        "download or save it again.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_cannot_be_used_is_refused_by_name(tmp_path, name):
    found, message = REFUSED[name]
    assert refusal(tmp_path / "x.safetensors", found) == message


@pytest.mark.parametrize(
    ("key", "title"),
    [
        ("double_layers.0.attn.w1q.weight", "AuraFlow"),
        ("cap_embedder.0.weight", "Lumina or Z-Image"),
        ("adaln_single.linear.weight", "PixArt or a relative of it"),
        ("mlp_t5.0.weight", "Hunyuan-DiT"),
        (
            "transformer_blocks.0.attn.add_q_proj.weight",
            "Qwen-Image or another transformer",
        ),
        ("clf.1.weight", "Stable Cascade"),
        ("blocks.0.self_attn.q.weight", "Wan or another video model"),
    ],
)
@pytest.mark.parametrize("prefix", ["", UNET])
def test_other_architectures_are_refused_by_name(tmp_path, prefix, key, title):
    message = refusal(tmp_path / "x.safetensors", {prefix + key: (4, 4)})
    assert message == (
        f"is {title}, which is not supported; use Stable Diffusion 1.x, 2.x or SDXL base."
    )


@pytest.mark.parametrize(
    ("channels", "words"),
    [
        (8, "is a model that edits a picture (InstructPix2Pix or a video model) (its UNet takes 8"),
        (7, "is an upscaling model (its UNet takes 7"),
        (3, "is of another kind (its UNet takes 3"),
    ],
)
def test_other_inputs_are_refused_by_name(tmp_path, channels, words):
    spec = dataclasses.replace(FULL["sd1"], in_channels=channels)
    message = refusal(tmp_path / "x.safetensors", shapes(spec))
    assert message == (
        f"{words} channels and gives 4, not 4 and 4), which is not supported; use the "
        "text-to-image model that it was made from."
    )


@pytest.mark.parametrize("name", FAMILIES)
def test_fp8_is_refused(tmp_path, name):
    message = refusal(tmp_path / "x.safetensors", shapes(FULL[name]), "F8_E4M3")
    assert message == (
        f"is in fp8 ({UNET}time_embed.0.weight is F8_E4M3); use the fp16, bf16 or fp32 file of the "
        "model, whose weights can be trained."
    )


def test_fp8_of_the_graph_is_refused():
    made = shapes(FULL["sd1"]).items()
    tensors = {k: torch.empty(s, dtype=torch.float8_e4m3fn, device="meta") for k, s in made}
    with pytest.raises(ModelError, match=r"is in fp8 \(.* is FLOAT8_E4M3FN\); use the fp16, bf16"):
        identify(entries_of(tensors), "The model from the graph")


def test_quantized_weights_are_refused(tmp_path):
    message = refusal(tmp_path / "x.safetensors", shapes(FULL["sd1"]), "U8")
    assert message.startswith("is quantized (") and "whose weights can be trained" in message
    scaled = shapes(FULL["sd1"]) | {UNET + "out.2.scale_weight": (1,)}
    assert "is quantized (it has" in refusal(tmp_path / "x.safetensors", scaled)


def test_gguf_and_others_are_refused(tmp_path):
    told = {
        "x.gguf": "is quantized (GGUF), and its weights cannot be trained; use the fp16, bf16 or "
        "fp32 .safetensors file of the model.",
        "x.onnx": "is not a .safetensors file; give a .safetensors checkpoint or a diffusers "
        "folder (the one that holds model_index.json).",
    }
    for name, words in told.items():
        (tmp_path / name).write_bytes(b"GGUF")
        with pytest.raises(ModelError) as caught:
            load(tmp_path / name)
        assert str(caught.value) == f"The model {tmp_path / name} {words}"


@pytest.mark.parametrize("keep", [0, 5, 100, -1])
def test_a_cut_file_is_refused(files, tmp_path, keep):
    path = tmp_path / "cut.safetensors"
    path.write_bytes(files["sd1"].read_bytes()[:keep])
    with pytest.raises(ModelError) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(f"{path} is not a whole safetensors file (")
    assert message.endswith("; download or copy it again.")


def test_latents_of_the_graph(files):
    backbone = load(files["sd1"])
    raw = torch.randn(2, 4, 8, 16)
    assert torch.equal(backbone.scale_latents(raw), raw * 0.18215)
    with pytest.raises(ImageError, match=r"shape \(2, 16, 8, 16\).*takes \(n, 4, height, width\)"):
        backbone.scale_latents(torch.randn(2, 16, 8, 16))
    with pytest.raises(ImageError, match="a side of 14 pixels does not fit"):
        backbone.scale_latents(torch.randn(2, 4, 7, 16))


def test_the_tokenizer_is_looked_for(tmp_path, monkeypatch):
    monkeypatch.delenv("GUDA_TOKENIZER")
    monkeypatch.delenv("COMFYUI_PATH", raising=False)
    monkeypatch.setattr("guda.backbone.files.tokenizer.find_spec", lambda name: None)
    with pytest.raises(ModelError) as caught:
        clip_tokenizer()
    assert str(caught.value) == (
        "A checkpoint file holds no tokenizer, and CLIP's was not found. Set COMFYUI_PATH to "
        "ComfyUI's folder, or GUDA_TOKENIZER (or --tokenizer) to a folder with vocab.json and "
        "merges.txt, or install the package open_clip_torch."
    )
    with pytest.raises(ModelError, match=r"has no vocab\.json and merges\.txt; give a folder"):
        clip_tokenizer(tmp_path)
    write_tokenizer(tmp_path / "comfy" / "sd1_tokenizer")
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path))
    assert clip_tokenizer()("ab").input_ids == [512, 64, 256 + 65, 513]
    assert clip_tokenizer().model_max_length == 77


def test_the_tokenizer_of_open_clip(tmp_path, monkeypatch):
    """Its list of merges, as the package holds it, with "ab" as a word."""
    package = tmp_path / "open_clip"
    package.mkdir()
    (package / "__init__.py").touch()
    merges = '"bpe_simple_vocab"\na b</w>'
    (package / "bpe_simple_vocab_16e6.txt.gz").write_bytes(gzip.compress(merges.encode()))
    monkeypatch.delenv("GUDA_TOKENIZER")
    monkeypatch.delenv("COMFYUI_PATH", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    tokenizer = clip_tokenizer()
    assert tokenizer("AB  b").input_ids == [513, 512, 256 + 65, 514]
    assert tokenizer.model_max_length == 77 and tokenizer.pad_token == "<|endoftext|>"


def test_sdxl_sees_the_size_of_the_picture(files):
    backbone = load(files["sdxl"])
    condition = backbone.encode_prompts(["a"])
    sizes = backbone._added(condition, torch.zeros(1, 4, 64, 128))["added_cond_kwargs"]["time_ids"]
    assert sizes.tolist() == [[128, 256, 0, 0, 128, 256]]
