"""A bundle's first page, in plain words: what it is, what it does not prove, how to check it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from ..escape import visible
from ..report import notes, source, wording
from ..report.html import POLICY
from ..report.theme import CSS
from ..scoring.verdict import Attribution

LIMITS = (
    "It does not prove that a picture was copied, nor that any one picture was in the model's "
    "training data. It measures how much worse this one model explains a picture without a style.",
    "It says nothing about styles and artists that were not tested. The best of the tested styles "
    "can still be the wrong answer.",
    "A name can be wrong. How often is said beside the answer where pictures that have nothing to "
    "do with the styles were scored too, and is unknown where they were not.",
    "Scores of the pictures that have nothing to do with the styles are taken as they are in "
    "null.json: guda verify does not draw or score them again.",
    "It says nothing about law, permission, or what is owed to anybody. A share is a share of what "
    "helped this model, not of a picture, and not of money.",
    "It does not show where the pictures come from, who made them, or when this was made.",
    "The list of sums shows that the files fit together. Whoever changes a file can write a new "
    "list, too; only scoring again, or a signature of somebody you trust, tells that apart.",
    "A signature says who stands for the bundle. It does not make the scores right.",
)
HOW = (
    "Open report/report.html in a browser: the answer, with numbers and heat maps.",
    "python -m guda verify BUNDLE.zip: have files been changed, lost or added?",
    "If it is signed, the same command says by whom; so does any tool for C2PA credentials.",
    "With the same model at hand, the first command below scores the very same pixels again and "
    "tells every difference. Without this program: sha256sum -c SHA256SUMS.",
)
WHOLE, LISTED = 3, 12
"""Pictures whose verdicts are spelled out, and that are listed at all, on the first page."""
LEFT_OUT = (
    "Pictures, their file names and prompts are in this bundle, so look through it before you pass "
    "it on. Folders, the name of the user and the machine, the time, and the ComfyUI graph are not."
)
FILES = (
    ("report/", "the answer as a page, as pictures (cards) and as tables"),
    ("evidence.json", "settings, seeds, versions, model, styles, certificates, commands"),
    ("scored/", "the pictures, to the last bit as they were scored"),
    ("styles.txt", "the styles and how the model was asked for them"),
    ("null.json", "scores of pictures that have nothing to do with the styles"),
    ("SHA256SUMS", "the sum of every other file"),
)


@dataclass(frozen=True)
class Page:
    """The same words as text and as a page that opens without a network."""

    attribution: Attribution
    commands: Sequence[str]
    names: frozenset[str]  # of the bundle's files

    @property
    def lead(self) -> str:
        count, model = len(self.attribution.images), self.attribution.full_model.get("name", "")
        pictures = "1 picture" if count == 1 else f"{count} pictures"
        return (
            f"This is the record of a style attribution: {pictures} held against "
            f"{len(self.attribution.groups)} styles, with the model {wording.plain(str(model))}."
        )

    @property
    def answers(self) -> list[tuple[str, str]]:
        """(picture, verdict) in words."""
        unit = wording.unit(self.attribution)
        one = self.attribution.source
        first = [] if one is None else [("All pictures together", ": ".join(source.parts(one)))]
        images = self.attribution.images
        each = [(wording.plain(i.image), wording.verdict_parts(i, unit)) for i in images[:LISTED]]
        short = len(images) > WHOLE  # of many pictures the headline, so that the limits come soon
        told = [(name, said[0] if short else ": ".join(said)) for name, said in each]
        if (rest := len(images) - LISTED) > 0:
            told.append((f"{rest} more", "see the report"))
        return first + told

    @property
    def limits(self) -> list[str]:
        return [text for text in LIMITS if "null.json" in self.names or "null.json" not in text]

    @property
    def files(self) -> list[tuple[str, str]]:
        def there(name: str) -> bool:
            return name == "SHA256SUMS" or any(n.startswith(name) for n in self.names)

        return [(name, what) for name, what in FILES if there(name)]

    def to_text(self) -> str:
        def listed(items: Sequence[str]) -> str:
            return "\n".join(_wrapped(item) for item in items)

        answers = [f"{name}: {said}" for name, said in self.answers]
        answers += notes.null_notes(self.attribution)
        files = [f"{name}  {what}" for name, what in self.files]
        commands = "\n\n".join(f"    {visible(c, keep='')}" for c in self.commands)
        return f"""STYLE ATTRIBUTION: EVIDENCE

{_wrapped(self.lead, "")}

THE ANSWER
{listed(answers)}

WHAT THIS BUNDLE DOES NOT PROVE
{listed(self.limits)}

HOW TO CHECK IT
{listed(HOW)}

{commands}

WHAT IS IN IT
{listed(files)}

{_wrapped(LEFT_OUT, "")}
"""

    def to_html(self) -> str:
        def listed(items: Sequence[str]) -> str:
            return "".join(f"<li>{item}</li>" for item in items)

        answers = [f"<b>{escape(name)}</b>: {escape(said)}" for name, said in self.answers]
        answers += map(escape, notes.null_notes(self.attribution))
        files = [f"<b>{escape(name)}</b> {escape(what)}" for name, what in self.files]
        commands = "".join(f"<pre>{escape(visible(c, keep=''))}</pre>" for c in self.commands)
        return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Style attribution: evidence</title>
<style>{CSS}{STYLE}</style></head>
<body><main>
<h1>Style attribution: evidence</h1>
<p class="soft">{escape(self.lead)}</p>
<section class="card"><h3>The answer</h3><ul>{listed(answers)}</ul>
<p><a href="report/report.html">Open the whole report</a></p></section>
<section class="card limits"><h3>What this bundle does not prove</h3>
<ul>{listed([escape(text) for text in self.limits])}</ul></section>
<section class="card"><h3>How to check it</h3><ul>{listed([escape(h) for h in HOW])}</ul>
{commands}</section>
<section class="card"><h3>What is in it</h3><ul>{listed(files)}</ul>
<p class="soft">{escape(LEFT_OUT)}</p></section>
</main></body></html>
"""


STYLE = """
main{max-width:820px}.card h3{margin-top:0}ul{margin:10px 0 12px;padding-left:22px}
li{margin:0 0 8px;overflow-wrap:anywhere}a{color:var(--lead)}
.limits{border-left:4px solid var(--pos)}
pre{background:var(--paper);border:1px solid var(--line);border-radius:10px;padding:12px 14px;
font-size:13px;white-space:pre-wrap;overflow-wrap:anywhere;margin:10px 0 0}
"""


def _wrapped(text: str, mark: str = "- ") -> str:
    import textwrap

    text = visible(text, keep="")
    return textwrap.fill(text, 88, initial_indent=mark, subsequent_indent=" " * len(mark))
