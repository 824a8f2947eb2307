"""A small drawing surface in pixels, over matplotlib's Agg canvas (no pyplot, nothing global).

Coordinates and sizes are logical pixels with the origin at the top left; `scale` maps them to the
picture's pixels.
"""

from __future__ import annotations

import unicodedata
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

from PIL import Image, ImageDraw

from ..escape import visible

# opaque near-white paper reads on light and on dark canvases
PAPER, INK, FAINT, HAIRLINE = "#fbfaf7", "#23272e", "#646c78", "#dcdad4"
# Okabe & Ito (2008): told apart with every common colour blindness
BLUE, SKY, ORANGE, VERMILION, GREEN = "#0072b2", "#56b4e9", "#e69f00", "#d55e00", "#009e73"
QUIET = "#b7bec8"
ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"
JOINER = "\N{ZERO WIDTH JOINER}"
# names in other scripts: whichever of these the machine has
_FALLBACKS = (
    "Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans JP", "Noto Sans SC", "Microsoft YaHei",
    "Yu Gothic", "Meiryo", "Malgun Gothic", "Hiragino Sans", "PingFang SC", "Arial Unicode MS",
    "WenQuanYi Zen Hei", "Segoe UI Emoji", "Noto Sans Devanagari",
)  # fmt: skip


@cache
def _families() -> list[str]:
    from matplotlib.font_manager import fontManager

    installed = {font.name for font in fontManager.ttflist}
    return ["DejaVu Sans", *(name for name in _FALLBACKS if name in installed)]


@cache
def _font(size: float, bold: bool) -> Any:
    from matplotlib.font_manager import FontProperties

    # size in points at 100 dots per inch
    return FontProperties(family=_families(), size=size * 0.72, weight="bold" if bold else "normal")


