"""What saved workflows rely on: ids, names, types and order of the nodes' inputs and outputs.

`tests/nodes/object_info.json` is a picture of /object_info for the pack. A deliberate addition
is entered with

    python -m tools.stability

which refuses to enter a change that would break workflows, and writes what the nodes say of
themselves into `locales/en`.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from .comfy.client import Comfy
from .comfy.server import PACK_ROOT, running_comfy

SNAPSHOT = PACK_ROOT / "tests" / "nodes" / "object_info.json"
ENGLISH = PACK_ROOT / "locales" / "en" / "nodeDefs.json"
FROM_DISK = {  # options vary
    ("GudaLoadModel", "model"),
    ("GudaLoadCounterfactuals", "set_name"),
    ("GudaGroupsFromFolder", "input_folder"),
}
WIDGETS = {"STRING", "INT", "FLOAT", "BOOLEAN", "COMBO"}

Shape = dict[str, Any]


def shape(node_id: str, info: dict[str, Any]) -> Shape:
    """The part of a node's description that a saved workflow relies on."""
    inputs = {}
    for part in ("required", "optional"):
        for name, (kind, *rest) in info["input"].get(part, {}).items():
            options = rest[0] if rest else {}
            entry = {"type": "COMBO" if isinstance(kind, list) else kind, "part": part}
            if entry["type"] == "COMBO" and (node_id, name) not in FROM_DISK:
                entry["options"] = kind if isinstance(kind, list) else options["options"]
            entry |= {key: options[key] for key in ("min", "max") if key in options}
            entry["socket"] = bool(options.get("forceInput"))
            entry["control"] = bool(options.get("control_after_generate"))  # one more widget
            inputs[name] = entry
    return {
        "inputs": inputs,
        "outputs": [
            {"name": name, "type": kind, "list": many}
            for name, kind, many in zip(
                info["output_name"], info["output"], info["output_is_list"], strict=True
            )
        ],
        "output_node": info["output_node"],
    }


def shapes(comfy: Comfy) -> dict[str, Shape]:
    return {node_id: shape(node_id, info) for node_id, info in comfy.pack_nodes().items()}


def widgets(node: Shape) -> list[str]:
    """Inputs whose values a workflow holds by place alone."""
    return [n for n, i in node["inputs"].items() if i["type"] in WIDGETS and not i["socket"]]


def breaking(old: dict[str, Shape], new: dict[str, Shape]) -> list[str]:
    """What would break workflows or API callers made for `old`, in words."""
    found = [f"{node_id} is gone" for node_id in old.keys() - new.keys()]
    for node_id in sorted(old.keys() & new.keys()):
        found += [f"{node_id}: {text}" for text in _breaking_node(old[node_id], new[node_id])]
    return found


def _breaking_node(old: Shape, new: Shape) -> list[str]:
    before, after = old["inputs"], new["inputs"]
    broken = [f"input {name} is gone" for name in before if name not in after]
    for name in before.keys() & after.keys():
        broken += [f"input {name}: {text}" for text in _breaking_input(before[name], after[name])]
    for name in after.keys() - before.keys():
        if after[name]["part"] == "required":
            broken.append(f"input {name} is new and required: make it optional")
    if widgets(new)[: len(widgets(old))] != widgets(old):
        broken.append(f"widgets moved: {widgets(old)} are now {widgets(new)}; add new ones last")
    outputs = new["outputs"][: len(old["outputs"])]
    if outputs != old["outputs"]:
        broken.append(f"outputs changed: {old['outputs']} are now {outputs}; add new ones last")
    if old["output_node"] and not new["output_node"]:
        broken.append("it is no output node any more, so graphs that end in it do not run")
    return broken


def _breaking_input(old: Shape, new: Shape) -> list[str]:
    broken = []
    if old["type"] != new["type"] or old["socket"] != new["socket"]:
        broken.append(f"was {old['type']}, is {new['type']}")
    if old["control"] != new["control"]:
        broken.append("its control_after_generate, a widget of its own, came or went")
    if (old["part"], new["part"]) == ("optional", "required"):
        broken.append("was optional, is required")
    lost = [o for o in old.get("options", []) if o not in new.get("options", [])]
    if lost:
        broken.append(f"options are gone: {lost}")
    if new.get("min", old.get("min")) != old.get("min") and new["min"] > old.get("min", -1e400):
        broken.append(f"min rose to {new['min']}")
    if new.get("max", old.get("max")) != old.get("max") and new["max"] < old.get("max", 1e400):
        broken.append(f"max fell to {new['max']}")
    return broken


def read() -> dict[str, Shape]:
    return json.loads(SNAPSHOT.read_text("utf-8"))


def english(nodes: dict[str, Any], names: dict[str, Any]) -> dict[str, Any]:
    """The words of `locales/en`: the nodes' own, but for names that were given there before."""
    words = {}
    for node_id, info in nodes.items():
        before = names.get(node_id, {})
        entry: dict[str, Any] = {k: _plain(info[k]) for k in ("display_name", "description")}
        inputs = info["input"].get("required", {}) | info["input"].get("optional", {})
        tips = {n: spec[1]["tooltip"] for n, spec in inputs.items()}
        outputs = dict(enumerate(info["output_name"]))
        for part, labels, said in (
            ("inputs", {n: n for n in tips}, tips),
            ("outputs", outputs, dict(enumerate(info["output_tooltips"]))),
        ):
            old = before.get(part, {})
            entry[part] = {
                str(n): {"name": old.get(str(n), {}).get("name", name), "tooltip": _plain(said[n])}
                for n, name in labels.items()
            }
        words[node_id] = _filled(entry)
    return words


def _plain(text: str) -> str:
    """Empty where the front end's translator would read marks of its own."""
    return "" if set("{}@|$") & set(text) else text


def _filled(words: dict[str, Any]) -> dict[str, Any]:
    inner = {k: _filled(v) if isinstance(v, dict) else v for k, v in words.items()}
    return {k: v for k, v in inner.items() if v}


def main() -> None:
    with tempfile.TemporaryDirectory() as base, running_comfy(Path(base)) as comfy:
        new, nodes = shapes(comfy), comfy.pack_nodes()
    problems = breaking(read(), new) if SNAPSHOT.is_file() else []
    if problems:
        sys.exit("not entered, as it would break workflows:\n" + "\n".join(problems))
    SNAPSHOT.write_text(json.dumps(new, indent=1) + "\n", encoding="utf-8")
    names = json.loads(ENGLISH.read_text("utf-8"))
    text = json.dumps(english(nodes, names), indent=2, ensure_ascii=False)
    ENGLISH.write_text(text + "\n", encoding="utf-8")
    print(f"{SNAPSHOT}: {len(new)} nodes")


if __name__ == "__main__":
    main()
