#!/usr/bin/env python3
"""Trains the digits CNN and writes digits.onnx, the held-out digits and ONNX Runtime's answers for them.

    python3 -m venv VENV && VENV/bin/pip install -r requirements-train.txt
    VENV/bin/python train.py [--out DIR] [--epochs N]

Data: the 1,797 handwritten 8x8 digits that scikit-learn ships (UCI "Optical Recognition of Handwritten Digits").
A seeded random 500 train the network; the other 1,297 are never looked at until the last line prints their accuracy.
Only this script needs PyTorch and scikit-learn: quickstart.sh, test.sh and client.py use the committed files.
"""
import argparse
import math
import pathlib
import sys
import time

import numpy as np
import onnx
import onnxruntime
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

SEED = 2026
TRAIN_COUNT = 500
ACCURACY_MIN = 0.97  # below this the files are not written
MARGIN_MIN = 1e-3  # top-1 minus top-2 logit: 10x the 1e-4 that a plan may differ from ONNX Runtime
OPSET = 17


class Block(nn.Module):
    """Conv 3x3 -> BatchNorm -> Relu: what a compiler folds into one step."""

    def __init__(self, cin, cout):
        super().__init__()
        self.conv = nn.Conv2d(cin, cout, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(cout)

    def forward(self, x):
        return F.relu(self.norm(self.conv(x)))


class Digits(nn.Module):
    """image f32[batch,1,8,8], pixels 0..16 -> logits f32[batch,10]. Scaling to -1..1 is part of the graph."""

    def __init__(self):
        super().__init__()
        self.stem = Block(1, 32)
        self.same = Block(32, 32)  # residual: its Add is the one branch in the graph
        self.wide = Block(32, 64)
        self.last = Block(64, 64)
        self.hidden = nn.Linear(64 * 2 * 2, 64)
        self.out = nn.Linear(64, 10)
        self.dropout = nn.Dropout(0.3)

    def forward(self, image):
        x = self.stem(image * 0.125 - 1.0)
        x = F.max_pool2d(x + self.same(x), 2)  # 8x8 -> 4x4
        x = F.max_pool2d(self.last(self.wide(x)), 2)  # 4x4 -> 2x2
        x = F.relu(self.hidden(torch.flatten(x, 1)))
        return self.out(self.dropout(x))


def augment(images, generator):
    """Random rotation +-15 degrees, scale 0.85..1.15, shear +-0.15 and shift up to one pixel, then a little ink noise."""
    n = len(images)
    uniform = lambda low, high: torch.empty(n).uniform_(low, high, generator=generator)
    angle, shear = uniform(-math.pi / 12, math.pi / 12), uniform(-0.15, 0.15)
    scale_x, scale_y = uniform(0.85, 1.15), uniform(0.85, 1.15)
    cos, sin = torch.cos(angle), torch.sin(angle)
    pixel = 2 / 8  # one pixel in grid_sample's -1..1 coordinates
    theta = torch.stack(
        [
            torch.stack([cos * scale_x, (shear - sin) * scale_y, uniform(-pixel, pixel)], 1),
            torch.stack([sin * scale_x, cos * scale_y, uniform(-pixel, pixel)], 1),
        ],
        1,
    )
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    moved = F.grid_sample(images, grid, padding_mode="zeros", align_corners=False)
    noise = torch.randn(moved.shape, generator=generator) * 0.5
    return (moved + noise).clamp(0, 16)


def train(images, labels, epochs):
    torch.manual_seed(SEED)
    torch.use_deterministic_algorithms(True)
    generator = torch.Generator().manual_seed(SEED)
    model, batch = Digits(), 50
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.02)
    steps = epochs * len(images) // batch
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=3e-3, total_steps=steps)
    started = shown = time.monotonic()
    for epoch in range(epochs):
        model.train()
        for index in torch.randperm(len(images), generator=generator).split(batch):
            logits = model(augment(images[index], generator))
            loss = F.cross_entropy(logits, labels[index], label_smoothing=0.05)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        if time.monotonic() - shown > 2:
            shown = time.monotonic()
            print(f"  epoch {epoch + 1}/{epochs}, loss {loss.item():.3f}, {shown - started:.0f} s", flush=True)
    return model.eval()


def export(model, path):
    """Writes ONNX with BatchNormalization left standing (PRESERVE), so that folding it is the compiler's work."""
    torch.onnx.export(
        model,
        torch.zeros(1, 1, 8, 8),
        str(path),
        input_names=["image"],
        output_names=["logits"],
        dynamic_axes={"image": {0: "batch"}, "logits": {0: "batch"}},
        opset_version=OPSET,
        training=torch.onnx.TrainingMode.PRESERVE,
        dynamo=False,
    )
    proto = onnx.load(path)
    proto.graph.name = "digits"
    proto.doc_string = "8x8 handwritten digits, pixel values 0..16; made by examples/digits/train.py"
    onnx.checker.check_model(proto, full_check=True)
    onnx.save(proto, path)


def ort_logits(path, images):
    """ONNX Runtime's answers, one image and one thread at a time, so that they depend on nothing but the image."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(["logits"], {"image": image[None]})[0] for image in images])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parent)
    parser.add_argument("--epochs", type=int, default=400)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)

    digits = load_digits()
    images = digits.images.astype(np.float32).reshape(-1, 1, 8, 8)
    labels = digits.target.astype(np.int64)
    order = np.random.default_rng(SEED).permutation(len(images))
    chosen, held_out = np.sort(order[:TRAIN_COUNT]), np.sort(order[TRAIN_COUNT:])

    print(f"training on {len(chosen)} digits, {args.epochs} epochs", flush=True)
    torch.set_num_threads(1)  # the sum order, and so the weights, must not depend on the machine's core count
    model = train(torch.from_numpy(images[chosen]), torch.from_numpy(labels[chosen]), args.epochs)

    path = args.out / "digits.onnx"
    export(model, path)
    logits = ort_logits(path, images[held_out])
    accuracy = float((logits.argmax(1) == labels[held_out]).mean())
    top = np.sort(logits, axis=1)
    margin = float((top[:, -1] - top[:, -2]).min())
    print(f"held-out accuracy {accuracy:.2%} on {len(held_out)}, smallest top-1 margin {margin:.4f}, {path.stat().st_size:,} bytes")
    if accuracy < ACCURACY_MIN or margin < MARGIN_MIN:
        path.unlink()
        sys.exit(f"not written: need accuracy >= {ACCURACY_MIN:.0%} and margin >= {MARGIN_MIN}")
    np.save(args.out / "heldout_images.npy", images[held_out])
    np.save(args.out / "heldout_labels.npy", labels[held_out])
    np.save(args.out / "heldout_logits.npy", logits)


if __name__ == "__main__":
    main()
