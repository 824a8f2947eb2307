"""Every node in a real ComfyUI, on the built-in model."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from guda.config import UnlearnConfig
from guda.evidence.archive import Archive
from guda.evidence.sums import check_sums
from tools.comfy.client import Comfy, Result
from tools.comfy.graphs import PROMPTS, SCORING, STYLES, changed, node, upto, workflow

TIMEOUT = 300.0
# A set and pictures of its own: no other module has made them before.
WHOLE = changed(changed(workflow("whole"), "groups", seed=5), "generate", seed=7)


def picture(comfy: Comfy, link: dict) -> Image.Image:
    data = comfy.view(**{k: link[k] for k in ("filename", "subfolder", "type")})
    assert data.startswith(b"\x89PNG")
    return Image.open(io.BytesIO(data))


def pictures(comfy: Comfy, result: Result, name: str) -> list[Image.Image]:
    return [picture(comfy, link) for link in result.outputs[name]["images"]]


def text(result: Result, name: str) -> str:
    (found,) = result.outputs[name]["text"]
    return found


@pytest.fixture(scope="module")
def whole(comfy: Comfy) -> Result:
    """The whole workflow, once, with nothing cached."""
    comfy.free()
    result = comfy.run(WHOLE, timeout=TIMEOUT)
    assert result.ok, (result.error, comfy.log_tail())
    return result


def test_every_node_runs(whole: Result):
    assert set(whole.executed) == set(WHOLE)


def test_pictures_come_out(comfy: Comfy, whole: Result):
    (sheet,) = pictures(comfy, whole, "see_groups")
    assert sheet.width > 8 * 96 and sheet.height > 3 * 96
    drawn = pictures(comfy, whole, "see_pictures")
    assert [p.size for p in drawn] == [(64, 64)] * 2
    assert all(np.asarray(p).std() > 5 for p in drawn), "blank pictures"
    for name, count in {
        "see_losses": 1,
        "see_charts": 2,
        "see_sheets": 2,
        "see_styles": len(STYLES),
        "see_overlays": 2,
    }.items():
        shown = pictures(comfy, whole, name)
        assert len(shown) == count, name
        assert all(min(p.size) > 256 and np.asarray(p).std() > 3 for p in shown), name


def test_libraries_of_models_show_the_sheet_as_the_lora_s_picture(comfy: Comfy, whole: Result):
    drawn = pictures(comfy, whole, "see_styles")
    loras = [m["name"] for m in comfy.get("/experiment/models/loras") if "guda/whole/" in m["name"]]
    for lora in loras:
        served = comfy.request(f"/experiment/models/preview/loras/0/{lora}")
        assert Image.open(io.BytesIO(served)).size == drawn[0].size, lora
    assert len(loras) >= len(STYLES)


def test_masks_have_the_picture_s_size(comfy: Comfy, whole: Result):
    masks = [np.asarray(p)[..., 0] for p in pictures(comfy, whole, "see_masks")]
    assert [m.shape for m in masks] == [(64, 64)] * 2
    assert all(m.max() > 200 for m in masks)


def test_texts_come_out(whole: Result):
    assert text(whole, "read_prompts").splitlines() == list(PROMPTS)
    gate = text(whole, "read_gate").splitlines()
    assert [line.split(":")[0] for line in gate] == list(STYLES)
    assert all(line.split(": ")[1].startswith("passed, held-out forget error") for line in gate)
    verdicts = text(whole, "read_verdict").splitlines()
    assert len(verdicts) == 2
    assert set(verdicts) <= {*STYLES, "none of these", "undecided"}
    table = text(whole, "read_table")
    assert all(table.count(f"| {style} |") == 2 for style in STYLES)


def test_payload_is_complete_and_finite(comfy: Comfy, whole: Result):
    (payload,) = whole.outputs["attribute"]["guda"]
    json.dumps(payload, allow_nan=False)
    assert payload["unit"] == "nats" and payload["unet_evaluations"] == 2 * 8 * 4
    assert [image["prompt"] for image in payload["images"]] == list(PROMPTS)
    for image in payload["images"]:
        assert {s["group"] for s in image["scores"]} == set(STYLES)
        assert all(
            math.isfinite(s[k]) for s in image["scores"] for k in ("delta", "low", "high", "share")
        )
        assert sum(b["delta"] for b in image["scores"][0]["profile"]) == pytest.approx(
            image["scores"][0]["delta"]
        )
        assert picture(comfy, image["picture"]).size == (512, 512)
        assert [h["group"] for h in image["heatmaps"]] == [s["group"] for s in image["scores"]]
        layers = [picture(comfy, h) for h in image["heatmaps"]]
        assert all((i.size, i.mode) == ((256, 256), "RGBA") for i in layers)
        alpha = np.asarray(layers[0])[..., 3]
        assert alpha.max() > 200 and alpha.min() < 50, "the map does not let the picture through"
        assert image["sentence"] == f"{image['headline']}: {image['detail']}"
        assert set(image["named"]) <= set(STYLES)
    assert payload["markdown"] == text(whole, "read_table")
    assert len(list(csv.DictReader(io.StringIO(payload["csv"])))) == 2 * len(STYLES)
    page = comfy.view(**payload["report"])
    assert page.startswith(b"<!doctype html>") and b"with it and without it" in page
    assert [s["group"] for s in payload["sheets"]] == sorted(
        STYLES, key=lambda n: min(s["rank"] for i in payload["images"] for s in i["scores"]
                                  if s["group"] == n)
    )  # fmt: skip
    for sheet in payload["sheets"]:
        assert picture(comfy, sheet["thumb"]).width <= 160 < picture(comfy, sheet["file"]).width


def test_report_is_on_disk(comfy: Comfy, whole: Result):
    html = Path(text(whole, "read_path"))
    assert html == comfy.base / "output" / "guda" / "test_00001_" / "report.html"
    assert html.read_text("utf-8").lower().startswith("<!doctype html>")
    data = json.loads((html.parent / "attribution.json").read_text("utf-8"))
    assert data["images"][0]["prompt"] == PROMPTS[0]
    with (html.parent / "attribution.csv").open(encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == 2 * len(STYLES)
    shown = whole.outputs["report"]
    assert list(shown) == ["images", "text"], "an app takes the first for its answer"


def test_evidence_lies_beside_the_report(comfy: Comfy, whole: Result):
    path = comfy.base / "output" / "guda" / "test_00001_" / "evidence.zip"
    with Archive(path) as bundle:
        assert check_sums(bundle).good
        told = json.loads(bundle.read("evidence.json"))
        held = [bundle.read(name) for name in bundle.names]
    assert told["counterfactuals"]["kind"] == "unlearned" and told["model"]["files"]
    assert all(len(style["sha256"]) == 64 for style in told["counterfactuals"]["styles"])
    assert not any(str(comfy.base).encode() in data for data in held)
    assert not any(b"class_type" in data for data in held)  # nothing of the graph


def test_report_without_the_front_end(comfy: Comfy, whole: Result):
    """A headless caller gets tables as text, cards as pictures, and files that hold the graph."""
    folder = Path(text(whole, "read_path")).parent
    assert text(whole, "read_csv") == (folder / "attribution.csv").read_text("utf-8")
    data = json.loads(text(whole, "read_json"))
    assert data == json.loads((folder / "attribution.json").read_text("utf-8"))
    assert data["images"][1]["scores"][0]["profile"][0].keys() == {"from", "to", "delta"}
    shown = whole.outputs["report"]["images"]
    assert [s["filename"] for s in shown] == ["card-1.png", "card-2.png"]
    cards = pictures(comfy, whole, "see_cards")
    for link, seen in zip(shown, cards, strict=True):
        card = picture(comfy, link)
        assert json.loads(card.info["prompt"]) == json.loads(json.dumps(WHOLE))
        assert np.array_equal(np.asarray(card), np.asarray(seen.convert("RGB")))
    for path in folder.glob("*.png"):
        assert "prompt" in Image.open(path).info, path


def test_zero_takes_what_suits_the_model(comfy: Comfy, whole: Result):
    manifest = comfy.base / "models" / "loras" / "guda" / "whole" / "counterfactuals.json"
    recipe = json.loads(manifest.read_text("utf-8"))["recipe"]
    assert (recipe["rank"], recipe["steps"]) == (UnlearnConfig().rank, 16)


def test_loras_are_in_the_lora_folder(comfy: Comfy, whole: Result):
    folder = comfy.base / "models" / "loras" / "guda" / "whole"
    assert sorted(p.name for p in folder.iterdir()) == [
        "counterfactuals.json", "fluent-ink.png", "fluent-ink.safetensors", "noto-blob.png",
        "noto-blob.safetensors", "twemoji.png", "twemoji.safetensors",
    ]  # fmt: skip
    loras = comfy.object_info("LoraLoader")["input"]["required"]["lora_name"]
    names = loras[0] if isinstance(loras[0], list) else loras[1]["options"]
    assert {Path(n).as_posix() for n in names} >= {"guda/whole/twemoji.safetensors"}


@pytest.mark.parametrize("name", ["groups", "unlearn", "generate", "attribute"])
def test_progress_grows_to_its_end(whole: Result, name: str):
    shown = whole.progress(name)
    assert len(shown) >= 3
    scoring = shown if name != "attribute" else shown[1:]  # the first is the encoding
    assert all(a[0] <= b[0] for a, b in pairwise(scoring)), shown
    assert shown[-1][0] == shown[-1][1]


def test_progress_is_in_words_and_pictures(whole: Result):
    said = [words for node, words in whole.texts if node == "unlearn"]
    style = r"Style [123] of 3, (Noto Blob|Fluent Ink|Twemoji): "
    pattern = style + r"step \d+ of 16, loss \d[\d.e-]*(, about \d+ (s|min) left)?\nPlanned: .*"
    assert any(re.fullmatch(pattern, words) for words in said), said
    assert any("left" in words for words in said) and said[-1].startswith("Done in")
    said = [words for node, words in whole.texts if node == "attribute"]
    style = r"Scoring: style [123] of 3, (Noto Blob|Fluent Ink|Twemoji), \d+ of \d+"
    doubts = r"(\nWarning: .*)*"  # a LoRA of so few steps may be called weak
    pattern = style + rf".*{doubts}\nPlanned: .*{doubts}"
    assert any(re.fullmatch(pattern, words) for words in said), said
    curves = [Image.open(io.BytesIO(data)) for data in whole.previews]
    assert curves and all(min(c.size) > 100 and c.format == "JPEG" for c in curves)


@pytest.mark.parametrize(
    ("name", "verb", "plan"),
    [
        ("unlearn", "Style 1 of 3", "Planned: 48 optimizer steps; 3320 UNet evaluations "),
        ("attribute", "Scoring", "Planned: 68 UNet evaluations (4 check, 64 score); "),
    ],
)
def test_the_plan_is_said_before_the_work(whole: Result, name: str, verb: str, plan: str):
    said = [words for node, words in whole.texts if node == name]
    assert any(words.startswith(plan) for words in said), "\n".join(said)
    first = next(i for i, words in enumerate(said) if words.startswith(plan))
    assert " of memory on cpu " in said[first] and " of disk" in said[first]
    assert not any(words.startswith(verb) for words in said[:first])
    assert any(words.startswith(verb) for words in said[first:])


def test_unchanged_is_cached(comfy: Comfy, whole: Result):
    comfy.run(WHOLE, timeout=TIMEOUT)
    again = comfy.run(WHOLE, timeout=TIMEOUT)
    assert again.ok and again.executed == []
    assert set(again.cached) == set(WHOLE)


def test_another_question_keeps_the_counterfactuals(comfy: Comfy, whole: Result):
    comfy.run(WHOLE, timeout=TIMEOUT)
    again = comfy.run(changed(WHOLE, "generate", seed=2), timeout=TIMEOUT)
    assert again.ok and {"generate", "attribute", "report"} <= set(again.executed)
    assert {"model", "groups", "unlearn"} <= set(again.cached)
    assert Path(text(again, "read_path")).parent.name != "test_00001_"


def test_a_deleted_lora_is_made_again(comfy: Comfy, whole: Result):
    graph = {k: v for k, v in WHOLE.items() if k in ("model", "groups", "unlearn")}
    assert comfy.run(graph, timeout=TIMEOUT).ok
    lora = comfy.base / "models" / "loras" / "guda" / "whole" / "fluent-ink.safetensors"
    before = lora.read_bytes()
    lora.unlink()
    again = comfy.run(graph, timeout=TIMEOUT)
    assert again.ok and again.executed == ["unlearn"]
    assert lora.read_bytes() == before
    assert any("Fluent Ink: step" in words for _, words in again.texts)
    assert comfy.run(graph, timeout=TIMEOUT).executed == []


def test_a_pool_that_nobody_linked_stands_in_no_answer_s_way(comfy: Comfy, whole: Result):
    """Of the counterfactuals' folder, where the question is none of its own."""
    asked = {"model": ["model", 0], "counterfactuals": ["unlearn", 0]} | SCORING
    pool = {"size": 4, "prompts": "none", "folder": "built-in example"}
    graph = upto(WHOLE, "unlearn") | {
        "null": node("GudaNullPool", **asked, **pool),
        "latents": node("EmptyLatentImage", width=256, height=256, batch_size=1),
        "attribute": node("GudaAttribute", **asked, latent=["latents", 0], prompt=""),
    }
    made = comfy.run(upto(graph, "null"), timeout=TIMEOUT)
    assert made.ok, (made.error, comfy.log_tail())
    folder = comfy.base / "models" / "loras" / "guda" / "whole"
    (folder / "null-real.json").rename(folder / "null.json")  # where one is found by itself
    result = comfy.run(upto(graph, "attribute"), timeout=TIMEOUT)
    assert result.ok, (result.error, comfy.log_tail())
    assert "null" not in result.outputs["attribute"]["guda"][0]
    under = [text for where, text in result.texts if where == "attribute"][-1]
    assert "folder is left out. The latents are of 32 x 32 cells" in under
    graph["attribute"]["inputs"]["null_pool"] = ["null", 0]
    refused = comfy.run(graph, timeout=TIMEOUT)
    assert refused.status == "error" and "The latents are of 32 x 32 cells" in refused.message
