"""Runs the agent against a server of its own, and compares what it sends with what psutil measures in the same time.

usage: agent_beside_psutil.py PROGRAM FOLDER SECONDS; fails if they are more than 2 points apart, or it takes more than 15 MB or 0.5 %.
"""

import gzip
import http.server
import json
import os
import subprocess
import sys
import threading
import time

import psutil

program, folder, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3])
samples = []


class Server(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        samples.extend(json.loads(gzip.decompress(body))["metrics"])
        self.send_response(201)
        self.end_headers()

    def do_GET(self):
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}"
with open(f"{folder}/agent.yaml", "w") as config:
    json.dump(
        {
            "processes": [{"name": "python", "cgroup": "/"}],
            "checks": [{"name": "page", "http": url}]
            + [{"name": f"secret-{n}", "http": f"https://127.0.0.1:{server.server_port}"} for n in range(4)],
        },
        config,
    )
agent = subprocess.Popen(
    [program, "--config", f"{folder}/agent.yaml", "--server", url, "--buffer", f"{folder}/buffer",
     "--listen", "127.0.0.1:0", "--interval", "10"],
    stdout=subprocess.DEVNULL,
)


def values(name):
    return [(s["timestamp"], s["value"]) for s in samples if s["name"] == name and s["tags"].get("mount", "/") == "/"]


def used(process):
    times = process.cpu_times()
    return times.user + times.system


def mean(numbers):
    return sum(numbers) / len(numbers)


while not values("cpu_percent"):
    time.sleep(0.05)
# A round was made just now: from here on both look at the same time.
skip, own, began = len(values("cpu_percent")), psutil.Process(agent.pid), time.monotonic()
psutil.cpu_percent()
at_first, memory, largest = used(own), [], 0
rounds = max(1, seconds // 10)
while len(values("cpu_percent")) < skip + rounds:
    time.sleep(0.5)
    memory.append(psutil.virtual_memory().percent)
    largest = max(largest, own.memory_info().rss)
cpu, passed = psutil.cpu_percent(), time.monotonic() - began
disk = 100 - psutil.disk_usage("/").percent
cost = (used(own) - at_first) / passed * 100
agent.terminate()
agent.wait()

wrong = 0
for name, theirs in [("cpu_percent", cpu), ("memory_percent", mean(memory)), ("disk_free_percent", disk)]:
    ours = mean([value for _, value in values(name)[skip:]])
    wrong += abs(ours - theirs) > 2
    print(f"{name:20} agent {ours:6.2f}   psutil {theirs:6.2f}")
largest /= 1e6
print(f"over {passed:.0f} s the agent took {largest:.1f} MB of memory at most, and {cost:.3f} % of a processor")
wrong += largest > 15 or cost > 0.5
sys.exit(1 if wrong else 0)
