"""A stage for tests of the whole: private servers and real processes of Vigil in one folder, to be broken and healed.

Used by scripts/test-prometheus and scripts/test-runbooks. Everything it started ends with it.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILT = Path(os.environ.get("VIGIL_BUILT", ROOT / "target" / "debug"))
PATIENCE = float(os.environ.get("VIGIL_PATIENCE", "90"))


def say(words):
    print(f"\033[1m==> {words}\033[0m", flush=True)


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def until(what, holds, patience=PATIENCE):
    """Waits until `holds()` is true, or fails saying `what` did not come about."""
    deadline, seen = time.monotonic() + patience, None
    while time.monotonic() < deadline:
        try:
            seen = holds()
            if seen:
                return seen
        except (OSError, ValueError, KeyError) as error:
            seen = error
        time.sleep(0.1)
    raise AssertionError(f"not within {patience:.0f} s: {what} (last seen: {seen})")


def http(url, method="GET", body=None, timeout=10, headers=None):
    """Status and text of one request; status 0 if there was no answer."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, method=method, headers=headers or {})
    if data is not None:
        request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


class Stage:
    """A folder, the processes that live in it, and what they were started with."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="vs.", dir="/tmp"))
        self.folder.chmod(0o755)
        self.processes, self.recipes, self.servers = {}, {}, []

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if error is not None:
            for log in sorted(self.folder.glob("*.log")):
                lines = log.read_text(errors="replace").splitlines()[-8:]
                print(f"--- the end of {log.name}", *lines, sep="\n", file=sys.stderr)
        for name in list(self.processes):
            self.stop(name, signal.SIGKILL)
        for kind, folder in self.servers:
            self.server(kind, "thaw", folder, check=False)
            self.server(kind, "remove", folder, check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def server(self, kind, verb, folder=None, check=True):
        """One verb of scripts/servers/KIND on the private server of that kind."""
        folder = folder or self.folder / kind
        done = subprocess.run([ROOT / "scripts/servers" / kind, verb, folder], capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if check and done.returncode:
            raise AssertionError(f"{kind} {verb}: {done.stderr}")
        return done.stdout.strip()

    def start_server(self, kind, port=None):
        folder = self.folder / kind
        if port:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "port").write_text(f"{port}\n")
        self.servers.append((kind, folder))
        self.server(kind, "start")
        return self.server(kind, "url")

    def run(self, name, command, env=None):
        """Starts a process that is known by `name`; its output goes to NAME.log."""
        self.recipes[name] = (command, env)
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder), **(env or {})}
        log = (self.folder / f"{name}.log").open("ab")
        self.processes[name] = subprocess.Popen(
            [str(part) for part in command], cwd=self.folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )

    def stop(self, name, how=signal.SIGTERM):
        process = self.processes.pop(name, None)
        if process:
            process.send_signal(signal.SIGCONT)
            process.send_signal(how)
            process.wait(PATIENCE)

    def again(self, name):
        """Stops it in good order if it runs, and starts it as it was."""
        self.stop(name)
        self.run(name, *self.recipes[name])

    def log(self, name):
        path = self.folder / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""


class FakeRemediator:
    """Speaks the remediator protocol and does nothing; `mode` says how it behaves: ok, failing, broken, slow."""

    def __init__(self, port=0):
        outer, self.mode, self.calls = self, "ok", []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self, status, body):
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def do_GET(self):
                if outer.mode == "broken" and self.path != "/health":
                    return self.answer(500, {"error": "broken"})
                self.answer(200, {"status": "healthy"})

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
                outer.calls.append(body)
                if outer.mode == "slow":
                    time.sleep(2)
                if outer.mode == "broken":
                    return self.answer(500, {"error": "broken"})
                self.answer(200, {"status": "failed" if outer.mode == "failing" else "succeeded", "details": outer.mode})

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self.http.server_address[1]
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def close(self):
        self.http.shutdown()
        self.http.server_close()


class Samples:
    """Sends samples at a steady rate in the background until stopped; counts what was acknowledged."""

    def __init__(self, base, per_second, make):
        self.base, self.pause, self.make = base, 1 / per_second, make
        self.sent = self.acknowledged = 0
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.drive, daemon=True)
        self.thread.start()

    def drive(self):
        while not self.stopping.wait(self.pause):
            self.sent += 1
            status, _ = http(f"{self.base}/api/v1/ingest", "POST", self.make(self.sent), timeout=15)
            self.acknowledged += status == 201

    def stop(self):
        self.stopping.set()
        self.thread.join()
