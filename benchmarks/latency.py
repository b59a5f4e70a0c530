"""How fast and how large serving is: decisions from memory, of unseen prompts, in batches, over HTTP; and what 10,000
people take. Every figure stands beside a bare one of the same run, and CPU time beside the clock's, because absolute
times tell more of the machine and of who else uses it.
"""

import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.report import progress
from core.dataset import PreferenceDataset
from core.domain import Bundle, Comparison, Outcome, Query, User, UserId
from core.encoders import SentenceEncoder
from core.routers import router_class
from db.demo import demo_bundle
from db.embeddings import CachedEncoder
from db.engine import Database
from db.keys import ApiKeys, Scope
from db.known import Histories
from db.live import LiveRouting, Wanted
from db.preferences import PreferenceStore
from db.routers import RouterRegistry
from db.serving import Serving

ROOT = Path(__file__).resolve().parent.parent
PEOPLE = 10_000
RATINGS = 50
WORDS = ("river", "tax", "garden", "proof", "letter", "engine", "holiday", "soup", "matrix", "friend", "violin", "rain")
BARE = """
from fastapi import FastAPI
app = FastAPI()

@app.post("/v1/route")
def route(asked: dict) -> dict:
    return {"data": [{"llm": "x"}]}
"""


def latency(router: str, decisions: int, clients: int, users: int, out: Path | None) -> dict[str, Any]:
    """Measure, print, and write to `out`: each figure with `<figure>_ratio` to its bare one."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'latency.db'}"
        database = Database.open(url)
        try:
            key = _world(database, router)
            found = _in_process(database, decisions) | _over_http(url, key, clients)
            found["mb_10k_users"], found["mb_10k_users_ratio"] = _memory(database, users)
        finally:
            database.dispose()
    found |= {"router": router, "decisions": decisions, "clients": clients, "users_measured": users}
    for name, value in found.items():
        print(f"{name:24} {value:,.3f}" if isinstance(value, float) else f"{name:24} {value}")
    if out:
        out.write_text(json.dumps(found, indent=1), encoding="utf-8")
    return found


def _world(database: Database, kind: str) -> str:
    """The demo world with a router fitted to it in service; a key of the endpoint."""
    PreferenceStore(database).add_bundle(demo_bundle())
    encoder = CachedEncoder(SentenceEncoder(), database)
    dataset: PreferenceDataset = PreferenceStore(database).snapshot()
    fitting, validation, _ = dataset.split("query")
    progress(f"fitting {kind} on the demo world")
    registry = RouterRegistry(database)
    fitted = router_class(kind).fit(fitting, validation, encoder, seed=0)
    registry.activate(registry.publish(kind, fitted.to_bytes(), {}).id, "benchmark", "latency")
    return ApiKeys(database).create("benchmark", list(Scope), 1_000_000, "benchmark")[0]


def _in_process(database: Database, decisions: int) -> dict[str, Any]:
    """Decisions without HTTP and without writing them down, beside a product of [384, 384] and [384]."""
    live = LiveRouting(database, Serving(database, CachedEncoder(SentenceEncoder(), database)))
    wanted = [Wanted(UserId(f"simulated-{taste}-{i:02}")) for taste in ("brief", "learner") for i in range(1, 11)]
    queries = list(demo_bundle().queries)
    for want in wanted:  # once each: the embedding and the person are in memory from now on
        live.consider(want, queries, "benchmark")
    matrix = np.random.default_rng(0).normal(size=(384, 384)).astype(np.float32)
    product = _times(lambda i: matrix @ matrix[i % 384], decisions)
    progress("decisions from memory")
    began = time.process_time()
    decide = _times(lambda i: live.consider(wanted[i % 20], [queries[i % len(queries)]], "benchmark"), decisions)
    decide_cpu = (time.process_time() - began) * 1000 / decisions
    progress("unseen prompts of 20 words")
    words = [[WORDS[(i * 7 + j * (1 + i % 5)) % 12] for j in range(19)] for i in range(30)]
    prompts = [Query.typed(f"{' '.join(said)} {i}") for i, said in enumerate(words)]
    began = time.process_time()
    prompt = _times(lambda i: live.consider(wanted[i % 20], [prompts[i]], "benchmark"), len(prompts))
    prompt_cpu = (time.process_time() - began) * 1000 / len(prompts)
    progress("batches of 1,000")
    thousand = [queries[i % len(queries)] for i in range(1000)]
    batch = _times(lambda i: live.consider(wanted[i % 20], thousand, "benchmark"), 5)
    rate, bare = 1000 / (np.median(batch) / 1000), 1000 / np.median(product)
    base = float(np.median(product))
    return {
        "product_p50_ms": base, "decide_p50_ms": float(np.median(decide)),
        "decide_p50_ms_ratio": float(np.median(decide)) / base, "decide_p95_ms": float(np.quantile(decide, 0.95)),
        "decide_p95_ms_ratio": float(np.quantile(decide, 0.95)) / float(np.quantile(product, 0.95)),
        "decide_cpu_ms": decide_cpu, "prompt_p50_ms": float(np.median(prompt)),
        "prompt_p50_ms_ratio": float(np.median(prompt)) / base, "prompt_cpu_ms": prompt_cpu,
        "batch_per_s": float(rate), "batch_per_s_ratio": float(rate / bare),
    }  # fmt: skip


def _times(work: Callable[[int], object], times: int) -> NDArray[np.float64]:
    """[times] milliseconds."""
    found = np.empty(times)
    for i in range(times):
        began = time.perf_counter()
        work(i)
        found[i] = (time.perf_counter() - began) * 1000
    return found


def _over_http(url: str, key: str, clients: int) -> dict[str, Any]:
    """Decisions over HTTP by clients that each ask ten times a second, beside a FastAPI route that does nothing: times,
    and the server's CPU time a request.
    """
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "bare.py").write_text(BARE, encoding="utf-8")
        for name, command, where in (
            ("bare_http_p95_ms", ["uvicorn", "bare:app"], folder),
            ("http_p95_ms", ["uvicorn", "--factory", "api.app:serve_app"], str(ROOT)),
        ):
            progress(f"{clients} clients: {name}")
            with _served(command, where, url) as (port, process):
                took, cpu = _asked(port, key, clients, process)
                found[name] = float(np.quantile(took, 0.95))
                found[name.replace("p95", "cpu")] = cpu
    found["http_overhead_p95_ms"] = found["http_p95_ms"] - found["bare_http_p95_ms"]
    return found | {"http_p95_ms_ratio": found["http_p95_ms"] / found["bare_http_p95_ms"]}


@contextmanager
def _served(command: list[str], where: str, url: str) -> Iterator[tuple[int, int]]:
    """A server's port and process id."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "DATABASE_URL": url, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(  # noqa: S603  our own server
        [sys.executable, "-m", *command, "--port", str(port), "--log-level", "error"], cwd=where, env=environment
    )
    try:
        until = time.monotonic() + 120
        while time.monotonic() < until:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait(30)


