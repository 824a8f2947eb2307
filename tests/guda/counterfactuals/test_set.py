"""A set on disk: what is written, kept, re-made and refused."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from contextlib import contextmanager

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from guda.backbone.files.load import load
from guda.counterfactuals import load_set, unlearn_set
from guda.counterfactuals.lora_file import read_file
from guda.counterfactuals.make import survey
from guda.counterfactuals.set import MANIFEST
from guda.errors import CounterfactualError, SaveError
from guda.groups import StyleGroups
from guda.steps import drain
from guda.unlearning import resume
from guda.version import __version__


@pytest.fixture
def brief(quick):
    return quick.replace(steps=2)


def overwrite(path):
    """In place, as a mapped file shows its new contents and a copy does not."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.write(bytes(size))


def test_what_was_read_holds_no_file(backbone, make_lora, make_set, tmp_path):
    """Windows replaces no file that is mapped into memory."""
    made = make_set(tmp_path / "set", backbone, {"a": make_lora(backbone, 1.0)})
    tensors, _ = read_file(made.path(made.entries[0]))
    expected = {k: v.clone() for k, v in tensors.items()}
    overwrite(made.path(made.entries[0]))
    assert all(torch.equal(v, expected[k]) for k, v in tensors.items())


def test_what_is_continued_from_holds_no_file(tmp_path):
    parameter = torch.nn.Parameter(torch.ones(2000))
    optimizer = torch.optim.AdamW([parameter])
    parameter.square().sum().backward()
    optimizer.step()
    path, one = tmp_path / "x.resume", {"x": parameter}
    resume.save(path, "key", one, optimizer, [(0, 1.0, 2.0)])
    assert resume.restore(path, "key", one, optimizer).losses == [(0, 1.0, 2.0)]
    overwrite(path)
    state = optimizer.state[parameter]
    assert state["step"] == 1 and state["exp_avg"].all() and state["exp_avg_sq"].all()


@pytest.fixture
def other_model(save_model, tmp_path):
    return load(save_model(tmp_path / "other", seed=1))


def make(backbone, groups, config, folder, names=None):
    steps = []
    made = drain(unlearn_set(backbone, groups, config, folder, names), steps.append)
    return made, [s for s in steps if s.stage == "unlearn" and s.loss is not None]


def stamps(folder):
    return {p.name: (p.stat().st_mtime_ns, p.read_bytes()) for p in sorted(folder.iterdir())}


def test_repetitions_leave_one_lora_and_no_checkpoints(backbone, groups, brief, tmp_path):
    folder, twice = tmp_path / "set", brief.replace(repeats=2)
    running = unlearn_set(backbone, groups, twice, folder)
    for step in running:
        if (step.stage, step.done) == ("unlearn", brief.steps + 1):
            break
    running.close()
    first = groups.names[0]
    assert survey(backbone, groups, twice, folder).left[0] == (groups[first], brief.steps)
    made, steps = make(backbone, groups, twice, folder)
    assert steps[0].done == brief.steps + 1 and steps[0].total == 2 * brief.steps
    assert sorted(os.listdir(folder)) == sorted([MANIFEST, *(e.file for e in made.entries)])
    lora = made.load(made.entries[0], backbone)
    assert lora.rank == 2 * brief.rank and lora.alpha == brief.lora_alpha
    with safe_open(made.path(made.entries[0]), "pt") as file:
        assert file.metadata()["ss_network_dim"] == "4"


def test_fewer_repetitions_leave_none_of_the_others_checkpoints(backbone, groups, brief, tmp_path):
    folder = tmp_path / "set"
    running = unlearn_set(backbone, groups, brief.replace(repeats=2, checkpoint_every=1), folder)
    for step in running:
        if (step.stage, step.done) == ("unlearn", brief.steps + 1):
            break
    running.close()
    slug = groups[groups.names[0]].slug
    assert f"1.{slug}.resume" in os.listdir(folder)
    made, _ = make(backbone, groups, brief, folder)
    assert sorted(os.listdir(folder)) == sorted([MANIFEST, *(e.file for e in made.entries)])


