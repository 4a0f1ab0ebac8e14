"""What the Python tests share: where the binaries and the corpora are, running the tool, a server for a while."""
import contextlib
import http.client
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
FUSEE = pathlib.Path(os.environ.get("FUSEE_BIN_DIR", ROOT / "build/dev/bin")) / "fusee"
COMMAND_LIMIT_S = 600
READY_LIMIT_S = 60
STOP_LIMIT_S = 30


def skip(reason):
    """Ends the test as skipped; ctest knows 77, tools/test_summary reads the line."""
    print(f"skip: {reason}")
    sys.exit(77)


def corpus(*parts):
    """A path in the test corpora, or a skip with the reason."""
    root = os.environ.get("FUSEE_CORPORA")
    if not root:
        skip("FUSEE_CORPORA is not set")
    path = pathlib.Path(root, *parts)
    if not path.exists():
        skip(f"$FUSEE_CORPORA has no {'/'.join(parts)}")
    return path


def fusee(*args, expect=0):
    """Runs `fusee ARGS` and returns its standard output. Any other exit status than expected is an error with all it said."""
    done = subprocess.run([FUSEE, *map(str, args)], capture_output=True, text=True, timeout=COMMAND_LIMIT_S)
    if done.returncode != expect:
        raise AssertionError(f"fusee {' '.join(map(str, args))}: exit status {done.returncode}, expected {expect}\n{done.stdout}{done.stderr}")
    return done.stdout


@contextlib.contextmanager
def workdir():
    with tempfile.TemporaryDirectory(prefix="fusee-test-") as path:
        yield pathlib.Path(path)


@contextlib.contextmanager
def serving(repository, *args):
    """A server of a model repository on a free port; yields (process, port). Stops it with SIGTERM, unless it has ended, and expects exit status 0."""
    with workdir() as run:
        port_file, log = run / "port", (run / "log").open("w+")
        command = [FUSEE, "serve", "--model-repository", repository, "--http-port", "0", "--metrics-port", "0", "--port-file", port_file, *args]
        process = subprocess.Popen(list(map(str, command)), stdout=log, stderr=subprocess.STDOUT)
        try:
            yield process, wait_until_ready(process, port_file)
            process.send_signal(signal.SIGTERM)
            status = process.wait(STOP_LIMIT_S)
            if status != 0:
                raise AssertionError(f"the server ended with status {status} after SIGTERM, expected 0")
        except BaseException:
            log.seek(0)
            print("--- server log\n" + log.read() + "---")
            raise
        finally:
            process.kill()
            process.wait()
            log.close()


@contextlib.contextmanager
def server(repository, *args):
    """The same for tests that need the port only."""
    with serving(repository, *args) as (_, port):
        yield port


def wait_until_ready(process, port_file):
    give_up = time.monotonic() + READY_LIMIT_S
    while time.monotonic() < give_up:
        if process.poll() is not None:
            raise AssertionError(f"the server ended with status {process.returncode} before it was ready")
        with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
            port = int(port_file.read_text())
            if request(port, "GET", "/v2/health/ready")[0] == 200:
                return port
        time.sleep(0.02)
    raise AssertionError(f"the server was not ready after {READY_LIMIT_S} s")


def request(port, method, path, body=None, headers=None):
    """One request on a connection of its own: (status, headers, body)."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()
    finally:
        connection.close()


def infer_binary(connection, model, name, array):
    """One f32 input in, the first output's f32 bytes out, over an open connection; sizes by the binary tensor extension."""
    blob = array.astype("<f4").tobytes()
    tensor = {"name": name, "shape": list(array.shape), "datatype": "FP32", "parameters": {"binary_data_size": len(blob)}}
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    connection.request("POST", f"/v2/models/{model}/infer", head + blob, {"Inference-Header-Content-Length": str(len(head))})
    response = connection.getresponse()
    body = response.read()
    if response.status != 200:
        raise AssertionError(f"HTTP {response.status}: {body[:500]!r}")
    return body[int(response.getheader("Inference-Header-Content-Length")) :]
