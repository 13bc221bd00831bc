"""The errors that torch sources have in common."""

from __future__ import annotations

from zooc.deployment import Model, ModelSource
from zooc.diagnostics.diagnostic import ZoocError, error
from zooc.diagnostics.suggest import near_names
from zooc.networks.torch.official_names import OFFICIAL

__all__ = [
    "check_published_classes",
    "no_download",
    "uncreatable",
    "unknown_model",
    "unknown_official",
    "unknown_tag",
]


def unknown_model(
    source: ModelSource, library: str, near: list[str], hint: str, notes: tuple[str, ...] = ()
) -> ZoocError:
    """Return `Z0201`; `hint` where there are no near names."""
    kind, name = source.kind, source.name
    listed = ", ".join(f"{kind}.{n}" for n in near)
    return ZoocError(
        error(
            "Z0201",
            f"{library} has no model {name}",
            source.span,
            notes=notes,
            hint=f"did you mean {listed}?" if near else hint,
        )
    )


def unknown_tag(source: ModelSource, library: str, tags: list[str], known: list[str], hint: str) -> ZoocError:
    """Return `Z0201` for a name of the form `BASE.TAG`, where `tags` are the full names that BASE has."""
    base, _, tag = source.name.partition(".")
    if not tag or base not in known:
        return unknown_model(source, library, near_names(base, known), hint)
    notes = (f"{base} is a model of {source.kind}, but has no weights named {tag}",)
    return unknown_model(source, library, [base, *tags][:6], hint, notes)


def unknown_official(source: ModelSource) -> ZoocError:
    """Return `Z0201` for a name of `official.NAME`."""
    hint = f"the official models are {', '.join(OFFICIAL)}"
    return unknown_model(source, "the official source", near_names(source.name, OFFICIAL), hint)


def uncreatable(model: Model, problem: Exception | str) -> ZoocError:
    """Return `Z0207`, with the first line of the library's reason."""
    return ZoocError(
        error(
            "Z0207",
            f"{model.source.kind} cannot create {model.source.name} with these settings",
            model.source.span,
            notes=(_first_line(problem),),
            hint="check classes and the input's channels",
        )
    )


def check_published_classes(model: Model, published: int, asked: int) -> None:
    """Refuse published weights of another number of classes.

    Raises:
        ZoocError: `Z0205`.
    """
    if published == asked:
        return
    raise ZoocError(
        error(
            "Z0205",
            f"the published weights of {model.source.name} are for {published} classes, not {asked}",
            model.classes_span or (model.weights.span if model.weights else model.source.span),
            hint=f"write classes {published}, or use a file of weights trained for {asked} classes",
        )
    )


def no_download(model: Model, problem: Exception | str, hint: str) -> ZoocError:
    """Return `Z0206`, with the first line of the reason."""
    return ZoocError(
        error(
            "Z0206",
            f"the published weights of {model.source.name} cannot be downloaded",
            model.weights.span if model.weights else model.source.span,
            notes=(_first_line(problem),),
            hint=hint,
        )
    )


def _first_line(problem: Exception | str) -> str:
    """The reason in one line."""
    lines = str(problem).strip().splitlines()
    return lines[0] if lines else type(problem).__name__
