#!/usr/bin/env python3
"""All 10,000 MNIST test images through the plan of a network with trained weights, over HTTP: 9,891 are right."""
import gzip
import http.client
import sys

import numpy as np
from harness import corpus, fusee, infer_binary, server, workdir

RIGHT = 9891  # what ONNX Runtime gets right with this model and raw pixel values; its closest call has a margin of 0.36


def read_idx(path, header_bytes):
    return np.frombuffer(gzip.open(path).read()[header_bytes:], np.uint8)


def main():
    model = corpus("golden", "mnist_cntk", "model.onnx")
    images = read_idx(corpus("data", "mnist", "t10k-images-idx3-ubyte.gz"), 16).reshape(-1, 1, 1, 28, 28).astype(np.float32)
    labels = read_idx(corpus("data", "mnist", "t10k-labels-idx1-ubyte.gz"), 8)
    with workdir() as dir:
        version = dir / "models/mnist/1"
        version.mkdir(parents=True)
        fusee("build", model, "--save-plan", version / "model.plan")
        with server(dir / "models") as port:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            answers = [np.frombuffer(infer_binary(connection, "mnist", "Input3", image), "<f4").argmax() for image in images]
            connection.close()
    right = int((np.array(answers) == labels).sum())
    print(f"{right} of {len(labels)} right, expected {RIGHT}")
    return 0 if right == RIGHT else 1


if __name__ == "__main__":
    sys.exit(main())