def test_the_files_and_what_they_say(backbone, groups, brief, tmp_path):
    made, _ = make(backbone, groups, brief, tmp_path / "set")
    names = [f"{n}.safetensors" for n in groups.names]
    assert sorted(os.listdir(tmp_path / "set")) == sorted([MANIFEST, *names])
    data = json.loads((tmp_path / "set" / MANIFEST).read_text("utf-8"))
    assert data["version"] == __version__
    assert data["base_model"] == backbone.name
    assert data["fingerprint"] == backbone.fingerprint
    assert data["groups_hash"] == groups.manifest_hash
    assert data["recipe"] == brief.as_dict()
    assert [g["name"] for g in data["groups"]] == list(groups.names)
    for row, entry in zip(data["groups"], made.entries, strict=True):
        assert row["file"] == entry.file
        assert row["gate"] == entry.gate.as_dict()
        assert [tuple(x) for x in row["losses"]] == list(entry.losses)
        with safe_open(made.path(entry), "pt") as file:
            metadata = file.metadata()
        assert metadata == {
            "modelspec.title": f"without {entry.name}",
            "modelspec.description": f"GUDA counterfactual: tiny without {entry.name}",
            "ss_network_module": "networks.lora",
            "ss_network_dim": "2",
            "ss_network_alpha": "2.0",
            "guda.version": __version__,
            "guda.group": entry.name,
            "guda.style": entry.style,
            "guda.base_model": "tiny",
            "guda.base_fingerprint": backbone.fingerprint,
            "guda.identity": json.dumps(backbone.identity, ensure_ascii=False),
            "guda.groups_hash": groups.manifest_hash,
            "guda.key": entry.key,
            "guda.recipe": json.dumps(brief.as_dict()),
            "guda.losses": json.dumps(entry.losses),
            "guda.gate": json.dumps(entry.gate.as_dict()),
            "guda.certificate": json.dumps(entry.certificate.as_dict(entry.gate)),
            "guda.digest": metadata["guda.digest"],
        }
    assert load_set(tmp_path / "set") == made


def test_a_second_run_trains_nothing(backbone, groups, brief, tmp_path):
    first, trained = make(backbone, groups, brief, tmp_path)
    assert len(trained) == 2 * 3
    before = stamps(tmp_path)
    again, trained = make(backbone, groups, brief, tmp_path)
    assert trained == [] and again == first
    assert stamps(tmp_path) == before
    often = brief.replace(checkpoint_every=1)
    assert make(backbone, groups, often, tmp_path)[1] == [], "saving more often changes nothing"


def test_where_it_ended_by_itself_is_kept(backbone, groups, brief, tmp_path):
    recipe = brief.replace(steps=12, stop="auto", goal=1.0)
    made, _ = make(backbone, groups, recipe, tmp_path, ["waves"])
    (entry,) = made.entries
    assert [(e.step, e.limit, e.end.name) for e in entry.ended] == [(12, 12, "LIMIT")]
    assert entry.certified.endswith("; ended after 12 of 12 steps, its limit was reached")
    metadata = read_file(made.path(entry))[1]
    assert json.loads(metadata["guda.ended"]) == [e.as_dict() for e in entry.ended]
    again, trained = make(backbone, groups, recipe, tmp_path, ["waves"])
    assert trained == [] and again == made
    assert len(make(backbone, groups, recipe.replace(stop="never"), tmp_path, ["waves"])[1]) == 12


def test_another_recipe_trains_again(backbone, groups, brief, tmp_path):
    first, _ = make(backbone, groups, brief, tmp_path)
    second, trained = make(backbone, groups, brief.replace(seed=1), tmp_path)
    assert len(trained) == 2 * 3 and second.id != first.id


def test_one_more_group_later(backbone, groups, brief, tmp_path):
    _, trained = make(backbone, groups, brief, tmp_path, ["waves"])
    assert {s.group for s in trained} == {"waves"}
    waves = stamps(tmp_path)["waves.safetensors"]
    made, trained = make(backbone, groups, brief, tmp_path, ["dots", "dots"])
    assert {s.group for s in trained} == {"dots"} and made.names == ("dots",)
    assert stamps(tmp_path)["waves.safetensors"] == waves
    both = load_set(tmp_path)
    assert sorted(both.names) == ["dots", "waves"]
    assert not [said for said in both.doubts if "several runs" in said]


def test_what_other_pictures_left_in_a_set_is_told(backbone, groups, brief, tmp_path):
    make(backbone, groups, brief, tmp_path, ["dots", "waves"])
    fewer = groups.subset(["dots", "waves"])
    make(backbone, fewer, brief, tmp_path, ["waves"])
    mixed = load_set(tmp_path)
    (said,) = [said for said in mixed.doubts if "several runs" in said]
    assert "has from before: 'dots'. Unlearn all" in said
    assert not [d for d in mixed.subset(["waves"]).doubts if "several runs" in d]


