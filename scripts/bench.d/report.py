"""docs/benchmarks.md from raw results."""

import statistics

INTRODUCTION = """\
# Benchmarks

Written by `scripts/bench report` from the raw results in [benchmarks/](benchmarks/); to take them anew: `scripts/bench`.

Absolute figures belong to one machine at one hour. What can be compared are ratios of figures that were taken in turns in
one run: Questline beside **the bare loop**, which is the least that a consumer in this language does: one thread takes batches from
librdkafka (`fetch.queue.backoff.ms = 1`) and parses each payload into ten borrowed fields. It keeps nothing and writes nothing.

What limits throughput, what helped and what did not: [decisions/2026-11-21-throughput.md](decisions/2026-11-21-throughput.md).

Broker, S3 server, load and Questline share the cores of one machine, so every CPU second that one takes is missing elsewhere.
"""

SETTINGS = """\
## What runs

`questline run` with everything on: identity (dedup, reversals), {missions} missions, daily activity with GGR and roll-ups, exactly once to Kafka
in transactions, raw history and all other tables to Parquet (zstd 1) on {lake}. Defaults everywhere, {workers} worker thread{s}.

| events | players (Zipf) | missions | partitions | time that the events cover |
|---|---|---|---|---|
| {events:,} | {players:,} | {missions} | {partitions} | {span} s, so that {rate:,} a second were missed |

The covered time matters: activity reports changed rows every 10 s of the recorded clock, so the same events spread over a day
make many more messages. Seconds of a run count from the first commit, which is before the first event is read, to the commit
with which the last event's outputs are visible, by the timestamps of its progress log. CPU is that of the whole process, from its start to its
end with the last Parquet file, over the number of events.
"""


def report(results):
    """The whole page. `results` are those there are, by part, in the order of the page; at least one."""
    sections = [INTRODUCTION]
    first = next(iter(results.values()))
    at, made = first["machine"], first["versions"]
    sections.append(
        f"Machine: {at['cores']} cores ({at['cpu']}), {at['memory_gib']} GiB, Linux {at['kernel']}. Apache Kafka {made['kafka']}, one broker; {made['rust']}; "
        f"Questline {made['questline']}.\n"
    )
    for part, result in results.items():
        sections.append(WRITERS[part](result))
        if result["versions"]["questline"] != made["questline"]:
            sections.append(f"Taken with Questline {result['versions']['questline']}.\n")
    return "\n".join(sections)


def met(is_met):
    return "met" if is_met else "**not met**"


def busy(result):
    load = result["machine"]["load_before"]
    return f"\nThe machine was busy with other work (load {load:.1f} before): read the ratios only.\n" if load > 1 else ""


def median(rounds, who, figure):
    return statistics.median(one[who][figure] for one in rounds)


def report_throughput(result):
    rounds, play = result["rounds"], result["play"]
    text = SETTINGS.format(
        **play, workers=result["workers"], s="s" if result["workers"] > 1 else "", lake="the local disk", rate=play["events"] // play["span"]
    )
    text += "\n## Throughput\n\n| round | bare loop, events/s | Questline, events/s | ratio | bare loop, µs CPU | Questline, µs CPU | broker beside Questline, µs CPU |\n|---|---|---|---|---|---|---|\n"
    ratios = []
    for number, one in enumerate(rounds, 1):
        bare, questline = one["bare_loop"], one["questline"]
        ratios.append(questline["events_per_second"] / bare["events_per_second"])
        broker = questline["broker_cpu_seconds"] / questline["events"] * 1e6
        text += f"| {number} | {bare['events_per_second']:,} | {questline['events_per_second']:,} | {ratios[-1]:.2f} | {bare['cpu_micros_per_event']:.2f} | {questline['cpu_micros_per_event']:.2f} | {broker:.2f} |\n"
    ratio, cpu = statistics.median(ratios), median(rounds, "questline", "cpu_micros_per_event")
    text += f"| **median** | {median(rounds, 'bare_loop', 'events_per_second'):,.0f} | {median(rounds, 'questline', 'events_per_second'):,.0f} | **{ratio:.2f}** | {median(rounds, 'bare_loop', 'cpu_micros_per_event'):.2f} | {cpu:.2f} | |\n"
    text += busy(result)
    text += "\n| goal | reached | |\n|---|---|---|\n"
    text += f"| at least 0.3 of the bare loop | {ratio:.2f} | {met(ratio >= 0.3)} |\n"
    text += f"| later: at least 0.8 of it | {ratio:.2f} | {met(ratio >= 0.8)} |\n| later: at most 2.0 µs CPU per event | {cpu:.2f} | {met(cpu <= 2.0)} |\n"
    return text


