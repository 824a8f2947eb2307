"""Where the styles lie below a folder: as its folders, in splits, or as kohya's trainer has it.

styles/Ink/fox.png                       a folder per style
styles/train/Ink/.., styles/test/Ink/..  splits, or folders such as "img", around those
styles/img/10_ink/..                     kohya: repeats and name; "reg", "log", "model" beside
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple, NoReturn

from ..errors import GroupsError
from . import formats, leftovers
from .names import SPLITS, is_holder, nfc, unrepeated, words
from .remarks import HIDDEN, NO_STYLE, Reason, Remarks, unread

SET_ASIDE = Reason('folder set aside by "_"', 'folders set aside by "_"')
KNOWN_FILES = words(
    """
    groups.json metadata.jsonl metadata.csv readme.md readme.txt readme license license.txt
    license.md licence
    """
)


class StyleFolder(NamedTuple):
    name: str
    parts: tuple[tuple[str, Path], ...]
    """(what goes before the ids of its pictures, folder); most styles have one, with ""."""
    repeats: bool
    """Whether the folder's name had kohya's repeats before the style's."""


def style_folders(root: Path, pinned: Collection[str], remarks: Remarks) -> list[StyleFolder]:
    """The styles' folders below `root`, sorted by name; `pinned` names are styles in any case.

    Raises GroupsError when there are none.
    """
    if not root.is_dir():
        what = "is a file" if root.exists() else "was not found"
        raise GroupsError(f"{root} {what}; give a folder that holds one folder per style.")
    below = _below(root, root, pinned, remarks)
    if not below:
        raise GroupsError(f"{root} holds no folders; make one folder of pictures per style.")
    named: dict[str, list[Path]] = {}
    repeated = []
    for folder in sorted(below):
        name = nfc(folder.name)
        if name not in pinned and (bare := _unrepeated(folder, below)) != folder.name:
            repeated.append(f'{_relative(folder, root)} is "{bare}"')
            name = nfc(bare)
        named.setdefault(_same(name, folder, named), []).append(folder)
    if repeated:
        remarks.guess(f"the numbers before names are kohya's repeats: {', '.join(repeated)}")
    return [
        StyleFolder(name, _prefixed(name, folders, root, remarks), _is_repeated(name, folders))
        for name, folders in sorted(named.items())
    ]


def _below(root: Path, top: Path, pinned: Collection[str], remarks: Remarks) -> list[Path]:
    """The styles' folders in `root`, which is `top` or a folder around styles in it."""
    children = _children(root, top, remarks)
    holders = [c for c in children if c.name not in pinned and _holds_styles(c)]
    kohya = any(unrepeated(c.name) != c.name for h in holders for c in _folders(h))
    side = [c for c in children if c not in holders and leftovers.is_side(c.name)]
    side = [c for c in side if c.name not in pinned and (kohya or not has_pictures(c))]
    plain = [c for c in children if c not in holders and c not in side]
    inside = {nfc(c.name).casefold() for h in holders for c in _folders(h)}
    apart = [c for c in plain if has_pictures(c) and nfc(c.name).casefold() not in inside]
    if apart:  # beside styles, "data" or "test" is a style like them
        holders, plain = [], sorted([*plain, *holders])
    for folder in plain:
        if is_holder(folder.name) and has_pictures(folder):
            remarks.guess(f'"{folder.name}" is read as a style; rename it "_..." if it is none')
    for folder in side:
        remarks.leave(leftovers.SIDE, _relative(folder, top))
    _refuse_bare_splits(root, [c for c in plain if c.name not in pinned])
    if holders:
        names = ", ".join(_relative(h, top) for h in holders)
        remarks.guess(f"the styles are the folders in {names}, read together")
        plain = [c for c in plain if has_pictures(c)]
    return plain + [f for holder in holders for f in _below(holder, top, pinned, remarks)]


