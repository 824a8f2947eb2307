"""The method as plain functions: the README's lines, and what is refused."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch

import guda
from guda.config import SampleConfig
from guda.errors import ConfigError, CounterfactualError, ImageError
from guda.groups.pictures import save_png
from guda.scoring.null import FREE, IN_STYLE
from guda.scoring.verdict import Outcome

from .groups.group_folders import styles

ROOT = Path(__file__).parents[2]


def test_the_lines_in_the_readme_run(tmp_path, monkeypatch, capsys):
    text = (ROOT / "README.md").read_text("utf-8").split("## Python\n")[1]
    lines = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert lines
    monkeypatch.chdir(tmp_path)
    save_png(torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0)), Path("fox.png"))
    exec(lines[1], {})
    said = capsys.readouterr().out.splitlines()
    assert said[-1] in ("Ink", "Twemoji", "undecided", "none of these")
    assert any("unlearn Twemoji 30/30, loss" in line for line in said)
    assert Path("report/report.html").is_file()


def test_it_is_light_until_it_is_used():
    code = (
        "import guda, sys; assert set(guda.__all__) <= set(dir(guda)); "
        "print([m for m in ('torch', 'numpy', 'guda.api') if m in sys.modules])"
    )
    command = [sys.executable, "-B", "-c", code]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_every_name_is_there():
    assert all(getattr(guda, name) for name in guda.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'attributes'"):
        _ = guda.attributes  # type: ignore[attr-defined]


def test_what_is_wrong_is_named(backbone, groups, quick, tmp_path):
    with pytest.raises(ConfigError, match="There is no setting 'step'; choose one of: steps, lr"):
        guda.unlearn(backbone, groups, tmp_path, step=3)
    with pytest.raises(ConfigError, match="checkpointing is 'maybe'; choose one of"):
        guda.unlearn(backbone, groups, tmp_path, checkpointing="maybe")
    with pytest.raises(ImageError, match="pictures is a str; give a list"):
        guda.attribute(backbone, None, "fox.png")
    with pytest.raises(ImageError, match=r"tensor \(64, 64\); give \(3, H, W\)"):
        guda.attribute(backbone, None, [torch.zeros(64, 64)])


def test_pictures_that_are_there_twice_are_told(backbone, quick, tmp_path):
    styles(tmp_path / "groups")
    shutil.copy(tmp_path / "groups/Ink/fox.png", tmp_path / "groups/Ink/hen.png")
    groups = guda.load_folder(tmp_path / "groups")
    told = groups.warnings
    assert any(w.startswith("Ink has the same picture twice: fox.png and hen.png;") for w in told)
    steps = []
    made = guda.unlearn(
        backbone, groups, tmp_path / "set", names=["Oil"], on_step=steps.append, **quick.as_dict()
    )
    assert set(told) <= set(made.warnings) and set(told) <= {s.warning for s in steps}


def test_a_verdict_one_source_and_credit_are_asked_as_on_the_command_line(backbone, tmp_path):
    styles = {"Dots": "dots", "Waves": "waves", "Ink": "ink"}
    few, steps = {"sampling": SampleConfig(steps=1), "contents": ("a fox", "a cup")}, []
    out, made = tmp_path / "null.json", partial(guda.null_pool, backbone, styles, evaluations=4)
    pool = made(out, size=4, on_step=steps.append, **few)
    assert pool.counts() == {"content": {FREE: 4, IN_STYLE: 1}} and steps
    seed = torch.Generator().manual_seed(0)
    pictures = list(torch.rand(10, 3, 32, 32, generator=seed))

    def ask(**settings):
        return guda.attribute(backbone, styles, pictures, "a fox", evaluations=4, **settings)

    plain = ask()
    assert plain.null is None and plain.source is None and plain.images[0].scores[0].credit is None
    told, again = (ask(null=p, one_source=True, credit=True) for p in (out, pool))
    assert told.null and told.source and again.null
    assert told.null.file == "null.json" and told.images[0].outcome is Outcome.UNTOLD
    assert told.source.pictures == 10 and len(told.source.scores) == 3
    for image in told.images:
        assert 0 <= sum(s.credit or 0 for s in image.scores) <= 1
        assert None not in [s.credit for s in image.scores]
    assert again.null.digest == told.null.digest and again.null.file == ""
    assert [i.evidence for i in again.images] == [i.evidence for i in told.images]


def test_what_is_no_pool_or_no_switch_is_named(backbone, groups, tmp_path):
    ask = partial(guda.attribute, backbone, {"Ink": "ink"}, [torch.rand(3, 32, 32)])
    with pytest.raises(ConfigError, match="null is a int; give a null pool, or its file"):
        ask(null=200)
    with pytest.raises(ConfigError, match="one_source is 'no'; give True or False"):
        ask(one_source="no")
    with pytest.raises(ConfigError, match="recovery is 'no'; give True or False"):
        guda.unlearn(backbone, groups, tmp_path / "set", recovery="no")
    with pytest.raises(ConfigError, match=r"'credits'; choose one of: .*one_source, credit"):
        ask(credits=True)
    with pytest.raises(CounterfactualError, match="null-"):
        ask(null=tmp_path)
    with pytest.raises(ConfigError, match=r"'prompts'; choose one of: .*forms, images, like"):
        guda.null_pool(backbone, {"Ink": "ink"}, tmp_path / "null.json", prompts="none")