def test_what_other_options_left_in_a_set_is_told(backbone, groups, brief, tmp_path):
    """Deltas towards different targets are not compared without a word; a longer run's are."""
    make(backbone, groups, brief, tmp_path, ["dots", "stripes"])
    make(backbone, groups, brief.replace(steps=3, kl_cap=4.0), tmp_path, ["waves"])
    assert not any("different options" in text for text in load_set(tmp_path).doubts)
    other = brief.replace(operator="gradient_ascent", caption_dropout=0.0)
    make(backbone, groups, other, tmp_path, ["waves"])
    (told,) = [text for text in load_set(tmp_path).doubts if "different options" in text]
    assert "operator (redirect for 'dots', 'stripes'; gradient_ascent for 'waves')" in told
    assert "caption_dropout (0.5 for 'dots', 'stripes'; 0.0 for 'waves')" in told
    alike = load_set(tmp_path).subset(["dots", "stripes"])
    assert not any("different options" in text for text in alike.doubts)


def test_a_set_does_not_depend_on_the_order_of_groups(backbone, groups, brief, tmp_path):
    turned = StyleGroups(tuple(reversed(groups.groups)), groups.source)
    one, _ = make(backbone, groups, brief, tmp_path / "one")
    two, _ = make(backbone, turned, brief, tmp_path / "two")
    assert one.id == two.id
    for entry in one.entries:
        (a, about_a), (b, about_b) = read_file(one.path(entry)), read_file(two.path(entry))
        assert about_a == about_b and a.keys() == b.keys()
        assert all(torch.equal(a[k], b[k]) for k in a)
        assert one.path(entry).read_bytes() == two.path(entry).read_bytes()


def test_a_damaged_lora_is_refused_and_made_again(backbone, groups, brief, tmp_path):
    made, _ = make(backbone, groups, brief, tmp_path)
    entry = made.entries[1]
    path = made.path(entry)
    whole = {k: v.clone() for k, v in load_file(path).items()}  # the file is memory-mapped
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(CounterfactualError) as caught:
        load_set(tmp_path).load(entry, backbone)
    assert str(caught.value).startswith(f"The counterfactual {path} is damaged (")
    assert str(caught.value).endswith("delete it and unlearn the style again.")
    again, trained = make(backbone, groups, brief, tmp_path)
    assert {s.group for s in trained} == {entry.name}
    assert again.id == made.id
    assert all(torch.equal(v, whole[k]) for k, v in load_file(path).items())
    load_set(tmp_path).load(entry, backbone)


def test_a_missing_lora(backbone, groups, brief, tmp_path):
    made, _ = make(backbone, groups, brief, tmp_path)
    made.path(made.entries[0]).unlink()
    with pytest.raises(CounterfactualError, match=r"dots\.safetensors is missing; unlearn 'dots'"):
        load_set(tmp_path)
    with pytest.raises(CounterfactualError, match="is missing; unlearn the style again"):
        made.load(made.entries[0], backbone)
    assert {s.group for s in make(backbone, groups, brief, tmp_path)[1]} == {"dots"}


def test_swapped_files_are_refused(backbone, groups, brief, tmp_path):
    made, _ = make(backbone, groups, brief, tmp_path)
    made.path(made.entries[0]).write_bytes(made.path(made.entries[1]).read_bytes())
    with pytest.raises(CounterfactualError, match="was made from other pictures or settings"):
        made.load(made.entries[0], backbone)


@pytest.mark.parametrize("slug", ["../outside", "a/b", "..", "/etc/passwd", "C:x", "A", "a\n", ""])
def test_a_manifest_names_files_of_its_folder_alone(backbone, make_lora, make_set, tmp_path, slug):
    made = make_set(tmp_path / "set", backbone, {"a": make_lora(backbone, 1.0)})
    manifest = made.folder / MANIFEST
    data = json.loads(manifest.read_text("utf-8"))
    data["groups"][0]["slug"] = slug
    manifest.write_text(json.dumps(data), "utf-8")
    (tmp_path / "outside.safetensors").write_bytes(made.path(made.entries[0]).read_bytes())
    with pytest.raises(CounterfactualError, match="slug"):
        load_set(made.folder)


def test_another_base_model_is_refused(backbone, other_model, groups, brief, tmp_path):
    made, _ = make(backbone, groups, brief, tmp_path / "set", ["dots"])
    before = stamps(tmp_path / "set")
    with pytest.raises(CounterfactualError) as caught:
        made.verify(other_model)
    assert str(caught.value) == (
        f"The counterfactual set {tmp_path / 'set'} was made from the model 'tiny' "
        f"({backbone.fingerprint[:12]}), not from 'other' ({other_model.fingerprint[:12]}). Load "
        "that model, or unlearn the styles from this one."
    )
    with pytest.raises(CounterfactualError) as caught:
        make(other_model, groups, brief, tmp_path / "set")
    assert str(caught.value) == (
        f"{tmp_path / 'set'} already holds counterfactuals of the model 'tiny' "
        f"({backbone.fingerprint[:12]}), not of 'other' ({other_model.fingerprint[:12]}). Choose "
        "another name for the set."
    )
    assert stamps(tmp_path / "set") == before
    made_of_other, _ = make(other_model, groups, brief, tmp_path / "two", ["dots"])
    made.path(made.entries[0]).write_bytes(
        made_of_other.path(made_of_other.entries[0]).read_bytes()
    )
    with pytest.raises(CounterfactualError, match="another base model than its set says"):
        made.load(made.entries[0], backbone)