def _cpu_seconds(process: int) -> float:
    """What a process has used of the CPU; not a number where the system does not tell (outside Linux)."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except OSError:
        return float("nan")
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # in user mode and in the kernel


def _asked(port: int, key: str, clients: int, process: int, each: int = 30) -> tuple[NDArray[np.float64], float]:
    """[clients * each] milliseconds, after every client has asked everything once; and the server's CPU milliseconds a
    request.
    """
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    queries = [query.text for query in demo_bundle().queries]
    found = np.empty((clients, each))
    used: list[float] = []
    warm = threading.Barrier(clients, lambda: used.append(_cpu_seconds(process)))

    def client(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        user = f"simulated-brief-{number % 10 + 1:02}"
        for i in range(-1, each):
            asked = queries if i < 0 else [queries[(number + i) % len(queries)]]
            began = time.perf_counter()
            connection.request("POST", "/v1/route", json.dumps({"user": user, "queries": asked}), headers)
            response = connection.getresponse()
            response.read()
            took = time.perf_counter() - began
            assert response.status == 200, response.status
            if i < 0:
                warm.wait()
                time.sleep(0.1 * number / clients)  # they do not ask all at the same instant
                continue
            found[number, i] = took * 1000
            time.sleep(max(0.1 - took, 0))
        connection.close()

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found.ravel(), (_cpu_seconds(process) - used[0]) * 1000 / found.size


def _memory(database: Database, users: int) -> tuple[float, float]:
    """MB that 10,000 people's histories take in memory, from `users` of them; and how many times their bare columns."""
    world = demo_bundle()
    by_side = {(r.query_id, r.llm_id): r.response_id for r in world.responses}
    random = np.random.default_rng(0)
    names = [UserId(f"benchmark-{i}") for i in range(users)]
    said = []
    for name in names:
        for i in range(RATINGS):
            query = world.queries[i % len(world.queries)]
            a, b = (world.llms[j].llm_id for j in random.permutation(len(world.llms))[:2])
            sides = by_side[query.query_id, a], by_side[query.query_id, b]
            said.append(Comparison(name, query.query_id, a, b, Outcome.A, *sides, f"{name}-{i}"))
    bundle = Bundle("benchmark", tuple(User(n, simulated=True) for n in names), comparisons=tuple(said))
    PreferenceStore(database).add_bundle(bundle)
    histories = Histories(database)
    histories.of(UserId("simulated-brief-01"))
    progress(f"memory of {users} people")
    tracemalloc.start()
    kept = [histories.of(name) for name in names]
    used = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    bare = sum(getattr(kept[0], c).nbytes for c in ("user", "query", "llm_a", "llm_b", "outcome", "time", "ids"))
    return used / users * PEOPLE / 1e6, used / users / bare
