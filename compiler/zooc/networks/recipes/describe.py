"""Writes a recipe as a commented `.zoo` file."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator

from zooc.networks.recipes.recipe import Recipe
from zooc_runtime.preprocessing.steps import CenterCrop, ECenterCrop, Resize, Step

__all__ = ["describe_recipe", "package_name", "quantize_lines"]


def describe_recipe(recipe: Recipe, *, weights: str | None = None, data: str | None = None) -> str:
    """Return the description's text, in the standard layout but for what the formatter aligns.

    Args:
        recipe: the model's.
        weights: the value of `weights`, as written in the language; by default the published ones, or
            random ones where those cannot be downloaded by a program.
        data: a folder of calibration images, as written in the language; without one the package is fp32,
            and a comment says how to get int8.
    """
    square = recipe.height == recipe.width
    lines = [f"# {recipe.title}", "# Needs torch: pip install 'zooc[models]'.", ""]
    if square:
        lines += [f"let size = {recipe.height}", ""]
    lines += ["model {", f"  source {recipe.source.kind}.{recipe.source.name}"]
    lines += _weights(recipe, weights)
    side = "size, size" if square else f"{recipe.height}, {recipe.width}"
    lines += [f"  input [batch, 3, {side}]", f"  classes {recipe.classes}", "}", "", "preprocess {"]
    if recipe.resized_by:
        lines.append(f"  # Pillow's pixels, as in training: {recipe.resized_by} resizes PIL images.")
    lines += [f"  {_step(step, recipe)}" for step in recipe.preprocess.steps]
    normalize = recipe.preprocess.normalize
    lines.append("  ToTensor()")
    lines += [f"  Normalize(mean={list(normalize.mean)}, std={list(normalize.std)})", "}", ""]
    lines += [*quantize_lines(data), "", *_postprocess(recipe), ""]
    lines.append(f'package {{ name {package_name(recipe.source.name)}  version "1.0.0" }}')
    return "\n".join(lines) + "\n"


def _weights(recipe: Recipe, chosen: str | None) -> Iterator[str]:
    """The statement, and above it, as comments, the others that would do."""
    ways = {
        f'"{recipe.checkpoint}"': "a file beside this one, or in torch.hub's cache",
        "random(seed=0)": "for speed and size alone",
    }
    if recipe.pretrained:
        ways = {"pretrained": f"{recipe.pretrained}, downloaded once", **ways}
    value = chosen or ("pretrained" if recipe.pretrained else "random(seed=0)")
    if recipe.fetch:
        yield f"  # For trained weights, {recipe.fetch}"
        yield "  # and name the file here."
    yield f"  # Here: {ways.pop(value, 'as asked for')}. Or:"
    yield from (f"  #   weights {way}  # {what}" for way, what in ways.items())
    yield f"  weights {value}"


def _step(step: Step, recipe: Recipe) -> str:
    match step:
        case ECenterCrop():
            return "ECenterCrop(size)"
        case CenterCrop(height, width):
            return (
                "CenterCrop(size)" if height == width == recipe.height else f"CenterCrop([{height}, {width}])"
            )
        case Resize(size, interpolation):
            sides = str(size) if isinstance(size, int) else str(list(size))
            return f"Resize({sides}, interpolation={interpolation})"
        case _:
            raise TypeError(f"no recipe has {step}")


def quantize_lines(data: str | None) -> list[str]:
    """Return the `quantize` block: int8 with a folder of images, as written in the language, else fp32."""
    if data is None:
        return [
            "# For int8, name a folder of images like those to come, and replace `quantize fp32` by:",
            "#   quantize int8 {",
            "#     calibrate auto",
            '#     data images("FOLDER", count=50, seed=0)',
            "#   }",
            "quantize fp32",
        ]
    return [
        "quantize int8 {",
        "  # Or: percentile(99.99), max, mse, kl_divergence.",
        "  calibrate auto",
        "  # 50 of the folder's images, the same ones every time; they should be like those to come.",
        f"  data images({data}, count=50, seed=0)",
        "  weights per_channel",
        "}",
    ]


def _postprocess(recipe: Recipe) -> list[str]:
    if recipe.classes == 1000:
        return ["postprocess { softmax  topk 5  labels imagenet1k }"]
    return [
        f'# labels "FILE" names the {recipe.classes} classes, one a line.',
        f"postprocess {{ softmax  topk {min(5, recipe.classes)} }}",
    ]


def package_name(model: str) -> str:
    """Return a Python identifier made of a model's name."""
    name = re.sub(r"\W+", "_", model, flags=re.ASCII).strip("_").lower() or "network"
    return f"model_{name}" if not name.isidentifier() or keyword.iskeyword(name) else name
