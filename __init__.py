"""ComfyUI's entry to the pack."""

WEB_DIRECTORY = "./web"


async def comfy_entrypoint():
    from .nodes import GudaExtension

    return GudaExtension()


__all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]