def report_s3(result):
    figures = result["rounds"][0]["questline"]
    return (
        f"## The lake on S3\n\nOne round with the lake on the S3 server of `scripts/stack` (moto, in Python, on the same cores): {figures['events_per_second']:,} events/s, "
        f"{figures['cpu_micros_per_event']:.2f} µs CPU per event. Objects are put beside the stream, after the commit that recorded them.\n" + busy(result)
    )


STAGE_OF_LATENCY = {
    "source": "source: the newest record's ingest until its epoch is opened",
    "compute": "compute: until the dataflow has put it out",
    "queue": "queue: until its transaction begins",
    "commit": "commit: until it is committed",
}


def report_latency(result):
    text = (
        f"## Latency\n\n{result['rate']:,} events/s for {result['seconds']} s after a warm-up of {result['warm_up']} s, {result['missions']} missions, history to Parquet on; one event in a hundred is a probe, "
        f"which completes a mission at once. A completion counts as visible when a `read_committed` consumer has it. `appended` is the broker's own timestamp of the probe "
        f"(whole milliseconds); `scheduled` is when the load should have sent it, with nothing forgiven if the sender, its batching or the broker stalls.\n\n"
        "| from | probes | p50 | p90 | p99 | p99.9 | max |\n|---|---|---|---|---|---|---|\n"
    )
    for name, key in (("appended", "from_append_ms"), ("scheduled", "from_schedule_ms")):
        q = result[key]
        text += f"| {name} | {q['count']:,} | {q['p50']:.1f} ms | {q['p90']:.1f} ms | {q['p99']:.1f} ms | {q['p999']:.1f} ms | {q['max']:.1f} ms |\n"
    if result.get("stages_ms"):
        text += "\nBy stage, as Questline's own log tells it (`stages=`; of transactions, not of probes, so that p99s do not add up):\n\n| stage | half | 99 of 100 |\n|---|---|---|\n"
        text += "".join(f"| {STAGE_OF_LATENCY[stage]} | {half:.1f} ms | {most:.1f} ms |\n" for stage, (half, most) in result["stages_ms"].items())
    p99 = result["from_append_ms"]["p99"]
    share = lambda seconds: f"{seconds / (result['warm_up'] + result['seconds']):.2f}"
    text += (
        f"\nLost probes: {result['lost']}. The sender was at most {result['sent_late_ms']:.0f} ms behind its schedule. "
        f"Cores used: Questline {share(result['questline_cpu_seconds'])}, the broker {share(result['broker_cpu_seconds'])}.\n" + busy(result)
    )
    return text + f"\n| goal | reached | |\n|---|---|---|\n| p99 at most 50 ms | {p99:.1f} ms | {met(p99 <= 50)} |\n"


