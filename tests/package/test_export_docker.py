"""`zooc export-docker` and `zooc export-kserve`: what they write, and what they refuse."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from zooc.cli.app import app
from zooc.package.contents import PackageContents
from zooc.package.exports.image import dns_label
from zooc.package.templates import docker_string

Make = Callable[..., PackageContents]
SDK = json.loads((Path(__file__).parent / "kserve_fields.json").read_text("utf-8"))["types"]


def zooc(*arguments: str, code: int = 0) -> str:
    """What a command says, after it ended with `code`."""
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == code, result.output
    return " ".join(result.output.replace("│", " ").split())


def instructions(dockerfile: Path) -> list[tuple[str, str]]:
    """A Dockerfile's instructions with their arguments, continued lines joined."""
    lines = [line for line in dockerfile.read_text().splitlines() if line and not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in joined.splitlines()]


def only(all_: list[tuple[str, str]], name: str) -> str:
    (found,) = (value for key, value in all_ if key == name)
    return found


def test_the_folder_holds_the_package_and_what_builds_it(tinybird: Callable[..., Path]) -> None:
    package = tinybird()
    zooc("export-docker", "build/tinybird", "-o", "image")
    copied = {p.relative_to("image/package") for p in Path("image/package").rglob("*") if p.is_file()}
    there = {p.relative_to(package.parent) for p in package.parent.rglob("*") if p.is_file()}
    assert copied == there
    assert all((Path("image/package") / p).read_bytes() == (package.parent / p).read_bytes() for p in there)
    assert Path("image/.dockerignore").read_text().splitlines()[:2] == ["*", "!package"]


def test_the_dockerfile_is_as_it_should_be(tinybird: Callable[..., Path]) -> None:
    tinybird()
    zooc("export-docker", "build/tinybird", "-o", "image")
    all_ = instructions(Path("image/Dockerfile"))
    bases = [value for key, value in all_ if key == "FROM"]
    assert len(bases) == 2 and bases[0] == f"{bases[1]} AS build"
    assert re.fullmatch(r"python:3\.\d+-slim-\w+", bases[1])
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", only(all_, "USER"))
    assert [key for key, _ in all_].index("USER") < [key for key, _ in all_].index("CMD")
    assert only(all_, "STOPSIGNAL") == "SIGTERM"
    assert "--no-cache-dir" in only(all_, "RUN") and '".[serve]"' in only(all_, "RUN")
    command = json.loads(only(all_, "CMD"))
    assert command[:6] == ["python", "-m", "tinybird", "serve", "--host", "0.0.0.0"]
    assert command[6:] == ["--port", "8000", "--engine", "onnxruntime"]
    health = only(all_, "HEALTHCHECK")
    assert "/v2/health/ready" in json.loads(health[health.index("[") :])[2]
    labels = dict(re.findall(r'(\S+)="((?:[^"\\]|\\.)*)"', only(all_, "LABEL")))
    assert labels["org.opencontainers.image.title"] == "tinybird"
    assert labels["org.opencontainers.image.version"] == "1.2.3"
    assert len(labels["zooc.manifest.sha256"]) == 64
    environment = " ".join(value for key, value in all_ if key == "ENV")
    assert "PYTHONDONTWRITEBYTECODE=1" in environment


def test_hadolint_finds_nothing(tinybird: Callable[..., Path]) -> None:
    hadolint = shutil.which("hadolint", path=os.pathsep.join([str(Path(sys.executable).parent), os.defpath]))
    if hadolint is None:
        pytest.skip("hadolint is not installed")
    tinybird(source='we"ird $HOME\n.onnx')
    for engine in ("onnxruntime", "openvino"):
        zooc("export-docker", "build/tinybird", "-o", engine, "--engine", engine)
        run = subprocess.run([hadolint, f"{engine}/Dockerfile"], capture_output=True, text=True, check=False)
        assert (run.returncode, run.stdout) == (0, "")


