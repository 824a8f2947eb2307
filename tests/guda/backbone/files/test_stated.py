"""What files say of themselves, and what is no model."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from guda.backbone.files import stated
from guda.backbone.files.load import load
from guda.errors import ModelError

from ....checkpoints import TINY, UNET, random_tensors, shapes, write, write_tokenizer


@pytest.fixture(scope="module", autouse=True)
def _tokenizer(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GUDA_TOKENIZER", str(write_tokenizer(tmp_path_factory.mktemp("tokenizer"))))
        yield


@pytest.mark.parametrize(
    ("metadata", "found"),
    [
        ({"modelspec.prediction_type": "v"}, "v_prediction"),
        ({"modelspec.predict_key": "v"}, "v_prediction"),
        ({"modelspec.prediction_type": "epsilon"}, "epsilon"),
        ({"modelspec.architecture": "stable-diffusion-v2-768-v"}, "v_prediction"),
        ({"modelspec.architecture": "stable-diffusion-v1"}, "epsilon"),
    ],
)
def test_the_metadata_name_the_prediction(tmp_path, metadata, found):
    path = write(tmp_path / "x.safetensors", TINY["sd1"], metadata=metadata)
    assert load(path).prediction == found
    assert load(path, prediction="sample").prediction == "sample"


def test_zero_snr_and_contradictions(tmp_path):
    told = {"ss_zero_terminal_snr": "True", "modelspec.prediction_type": "v"}
    model = load(write(tmp_path / "z.safetensors", TINY["sd1"], metadata=told))
    assert 0 < model.schedule.alpha_bar[-1] < 1e-6
    told = {"modelspec.prediction_type": "epsilon"}
    path = write(tmp_path / "c.safetensors", TINY["sd1"], extra=("v_pred",), metadata=told)
    with pytest.raises(ModelError, match="says two things"):
        load(path)
    told = {"modelspec.prediction_type": "flow"}
    with pytest.raises(ModelError, match=r"predicts 'flow', as its metadata say"):
        load(write(tmp_path / "f.safetensors", TINY["sd1"], metadata=told))


@pytest.mark.parametrize(
    "name", ["time_embed.cond_proj.weight", "position_net.null.weight", "out.3.weight"]
)
def test_tensors_that_no_plain_model_has(tmp_path, name):
    tensors = random_tensors(shapes(TINY["sd1"]), torch.float16)
    tensors[UNET + name] = torch.ones(4, 4).half()
    save_file(tensors, tmp_path / "x.safetensors")
    with pytest.raises(ModelError) as caught:
        load(tmp_path / "x.safetensors")
    assert f"a tensor that a plain model has not ({name})" in str(caught.value)


@pytest.mark.parametrize(
    ("key", "title"),
    [
        ("control_model.input_blocks.0.0.weight", "a ControlNet"),
        ("controlnet_cond_embedding.conv_in.weight", "a ControlNet"),
        ("lora_unet_mid.hada_w1_a", "a LoHa"),
        ("lora_unet_mid.lokr_w1", "a LoKr"),
        ("emb_params", "an embedding (textual inversion)"),
        ("clip_l", "an embedding (textual inversion)"),
        ("body.0.rdb1.conv1.weight", "an upscaler"),
        ("ip_adapter.1.to_k_ip.weight", "an IP-Adapter"),
    ],
)
def test_what_is_no_model_is_named(tmp_path, key, title):
    save_file({key: torch.ones(4, 4)}, tmp_path / "x.safetensors")
    with pytest.raises(ModelError) as caught:
        load(tmp_path / "x.safetensors")
    assert f" is {title}, not a model; load the checkpoint" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "warned"),
    [
        ("sd_xl_turbo_1.0", True),
        ("dreamshaperXL_v21TurboDPMSDE", True),
        ("Hyper-SD15", True),
        ("LCM_Dreamshaper_v7", True),
        ("sdxl_lightning_4step", True),
        ("hyperrealism_v3", False),
        ("v1-5-pruned", False),
    ],
)
def test_few_step_models_are_warned_of(name, warned):
    assert bool(stated.few_steps(name, {})) == warned
    assert bool(stated.few_steps("x", {"modelspec.title": name})) == warned
