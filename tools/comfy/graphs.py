"""The pack's whole workflow as a graph in API format, small enough to run in seconds."""

from __future__ import annotations

import copy
from typing import Any

Graph = dict[str, dict[str, Any]]

STYLES = {"Noto Blob": "noto blob", "Fluent Ink": "ink", "Twemoji": "twemoji"}
CONTENTS = (
    "grinning face", "cat face", "rooster", "red apple", "pizza", "sunflower",
    "rocket", "house", "umbrella", "guitar", "turtle", "banana",
)  # fmt: skip
PROMPTS = ("fox, in twemoji style", "trophy, in noto blob style")

LEARNING = {
    "steps": 16,
    "lr": 2e-2,
    "rank": 0,  # what suits the model
    "anchor": "uniform",
    "batch_size": 6,
    "retain_batch_size": 6,
    "checkpoint_every": 2,
    "heldout": 0.34,
}
SCORING = {"evaluations": 8, "schedule": "log", "seed": 0}
SAMPLING = {"steps": 6, "guidance": 3.0}


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


def workflow(set_name: str = "quick") -> Graph:
    """Every node of the pack but the two that read folders, with ComfyUI's previews behind."""
    return (
        {
            "model": node("GudaLoadModel", model="built-in demo"),
            "groups": node(
                "GudaGroupsFromPrompts",
                model=["model", 0],
                pictures=len(CONTENTS),
                seed=0,
                **SAMPLING,
                styles="\n".join(f"{name}: {s}" for name, s in STYLES.items()),
                contents="\n".join(CONTENTS),
            ),
            "unlearn": node(
                "GudaUnlearn",
                model=["model", 0],
                groups=["groups", 0],
                set_name=set_name,
                **LEARNING,
            ),
            "generate": node(
                "GudaGeneratePictures",
                model=["model", 0],
                prompts="\n".join(PROMPTS),
                seed=1,
                **SAMPLING,
            ),
            "attribute": node(
                "GudaAttribute",
                model=["model", 0],
                counterfactuals=["unlearn", 0],
                image=["generate", 0],
                prompt=["generate", 1],
                **SCORING,
            ),
            "heatmap": node(
                "GudaHeatMap", attribution=["attribute", 0], group="", picture=0, opacity=0.65
            ),
            "report": node(
                "GudaSaveReport",
                attribution=["attribute", 0],
                filename_prefix="guda/test",
                evidence=True,
            ),
            "maskimage": node("MaskToImage", mask=["heatmap", 1]),
        }
        | {
            name: node("PreviewImage", images=link)
            for name, link in {
                "see_groups": ["groups", 1],
                "see_losses": ["unlearn", 1],
                "see_pictures": ["generate", 0],
                "see_charts": ["attribute", 2],
                "see_sheets": ["attribute", 3],
                "see_styles": ["unlearn", 3],
                "see_cards": ["report", 1],
                "see_overlays": ["heatmap", 0],
                "see_masks": ["maskimage", 0],
            }.items()
        }
        | {
            name: node("PreviewAny", source=link)
            for name, link in {
                "read_gate": ["unlearn", 2],
                "read_prompts": ["generate", 1],
                "read_table": ["attribute", 1],
                "read_verdict": ["attribute", 4],
                "read_path": ["report", 0],
                "read_csv": ["report", 2],
                "read_json": ["report", 3],
            }.items()
        }
    )


def overlaps(nodes: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Kinds of the nodes of a saved workflow whose boxes, titles included, touch."""
    boxes = [(*n["pos"], *n["size"], n["type"]) for n in nodes]
    boxes = [(x, y - 30, x + w, y + h, kind) for x, y, w, h, kind in boxes]
    return [
        (a[4], b[4])
        for i, a in enumerate(boxes)
        for b in boxes[:i]
        if not (a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1])
    ]


def upto(graph: Graph, *names: str) -> Graph:
    """The nodes that `names` need, and no others."""
    kept: Graph = {}
    todo = list(names)
    while todo:
        name = todo.pop()
        if name not in kept:
            kept[name] = copy.deepcopy(graph[name])
            todo += [v[0] for v in kept[name]["inputs"].values() if isinstance(v, list)]
    return kept


def changed(graph: Graph, name: str, **inputs: Any) -> Graph:
    """A copy with some inputs of one node changed."""
    graph = copy.deepcopy(graph)
    graph[name]["inputs"] |= inputs
    return graph
