"""Where the pack reads and writes, by ComfyUI's folders. Only the standard library and errors.

    models/diffusers/<model>/model_index.json   base models (every registered diffusers folder)
    models/checkpoints/<model>.safetensors      base models (every registered checkpoint folder)
    models/loras/guda/<set>/                     counterfactual sets, so that "Load LoRA" lists them
    input/<folder>/<style>/                      style groups that are pictures
    user/guda/pictures/<model>/<group>/          pictures of prompt-only groups
    user/guda/scores/                            scores, by what they depend on
    user/guda/parts/                             what a cluster has finished of them
    user/guda/styles/<digest>/<style>/           pictures that the graph gives for styles
    output/guda/null/                            null pools of direct answers
    output/guda/report_00001_/                   reports

A folder that a workflow names is read in ComfyUI's input, output and models folders alone, and
where the server's owner allows it: in the variable GUDA_FOLDERS (paths as in PATH), or under the
name guda_styles in extra_model_paths.yaml. A workflow may be a stranger's, and so may its paths be.

Generated pictures lie in the user folder because they have to last: counterfactuals are made from
exactly these files, the temp folder is emptied whenever ComfyUI starts, and the page lists all that
is below the output folder. What stands for a style is seen on the nodes' contact sheets.
"""

from __future__ import annotations

import os
from pathlib import Path

import folder_paths

from ..guda.errors import ConfigError, CounterfactualError, GroupsError, ModelError, SaveError
from ..guda.escape import visible
from ..guda.files import slugify, write_bytes
from .changes import walk

BUILT_IN = "built-in demo"
EXAMPLE = "built-in example"
WRITTEN = "(what folder says)"
NO_SETS = "(none yet: run Unlearn Styles first)"
EXAMPLE_FOLDER = Path(__file__).parents[1] / "guda" / "demo" / "styles"
ALLOWING, KIND = "GUDA_FOLDERS", "guda_styles"  # how the owner of a server allows more folders
INDEX, MANIFEST = "model_index.json", "counterfactuals.json"


def diffusers_folders() -> list[Path]:
    """Every registered folder for diffusers models; models/diffusers where none is."""
    if "diffusers" not in folder_paths.folder_names_and_paths:
        standard = os.path.join(folder_paths.models_dir, "diffusers")
        folder_paths.folder_names_and_paths["diffusers"] = ([standard], {"folder"})
    return [Path(p) for p in folder_paths.get_folder_paths("diffusers")]


def model_names() -> list[str]:
    """The built-in model, diffusers folders (that hold a model_index.json), checkpoint files.

    Names are relative. Files that will be refused are listed, too, as the refusal says why; names
    that the page's menus would take for HTML are not.
    """
    folders = {
        Path(base).relative_to(root).as_posix()
        for root in diffusers_folders()
        for base, files in walk(root)
        if INDEX in files and Path(base) != root
    }
    files = folder_paths.get_filename_list("checkpoints")
    return [BUILT_IN, *filter(_is_text, sorted(folders)), *filter(_is_text, files)]


def model_source(name: str) -> str | Path:
    """What `guda.backbone.load` takes. Raises ModelError."""
    if name == BUILT_IN:
        return "demo"
    for root in diffusers_folders():
        if _inside(root / name, root) and os.path.isfile(root / name / INDEX):
            return root / name
    # A workflow that was saved on Windows, or opened there, separates subfolders its own way.
    known = {_posix(n): n for n in folder_paths.get_filename_list("checkpoints")}
    if _posix(name) in known:
        return Path(folder_paths.get_full_path_or_raise("checkpoints", known[_posix(name)]))
    raise ModelError(
        f"The model {name!r} is not in {folder_paths.get_folder_paths('checkpoints')[0]} or "
        f"{diffusers_folders()[0]}; put a checkpoint (.safetensors) or a diffusers folder (with "
        f"{INDEX}) there and press R to refresh, or choose {BUILT_IN!r}."
    )


def tokenizer_folder() -> Path:
    """ComfyUI's own copy of CLIP's tokenizer."""
    import comfy.sd1_clip

    return Path(comfy.sd1_clip.__file__).parent / "sd1_tokenizer"


def allowed_folders() -> list[str]:
    """Where a workflow may name a folder to be read; the input folder, which new ones go to, first.

    The first three are ComfyUI's own, the others of its owner's choice.
    """
    owners = os.environ.get(ALLOWING, "").split(os.pathsep)
    allowed = [
        folder_paths.get_input_directory(),
        folder_paths.get_output_directory(),
        folder_paths.models_dir,
        *(os.path.expanduser(path) for path in owners if path.strip()),
    ]
    if KIND in folder_paths.folder_names_and_paths:
        allowed += folder_paths.get_folder_paths(KIND)
    return list(dict.fromkeys(map(os.path.abspath, allowed)))


STYLES_IN_IT = "one folder of pictures per style"


