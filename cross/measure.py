#!/usr/bin/env python3
"""What the release binary costs on this machine: time to READY, memory, CPU on a still scene.

    cross/measure.py BINARY [demo/bundle]

Memory "beyond the model" is the agent's, less that of a C program which does nothing but run the same network through the same
ONNX Runtime (bare.c). Nothing else should run meanwhile.
"""
import os
import pathlib
import random
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time

binary, bundle = os.path.abspath(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "demo/bundle"
work = pathlib.Path(tempfile.mkdtemp(prefix="vggse-measure-"))
tick = os.sysconf("SC_CLK_TCK")
machine = subprocess.check_output(["dpkg", "--print-architecture"], text=True).strip()
library = os.environ.get("ORT_LIB") or os.path.abspath(f"build/onnxruntime/linux-{machine}/libonnxruntime.so")


def rss(pid):
    """Resident memory, MB."""
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1]) * 1024 / 1e6


def cpu(pid):
    """CPU time so far, seconds."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / tick


class Agent:
    """A running agent; seconds is how long it took from exec to READY=1."""

    def __init__(self, *options):
        manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        name = str(work / "notify")
        pathlib.Path(name).unlink(missing_ok=True)
        manager.bind(name)
        manager.settimeout(60)
        state = tempfile.mkdtemp(dir=work)
        env = dict(os.environ, NOTIFY_SOCKET=name, XDG_STATE_HOME=state, XDG_CACHE_HOME=state, ORT_LIB=library)
        sets = [word for option in options for word in ("--set", option)]
        begin = time.monotonic()
        self.log = open(work / "log", "w+")
        self.process = subprocess.Popen([binary, "run", "--bundle", bundle, "--set", "http.listen=off", *sets], env=env, stderr=self.log)
        try:
            while b"READY=1" not in manager.recv(4096):
                pass
        except TimeoutError:
            sys.exit("measure: the agent does not start: " + pathlib.Path(self.log.name).read_text())
        self.seconds = time.monotonic() - begin
        self.pid = self.process.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(30)


def bare():
    """Resident memory of the network with nothing around it, MB."""
    program = work / "bare"
    headers = subprocess.check_output(["go", "list", "-m", "-f", "{{.Dir}}", "github.com/yalue/onnxruntime_go"], text=True).strip()
    subprocess.check_call(["cc", "-O2", f"-I{headers}", "-o", program, "cross/bare.c", "-ldl"])
    side = re.search(r"input_size: *(\d+)", pathlib.Path(bundle, "model.yaml").read_text())[1]
    return int(subprocess.check_output([program, library, f"{bundle}/fp32.onnx", side])) / 1e6


def still():
    """A pipeline of one scene with the noise of a sensor, raw 640x480 at 10 frames a second, without end."""
    noise, size, frames = random.Random(1), 640 * 480 * 3, 20
    scene = bytes(64 + (i // 3) % 640 // 5 for i in range(size))
    film = work / "still.raw"
    with open(film, "wb") as out:
        for _ in range(frames):
            grain = noise.randbytes(size)
            out.write(bytes(p + (g & 3) for p, g in zip(scene, grain)))
    return (f"gst:multifilesrc location={film} loop=true ! rawvideoparse width=640 height=480 format=bgr framerate=10/1 "
            "! identity sync=true ! appsink")


def main():
    took = []
    for _ in range(7):
        with Agent() as agent:
            took.append(agent.seconds)
    print(f"start to READY, demo bundle, CPU: {statistics.median(took) * 1000:.0f} ms (median of 7, worst {max(took) * 1000:.0f})")

    alone = bare()
    with Agent() as agent:
        time.sleep(float(os.environ.get("STEADY", 60)))
        beyond = rss(agent.pid) - alone
        print(f"memory after a minute, one camera: {beyond:.1f} MB beyond the {alone:.1f} MB of ONNX Runtime with the network")

    source = still()
    with Agent(f"cameras.0.source={source}", "cameras.0.motion=0.03") as agent:
        time.sleep(15)
        begin, since = cpu(agent.pid), time.monotonic()
        time.sleep(30)
        share = (cpu(agent.pid) - begin) / (time.monotonic() - since)
        print(f"still scene, raw 640x480 at 10 frames a second, motion gate: {share * 100:.2f} % of a core")
    if share > 0.03 or statistics.median(took) > 1 or beyond > 60:
        sys.exit("measure: more than the bars allow: 1 s, 60 MB, 3 %")


main()
