"""The example workflows that run on the built-in model."""

from __future__ import annotations

from guda.demo import STYLES

from ..comfy.graphs import node
from .template import AMBER, BLUE, Template, one_picture

ASKED = "guda_fox.png"  # as in nodes/offered.py, which puts it into the input folder

QUICK_START = Template(
    "quick_start",
    1,
    {
        "1": node("LoadImage", image=ASKED),
        "2": node("GudaLoadModel"),
        "3": node(
            "GudaAttribute",
            model=["2", 0],
            image=["1", 0],
            prompt="fox",
            styles="\n".join(f"{name}: {phrase}" for name, phrase in STYLES.items()),
        ),
        "4": node("GudaSaveReport", attribution=["3", 0]),
    },
    {
        1: ("The picture", 0, 330, 400, 420),
        2: ("The model that may have learned from the styles", 0, 800, 400, 170),
        3: ("Which style does it lean on?", 440, 0, 620, 1090),
        4: ("The answer, to keep", 1100, 0, 420, 560),
    },
    {},
    (-40, -60, 1620),
    """### Which style does this picture lean on?

Press **Run**: the answer is there in seconds.

Your own question: choose your picture and your model, write what the picture shows into \
**prompt**, and the styles or artists that you suspect into **styles**, one per line. Nothing is \
trained: the model is asked for the picture in each style.
""",
    note_height=250,
    runs=True,
    extra={
        "linearMode": True,
        "linearData": {
            "inputs": [[1, "image"], [3, "prompt"], [3, "styles"], [2, "model"], [3, "preset"]],
            "outputs": [4],
        },
    },
)

SECOND_OPINION = Template(
    "second_opinion",
    2,
    {
        "1": node("GudaLoadModel"),
        "2": node("GudaGroupsFromPrompts", model=["1", 0]),
        "3": node("GudaGeneratePictures", model=["1", 0], prompts="fox, in ink style", seed=1),
        "4": node(
            "GudaAttribute", model=["1", 0], groups=["2", 0], image=["3", 0], prompt=["3", 1]
        ),
        "5": node("GudaUnlearn", model=["1", 0], groups=["2", 0]),
        "6": node(
            "GudaAttribute",
            model=["1", 0],
            counterfactuals=["5", 0],
            image=["3", 0],
            prompt=["3", 1],
        ),
        "7": node("PreviewAny", source=["5", 2]),
    },
    {
        1: ("", 0, 350, 400, 170),
        2: ("", 0, 570, 400, 500),
        3: ("", 0, 1120, 400, 330),
        4: ("First answer: the model itself", 460, 50, 620, 1400),
        5: ("", 1140, 50, 400, 560),
        7: ("Was each style forgotten?", 1140, 660, 400, 790),
        6: ("Second opinion: with each style unlearned", 1600, 50, 620, 1400),
    },
    {
        "1  A model, its styles and a picture": (-20, 285, 440, 1185, BLUE),
        "2  At once": (440, -30, 660, 1500, AMBER),
        "3  Unlearn every style": (1120, -30, 440, 1500, BLUE),
        "4  Some minutes later": (1580, -30, 660, 1500, AMBER),
    },
    (-60, -60, 3040),
    """### Two answers to the same question

Press **Run**. The first answer is there in seconds: the model is asked for the picture in each \
style. Then *Unlearn Styles* makes a version of the model without each style, and the second \
*Attribute to Styles* asks again with those (a few minutes without a GPU). Where both name the \
same style you may trust it more; where they differ, look at both intervals.
""",
    note_height=290,
    runs=True,
)

