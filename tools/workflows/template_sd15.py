"""The example workflows for a checkpoint of Stable Diffusion 1.5."""

from __future__ import annotations

from ..comfy.graphs import node
from .template import AMBER, BLUE, Template, one_picture

CHECKPOINT = "v1-5-pruned-emaonly-fp16.safetensors"
ARTISTS = (
    "Van Gogh: Vincent van Gogh\nMonet: Claude Monet\nHokusai: Katsushika Hokusai\n"
    "Rembrandt: Rembrandt van Rijn"
)
TEMPLATE = "{content} in the style of {style}"
SET = "artists-sd15"
DRAWING = {"steps": 25, "guidance": 7.5, "batch_size": 4}
GROUPS = {
    "styles": ARTISTS,
    "contents": "",
    "template": TEMPLATE,
    "pictures": 32,
    "seed": 0,
    **DRAWING,
}
QUESTION = "a village street at night under a sky of swirling stars, thick brush strokes"

ARTISTS_SD15 = Template(
    "artists_sd15",
    6,
    one_picture(
        {"model": CHECKPOINT},
        node("GudaGroupsFromPrompts", model=["1", 0], **GROUPS),
        {"set_name": SET},
        {"prompts": QUESTION, **DRAWING},
        {"batch_size": 8},
        "guda/artists",
        node("PreviewImage", images=["2", 1]),
    ),
    {
        1: ("", 0, 270, 400, 190),
        2: ("", 0, 510, 400, 460),
        8: ("What stands for each painter", 0, 1020, 400, 400),
        3: ("", 460, 50, 380, 560),
        9: ("Was each painter forgotten?", 460, 660, 380, 760),
        4: ("", 900, 50, 360, 330),
        10: ("A picture to ask about", 900, 430, 360, 400),
        5: ("", 1320, 50, 620, 1370),
        6: ("", 2000, 50, 380, 170),
        11: ("Where the leading painter shows", 2000, 270, 380, 460),
        7: ("", 2000, 780, 380, 150),
    },
    {
        "1  Model and painters": (-20, 205, 440, 1235, BLUE),
        "2  Unlearn every painter": (440, -30, 420, 1470, BLUE),
        "3  A picture": (880, -30, 400, 880, BLUE),
        "4  Whose manner is it?": (1300, -30, 660, 1470, AMBER),
        "5  Results": (1980, -30, 420, 980, BLUE),
    },
    (-40, -70, 1360),
    """### Whose manner does Stable Diffusion 1.5 follow here?

Choose your checkpoint in *Load Base Model*. No pictures of the painters are needed: the model \
draws 32 everyday subjects in the manner of each. Write other names into `styles`, as `Name: the \
words of a prompt`.
""",
)


def sampler(model: list) -> dict:
    """Both draw alike; only the model differs."""
    return node(
        "KSampler",
        model=model,
        positive=["6", 0],
        negative=["7", 0],
        latent_image=["8", 0],
        seed=["9", 0],
        steps=25,
        cfg=7.5,
        scheduler="normal",
    )


WITHOUT_STYLE = Template(
    "without_style",
    7,
    {
        "1": node("CheckpointLoaderSimple", ckpt_name=CHECKPOINT),
        "2": node("GudaModelFromGraph", model=["1", 0], clip=["1", 1], vae=["1", 2], name="sd15"),
        "3": node("GudaGroupsFromPrompts", model=["2", 0], **GROUPS),
        "4": node("GudaUnlearn", model=["2", 0], groups=["3", 0], set_name=SET),
        "5": node("PrimitiveStringMultiline", value=QUESTION),
        "6": node("CLIPTextEncode", clip=["1", 1], text=["5", 0]),
        "7": node("CLIPTextEncode", clip=["1", 1], text=""),
        "8": node("EmptyLatentImage", width=512, height=512, batch_size=1),
        "9": node("PrimitiveInt", value=1),
        "10": sampler(["1", 0]),
        "11": node("VAEDecode", samples=["10", 0], vae=["1", 2]),
        "12": node("PreviewImage", images=["11", 0]),
        "13": node(
            "GudaAttribute",
            model=["2", 0],
            counterfactuals=["4", 0],
            latent=["10", 0],
            prompt=["5", 0],
            batch_size=8,
        ),
        "14": node(
            "GudaWithoutStyle", model=["1", 0], counterfactuals=["4", 0], attribution=["13", 0]
        ),
        "15": sampler(["14", 0]),
        "16": node("VAEDecode", samples=["15", 0], vae=["1", 2]),
        "17": node("PreviewImage", images=["16", 0]),
        "18": node("PreviewAny", source=["14", 1]),
    },
    {
        1: ("", 0, 270, 400, 110),
        2: ("", 0, 430, 400, 190),
        3: ("", 0, 670, 400, 460),
        4: ("", 460, 50, 380, 560),
        5: ("The prompt", 900, 50, 360, 150),
        6: ("Positive", 900, 250, 360, 90),
        7: ("Negative", 900, 390, 360, 110),
        8: ("", 900, 550, 360, 110),
        9: ("The seed of both pictures", 900, 710, 360, 90),
        10: ("With every style", 1320, 50, 340, 270),
        11: ("", 1320, 370, 340, 60),
        12: ("With every style", 1320, 480, 340, 360),
        13: ("", 1720, 50, 560, 1080),
        14: ("", 2340, 50, 340, 150),
        15: ("Without the leading style", 2340, 250, 340, 270),
        16: ("", 2340, 570, 340, 60),
        17: ("Without the leading style", 2340, 680, 340, 360),
        18: ("The style left out", 2340, 1090, 340, 90),
    },
    {
        "1  Model and painters": (-20, 205, 440, 945, BLUE),
        "2  Unlearn every painter": (440, -30, 420, 1180, BLUE),
        "3  Prompt and seed": (880, -30, 400, 850, BLUE),
        "4  The picture": (1300, -30, 380, 890, BLUE),
        "5  Which style leads?": (1700, -30, 600, 1180, AMBER),
        "6  The same seed without it": (2320, -30, 380, 1230, AMBER),
    },
    (1280, -70, 1440),
    """### The same seed, with and without the style that leads

*Attribute to Styles* scores the latents of the first KSampler; *Without This Style* patches the \
leading style's counterfactual into the model, and the second KSampler draws the same seed again. \
Choose your checkpoint in *Load Checkpoint*.
""",
)
