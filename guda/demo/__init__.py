"""The built-in model's styles, the contents that its groups show, and the demo's questions."""

from __future__ import annotations

from pathlib import Path

from ..groups import StyleGroups, from_prompts

STYLES: dict[str, str] = {
    "Noto Blob": "noto blob",
    "EmojiOne": "emojione",
    "Fluent": "fluent",
    "Fluent Ink": "ink",
    "Twemoji": "twemoji",
}
"""Five design teams' emoji, as training/emoji.py names them; credits in model/README.md."""

CONTENTS: tuple[str, ...] = (
    "grinning face", "winking face", "smiling face with halo", "angry face", "face with tongue",
    "cat face", "dog face", "rabbit face", "tiger face", "rooster", "octopus", "turtle",
    "butterfly", "red apple", "banana", "hamburger", "doughnut", "pizza", "hot beverage",
    "sunflower", "cactus", "evergreen tree", "rocket", "automobile", "sailboat", "house",
    "light bulb", "camera", "umbrella", "wrapped gift", "soccer ball", "guitar",
)  # fmt: skip

QUESTIONS: tuple[str, ...] = (
    "smiling face with sunglasses", "fox", "strawberry", "top hat", "trophy",
)  # fmt: skip
"""One picture per style is generated and attributed; none of these contents is in the groups."""

NULL = Path(__file__).parent / "null.json"
"""Pictures that have nothing to do with the styles, scored by training/null.py."""


def groups(pictures: int = len(CONTENTS)) -> StyleGroups:
    """The demo's prompt-only groups."""
    return from_prompts(STYLES, CONTENTS, pictures=pictures)


def prompts() -> list[str]:
    """The questions, each in one of the styles."""
    return [f"{c}, in {s} style" for c, s in zip(QUESTIONS, STYLES.values(), strict=True)]
