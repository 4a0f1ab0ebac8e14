#!/usr/bin/env python3
"""Sends the 1,297 held-out digits to a running server over HTTP and judges its answers.

    client.py [--url http://127.0.0.1:8000] [--model digits] [--connections 4] [--batch 1] [--json]

Every digit goes twice: once as JSON, once as a binary tensor (the KServe v2 protocol and its binary extension).
Needs only numpy. Exit code 0: accuracy >= 97 %, every top-1 answer equals ONNX Runtime's, no logit further than 1e-4
from it. 1: an answer is wrong, missing or refused. 2: the server cannot be reached.
"""
import argparse
import http.client
import json
import pathlib
import queue
import sys
import threading
import time
import urllib.parse

import numpy as np

HERE = pathlib.Path(__file__).parent
ACCURACY_MIN = 0.97
LOGIT_DIFF_MAX = 1e-4
TIMEOUT_S = 30  # of one request; a server that is silent for longer is reported, not waited for
ENCODINGS = ("json", "binary")


def encode(images, encoding):
    """One request body for f32[n,1,8,8], with its headers."""
    tensor = {"name": "image", "shape": list(images.shape), "datatype": "FP32"}
    if encoding == "json":
        tensor["data"] = images.ravel().tolist()
        head = {"inputs": [tensor], "outputs": [{"name": "logits"}]}
        return json.dumps(head).encode(), {"Content-Type": "application/json"}
    blob = np.ascontiguousarray(images, "<f4").tobytes()
    tensor["parameters"] = {"binary_data_size": len(blob)}
    outputs = [{"name": "logits", "parameters": {"binary_data": True}}]
    head = json.dumps({"inputs": [tensor], "outputs": outputs}).encode()
    return head + blob, {
        "Content-Type": "application/octet-stream",
        "Inference-Header-Content-Length": str(len(head)),
    }


def decode(body, header_length):
    """The logits in a response body, f32[n,10]. Raises ValueError, KeyError or TypeError if they are not there."""
    size = len(body) if header_length is None else int(header_length)
    outputs = {output["name"]: output for output in json.loads(body[:size])["outputs"]}
    logits = outputs["logits"]
    if logits["datatype"] != "FP32":
        raise ValueError(f"output 'logits': expected FP32, got {logits['datatype']}")
    if "data" in logits:
        values = np.array(logits["data"], np.float32)
    else:  # the only output, so its bytes are all that follows the JSON
        values = np.frombuffer(body[size : size + logits["parameters"]["binary_data_size"]], "<f4")
    return values.reshape(logits["shape"])


class Connection:
    """One keep-alive connection. A stale one is reopened once: inference has no side effects to repeat."""

    def __init__(self, address, path):
        self.path = path
        self.http = http.client.HTTPConnection(*address, timeout=TIMEOUT_S)

    def infer(self, body, headers):
        for attempt in (1, 2):
            try:
                self.http.request("POST", self.path, body, headers)
                response = self.http.getresponse()
                return response.status, response.read(), response.getheader("Inference-Header-Content-Length")
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                self.http.close()
                if attempt == 2:
                    raise


def send_all(args, address, images, encoding):
    """Returns (logits f32[N,10], latencies in seconds, wall seconds, first few problems)."""
    starts = range(0, len(images), args.batch)
    # Encoded beforehand: the latency of a request is the server's, not json.dumps's.
    requests = [(start, *encode(images[start : start + args.batch], encoding)) for start in starts]
    waiting = queue.SimpleQueue()
    for request in requests:
        waiting.put(request)
    logits = np.full((len(images), 10), np.nan, np.float32)
    latencies, problems = [], []

    def work():
        connection = Connection(address, f"/v2/models/{args.model}/infer")
        while len(problems) < 5:  # then the server is not worth asking on
            try:
                start, body, headers = waiting.get_nowait()
            except queue.Empty:
                return
            count = min(args.batch, len(images) - start)
            try:
                begin = time.perf_counter()
                status, answer, header_length = connection.infer(body, headers)
                latencies.append(time.perf_counter() - begin)
                if status != 200:
                    raise ValueError(f"HTTP {status}: {answer[:300].decode(errors='replace')}")
                values = decode(answer, header_length)
                if values.shape != (count, 10):
                    raise ValueError(f"output 'logits': expected shape [{count},10], got {list(values.shape)}")
                logits[start : start + count] = values
            except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
                problems.append(f"digit {start} as {encoding}: {type(error).__name__}: {error}")

    threads = [threading.Thread(target=work, daemon=True) for _ in range(args.connections)]
    begin = shown = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        while thread.is_alive():
            thread.join(0.1)
            if time.perf_counter() - shown > 2 and not args.json:
                shown = time.perf_counter()
                print(f"  {encoding}: {len(latencies)} of {len(requests)} requests, {shown - begin:.0f} s", flush=True)
    return logits, np.array(latencies), time.perf_counter() - begin, problems


