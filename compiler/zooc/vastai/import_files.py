"""From vamc and vdsp files to one `.zoo` text, with every finding on the way."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from zooc.deployment import ModelSource, Preprocess
from zooc.diagnostics.diagnostic import Diagnostic, Label, SourceFile, ZoocError, error, warning
from zooc.vastai.compare import described, differences
from zooc.vastai.config import Config
from zooc.vastai.guess_source import guess_source, other_task, stem_of
from zooc.vastai.sections import Reading
from zooc.vastai.vamc import read_vamc
from zooc.vastai.vdsp_file import VdspFile, read_vdsp_file
from zooc.vastai.write_zoo import Plan, write_zoo
from zooc.vastai.yaml_tree import read_text, read_yaml

__all__ = ["Imported", "RecipeOf", "import_files"]

RecipeOf = Callable[[ModelSource], "tuple[Preprocess, int, int] | None"]
"""A model's own preprocessing, and its input's height and width, if they are known."""

_SIZE = 224
_IMAGENET = ("imagenet", "ilsvrc")


@dataclass(frozen=True)
class Imported:
    """The description's text, `None` after an error, and the findings."""

    text: str | None
    diagnostics: tuple[Diagnostic, ...]


def import_files(
    file: Path, vdsp: Path | None = None, *, output: Path | None = None, recipe_of: RecipeOf = lambda _: None
) -> Imported:
    """Translate a build configuration, a vdsp file, or both together.

    Args:
        file: a vamc YAML, or a vdsp JSON alone.
        vdsp: the JSON that goes with the YAML.
        output: where the result will lie; paths in it are relative to that.
        recipe_of: looks up a model's own recipe, to hold it against the files'.
    """
    reading = Reading()
    try:
        source = read_text(file)
        alone = file.suffix.lower() == ".json" or source.text.lstrip()[:1] == "{"
        if alone and vdsp is not None:
            message = f"{file} is a JSON file already"
            hint = "give the YAML file as FILE, or leave out --vdsp"
            raise ZoocError(error("Z0801", message, hint=hint))
        config = Config(name=_json_name(file)) if alone else _read_config(source, reading)
        json_file = file if alone else vdsp
        if config is None:
            return Imported(None, tuple(reading.diagnostics))
        params = None
        if json_file is not None:
            params = read_vdsp_file(read_text(json_file), config.input, reading)
            if params is None:
                return Imported(None, tuple(reading.diagnostics))
    except ZoocError as problem:
        return Imported(None, (*reading.diagnostics, *problem.diagnostics))
    if alone:
        config.softmax = True
        config.remarks.append(
            "A vdsp file does not describe model, quantization or classes: those blocks are guesses."
        )
    plan = _plan(config, params, file, alone, output, recipe_of, reading)
    text = None if plan is None or not reading.sound else write_zoo(config, plan)
    return Imported(text, tuple(reading.diagnostics))


def _read_config(source: SourceFile, reading: Reading) -> Config | None:
    root = read_yaml(source, reading.diagnostics.append)
    return None if root is None else read_vamc(root, reading)


def _json_name(file: Path) -> str:
    return file.stem.replace("-vdsp_params", "").replace("vdsp_params", "") or "imported"


def _plan(
    config: Config,
    params: VdspFile | None,
    file: Path,
    alone: bool,
    output: Path | None,
    recipe_of: RecipeOf,
    reading: Reading,
) -> Plan | None:
    family, _, model = config.name.partition("-") if alone else (config.name, "", config.checkpoint or "")
    source = guess_source(family, model)
    if source is None and not alone:
        source = guess_source(file.stem, model)
    folder = config.calibration.folder if config.calibration else None
    exists = config.checkpoint is not None and _local(config.checkpoint, file) is not None
    if params is not None and not alone and not exists:
        source = _named_by_vdsp(source, params, config, reading)
    _question_task(config, folder, file, reading)
    preprocess, size = _choose_preprocess(config, params, reading)
    recipe = recipe_of(source) if source else None
    if recipe is not None and source is not None:
        preprocess = _hold_against_recipe(source, recipe, preprocess, size, config, params, reading)
    if preprocess is None and config.form == "image" and config.input is not None:
        _no_preprocess(config, reading)
    if config.form == "tensor":
        preprocess = _tensor_form(config, preprocess, reading)
    if config.input is not None and config.input.channels != 3 and preprocess is not None:
        message = f"the network takes {config.input.channels} channel(s), but preprocessing gives three"
        reading.error("Z0804", message, config.input.span)
        return None
    onnx = config.checkpoint or f"{stem_of(model)}.onnx"
    if not onnx.lower().endswith(".onnx"):
        exists, onnx = False, f"{onnx[: len(onnx) - len(PurePosixPath(onnx).name)]}{stem_of(onnx)}.onnx"
        if source is None:
            message = f"zooc reads ONNX files, and this is a {config.framework} checkpoint"
            reading.warn("Z0806", message, config.checkpoint_span, hint=f"export it to {onnx}")
    names = " ".join(filter(None, [folder, config.name])).lower()
    known = source is not None and source.kind == "official"
    return Plan(
        origin=" and ".join(
            _name(name) for name in (file, params.file if params and not alone else None) if name
        ),
        source=source,
        onnx=_as_seen_from(onnx, file, output),
        use_onnx=source is None or exists,
        weights=_weights(source),
        height=size[0],
        width=size[1],
        preprocess=preprocess,
        folder=None if folder is None else _as_seen_from(folder, file, output),
        imagenet=known or any(word in names for word in _IMAGENET),
    )