def report_peers(result):
    rounds, settings = result["rounds"], result["settings"]
    of = lambda kind, key: statistics.median(one[kind][key] for one in rounds)
    against = lambda kind: statistics.median(one["Questline"]["events_per_second"] / one[kind]["events_per_second"] for one in rounds)
    told = lambda chosen: ", ".join(f"{key} {value}" for key, value in chosen.items())
    text = (
        "## Peers\n\nOne set of events, in turns. Questline does all that is listed above. The peers ([their programs](../scripts/bench.d/peers/)) do a part of it: every transaction counts once, a row for each "
        "day, player, game type and currency that is reported within 10 s, two missions; no reversals, late events or dead letters, no other missions, nothing to Parquet. Exactly once, state in the heap of "
        "the JVM (4 GB), object reuse, large fetches and batches, lz4. Their rate counts from the first offsets that they commit, so that their start is left out. Both completed the same.\n\n"
        f"Kafka Streams {result['versions']['kafka']} ({told(settings['Kafka Streams'])}), Flink {result['versions']['flink']} ({told(settings['Flink'])}); Questline {result['versions']['questline']}. Medians of {len(rounds)} rounds.\n\n"
        "| | events/s | Questline is so many times as fast | µs CPU an event | broker, µs CPU an event |\n|---|---|---|---|---|\n"
    )
    for kind in rounds[0]:
        ratio = f"{against(kind):.1f}" if kind != "Questline" else ""
        broker = of(kind, "broker_cpu_seconds") / result["play"]["events"] * 1e6
        text += f"| {kind} | {of(kind, 'events_per_second'):,.0f} | {ratio} | {of(kind, 'cpu_micros_per_event'):.1f} | {broker:.1f} |\n"
    text += f"\nHow soon a completion is visible, from the broker's timestamp of its event, as above but after a warm-up of {result['warm_up']} s:\n\n| | events/s | lost | p50 | p99 | max |\n|---|---|---|---|---|---|\n"
    for kind, runs in result["latency"].items():
        for run in runs:
            q = run["from_append_ms"]
            text += f"| {kind}, {told(run['settings'])} ms | {run['rate']:,} | {run['lost']} | {q['p50']:.1f} ms | {q['p99']:.1f} ms | {q['max']:.1f} ms |\n"
    goals = (("Kafka Streams", 7), ("Flink", 9))
    text += "\n| goal | reached | |\n|---|---|---|\n"
    text += "".join(f"| {goal} times the events/s of {kind} | {against(kind):.1f} | {met(against(kind) >= goal)} |\n" for kind, goal in goals)
    return text + busy(result)


STAGES = {
    "worker": "worker: poll, parse, exchange, state, outputs",
    "lake": "lake's thread: columns, Parquet, zstd",
    "client": "Kafka client's threads: fetch, decompress, produce",
    "committer": "committer: JSON, transactions",
    "other": "other threads",
}


def report_profile(result):
    stages = result["stages"]
    text = (
        f"## CPU by stage\n\nSampled by `perf` in a run of its own ({result['samples']:,} samples), by thread, and in it by the name of the function that was running. "
        "To take it anew: `scripts/bench profile report`.\n\n| stage | µs per event | of it |\n|---|---|---|\n"
    )
    for stage in sorted(stages, key=lambda stage: -stages[stage]["micros_per_event"]):
        groups = ", ".join(f"{group} {micros:.2f}" for group, micros in stages[stage]["groups"].items() if group != "rest" or len(stages[stage]["groups"]) > 1)
        text += f"| {STAGES[stage]} | {stages[stage]['micros_per_event']:.2f} | {groups} |\n"
    text += f"| all | {sum(stage['micros_per_event'] for stage in stages.values()):.2f} | |\n{busy(result)}"
    for stage in ("worker", "lake"):
        if stage in stages:
            text += f"\n### Most of the {stage}'s time\n\n| µs per event | function |\n|---|---|\n"
            text += "".join(f"| {micros:.3f} | `{symbol}` |\n" for symbol, micros in list(stages[stage]["top"].items())[:25])
    return text


def report_index(result):
    text = (
        "## Missions\n\nThe stateful core on one thread, without a broker: 1 M events of 200,000 players and 10 missions that they meet, beside more that they do not, of mixed conditions "
        f"(titles, sports, lists of types, stakes, texts of the payload, other events). Medians of {len(result['rounds']['10'])} rounds in turns; Questline {result['versions']['questline']}.\n\n"
        "| missions | identity and missions, ns per event | all of the core, ns per event | events/s beside 10 missions |\n|---|---|---|---|\n"
    )
    of = lambda count, part: statistics.median(one["nanos_per_event"][part] for one in result["rounds"][count])
    ratio = lambda count: statistics.median(
        few["nanos_per_event"]["all"] / many["nanos_per_event"]["all"] for few, many in zip(result["rounds"]["10"], result["rounds"][count])
    )
    for count in result["rounds"]:
        text += f"| {int(count):,} | {of(count, 'players'):,.0f} | {of(count, 'all'):,.0f} | {ratio(count):.2f} |\n"
    one, many = result["resident_bytes"]
    each = (many - one) / result["players"] / result["more_progress"]
    text += (
        f"\nProgress in one more mission takes a player {each:.0f} bytes: {result['players']:,} players with one bet each, the memory of the process with "
        f"{result['more_progress'] + 1} missions that count it and with one.\n\n| goal | reached | |\n|---|---|---|\n"
        f"| events/s at 10,000 missions at least 0.9 of those at 10 | {ratio('10000'):.2f} | {met(ratio('10000') >= 0.9)} |\n"
        f"| under 64 bytes for a player and an active mission that counts or sums | {each:.0f} | {met(each < 64)} |\n"
    )
    return text + busy(result)


