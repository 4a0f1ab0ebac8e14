#!/usr/bin/env python3
"""A GPU worker that is killed, hangs and traps under open-loop load, with a CPU worker as its fallback.

    gpu_faults_test.py [--rate 1000] [--times 10] [--only kill,hang,trap] [--clients 8]

Skips without a GPU. Requests leave by the clock, whatever the answers do: RATE a second, deadline 100 ms, digits plan.
For each kind of fault it happens TIMES times while requests are in flight, each time when the GPU worker has the full
load. Prints and checks: answered 200 in time (>= 99.9 %), wrong answers (0), requests without any answer (0), the first
fallback answer after each fault (<= 50 ms), and how long until the GPU worker serves again (<= 3 s): READY for requests,
which it is from the beginning of its probation on. Prints beside it when the first answer came from it again, and when it
had its full share again, five seconds of probation later.
"""
import argparse
import asyncio
import json
import multiprocessing
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import numpy as np

from harness import ROOT, fusee, serving, workdir
from worker_faults_test import is_ready, metric, serves, wait_for, workers_of

HELDOUT = np.load(ROOT / "examples/digits/heldout_images.npy")
LOGITS = np.load(ROOT / "examples/digits/heldout_logits.npy")
PROFILE = "image:1x1x8x8,8x1x8x8,32x1x8x8"
DEADLINE_S = 0.1
GPU = "cuda:0"
ANSWERED_MIN = 0.999
FALLBACK_S_MAX = 0.05
READY_AGAIN_S_MAX = 3.0
FAULT_EVERY_S = 2.5
TRAP_AFTER_S = 4
LOGIT_DIFF_MAX = 2e-2  # of the FP16 plan


def body_of(i):
    blob = HELDOUT[i : i + 1].astype("<f4").tobytes()
    tensor = {"name": "image", "shape": [1, 1, 8, 8], "datatype": "FP32", "parameters": {"binary_data_size": len(blob)}}
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True, "timeout": int(DEADLINE_S * 1e6)}}).encode()
    lines = f"POST /v2/models/digits/infer HTTP/1.1\r\nHost: fusee\r\nInference-Header-Content-Length: {len(head)}\r\nContent-Length: {len(head) + len(blob)}\r\n\r\n"
    return lines.encode() + head + blob


async def client(port, rate, offset, stop, samples):
    """Sends by the clock over as many connections as are needed; a connection carries one request at a time."""
    idle, tasks = [], set()

    async def ask(i, start):
        connection = idle.pop() if idle else await asyncio.open_connection("127.0.0.1", port)
        reader, writer = connection
        try:
            writer.write(body_of(i))
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
            fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
            body = await reader.readexactly(int(fields[b"content-length"]))
            end = time.monotonic()
            status = int(head.split(b" ", 2)[1])
            right, served_by = True, ""
            if status == 200:
                size = int(fields[b"inference-header-content-length"])
                served_by = json.loads(body[:size])["parameters"]["served_by"]
                right = bool(np.abs(np.frombuffer(body[size:], "<f4") - LOGITS[i]).max() <= LOGIT_DIFF_MAX)
            samples.append((start, end, status, right, served_by))
            idle.append(connection)
        except Exception as error:  # noqa: BLE001  any failure is a request without an answer
            samples.append((start, time.monotonic(), 0, True, repr(error)))
            writer.close()

    next_at, i = time.monotonic() + offset, 0
    while not stop.is_set():
        delay = next_at - time.monotonic()
        if delay > 0:
            await asyncio.sleep(delay)
        task = asyncio.create_task(ask(i % len(HELDOUT), next_at))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        i += 13
        next_at += 1 / rate
    await asyncio.gather(*tasks)


def run_client(port, rate, offset, stop, results):
    samples = []
    asyncio.run(client(port, rate, offset, stop, samples))
    results.put(samples)


class Load:
    def __init__(self, port, rate, clients):
        self.stop, self.results = multiprocessing.Event(), multiprocessing.Queue()
        self.processes = [
            multiprocessing.Process(target=run_client, args=(port, rate / clients, i / rate, self.stop, self.results))
            for i in range(clients)
        ]
        for process in self.processes:
            process.start()

    def finish(self):
        self.stop.set()
        samples = [sample for _ in self.processes for sample in self.results.get(timeout=60)]
        for process in self.processes:
            process.join()
        return sorted(samples)


