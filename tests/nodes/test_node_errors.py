"""What users get wrong, and what they read then."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image

from tools.comfy.client import Comfy, ComfyError
from tools.comfy.graphs import SCORING, changed, node, upto, workflow

TIMEOUT = 300.0


def refused(comfy: Comfy, graph: dict) -> str:
    """The server's reasons for not starting `graph`."""
    with pytest.raises(ComfyError) as error:
        comfy.run(graph, timeout=TIMEOUT)
    return str(error.value)


def failure(comfy: Comfy, graph: dict, where: str) -> str:
    """The message of the execution error at the node `where`, without the code's location in it."""
    result = comfy.run(graph, timeout=TIMEOUT)
    assert result.status == "error", result
    assert result.error["node_id"] == where
    assert "Traceback" not in result.message
    return result.message


def style_folder(root: Path, *names: str, pictures: int = 4) -> Path:
    for k, name in enumerate(names):
        (root / name).mkdir(parents=True)
        for i in range(pictures):
            image = Image.new("RGB", (64, 64), (40 * k, 30 * i, 200))
            image.save(root / name / f"cat-{i}.png")
    return root


def folder_graph(folder: str | Path) -> dict:
    return {
        "groups": node("GudaGroupsFromFolder", folder=str(folder)),
        "see": node("PreviewAny", source=["groups", 1]),
    }


@pytest.fixture(scope="module")
def quick(comfy: Comfy) -> Path:
    """The folder of a finished set."""
    assert comfy.run(upto(workflow(), "unlearn"), timeout=TIMEOUT).ok
    return comfy.base / "models" / "loras" / "guda" / "quick"


def loaded(set_name: str, model: str = "built-in demo") -> dict:
    """Attribution with a set from disk."""
    graph = upto(workflow(), "generate")
    graph["model"]["inputs"]["model"] = model
    return graph | {
        "load": node("GudaLoadCounterfactuals", set_name=set_name),
        "attribute": node(
            "GudaAttribute", model=["model", 0], counterfactuals=["load", 0],
            image=["generate", 0], prompt=["generate", 1], **SCORING,
        ),
    }  # fmt: skip


def test_folder_of_groups_is_read_and_watched(comfy: Comfy):
    root = style_folder(comfy.base / "input" / "watched", "Blue Period", "Cubism")
    result = comfy.run(folder_graph(root), timeout=TIMEOUT)
    (text,) = result.outputs["see"]["text"]
    assert text.startswith('Blue Period: 4 pictures, prompts say "blue period"; captions: 4 from')
    assert '  prompt: "cat, in blue period style"' in text.splitlines()
    assert comfy.run(folder_graph(root), timeout=TIMEOUT).executed == []
    style_folder(root, "Dada")
    again = comfy.run(folder_graph(root), timeout=TIMEOUT)
    assert "groups" in again.executed and "Dada: 4 pictures" in again.outputs["see"]["text"][0]


def test_folder_may_be_relative_to_input(comfy: Comfy):
    style_folder(comfy.base / "input" / "relative", "One", "Two")
    assert comfy.run(folder_graph("relative"), timeout=TIMEOUT).ok


@pytest.mark.parametrize("folder", ["", "not-there"])
def test_missing_folder_is_refused_before_anything_runs(comfy: Comfy, folder: str):
    message = refused(comfy, folder_graph(folder))
    assert "give a folder that holds one folder of pictures per style" in message
    assert "or 'built-in example' to try it" in message


def test_the_built_in_example_is_there(comfy: Comfy):
    (text,) = comfy.run(folder_graph("built-in example"), timeout=TIMEOUT).outputs["see"]["text"]
    phrases = ("emojione", "fluent", "ink", "noto blob", "twemoji")
    told = [line for line in text.splitlines() if "prompts say" in line]
    assert [line.split('"')[1] for line in told] == list(phrases)
    assert all("12 pictures" in line for line in told)


def test_one_group_is_not_enough(comfy: Comfy):
    root = style_folder(comfy.base / "input" / "alone", "Alone")
    message = failure(comfy, folder_graph(root), "groups")
    assert "Alone" in message and "add a second" in message


def test_damaged_picture_is_named(comfy: Comfy):
    root = style_folder(comfy.base / "input" / "damaged", "One", "Two")
    damaged = root / "Two" / "cat-1.png"
    damaged.write_bytes(damaged.read_bytes()[:-40])
    message = failure(comfy, folder_graph(root), "groups")
    assert str(damaged) in message and "replace it" in message


def test_unknown_model_is_refused(comfy: Comfy):
    graph = changed(upto(workflow(), "see_pictures"), "model", model="not-there")
    assert "The model 'not-there' is not in" in refused(comfy, graph)
    graph = changed(graph, "model", model="../../input")
    assert "The model '../../input' is not in" in refused(comfy, graph)