def report_state(result):
    [largest] = result["rounds"]["10000000"]
    text = (
        f"## Checkpoints\n\nThe state of players with one bet each (20 missions, a row of activity, a transaction), without storage: written on one thread; then {largest.get('rounds', 1)} times one bet more of one player in a hundred, each time "
        f"of others, and a checkpoint; then read again as it is stored, on one thread for each core. Medians of three, 10 M once; Questline {result['versions']['questline']}. A worker writes a few of 1,024 groups behind an epoch, or one, or a part of one, about 1 MB at once; here one group at most, so that is how long it "
        f"is away each time; compressing and putting is another thread's work. Everything is new in the first round after a start without a checkpoint; any other round writes what changed and four times as many other values, so that all of it is written again "
        f"in 25 rounds. What a start reads is what one such time round has written, from the last round backwards: about all state once and a quarter, whenever it is.\n\n"
        "| players | all new, MB | stored, MB | written in, s | away, ms: p50 / p99 / max | 1 % changed, MB | stored, MB | away, ms: p50 / p99 / max | then read, MB | at most, in any round, MB | stored, MB | read in, s |\n"
        "|---|---|---|---|---|---|---|---|---|---|---|---|\n"
    )
    for players, rounds in result["rounds"].items():
        of = lambda *path: statistics.median(dig(one, path) for one in rounds)
        pauses = lambda part: " / ".join(f"{of(part, 'group_ms', rank):.2f}" for rank in ("p50", "p99", "max"))
        text += (
            f"| {int(players):,} | {of('all', 'bytes') / 1e6:.1f} | {of('all', 'bytes_stored') / 1e6:.1f} | {of('all', 'seconds'):.2f} | {pauses('all')} | "
            f"{of('changes', 'bytes') / 1e6:.2f} | {of('changes', 'bytes_stored') / 1e6:.2f} | {pauses('changes')} | "
            f"{read(rounds)} | {of('restore_seconds'):.1f} |\n"
        )
    seconds, pause, first = largest["restore_seconds"], largest["changes"]["group_ms"]["p99"], largest["all"]["group_ms"]["p99"]
    return text + (
        f"\n| goal, at 10 M players on 2 cores | reached | |\n|---|---|---|\n"
        f"| ready in 10 s after such a run (decompressing and decoding counted, fetching from storage not) | {seconds:.1f} s | {met(seconds <= 10)} |\n"
        f"| the worker's pause, p99, less than 5 ms: 1 % changed | {pause:.2f} ms | {met(pause < 5)} |\n"
        f"| the same where everything is new | {first:.1f} ms | {met(first < 5)} |\n"
    ) + busy(result)


def read(rounds):
    """What a start reads: an earlier release did not tell."""
    if "read_bytes" not in rounds[0]:
        return "– | – | –"
    of = lambda figure: statistics.median(one[figure] for one in rounds) / 1e6
    return f"{of('read_bytes'):.1f} | {max(max(one['needed_bytes']) for one in rounds) / 1e6:.1f} | {of('read_bytes_stored'):.1f}"


def dig(figures, path):
    for step in path:
        figures = figures[step]
    return figures


WRITERS = {
    "throughput": report_throughput,
    "s3": report_s3,
    "latency": report_latency,
    "peers": report_peers,
    "profile": report_profile,
    "index": report_index,
    "state": report_state,
}
