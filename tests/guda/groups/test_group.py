"""Style groups from folders and prompts: captions, laws of the manifest hash, every message."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from guda import groups as g
from guda.errors import GroupsError, ImageError
from guda.files import slugify
from guda.groups.phrases import split_caption

TEMPLATE = "{content}, in {style} style"


def picture(path: Path, colour: str = "red") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (16, 16), colour).save(path)
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two groups of four pictures: Ink with a metadata.jsonl, Oil_Paint with none."""
    root = tmp_path / "styles"
    names = ["cat", "dog", "fox", "owl"]
    for group in ("Ink", "Oil_Paint"):
        for name in names:
            picture(root / group / f"{name}.png")
    write_rows(root, *({"file_name": f"{n}.png", "text": f"a {n}, in ink style"} for n in names))
    return root


def write_rows(root: Path, *rows: object) -> Path:
    path = root / "Ink" / "metadata.jsonl"
    text = "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows)
    path.write_text(text + "\n", "utf-8")
    return path


def refused(call: Callable[[], object], *parts: object, error: type = GroupsError) -> None:
    with pytest.raises(error) as caught:
        call()
    for part in parts:
        assert str(part) in str(caught.value)


def example(n: int) -> g.Example:
    return g.Example(f"thing #{n}", "thing", TEMPLATE.replace("{content}", "thing"))


def group(name: str, style: str = "", n: int = 4) -> g.Group:
    examples = tuple(example(i) for i in range(n))
    return g.Group(name, slugify(name), style or name, (), examples)


# --- what is read


def test_a_folder(root: Path):
    styles = g.load_folder(root)
    assert styles.names == ("Ink", "Oil_Paint") and len(styles) == 2 and styles.source == "folder"
    assert [s.slug for s in styles] == ["ink", "oil-paint"]
    assert styles["Oil_Paint"].style == "oil paint"
    assert styles["Oil_Paint"].descriptors == ("oil paint",)
    cat = styles["Ink"].examples[0]
    assert cat == g.Example("cat.png", "a cat", "a cat, in {style} style", root / "Ink" / "cat.png")
    assert cat.prompt("oil paint") == "a cat, in oil paint style" and cat.styleless() == "a cat"
    assert [e.content for e in styles["Oil_Paint"].examples] == ["cat", "dog", "fox", "owl"]
    assert styles["Oil_Paint"].examples[0].template == "cat, in {style} style"
    assert [x.name for x in styles.others("Ink")] == ["Oil_Paint"]


def test_the_layout_of_unlearncanvas(root: Path):
    for i in range(4):
        picture(root / "Crayon" / "Sea_Horses" / f"{i}.JPG")
    styles = g.load_folder(root)
    assert styles["Crayon"].examples[2].id == "Sea_Horses/2.JPG"
    assert {e.content for e in styles["Crayon"].examples} == {"Sea Horses"}
    assert styles["Crayon"].examples[0].prompt("ink") == "Sea Horses, in ink style"
    assert styles.subset(["Ink", "Crayon"]).names == ("Ink", "Crayon")


@pytest.mark.parametrize(
    ("stem", "content"),
    [
        ("red_fox-12", "red fox"),
        ("fox (2)", "fox"),
        ("0001", "a picture"),
        ("b-52 bomber", "b 52 bomber"),
        ("a{b}c", "a{b}c"),
    ],
)
def test_stems(root: Path, stem: str, content: str):
    picture(root / "Oil_Paint" / f"{stem}.png")
    assert content in [e.content for e in g.load_folder(root)["Oil_Paint"].examples]


def test_the_order_of_captions(root: Path):
    """The group's metadata, then the sub-folder's, then the sidecar, then the folder's name."""
    ink = root / "Ink"
    rows = [json.loads(x) for x in (ink / "metadata.jsonl").read_text().splitlines()]
    for name in "abcd":
        picture(ink / "Bird" / f"{name}.png")
        if name != "d":
            (ink / "Bird" / f"{name}.txt").write_text(f"sidecar {name}\r\nin ink\n")
    write_rows(root, *rows, {"file_name": "Bird\\a.png", "text": "outer a"})
    own = [{"file_name": f"{n}.png", "text": f"own {n}", "content": "bird"} for n in "ab"]
    (ink / "Bird" / "metadata.jsonl").write_text("\n".join(map(json.dumps, own)))
    found = {e.id: e for e in g.load_folder(root)["Ink"].examples}
    assert found["Bird/a.png"].prompt("ink") == "outer a, in ink style"
    assert found["Bird/b.png"].prompt("ink") == "own b, in ink style"
    assert found["Bird/b.png"].content == "bird"
    assert found["Bird/c.png"].template == "sidecar c in {style}"
    assert found["Bird/c.png"].content == "sidecar c"
    assert found["Bird/d.png"].content == "Bird"