def strike(kind, front, port, times):
    """Makes the fault happen and waits until the GPU worker has the full load again: [(when, serves after, full after)]."""
    struck = []
    for _ in range(times):
        begin = time.monotonic()
        pid = workers_of(front)[GPU]
        if kind == "trap":  # armed in the worker: it comes by itself after so many batches
            wait_for("a trap", lambda: workers_of(front).get(GPU) != pid)
            when = time.monotonic()
        else:
            when = time.monotonic()
            os.kill(pid, signal.SIGKILL if kind == "kill" else signal.SIGSTOP)
            wait_for("the worker's end", lambda: workers_of(front).get(GPU) != pid)
        wait_for("the GPU worker", lambda: serves(port, GPU))
        again = time.monotonic() - when
        wait_for("the end of its probation", lambda: is_ready(port, GPU))
        struck.append((when, again, time.monotonic() - when))
        time.sleep(max(0.0, FAULT_EVERY_S - (time.monotonic() - begin)) if kind != "trap" else 0)
    return struck


def judge(kind, samples, struck, replayed):
    total = len(samples)
    good = sum(1 for s, e, status, right, _ in samples if status == 200 and e - s <= DEADLINE_S)
    wrong = sum(1 for *_, status, right, _ in samples if status == 200 and not right)
    lost = [s for s in samples if s[2] == 0]
    first, back = [], []
    for when, again, _ in struck:
        later = [e - when for s, e, status, _, by in samples if status == 200 and by != GPU and e >= when]
        first.append(min(later) if later else float("inf"))
        # The dead process may have answered just before: only what was asked after its successor came counts.
        back.append(min((e - when for s, e, status, _, by in samples if status == 200 and by == GPU and s >= when + again), default=float("inf")))
    ready = [again for _, again, _ in struck]
    full = [seconds for *_, seconds in struck]
    latency = np.sort([e - s for s, e, status, *_ in samples if status == 200]) * 1e3
    print(
        f"{kind:5} faults {len(struck)}, requests replayed {replayed:.0f}; {total} requests, {100 * good / total:.3f} % answered in time, "
        f"{wrong} wrong, {len(lost)} without an answer; P50 {np.percentile(latency, 50):.2f} P99 {np.percentile(latency, 99):.2f} "
        f"P99.9 {np.percentile(latency, 99.9):.2f} max {latency[-1]:.1f} ms; first fallback answer max {1e3 * max(first):.1f} ms; "
        f"serves again max {max(ready):.2f} s, first answer max {max(back):.2f} s, full share max {max(full):.2f} s",
        flush=True,
    )
    for s in lost[:3]:
        print("    lost:", s[4])
    return good / total >= ANSWERED_MIN and wrong == 0 and not lost and max(first) <= FALLBACK_S_MAX and max(ready) <= READY_AGAIN_S_MAX


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rate", type=float, default=1000)
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--only", default="kill,hang,trap")
    parser.add_argument("--clients", type=int, default=8)
    args = parser.parse_args()
    if shutil.which("nvidia-smi") is None or subprocess.run(["nvidia-smi", "-L"], capture_output=True, check=False).returncode != 0:
        print("skip: no GPU here")
        return 77
    passed = True
    with workdir() as folder:
        folder = pathlib.Path(folder)
        version = folder / "models/digits/1"
        version.mkdir(parents=True)
        model = ROOT / "examples/digits/digits.onnx"
        fusee("build", model, "--shape-profile", PROFILE, "--save-plan", version / "model.cpu.plan", "--quiet")
        fusee("build", model, "--device", "cuda", "--precision", "fp16", "--shape-profile", PROFILE, "--save-plan", version / "model.cuda.plan", "--quiet")
        for kind in args.only.split(","):
            # Of each process: after more batches than it gets on probation, which is half of what five seconds bring.
            armed = ["--worker-faults", f"device:sticky@{TRAP_AFTER_S * args.rate:.0f}"] if kind == "trap" else []
            with serving(folder / "models", *armed) as (front, port):
                wait_for("the GPU worker", lambda: is_ready(port, GPU))
                load = Load(port, args.rate, args.clients)
                time.sleep(1)
                struck = strike(kind, front.pid, port, args.times)
                time.sleep(1)
                samples = load.finish()
                replayed = metric(port, "fusee_replayed_requests_total")
                passed = judge(kind, samples, struck, replayed) and passed
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
