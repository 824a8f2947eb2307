"""A bundle: the same bytes, nothing of the machine, and every change to it is told."""

from __future__ import annotations

import dataclasses
import getpass
import hashlib
import json
import subprocess
import zipfile

import pytest

from guda.cli import main
from guda.errors import EvidenceError
from guda.evidence import archive, bundle
from guda.evidence.archive import SUMS, Archive
from guda.evidence.page import LIMITS, Page
from guda.evidence.private import Private
from guda.evidence.sums import check_sums
from guda.report import wording
from guda.steps import drain

from ..report.report_sample import sample
from .evidence_sample import contents, make, rewrite


def test_the_same_attribution_gives_the_same_bytes(made, tmp_path):
    assert make(tmp_path, seconds=3.5).read_bytes() == made.read_bytes()
    assert list(contents(made))[:2] == ["README.txt", "index.html"]


def test_it_can_be_checked_without_this_program(made, tmp_path):
    with zipfile.ZipFile(made) as file:
        file.extractall(tmp_path)
    assert subprocess.run(["sha256sum", "-c", "--quiet", SUMS], cwd=tmp_path).returncode == 0
    files = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()}
    listed = {line[66:] for line in (tmp_path / SUMS).read_text("utf-8").splitlines()}
    assert files - {SUMS} == listed


def test_nothing_of_the_machine_is_in_it(made):
    for name, data in contents(made).items():
        for word in (b"Anna", b"home of", str(made.parent).encode(), b"C:\\\\Users"):
            assert word not in data, name
        if name.endswith((".json", ".txt", ".md", ".csv")):
            assert f"/{getpass.getuser()}/".encode() not in data, name
    told = json.loads(contents(made)["report/attribution.json"])
    assert told["warnings"] == ["0.safetensors is weak.", "a.png and b.png are one."]
    assert told["images"][0]["image"] == "fox_0.png" and told["seconds"] is None


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("/home/anna/my set/x.png is small.", "x.png is small."),
        (r"\\server\share\anna\x.png", "x.png"),
        ("D:/a/b/c.safetensors, ~/b/c", "c.safetensors, c"),
        ("https://example.org/a/b and 1/2/2026 and and/or", None),
        ("a cat / a dog /x", None),
    ],
)
def test_folders_are_cut_off_and_nothing_else(text, left, tmp_path):
    from pathlib import Path

    private = Private([Path("/home/anna/my set/x.png")])
    assert private.text(text) == (text if left is None else left)


def test_the_facts_name_every_file_that_the_scores_stand_on(made):
    told = json.loads(contents(made)["evidence.json"])
    assert told["model"]["files"] == {"model.safetensors": hashlib.sha256(b"weights").hexdigest()}
    for style in told["counterfactuals"]["styles"]:
        assert style["sha256"] == hashlib.sha256(style["name"].encode()).hexdigest()
    assert told["settings"]["evaluations"] == 16 and told["seeds"] == {"noise": 0}
    assert told["made_by"]["torch"] and len(told["pictures"]) == 3
    verify, again = told["commands"]
    assert "--sample 0" in verify and "--seed 0" in again and "fox_0.png" in again


def test_the_first_page_says_what_it_does_not_prove(made):
    import html

    files = contents(made)
    text = " ".join(files["README.txt"].decode().split())
    page = html.unescape(files["index.html"].decode())
    for limit in [x for x in LIMITS if "null.json" not in x]:
        assert limit in text and limit in page
    assert b"<script" not in files["index.html"] and b"src=" not in files["index.html"]


@pytest.mark.parametrize(
    ("count", "lines", "spelled"), [(3, 3, True), (4, 4, False), (14, 13, False)]
)
def test_of_many_pictures_the_first_page_has_the_headlines(count, lines, spelled):
    images = (sample().images * 5)[:count]
    page = Page(dataclasses.replace(sample(), images=images), (), frozenset())
    assert len(page.answers) == lines
    head, tail = wording.verdict_parts(images[0], "nats")
    assert page.answers[0][1] == (f"{head}: {tail}" if spelled else head)
    if count == 14:
        assert page.answers[-1] == ("2 more", "see the report")


