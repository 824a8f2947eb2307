"""Style groups: pictures, or prompts for pictures to be made, that share a style."""

from .captions import parse_contents, parse_styles
from .group import (
    Example,
    Group,
    StyleGroups,
    check_pictures,
    from_prompts,
    load_folder,
    split_heldout,
)

__all__ = [
    "Example",
    "Group",
    "StyleGroups",
    "check_pictures",
    "from_prompts",
    "load_folder",
    "parse_contents",
    "parse_styles",
    "split_heldout",
]
