"""Style groups from a folder: read, and looked at."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from ..config import UnlearnConfig
from ..errors import GroupsError
from ..files import slugify
from . import captions, folders, layout, looks
from .group import MIN_EXAMPLES, Example, Group, StyleGroups, split_heldout
from .phrases import TEMPLATE
from .remarks import Reading, Remarks

HELD_OUT = UnlearnConfig().heldout
"""The share of pictures with which a style is checked, unless told otherwise."""


def load_folder(root: Path, *, template: str | None = None) -> StyleGroups:
    """`<root>/<Group>/**/<picture>` with captions; see the README for the forms they may have.

    Folders whose names start with "." or "_" are left out, and so is what other programs leave
    beside pictures; `reading` of the result says what. Reads the header of every picture;
    `check_pictures` reads the rest. Raises GroupsError or ImageError naming the file.
    """
    root = Path(root)
    if template is not None:
        captions.check_template(template, "the template")
    remarks = Remarks()
    styles = layout.style_folders(root, captions.phrase_names(root / "groups.json"), remarks)
    names = [style.name for style in styles]
    phrases = captions.read_phrases(root / "groups.json", names)
    template = template or phrases.template or TEMPLATE
    own = [Remarks() for _ in styles]
    scans = [
        [(before, folders.scan(path, said)) for before, path in style.parts]
        for style, said in zip(styles, own, strict=True)
    ]
    tables = folders.Tables(
        folders.tables_above(root, styles) + [t for s in scans for _, one in s for t in one.tables],
        [p for s in scans for _, one in s for p in (*one.pictures.values(), *one.left)],
        remarks,
    )
    groups = []
    for style, scanned, said in zip(styles, scans, own, strict=True):
        phrase = phrases.styles.get(style.name) or captions.phrase_of(style.name, style.repeats)
        also = (style.name,) if style.name.casefold() != phrase else ()
        members = folders.read_group(scanned, tables, (phrase, *also), template, said)
        if len(members) < MIN_EXAMPLES and (left := said.lines_left_out()):
            raise GroupsError(
                f'group "{style.name}" has {len(members)} pictures; give at least {MIN_EXAMPLES}. '
                f"Left out: {'; '.join(left)}."
            )
        examples = tuple(Example(f.key, *f.caption, f.path) for f in members)
        described = phrases.descriptors.get(style.name, ())
        groups.append(Group(style.name, slugify(style.name), phrase, described, examples))
    by_name = dict(zip(names, own, strict=True))
    return StyleGroups(tuple(groups), "folder", Reading(root, remarks, by_name))


def check_pictures(groups: StyleGroups) -> None:
    """Decode every picture fully. Raises ImageError for the first that is damaged.

    Of groups from a folder, what is doubtful about their pictures is added to `reading`.
    """
    seen = []
    for group in groups:
        held = {e.id for e in split_heldout(group, HELD_OUT)[1]}
        for e in group.examples:
            if e.path is not None:
                seen.append(looks.Seen(group.name, e.id, e.id in held, looks.look(e.path)))
    if groups.reading is not None:
        groups.reading.doubts = looks.doubts(seen)
        for name, remarks in groups.reading.styles.items():
            marks = Counter(m for s in seen if s.style == name for m in s.look.marks)
            for mark, n in marks.items():
                verb = "picture is" if n == 1 else "pictures are"
                remarks.guess(f"{n} {verb} {looks.MARKS[mark]}")
