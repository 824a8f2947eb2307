"""An attribution as tables, charts, a page and files."""

from .card import card
from .charts import bars
from .files import SavedReport, save
from .html import to_html
from .losses import loss_curve
from .tables import to_csv, to_dict, to_markdown

__all__ = [
    "SavedReport",
    "bars",
    "card",
    "loss_curve",
    "save",
    "to_csv",
    "to_dict",
    "to_html",
    "to_markdown",
]
