"""Questline on a broker: throughput, latency, an idle pipeline, catching up."""

import re
import socket
import statistics
import subprocess
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

from programs import BenchError, Running, log_lines, say, with_rate


def questline_round(programs, number, lake=None):
    """One run from nothing to everything committed, under a name of its own."""
    name = f"bench-{number}"
    broker = programs.stack.cpu_seconds()
    started = time.monotonic()
    with Running(programs, programs.configure(name, lake, completions=f"{name}-completions")) as run:
        figures = programs.help("commits", "--pipeline", name)
        seen = time.monotonic() - started
        until_committed = run.cpu_so_far()
        cpu = run.end()
    figures.pop("cpu_seconds")
    subprocess.run(["rm", "-rf", str(programs.folder / f"lake-{name}")])
    return {
        **figures,
        "cpu_seconds": round(cpu, 2),
        "cpu_seconds_until_committed": round(until_committed, 2),
        "broker_cpu_seconds": round(programs.stack.cpu_seconds() - broker, 2),
        "start_to_committed_seconds": round(seen, 2),
        "stopped": log_lines(programs.log(name))[-1],
    }


def throughput(programs):
    play = programs.generate_once()
    rounds = []
    say("warming up: a bare loop that does not count")
    programs.help("bare-loop")
    for number in range(programs.options.rounds):
        bare = with_rate(programs.help("bare-loop"))
        say(f"bare loop  {bare['events_per_second']:>9,} events/s  {bare['cpu_micros_per_event']:.2f} µs CPU")
        questline = with_rate(questline_round(programs, number))
        ratio = questline["events_per_second"] / bare["events_per_second"]
        say(f"questline  {questline['events_per_second']:>9,} events/s  {questline['cpu_micros_per_event']:.2f} µs CPU  {ratio:.2f} of it")
        rounds.append({"bare_loop": bare, "questline": questline})
    return {"play": play, "workers": programs.options.workers, "rounds": rounds}


def s3(programs):
    play = programs.generate_once()
    figures = with_rate(questline_round(programs, "s3", lake=f"s3://{programs.stack.environment['QUESTLINE_S3_BUCKET']}/bench"))
    say(f"questline, S3  {figures['events_per_second']:>9,} events/s")
    return {"play": play, "workers": programs.options.workers, "rounds": [{"questline": figures}]}


# --- Live play


class Live:
    """Play of now, with topics of its own; one event in a hundred completes a mission at once."""

    def __init__(self, programs, name):
        self.programs, self.name = programs, name
        self.topics = ("--topic", name, "--completions", f"{name}-completions")
        options = programs.options
        programs.help("prepare", *self.topics, "--missions-topic", f"{name}-missions", "--partitions", options.partitions, "--missions", options.missions)

    def configure(self, more=""):
        return self.programs.configure(
            self.name, events=self.name, missions=f"{self.name}-missions", completions=f"{self.name}-completions", more=more
        )

    def until_committed(self, patience=300):
        """Everything that is in the topic now."""
        return self.programs.help("commits", "--pipeline", self.name, "--topic", self.name, "--patience", patience)

    def arguments(self, rate, warm_up, seconds):
        return ("latency", *self.topics, "--rate", rate, "--warm-up", warm_up, "--seconds", seconds, "--players", self.programs.options.players)

    def edits(self, warm_up, seconds):
        return ("edits", *self.topics, "--missions-topic", f"{self.name}-missions", "--edits", EDITS, "--warm-up", warm_up, "--seconds", seconds)


# Definitions that are changed while latency is measured.
EDITS = 100


