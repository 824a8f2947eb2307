"""Text of strangers - names, prompts, file names - made harmless for the place that shows it.

Names and prompts come from workflows, folders and sets that others made. Whatever shows them takes
them through here: `visible` for terminals, errors and drawings, `for_page` for HTML and ComfyUI's
page, `for_markdown`, `for_cell` for spreadsheets.
"""

from __future__ import annotations

import html
import re
import unicodedata

_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # controls, marks of direction, half characters, breaks
_JOINERS = "\u200c\u200d\u00ad"  # of Persian words, emoji and hyphenation
_FORMULA = "=+-@"
_CELL = re.compile(r"[^;\t\n]+")
_SCHEME = re.compile(r":(?=//)|(?<=www)\.", re.IGNORECASE)


def visible(text: str, keep: str = "\n\t") -> str:
    r"""`text` with what a terminal obeys or a reader cannot see spelled out, such as `\x1b`.

    Escape sequences would move the cursor or forge lines, marks of direction turn names around.
    keep: control characters that stay as they are.
    """
    if text.isprintable():
        return text
    kept = keep + _JOINERS
    return "".join(
        c.encode("unicode_escape").decode("ascii")
        if c not in kept and unicodedata.category(c) in _HIDDEN
        else c
        for c in text
    )


def for_page(text: str) -> str:
    """Text that stays text where it is set as HTML, by ComfyUI's page as by the report.

    The page's line of progress is HTML, in which addresses and [[label|address]] become links and
    `__LNK` is a placeholder: none of them is left whole.
    """
    safe = html.escape(visible(text)).replace("[", "&#91;").replace("__LNK", "_&#95;LNK")
    return _SCHEME.sub(lambda found: f"&#{ord(found[0])};", safe)


def for_markdown(text: str) -> str:
    """`text` on one line, with what Markdown, HTML or TeX would read as markup escaped.

    Neither are there addresses that a reader could take for the report's own links.
    """
    safe = re.sub(r"([\\`*_\[\]<>|#~&$@])", r"\\\1", visible(" ".join(text.split())))
    return _SCHEME.sub(lambda found: f"\\{found[0]}", safe)


def for_cell(text: str) -> str:
    """A text cell of a CSV that no spreadsheet takes for a formula, however it splits the line.

    The quotes of the format count for nothing where ";" or a tab separates, so every part between
    those, and every line, is guarded by an apostrophe. After OWASP, CSV injection.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")  # csv leaves a bare CR unquoted
    guarded = _CELL.sub(lambda part: f"'{part[0]}" if _is_formula(part[0]) else part[0], text)
    return f"'{guarded}" if text[:1] == "\t" else guarded


def _is_formula(cell: str) -> bool:
    """Whether its first sign that shows is one that begins a formula, full-width ones included."""
    for c in cell:
        if not c.isspace() and unicodedata.category(c) not in _HIDDEN:
            return unicodedata.normalize("NFKC", c) in _FORMULA
    return False
