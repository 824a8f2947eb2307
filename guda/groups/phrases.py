"""Where a caption or a tag names the style, and what is left of it without.

A caption is cut into what is shown (content) and a template in which the literal marker "{style}"
stands where the style is named. Markers are replaced, never formatted: captions may hold braces.
"""

from __future__ import annotations

import functools
import re
from typing import NamedTuple

STYLE, CONTENT = "{style}", "{content}"
TEMPLATE = "{content}, in {style} style"
UNNAMED = "a picture"
"""The content of a picture of which nothing is known, such as `0001.png`."""
JOINED = 6
"""Letters from which a name of several words may be written as one: "vangogh", "artdeco"."""


class Caption(NamedTuple):
    content: str
    template: str


def split_caption(caption: str, style: str, template: str = TEMPLATE) -> Caption:
    """Find `style` in `caption`; without it, put the caption in `template`.

    "A cat, in ink style" with the style "ink" gives ("A cat", "A cat, in {style} style"). Whole
    words in any case; "_", "-" and blanks between them are alike ("van_gogh"), and so is what tags
    add: "by_van_gogh", "van_gogh_style", "van gogh \\(artist\\)".
    """
    put = marked(caption, style)
    if STYLE not in put:
        return Caption(caption, template.replace(CONTENT, caption))
    head, _, tail = template.partition(CONTENT)
    middle = put[len(head) : len(put) - len(tail)]
    wrapped = put.lower().startswith(head.lower()) and put.lower().endswith(tail.lower())
    content = middle if wrapped and STYLE not in middle else content_of(put)
    return Caption(content.strip() or UNNAMED, put)


def spellings(caption: str, style: str) -> set[str]:
    """How `caption` writes the style where it is not `style` itself, but for case and blanks."""
    found = (" ".join(m[0].casefold().split()) for m in pattern(style).finditer(caption))
    return {text for text in found if text != " ".join(style.casefold().split())}


def without(text: str, style: str) -> str:
    """`text` with the style's name cut out; "" when nothing else is in it."""
    put = marked(text, style)
    return content_of(put) if STYLE in put else text


def marked(text: str, style: str) -> str:
    """`text` with the marker in every place where the style is named."""
    return pattern(style).sub(_mark, text)


_QUALIFIER = r"[\s_]*\\?\((?:art[\s_-]*)?(?:style|artist|art|medium|technique|painter)\\?\)"
_LEAD = r"(?:art_)?by_|(?:in_)?(?:the_)?style_of_|in_(?:the_)?"


@functools.lru_cache(maxsize=256)
def pattern(style: str) -> re.Pattern[str]:
    """Whole words, but not for scripts that write without spaces."""
    bare = re.sub(_QUALIFIER + "$", "", style, flags=re.IGNORECASE).strip(" _-") or style
    own = r"(?:['\u2019]s?)?" if re.search(r"\w['\u2019]s?$", bare) else ""
    bare = re.sub(r"['\u2019]s?$", "", bare) if own else bare
    parts = [p for p in re.split(r"[\s_-]+", bare) if p] or [bare]
    joined = len("".join(parts)) >= JOINED
    words = (r"[\s_-]*" if joined else r"[\s_-]+").join(map(_literal, parts))
    before = rf"(?<!\w)(?P<lead>{_LEAD})?" if bare[:1].isascii() else "(?P<lead>)"
    after = r"(?!\w)" if bare[-1:].isascii() else ""
    tail = rf"{own}(?:{_QUALIFIER})?(?P<tail>_style)?"
    return re.compile(before + words + tail + after, re.IGNORECASE)


def _literal(word: str) -> str:
    """Brackets may be escaped as A1111 wants them, apostrophes straight or curly; dots of initials
    ("H.R. Giger") may be blanks, or missing.
    """
    alike = {c: rf"\\?{re.escape(c)}" for c in "()[]"} | dict.fromkeys("'\u2019", r"['\u2019]")
    literal = "".join(alike.get(c, re.escape(c)) for c in word)
    return re.sub(r"(?<=[^\W\d_])\\\.", r"[\\s._-]*", literal)


def _mark(found: re.Match[str]) -> str:
    lead = (found["lead"] or "").replace("_", " ")
    return lead + STYLE + (" style" if found["tail"] else "")


_OWN = r"(?:['\u2019]s?(?!\w))"
_MANNER = r"(?:style|manner|hand|technique|palette|brush ?(?:work|strokes?)|aesthetic|look)"
_NAMED = (
    rf"\{{style\}}(?:{_OWN}\s+(?:own\s+)?{_MANNER}\b|(?:\s+|-)(?:art\s+)?style\b"
    r"|-(?:like|esque|inspired|styled)\b)?"
)
_OF = r"(?:in\s+)?(?:(?:the|an?)\s+)?(?:style|manner|spirit)\s+of\s+(?:the\s+)?"
# "in {style} style", "by {style}'s hand", "in the style of {style}" at the end of a clause
_CLAUSE = re.compile(
    rf"(?:\b(?:{_OF}|(?:art\s+)?(?:in|by|of|with|after)\s+(?:(?:the|an?)\s+)?))?{_NAMED}"
    r"(?=\s*(?:[,.;]|$))",
    re.IGNORECASE,
)
# "painted by {style} in a field": within a clause only what cannot lead to anything else
_INSIDE = re.compile(
    rf"\b(?:{_OF}|(?:art\s+)?by\s+|in\s+(?=\{{style\}}\s+of\b)){_NAMED}(?!['\u2019])",
    re.IGNORECASE,
)
_BARE = re.compile(
    rf"\{{style\}}(?:{_OWN}|(?:\s+|-)style\b|-(?:like|esque|inspired|styled)\b)?", re.I
)


def content_of(marked: str) -> str:
    """What a marked caption shows: the markers and the words that only lead to them taken out."""
    text = _BARE.sub("", _INSIDE.sub("", _CLAUSE.sub("", marked)))
    text = re.sub(r"\\?[(\[]\s*(?::\s*[\d.]*)?\s*\\?[)\]]", "", text)
    text = " ".join(text.split())
    text = re.sub(r"\s+([,.;])", r"\1", text)
    text = re.sub(r"[,;](?:\s*[,;.])+", lambda m: m[0][-1], text)
    text = re.sub(r"^(?:an?|the)?\s*\bof\s+", "", text.strip(" ,;."), flags=re.IGNORECASE)
    return text.strip(" ,;.")