MY_STYLES = Template(
    "my_styles",
    3,
    one_picture(
        {},
        node("GudaGroupsFromFolder", folder="built-in example"),
        # more dropout leaves too little of a dozen pictures that name the style
        {"set_name": "my-folder", "caption_dropout": 0.25},
        {"prompts": "fox, in ink style"},
        {},
        "guda/my_styles",
        node("PreviewAny", source=["2", 1]),
    ),
    {
        1: ("", 0, 510, 400, 170),
        2: ("", 0, 730, 400, 150),
        8: ("What was found in the folder", 0, 930, 400, 470),
        3: ("", 460, 50, 380, 560),
        9: ("Was each style forgotten?", 460, 660, 380, 740),
        4: ("", 900, 50, 360, 330),
        10: ("The picture to ask about", 900, 430, 360, 400),
        5: ("", 1320, 50, 620, 1350),
        6: ("", 2000, 50, 380, 170),
        11: ("Where the leading style shows", 2000, 270, 380, 460),
        7: ("", 2000, 780, 380, 620),
    },
    {
        "1  Model and my styles": (-20, 445, 440, 975, BLUE),
        "2  Unlearn every style": (440, -30, 420, 1450, BLUE),
        "3  A picture": (880, -30, 400, 880, BLUE),
        "4  Which style did the model lean on?": (1300, -30, 660, 1450, AMBER),
        "5  Results": (1980, -30, 420, 1450, BLUE),
    },
    (-40, -70, 2460),
    """### My own folder of styles

1. In ComfyUI's `input` folder, make a folder such as `styles`, and in it **one folder of pictures \
per style**, two styles or more, with a dozen pictures each (four at least):
`input/styles/Monet/pond.jpg`
`input/styles/Hokusai/wave.jpg`
2. Beside a picture, a text file says what it shows: `pond.txt` with *a pond, in Monet style*. \
Without one, the file's name does.
3. Write `styles` into **folder** of *Style Groups from Folder*, and choose the model that learned \
these styles in *Load Base Model*.
4. To ask about a picture of yours, link *Load Image* to `image` of *Attribute to Styles* and \
write what it shows into `prompt`.

Press **Run** to see it work first: the *built-in example* has five styles that the built-in model \
knows.
""",
    note_height=450,
    runs=True,
)

NAMED = (
    "smiling face with sunglasses, in noto blob style\nfox, in ink style\ntrophy, in twemoji style"
)
PLAIN = "strawberry\ntop hat\nrocket"

BATCH_REPORT = Template(
    "batch_report",
    4,
    {
        "1": node("GudaLoadModel"),
        "2": node("GudaGroupsFromPrompts", model=["1", 0]),
        "3": node("GudaUnlearn", model=["1", 0], groups=["2", 0]),
        "4": node("GudaGeneratePictures", model=["1", 0], prompts=NAMED, seed=1),
        "5": node("GudaGeneratePictures", model=["1", 0], prompts=PLAIN, seed=2),
        "6": node("ImageBatch", image1=["4", 0], image2=["5", 0]),
        "7": node("StringConcatenate", string_a=["4", 1], string_b=["5", 1], delimiter="\n"),
        "8": node(
            "GudaAttribute",
            model=["1", 0],
            counterfactuals=["3", 0],
            image=["6", 0],
            prompt=["7", 0],
        ),
        "9": node("GudaSaveReport", attribution=["8", 0], filename_prefix="guda/batch"),
        "10": node("PreviewImage", images=["6", 0]),
        "11": node("PreviewImage", images=["9", 1]),
        "12": node("PreviewAny", source=["8", 4]),
    },
    {
        1: ("", 0, 350, 400, 170),
        2: ("", 0, 570, 400, 500),
        3: ("", 460, 50, 380, 560),
        4: ("Prompts that name a style", 900, 50, 360, 330),
        5: ("Prompts that name none", 900, 430, 360, 330),
        6: ("All pictures", 900, 810, 360, 70),
        7: ("Their prompts, one per line", 900, 930, 360, 140),
        10: ("The batch", 1320, 50, 360, 640),
        12: ("One line per picture", 1320, 740, 360, 330),
        8: ("", 1740, 50, 620, 1020),
        9: ("One report of all pictures", 2420, 50, 420, 480),
        11: ("A card per picture, to share", 2420, 580, 420, 490),
    },
    {
        "1  Model and styles": (-20, 285, 440, 805, BLUE),
        "2  Unlearn every style": (440, -30, 420, 1120, BLUE),
        "3  Pictures from two places, in one batch": (880, -30, 820, 1120, BLUE),
        "4  Which styles did the model lean on?": (1720, -30, 660, 1120, AMBER),
        "5  One report": (2400, -30, 460, 1120, BLUE),
    },
    (860, -70, 2020),
    """### Many pictures, one report

*All pictures* joins two sources into one batch, and the prompts are joined in the same order, one \
line per picture (or a single line for all). For pictures of your own, link *Load Image* nodes to \
*Batch Images*, and write a line for each into `prompt` of *Attribute to Styles*: all are cut to \
the first one's size.

*Save Attribution Report* writes one `report.html` with an overview, tables as CSV and JSON, and a \
card per picture. The styles are those of the *5 every style unlearned* template: what was \
unlearned there is used again.
""",
    note_height=290,
    runs=True,
)
