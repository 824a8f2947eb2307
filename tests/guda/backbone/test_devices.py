"""What other devices lack. "meta", whose tensors have no contents, stands for one of them."""

from __future__ import annotations

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from guda.backbone import placement, precision
from guda.budget import footprint
from guda.diffusion.room import free_bytes, is_out_of_memory
from guda.diffusion.schedule import PREDICTIONS
from guda.errors import ConfigError, OutOfMemoryError

CPU, META = torch.device("cpu"), torch.device("meta")


class NoDouble(TorchDispatchMode):
    """float64 is refused outside of the CPU, as Apple's and DirectML's devices refuse it."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for x in tree_leaves(out):
            if isinstance(x, torch.Tensor) and x.device != CPU and x.dtype == torch.float64:
                raise TypeError(f"{func} makes a float64 tensor on the device")
        return out


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_a_model_answers_without_float64(backbone, prediction):
    unreal = footprint.ghost(backbone)
    unreal.prediction = prediction
    condition = backbone.encode_prompts(["a", ""])
    x_t, t = torch.zeros(2, *backbone.latent_shape), torch.tensor([5, 400])
    with NoDouble(), torch.no_grad():
        assert unreal.predict_eps(x_t, t, condition).device == META


@pytest.mark.parametrize("kind", ["cuda", "xpu", "mps", "privateuseone"])
def test_a_device_that_does_not_tell_its_memory(kind):
    """Such as one that is not there; some drivers and versions do not tell either."""
    there = kind != "privateuseone" and torch.get_device_module(kind).is_available()
    assert (free_bytes(torch.device(kind, 0)) is not None) == there


def test_half_precision_where_there_is_no_autocast():
    """DirectML is a "privateuseone" without it, as torch's own is."""
    device = torch.device("privateuseone", 0)
    assert precision.choose("auto", device) == torch.float32
    assert precision.choose("float32", device) == torch.float32
    with pytest.raises(ConfigError) as caught:
        precision.choose("float16", device)
    assert str(caught.value).startswith(
        "precision is 'float16', which privateuseone:0 cannot compute in (Tried to use AMP with "
    )
    assert str(caught.value).endswith("; choose auto or float32.")


@pytest.mark.parametrize(
    "words",
    [
        "CUDA error: out of memory",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "HIP out of memory. Tried to allocate 512.00 MiB",
        "MPS backend out of memory (MPS allocated: 5 GB)",
        "Invalid buffer size: 20.25 GiB",
        "Could not allocate tensor. There is not enough GPU video memory available!",
        "level_zero backend failed with error: 39 (UR_RESULT_ERROR_OUT_OF_DEVICE_MEMORY)",
        "Native API failed. Native API returns: -5 (PI_ERROR_OUT_OF_RESOURCES)",
        "DefaultCPUAllocator: can't allocate memory: you tried to allocate 4096 bytes.",
        "DefaultCPUAllocator: not enough memory: you tried to allocate 4096 bytes.",
    ],
)
def test_how_devices_say_that_they_are_full(words):
    assert is_out_of_memory(RuntimeError(words))


def test_a_device_without_room_for_the_model(backbone, monkeypatch):
    def to(device):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nGPU 0 has")

    monkeypatch.setattr(backbone.unet, "to", to)
    with pytest.raises(OutOfMemoryError) as caught:
        placement.bring(backbone.unet, backbone.modules(), META, CPU)
    assert str(caught.value) == (
        "The memory of meta has no room for the model (CUDA out of memory. Tried to allocate 2 "
        "GiB). Close what else uses it, load the model with precision float16 or bfloat16, or run "
        "on the CPU."
    )
