"""Direct scores through ComfyUI's own model call: see flows.py for what they are held against."""

from __future__ import annotations

from itertools import pairwise

import pytest

FLOWS = ("SD3", "Flux", "FluxSchnell", "ZImage", "QwenImage")
MODELS = ("sd1", "sd2", "sdxl", "sd2 v", "sdxl v")


@pytest.mark.parametrize("model", MODELS)
def test_scores_are_those_of_the_diffusers_path(found, model):
    """On the same weights, alone and with a LoRA that Load LoRA patches in."""
    result = found["beside"][model]["direct"]
    for name in ("scores", "lora"):
        gap, size = result[name]
        assert size > 0.05 and gap < 1e-3 * size, name
    assert result["changed"][0] > 0.05 * result["scores"][1], "a LoRA too small to see"
    assert len(set(result["names"])) == 2


def test_a_null_pool_is_that_of_the_diffusers_path(found):
    result = found["beside"]["sd1"]["pool"]
    for name, least in (("contributions", 1), ("full", 100), ("elbo", 100)):
        gap, size = result[name]
        assert size > least and gap < 1e-3 * size, name


def test_pictures_are_drawn_as_a_ksampler_draws(found):
    """A step of Euler's written out, and the same picture whatever is drawn beside it."""
    result = found["beside"]["sd1"]["drawn"]
    gap, size = result["step"]
    assert size > 0.1 and gap < 1e-4
    assert result["among"][0] == 0


def test_a_pool_s_record_of_the_model_tells_what_a_graph_changed(found):
    """And not whether the model was used before, with its LoRA written into the weights."""
    alike = found["beside"]["sd1"]["alike"]
    assert alike["nothing"] == alike["loaded"] == []
    assert alike["lora"] == alike["strength"] == ["unet"]
    assert alike["attention"] == ["set of patches and hooks"]
    assert len(set(alike["scales"])) == 2, "what is in a patch does not count"
    assert alike["layer"] == ["text encoder's layer (CLIP skip) (None then, -2 now)"]
    assert alike["guidance"] == ["conditioning beside the text (nothing then, guidance 2 now)"]
    assert alike["lock"][1:] == ["lock on its model"]


@pytest.mark.parametrize("model", MODELS)
def test_pictures_go_through_the_graph_s_vae(found, model):
    result = found["beside"][model]["direct"]
    for name in ("latents", "pixels"):
        gap, size = result[name]
        assert size > 0.02 and gap < 1e-4, name
    weights, work = result["at work"]
    assert weights > 1e6 and work > 1e5


@pytest.mark.parametrize("kind", FLOWS)
def test_rectified_flows_equal_a_sum_over_the_bare_network(found, kind):
    gap, size = found["flows"][kind]["scores"]
    assert size > 1 and gap < 1e-3 * size


@pytest.mark.parametrize(("before", "kind"), list(pairwise(("", *FLOWS))))
def test_rectified_flows_have_null_pools_of_their_own(found, before, kind):
    """Of a folder, and drawn with ComfyUI's sampler; another kind's is refused by its name."""
    pool = found["flows"][kind]["pool"]
    assert pool["pictures"] == [4, 5] and pool["held"] == [4, 4] and all(pool["finite"])
    if before:
        assert f"made with another model ({before} then, {kind} now)" in pool["refused"]


def test_what_was_distilled_is_no_likelihood(found):
    said = {kind: " ".join(found["flows"][kind]["warnings"]) for kind in FLOWS}
    assert "guidance was distilled into it" in said["Flux"]
    assert "it was distilled into few steps" in said["FluxSchnell"]
    assert "If it is the Turbo one" in said["ZImage"]
    assert said["SD3"] == said["QwenImage"] == ""


@pytest.mark.parametrize(
    ("kind", "makes"), [("WAN21_T2V", "videos"), ("HunyuanVideo", "videos"), ("ACEStep", "sound")]
)
def test_what_makes_no_pictures_is_refused_by_name(found, kind, makes):
    assert found["flows"]["refused"][kind] == (
        f"The model mine ({kind}) makes {makes}, which cannot be scored; link a model that makes "
        "pictures from text."
    )


def test_an_answer_that_is_no_number_is_refused(found):
    assert found["flows"]["nan"].startswith(
        "The model nan answers with values that are not finite. Start ComfyUI with --force-fp32"
    )


def test_latents_of_another_model_are_refused(found):
    said = found["flows"]["latents"]
    assert said["channels"].startswith("the latents have shape (1, 4, 6, 8); the model SD3 takes")
    assert "3 pictures of a video; give one" in said["video"]


def test_lists_are_one_for_each_and_lines_are_spoken_of(found):
    lists = found["flows"]["lists"]
    (old, (before,)), (new, (now,)) = lists["lines"]
    assert (old, new) == (["a", "b"], ["a\nb"])
    assert "each line is read as the prompt of one picture" in before
    assert "all of it is the prompt of every picture" in now
    assert lists["list"] == [["a\nb", "c"], []]
    assert lists["single"] == {"prompt": ["a", "b"], "seed": 3}
    assert lists["twice"].startswith("seed was given 2 times; only image, latent, prompt, positive")