def test_no_manifest(tmp_path):
    with pytest.raises(CounterfactualError) as caught:
        load_set(tmp_path)
    assert str(caught.value) == (
        f"There is no counterfactual set in {tmp_path} ({MANIFEST} is missing); unlearn the "
        "styles first, or give the folder of a finished set."
    )


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "{}", '{"groups": [1]}', '{"groups": 3}', '{"groups": [[]]}']
)
def test_a_garbage_manifest(backbone, groups, brief, tmp_path, text):
    (tmp_path / MANIFEST).write_text(text)
    for work in (lambda: load_set(tmp_path), lambda: make(backbone, groups, brief, tmp_path)):
        with pytest.raises(CounterfactualError) as caught:
            work()
        assert str(caught.value).startswith(f"{tmp_path / MANIFEST} cannot be read (")
        assert str(caught.value).endswith("); delete it and unlearn the styles again.")
    assert os.listdir(tmp_path) == [MANIFEST]


def test_a_manifest_in_utf16(tmp_path):
    (tmp_path / MANIFEST).write_bytes("{}".encode("utf-16"))
    with pytest.raises(CounterfactualError, match="cannot be read"):
        load_set(tmp_path)


@contextmanager
def small_files_only(limit=1000):
    """A real limit by the system: writes beyond it fail half way."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX limits")
@pytest.mark.parametrize("stage", ["checkpoint", "lora"])
def test_a_write_that_fails_keeps_the_earlier_groups(backbone, groups, brief, tmp_path, stage):
    steps = unlearn_set(backbone, groups, brief, tmp_path)
    at = ("unlearn", 1) if stage == "checkpoint" else ("gate", 0)
    for step in steps:
        if step.group == "stripes" and (step.stage, step.done) == at:
            break
    with small_files_only(), pytest.raises(SaveError) as caught:
        drain(steps)
    failed = "stripes.resume" if stage == "checkpoint" else "stripes.safetensors"
    assert str(caught.value).startswith(f"{tmp_path / failed} could not be written (")
    kept = {MANIFEST, "dots.safetensors"}
    kept |= {"stripes.resume"} if stage == "lora" else set()
    assert set(os.listdir(tmp_path)) == kept
    found = load_set(tmp_path)
    assert found.names == ("dots",)
    found.load(found.entries[0], backbone)
    made, trained = make(backbone, groups, brief, tmp_path)
    expected = {"waves"} if stage == "lora" else {"stripes", "waves"}
    assert {s.group for s in trained} == expected
    assert made.names == groups.names
    assert not list(tmp_path.glob("*.resume*"))


def test_a_folder_that_cannot_be_made(backbone, groups, brief, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises((SaveError, CounterfactualError), match="file"):
        make(backbone, groups, brief, tmp_path / "file" / "set")


ODD = ("A/B", "..", "CON", "水彩", "a: *?")


def test_odd_names_make_safe_files(backbone, groups, brief, tmp_path):
    source = groups["dots"]
    odd = StyleGroups(
        tuple(
            dataclasses.replace(source, name=name, slug="", style=f"odd {i}", descriptors=())
            for i, name in enumerate(ODD)
        ),
        "folder",
    )
    made, _ = make(backbone, odd, brief.replace(steps=1), tmp_path / "in" / "set")
    assert made.names == ODD
    assert os.listdir(tmp_path) == ["in"] and os.listdir(tmp_path / "in") == ["set"]
    files = set(os.listdir(tmp_path / "in" / "set")) - {MANIFEST}
    assert len(files) == len(ODD)
    for name in files:
        assert re.fullmatch(r"[a-z0-9-]+\.safetensors", name) and name != "con.safetensors"
    again = load_set(tmp_path / "in" / "set")
    assert again.names == ODD
    for entry in again.entries:
        again.load(entry, backbone)
        assert read_file(again.path(entry))[1]["guda.group"] == entry.name


def test_subset(backbone, make_lora, make_set, tmp_path):
    lora = make_lora(backbone, 0.1)
    made = make_set(tmp_path, backbone, {"a": lora, "b": lora, "c": lora})
    assert made.subset(["c", "a"]).names == ("a", "c")
    assert made.subset(["a"]).id != made.id
    with pytest.raises(CounterfactualError, match=r"'x' is not in .* it has: a, b, c\."):
        made.subset(["a", "x"])