def latency_at(programs, rate):
    options = programs.options
    live = Live(programs, f"live-{rate}")
    with Running(programs, live.configure()) as run:
        live.until_committed()
        before = run.cpu_so_far(), programs.stack.cpu_seconds()
        with ThreadPoolExecutor(1) as beside:
            edits = beside.submit(programs.help, *live.edits(options.warm_up, options.seconds))
            figures = programs.help(*live.arguments(rate, options.warm_up, options.seconds))
        figures["edits"] = edits.result()
        after = run.cpu_so_far(), programs.stack.cpu_seconds()
    figures["stages_ms"] = stages(programs.log(live.name), options.seconds // 10)
    figures["questline_cpu_seconds"], figures["broker_cpu_seconds"] = (round(b - a, 2) for a, b in zip(before, after))
    say(f"latency at {rate:,}/s: {figures['from_append_ms']}, of edits {figures['edits']['from_sent_ms']}")
    return figures


def latency(programs):
    """At each rate. The broker is warm for the second."""
    runs = [latency_at(programs, rate) for rate in programs.options.rates]
    return {"workers": programs.options.workers, "missions": programs.options.missions + 1, "warm_up": programs.options.warm_up, "runs": runs}


def stages(log, last):
    """Medians over the last lines of the log, one in ten seconds, of what they say of each stage: [half, 99 of 100]."""
    lines = [line for line in log_lines(log) if "stages=" in line][-last:]
    told = [re.findall(r"(\w+) ([\d.]+)/([\d.]+)", line.partition("stages=")[2]) for line in lines]
    return {each[0][0]: [statistics.median(float(one[place]) for one in each) for place in (1, 2)] for each in zip(*told)}


# --- Nothing to do, and too much of it

IDLE_SECONDS = 60
# Between the last event and the first second that counts: reports, a cut of the lake and a checkpoint are behind it then.
SETTLING_SECONDS = 45


def idle(programs):
    """A pipeline with the state of all events, when none come any more."""
    play = programs.generate_once()
    name = "bench-idle"
    with Running(programs, programs.configure(name)) as run:
        programs.help("commits", "--pipeline", name)
        time.sleep(SETTLING_SECONDS)
        before = run.cpu_so_far(), programs.stack.cpu_seconds()
        time.sleep(IDLE_SECONDS)
        questline, broker = (round((b - a) / IDLE_SECONDS, 4) for a, b in zip(before, (run.cpu_so_far(), programs.stack.cpu_seconds())))
    say(f"idle: {100 * questline:.1f} % of a core, the broker {100 * broker:.1f} %")
    return {"play": play, "seconds": IDLE_SECONDS, "cores": questline, "broker_cores": broker}


# Play before the pipeline goes down, and at most that long again until it has caught up.
RATE_OF_CATCH_UP, PLAYED_SECONDS = 50_000, 60


def catch_up(programs):
    """Killed in the middle of live play that goes on, started again later: how long until it is not behind any more."""
    down = programs.options.down
    live = Live(programs, "catch-up")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = live.configure(f'\n[metrics]\nlisten = "127.0.0.1:{port}"\n')
    first = programs.start(config)
    live.until_committed()
    arguments = live.arguments(RATE_OF_CATCH_UP, 0, PLAYED_SECONDS + 6 * down)
    load = subprocess.Popen([programs.helper, *map(str, arguments)], env=programs.environment, stdout=subprocess.DEVNULL)
    try:
        time.sleep(PLAYED_SECONDS)
        first.kill()
        first.wait()
        time.sleep(down)
        begun = time.monotonic()
        with Running(programs, config) as run:
            ready = behind = None
            while behind is None or behind > 1.0:
                if run.process.poll() is not None or load.poll() is not None:
                    raise BenchError("the pipeline or its load ended before it had caught up")
                time.sleep(0.2)
                behind = metric(port, "questline_behind_seconds") or behind
                if ready is None and behind is not None:
                    ready = time.monotonic() - begun
            seconds = time.monotonic() - begun
    finally:
        first.kill()
        first.wait()
        load.kill()
        load.wait()
    say(f"{down} s down at {RATE_OF_CATCH_UP:,}/s: committing again after {ready:.1f} s, caught up after {seconds:.1f} s")
    return {"rate": RATE_OF_CATCH_UP, "down": down, "ready_seconds": round(ready, 2), "seconds": round(seconds, 2)}


def metric(port, name):
    """A gauge of the running pipeline; `None` while it does not answer or has not set it."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=2) as page:
            said = page.read().decode()
    except OSError:
        return None
    found = re.search(rf"^{name}(?:{{.*?}})? (\S+)$", said, re.M)
    return float(found.group(1)) or None if found else None
