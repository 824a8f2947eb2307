"""A counterfactual that was made is written: its LoRA with all that it is of."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ..groups import Group
from ..unlearning.train import Unlearned
from ..version import __version__
from .certificate import Certificate
from .collapse import Collapse
from .lora_file import save_file
from .set import Entry

if TYPE_CHECKING:
    from .making import Making


def saved(
    work: Making,
    group: Group,
    made: Unlearned,
    warnings: tuple[str, ...],
    collapse: Collapse | None,
) -> Entry:
    """Write the group's LoRA file; its line for the manifest."""
    backbone, config, key = work.backbone, work.config, work.keys[group.name]
    gate, certificate = made.gate, Certificate(made.progress, collapse, made.spread)
    metadata = {
        "modelspec.title": f"without {group.name}",
        "modelspec.description": f"GUDA counterfactual: {backbone.name} without {group.name}",
        "ss_network_module": "networks.lora",
        "ss_network_dim": str(config.rank * config.repeats),
        "ss_network_alpha": str(config.lora_alpha),
        "guda.version": __version__,
        "guda.group": group.name,
        "guda.style": group.style,
        "guda.base_model": backbone.name,
        "guda.base_fingerprint": work.weights,
        "guda.identity": json.dumps(work.identity, ensure_ascii=False),
        "guda.groups_hash": work.groups.manifest_hash,
        "guda.key": key,
        "guda.recipe": json.dumps(config.as_dict()),
        "guda.losses": json.dumps(made.losses),
        "guda.gate": json.dumps(gate.as_dict()),
        "guda.certificate": json.dumps(certificate.as_dict(gate)),
    }
    if made.ended:
        metadata["guda.ended"] = json.dumps([e.as_dict() for e in made.ended])
    told = (group.name, group.slug, group.style, key, gate, made.losses, warnings)
    entry = Entry(*told, certificate, made.ended)
    save_file(work.folder / entry.file, made.lora, metadata)
    return entry
