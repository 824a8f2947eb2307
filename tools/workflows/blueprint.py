"""Makes the subgraph blueprint of the main flow in a real front end.

From the project's root:  python -m tools.workflows.blueprint

The server lists subgraphs/*.json for the node library; the file's name is the blueprint's name.
"""

from __future__ import annotations

import json

from ..comfy.browser import ComfyPage
from ..comfy.graphs import node
from ..comfy.server import PACK_ROOT
from .making import opened
from .template_long import EVERY_STYLE

BLUEPRINT = PACK_ROOT / "subgraphs" / "Attribute a Picture to Styles.json"
INSIDE = {k: EVERY_STYLE.graph[k] for k in ("1", "2", "3")} | {
    "5": node("GudaAttribute", model=["1", 0], counterfactuals=["3", 0])
}
POSITIONS = {1: (0, 0), 2: (0, 216), 3: (460, 0), 5: (900, 0)}
SIZES = {1: (400, 136), 2: (400, 500), 3: (380, 560), 5: (620, 1230)}
INPUTS = (  # (node, input) that the subgraph takes from outside
    (5, "image"),
    (5, "latent"),
    (1, "model"),
    (2, "styles"),
    (3, "set_name"),
    (5, "prompt"),
)
OUTPUTS = ("attribution", "table", "charts", "heat_maps", "verdict")  # of node 5
SIZE = (520, 1240)
DESCRIPTION = (
    "Which styles did the model lean on in this picture? Draws pictures of every style, makes a "
    "version of the model that never learned it, and scores the picture against each. Link a "
    "picture to image and write what it shows into prompt."
)
CATEGORY, ALIASES = "GUDA", ("which artist", "which style", "style attribution", "provenance")
MAKE = """([positions, sizes, inputs, outputs, size, name]) => {
    const graph = window.app.graph
    for (const [id, [x, y]] of Object.entries(positions)) {
        const node = graph.getNodeById(Number(id))
        node.pos = [x, y]
        node.setSize(sizes[id])
    }
    const { subgraph, node } = graph.convertToSubgraph(new Set(graph._nodes))
    subgraph.name = name
    for (const [id, name] of inputs) {
        const inner = subgraph.getNodeById(Number(id))
        const slot = inner.inputs.find(i => i.name === name)
        subgraph.addInput(name, String(slot.type)).connect(slot, inner)
    }
    const last = subgraph.getNodeById(5)
    for (const name of outputs) {
        const slot = last.outputs.find(o => o.name === name)
        subgraph.addOutput(name, String(slot.type)).connect(slot, last)
    }
    subgraph.inputNode.pos = [-220, 100]
    subgraph.outputNode.pos = [1580, 100]
    node.title = name
    node.pos = [0, 0]
    node.setSize(size)
    return JSON.parse(JSON.stringify(graph.serialize()))
}"""


def make(page: ComfyPage) -> dict:
    page.load(INSIDE)
    made = page.page.evaluate(MAKE, [POSITIONS, SIZES, INPUTS, OUTPUTS, SIZE, BLUEPRINT.stem])
    (outer,) = made["nodes"]
    made["definitions"]["subgraphs"][0] |= {"category": CATEGORY, "description": DESCRIPTION}
    outer["properties"] = {}  # what 1.32 writes there makes newer front ends lose saved values
    return {
        "revision": 0,
        "last_node_id": outer["id"],
        "last_link_id": 0,
        "nodes": [outer],
        "links": [],
        "version": 0.4,
        "definitions": made["definitions"],
        "extra": {"BlueprintDescription": DESCRIPTION, "BlueprintSearchAliases": list(ALIASES)},
    }


def main() -> None:
    with opened() as page:
        made = make(page)
    BLUEPRINT.parent.mkdir(exist_ok=True)
    text = json.dumps(made, indent=2, ensure_ascii=False)
    BLUEPRINT.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
