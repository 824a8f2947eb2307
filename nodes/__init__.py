"""The pack's nodes, in a workflow's order. Node ids are permanent: saved workflows hold them."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension

from . import offered
from .any_model import GudaAttributeAny
from .attribute import GudaAttribute
from .from_images import GudaGroupsFromImages, GudaStyleFromImages
from .generate import GudaGeneratePictures
from .groups import GudaGroupsFromFolder, GudaGroupsFromPrompts
from .heatmap import GudaHeatMap
from .known import GudaStylesKnown
from .model import GudaLoadModel, GudaModelFromGraph
from .null import GudaNullPool
from .null_any import GudaNullPoolAny
from .report import GudaSaveReport
from .unlearn import GudaLoadCounterfactuals, GudaUnlearn
from .without import GudaWithoutStyle


class GudaExtension(ComfyExtension):
    async def get_node_list(self):
        offered.offer_example()
        return [
            GudaLoadModel,
            GudaModelFromGraph,
            GudaGroupsFromFolder,
            GudaGroupsFromPrompts,
            GudaStylesKnown,
            GudaUnlearn,
            GudaLoadCounterfactuals,
            GudaGeneratePictures,
            GudaAttribute,
            GudaAttributeAny,
            GudaHeatMap,
            GudaSaveReport,
            GudaWithoutStyle,
            GudaNullPool,
            GudaNullPoolAny,
            GudaStyleFromImages,
            GudaGroupsFromImages,
        ]
