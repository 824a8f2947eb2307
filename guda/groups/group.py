"""Style groups: pictures, or prompts for pictures to be made, that share a style.

Notation: D_k is the forget set, the examples of one group; D_-k are those of all the others.
"""

from __future__ import annotations

import functools
import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import GroupsError
from ..files import slugify
from ..files.reading import open_file
from ..settings import digest
from . import captions, pictures
from .phrases import STYLE
from .remarks import Reading

MIN_EXAMPLES = 4
MAX_GROUPS = 1000
LONGEST = 20_000
"""Characters of a style phrase."""


@dataclass(frozen=True)
class Example:
    """One picture of a group with its caption cut into content and template."""

    id: str
    """Unique in its group and the same everywhere: "fox/1.png", or "a fox #2" without a file."""
    content: str
    """What is shown, without the style."""
    template: str
    """The caption with the literal marker "{style}" where the style is named."""
    path: Path | None = None
    """None until the picture of a prompt-only example has been made."""

    def prompt(self, style: str) -> str:
        return self.template.replace(STYLE, style)

    def styleless(self) -> str:
        return self.content


@dataclass(frozen=True)
class Group:
    """One style. An empty slug is made from the name; empty descriptors are the style phrase."""

    name: str
    slug: str
    style: str
    """The phrase that prompts use."""
    descriptors: tuple[str, ...]
    """Up to three phrases that describe the style, to compare styles by."""
    examples: tuple[Example, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "slug", self.slug or slugify(self.name))
        object.__setattr__(self, "descriptors", tuple(self.descriptors) or (self.style,))


@dataclass(frozen=True)
class StyleGroups:
    """Two or more groups that can be told apart. Raises GroupsError when they cannot."""

    groups: tuple[Group, ...]
    source: str
    """ "folder" or "prompts"."""
    reading: Reading | None = field(default=None, compare=False, repr=False)
    """Of a folder: what was read, guessed and left out."""

    def __post_init__(self) -> None:
        if len(self.groups) < 2:
            have = f'only "{self.groups[0].name}"' if self.groups else "no groups"
            raise GroupsError(
                f"there is {have}: unlearning one group needs other groups to keep; "
                "add a second folder or style."
            )
        if len(self.groups) > MAX_GROUPS:
            raise GroupsError(
                f"there are {len(self.groups)} groups; the most allowed is {MAX_GROUPS}."
            )
        named = ((captions.nfc(g.name).casefold(), g) for g in self.groups)
        _refuse_repeats(named, "have the same name but for upper and lower case; rename one")
        slugs = ((g.slug, g) for g in self.groups)
        _refuse_repeats(slugs, "would share the file name {}; rename one")
        for group in self.groups:
            _check_group(group)
        styles = ((" ".join(g.style.casefold().split()), g) for g in self.groups)
        _refuse_repeats(styles, "have the same style phrase {}; give each its own")

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(g.name for g in self.groups)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is doubtful about the pictures, as far as they were checked."""
        doubts = self.reading.doubts if self.reading else []
        return tuple(text for names, text in doubts if set(names) <= set(self.names))

    def __iter__(self) -> Iterator[Group]:
        return iter(self.groups)

    def __len__(self) -> int:
        return len(self.groups)

    def __getitem__(self, name: str) -> Group:
        for group in self.groups:
            if group.name == name:
                return group
        raise GroupsError(f'there is no group "{name}"; choose one of: {", ".join(self.names)}.')

    def subset(self, names: Sequence[str]) -> StyleGroups:
        return StyleGroups(tuple(self[n] for n in dict.fromkeys(names)), self.source, self.reading)

    def others(self, name: str) -> tuple[Group, ...]:
        """The groups of D_-k when `name` is k."""
        forget = self[name]
        return tuple(g for g in self.groups if g is not forget)

    @functools.cached_property
    def manifest_hash(self) -> str:
        """Of names, phrases, captions and files; not of their order or of where the files lie."""
        rows = [
            (
                g.name,
                g.style,
                g.descriptors,
                sorted((e.id, e.content, e.template, _file_hash(e.path)) for e in g.examples),
            )
            for g in self.groups
        ]
        return digest("groups", sorted(rows))


def split_heldout(group: Group, share: float) -> tuple[tuple[Example, ...], tuple[Example, ...]]:
    """(train, heldout): `share` of the examples, at least 1 held out and 2 not, by their ids' hash.

    The order of the examples does not matter, and a larger share holds out a superset. As the
    hash leaves the group out, pictures with the same id are held out in all groups alike.
    """
    if len(group.examples) < 3:
        raise GroupsError(
            f'group "{group.name}" has {len(group.examples)} examples; give at least '
            f"{MIN_EXAMPLES}, as some are held out."
        )
    ranked = sorted(group.examples, key=lambda e: digest("heldout", e.id))
    n = min(max(1, round(share * len(ranked))), len(ranked) - 2)
    return tuple(ranked[n:]), tuple(ranked[:n])


def _file_hash(path: Path | None) -> str:
    if path is None:
        return ""
    h = hashlib.blake2b(digest_size=16)
    try:
        with open_file(path) as file:
            while part := file.read(1 << 20):
                h.update(part)
    except (OSError, GroupsError) as error:
        raise GroupsError(
            f"{path} cannot be read any more; put it back or load the groups again."
        ) from error
    # Without them, the name is that of versions which did not look for any.
    return h.hexdigest() + "".join(f" {mark}" for mark in pictures.marks(path))


def _refuse_repeats(keyed: Iterable[tuple[str, Group]], problem: str) -> None:
    seen: dict[str, Group] = {}
    for key, group in keyed:
        if key in seen:
            problem = problem.format(f"'{key}'")
            raise GroupsError(f"groups '{seen[key].name}' and '{group.name}' {problem}.")
        seen[key] = group


def _check_group(group: Group) -> None:
    if not group.style.strip():
        raise GroupsError(f'group "{group.name}" has no style phrase; give one in groups.json.')
    if max(len(x) for x in (group.name, *group.descriptors, group.style)) > LONGEST:
        raise GroupsError(
            f'group "{group.name[:40]}" has a phrase of more than {LONGEST} characters; shorten it.'
        )
    captions.check_descriptors(group.descriptors, f'group "{group.name}"')
    if group.slug != slugify(group.slug):
        raise GroupsError(
            f'group "{group.name}" has the slug "{group.slug}"; use slugify to make it portable.'
        )
    if len(group.examples) < MIN_EXAMPLES:
        raise GroupsError(
            f'group "{group.name}" has {len(group.examples)} pictures; give at least '
            f"{MIN_EXAMPLES}."
        )
    repeated, times = Counter(e.id for e in group.examples).most_common(1)[0]
    if times > 1:
        raise GroupsError(f'group "{group.name}" has "{repeated}" {times} times; keep one.')
    try:
        for e in group.examples:
            "\n".join((group.name, e.id, e.content, e.template)).encode("utf-8")
    except UnicodeEncodeError as error:
        raise GroupsError(
            f"group {group.name!a}: {error.object!a} holds characters that are not Unicode text; "
            "rename the file or correct the caption."
        ) from error
