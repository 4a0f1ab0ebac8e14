#!/usr/bin/env python3
"""Workers that are killed, stopped and missing while clients ask: nothing wrong, nothing lost.

Closed loop on the digits plan, no GPU. A right answer has the very bytes that the same server gave before any fault.
"""
import contextlib
import gzip
import http.client
import json
import os
import pathlib
import re
import signal
import threading
import time
import unittest

import numpy as np

from harness import ROOT, READY_LIMIT_S, STOP_LIMIT_S, fusee, infer_binary, request, serving, workdir

HELDOUT = np.load(ROOT / "examples/digits/heldout_images.npy")
LOGITS = np.load(ROOT / "examples/digits/heldout_logits.npy")
PROFILE = "image:1x1x8x8,8x1x8x8,32x1x8x8"
READY, PROBATION = 3, 8  # fusee_worker_state
KILLS = 20
KILLS_IN_FLIGHT = 10
KILL_EVERY_S = 0.5
CLIENTS = 4
ROWS = 8  # in one request
LOGIT_DIFF_MAX = 1e-4


class Load:
    """Clients that ask without a pause and judge every answer."""

    def __init__(self, port):
        self.port = port
        self.right = self.wrong = 0
        self.problems, self.served_by = [], set()
        self.stopping = threading.Event()
        self.lock = threading.Lock()
        self.batches = [HELDOUT[i : i + ROWS] for i in range(0, 512, ROWS)]
        connection = self.connect()
        self.golden = [infer_binary(connection, "digits", "image", batch) for batch in self.batches]
        for i, bytes_ in enumerate(self.golden):
            logits = np.frombuffer(bytes_, "<f4").reshape(ROWS, 10)
            assert np.abs(logits - LOGITS[i * ROWS : (i + 1) * ROWS]).max() <= LOGIT_DIFF_MAX
        connection.close()
        self.threads = [threading.Thread(target=self.work, args=(i,), daemon=True) for i in range(CLIENTS)]

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)

    def ask(self, connection, i):
        """(served by, bytes of the answer); an exception for anything but a 200."""
        blob = self.batches[i].astype("<f4").tobytes()
        tensor = {"name": "image", "shape": [ROWS, 1, 8, 8], "datatype": "FP32", "parameters": {"binary_data_size": len(blob)}}
        head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
        connection.request("POST", "/v2/models/digits/infer", head + blob, {"Inference-Header-Content-Length": str(len(head))})
        response = connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise AssertionError(f"HTTP {response.status}: {body[:300]!r}")
        size = int(response.getheader("Inference-Header-Content-Length"))
        return json.loads(body[:size])["parameters"]["served_by"], body[size:]

    def work(self, seed):
        connection, i = self.connect(), seed
        while not self.stopping.is_set():
            i = (i + 7) % len(self.batches)
            try:
                served_by, answer = self.ask(connection, i)
            except (AssertionError, OSError, http.client.HTTPException, KeyError, ValueError, TypeError) as error:
                with self.lock:
                    self.problems.append(f"{type(error).__name__}: {error}")
                connection.close()
                continue
            with self.lock:
                self.served_by.add(served_by)
                if answer == self.golden[i]:
                    self.right += 1
                else:
                    self.wrong += 1
        connection.close()

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join(60)


def workers_of(front):
    """{name: pid} of a front's worker processes, by /proc."""
    found = {}
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
            words = (folder / "cmdline").read_bytes().split(b"\0")
            if parent == front and b"--name" in words:
                found[words[words.index(b"--name") + 1].decode()] = int(folder.name)
    return found


def scrape(port):
    return request(port, "GET", "/metrics")[2].decode()


def metric(port, name, **labels):
    """The sum of a metric's samples that carry these labels, now."""
    return metric_in(scrape(port), name, **labels)