def sums_of(path):
    with Archive(path) as opened:
        return check_sums(opened)


def test_a_bundle_as_it_was_made_is_good(made):
    sums = sums_of(made)
    assert sums.good and len(sums.whole) == len(contents(made)) - 1
    assert sums.name == hashlib.sha256(contents(made)[SUMS]).hexdigest()
    assert main(["verify", str(made)]) == 0


def test_what_was_changed_lost_and_added_is_told(copy, capsys):
    files = contents(copy)
    files["evidence.json"] = files["evidence.json"].replace(b"float32", b"float16")
    del files["report/attribution.csv"]
    rewrite(copy, files | {"more.txt": b"x"})
    assert main(["verify", str(copy), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["changed"] == ["evidence.json"] and told["missing"] == ["report/attribution.csv"]
    assert told["added"] == ["more.txt"] and not told["good"]
    assert main(["verify", str(copy)]) == 1
    said = capsys.readouterr().out
    for line in ("changed: 'evidence.json'", "missing: 'report/attribution.csv'", "added: 'more"):
        assert line in said


def test_a_flipped_bit_is_a_change(copy):
    data = bytearray(copy.read_bytes())
    data[data.index(b"STYLE ATTRIBUTION")] ^= 1
    copy.write_bytes(data)
    assert sums_of(copy).changed == ("README.txt",)


@pytest.mark.parametrize(
    "name", ["../x.txt", "/etc/x", "a/../../x", "C:/x", "a\\..\\x", "readme.TXT", ".hidden", "a//b"]
)
def test_names_that_harm_who_unpacks_it_are_told(name, copy):
    rewrite(copy, contents(copy) | {name: b"x"})
    sums = sums_of(copy)
    assert sums.unsafe == (name,) and not sums.good


def test_a_link_is_told(copy):
    with zipfile.ZipFile(copy, "a") as file:
        link = zipfile.ZipInfo("link")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        file.writestr(link, "/etc/passwd")
    assert sums_of(copy).unsafe == ("link",)


def test_too_much_is_refused_however_small_it_says_it_is(copy, monkeypatch):
    monkeypatch.setattr(archive, "MOST_BYTES", 1 << 20)
    with pytest.raises(EvidenceError, match="more than 20000 files"):
        Archive(copy)
    with zipfile.ZipFile(copy, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("zeros", bytes(3 << 20))
        file.writestr(SUMS, b"0" * 64 + b"  zeros\n")
        file.getinfo("zeros").file_size = 100  # as a liar's list of contents has it
    with Archive(copy) as opened, pytest.raises(EvidenceError):
        opened.read("zeros", 1000)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: b"no zip", "is no ZIP file"),
        (lambda data: b"", "is no ZIP file"),
        (lambda data: data[:-30], "is no ZIP file"),
    ],
)
def test_what_is_no_bundle_is_refused_in_one_line(change, words, copy, capsys):
    copy.write_bytes(change(copy.read_bytes()))
    assert main(["verify", str(copy)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and words in said and str(copy) in said


@pytest.mark.parametrize(
    "change",
    [
        lambda files: files.pop(SUMS),
        lambda files: files.update({SUMS: b"what is this\n"}),
        lambda files: files.update({SUMS: files[SUMS] * 2}),
    ],
)
def test_a_list_that_is_none_is_refused(change, copy, capsys):
    files = contents(copy)
    change(files)
    assert main(["verify", str(rewrite(copy, files))]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_an_attribution_that_does_not_know_its_origin_makes_no_bundle(tmp_path):
    with pytest.raises(EvidenceError, match="attribute the pictures again"):
        drain(bundle.make(sample(), tmp_path / "b.zip"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("name", "words"), [("b.tar", "ends in .zip"), ("d.zip", "a folder")])
def test_where_no_bundle_can_be_is_refused_before_anything(name, words, tmp_path):
    (tmp_path / "d.zip").mkdir()
    with pytest.raises(EvidenceError, match=words):
        bundle.check(tmp_path / name)
