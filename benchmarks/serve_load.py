"""Many clients at once on a service of this machine: times, refusals, memory, and the rate against `Model.predict` on the same photos.

``python benchmarks/serve_load.py --photos DIR`` starts ``manypose serve`` on the loopback address, sends its requests, and stops it.
A client that is refused with 503 tries again after ``Retry-After``. Any other error ends the program with exit code 1.
"""

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import httpx
import numpy as np

import manypose


def rss(pid: int) -> float:
    """Resident memory of a process in MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise SystemExit("the memory of the service cannot be read")


def cpu(pid: int) -> float:
    """Seconds of CPU that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def client(address: str, photos: list[bytes], number: int, requests: int, told: list, wrong: list) -> None:
    """One client: its requests one after the other, each with the seconds of the answer that succeeded and of the whole with refusals."""
    with httpx.Client(base_url=address, timeout=600, trust_env=False) as http:
        for i in range(requests):
            first = time.perf_counter()
            while True:
                began = time.perf_counter()
                answer = http.post("/predict", content=photos[(number * requests + i) % len(photos)])
                now = time.perf_counter()
                told.append((answer.status_code, now - began, now - first))
                if answer.status_code != 503:
                    break
                time.sleep(int(answer.headers["retry-after"]))
            if answer.status_code != 200:
                wrong.append(answer.text[:200])
                return


def load(address: str, pid: int, photos: list[bytes], clients: int, requests: int, told: list, wrong: list) -> tuple[float, float]:
    """One round of all clients at once; the service's memory in MiB, at most and afterwards."""
    threads = [threading.Thread(target=client, args=(address, photos, n, requests, told, wrong)) for n in range(clients)]
    peak = [rss(pid)]
    for thread in threads:
        thread.start()
    while any(t.is_alive() for t in threads):
        peak.append(rss(pid))
        time.sleep(0.5)
    return max(peak), rss(pid)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="a folder with photos")
    parser.add_argument("--most", type=int, default=32, help="so many different photos")
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--requests", type=int, default=5, help="of each client")
    parser.add_argument("--rounds", type=int, default=3, help="so often all clients send their requests, to see whether memory grows")
    parser.add_argument("--alone", type=int, default=4, help="so often `Model.predict` predicts all photos")
    parser.add_argument("--model", default="fast")
    parser.add_argument("--queue", type=int, default=128)
    args = parser.parse_args()
    if min(args.most, args.clients, args.requests, args.rounds, args.alone) < 1:
        parser.error("all numbers are at least 1")
    paths = [p for p in sorted(args.photos.iterdir()) if p.suffix in (".jpg", ".png")][: args.most]
    photos = [p.read_bytes() for p in paths]

    with tempfile.TemporaryDirectory() as folder:
        words = ["serve", "--port", "0", "--model", args.model, "--queue", str(args.queue), "--max-seconds", "600", "--jobs", folder]
        command = [sys.executable, "-m", "manypose", *words]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as service:
            assert service.stdout is not None
            found = re.search(r"http://\S+", service.stdout.readline())
            if found is None:
                raise SystemExit("the service did not start")
            client(found[0], photos, 0, len(photos), [], [])  # warm
            told, wrong, held = [], [], [(rss(service.pid), rss(service.pid))]
            began, used = time.perf_counter(), cpu(service.pid)
            for i in range(args.rounds):
                held.append(load(found[0], service.pid, photos, args.clients, args.requests, told, wrong))
                print(f"round {i + 1}: {len(told)} answers, memory at most {held[-1][0]:.0f} MiB", flush=True)
            seconds, used = time.perf_counter() - began, cpu(service.pid) - used
            service.send_signal(signal.SIGTERM)
            code = service.wait(120)

    model = manypose.load(args.model)
    model.predict(paths[:2])
    began, mine = time.perf_counter(), time.process_time()
    total = args.rounds * args.clients * args.requests
    for _ in range(args.alone):
        model.predict(paths)
    predicted = args.alone * len(paths)
    alone, mine = predicted / (time.perf_counter() - began), (time.process_time() - mine) / predicted

    status = Counter(s for s, _, _ in told)
    good = sorted(t for s, t, _ in told if s == 200)
    whole = sorted(t for s, _, t in told if s == 200)
    rate, size = len(good) / seconds, f"{args.rounds} rounds of {args.clients} clients x {args.requests} requests, {len(paths)} photos"
    print(f"{size}, model {args.model}, queue {args.queue}, {os.cpu_count()} cores")
    print(f"answers: {dict(status)}; other errors: {len(wrong)} {wrong[:1]}; exit code of the service: {code}")
    print(f"accepted requests: p50 {np.percentile(good, 50):.2f} s, p95 {np.percentile(good, 95):.2f} s")
    print(f"with waiting after 503: p50 {np.percentile(whole, 50):.2f} s, p95 {np.percentile(whole, 95):.2f} s")
    print(f"throughput: {rate:.2f} photos/s; Model.predict on the same photos: {alone:.2f}; ratio {rate / alone:.2f}")
    print(f"CPU: {1000 * used / len(good):.0f} ms a photo; Model.predict: {1000 * mine:.0f}; ratio {mine * len(good) / used:.2f}")
    print("memory, at most and after, MiB: " + "; ".join(f"round {i}: {top:.0f}, {last:.0f}" for i, (top, last) in enumerate(held)))
    return 0 if not wrong and len(good) == total and code == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
