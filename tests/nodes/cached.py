"""What ComfyUI's own RAM-pressure cache drops first when memory is short: see native.py."""

from __future__ import annotations

import asyncio
import gc
import importlib
import inspect
import weakref
from types import SimpleNamespace
from typing import NamedTuple

import comfy_execution.caching as caching
import torch

from guda.backbone.files.load import load

held = importlib.import_module("pack.nodes.held").held
SHORT, PLENTY = 1, 2**50
MIB = 2**20


class Entry(NamedTuple):
    """What a node gave, whether the cache asks by place or by name."""

    outputs: list
    ui: dict


class Named:
    """In place of the keys of a workflow's nodes: a node's is its name."""

    def __init__(self, *_):
        pass

    def get_data_key(self, node_id: str) -> str:
        return node_id


def dropped(model: str, *, seen: bool) -> list[str]:
    """Nodes of an older workflow that are dropped, in order, until the model is gone.

    A picture of 4 MiB was made after it.
    """
    cache, order = caching.RAMPressureCache(Named), []
    cache.cache_key_set, cache.generation, cache.initialized = Named(), 1, True
    loaded = held(load(model)) if seen else load(model)
    size, parts = loaded.nbytes, [weakref.ref(p) for m in loaded.modules() for p in m.parameters()]
    outputs = {"model": [[loaded]], "picture": [[torch.zeros(MIB)]]}
    del loaded
    for name in list(outputs):
        _settle(cache.set(name, Entry(outputs.pop(name), {})))
    cache.generation = 2
    left = set(cache.cache)

    def available() -> SimpleNamespace:
        order.extend(sorted(left - set(cache.cache)))
        left.intersection_update(cache.cache)
        return SimpleNamespace(available=SHORT if any(p() is not None for p in parts) else PLENTY)

    true, caching.psutil = caching.psutil, SimpleNamespace(virtual_memory=available)
    gc.disable()  # what waits for the collector is not free
    try:
        cache.ram_release(2**40) if hasattr(cache, "ram_release") else cache.poll(1024)
    finally:
        gc.enable()
        caching.psutil = true
    assert size > 4 * MIB and not any(p() is not None for p in parts), "the weights stay"
    return order


def _settle(coming) -> None:
    if inspect.isawaitable(coming):
        asyncio.run(_awaited(coming))


async def _awaited(coming) -> None:
    await coming
