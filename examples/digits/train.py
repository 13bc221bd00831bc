"""Trains one of the digits example's networks, exports it to ONNX, and measures it on the held-back images.

Each step sees fresh composites: the 797 training digits, turned and placed anew over the training halves of
the photographs, through the same JPEG coding, crop and normalization as in deployment. The test images are
read once, at the end. Needs torch and timm: pip install 'zooc[models,demo]'.
"""

from __future__ import annotations

import argparse
import ast
import io
import itertools
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import torch
from evaluate import e_center_crop, normalize, top1
from make_dataset import CROP, SPLITS, compose, encode, load_sources, make_dataset
from network import NETWORKS, SIZE, build_network
from numpy.typing import NDArray
from PIL import Image
from torch import nn

__all__ = ["Composites", "clean", "export", "train"]

HERE = Path(__file__).resolve().parent
OPSET = 20
BATCH = 32
WINDOW = 44


class Composites:
    """For torch: the training digits, shuffled and composed anew each epoch, reproducibly for a `seed`.

    `view` is the side of what is shown, in pixels: 64 is the network's whole input, less a window on it.
    """

    def __init__(self, epochs: range, view: int, seed: int) -> None:
        self.sources, self.epochs, self.view, self.seed = load_sources(), epochs, view, seed
        self.indices = np.array(SPLITS["train"])

    def __len__(self) -> int:
        return len(self.epochs) * len(self.indices)

    def __getitem__(self, item: int) -> tuple[torch.Tensor, int]:
        """Returns float32 `[3, view, view]`, normalized, and the class."""
        epoch, place = self.epochs[item // len(self.indices)], item % len(self.indices)
        index = np.random.default_rng([self.seed, epoch]).permutation(self.indices)[place]
        rng = np.random.default_rng([self.seed, epoch, place])
        composite = compose(self.sources.digits[index], self.sources.photos["train"], rng, warp=1.6)
        pixels = e_center_crop(Image.open(io.BytesIO(encode(composite.image, rng))), SIZE)
        top, left = (window_start(composite.mask, axis, self.view) for axis in (0, 1))
        window = pixels[top : top + self.view, left : left + self.view]
        # Two photographs hold few colours: exchanging channels shows the network more of them.
        return torch.from_numpy(normalize(window[..., rng.permutation(3)])), int(self.sources.classes[index])


def window_start(mask: NDArray[np.uint8], axis: int, view: int) -> int:
    """Where a window of `view` pixels centred on the digit begins, along one axis of the network's input.

    Args:
        mask: uint8 `[H, W]`, the digit in the image as composed.
        axis: 0 for the window's top, 1 for its left.
        view: the window's side; 64 gives 0.
    """
    touched = np.flatnonzero(mask.any(axis=1 - axis))
    crop = CROP * min(mask.shape)
    middle = (touched[0] + touched[-1] + 1) / 2
    start = (middle - (mask.shape[axis] - crop) / 2) * SIZE / crop - view / 2
    return int(np.clip(np.round(start), 0, SIZE - view))


def train(name: str, epochs: int, seed: int, *, bfloat16: bool) -> nn.Module:
    """Trains network `name` from scratch: AdamW, one learning rate cycle, label smoothing; prints progress.

    The first third of the epochs shows windows on the digits: global average pooling makes small digits in
    whole frames a slow start, and a network shown nothing else still guesses after 10,000 images.
    """
    torch.manual_seed(seed)
    network = build_network(name).to(memory_format=torch.channels_last).train()
    near = round(epochs * 0.35)
    loaders = [
        torch.utils.data.DataLoader(
            Composites(range(*part), view, seed), batch_size=BATCH, num_workers=1, drop_last=True
        )
        for part, view in (((0, near), WINDOW), ((near, epochs), SIZE))
    ]
    steps = sum(map(len, loaders))
    decayed = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1.5e-3, total_steps=steps + 1, pct_start=0.1)
    criterion = nn.CrossEntropyLoss(label_smoothing=0.05)
    start = time.perf_counter()
    losses: list[float] = []
    right: list[float] = []
    for step, (images, classes) in enumerate(itertools.chain(*loaders), 1):
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            logits = network(images.contiguous(memory_format=torch.channels_last)).float()
        loss = criterion(logits, classes)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        right.append((logits.argmax(1) == classes).float().mean().item())
        if step % 100 == 0 or step == steps:
            print(
                f"step {step}/{steps}  loss {np.mean(losses[-100:]):.3f}  "
                f"training top-1 {np.mean(right[-100:]):.3f}  {time.perf_counter() - start:.0f} s",
                flush=True,
            )
    return network.eval()


def export(network: nn.Module, path: Path) -> None:
    """Writes `network` as float32 ONNX with a free batch size: `input` to `logits`."""
    example = torch.zeros(2, 3, SIZE, SIZE)
    shapes = ({0: torch.export.Dim("batch")},)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside torch's exporter
        program = torch.onnx.export(
            network.to(memory_format=torch.contiguous_format),
            (example,),
            dynamo=True,
            dynamic_shapes=shapes,
            input_names=["input"],
            output_names=["logits"],
            opset_version=OPSET,
            verbose=False,
        )
    model = program.model_proto
    clean(model)
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


def clean(model: onnx.ModelProto) -> None:
    """Names nodes after their modules, then drops the exporter's metadata: stack traces with local paths."""
    seen: dict[str, int] = {}
    for node in model.graph.node:
        weights = [name.removesuffix(".weight") for name in node.input if name.endswith(".weight")]
        scopes = {p.key: p.value for p in node.metadata_props}.get("pkg.torch.onnx.name_scopes", "[]")
        # A convolution fused with its BatchNorm carries the latter's scope; its weights still name it.
        modules = weights or [scope for scope in ast.literal_eval(scopes)[:-1] if scope]
        name = f"{modules[-1]}/{node.op_type}" if modules else node.op_type
        seen[name] = seen.get(name, 0) + 1
        node.name = name if seen[name] == 1 else f"{name}_{seen[name]}"
    _drop_metadata(model)


def _drop_metadata(message: Any) -> None:
    for field, value in message.ListFields():
        if field.name in {"metadata_props", "doc_string"}:
            message.ClearField(field.name)
        elif field.message_type is not None:
            for child in value if field.is_repeated else [value]:
                _drop_metadata(child)


def main() -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        description="Trains, exports and measures a network of the digits example."
    )
    parser.add_argument("--network", choices=NETWORKS, default="resnest")
    parser.add_argument("--epochs", type=int, default=80)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--float32", action="store_true", help="no bfloat16 autocast; slower where the CPU has it"
    )
    parser.add_argument("--data", type=Path, default=HERE / "data")
    parser.add_argument("-o", "--output", type=Path, help="default: digits_NETWORK.onnx beside this script")
    arguments = parser.parse_args()
    output = arguments.output or HERE / f"digits_{arguments.network}.onnx"
    torch.set_num_threads(arguments.threads)
    try:
        make_dataset(arguments.data)
    except OSError as problem:
        print(f"train.py: {problem}", file=sys.stderr)
        return 1
    network = train(arguments.network, arguments.epochs, arguments.seed, bfloat16=not arguments.float32)
    export(network, output)
    session = ort.InferenceSession(str(output), providers=["CPUExecutionProvider"])
    files = sorted((arguments.data / "test").glob("*/*.jpg"))
    print(f"top-1 on {len(files)} held-back images: {top1(session, files):.4f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
