"""A piece of a benchmark on a worker: a model trained again, or a method's scores."""

from __future__ import annotations

from ..steps import Steps
from .desk import Desk, RefusedError
from .job import Told


def perform(desk: Desk, unit: Told) -> Steps[Told]:
    """What is made lies in the folder, which has to be shared."""
    from ..bench.named import Named
    from ..bench.oracle import Trained
    from ..bench.run import row

    if not desk.shared:
        raise RefusedError(f"it does not see the folder {desk.job['folder']}")
    if "asked" not in desk.kept:
        named = Named.read(desk.job["bench"])
        trained = yield from Trained.of(named.benchmark(), named.out)
        desk.kept["asked"] = yield from trained.asked(desk.job["split"])
    asked, what = desk.kept["asked"], unit["what"]
    if "seed" in what:
        yield from asked.without(what["seed"], asked.trained.bench.groups[what["group"]])
    for name in what.get("rows", ()):
        yield from row(asked, name)
    return {}