class Canvas:
    """Rectangles, lines, text and pictures on an opaque sheet of `width` x `height`."""

    def __init__(self, width: float, height: float, *, scale: float = 1.0, paper: str = PAPER):
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        self.width, self.height, self.scale = width, height, scale
        pixels = max(1, round(width * scale)), max(1, round(height * scale))
        figure = Figure(figsize=(pixels[0] / 100, pixels[1] / 100), dpi=100, facecolor=paper)
        self._agg, self._figure, self._pixels = FigureCanvasAgg(figure), figure, pixels
        self._pictures: list[tuple[Image.Image, tuple[int, int]]] = []
        self._framed = False

    def _at(self, x: float, y: float) -> tuple[float, float]:
        return x * self.scale, self._pixels[1] - y * self.scale

    def _add(self, artist: Any) -> None:
        from matplotlib.transforms import IdentityTransform

        artist.set_transform(IdentityTransform())
        artist.set_zorder(len(self._figure.get_children()))  # later covers earlier
        self._figure.add_artist(artist)

    def rect(
        self, x: float, y: float, w: float, h: float, color: str, *, edge: str | None = None
    ) -> None:
        from matplotlib.patches import Rectangle

        left, bottom = self._at(x, y + h)
        self._add(
            Rectangle(
                (left, bottom), w * self.scale, h * self.scale,
                facecolor=color, edgecolor=edge or "none", linewidth=0.72 * self.scale,
            )
        )  # fmt: skip

    def frame(self) -> None:
        """A hairline along the sheet's edges, which shows it on a ground of its own colour."""
        self._framed = True

    def line(
        self, xs: Sequence[float], ys: Sequence[float], color: str, width: float = 1.0,
        *, alpha: float = 1.0,
    ) -> None:  # fmt: skip
        from matplotlib.lines import Line2D

        points = [self._at(x, y) for x, y in zip(xs, ys, strict=True)]
        self._add(
            Line2D(
                [p[0] for p in points], [p[1] for p in points],
                color=color, linewidth=width * 0.72 * self.scale, alpha=alpha,
                solid_capstyle="round", solid_joinstyle="round",
            )
        )  # fmt: skip

    def text(
        self, x: float, y: float, text: str, size: float = 13, color: str = INK,
        *, bold: bool = False, align: str = "left",
    ) -> None:  # fmt: skip
        """One line whose middle is at `y`; see `fit` for one that may be too long."""
        from matplotlib.text import Text

        left, middle = self._at(x, y)
        self._add(
            Text(
                left, middle, text, color=color, fontproperties=_font(size * self.scale, bold),
                ha=align, va="center_baseline", parse_math=False,
            )
        )  # fmt: skip

    def picture(self, image: Image.Image, x: float, y: float, w: float, h: float) -> None:
        size = max(1, round(w * self.scale)), max(1, round(h * self.scale))
        if image.size != size:
            image = image.resize(size, Image.Resampling.LANCZOS)
        self._pictures.append((image, (round(x * self.scale), round(y * self.scale))))

    def width_of(self, text: str, size: float = 13, *, bold: bool = False) -> float:
        renderer = self._agg.get_renderer()
        with _missing_glyphs_allowed():
            width, _, _ = renderer.get_text_width_height_descent(
                text, _font(size * self.scale, bold), False
            )
        return width / self.scale

    def fit(self, text: str, size: float, room: float, *, bold: bool = False) -> str:
        """`text` on one line, its end replaced by an ellipsis where it is wider than `room`."""
        text = visible(" ".join(text.split())[:400])
        if self.width_of(text, size, bold=bold) <= room:
            return text
        count = self._prefix(text, size, room, bold, ELLIPSIS)
        return text[:count].rstrip() + ELLIPSIS

    def wrap(
        self, text: str, size: float, room: float, *, lines: int = 2, bold: bool = False
    ) -> list[str]:
        """`text` on at most `lines` lines, of which the last is shortened.

        Broken at spaces, and within a word where that alone is wider than a line, as those of
        scripts without spaces are.
        """
        left, done = visible(" ".join(text.split())), []
        while left and len(done) < lines - 1:
            if self.width_of(left, size, bold=bold) <= room:
                return [*done, left]
            count = max(1, self._prefix(left, size, room, bold))
            space = left.rfind(" ", 0, count + 1)
            count = _unbroken(left, count) if space < 1 else space
            done.append(left[:count])
            left = left[count:].lstrip()
        return [*done, self.fit(left, size, room, bold=bold)] if left else done

    def _prefix(self, text: str, size: float, room: float, bold: bool, end: str = "") -> int:
        """How many characters of a text that is too long fit, with `end` after them."""
        low, high = 0, min(len(text), 400)
        while low < high:
            middle = (low + high + 1) // 2
            fits = self.width_of(text[:middle].rstrip() + end, size, bold=bold) <= room
            low, high = (middle, high) if fits else (low, middle - 1)
        return low

    def image(self) -> Image.Image:
        """The sheet as an opaque RGB picture."""
        with _missing_glyphs_allowed():
            self._agg.draw()
        size = self._agg.get_width_height()
        drawn = Image.frombuffer("RGBA", size, bytes(self._agg.buffer_rgba())).convert("RGB")
        for image, corner in self._pictures:
            drawn.paste(image, corner)
        if self._framed:
            right, bottom = size[0] - 1, size[1] - 1
            width = max(1, round(self.scale))
            ImageDraw.Draw(drawn).rectangle((0, 0, right, bottom), outline=HAIRLINE, width=width)
        return drawn


def _unbroken(text: str, count: int) -> int:
    """`count`, or less, so that no mark is parted from its letter, no joined sign in two."""
    at = count
    while 1 < at < len(text) and (
        unicodedata.category(text[at]) in {"Mn", "Mc", "Me", "Cf"} or text[at - 1] == JOINER
    ):
        at -= 1
    return at if at > 1 else count


@contextmanager
def _missing_glyphs_allowed() -> Iterator[None]:
    """A name in a script without a font is drawn as boxes; that is no reason to warn."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield
