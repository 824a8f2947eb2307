"""SDXL from end to end, tiny: two text encoders, pooled text and sizes in every part of the job."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from diffusers import DDPMScheduler, StableDiffusionXLPipeline

from guda.backbone.files.load import load
from guda.config import ElboConfig, SampleConfig
from guda.counterfactuals.direct import DirectCounterfactuals
from guda.groups import from_prompts
from guda.jobs.attribute import AttributeRequest, attribute
from guda.jobs.unlearn import UnlearnRequest, unlearn
from guda.steps import drain
from guda.unlearning.context import anchor_context

from ...checkpoints import TINY, write, write_tokenizer

SIDE = 32
PROMPTS = ["a fox", "", "a cat, in dots style"]
ELBO = ElboConfig(evaluations=8)


@pytest.fixture(scope="module")
def sdxl(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sdxl")
    path = write(folder / "sdxl.safetensors", TINY["sdxl"])
    tokenizer = write_tokenizer(folder / "tokenizer")
    return load(path, tokenizer=tokenizer, resolution=SIDE)


@pytest.fixture(scope="module")
def made(sdxl, groups, recipe, tmp_path_factory):
    out = tmp_path_factory.mktemp("set")
    return drain(unlearn(UnlearnRequest(sdxl, groups, out, recipe.replace(gate_margin=0.0))))


@pytest.fixture(scope="module")
def pipeline(sdxl):
    """diffusers' own, of the same parts."""
    first, second = sdxl.text.parts
    kind, place = type(first.tokenizer), first.tokenizer.name_or_path
    tokenizers = [kind.from_pretrained(place) for _ in range(2)]
    for tokenizer in tokenizers:
        tokenizer.model_max_length = 77
    tokenizers[1].pad_token = "!"
    return StableDiffusionXLPipeline(
        vae=sdxl.vae,
        text_encoder=first.encoder,
        text_encoder_2=second.encoder,
        tokenizer=tokenizers[0],
        tokenizer_2=tokenizers[1],
        unet=sdxl.unet,
        scheduler=DDPMScheduler.from_config(sdxl.scheduler_config),
        force_zeros_for_empty_prompt=False,
        add_watermarker=False,
    )


def rows(backbone):
    x_t = torch.randn(3, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    return x_t, torch.tensor([5, 400, 999]), backbone.encode_prompts(PROMPTS)


def test_prompts_are_diffusers_own(sdxl, pipeline):
    mine = sdxl.encode_prompts(PROMPTS)
    embeds, _, pooled, _ = pipeline.encode_prompt(PROMPTS, do_classifier_free_guidance=False)
    torch.testing.assert_close(mine.embeds, embeds)
    torch.testing.assert_close(mine.added["text_embeds"], pooled)


def test_sizes_and_pooled_text_reach_the_unet(sdxl, pipeline):
    x_t, t, condition = rows(sdxl)
    sizes = pipeline._get_add_time_ids((SIDE, SIDE), (0, 0), (SIDE, SIDE), torch.float32, 128)
    with torch.no_grad():
        mine = sdxl.predict_eps(x_t, t, condition)
        theirs = sdxl.unet(
            x_t,
            t,
            condition.embeds,
            added_cond_kwargs={
                "text_embeds": condition.added["text_embeds"],
                "time_ids": sizes.expand(3, 6),
            },
        ).sample
        other = condition.added["text_embeds"] + 1
        moved = sdxl.predict_eps(x_t, t, type(condition)(condition.embeds, {"text_embeds": other}))
    torch.testing.assert_close(mine, theirs)
    assert (moved - mine).abs().max() > 1e-2


def test_a_folder_is_the_same_model(sdxl, pipeline, tmp_path):
    pipeline.save_pretrained(tmp_path / "xl", safe_serialization=True)
    again = load(tmp_path / "xl", resolution=SIDE)
    with torch.no_grad():
        torch.testing.assert_close(again.predict_eps(*rows(again)), sdxl.predict_eps(*rows(sdxl)))
    assert again.fingerprint == sdxl.fingerprint
    (tmp_path / "xl" / "text_encoder_2" / "model.safetensors").unlink()
    with pytest.raises(Exception, match="no safetensors weights in text_encoder_2/"):
        load(tmp_path / "xl")


def test_pictures_are_drawn(sdxl):
    config = SampleConfig(steps=2, batch_size=2)
    pictures = drain_counts(sdxl.sample(PROMPTS, PROMPTS, config))
    assert pictures.shape == (3, 3, SIDE, SIDE) and pictures.std() > 0.01


def drain_counts(steps):
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def test_anchors_compare_styles(sdxl, groups, recipe):
    found = anchor_context(sdxl, groups, groups["dots"], recipe)
    assert found.weights.sum().item() == pytest.approx(1)
    assert len(found.weights) == len(groups) - 1


def test_unlearning_and_scoring(sdxl, made, groups, make_set, make_damage, tmp_path):
    assert made.names == groups.names
    assert all(len(e.losses) == 6 for e in made.entries)
    lora = made.load(made.entries[0], sdxl)
    assert any(up.abs().max() > 0 for up, _ in lora.layers.values())
    damage = make_set(tmp_path / "set", sdxl, {"a": lora, "b": make_damage(sdxl, 0.5)})
    picture = torch.rand(3, SIDE, SIDE)
    request = AttributeRequest(sdxl, damage, [picture], ["x"], ["a fox"], ELBO)
    found = drain(attribute(request)).images[0]
    assert found["b"].delta > 0 and found["a"].delta != 0


def test_an_untouched_lora_scores_exactly_zero(sdxl, make_lora, make_set, tmp_path):
    same = make_set(tmp_path / "set", sdxl, {"a": make_lora(sdxl, 0.0, modules="all")})
    latents = torch.randn(1, 4, 16, 32)
    request = AttributeRequest(sdxl, same, [], ["x"], [""], ELBO, latents)
    found = drain(attribute(request))
    assert found.images[0]["a"].delta == 0
    assert found.maps.shape[-2:] == (16, 32) and found.pictures.shape[-2:] == (32, 64)


def test_groups_without_pictures(sdxl, recipe, tmp_path):
    groups = from_prompts({"Ink": "ink", "Oil": "oil"}, ["a cat", "a dog"], pictures=4)
    sampling = SampleConfig(pictures=4, steps=1)
    request = UnlearnRequest(sdxl, groups, tmp_path, recipe, ["Ink"], sampling)
    assert drain(unlearn(request)).names == ("Ink",)
    assert len(list((tmp_path / "pictures").rglob("*.png"))) == 8


def test_direct_answers_are_those_of_both_text_encoders(sdxl):
    """On latents of any shape; the pooled text is asked in the styles as well."""
    latents = torch.randn(1, 4, 16, 32)
    without = DirectCounterfactuals.named({"Ink": "ink", "Oil": "oil", "Chalk": "chalk"})
    request = AttributeRequest(sdxl, without, [], ["x"], ["a fox"], ELBO, latents)
    (image,) = (answer := drain(attribute(request))).images
    assert answer.direct and answer.maps.shape == (1, 3, 16, 32)
    assert len({s.delta for s in image.scores}) == 3 and all(s.stderr > 0 for s in image.scores)
    some = drain(attribute(dataclasses.replace(request, config=ELBO.replace(batch_size=3))))
    for score in image.scores:
        assert some.images[0][score.group].delta == pytest.approx(score.delta, rel=1e-3, abs=1e-3)