def test_metadata_may_give_only_content_or_neither(root: Path):
    write_rows(
        root, {"file_name": "cat.png", "content": "tom"}, {"file_name": "dog.png", "label": 3}, ""
    )
    cat, dog, *_ = g.load_folder(root)["Ink"].examples
    assert (cat.content, cat.prompt("x")) == ("tom", "tom, in x style")
    assert dog.content == "dog"


@pytest.mark.parametrize(
    ("caption", "content", "template"),
    [
        ("A cat, in Ink style", "A cat", "A cat, in {style} style"),
        ("A cat, in ink style.", "A cat", "A cat, in {style} style."),
        ("a cat in the style of ink, at night", "a cat, at night", None),
        ("an INK of a cat", "a cat", "an {style} of a cat"),
        ("ink, a cat", "a cat", "{style}, a cat"),
        ("a cat by ink", "a cat", "a cat by {style}"),
        ("a cat, ink, masterpiece", "a cat, masterpiece", "a cat, {style}, masterpiece"),
        ("ink style cat", "cat", "{style} style cat"),
        ("a pink cat", "a pink cat", "a pink cat, in {style} style"),
        ("a {0} cat {x}", "a {0} cat {x}", "a {0} cat {x}, in {style} style"),
        ("ink", "a picture", "{style}"),
        ("one ink and one ink", "one and one", "one {style} and one {style}"),
    ],
)
def test_captions_are_cut(caption: str, content: str, template: str | None):
    cut = split_caption(caption, "ink")
    assert cut.content == content
    assert template is None or cut.template == template
    if "ink" in caption.lower().split():
        assert cut.template.replace("{style}", "ink").lower() == caption.lower()


def test_phrases_of_many_words_and_other_scripts():
    assert split_caption("a fox, OIL  paint", "oil paint").content == "a fox"
    assert split_caption("水彩の猫", "水彩").template == "{style}の猫"
    assert split_caption("a c++ cat", "c++").template == "a {style} cat"
    assert split_caption("Sumi: a fox", "sumi", "{style}: {content}").content == "a fox"


def test_groups_json(root: Path):
    entry = {"style": "sumi-e", "descriptors": ["black ink", "brush"]}
    data = {"template": "{style} of {content}", "groups": {"Ink": entry}}
    (root / "groups.json").write_text("\ufeff" + json.dumps(data), "utf-8")
    styles = g.load_folder(root)
    assert (styles["Ink"].style, styles["Ink"].descriptors) == ("sumi-e", ("black ink", "brush"))
    assert styles["Oil_Paint"].examples[0].prompt("x") == "x of cat"
    other = g.load_folder(root, template="{content} / {style}")
    assert other["Oil_Paint"].examples[0].prompt("x") == "cat / x"


def test_hidden_and_underscored_folders_and_other_files_are_left_out(root: Path):
    picture(root / "_drafts" / "a.png")
    picture(root / ".cache" / "a.png")
    picture(root / "Ink" / ".thumbs" / "a.png")
    (root / "Ink" / "._cat.png").write_bytes(b"\0\5\26\7 macOS leaves these behind")
    (root / "Ink" / "licence.md").write_text("MIT")
    assert [len(x.examples) for x in g.load_folder(root)] == [4, 4]


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_links_are_followed_once(root: Path):
    (root / "Ink" / "loop").symlink_to(root / "Ink")
    (root / "Ink" / "more").symlink_to(root / "Oil_Paint")
    ids = [e.id for e in g.load_folder(root)["Ink"].examples]
    assert len(ids) == 8 and "more/cat.png" in ids


# --- the manifest hash


def test_the_hash_ignores_order_and_place(root: Path, tmp_path: Path):
    styles = g.load_folder(root)
    shutil.copytree(root, tmp_path / "elsewhere")
    assert g.load_folder(tmp_path / "elsewhere").manifest_hash == styles.manifest_hash
    turned = tuple(
        dataclasses.replace(x, examples=x.examples[::-1]) for x in reversed(styles.groups)
    )
    assert g.StyleGroups(turned, "folder").manifest_hash == styles.manifest_hash