def test_set_without_a_name_is_refused(comfy: Comfy):
    graph = upto(workflow(" "), "unlearn")
    assert "set_name is empty" in refused(comfy, graph)


def test_odd_evaluations(comfy: Comfy, quick: Path):
    graph = changed(upto(workflow(), "attribute"), "attribute", evaluations=9)
    assert "give an even number" in failure(comfy, graph, "attribute")


def test_unknown_group_lists_the_known(comfy: Comfy, quick: Path):
    graph = changed(upto(workflow(), "see_overlays"), "heatmap", group="Cubism")
    message = failure(comfy, graph, "heatmap")
    assert "'Cubism'" in message and "Noto Blob, Fluent Ink, Twemoji" in message


def test_unknown_picture(comfy: Comfy, quick: Path):
    graph = changed(upto(workflow(), "see_overlays"), "heatmap", picture=3)
    assert "picture is 3; there are 2" in failure(comfy, graph, "heatmap")


def test_set_is_loaded_from_disk(comfy: Comfy, quick: Path):
    assert comfy.run(loaded("quick"), timeout=TIMEOUT).ok
    graph = loaded("quick")
    graph["load"]["inputs"]["styles"] = "Twemoji"
    (payload,) = comfy.run(graph, timeout=TIMEOUT).outputs["attribute"]["guda"]
    assert [s["group"] for s in payload["images"][0]["scores"]] == ["Twemoji"]
    graph["load"]["inputs"]["styles"] = "Cubism"
    assert "The style 'Cubism' is not in" in failure(comfy, graph, "load")


@pytest.mark.parametrize("name", ["not-there", "(none yet: run Unlearn Styles first)"])
def test_unknown_set_is_refused(comfy: Comfy, quick: Path, name: str):
    message = refused(comfy, loaded(name))
    assert "The counterfactual set" in message or "There is no counterfactual set" in message


def test_damaged_lora(comfy: Comfy, quick: Path):
    damaged = quick.with_name("damaged")
    shutil.copytree(quick, damaged)
    lora = damaged / "twemoji.safetensors"
    lora.write_bytes(lora.read_bytes()[:1000])
    message = failure(comfy, loaded("damaged"), "attribute")
    assert str(lora) in message and "is damaged" in message and "unlearn the style again" in message
    lora.unlink()
    assert "twemoji.safetensors is missing" in failure(comfy, loaded("damaged"), "load")


def test_set_of_another_model(comfy: Comfy, quick: Path):
    from safetensors.torch import load_file, save_file

    from tools.comfy.server import PACK_ROOT

    other = comfy.base / "models" / "diffusers" / "maker" / "other"
    shutil.copytree(PACK_ROOT / "guda" / "demo" / "model", other)
    weights = other / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    tensors["conv_in.weight"] = tensors["conv_in.weight"] * 1.5
    save_file(tensors, weights, {"format": "pt"})
    info = comfy.object_info("GudaLoadModel")["input"]["required"]["model"]
    options = info[1]["options"]
    assert options[0] == "built-in demo" and "maker/other" in options
    message = failure(comfy, loaded("quick", "maker/other"), "attribute")
    assert "was made from the model 'demo'" in message and "not from 'other'" in message
    graph = changed(upto(workflow(), "unlearn"), "model", model="maker/other")
    message = failure(comfy, graph, "unlearn")
    assert "already holds counterfactuals of the model 'demo'" in message
    assert "Choose another name" in message


def test_report_stays_in_the_output_folder(comfy: Comfy, quick: Path):
    graph = changed(upto(workflow(), "report"), "report", filename_prefix="../outside")
    assert "outside the output folder" in failure(comfy, graph, "report")


def test_seeds_are_not_drawn_anew(comfy: Comfy):
    """The front end adds "randomize" to an input named seed unless told otherwise."""
    for name, info in comfy.pack_nodes().items():
        for part in info["input"].values():
            if "seed" in part:
                assert part["seed"][1]["control_after_generate"] is False, name


def test_numbers_survive_the_front_end(comfy: Comfy):
    """It rounds floats to the decimals of `step`, and caps what has no `max` at 2048."""
    for name, info in comfy.pack_nodes().items():
        for part in info["input"].values():
            for key, (kind, *options) in part.items():
                if kind in ("INT", "FLOAT"):
                    (o,) = options
                    assert {"min", "max", "default"} <= set(o), (name, key)
                    step = o.get("step", 1)
                    off = (o["default"] - (o["min"] % step if kind == "INT" else 0)) / step
                    assert abs(off - round(off)) < 1e-6, (name, key, o)