def group_folder(folder: str, holds: str = STYLES_IN_IT) -> Path:
    """A folder in the input folder, in another that is allowed, or the built-in one.

    Of a path elsewhere nothing is opened, not even to see whether it is there. A link counts as a
    part of the folder that holds it: who made it there had the right to. Raises GroupsError.
    """
    folder = folder.strip().strip('"')
    example = f", or {EXAMPLE!r} to try it" if holds == STYLES_IN_IT else ""
    how = f"give a folder that holds {holds}{example}."
    if not folder:
        raise GroupsError(f"folder is empty; {how}")
    allowed = allowed_folders()
    path = Path(os.path.abspath(os.path.join(allowed[0], folder)))
    if not any(path.is_relative_to(r) for root in allowed for r in (root, os.path.realpath(root))):
        raise GroupsError(
            f"folder is {folder!r}, which lies outside of the folders that workflows may read "
            f"here: {', '.join(allowed)}. Move the styles into {allowed[0]}; or, if this ComfyUI "
            f"is yours, allow their folder by the environment variable {ALLOWING} or by a line "
            f"'{KIND}: FOLDER' in extra_model_paths.yaml, and start ComfyUI again."
        )
    if not os.path.exists(path) and folder == EXAMPLE:
        return EXAMPLE_FOLDER
    if not os.path.isdir(path):
        what = "is a file" if os.path.exists(path) else "was not found"
        raise GroupsError(f"{path} {what}; {how}")
    return path


def pictures_folder(model_name: str) -> Path:
    """Where the pictures that a model draws of styles lie.

    Earlier versions kept them below `output`, where the page lists every one; what is there is
    taken along.
    """
    name = slugify(model_name)
    folder = _own_folder() / "pictures" / name
    former = Path(folder_paths.get_output_directory(), "guda", "pictures", name)
    for old in sorted(former.glob("*/*.png")):
        new = folder / old.relative_to(former)
        if not new.exists():
            write_bytes(new, old.read_bytes())
    return folder


def scores_folder() -> Path:
    """Where scores lie by what they depend on, so that a run after a restart finds them."""
    return _own_folder() / "scores"


def parts_folder() -> Path:
    """Where what a cluster has finished of an answer lies until the answer is there."""
    return _own_folder() / "parts"


def given_folder() -> Path:
    """Where pictures that the graph gives for styles lie."""
    return _own_folder() / "styles"


def _own_folder() -> Path:
    """For what has to last and is not for the eye."""
    return Path(folder_paths.get_user_directory(), "guda")


def input_folders() -> list[str]:
    """Folders in the input folder that may hold styles: two folders or more are in them."""
    root = Path(folder_paths.get_input_directory())
    inner = (p for p in sorted(root.iterdir()) if p.is_dir()) if root.is_dir() else ()
    names = [p.name for p in inner if _is_text(p.name) and _holds_folders(p)]
    return [WRITTEN, *names]


def _holds_folders(path: Path) -> bool:
    try:
        return sum(p.is_dir() and not p.name.startswith(".") for p in path.iterdir()) > 1
    except OSError:
        return False


def null_folder() -> Path:
    """Where null pools of direct answers lie; those of counterfactuals are in their set's."""
    return Path(folder_paths.get_output_directory(), "guda", "null")


def new_set_folder(name: str) -> Path:
    """Where a set of this name is written. Raises ConfigError."""
    if not name.strip():
        raise ConfigError("set_name is empty; give the set a name, such as 'my-styles'.")
    return Path(folder_paths.get_folder_paths("loras")[0], "guda", slugify(name.strip()))


def set_names() -> list[str]:
    """Counterfactual sets in all lora folders; never empty, as a combo needs an option."""
    sets = {
        folder.name
        for root in folder_paths.get_folder_paths("loras")
        for folder in Path(root, "guda").glob("*/")
        if _holds_a_set(folder)
    }
    return sorted(filter(_is_text, sets)) or [NO_SETS]


def set_folder(name: str) -> Path:
    """The folder of an existing set. Raises CounterfactualError."""
    roots = [Path(root, "guda") for root in folder_paths.get_folder_paths("loras")]
    if name == NO_SETS:
        raise CounterfactualError(
            f"There is no counterfactual set in {roots[0]} yet; run Unlearn Styles first, then "
            "press R to refresh this list."
        )
    for root in roots:
        if _inside(root / name, root) and _holds_a_set(root / name):
            return root / name
    raise CounterfactualError(
        f"The counterfactual set {name!r} is not in {roots[0]}; there are: "
        f"{', '.join(set_names())}."
    )


def new_report_folder(prefix: str) -> tuple[Path, str]:
    """The next free folder for a report in the output folder, and its name relative to that.

    Raises SaveError where that cannot be written to.
    """
    root = folder_paths.get_output_directory()
    try:
        folder, name, count, subfolder, _ = folder_paths.get_save_image_path(prefix, root)
    except OSError as error:
        raise SaveError(
            f"filename_prefix is {prefix!r}, and {error.filename} cannot be written to "
            f"({error.strerror}); allow that, or start ComfyUI with another --output-directory."
        ) from error
    made = f"{name}_{count:05}_"
    return Path(folder, made), Path(subfolder, made).as_posix()


def temp_folder() -> Path:
    return Path(folder_paths.get_temp_directory(), "guda")


def _is_text(name: str) -> bool:
    """Whether the page shows the name as it is: the menus of older front ends are HTML."""
    return "<" not in name and visible(name, keep="") == name


def _holds_a_set(folder: Path) -> bool:
    """LoRAs tell their set where its manifest was lost."""
    return (folder / MANIFEST).is_file() or any(folder.glob("*.safetensors"))


def _posix(name: str) -> str:
    return name.replace("\\", "/")


def _inside(path: Path, root: Path) -> bool:
    """Names come from saved workflows, which others may have written."""
    return path != root and Path(os.path.abspath(path)).is_relative_to(os.path.abspath(root))
