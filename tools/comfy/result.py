"""What a run of a graph gave."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Result:
    """All that the server said about one prompt, in the order in which it came."""

    prompt_id: str
    status: str = "running"  # then "success", "error" or "interrupted"
    seconds: float = 0.0
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    previews: list[bytes] = field(default_factory=list)  # encoded pictures (JPEG or PNG)
    texts: list[tuple[str, str]] = field(default_factory=list)  # (node id, text under the node)
    error: dict[str, Any] | None = None  # the data of execution_error or execution_interrupted
    outputs: dict[str, dict[str, Any]] = field(default_factory=dict)  # node id -> ui, from history

    @property
    def ok(self) -> bool:
        return self.status == "success"

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The data of every event of one kind, e.g. `of("progress")`."""
        return [data for name, data in self.events if name == kind]

    @property
    def executed(self) -> list[str]:
        """Ids of the nodes that ran, in order; cached nodes are not among them."""
        return [data["node"] for data in self.of("executing") if data.get("node") is not None]

    @property
    def cached(self) -> list[str]:
        return [node for data in self.of("execution_cached") for node in data.get("nodes", [])]

    def progress(self, node: str | None = None) -> list[tuple[float, float]]:
        """(value, max) of each progress message, of one node or of all."""
        return [
            (data["value"], data["max"])
            for data in self.of("progress")
            if node is None or data.get("node") == node
        ]

    @property
    def message(self) -> str:
        """The exception's text, as the user reads it; empty when there was none."""
        return (self.error or {}).get("exception_message", "").strip()

    @property
    def traceback(self) -> str:
        return "".join((self.error or {}).get("traceback") or [])