def test_the_compose_file_runs_it_without_rights(tinybird: Callable[..., Path]) -> None:
    tinybird()
    zooc("export-docker", "build/tinybird", "-o", "image", "--image", "registry.example.com/birds/tiny:7")
    (service,) = yaml.safe_load(Path("image/compose.yaml").read_text())["services"].values()
    assert service["image"] == "registry.example.com/birds/tiny:7"
    assert service["read_only"] is True and service["cap_drop"] == ["ALL"] and service["tmpfs"] == ["/tmp"]
    assert service["ports"] == ["127.0.0.1:8000:8000"]


def test_the_pip_steps_make_a_package_that_imports(tinybird: Callable[..., Path]) -> None:
    """The Dockerfile's own RUN, with paths of here; the network is spared by a wheel built beforehand."""
    tinybird()
    zooc("export-docker", "build/tinybird", "-o", "image")
    python, venv = shlex.quote(sys.executable), shlex.quote(str(Path("venv").absolute()))
    run = only(instructions(Path("image/Dockerfile")), "RUN")
    assert run.startswith("python -m venv ") and "&& pip --python " in run
    run = f"{python} {run.removeprefix('python ')}".replace("&& pip ", f"&& {python} -m pip ")
    run = run.replace("/venv", venv).replace('".[serve]"', "--no-deps wheels/*.whl")
    wheel = f"{python} -m pip wheel --no-deps --no-build-isolation --wheel-dir wheels ."
    subprocess.run(["sh", "-ec", f"{wheel}; {run}"], cwd="image/package", check=True, capture_output=True)
    assert not Path("venv/bin/pip").exists()
    code = "import tinybird; print(tinybird.__version__, tinybird.__file__)"
    done = subprocess.run(["venv/bin/python", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("1.2.3 ") and "site-packages" in done.stdout


def test_command_and_health_check_work_together(tinybird: Callable[..., Path]) -> None:
    for module in ("uvicorn", "starlette", "prometheus_client", "httptools"):
        pytest.importorskip(module, reason=f"{module} is not installed")
    tinybird()
    zooc("export-docker", "build/tinybird", "-o", "image")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    all_ = instructions(Path("image/Dockerfile"))
    command, check = (
        [sys.executable, *json.loads(text[text.index("[") :].replace("8000", port))[1:]]
        for text in (only(all_, "CMD"), only(all_, "HEALTHCHECK"))
    )
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "ZOOC_CACHE": str(Path("cache").absolute())}
    environment.pop("PYTHONPATH", None)
    with subprocess.Popen(
        command, cwd="image/package", env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as server:
        try:
            assert subprocess.run(check, capture_output=True, check=False).returncode in (0, 1)
            deadline = time.monotonic() + 60
            while subprocess.run(check, capture_output=True, check=False).returncode != 0:
                assert server.poll() is None and time.monotonic() < deadline
                time.sleep(0.2)
        finally:
            server.send_signal(signal.SIGTERM)
        assert server.wait(30) == 0


def test_a_folder_is_replaced_only_on_demand_and_nothing_else_ever(tinybird: Callable[..., Path]) -> None:
    tinybird()
    zooc("export-docker", "build/tinybird", "-o", "image")
    assert "--force" in zooc("export-docker", "build/tinybird", "-o", "image", code=1)
    said = json.loads(zooc("export-docker", "build/tinybird", "-o", "image", "--force", "--format", "json"))
    assert said["image"] == "tinybird:1.2.3" and "Dockerfile" in said["files"]
    Path("image/notes.txt").write_text("mine")
    said = zooc("export-docker", "build/tinybird", "-o", "image", "--force", code=1)
    assert "Z0602" in said and "notes.txt" in said
    Path("image/notes.txt").unlink()
    Path("image/Dockerfile").write_text("FROM scratch\n")
    assert "Z0602" in zooc("export-docker", "build/tinybird", "-o", "image", "--force", code=1)


@pytest.mark.parametrize("inside", ["build/tinybird/image", "build/tinybird/tinybird/a/image"])
def test_a_package_is_no_place_for_another_output(tinybird: Callable[..., Path], inside: str) -> None:
    tinybird()
    said = zooc("export-docker", "build/tinybird", "-o", inside, code=1)
    assert "Z0603" in said and "inside of the package" in said
    assert not Path(inside).parent.joinpath("image").exists()


def test_an_engine_that_the_package_lacks_is_refused(tinybird: Callable[..., Path]) -> None:
    tinybird(engines=("onnxruntime",))
    said = zooc("export-docker", "build/tinybird", "-o", "image", "--engine", "openvino", code=1)
    assert "Z0827" in said and "engines" in said
    assert "openvno" in zooc("export-docker", "build/tinybird", "-o", "image", "--engine", "openvno", code=2)
    tinybird(engines=("openvino",))
    zooc("export-docker", "build/tinybird", "-o", "image")
    all_ = instructions(Path("image/Dockerfile"))
    assert '".[serve,openvino]"' in only(all_, "RUN")
    assert json.loads(only(all_, "CMD"))[-2:] == ["--engine", "openvino"]


def test_only_the_folder_of_a_compile_has_what_pip_needs(tinybird: Callable[..., Path]) -> None:
    package = tinybird()
    shutil.copytree(package, "site-packages/tinybird")
    said = zooc("export-docker", "site-packages/tinybird", "-o", "image", code=1)
    assert "Z0825" in said and "zooc compile" in said
    project = package.parent / "pyproject.toml"
    project.write_text(project.read_text() + "# mine\n")
    said = zooc("export-docker", "build/tinybird", "-o", "image", code=1)
    assert "Z0222" in said and "pyproject.toml" in said
    assert "Z0222" in zooc("export-docker", "build/tinybrd", "-o", "image", code=1)


@pytest.mark.parametrize(
    "name, hint",
    [
        ("Tiny:1", "did you mean tiny:1?"),
        ("https://registry.example.com/tiny:1", "did you mean registry.example.com/tiny:1?"),
        ("tiny:", "write it like"),
        ("tiny bird", "write it like"),
        ("tiny@sha256:abc", "write it like"),
        ("tiny:1\n  privileged: true", "write it like"),
        ("", "write it like"),
        ("-tiny", "write it like"),
    ],
)
def test_a_mistyped_image_is_refused(name: str, hint: str, tinybird: Callable[..., Path]) -> None:
    tinybird()
    for command, output in (("export-docker", "image"), ("export-kserve", "isvc.yaml")):
        said = zooc(command, "build/tinybird", "-o", output, "--image", name, code=1)
        assert "Z0826" in said and hint in said
        assert not Path(output).exists()


@pytest.mark.parametrize(
    "name", ["tiny", "a/b_c/d--e:1.0", "localhost:5000/tiny", "Host.example/x@sha256:" + "0" * 64]
)
def test_names_of_images_are_taken(name: str, tinybird: Callable[..., Path]) -> None:
    tinybird()
    zooc("export-kserve", "build/tinybird", "-o", "isvc.yaml", "--image", name)
    document = yaml.safe_load(Path("isvc.yaml").read_text())
    assert document["spec"]["predictor"]["containers"][0]["image"] == name


def check_fields(value: Any, kind: str, place: str) -> None:
    """Hold a value to a type of KServe's or Kubernetes' SDK: fields, their types, and what is required."""
    if match := re.fullmatch(r"[Ll]ist\[(\w+)\]", kind):
        assert isinstance(value, list), place
        for index, one in enumerate(value):
            check_fields(one, match[1], f"{place}[{index}]")
    elif kind.lower().startswith("dict"):
        assert all(isinstance(text, str) for pair in value.items() for text in pair), place
    elif kind in SDK:
        fields = SDK[kind]["fields"]
        assert set(value) <= set(fields), f"{place}: {set(value) - set(fields)}"
        assert set(SDK[kind]["required"]) <= set(value), place
        for name, one in value.items():
            check_fields(one, fields[name], f"{place}.{name}")
    else:
        types = {"str": str, "int": int, "bool": bool, "object": (str, int)}
        assert isinstance(value, types[kind]), place  # type: ignore[arg-type]
        assert kind == "bool" or not isinstance(value, bool), place


def test_the_inference_service_has_the_published_fields(tinybird: Callable[..., Path]) -> None:
    tinybird(name="Tiny_Bird")
    options = "--cpu 4 --memory 512Mi --min-replicas 2 --max-replicas 5"
    zooc("export-kserve", "build/Tiny_Bird", "-o", "isvc.yaml", "--image", "r.io/t:1", *options.split())
    document = yaml.safe_load(Path("isvc.yaml").read_text())
    check_fields(document, "V1beta1InferenceService", "InferenceService")
    assert (document["apiVersion"], document["kind"]) == ("serving.kserve.io/v1beta1", "InferenceService")
    assert document["metadata"]["name"] == "tiny-bird"
    predictor = document["spec"]["predictor"]
    assert (predictor["minReplicas"], predictor["maxReplicas"]) == (2, 5)
    (container,) = predictor["containers"]
    assert container["env"] == [{"name": "PROTOCOL", "value": "v2"}]
    assert container["resources"]["limits"] == {"cpu": "4", "memory": "512Mi"}
    security = container["securityContext"]
    assert security["runAsNonRoot"] and security["readOnlyRootFilesystem"]
    assert not security["allowPrivilegeEscalation"] and security["capabilities"]["drop"] == ["ALL"]
    (port,) = container["ports"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["port"] == port["containerPort"]
    assert {mount["name"] for mount in container["volumeMounts"]} == {v["name"] for v in predictor["volumes"]}


def test_the_check_of_fields_finds_mistakes() -> None:
    wrong = {"apiVersion": "x", "kind": "y", "spec": {"predictor": {"minReplica": 1}}}
    with pytest.raises(AssertionError, match="minReplica"):
        check_fields(wrong, "V1beta1InferenceService", "")
    with pytest.raises(AssertionError, match="minReplicas"):
        check_fields({"predictor": {"minReplicas": "1"}}, "V1beta1InferenceServiceSpec", "")


@pytest.mark.parametrize(
    "arguments, told",
    [
        (["--memory", "1 GB"], "write it like 512Mi"),
        (["--memory", "1gi"], "write it like 512Mi"),
        (["--min-replicas", "3"], "1 is less than --min-replicas, 3"),
        (["--cpu", "0"], "'--cpu'"),
    ],
)
def test_mistyped_resources(arguments: list[str], told: str, tinybird: Callable[..., Path]) -> None:
    tinybird()
    said = zooc("export-kserve", "build/tinybird", "-o", "i.yaml", "--image", "t", *arguments, code=2)
    assert told in said
    assert not Path("i.yaml").exists()


def test_a_manifest_is_overwritten_only_on_demand(tinybird: Callable[..., Path]) -> None:
    tinybird()
    Path("isvc.yaml").write_text("mine")
    arguments = ("export-kserve", "build/tinybird", "-o", "isvc.yaml", "--image", "t")
    assert "Z0812" in zooc(*arguments, code=1)
    assert Path("isvc.yaml").read_text() == "mine"
    assert "Z0702" in zooc(*arguments, "--force", code=1)
    assert Path("isvc.yaml").read_text() == "mine"
    Path("isvc.yaml").unlink()
    zooc(*arguments)
    assert json.loads(zooc(*arguments, "--force", "--format", "json"))["image"] == "t"
    assert "Missing option '--image'" in zooc(*arguments[:-2], code=2)


def test_names_become_those_of_hosts() -> None:
    assert [dns_label(n) for n in ("a_b", "_x", "X9", "_", "_9")] == ["a-b", "x", "x9", "zooc", "zooc-9"]
    assert len(dns_label("n" * 100)) == 40
    assert docker_string('a"b\\c$d\ne') == '"a\\"b\\\\c\\$d e"'
