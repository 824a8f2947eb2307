"""Names that no model can know, to be held against those of styles."""

from __future__ import annotations

MADE_UP: tuple[str, ...] = (
    "qzorp vlim", "cizoril jugax", "fanofil", "vozi dobul", "najun gutha", "tarikin", "culo brem",
    "gadulex", "jusux vidifo", "bifexa", "safeka", "mip torvane", "drelluk", "obisk", "hantavel",
    "yorp", "kesmir dawl", "plovint", "ruzzam", "wexil tormo", "gnaffen", "leprid", "zubimar",
    "trask ovule", "phenvo", "morbisel", "idruk", "skelvan jep", "umbrazit", "vantok", "belquor",
    "nistrapo",
)  # fmt: skip
"""Of one word and two, short and long, spelt out of the air and looked up by nobody."""
