"""A small attribution with everything a real one has, and names that try to break a report."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image, ImageDraw

from guda.scoring.verdict import Attribution, ImageScores, score

GROUPS = ("Twemoji", "Noto blob", "OpenMoji", "Fluent|flat <b>", "=SUM(A1)")
PROMPTS = (
    "fox face, in twemoji style",
    "=cmd|' /C calc'!A0",
    "a <script>alert(1)</script> | pipe\nsecond",
)
# per picture: each group's delta in nats, and how noisy its estimate is
DELTAS = ((12.3, 4.1, 1.2, -1.8, 0.4), (6.2, 5.6, 1.0, 0.3, -2.4), (0.2, 0.1, -0.1, -0.2, -0.3))
NOISE = (0.12, 0.1, 0.9)
STRATA = ((401, 999), (161, 400), (61, 160), (26, 60), (11, 25), (5, 10), (2, 4), (1, 1))
WEIGHTS = np.array([0.02, 0.04, 0.08, 0.14, 0.2, 0.24, 0.18, 0.1])


def face(index: int, side: int = 128) -> torch.Tensor:
    """(3, side, side): a drawn face, so that pictures look like pictures."""
    big = Image.new("RGB", (4 * side, 4 * side), ("#ffffff", "#20242c", "#dff0e6")[index])
    draw, u = ImageDraw.Draw(big), 4 * side / 100
    skin, dark = (("#ff9d2e", "#5b3a1a"), ("#ffd34d", "#4a3510"), ("#8ecae6", "#123047"))[index]
    draw.polygon([(12 * u, 8 * u), (40 * u, 26 * u), (14 * u, 50 * u)], fill=skin)
    draw.polygon([(88 * u, 8 * u), (60 * u, 26 * u), (86 * u, 50 * u)], fill=skin)
    draw.ellipse((10 * u, 18 * u, 90 * u, 92 * u), fill=skin)
    draw.pieslice((18 * u, 40 * u, 82 * u, 92 * u), 20, 160, fill="#fff4e0")
    for x in (34, 66):
        draw.ellipse(((x - 6) * u, 42 * u, (x + 6) * u, 56 * u), fill=dark)
        draw.ellipse(((x - 3) * u, 44 * u, x * u, 48 * u), fill="#ffffff")
    draw.arc((36 * u, 55 * u, 64 * u, 76 * u), 20, 160, fill=dark, width=round(3 * u))
    draw.ellipse((45 * u, 58 * u, 55 * u, 65 * u), fill=dark)
    small = big.resize((side, side), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.asarray(small).copy()).permute(2, 0, 1).float() / 255


def heat(delta: float, index: int, group: int, rng: np.random.Generator, side: int = 16):
    """(side, side) that sums to delta: a spot where the style shows, and noise."""
    y, x = np.mgrid[0:side, 0:side] / side
    spots = ((0.5, 0.62), (0.25, 0.3), (0.7, 0.3), (0.5, 0.2), (0.4, 0.8))
    cx, cy = spots[(group + index) % len(spots)]
    spot = np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / 0.02)
    noise = rng.normal(0, 0.012, (side, side))
    return delta * spot / spot.sum() + noise - noise.mean()


def sample(
    groups: tuple[str, ...] = GROUPS, *, weighting: str = "kl", confidence: float = 0.95
) -> Attribution:
    """Three pictures: one clear, one undecided, one of no tested style."""
    rng = np.random.default_rng(0)
    images, maps, profile = [], [], []
    for i, prompt in enumerate(PROMPTS):
        deltas = np.array(
            [DELTAS[i][k] if k < 5 else rng.normal(0, 0.4) for k in range(len(groups))]
        )
        spread = rng.normal(0, NOISE[i], (len(groups), len(STRATA)))
        spread -= spread.mean(-1, keepdims=True)
        halves = (deltas[:, None] * WEIGHTS)[..., None].repeat(2, -1) / 2
        halves += np.stack([spread, -spread], -1)
        contributions = halves.reshape(len(groups), -1)
        scores, outcome = score(groups, contributions, confidence)
        images.append(ImageScores(f"pictures/fox_{i}.png", prompt, outcome, scores, -2345.6 - i))
        maps.append([heat(d, i, k, rng) for k, d in enumerate(deltas)])
        profile.append(halves.sum(-1))
    return Attribution(
        images=tuple(images),
        groups=tuple(groups),
        pictures=torch.stack([face(i) for i in range(3)]),
        maps=torch.tensor(np.array(maps), dtype=torch.float32),
        profile=torch.tensor(np.array(profile), dtype=torch.float32),
        strata=STRATA,
        full_model={"name": "emoji-demo <v1>", "fingerprint": "b2a1c0ffee"},
        estimate={
            "evaluations": 16, "schedule": "log", "seed": 0, "weighting": weighting, "pilot": 16,
            "confidence": confidence, "batch_size": 32,
        },
        unet_evaluations=1248,
        seconds=21.4,
        version="0.1.0",
    )  # fmt: skip
