"""The whole way in one graph: every style is unlearned, and pictures are held against all."""

from __future__ import annotations

from ..comfy.graphs import node
from .template import AMBER, BLUE, Template

EVERY_STYLE = Template(
    "every_style_unlearned",
    5,
    {
        "1": node("GudaLoadModel"),
        "2": node("GudaGroupsFromPrompts", model=["1", 0]),
        "3": node("GudaUnlearn", model=["1", 0], groups=["2", 0]),
        "4": node("GudaGeneratePictures", model=["1", 0]),
        "5": node(
            "GudaAttribute",
            model=["1", 0],
            counterfactuals=["3", 0],
            image=["4", 0],
            prompt=["4", 1],
        ),
        "6": node("GudaHeatMap", attribution=["5", 0]),
        "7": node("GudaSaveReport", attribution=["5", 0]),
        "8": node("PreviewImage", images=["2", 1]),
        "9": node("PreviewAny", source=["3", 2]),
        "10": node("PreviewImage", images=["4", 0]),
        "11": node("PreviewImage", images=["5", 2]),
        "12": node("PreviewImage", images=["5", 3]),
        "13": node("PreviewAny", source=["5", 1]),
        "14": node("PreviewImage", images=["6", 0]),
    },
    {
        1: ("", 0, 270, 400, 170),
        2: ("", 0, 490, 400, 460),
        8: ("Preview: what stands for each style", 0, 1000, 400, 400),
        3: ("", 460, 50, 380, 560),
        9: ("Was each style forgotten?", 460, 660, 380, 740),
        4: ("", 900, 50, 360, 330),
        10: ("Preview: pictures to ask about", 900, 430, 360, 400),
        5: ("", 1320, 50, 620, 1350),
        11: ("Preview: charts", 2000, 50, 420, 300),
        12: ("Preview: heat maps", 2000, 400, 420, 380),
        13: ("All scores as a table", 2000, 830, 420, 570),
        6: ("", 2480, 50, 380, 170),
        14: ("Preview: style heat map", 2480, 270, 380, 460),
        7: ("", 2480, 780, 380, 620),
    },
    {
        "1  Model and styles": (-20, 205, 440, 1215, BLUE),
        "2  Unlearn every style": (440, -30, 420, 1450, BLUE),
        "3  Pictures to ask about": (880, -30, 400, 880, BLUE),
        "4  Which styles did the model lean on?": (1300, -30, 660, 1450, AMBER),
        "5  Results": (1980, -30, 900, 1450, BLUE),
    },
    (-40, -70, 2940),
    """### Which styles did the model learn this picture from?

The built-in demo model draws five pictures, and for each of its five emoji styles *Unlearn \
Styles* makes a version of the model that never learned that style. *Attribute to Styles* \
measures, in nats, how much worse each version fits the picture than the full model: the longer \
the bar, the more the model leaned on the style. Press **Run** (a few minutes without a GPU); to \
ask about a picture of your own, link *Load Image* to `image` and describe it in `prompt`.
""",
    runs=True,
)