def judge(logits, latencies, wall, problems, labels, golden):
    answered = np.isfinite(logits).all(1)
    top = np.where(answered, np.nan_to_num(logits).argmax(1), -1)
    percentile = lambda p: float(np.percentile(latencies, p) * 1e3) if len(latencies) else None
    result = {
        "digits": len(labels),
        "answered": int(answered.sum()),
        "accuracy": float((top == labels).mean()),
        "agree_with_onnxruntime": int((top == golden.argmax(1)).sum()),
        "max_abs_logit_diff": float(np.abs(logits - golden)[answered].max()) if answered.any() else None,
        "digits_per_s": float(answered.sum() / wall),
        "latency_ms": {"p50": percentile(50), "p99": percentile(99), "p99.9": percentile(99.9)},
        "problems": problems[:5],
    }
    result["ok"] = bool(
        answered.all()
        and result["accuracy"] >= ACCURACY_MIN
        and result["agree_with_onnxruntime"] == len(labels)
        and result["max_abs_logit_diff"] <= LOGIT_DIFF_MAX
    )
    return result


def print_table(results, args):
    print(f"\n{'':28}" + "".join(f"{name:>14}" for name in results))
    row = lambda title, text: print(f"{title:28}" + "".join(f"{text(r):>14}" for r in results.values()))
    number = lambda value, digits: "none" if value is None else f"{value:.{digits}f}"
    row("accuracy", lambda r: f"{r['accuracy']:.2%}")
    row("agrees with ONNX Runtime", lambda r: f"{r['agree_with_onnxruntime']} of {r['digits']}")
    row("max abs logit difference", lambda r: "none" if r["max_abs_logit_diff"] is None else f"{r['max_abs_logit_diff']:.2e}")
    row("digits per second", lambda r: f"{r['digits_per_s']:.0f}")
    for name in ("p50", "p99", "p99.9"):
        row(f"{name.upper()} ms", lambda r: number(r["latency_ms"][name], 3))
    print(f"closed loop, {args.connections} connections, {args.batch} digit(s) a request; latency includes this client's own work")
    for result in results.values():
        for problem in result["problems"]:
            print(f"problem: {problem}", file=sys.stderr)


def ready(address):
    try:
        probe = http.client.HTTPConnection(*address, timeout=TIMEOUT_S)
        probe.request("GET", "/v2/health/ready")
        return probe.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--model", default="digits")
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--batch", type=int, default=1, help="digits in one request")
    parser.add_argument("--wait", type=float, default=0, metavar="S", help="seconds to wait for the server to be ready")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    args = parser.parse_args()
    if args.connections < 1 or args.batch < 1:
        parser.error("--connections and --batch must be at least 1")
    url = urllib.parse.urlsplit(args.url)
    if url.scheme != "http" or not url.hostname:
        parser.error(f"--url: expected http://HOST:PORT, got '{args.url}'")
    address = (url.hostname, url.port or 8000)

    images = np.load(HERE / "heldout_images.npy")
    labels = np.load(HERE / "heldout_labels.npy")
    golden = np.load(HERE / "heldout_logits.npy")
    give_up = time.monotonic() + args.wait
    while not ready(address) and time.monotonic() < give_up:
        time.sleep(0.1)
    try:
        probe = http.client.HTTPConnection(*address, timeout=TIMEOUT_S)
        probe.request("GET", "/v2/health/live")
        probe.getresponse().read()
        probe.close()
    except (OSError, http.client.HTTPException) as error:
        print(f"client.py: no server at {args.url}: {error}; start one with: fusee serve --model-repository DIR", file=sys.stderr)
        return 2

    results = {e: judge(*send_all(args, address, images, e), labels, golden) for e in ENCODINGS}
    ok = all(result["ok"] for result in results.values())
    if args.json:
        print(json.dumps({"ok": ok, "url": args.url, "model": args.model, "batch": args.batch, "connections": args.connections, "results": results}, indent=1))
    else:
        print_table(results, args)
        print("all as promised" if ok else f"NOT as promised: need every digit answered, accuracy >= {ACCURACY_MIN:.0%}, full agreement, difference <= {LOGIT_DIFF_MAX:g}")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
