#!/usr/bin/env python3
"""Times PyTorch on one GPU as the peer of `fusee bench`: FP16, random data, no host copies.

    torch_peer.py [--models bert-base,resnet50,vit-b16] [--batches 1,8,32] [--modes eager,graph,compile] [--replays 1000] [--json FILE]

One row a model, batch and mode: median, P99 and minimum of device time (CUDA events around each call) in milliseconds.
Modes: eager; graph, the eager forward captured once in a CUDA graph; compile, torch.compile(mode="max-autotune"), which
adds CUDA graphs and tuned Triton kernels. A mode that fails says why and the rest goes on.
Needs torch, torchvision and transformers; weights are random, shapes are those of make_models.
"""
import argparse
import json
import statistics
import sys
import time

import torch

TOKENS = 128


def bert(batch):
    import transformers

    config = transformers.BertConfig(attn_implementation="sdpa")
    model = transformers.BertModel(config)
    ids = torch.randint(0, config.vocab_size, (batch, TOKENS), device="cuda")
    mask = torch.ones_like(ids)
    kinds = torch.zeros_like(ids)
    return model, (ids, mask, kinds), lambda m, x: m(input_ids=x[0], attention_mask=x[1], token_type_ids=x[2]).last_hidden_state


def image(make, channels_last):
    def build(batch):
        model = make()
        x = torch.randn(batch, 3, 224, 224, device="cuda", dtype=torch.half)
        if channels_last:
            model, x = model.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
        return model, (x,), lambda m, x: m(x[0])

    return build


def models():
    import torchvision

    return {
        "bert-base": bert,
        "resnet50": image(torchvision.models.resnet50, True),
        "vit-b16": image(torchvision.models.vit_b_16, False),
    }


def captured(call):
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(3):
            call()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    return graph.replay


def time_calls(call, replays):
    for _ in range(50):
        call()
    torch.cuda.synchronize()
    pairs = [(torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)) for _ in range(replays)]
    for start, stop in pairs:
        start.record()
        call()
        stop.record()
        stop.synchronize()
    times = sorted(a.elapsed_time(b) for a, b in pairs)
    return {"min_ms": times[0], "p50_ms": statistics.median(times), "p99_ms": times[int(len(times) * 0.99) - 1], "count": len(times)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], epilog="Example: torch_peer.py --models resnet50 --batches 1,8")
    parser.add_argument("--models", default="bert-base,resnet50,vit-b16")
    parser.add_argument("--batches", default="1,8,32")
    parser.add_argument("--modes", default="eager,graph,compile")
    parser.add_argument("--replays", type=int, default=1000)
    parser.add_argument("--compile-mode", default="max-autotune")
    parser.add_argument("--json", help="also write the rows to this file")
    args = parser.parse_args()
    if not torch.cuda.is_available():
        print("skip: PyTorch finds no GPU")
        return 77
    print(f"PyTorch {torch.__version__}, {torch.cuda.get_device_name()}")
    rows = []
    for name in args.models.split(","):
        for batch in map(int, args.batches.split(",")):
            torch.manual_seed(0)
            model, inputs, run = models()[name](batch)
            model = model.cuda().half().eval()
            for mode in args.modes.split(","):
                begin = time.time()
                try:
                    with torch.inference_mode():
                        target = torch.compile(model, mode=args.compile_mode) if mode == "compile" else model
                        call = lambda: run(target, inputs)  # noqa: E731
                        for _ in range(3):
                            call()
                        torch.cuda.synchronize()
                        if mode == "graph":
                            call = captured(call)
                        row = {"model": name, "batch": batch, "mode": mode, **time_calls(call, args.replays)}
                    row["ready_s"] = round(time.time() - begin, 1)
                    rows.append(row)
                    print(f"{name:10} b{batch:<3} {mode:8} min {row['min_ms']:.3f}  P50 {row['p50_ms']:.3f}  P99 {row['p99_ms']:.3f} ms  ({row['count']} calls)", flush=True)
                except Exception as error:  # noqa: BLE001  a peer's failure is a row, not an end
                    print(f"{name:10} b{batch:<3} {mode:8} failed: {str(error).splitlines()[0][:120]}", flush=True)
            torch._dynamo.reset()
    if args.json:
        with open(args.json, "w") as file:
            json.dump(rows, file, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
