"""What prompt-only groups show where nobody says: subjects that any artist could be asked for."""

from __future__ import annotations

CONTENTS: tuple[str, ...] = (
    "a portrait of a woman", "a portrait of an old man", "a child at play", "a crowd in a square",
    "two people at a table", "a dancer", "a sleeping cat", "a running dog", "a horse in a field",
    "a bird on a branch", "a bowl of fruit", "a vase of flowers", "a table laid for dinner",
    "a window", "an empty chair", "a village street", "a city at night", "a bridge over a river",
    "a harbour with boats", "a stormy sea", "a lighthouse", "a forest path", "a single tree",
    "a field of wheat", "a garden in bloom", "mountains in snow", "a valley in the morning",
    "clouds at sunset", "a starry night", "a ruined castle", "a train", "a sailing ship",
)  # fmt: skip
