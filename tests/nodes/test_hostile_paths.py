"""Paths in a stranger's workflow: what they reach, and what the files that ComfyUI saves tell."""

from __future__ import annotations

import builtins
import importlib.util
import io
import json
import os
import shutil
import sys
import threading
import types
from pathlib import Path

import pytest
from PIL import Image

from tools.comfy.client import Comfy
from tools.comfy.graphs import SAMPLING, node
from tools.comfy.server import PACK_ROOT

from .test_node_errors import TIMEOUT, failure, folder_graph, refused, style_folder

GOLDEN = PACK_ROOT / "tests" / "fixtures" / "golden_set" / "set"
SECRET = "the owner's diary"


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder of styles that is none of ComfyUI's, with text beside the pictures."""
    root = style_folder(tmp_path / "private", "One", "Two")
    (root / "One" / "cat-0.txt").write_text(SECRET, "utf-8")
    return root


def check(message: str, comfy: Comfy) -> None:
    assert "lies outside of the folders that workflows may read here" in message
    assert str(comfy.base / "input") in message
    assert "GUDA_FOLDERS" in message and "extra_model_paths.yaml" in message
    assert SECRET not in message and "cat-0" not in message


def test_a_folder_outside_is_refused_before_anything_runs(comfy: Comfy, outside: Path):
    check(refused(comfy, folder_graph(outside)), comfy)
    way = os.path.relpath(outside, comfy.base / "input")
    check(refused(comfy, folder_graph(way)), comfy)
    check(refused(comfy, folder_graph(outside / "not-there")), comfy)


@pytest.mark.parametrize(
    "folder", ["/", "/etc", "/usr", "/dev/zero", "..", "../..", "x/../../user", "//host/share"]
)
def test_the_server_s_own_folders_are_refused(comfy: Comfy, folder: str):
    check(refused(comfy, folder_graph(folder)), comfy)


@pytest.mark.parametrize("folder", ["~", "~root", "$HOME", "%USERPROFILE%", "a\0b", "x" * 300])
def test_nothing_is_expanded(comfy: Comfy, folder: str):
    message = refused(comfy, folder_graph(folder))
    assert "was not found" in message and len(message) < 20_000


def test_a_linked_folder_is_checked_when_it_arrives(comfy: Comfy, outside: Path):
    graph = folder_graph("")
    graph["text"] = node("PrimitiveString", value=str(outside))
    graph["groups"]["inputs"]["folder"] = ["text", 0]
    check(failure(comfy, graph, "groups"), comfy)


@pytest.mark.parametrize("way", ["output", "models", "by-variable", "by-file"])
def test_what_the_owner_allows_is_read(comfy: Comfy, way: str):
    """Both of the owner's ways are set up by the fixture `comfy`."""
    root = style_folder(comfy.base / way / "allowed", "One", "Two")
    result = comfy.run(folder_graph(root), timeout=TIMEOUT)
    assert result.ok and {"One", "Two"} <= {
        line.split(":")[0] for line in result.outputs["see"]["text"][0].splitlines()
    }


def test_a_saved_picture_tells_nothing_of_the_server(comfy: Comfy):
    """ComfyUI writes what a node tells the cache into the prompt, and that into pictures."""
    style_folder(comfy.base / "input" / "mine", "Private", "Other")
    shutil.copytree(GOLDEN, comfy.base / "models" / "loras" / "guda" / "told")
    graph = folder_graph("mine") | {
        "set": node("GudaLoadCounterfactuals", set_name="told", styles=""),
        "see_set": node("PreviewAny", source=["set", 0]),
        "model": node("GudaLoadModel", model="built-in demo"),
        "draw": node("GudaGeneratePictures", model=["model", 0], prompts="fox", seed=1, **SAMPLING),
        "save": node("SaveImage", images=["draw", 0], filename_prefix="told"),
    }
    result = comfy.run(graph, timeout=TIMEOUT)
    assert result.ok, result.message
    (link,) = result.outputs["save"]["images"]
    picture = Image.open(io.BytesIO(comfy.view(**link)))
    assert json.loads(picture.info["prompt"]).keys() == graph.keys()
    told = {n: v.get("is_changed") for n, v in json.loads(picture.info["prompt"]).items()}
    for name in ("groups", "model", "set"):
        (digest,) = told[name]
        assert len(digest) == 32 and int(digest, 16)
    text = json.dumps(dict(picture.info))
    for word in (str(comfy.base), str(PACK_ROOT), "Private", "cat-0", ".safetensors", ".png"):
        assert word not in text, word


