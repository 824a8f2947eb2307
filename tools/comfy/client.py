"""A small client for a running ComfyUI: its HTTP calls, its websocket, and what a run gave."""

from __future__ import annotations

import json
import mimetypes
import struct
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import websocket

from .patience import PATIENCE, Patience
from .result import Result

PACK_FOLDER = "comfyui-guda"  # under custom_nodes; what users have: not a Python identifier
HTTP_TIMEOUT = 300.0  # seconds, for an answer on a busy machine
BINARY_PREVIEW, BINARY_TEXT, BINARY_PREVIEW_WITH_METADATA = 1, 3, 4
NOTHING_MUCH = {
    "pixel": {"class_type": "EmptyImage", "inputs": dict(width=1, height=1, batch_size=1, color=0)},
    "see": {"class_type": "PreviewImage", "inputs": {"images": ["pixel", 0]}},
}
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # loopback needs no proxy


class ComfyError(Exception):
    """The server did not start, refused a graph, or made no progress."""


class Comfy:
    """A running ComfyUI. Every call is bounded by a timeout."""

    def __init__(self, url: str, base: Path, log_file: Path, process: subprocess.Popen | None):
        self.url = url
        self.base = base  # models/, input/, output/, custom_nodes/
        self.log_file = log_file
        self.process = process
        self.start_seconds = 0.0

    # HTTP

    def request(self, path: str, data: Any = None, timeout: float = HTTP_TIMEOUT) -> bytes:
        """GET, or POST when there is `data` (bytes as they are, anything else as JSON)."""
        body = data if data is None or isinstance(data, bytes) else json.dumps(data).encode()
        headers = {"Content-Type": "application/json"} if body is not None else {}
        return self._send(urllib.request.Request(self.url + path, body, headers), timeout)

    def _send(self, request: urllib.request.Request, timeout: float = HTTP_TIMEOUT) -> bytes:
        try:
            with _OPENER.open(request, timeout=timeout) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            text = error.read().decode(errors="replace")
            raise ComfyError(f"{request.full_url} answered {error.code}: {text[:4000]}") from None

    def get(self, path: str, **query: Any) -> Any:
        if query:
            path += "?" + urllib.parse.urlencode(query)
        return json.loads(self.request(path))

    def post(self, path: str, data: Any = None) -> Any:
        answer = self.request(path, {} if data is None else data)
        return json.loads(answer) if answer.strip() else None

    def object_info(self, node_id: str | None = None) -> dict[str, Any]:
        """Every node's description, or that of one node."""
        if node_id is None:
            return self.get("/object_info")
        return self.get(f"/object_info/{urllib.parse.quote(node_id)}")[node_id]

    def pack_nodes(self) -> dict[str, Any]:
        """The descriptions of this pack's own nodes."""
        module = f"custom_nodes.{PACK_FOLDER}"
        return {k: v for k, v in self.object_info().items() if v.get("python_module") == module}

    def history(self, prompt_id: str) -> dict[str, Any]:
        return self.get(f"/history/{prompt_id}").get(prompt_id, {})

    def view(self, filename: str, subfolder: str = "", type: str = "output") -> bytes:
        query = urllib.parse.urlencode({"filename": filename, "subfolder": subfolder, "type": type})
        return self.request(f"/view?{query}")

    def upload(self, path: str | Path, name: str | None = None) -> str:
        """Puts an image into `input/`; returns the name that LoadImage takes."""
        path, boundary = Path(path), uuid.uuid4().hex
        name = name or path.name
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        body = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="overwrite"\r\n\r\ntrue\r\n'
            f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="{name}"\r\n'
            f"Content-Type: {kind}\r\n\r\n"
        ).encode()
        body += path.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        request = urllib.request.Request(self.url + "/upload/image", body, headers)
        answer = json.loads(self._send(request))
        return "/".join(part for part in (answer.get("subfolder"), answer["name"]) if part)

    def interrupt(self) -> None:
        """Stops the prompt that runs now."""
        self.post("/interrupt")

    def queue_info(self) -> dict[str, list]:
        """{"queue_running": [...], "queue_pending": [...]}"""
        return self.get("/queue")

    @property
    def busy(self) -> bool:
        """Whether a prompt runs or waits."""
        return any(self.queue_info().values())

    def clear_queue(self) -> None:
        self.post("/queue", {"clear": True})

    def free(self) -> None:
        """Unloads models and forgets cached results; done when it returns.

        The server looks at the request after a prompt, and misses one that comes while it collects
        garbage: the next prompt would still find everything. So a small prompt follows.
        """
        self.post("/free", {"unload_models": True, "free_memory": True})
        self.run(NOTHING_MUCH)

    # Running graphs

    def queue(self, graph: dict[str, Any], client_id: str = "") -> str:
        """Queues a graph in API format: {"1": {"class_type": ..., "inputs": {...}}, ...}.

        Returns the prompt id. Raises ComfyError with the server's reasons when it is invalid.
        """
        body: dict[str, Any] = {"prompt": graph}
        if client_id:
            body["client_id"] = client_id
        return self.post("/prompt", body)["prompt_id"]

    def run(
        self,
        graph: dict[str, Any],
        timeout: float = PATIENCE,
        on_event: Callable[[str, dict[str, Any]], None] | None = None,
    ) -> Result:
        """Queues a graph and listens until it succeeded, failed or was interrupted.

        `on_event(name, data)` sees each message as it comes, e.g. to interrupt at some step.
        After `timeout` seconds without any progress (see `Patience`) the prompt is interrupted and
        ComfyError raised.
        """
        client_id, start = uuid.uuid4().hex, time.monotonic()
        address = self.url.replace("http", "ws", 1) + f"/ws?clientId={client_id}"
        ws = websocket.create_connection(address, timeout=HTTP_TIMEOUT, http_no_proxy=["*"])
        try:
            result = Result(self.queue(graph, client_id))
            ws.settimeout(1.0)
            patience = Patience(self.process, timeout)
            while result.status == "running":
                if patience.over:
                    self.interrupt()
                    last = [name for name, _ in result.events][-5:]
                    raise ComfyError(
                        f"the graph stood still for {timeout:.0f} s; last events {last};"
                        f" log:\n{self.log_tail()}"
                    )
                try:
                    message = ws.recv()
                except websocket.WebSocketTimeoutException:
                    self.check_alive()
                    continue
                patience.moved()
                self._take(result, message, on_event)
        except websocket.WebSocketConnectionClosedException:
            self.check_alive()
            raise ComfyError(f"the server hung up; log:\n{self.log_tail()}") from None
        finally:
            ws.close(timeout=1)
        result.seconds = time.monotonic() - start
        result.outputs = self._outputs(result.prompt_id)
        return result

    def stopped(
        self, graph: dict[str, Any], node: str, value: int, timeout: float = PATIENCE
    ) -> Result:
        """`run`, interrupted when the progress of `node` is at `value`.

        There the server waits for the interrupt, in which nothing else happens: see holding.py.
        """

        def stop(name: str, data: dict[str, Any]) -> None:
            if name == "progress" and data["node"] == node and data["value"] >= value:
                self.interrupt()

        place = self.base / "hold"
        place.write_text(f"{node} {value}", "utf-8")
        try:
            return self.run(graph, timeout, stop)
        finally:
            place.unlink()

    def _take(self, result: Result, message: str | bytes, on_event) -> None:
        if isinstance(message, bytes):
            name, data = self._take_binary(result, message)
        else:
            parsed = json.loads(message)
            name, data = parsed["type"], parsed.get("data") or {}
            if data.get("prompt_id", result.prompt_id) != result.prompt_id:
                return  # of an earlier prompt
        result.events.append((name, data))
        if name in ("execution_error", "execution_interrupted"):
            result.error = data
            result.status = "error" if name == "execution_error" else "interrupted"
        elif name == "execution_success":
            result.status = "success"
        if on_event is not None:
            on_event(name, data)

    @staticmethod
    def _take_binary(result: Result, message: bytes) -> tuple[str, dict[str, Any]]:
        (kind,) = struct.unpack(">I", message[:4])
        if kind == BINARY_TEXT:
            (length,) = struct.unpack(">I", message[4:8])
            node = message[8 : 8 + length].decode()
            text = message[8 + length :].decode(errors="replace")
            result.texts.append((node, text))
            return "progress_text", {"node": node, "text": text}
        if kind == BINARY_PREVIEW:  # then 4 bytes of format: 1 is JPEG, 2 is PNG
            result.previews.append(message[8:])
            return "preview", {"bytes": len(message) - 8}
        if kind == BINARY_PREVIEW_WITH_METADATA:
            (length,) = struct.unpack(">I", message[4:8])
            result.previews.append(message[8 + length :])
            return "preview", json.loads(message[8 : 8 + length])
        return f"binary_{kind}", {"bytes": len(message)}

    def _outputs(self, prompt_id: str) -> dict[str, dict[str, Any]]:
        patience = Patience(self.process, PATIENCE)
        while not (entry := self.history(prompt_id)):  # it is written just after the last message
            if patience.over:
                raise ComfyError(f"no history of {prompt_id}; log:\n{self.log_tail()}")
            time.sleep(0.1)
        return entry.get("outputs", {})

    # The log

    def log(self) -> str:
        return self.log_file.read_text(encoding="utf-8", errors="replace")

    def log_tail(self, lines: int = 40) -> str:
        return "\n".join(self.log().splitlines()[-lines:])

    def check_alive(self) -> None:
        if self.process is not None and self.process.poll() is not None:
            code = self.process.returncode
            raise ComfyError(f"ComfyUI ended with code {code}; log:\n{self.log_tail()}")
