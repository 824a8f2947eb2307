"""The nodes' words in every language that the pack speaks."""

from __future__ import annotations

import json
import re

import pytest

from .browser import ComfyPage
from .client import Comfy
from .server import PACK_ROOT

LOCALES = PACK_ROOT / "locales"
LANGUAGES = ("en", "de", "ja", "zh")
SPECIAL = set("{}@|$")  # the front end's translator would read them as its own marks


def words(language: str) -> dict:
    return json.loads((LOCALES / language / "nodeDefs.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def nodes(comfy: Comfy) -> dict:
    return comfy.pack_nodes()


def expected(nodes: dict) -> dict[str, str]:
    """Everything that has words, by its place in a locale file: {path: English tooltip}."""
    found = {}
    for node_id, info in nodes.items():
        found[f"{node_id}.display_name"] = info["display_name"]
        found[f"{node_id}.description"] = info["description"]
        for part in ("required", "optional"):
            for name, spec in info["input"].get(part, {}).items():
                found[f"{node_id}.inputs.{name}.name"] = name
                found[f"{node_id}.inputs.{name}.tooltip"] = spec[1]["tooltip"]
        for i, name in enumerate(info["output_name"]):
            found[f"{node_id}.outputs.{i}.name"] = name
            found[f"{node_id}.outputs.{i}.tooltip"] = info["output_tooltips"][i]
    return found


def flat(data: dict, above: str = "") -> dict[str, str]:
    found = {}
    for key, value in data.items():
        path = f"{above}{key}"
        found |= flat(value, f"{path}.") if isinstance(value, dict) else {path: value}
    return found


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_node_input_and_output_has_words(nodes: dict, language: str):
    wanted, found = expected(nodes), flat(words(language))
    if language == "en":  # there the node's own words stand in
        wanted = {k: v for k, v in wanted.items() if not SPECIAL & set(v)}
    assert found.keys() == wanted.keys()
    assert all(value.strip() == value != "" for value in found.values())
    assert not {k: v for k, v in found.items() if SPECIAL & set(v)}


def test_english_is_what_the_nodes_say(nodes: dict):
    wanted = expected(nodes)
    said = {k: v for k, v in flat(words("en")).items() if not k.endswith(".name")}
    assert said == {k: wanted[k] for k in said}


@pytest.mark.parametrize("language", LANGUAGES[1:])
def test_translations_are_translated_and_keep_names(nodes: dict, language: str):
    english, found = expected(nodes), flat(words(language))
    long = [k for k, v in found.items() if k.endswith(("description", "tooltip"))]
    assert not [k for k in long if found[k] == english[k]]
    for node_id, info in nodes.items():
        parts = (info["input"].get(part, {}) for part in ("required", "optional"))
        for name, spec in (pair for part in parts for pair in part.items()):
            options = spec[0] if isinstance(spec[0], list) else spec[1].get("options", [])
            key = f"{node_id}.inputs.{name}.tooltip"
            named = [
                o for o in options if o.isidentifier() and re.search(rf"\b{o}\b", english[key])
            ]
            assert not [o for o in named if o not in found[key]], key


@pytest.mark.parametrize("language", LANGUAGES)
def test_comfyui_serves_them(comfy: Comfy, language: str):
    served = comfy.get("/i18n")[language]["nodeDefs"]
    assert {k: served[k] for k in words(language)} == words(language)


def test_the_page_speaks_them(page: ComfyPage):
    page.reload({"Comfy.Locale": "de"})
    page.load({"1": {"class_type": "GudaAttribute", "inputs": {}}})
    labels = page.page.evaluate(
        """() => {
            const node = window.app.graph._nodes[0]
            return [node.title, ...node.outputs.map(o => o.localized_name ?? o.label ?? o.name)]
        }"""
    )
    page.comfy.post("/settings", {"Comfy.Locale": "en"})
    german = words("de")["GudaAttribute"]
    assert labels[0] == german["display_name"]
    assert labels[1:] == [o["name"] for o in german["outputs"].values()]
