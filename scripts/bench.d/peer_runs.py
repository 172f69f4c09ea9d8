"""Kafka Streams and Flink beside Questline: the programs of scripts/bench.d/peers."""

import os
import shutil
import subprocess
import sys
import time

from programs import ROOT, BenchError, say, with_rate
from runs import questline_round

PEERS = {
    "Kafka Streams": {
        "module": "kafka-streams",
        "main": "questline.peers.StreamsPeer",
        "settings": {"stores": "memory", "commit": 100, "threads": 1},
        "latency": ({"commit": 100}, {"commit": 10}),
    },
    "Flink": {
        "module": "flink",
        "main": "questline.peers.FlinkPeer",
        "settings": {"stores": "hashmap", "checkpoint": 1_000, "threads": 1},
        "latency": ({"checkpoint": 1_000},),
    },
}  # fmt: skip
# As much as they like: they collect less.
JAVA = ("-Xms4g", "-Xmx4g", "--add-opens=java.base/java.util=ALL-UNNAMED", "--add-opens=java.base/java.lang=ALL-UNNAMED")


class Peers:
    """The programs of scripts/bench.d/peers."""

    def __init__(self, programs):
        self.folder = programs.folder / "peers"
        self.brokers = programs.stack.environment["QUESTLINE_BROKERS"]
        shutil.copytree(ROOT / "scripts" / "bench.d" / "peers", self.folder, ignore=shutil.ignore_patterns("target"))
        say("building the peers")
        subprocess.run(["mvn", "--batch-mode", "--quiet", "-Dstyle.color=never", "package"], cwd=self.folder, check=True, stdin=subprocess.DEVNULL, stdout=sys.stderr)

    def start(self, name, peer, topics, settings):
        """One of them, and the file that its log goes to."""
        properties = {"name": name, "brokers": self.brokers, "state": self.folder / f"{name}-state", **topics, **peer["settings"], **settings}
        target = self.folder / peer["module"] / "target"
        log = self.folder / f"{name}.log"
        command = ["java", *JAVA, "-cp", f"{target / peer['module']}-1.jar:{target / 'jars'}/*", *(f"-D{key}={value}" for key, value in properties.items()), peer["main"]]
        with open(log, "wb") as out:
            return subprocess.Popen(command, stdout=out, stderr=out), log


def with_peer(process, log, work):
    """What `work` returns while the peer runs, and its CPU seconds."""
    try:
        done = work()
    except BaseException:
        process.kill()
        process.wait()
        print(log.read_text()[-3000:], file=sys.stderr)
        raise
    process.terminate()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return done, usage.ru_utime + usage.ru_stime


def peer_round(programs, peers, kind, number, expected):
    """A peer's run from nothing to everything committed."""
    peer = PEERS[kind]
    name = f"{peer['module']}-{number}"
    topics = {"completions": f"{name}-completions", "activity": f"{name}-activity"}
    programs.help("topics", *topics.values())
    broker = programs.stack.cpu_seconds()
    process, log = peers.start(name, peer, topics, {})

    def committed():
        figures = programs.help("group", "--group", name, "--patience", 600, measured=process)
        # Flink commits its outputs a moment after its offsets.
        deadline = time.monotonic() + 30
        while True:
            outputs = programs.help("tally", "--topic", topics["completions"])
            if expected in (None, outputs["hash"]) or time.monotonic() > deadline:
                return figures, outputs

    (figures, outputs), cpu = with_peer(process, log, committed)
    if expected not in (None, outputs["hash"]):
        raise BenchError(f"{kind} completed other missions than the peer before: {outputs}")
    figures = {**figures, "cpu_seconds": round(cpu, 2), "broker_cpu_seconds": round(programs.stack.cpu_seconds() - broker, 2), "completions": outputs}
    figures["events_per_second"] = round(figures["events"] / figures["seconds"])
    figures["cpu_micros_per_event"] = round(cpu / programs.options.events * 1e6, 3)
    return figures


def peer_latency(programs, peers, kind, number, settings):
    peer = PEERS[kind]
    name = f"{peer['module']}-live-{number}"
    topics = {"events": name, "completions": f"{name}-completions", "activity": f"{name}-activity"}
    programs.help("prepare", "--topic", name, "--completions", topics["completions"], "--missions-topic", f"{name}-missions", "--partitions", programs.options.partitions, "--missions", 0)
    programs.help("topics", topics["activity"])
    process, log = peers.start(name, peer, topics, settings)
    watch = lambda: programs.help(
        "latency", "--topic", name, "--completions", topics["completions"],
        "--rate", programs.options.rates[0], "--warm-up", programs.options.warm_up, "--seconds", programs.options.seconds, "--players", programs.options.players, measured=process,
    )  # fmt: skip
    figures, _ = with_peer(process, log, watch)
    say(f"{kind} {settings} at {programs.options.rates[0]:,}/s: {figures['from_append_ms']}")
    return {**figures, "settings": settings}


def peers(programs):
    """Questline with everything on, and each peer with a part of its job, in turns on one set of events. Then the peers' latency."""
    programs_of_peers = Peers(programs)
    play = programs.generate_once()
    rounds, expected = [], None
    for number in range(programs.options.rounds):
        figures = {"Questline": with_rate(questline_round(programs, f"peers-{number}"))}
        for kind in PEERS:
            figures[kind] = peer_round(programs, programs_of_peers, kind, number, expected)
            expected = figures[kind]["completions"]["hash"]
        for kind, each in figures.items():
            say(f"{kind:<14} {each['events_per_second']:>9,} events/s  {each['cpu_micros_per_event']:.2f} µs CPU")
        rounds.append(figures)
    delays = {kind: [peer_latency(programs, programs_of_peers, kind, number, settings) for number, settings in enumerate(peer["latency"])] for kind, peer in PEERS.items()}
    return {"play": play, "settings": {kind: peer["settings"] for kind, peer in PEERS.items()}, "rounds": rounds, "warm_up": programs.options.warm_up, "latency": delays}