def _named_by_vdsp(
    source: ModelSource | None, params: VdspFile, config: Config, reading: Reading
) -> ModelSource | None:
    """The model that the vdsp file is named for: a YAML stands for a family, a vdsp file for one model."""
    family, _, model = _json_name(Path(params.file)).partition("-")
    named = guess_source(family, model)
    if named is None or source is None or named == source or named.kind != source.kind:
        return source
    message = f"the checkpoint is that of {source.name}, and the vdsp file is named for {named.name}"
    notes = (
        f"the YAML: {source.kind}.{source.name}",
        f"the vdsp file: {named.kind}.{named.name}, which is used",
    )
    reading.warn("Z0805", message, config.checkpoint_span, notes=notes)
    config.remarks.append(f"The YAML's checkpoint is {config.checkpoint}.")
    config.checkpoint = None
    return named


def _name(file: Path | str) -> str:
    return Path(file).name


def _choose_preprocess(
    config: Config, params: VdspFile | None, reading: Reading
) -> tuple[Preprocess | None, tuple[int, int]]:
    """The vdsp file's preprocessing, because it is what runs, else the YAML's; and the input's size."""
    target = config.input
    if params is None:
        return config.preprocess, (target.height, target.width) if target else (_SIZE, _SIZE)
    config.remarks += params.remarks
    if target is not None and (target.height, target.width) != params.size:
        height, width = params.size
        made, wanted = f"{width} x {height}", f"{target.width} x {target.height}"
        message = f"the network takes {wanted} pixels, and the vdsp file makes {made}, which is used"
        labels = (Label(params.size_span, made),)
        reading.warn("Z0805", message, target.span, labels=labels)
    if config.preprocess is not None:
        for what, ours, theirs in differences(config.preprocess, params.preprocess):
            notes = (f"the YAML: {ours}", f"the vdsp file: {theirs}")
            labels = (Label(params.place_of(what), "here"),)
            message = f"{what} of `process_ops` differs from the vdsp file's, which is used"
            reading.warn("Z0805", message, config.preprocess_span, labels=labels, notes=notes)
    return params.preprocess, params.size


def _hold_against_recipe(
    source: ModelSource,
    recipe: tuple[Preprocess, int, int],
    preprocess: Preprocess | None,
    size: tuple[int, int],
    config: Config,
    params: VdspFile | None,
    reading: Reading,
) -> Preprocess | None:
    own, height, width = recipe
    name = f"{source.kind}.{source.name}"
    place = config.preprocess_span or (params.whole_span if params else None)
    if (height, width) != size:
        message = f"{name} is made for {width} x {height} pixels, but the files give {size[1]} x {size[0]}"
        reading.warn("Z0805", message, config.input.span if config.input else place)
    if preprocess is None:
        config.remarks.append(f"The files have no preprocessing; this is {name}'s own.")
        return own if config.form == "image" and (height, width) == size else None
    if differences(preprocess, own):
        notes = (f"the files: {described(preprocess)}", f"the model's own: {described(own)}")
        message = f"the preprocessing differs from {name}'s own; that of the files is used"
        hint = "for the published accuracy use the model's own preprocessing"
        reading.warn("Z0805", message, place, notes=notes, hint=hint)
        config.remarks.append(f"{name}'s own preprocessing is: {described(own)}")
    return preprocess


def _no_preprocess(config: Config, reading: Reading) -> None:
    message = "the configuration has no preprocessing; the package will take tensors"
    hint = "give the vdsp file with --vdsp for a package that takes images"
    if config.dtype == "int8":
        reading.error(
            "Z0806",
            "int8 is calibrated on images, but the configuration has no preprocessing",
            None,
            hint=hint,
        )
        return
    reading.warn("Z0806", message, config.name_span, hint=hint)


def _tensor_form(config: Config, preprocess: Preprocess | None, reading: Reading) -> Preprocess | None:
    if config.dtype == "int8" and preprocess is not None:
        config.remarks.append(
            "tvm_runmodel takes tensors: call model.run_tensor(pixels). The preprocess block stays, because "
            "int8 is calibrated on images."
        )
        return preprocess
    if config.dtype == "int8":
        hint = "give the vdsp file with --vdsp"
        reading.error(
            "Z0806",
            "int8 is calibrated on images, but the configuration has no preprocessing",
            None,
            hint=hint,
        )
    return None


def _question_task(config: Config, folder: str | None, file: Path, reading: Reading) -> None:
    task = other_task(config.name, config.checkpoint, folder, file.stem)
    if task is not None:
        message = f"by its names this is a {task} network; zooc compiles classifiers"
        hint = "a compile will refuse a network whose output is not [batch, classes]"
        reading.diagnostics.append(warning("Z0807", message, config.name_span, hint=hint))


def _weights(source: ModelSource | None) -> str:
    if source is not None and source.kind == "official" and source.name.startswith("iresnet"):
        return f'"{source.name}.pth"'
    return "pretrained"


def _local(path: str, file: Path) -> Path | None:
    """The file or folder that a configuration names, relative to itself or to the current folder."""
    for base in (file.parent, Path()):
        try:
            if (base / path).exists():
                return base / path
        except (OSError, ValueError):
            return None
    return None


def _as_seen_from(path: str, file: Path, output: Path | None) -> str:
    """A relative path that is there, as the description's folder sees it; others as they are written."""
    found = None if Path(path).is_absolute() else _local(path, file)
    if found is None or output is None:
        return path
    return Path(os.path.relpath(found.absolute(), output.absolute().parent)).as_posix()
