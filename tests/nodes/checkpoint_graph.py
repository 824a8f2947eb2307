"""From a checkpoint file to scores and back into the graph, in API format."""

from __future__ import annotations

from tools.comfy.graphs import Graph, node

STYLES = "Ink: ink\nOil: oil"
PROMPT = "a fox, in ink style"
LEARNING = {
    "steps": 2,
    "lr": 1e-2,
    "rank": 2,
    "anchor": "uniform",
    "batch_size": 1,
    "retain_batch_size": 1,
    "warmup": 0,
    "heldout": 0.25,
    "sheet": False,  # drawing is most of the work on a CPU
}
SAMPLER = {
    "seed": 3,
    "steps": 1,
    "cfg": 2.0,
    "sampler_name": "euler",
    "scheduler": "normal",
    "denoise": 1.0,
}


def unlearning(
    file: str, set_name: str, *, pixels: int = 64, steps: int = 2, precision: str = "auto"
) -> Graph:
    """Load -> prompt-only groups -> unlearn."""
    return {
        "model": node("GudaLoadModel", model=file, resolution=pixels, precision=precision),
        "groups": node(
            "GudaGroupsFromPrompts",
            model=["model", 0],
            styles=STYLES,
            contents="cat\nfox",
            pictures=4,
            steps=1,
            guidance=2.0,
            seed=0,
        ),
        "unlearn": node(
            "GudaUnlearn",
            model=["model", 0],
            groups=["groups", 0],
            set_name=set_name,
            **LEARNING | {"steps": steps},
        ),
        "read_gate": node("PreviewAny", source=["unlearn", 2]),
    }


def native(file: str, pixels: int = 64) -> Graph:
    """ComfyUI's own nodes: the checkpoint, a prompt, a picture of the full model."""
    graph = {
        "native": node("CheckpointLoaderSimple", ckpt_name=file),
        "positive": node("CLIPTextEncode", clip=["native", 1], text=PROMPT),
        "negative": node("CLIPTextEncode", clip=["native", 1], text=""),
        "empty": node("EmptyLatentImage", width=pixels, height=pixels, batch_size=1),
    }
    return graph | sampled("full", ["native", 0])


def sampled(name: str, model: list) -> Graph:
    return {
        f"sample_{name}": node(
            "KSampler",
            model=model,
            positive=["positive", 0],
            negative=["negative", 0],
            latent_image=["empty", 0],
            **SAMPLER,
        ),
        f"decode_{name}": node("VAEDecode", samples=[f"sample_{name}", 0], vae=["native", 2]),
        f"see_{name}": node("PreviewImage", images=[f"decode_{name}", 0]),
    }


def used(set_name: str, style: str = "Ink", slug: str = "ink") -> Graph:
    """The counterfactual in ComfyUI's Load LoRA, and in Without This Style; beside `native`."""
    return (
        {
            "set": node("GudaLoadCounterfactuals", set_name=set_name),
            "lora": node(
                "LoraLoaderModelOnly",
                model=["native", 0],
                lora_name=f"guda/{set_name}/{slug}.safetensors",
                strength_model=1.0,
            ),
            "without": node(
                "GudaWithoutStyle",
                model=["native", 0],
                counterfactuals=["set", 0],
                style=style,
                strength=1.0,
            ),
        }
        | sampled("lora", ["lora", 0])
        | sampled("without", ["without", 0])
    )


def from_graph(pixels: int = 64, model: list | None = None) -> Graph:
    return {
        "model": node(
            "GudaModelFromGraph",
            model=model or ["native", 0],
            clip=["native", 1],
            vae=["native", 2],
            name="graph",
            resolution=pixels,
        )
    }


def scored(counterfactuals: list, **asked) -> Graph:
    """Attribution of the full model's latents."""
    asked = asked or {"latent": ["sample_full", 0]}
    return {
        "attribute": node(
            "GudaAttribute",
            model=["model", 0],
            counterfactuals=counterfactuals,
            prompt=PROMPT,
            evaluations=4,
            schedule="log",
            seed=0,
            **asked,
        )
    }