# Without a server: what is opened, and what the digest says

CHANGES = "guda_pack.nodes.changes"


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The module nodes/places.py on a ComfyUI of folders alone."""
    comfy = types.ModuleType("folder_paths")
    comfy.get_input_directory = lambda: str(tmp_path / "base" / "input")
    comfy.get_output_directory = lambda: str(tmp_path / "base" / "output")
    comfy.models_dir = str(tmp_path / "base" / "models")
    comfy.folder_names_and_paths = {}
    monkeypatch.setitem(sys.modules, "folder_paths", comfy)
    for name, folder in (("guda_pack", PACK_ROOT), ("guda_pack.nodes", PACK_ROOT / "nodes")):
        package = types.ModuleType(name)
        package.__path__ = [str(folder)]
        monkeypatch.setitem(sys.modules, name, package)
    file = PACK_ROOT / "nodes" / "places.py"
    spec = importlib.util.spec_from_file_location("guda_pack.nodes.places", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (tmp_path / "base" / "input").mkdir(parents=True)
    return module


def test_nothing_outside_is_opened(places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    asked: list[str] = []
    here = threading.get_ident()  # what other threads open is not its doing

    def watch(module, name):
        real = getattr(module, name)

        def called(path, *args, **kwargs):
            if threading.get_ident() == here:
                known = isinstance(path, (str, bytes, os.PathLike))
                asked.append(os.fsdecode(path) if known else "")
            return real(path, *args, **kwargs)

        monkeypatch.setattr(module, name, called)

    for name in ("stat", "lstat", "scandir", "listdir", "open", "readlink", "access"):
        watch(os, name)
    watch(builtins, "open")
    private = style_folder(tmp_path / "private", "One", "Two")
    asked.clear()
    for folder in (private, "../../private", "/mnt/nas/x", "//host/share", f"{private}/../private"):
        with pytest.raises(places.GroupsError, match="lies outside"):
            places.group_folder(str(folder))
    base = os.path.realpath(tmp_path / "base")
    assert asked and all((base + "/").startswith(p + "/") or p.startswith(base) for p in asked)


def test_a_link_that_the_owner_made_is_followed(places, tmp_path: Path):
    elsewhere = style_folder(tmp_path / "elsewhere", "One", "Two")
    link = tmp_path / "base" / "input" / "mine"
    link.symlink_to(elsewhere, target_is_directory=True)
    assert places.group_folder("mine") == link
    with pytest.raises(places.GroupsError, match="lies outside"):
        places.group_folder("mine/../../../elsewhere")


def test_the_variable_takes_several_folders(places, tmp_path: Path, monkeypatch):
    allowed = [tmp_path / name for name in ("a", "b")]
    for folder in allowed:
        folder.mkdir()
    monkeypatch.setenv("GUDA_FOLDERS", os.pathsep.join(["", *map(str, allowed), " "]))
    assert [places.group_folder(str(f)) for f in allowed] == allowed
    (tmp_path / "ab").mkdir()
    with pytest.raises(places.GroupsError, match="lies outside"):
        places.group_folder(str(tmp_path / "ab"))


def test_an_output_folder_that_cannot_be_written_to_is_named(places, tmp_path: Path):
    def get_save_image_path(prefix: str, root: str):
        Path(root, prefix).parent.mkdir(parents=True)

    places.folder_paths.get_save_image_path = get_save_image_path
    (tmp_path / "base" / "output").write_text("no folder")
    with pytest.raises(places.SaveError, match=r"filename_prefix is 'guda/report', and .*output"):
        places.new_report_folder("guda/report")


def test_a_digest_changes_with_every_file(places, tmp_path: Path):
    root, seen = style_folder(tmp_path / "styles", "One", "Two"), sys.modules[CHANGES].seen
    digests = [seen(root)]
    assert seen(root) == digests[0]
    (root / "One" / "cat-0.txt").write_text("a", "utf-8")
    digests.append(seen(root))
    (root / "One" / "cat-0.txt").write_text("ab", "utf-8")
    digests.append(seen(root))
    (root / "One" / "cat-0.txt").rename(root / "One" / "cat-1.txt")
    digests.append(seen(root))
    assert len(set(digests)) == 4 and seen(root / "One" / "cat-1.txt") not in digests