def metric_in(text, name, **labels):
    """The same from one scrape: what is compared must be of one moment."""
    total = 0.0
    for found in re.finditer(rf"(?m)^{name}(?:{{([^}}]*)}})? (\S+)$", text):
        if all(f'{k}="{v}"' in (found[1] or "") for k, v in labels.items()):
            total += float(found[2])
    return total


def wait_for(what, condition):
    give_up = time.monotonic() + READY_LIMIT_S
    while not condition():
        if time.monotonic() > give_up:
            raise AssertionError(f"waited {READY_LIMIT_S} s for: {what}")
        time.sleep(0.005)


def is_ready(port, worker):
    """It has its full share of the load."""
    return metric(port, "fusee_worker_state", device=worker) == READY


def serves(port, worker):
    """It takes batches, with its full share of the load or on the way there."""
    return metric(port, "fusee_worker_state", device=worker) in (READY, PROBATION)


class WorkerFaults(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.context = workdir()
        cls.dir = cls.context.__enter__()
        cls.plan = cls.dir / "digits.plan"
        fusee("build", ROOT / "examples/digits/digits.onnx", "--shape-profile", PROFILE, "--save-plan", cls.plan, "--quiet")
        cls.models = cls.repository("models", {"model.plan": cls.plan})

    @classmethod
    def tearDownClass(cls):
        cls.context.__exit__(None, None, None)

    @classmethod
    def repository(cls, name, plans, config=None):
        folder = cls.dir / name / "digits" / "1"
        folder.mkdir(parents=True)
        for file, plan in plans.items():
            os.link(plan, folder / file)
        if config:
            (folder.parent / "config.pbtxt").write_text(config)
        return cls.dir / name

    def assert_all_right(self, load):
        self.assertEqual((load.wrong, load.problems[:5]), (0, []))
        self.assertGreater(load.right, 0)

    def test_two_workers_one_killed_every_half_second(self):
        # A little slower than they are, so that a kill finds a batch in flight.
        with serving(self.models, "--workers", "2", "--threads", "1", "--worker-faults", "run:slow=5x0") as (front, port):
            for worker in ("cpu:0", "cpu:1"):
                wait_for(f"{worker} ready", lambda: serves(port, worker))
            with Load(port) as load:
                kills, next_kill = 0, time.monotonic()
                lost = lambda: metric(port, "fusee_worker_batches_lost_total")
                while kills < KILLS or (lost() < KILLS_IN_FLIGHT and kills < 3 * KILLS):
                    victim = f"cpu:{kills % 2}"
                    wait_for("both workers", lambda: serves(port, "cpu:0") and serves(port, "cpu:1"))
                    next_kill += KILL_EVERY_S
                    time.sleep(max(0, next_kill - time.monotonic()))
                    os.kill(workers_of(front.pid)[victim], signal.SIGKILL)
                    kills += 1
                    wait_for("the death is seen", lambda: metric(port, "fusee_worker_deaths_total") >= kills)
                wait_for("both workers", lambda: serves(port, "cpu:0") and serves(port, "cpu:1"))
            self.assert_all_right(load)
            for pid in workers_of(front.pid).values():
                links = [os.readlink(link) for link in pathlib.Path(f"/proc/{pid}/fd").iterdir()]
                self.assertEqual([link for link in links if link.startswith("socket:")], [], "a worker holds the front's sockets")
            replayed = metric(port, "fusee_replayed_requests_total")
            print(f"{kills} kills, {lost():.0f} with a batch in flight, {replayed:.0f} requests run again, {load.right} right, {load.wrong} wrong, {len(load.problems)} lost")
            self.assertGreaterEqual(lost(), KILLS_IN_FLIGHT)
            self.assertEqual(load.served_by, {"cpu:0", "cpu:1"})
            self.assertEqual(metric(port, "fusee_broken_promises_total"), 0)
            self.assertEqual(metric(port, "fusee_worker_restarts_total"), kills)

    def test_a_stopped_worker_is_replaced_and_its_batch_run_again(self):
        with serving(self.models, "--workers", "2", "--threads", "1", "--worker-faults", "run:slow=5x0") as (front, port):
            with Load(port) as load:
                wait_for("answers", lambda: load.right > 20)
                for worker in ("cpu:0", "cpu:1"):
                    wait_for("both workers", lambda: serves(port, "cpu:0") and serves(port, "cpu:1"))
                    pid = workers_of(front.pid)[worker]
                    os.kill(pid, signal.SIGSTOP)
                    wait_for("another process", lambda: workers_of(front.pid).get(worker, pid) != pid and serves(port, worker))
            self.assert_all_right(load)
            self.assertGreaterEqual(metric(port, "fusee_worker_deaths_total"), 2)

    def test_a_killed_worker_serves_on_probation_and_is_ready_in_the_end(self):
        with serving(self.models, "--workers", "2", "--threads", "1") as (front, port):
            for worker in ("cpu:0", "cpu:1"):
                wait_for(f"{worker} ready at once", lambda: is_ready(port, worker))
            with Load(port) as load:
                wait_for("answers", lambda: load.right > 20)
                os.kill(workers_of(front.pid)["cpu:0"], signal.SIGKILL)
                wait_for("probation", lambda: metric(port, "fusee_worker_state", device="cpu:0") == PROBATION)
                self.assertEqual(request(port, "GET", "/v2/health/ready")[0], 200)
                wait_for("ready", lambda: is_ready(port, "cpu:0"))
            self.assert_all_right(load)
            self.assertEqual(load.served_by, {"cpu:0", "cpu:1"})

    def test_one_worker_alone_comes_back_and_a_lost_request_is_told_to_retry(self):
        with serving(self.models, "--threads", "1", "--worker-faults", "run:kill@3") as (_, port):
            refused = 0
            for _ in range(30):
                wait_for("the worker", lambda: serves(port, "cpu:0"))
                status, headers, body = request(port, "POST", "/v2/models/digits/infer", json.dumps(
                    {"inputs": [{"name": "image", "shape": [1, 1, 8, 8], "datatype": "FP32", "data": HELDOUT[0].ravel().tolist()}]}))
                if status == 200:
                    self.assertEqual(json.loads(body)["parameters"], {"served_by": "cpu:0"})
                    continue
                refused += 1
                self.assertEqual((status, headers["Retry-After"]), (503, "1"), body)
                if refused == 3:
                    break
            self.assertEqual(refused, 3)

    def test_wrong_bits_of_an_idle_worker_replace_it(self):
        # Every life errs at its third probe: far enough apart that the next life is seen to serve.
        with serving(self.models, "--threads", "1", "--golden-probe-ms", "300", "--worker-faults", "probe:wrong@3") as (front, port):
            text = ""

            def wrong():
                nonlocal text
                text = scrape(port)
                return metric_in(text, "fusee_worker_deaths_total", reason="golden_mismatch")

            wait_for("a golden mismatch", lambda: wrong() >= 1)
            self.assertGreaterEqual(metric_in(text, "fusee_worker_probes_total"), 2)
            self.assertEqual(
                metric_in(text, "fusee_worker_deaths_total"),
                metric_in(text, "fusee_worker_deaths_total", reason="golden_mismatch"),
                "no worker died of anything else",
            )
            wait_for("the worker", lambda: serves(port, "cpu:0"))

    def test_sigterm_to_everybody_loses_nothing_and_leaves_no_process(self):
        with serving(self.models, "--workers", "2", "--threads", "1", "--drain-delay-ms", "300") as (front, port):
            pids = []
            with Load(port) as load:
                wait_for("answers", lambda: load.right > 20)
                pids = list(workers_of(front.pid).values())
                for pid in [front.pid, *pids]:  # as a service manager does
                    os.kill(pid, signal.SIGTERM)
                wait_for("draining", lambda: request(port, "GET", "/v2/health/ready")[0] == 503)
            self.assert_all_right(load)
            self.assertEqual(front.wait(STOP_LIMIT_S), 0)
            for pid in pids:
                self.assertFalse(pathlib.Path(f"/proc/{pid}").exists(), f"worker {pid} is left")

    def test_a_killed_front_takes_its_workers_with_it(self):
        with contextlib.suppress(AssertionError, ProcessLookupError), serving(self.models, "--workers", "2") as (front, port):
            wait_for("both workers", lambda: len(workers_of(front.pid)) == 2)
            pids = list(workers_of(front.pid).values())
            os.kill(pids[0], signal.SIGSTOP)
            front.kill()
            front.wait()
            alive = lambda: [p for p in pids if "Z" not in (pathlib.Path(f"/proc/{p}/stat").read_text() if pathlib.Path(f"/proc/{p}").exists() else "Z")]
            give_up = time.monotonic() + READY_LIMIT_S
            while alive() and time.monotonic() < give_up:
                time.sleep(0.005)
            left = alive()
        self.assertEqual(left, [])

    def test_bodies_of_every_form_reach_a_worker(self):
        """Placed, chunked, compressed and JSON: where the tensors lie differs, the answer does not."""
        with serving(self.models) as (_, port):
            load = Load(port)
            blob = load.batches[0].astype("<f4").tobytes()
            tensor = {"name": "image", "shape": [ROWS, 1, 8, 8], "datatype": "FP32"}
            binary = {"parameters": {"binary_data_output": True}}
            head = json.dumps({"inputs": [{**tensor, "parameters": {"binary_data_size": len(blob)}}], **binary}).encode()
            length = {"Inference-Header-Content-Length": str(len(head))}
            pieces = lambda body: iter([body[i : i + 1000] for i in range(0, len(body), 1000)])
            forms = {
                "whole": (head + blob, length),
                "chunked": (pieces(head + blob), length),
                "gzip": (gzip.compress(head + blob), {**length, "Content-Encoding": "gzip"}),
                "json": (json.dumps({"inputs": [{**tensor, "data": load.batches[0].ravel().tolist()}], **binary}), {}),
                "chunked json": (pieces(json.dumps({"inputs": [{**tensor, "data": load.batches[0].ravel().tolist()}], **binary}).encode()), {}),
            }
            for form, (body, headers) in forms.items():
                status, answered, answer = request(port, "POST", "/v2/models/digits/infer", body, headers)
                self.assertEqual(status, 200, (form, answer))
                self.assertEqual(answer[int(answered["Inference-Header-Content-Length"]) :], load.golden[0], form)
            raw = request(port, "POST", "/v2/models/digits/infer", load.batches[0][:1].astype("<f4").tobytes(), {"Inference-Header-Content-Length": "0"})
            self.assertEqual(raw[0], 200, raw)
            self.assertEqual(raw[2][int(raw[1]["Inference-Header-Content-Length"]) :], load.golden[0][:40])

    def test_plans_for_devices_and_an_absent_kind(self):
        both = self.repository("both", {"model.cuda.plan": self.plan, "model.cpu.plan": self.plan})
        with serving(both, "--worker-faults", "") as (_, port):
            with Load(port) as load:
                wait_for("answers", lambda: load.right > 5)
            self.assert_all_right(load)
            self.assertEqual(load.served_by, {"cpu:0"})
            self.assertGreater(metric(port, "fusee_fallback_requests_total"), 0)
            self.assertGreater(metric(port, "fusee_device_requests_total", device="cpu:0"), 0)
        only = self.repository("only", {"model.cpu.plan": self.plan}, 'parameters { key: "device_order" value { string_value: "cuda" } }')
        with serving(only) as (_, port):
            with Load(port) as load:
                wait_for("answers", lambda: load.right > 5)
            self.assert_all_right(load)
            self.assertEqual(metric(port, "fusee_fallback_requests_total"), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
