"""Style groups of prompts alone: their pictures are still to be made."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence

from ..errors import GroupsError
from ..files import slugify
from . import captions
from .group import MIN_EXAMPLES, Example, Group, StyleGroups
from .phrases import CONTENT, TEMPLATE


def from_prompts(
    styles: Mapping[str, str | Sequence[str]],
    contents: Sequence[str],
    *,
    pictures: int,
    template: str = TEMPLATE,
) -> StyleGroups:
    """Groups without pictures yet: `pictures` prompts each, going round the contents.

    styles: group name to style phrase, or to (style phrase, descriptor, ...).
    """
    captions.check_template(template, "the template")
    if not styles:
        raise GroupsError("there are no styles; give at least two, one per line.")
    contents = [c.strip() for c in contents]
    if not contents:
        raise GroupsError("there are no contents; give at least one thing to show, one per line.")
    if not all(contents):
        raise GroupsError(f"content {contents.index('') + 1} is blank; write it or leave it out.")
    repeated, times = Counter(contents).most_common(1)[0]
    if times > 1:
        raise GroupsError(f'the content "{repeated}" is listed {times} times; list it once.')
    if pictures < MIN_EXAMPLES:
        raise GroupsError(f"pictures is {pictures}; the least allowed is {MIN_EXAMPLES}.")
    numbered = ((n, content) for n in itertools.count(1) for content in contents)
    examples = tuple(
        Example(f"{content} #{n}", content, template.replace(CONTENT, content))
        for n, content in itertools.islice(numbered, pictures)
    )
    groups = []
    for name, given in styles.items():
        phrases = [p.strip() for p in ([given] if isinstance(given, str) else given)]
        if not name.strip() or not phrases or not all(phrases):
            raise GroupsError(f'style "{name}" has a blank name or phrase; write it.')
        described = captions.check_descriptors(phrases[1:], f'style "{name}"')
        groups.append(Group(name, slugify(name), phrases[0], described, examples))
    return StyleGroups(tuple(groups), "prompts")