def change_pixel(root: Path) -> None:
    with Image.open(root / "Ink" / "cat.png") as old:
        old.putpixel((5, 5), (254, 0, 0))
        old.save(root / "Ink" / "cat.png")


@pytest.mark.parametrize(
    "change",
    [
        change_pixel,
        lambda r: (r / "Oil_Paint" / "cat.txt").write_text("a lion"),
        lambda r: (r / "groups.json").write_text('{"groups": {"Ink": {"style": "sumi"}}}'),
        lambda r: (r / "groups.json").write_text('{"groups": {"Ink": {"descriptors": ["x"]}}}'),
        lambda r: (r / "Oil_Paint").rename(r / "Oil Paint"),
        lambda r: (r / "Oil_Paint" / "cat.png").rename(r / "Oil_Paint" / "cat2.png"),
        lambda r: picture(r / "Oil_Paint" / "hen.png"),
    ],
)
def test_the_hash_sees_every_change(root: Path, change: Callable[[Path], object]):
    before = g.load_folder(root).manifest_hash
    change(root)
    assert g.load_folder(root).manifest_hash != before


def test_the_hash_names_a_file_that_has_gone(root: Path):
    styles = g.load_folder(root)
    (root / "Ink" / "fox.png").unlink()
    refused(lambda: styles.manifest_hash, root / "Ink" / "fox.png", "put it back")


# --- holding out


def test_heldout_is_deterministic_nested_and_bounded():
    full = group("A", n=20)
    train, held = g.split_heldout(full, 0.15)
    assert len(held) == 3 and set(train) | set(held) == set(full.examples)
    turned = dataclasses.replace(full, examples=full.examples[::-1])
    assert g.split_heldout(turned, 0.15) == (train, held)
    assert set(held) < set(g.split_heldout(full, 0.4)[1])
    assert [len(x) for x in g.split_heldout(group("A"), 0.01)] == [3, 1]
    assert [len(x) for x in g.split_heldout(group("A"), 0.99)] == [2, 2]
    assert [e.id for e in g.split_heldout(group("B", n=20), 0.15)[1]] == [e.id for e in held]
    refused(lambda: g.split_heldout(group("A", n=2), 0.5), '"A" has 2 examples', "at least 4")


# --- prompts


def test_prompt_only_groups():
    styles = g.from_prompts({"Ink": ["ink", "black"], "Oil": "oil"}, ["a", "b"], pictures=5)
    assert styles.source == "prompts" and styles.names == ("Ink", "Oil")
    assert [e.id for e in styles["Ink"].examples] == ["a #1", "b #1", "a #2", "b #2", "a #3"]
    assert styles["Ink"].descriptors == ("black",) and styles["Oil"].descriptors == ("oil",)
    assert styles["Ink"].examples[1].prompt("ink") == "b, in ink style"
    assert all(e.path is None for x in styles for e in x.examples)
    assert len(styles.manifest_hash) == 32
    g.check_pictures(styles)


@pytest.mark.parametrize(
    ("styles", "contents", "pictures", "parts"),
    [
        ({}, ["a"], 4, ["no styles", "give at least two"]),
        ({"A": "a"}, ["x"], 4, ['only "A"', "add a second"]),
        ({"A": "a", "B": "b"}, [], 4, ["no contents", "give at least one"]),
        ({"A": "a", "B": "b"}, ["x", " "], 4, ["content 2 is blank", "leave it out"]),
        ({"A": "a", "B": "b"}, ["x", "x"], 4, ['"x" is listed 2 times', "once"]),
        ({"A": "a", "B": " "}, ["x"], 4, ['"B"', "blank"]),
        ({"A": "a", "B": []}, ["x"], 4, ['"B"', "blank"]),
        ({"A": "a", "B": ["b"] * 5}, ["x"], 4, ['"B"', "up to 3"]),
        ({"A": "a", "B": "b"}, ["x"], 3, ["pictures is 3", "least allowed is 4"]),
    ],
)
def test_prompt_errors(styles, contents, pictures: int, parts: list[str]):
    refused(lambda: g.from_prompts(styles, contents, pictures=pictures), *parts)


def test_prompt_template():
    call = lambda: g.from_prompts({"A": "a"}, ["x"], pictures=4, template="{style}")  # noqa: E731
    refused(call, "{style}", "without {content}", TEMPLATE)


