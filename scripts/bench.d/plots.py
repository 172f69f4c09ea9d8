"""The plots of docs/benchmarks.md, from raw results: `plots.py RESULTS`. Needs matplotlib."""

import json
import statistics
import sys
from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

# Text stays text, and equal results give equal files.
plt.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "questline", "font.family": "sans-serif", "font.size": 10, "axes.spines.top": False, "axes.spines.right": False})
OURS, THEIRS = "#2a6f97", "#b0b0b0"


def median(rounds, *path):
    def dig(one):
        for step in path:
            one = one[step]
        return one

    return statistics.median(dig(one) for one in rounds)


def save(figure, path):
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    plt.close(figure)


def throughput(results):
    bars = [("bare loop:\nreads and parses only", median(results["throughput"]["rounds"], "bare_loop", "events_per_second"), THEIRS)]
    bars.append(("Questline", median(results["throughput"]["rounds"], "questline", "events_per_second"), OURS))
    for kind in ("Kafka Streams", "Flink"):
        bars.append((f"{kind}:\na part of the job", median(results["peers"]["rounds"], kind, "events_per_second"), THEIRS))
    figure, axes = plt.subplots(figsize=(7, 2.4))
    names, rates, colours = zip(*reversed(bars))
    axes.barh(names, rates, color=colours)
    for place, rate in enumerate(rates):
        axes.text(rate, place, f" {rate / 1000:,.0f} k", va="center")
    axes.set_xlabel("events a second")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value / 1000:,.0f} k")
    return figure


def latency(results):
    runs = [(f"Questline, {run['rate'] // 1000} k/s", run["from_append_ms"], OURS) for run in results["latency"]["runs"]]
    for kind, of_kind in results["peers"]["latency"].items():
        for run in of_kind:
            [(setting, value)] = run["settings"].items()
            runs.append((f"{kind}, {run['rate'] // 1000} k/s,\n{setting} {value} ms", run["from_append_ms"], THEIRS))
    figure, axes = plt.subplots(figsize=(7, 0.6 + 0.42 * len(runs)))
    for place, (_, quantiles, colour) in enumerate(reversed(runs)):
        axes.plot([quantiles["p50"], quantiles["p99"]], [place, place], color=colour, linewidth=5, solid_capstyle="butt")
        axes.text(quantiles["p99"], place, f"  {quantiles['p50']:.0f} / {quantiles['p99']:.0f} ms", va="center")
    axes.set_yticks(range(len(runs)), [name for name, _, _ in reversed(runs)])
    axes.set_xscale("log")
    axes.set_xlim(1, 20_000)
    axes.set_xlabel("from appended to visible, p50 to p99, ms")
    return figure


def flat(results):
    figure, both = plt.subplots(1, 2, figsize=(7, 2.6), sharey=True)
    for axes, part in zip(both, ("index", "players")):
        if part in results:
            counts = {int(count): median(rounds, "nanos_per_event", "all") for count, rounds in results[part]["rounds"].items()}
            axes.plot(list(counts), list(counts.values()), marker="o", color=OURS)
        axes.set_xscale("log")
        axes.set_ylim(bottom=0)
        axes.set_xlabel({"index": "missions in force", "players": "players with state"}[part])
    both[0].set_ylabel("ns an event")
    return figure


def main(folder):
    results = {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")}
    for name, draw, needed in (("throughput", throughput, ("throughput", "peers")), ("latency", latency, ("latency", "peers")), ("flat", flat, ("index",))):
        if all(part in results for part in needed):
            save(draw(results), folder / f"{name}.svg")


main(Path(sys.argv[1]))
