"""Style groups: pictures, or prompts for pictures to be made, that share a style."""

from .captions import parse_contents, parse_styles
from .group import Example, Group, StyleGroups, split_heldout
from .load import check_pictures, load_folder
from .prompt_only import from_prompts

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
