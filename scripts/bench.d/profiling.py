"""CPU by stage, and flame graphs, with perf."""

import re
import subprocess

from programs import Running, rust_program

# What a symbol of the worker's thread belongs to: the first pattern that its name has decides.
GROUPS = {
    "worker": [
        ("take from the client", r"rd_kafka|rd_list|mtx_|pthread_mutex|source::(queue|kafka)|KafkaSource|LiveChunk"),
        ("decode and map", r"mapping|decode|sonic|simdutf8|Mapper|money|time::|str2|parse"),
        ("players: identity, missions", r"players|ledger|progress|mission|condition|definitions|touch|contributions|datasets::event|hashbrown|sort"),
        ("daily activity, roll-up", r"activity|rollup|takings|ngr|differential|trace::|arrange"),
        ("outputs", r"outputs|EpochOutputs|dispositions"),
        ("memory", r"malloc|free|cfree|realloc|memcpy|memmove|memset|memcmp|alloc|clear_page|page_fault|mm_fault|unlink_chunk"),
        ("timely", r"timely"),
    ],
    "lake": [
        ("compression", r"ZSTD|FSE_|HUF_|zstd|HIST_"),
        ("Parquet encoding", r"parquet"),
        ("rows to columns", r"arrow|schema|lake|xxh"),
        ("memory", r"malloc|free|realloc|memcpy|memmove|memset|memcmp|alloc|clear_page|page_fault|mm_fault|unlink_chunk"),
    ],
}


def stage_of(thread):
    for prefix, stage in (("timely", "worker"), ("lake", "lake"), ("rdk:", "client"), ("committer", "committer")):
        if thread.startswith(prefix):
            return stage
    return "other"


def profile(programs):
    """Samples a whole run. CPU time of a thread, not wall time: waiting costs nothing."""
    play = programs.generate_once()
    name = "bench-profile"
    data = programs.folder / "perf.data"
    with Running(programs, programs.configure(name)) as run:
        perf = subprocess.Popen(["perf", "record", "-q", "-e", "cpu-clock", "-F", "1997", "-p", str(run.process.pid), "-o", str(data)])
        programs.help("commits", "--pipeline", name)
        cpu = run.end()
        perf.wait()
    script = subprocess.run(
        ["perf", "report", "-i", str(data), "--stdio", "--no-children", "-s", "comm,sym", "-F", "sample,comm,sym", "-t", "|", "-q"],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    samples = {}
    for line in script.splitlines():
        parts = [part.strip() for part in line.split("|")]
        if len(parts) == 3 and parts[0].isdigit():
            symbol = re.sub(r"^\[[.k]\] ", "", parts[2])
            thread = samples.setdefault(stage_of(parts[1]), {})
            thread[symbol] = thread.get(symbol, 0) + int(parts[0])
    total = sum(sum(thread.values()) for thread in samples.values())
    micros = cpu / play["events"] * 1e6 / total
    stages = {}
    for stage, symbols in samples.items():
        groups = {}
        for symbol, count in symbols.items():
            group = next((group for group, pattern in GROUPS.get(stage, []) if re.search(pattern, symbol)), "rest")
            groups[group] = groups.get(group, 0) + count
        top = sorted(symbols.items(), key=lambda item: -item[1])[:40]
        stages[stage] = {
            "micros_per_event": round(sum(symbols.values()) * micros, 3),
            "groups": {group: round(count * micros, 3) for group, count in sorted(groups.items(), key=lambda item: -item[1])},
            "top": {symbol: round(count * micros, 3) for symbol, count in top},
        }
    flame_graph(programs)
    return {"play": play, "workers": programs.options.workers, "samples": total, "flame": "flame.svg", "cpu_seconds": round(cpu, 2), "stages": stages}


def flame_graph(programs):
    """By call stack, of a run of its own: what a stack costs to unwind would be in the figures. Release programs keep no frame pointers."""
    collapse, draw = (rust_program("inferno", "0.12.8", f"inferno-{what}") for what in ("collapse-perf", "flamegraph"))
    name = "bench-flame"
    data = programs.folder / "flame.data"
    with Running(programs, programs.configure(name)) as run:
        command = ["perf", "record", "-q", "-e", "cpu-clock", "-F", "97", "--call-graph", "dwarf,16384", "-p", str(run.process.pid), "-o", str(data)]
        perf = subprocess.Popen(command)
        programs.help("commits", "--pipeline", name)
        run.end()
        perf.wait()
    script = subprocess.Popen(["perf", "script", "--no-inline", "-i", str(data)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    collapsed = subprocess.run([collapse], stdin=script.stdout, stdout=subprocess.PIPE, check=True).stdout
    script.wait()
    arguments = ["--title", "questline run, by thread and call stack", "--minwidth", "0.4", "--hash", "--fontsize", "11"]
    with open(programs.options.results / "flame.svg", "wb") as out:
        subprocess.run([draw, *arguments], input=collapsed, stdout=out, check=True)
