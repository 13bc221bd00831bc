from __future__ import annotations

import sys

import pytest

from zooc.deployment import InputShape, Model, ModelSource, RandomWeights
from zooc.diagnostics.diagnostic import SourceFile, Span, ZoocError
from zooc.networks.torch import export_process
from zooc.networks.torch.export_process import export_apart

TEXT = SourceFile("net.zoo", "source official.nothing")
MODEL = Model(
    ModelSource("official", "nothing", Span(TEXT, 7, 23)), RandomWeights(0), InputShape(None, 3, 32, 32), 10
)


@pytest.mark.parametrize(
    ("code", "how", "note"),
    [
        ("import os; os.kill(os.getpid(), 9)", "killed by signal 9", None),
        ("raise SystemExit('torch is broken')", "ended with status 1", "torch is broken"),
    ],
)
def test_a_process_that_dies_is_reported_with_its_last_words(monkeypatch, code, how, note):
    monkeypatch.setattr(export_process, "worker_command", lambda _: [sys.executable, "-c", code])
    with pytest.raises(ZoocError) as caught:
        export_apart(MODEL, lambda _: None)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "Z0223"
    assert how in diagnostic.message
    assert diagnostic.notes == (() if note is None else (note,))
    assert diagnostic.hint


def test_an_interruption_leaves_neither_process_nor_file(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    code = "import pickle, sys, time; pickle.dump(('progress', 'x'), sys.stdout.buffer); sys.stdout.flush()"
    command = [sys.executable, "-c", f"{code}; time.sleep(600)"]
    monkeypatch.setattr(export_process, "worker_command", lambda _: command)

    def interrupt(_text):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_apart(MODEL, interrupt)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_errors_of_the_export_keep_their_place_in_the_text():
    pytest.importorskip("timm")
    steps: list[str] = []
    with pytest.raises(ZoocError) as caught:
        export_apart(MODEL, steps.append)
    (diagnostic,) = caught.value.diagnostics
    assert (diagnostic.code, diagnostic.span.text) == ("Z0201", "official.nothing")
    assert steps[0].startswith("importing torch")