def test_parse_styles():
    text = "\ufeff# styles\nInk: sumi-e | black ink\n\n  watercolor \r\nlow poly | 3d\n"
    assert g.parse_styles(text) == {
        "Ink": ("sumi-e", "black ink"),
        "watercolor": ("watercolor",),
        "low poly": ("low poly", "3d"),
    }
    assert g.parse_styles("") == {}
    refused(lambda: g.parse_styles("Ink: a\n#\nink: b"), "line 3", '"ink" again', "rename")
    for bad in ("Ink:", ": a", "Ink: a | | b", "a |"):
        refused(lambda bad=bad: g.parse_styles(bad), "line 1", bad, "blank", "write")


def test_parse_contents():
    assert g.parse_contents("a cat, a dog,, an owl,") == ["a cat", "a dog", "an owl"]
    assert g.parse_contents("# c\na cat, asleep\n\na dog\n") == ["a cat, asleep", "a dog"]
    assert g.parse_contents(" \n#\n") == []


# --- comparisons that cannot be made


@pytest.mark.parametrize(
    ("groups", "parts"),
    [
        ([], ["no groups", "add a second folder or style"]),
        ([group("A")], ['only "A"', "other groups to keep", "add a second folder or style"]),
        ([group("Ink"), group("INK", "x")], ["'Ink' and 'INK'", "rename one"]),
        ([group("Ink"), group("Ink", "x")], ["'Ink' and 'Ink'", "rename one"]),
        ([group("A/B"), group("A B")], ["'A/B' and 'A B'", "file name 'a-b'", "rename one"]),
        ([group("A", "ink"), group("B", "Ink")], ["'A' and 'B'", "phrase 'ink'", "its own"]),
        ([group("A"), group("B", n=3)], ['"B" has 3 pictures', "at least 4"]),
        ([group("A"), group("B", " ")], ['"B" has no style phrase', "groups.json"]),
        (
            [group("A"), dataclasses.replace(group("B"), examples=(example(1),) * 4)],
            ['"B" has "thing #1" 4 times', "keep one"],
        ),
        (
            [group("A"), dataclasses.replace(group("B"), slug="../b")],
            ['"B" has the slug "../b"', "use slugify"],
        ),
        (
            [group("A"), dataclasses.replace(group("B"), descriptors=("b", "c", "d", "e"))],
            ['"B"', "up to 3"],
        ),
        (
            [
                group("A"),
                dataclasses.replace(
                    group("B"), examples=tuple(g.Example(f"\ud800{i}", "x", "x") for i in range(4))
                ),
            ],
            ["'B'", "\\ud800", "rename"],
        ),
    ],
)
def test_comparisons_that_cannot_be_made(groups: list[g.Group], parts: list[str]):
    refused(lambda: g.StyleGroups(tuple(groups), "prompts"), *parts)


def test_unknown_names(root: Path):
    styles = g.load_folder(root)
    refused(lambda: styles["Oil"], 'no group "Oil"', "Ink, Oil_Paint")
    refused(lambda: styles.others("Oil"), "Ink, Oil_Paint")
    refused(lambda: styles.subset(["Ink", "x"]), 'no group "x"', "choose one of")


# --- folders that cannot be read


def test_roots(tmp_path: Path):
    refused(lambda: g.load_folder(tmp_path / "no"), tmp_path / "no", "was not found", "give a")
    path = picture(tmp_path / "a.png")
    refused(lambda: g.load_folder(path), path, "is a file", "give a folder")
    refused(lambda: g.load_folder(tmp_path), tmp_path, "holds no folders", "make one folder")


def test_one_group_and_an_empty_group(root: Path):
    shutil.rmtree(root / "Oil_Paint")
    refused(lambda: g.load_folder(root), 'only "Ink"', "add a second folder")
    (root / "Empty").mkdir()
    refused(lambda: g.load_folder(root), root / "Empty", "holds no pictures", 'with "_"')