def _children(root: Path, top: Path, remarks: Remarks) -> list[Path]:
    kept = []
    for path in _listed(root):
        name = _relative(path, top)
        if _leads_up(path):
            continue
        if path.is_dir():
            reason = leftovers.folder_reason(path)
            if reason is None and path.name.startswith("_"):
                reason = SET_ASIDE
            if reason is None:
                kept.append(path)
            else:
                remarks.leave(reason, name)
        elif path.name.startswith("."):
            remarks.leave(HIDDEN, name)
        elif path.name.casefold() not in KNOWN_FILES and not leftovers.is_junk(path.name):
            other = formats.kind(path) == "other"
            remarks.leave(unread(path.suffix.lower()) if other else NO_STYLE, name)
    return kept


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir(), key=lambda p: p.name)
    except OSError as error:
        unreadable(error)


def _folders(folder: Path) -> list[Path]:
    """Those that may hold pictures of styles."""
    return [
        p
        for p in _listed(folder)
        if p.is_dir()
        and p.name[0] not in "._"
        and not _leads_up(p)
        and leftovers.folder_reason(p) is None
    ]


def _leads_up(path: Path) -> bool:
    """A link to a folder that it lies in would be walked for ever."""
    return path.is_symlink() and path.resolve() in path.parent.resolve().joinpath("x").parents


def has_pictures(folder: Path) -> bool:
    """Anywhere below, by the endings of files."""
    for base, dirs, names in os.walk(folder, followlinks=False):
        dirs[:] = [d for d in dirs if leftovers.folder_reason(Path(base, d)) is None]
        if any(formats.kind(Path(base, n)) != "other" for n in names if n[0] != "."):
            return True
    return False


def _holds_styles(folder: Path) -> bool:
    """Of `train`, `img` and such: whether there are folders of styles in it."""
    return is_holder(folder.name) and any(
        has_pictures(f) and (not is_holder(f.name) or _holds_styles(f)) for f in _folders(folder)
    )


def _refuse_bare_splits(root: Path, folders: list[Path]) -> None:
    full = [f for f in folders if has_pictures(f)]
    if full and all(f.name.casefold() in SPLITS for f in full):
        names = " and ".join(f.name for f in full)
        raise GroupsError(
            f"{root} holds the split{'s' if len(full) > 1 else ''} {names} with pictures of no "
            "style; make one folder per style in each."
        )


def _unrepeated(folder: Path, found: list[Path]) -> str:
    """Four digits may be a year: they are repeats only where every folder beside has some."""
    bare = unrepeated(folder.name)
    if re.match(r"\d{4}", folder.name):
        beside = [f for f in found if f.parent == folder.parent]
        return bare if all(unrepeated(f.name) != f.name for f in beside) else folder.name
    return bare


def _same(name: str, folder: Path, named: dict[str, list[Path]]) -> str:
    """The name under which another split, or other repeats, hold the same style."""
    for other, folders in named.items():
        if other.casefold() == name.casefold() and not any(
            f.parent == folder.parent and f.name == other and folder.name == name for f in folders
        ):
            return other
    return name


def _is_repeated(name: str, folders: list[Path]) -> bool:
    return any(nfc(f.name).casefold() != name.casefold() for f in folders)


def _prefixed(
    name: str, folders: list[Path], root: Path, remarks: Remarks
) -> tuple[tuple[str, Path], ...]:
    """Pictures of one folder keep their ids; of several, they have the split's name before them."""
    if len(folders) == 1:
        return (("", folders[0]),)
    names = [_relative(f, root) for f in folders]
    remarks.guess(f'"{name}" is read from {" and ".join(names)}')
    above = [Path(n).parent.as_posix() for n in names]
    before = above if len(set(above)) == len(above) else names
    before = ["" if b == "." else nfc(b) + "/" for b in before]
    return tuple(zip(before, folders, strict=True))


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()


def unreadable(error: OSError) -> NoReturn:
    raise GroupsError(
        f"{error.filename} cannot be read ({error.strerror}); check its rights."
    ) from error
