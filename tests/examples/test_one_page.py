"""The method in one page finds the styles of the pictures that it asks about."""

from __future__ import annotations

import runpy
from pathlib import Path

PAGE = Path(__file__).parents[2] / "examples" / "one_page.py"


def test_the_page_names_the_styles():
    page = runpy.run_path(str(PAGE))
    deltas = page["main"]()
    assert list(deltas) == list(page["STYLES"])
    for style in ("ink", "twemoji"):
        assert max(deltas[style], key=deltas[style].__getitem__) == style
        assert deltas[style][style] > 0
