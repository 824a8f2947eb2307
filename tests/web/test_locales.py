"""The nodes' words in every language that the pack speaks."""

from __future__ import annotations

import dataclasses
import json
import re

import pytest

from guda.report import notes, to_dict, wording
from guda.scoring import conformal
from guda.scoring.spread import SeedSpread
from tools.comfy.browser import ComfyPage
from tools.comfy.client import Comfy
from tools.comfy.server import PACK_ROOT

from ..guda.report import test_null_report as pools
from .test_browser import SHOW, invented

LOCALES = PACK_ROOT / "locales"
WEB = PACK_ROOT / "web"
LANGUAGES = ("en", "de", "es", "fr", "ja", "ko", "ru", "zh")
POOL = ("named", "between", "nothing", "unlike", "untold")  # verdicts from null pictures
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


@pytest.mark.parametrize("language", LANGUAGES[1:])
def test_other_nodes_are_called_as_they_are_there(nodes: dict, language: str):
    """Where the English words name a node, the translation has the name it bears there."""
    english, own = expected(nodes), words(language)
    said = {k: v for k, v in flat(own).items() if k.endswith(("description", "tooltip"))}
    names = {info["display_name"]: own[node_id]["display_name"] for node_id, info in nodes.items()}
    assert not [
        (key, there)
        for key, text in said.items()
        for name, there in names.items()
        if name in english[key] and there not in text
    ]


@pytest.mark.parametrize("language", LANGUAGES[1:])
def test_settings_have_words(language: str):
    english, own = (
        flat(json.loads((LOCALES / folder / "settings.json").read_text("utf-8")))
        for folder in ("en", language)
    )
    assert own.keys() == english.keys()
    assert all(own.values()) and not own.items() & english.items()


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
    own = panel_words("de")
    shown = page.locator(".guda-panel")
    hint = shown.inner_text()
    page.page.evaluate(SHOW, invented("Tinte"))
    buttons = page.locator(".guda-actions .guda-button").all_inner_texts()
    verdict = page.locator(".guda-verdict").inner_text(), page.locator(".guda-detail").inner_text()
    heads = page.locator(".guda-head").text_content()
    note, errors = page.locator(".guda-note").first.inner_text(), page.errors()
    assert own["hint"] in hint
    assert buttons == [own[k] for k in ("copy_table", "copy_csv", "open_report")]
    assert verdict == (
        own["lead"].format(style="Tinte"),
        own["lead_detail"].format(delta=f"3.00 {own['nats']}"),
    )
    assert own["interval"].format(percent=95) in heads and own["share"] in heads
    assert note == own["note"] and errors == []
    german = words("de")["GudaAttribute"]
    assert labels[0] == german["display_name"]
    assert labels[1:] == [o["name"] for o in german["outputs"].values()]


NOTES = """async ({ languages, payloads }) => {
    const { speak } = await import('/extensions/comfyui-guda/panel/words.js')
    const { notes } = await import('/extensions/comfyui-guda/panel/notes.js')
    const { verdict } = await import('/extensions/comfyui-guda/panel/words.js')
    const say = language => {
        speak(language)
        return payloads.map(p => [...notes(p), verdict(p.images[0], '').detail])
    }
    return Object.fromEntries(languages.map(language => [language, say(language)]))
}"""


def test_the_panel_says_what_pool_and_intervals_are(page: ComfyPage):
    """In every language, from the same numbers; in English as the report does."""
    answer = pools.of_three()
    pool = dict(pool=60, rank=1, lower=59, p=2 / 61)
    small = pools.held_against(answer, 60, 1)
    few = dataclasses.replace(small, images=(pools.one(small, 2, **pool),))
    spreads = SeedSpread({}), SeedSpread(dict.fromkeys(answer.groups[:2], 0.5), 2)
    answers = [few, *(dataclasses.replace(answer, spread=s) for s in spreads)]
    payloads = [to_dict(a) | {"notes": notes.of(a)} for a in answers]
    for payload, a in zip(payloads, answers, strict=True):
        payload["images"][0]["detail"] = wording.verdict_parts(a.images[0], "nats")[1]
    asked = {"languages": LANGUAGES, "payloads": payloads}
    said = page.page.evaluate(NOTES, json.loads(json.dumps(asked)))
    page.page.evaluate("async () => (await import('/extensions/comfyui-guda/panel/words.js'))"
                       ".speak('en')")  # fmt: skip
    english = [p["notes"] + [p["images"][0]["detail"]] for p in payloads]
    assert said["en"] == english
    for language in LANGUAGES[1:]:
        own = panel_words(language)
        for there, here in zip(said[language], english, strict=True):
            assert len(there) == len(here) and not set(there) & set(here)
            assert "undefined" not in " ".join(there)
        numbers = [re.findall(r"\d+", text) for text in said[language][0]]
        assert {"60", "100", str(conformal.USUAL)} <= set(numbers[0]), language
        assert own["larger"].format(size=300) in said[language][0][-1]


def panel_words(language: str) -> dict[str, str]:
    """The table in web/panel/words: one entry a line, a JSON string each."""
    text = (WEB / "panel" / "words" / f"{language}.js").read_text("utf-8")
    body = text.split("export default {\n")[1].removesuffix("}\n")
    pairs = [re.fullmatch(r"  (\w+): (\".*\"),", line) for line in body.splitlines()]
    assert all(pairs), f"{language}.js has a line that is no entry"
    return {pair[1]: json.loads(pair[2]) for pair in pairs if pair}


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_panel_has_every_word(language: str):
    """Every entry in every language, with the same blanks to fill in."""

    def blanks(text: str) -> list[str]:
        return sorted(re.findall(r"\{(\w+)\}", text))

    english, found = panel_words("en"), panel_words(language)
    assert found.keys() == english.keys()
    assert all(found.values())
    assert {k: blanks(v) for k, v in found.items()} == {k: blanks(v) for k, v in english.items()}
    if language != "en":
        long = [k for k, v in english.items() if len(v) > 24 and not v.startswith("{")]
        assert len(long) > 15 and not [k for k in long if found[k] == english[k]]


def test_the_panel_can_be_set_to_every_language():
    script = (WEB / "panel" / "words.js").read_text("utf-8")
    tables = re.search(r"const TABLES = \{ (.*) \}", script)
    assert tables and tables[1].split(", ") == sorted(LANGUAGES)
    for folder in (LOCALES, WEB / "panel" / "words"):
        assert {path.stem for path in folder.iterdir()} == set(LANGUAGES)


def test_the_panel_says_only_words_that_exist():
    scripts = [p.read_text("utf-8") for p in sorted(WEB.rglob("*.js")) if p.parent.name != "words"]
    said = {name for text in scripts for name in re.findall(r'\bt\("(\w+)"', text)}
    kinds = {"none", "lead", "undecided", *POOL}
    dynamic = kinds | {f"{k}_detail" for k in kinds} | {"nats", "weighted", "copied", "not_copied"}
    dynamic |= {"strong", "moderate", "weak"}
    dynamic |= {"origin_generated", "origin_real"}
    dynamic |= {f"form_{form}" for form in wording.FORMS}
    dynamic |= {f"source_{source}" for source in ("free", "other", "folder")}
    assert said | dynamic == panel_words("en").keys()


def test_english_panel_and_report_use_the_same_words():
    """The server writes the report, and these into the payload."""
    words_of = (PACK_ROOT / "guda" / "report" / "wording.py").read_text("utf-8")
    english = panel_words("en")
    for key in ("none", "undecided", "lead", *POOL):
        assert english[key].split(" {")[0] in words_of, key
