"""A shard of pictures on a worker: their scores, a row each, as `attribution.json` has them."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..config import ElboConfig
from ..counterfactuals import CounterfactualSet, load_set
from ..counterfactuals.direct import DirectCounterfactuals
from ..errors import ImageError
from ..files import write_text
from ..jobs.against import of_set
from ..jobs.attribute import AttributeRequest, AttributeWork, survey
from ..report import to_dict
from ..steps import Heard, Steps
from .desk import Desk
from .job import Told
from .pictures import Where

Without = CounterfactualSet | DirectCounterfactuals


def perform(desk: Desk, unit: Told) -> Steps[Told]:
    """Writes the shard's file; returns `rows`, how many there are, how many pictures could not be
    read (`unread`), and `files`, where the folder is not shared."""
    what, name = unit["what"], unit["what"]["file"]
    path = desk.folder / name
    if desk.shared and path.is_file():  # another run has made it
        return _told(path.read_text("utf-8"))
    heard, rows = Heard(), {}
    shard = [Where(**w) for w in what["pictures"]]
    loaded = []
    for where in shard:
        try:
            loaded.append((where, where.load(desk.backbone.resolution)))
        except ImageError as error:
            rows[where.name] = {"image": where.name, "error": str(error)}
    if loaded:
        work = _work(desk, loaded)
        answer = yield from heard(work.run(look=what["look"]))
        for row in to_dict(answer)["images"]:
            rows[row["image"]] = row
    lines = [json.dumps(rows[w.name], ensure_ascii=False, allow_nan=False) for w in shard]
    text = "".join(f"{line}\n" for line in lines)
    told = _told(text) | {"warnings": heard.texts}
    if desk.shared:
        write_text(path, text)
        return told
    return told | {"files": {name: text.encode("utf-8")}}


def _told(text: str) -> Told:
    rows = [json.loads(line) for line in text.splitlines()]
    return {"rows": len(rows), "unread": sum("error" in row for row in rows)}


def _work(desk: Desk, loaded: list[tuple[Where, Any]]) -> AttributeWork:
    """Of these pictures; the counterfactuals are read once for all shards."""
    names, prompts = [w.name for w, _ in loaded], [w.prompt for w, _ in loaded]
    pictures = [picture for _, picture in loaded]
    kept: _Kept | None = desk.kept.get("scoring")
    if kept is None:
        config = ElboConfig(**desk.job["config"])
        without = without_of(desk.job["without"])
        pool, file = of_set(without, desk.backbone, config)
        request = AttributeRequest(
            desk.backbone, without, pictures, names, prompts, config, null=pool, null_file=file
        )
        kept = desk.kept["scoring"] = _Kept(survey(request))
    request = replace(kept.work.request, pictures=pictures, names=names, prompts=prompts)
    return replace(kept.work, request=request, prompts=tuple(prompts))


@dataclass(frozen=True)
class _Kept:
    work: AttributeWork


def told_of(without: Without) -> Told:
    """What a worker needs to have them: a set is read from its folder, and has to be this one."""
    if isinstance(without, DirectCounterfactuals):
        return {"styles": [list(s) for s in without.styles], "template": without.template}
    return {
        "folder": str(without.folder.absolute()),
        "keys": {e.name: e.key for e in without.entries},
    }


def without_of(told: Told) -> Without:
    """Raises CounterfactualError, or RefusedError where the set there is another."""
    from .desk import RefusedError

    if "styles" in told:
        return DirectCounterfactuals(tuple((n, p) for n, p in told["styles"]), told["template"])
    made = load_set(Path(told["folder"]))
    there = {e.name: e.key for e in made.entries if e.name in told["keys"]}
    if there != told["keys"]:
        raise RefusedError(f"the set {told['folder']} there is another")
    return made.subset(list(told["keys"]))