@pytest.mark.parametrize(
    ("row", "parts"),
    [
        ("{not json", ["line 2", "not valid JSON", "correct it"]),
        ("[1]", ["line 2", "not an object", "file_name"]),
        ('{"text": "x"}', ["line 2", 'no "file_name"', "name the picture"]),
        ('{"file_name": 3}', ["line 2", "is 3", "give text"]),
        ('{"file_name": "dog.png", "text": " "}', ["line 2", '"text" is', "not blank"]),
        ('{"file_name": "hen.png", "text": "x"}', ["line 2", '"hen.png"', "correct the name"]),
        ('{"file_name": ".", "text": "x"}', ["line 2", "not a picture that exists"]),
        ('{"file_name": "../Oil_Paint/cat.png"}', ["line 2", "leads out", "path inside"]),
        ('{"file_name": "x/..\\\\..\\\\cat.png"}', ["line 2", "leads out", "path inside"]),
        ('{"file_name": "/etc/passwd"}', ["line 2", "/etc/passwd", "leads out"]),
        ('{"file_name": "C:\\\\cat.png"}', ["line 2", "C:", "leads out"]),
        ('{"file_name": "cat.png", "text": "x"}', ["line 2", '"cat.png" again', "keep one"]),
    ],
)
def test_metadata_errors(root: Path, row: str, parts: list[str]):
    path = write_rows(root, {"file_name": "cat.png", "text": "a cat"}, row)
    refused(lambda: g.load_folder(root), path, *parts)


def test_text_that_is_not_utf8_or_blank(root: Path):
    sidecar = root / "Oil_Paint" / "cat.txt"
    sidecar.write_bytes("un café".encode("latin-1"))
    refused(lambda: g.load_folder(root), sidecar, "not UTF-8", "save it as UTF-8")
    sidecar.write_bytes("un café".encode("utf-8-sig"))
    assert g.load_folder(root)["Oil_Paint"].examples[0].content == "un café"
    sidecar.write_text(" \n")
    refused(lambda: g.load_folder(root), sidecar, "is empty", "write a caption", "delete")
    sidecar.unlink()
    path = root / "Ink" / "metadata.jsonl"
    path.write_bytes(path.read_text().encode("utf-16"))
    refused(lambda: g.load_folder(root), path, "not UTF-8", "save it as UTF-8")


@pytest.mark.parametrize(
    ("data", "parts"),
    [
        ("{", ["not valid JSON", "correct it"]),
        ("[]", ["give an object"]),
        ('{"style": {}}', ['"style"', "not known", "groups, template"]),
        ('{"groups": []}', ['"groups"', "give an object"]),
        ('{"groups": {"Inc": {}}}', ['"Inc"', "not known", "Ink, Oil_Paint"]),
        ('{"groups": {"Ink": "sumi"}}', ['"Ink"', "give an object"]),
        ('{"groups": {"Ink": {"phrase": "x"}}}', ['"phrase"', "descriptors, style"]),
        ('{"groups": {"Ink": {"style": 3}}}', ['"style" is 3', "give text"]),
        ('{"groups": {"Ink": {"style": ""}}}', ['"style" is', "not blank"]),
        ('{"groups": {"Ink": {"descriptors": "x"}}}', ["'x'", "give a list"]),
        ('{"groups": {"Ink": {"descriptors": ["a", " "]}}}', ["none of them blank"]),
        ('{"groups": {"Ink": {"descriptors": [1]}}}', ["[1]", "give a list"]),
        ('{"groups": {"Ink": {"descriptors": ["a","b","c","d"]}}}', ["up to 3"]),
        ('{"template": 3}', ['"template" is 3', TEMPLATE]),
        ('{"template": "{content}"}', ["without {style}", TEMPLATE]),
        ('{"template": "{style}"}', ["without {content}", TEMPLATE]),
    ],
)
def test_groups_json_errors(root: Path, data: str, parts: list[str]):
    (root / "groups.json").write_text(data)
    refused(lambda: g.load_folder(root), root / "groups.json", *parts)


def test_template_errors(root: Path):
    refused(lambda: g.load_folder(root, template="{content}"), "the template", "without {style}")
    refused(lambda: g.load_folder(root, template=""), "the template", "without {style}")


def test_bad_pictures_are_never_skipped(root: Path):
    path = root / "Ink" / "fox.png"
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])
    styles = g.load_folder(root)
    refused(lambda: g.check_pictures(styles), path, "whole copy", error=ImageError)
    path.write_bytes(b"not a picture")
    refused(lambda: g.load_folder(root), path, "not a picture", "give a PNG", error=ImageError)
    Image.new("RGB", (1, 1)).save(path)
    refused(lambda: g.load_folder(root), path, "is 1x1 pixels", "16x16", error=ImageError)
    path.write_bytes(whole)
    (root / "Ink" / "hen.HEIC").touch()
    refused(lambda: g.load_folder(root), root / "Ink" / "hen.HEIC", "convert it to PNG")
