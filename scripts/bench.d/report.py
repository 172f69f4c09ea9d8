"""docs/benchmarks.md from raw results."""

import statistics
from dataclasses import dataclass

INTRODUCTION = """\
# Benchmarks

Written by `scripts/bench report` from the raw results in [benchmarks/](benchmarks/); to take them anew: `scripts/bench`.

Absolute figures belong to one machine at one hour. What can be compared are ratios of figures that were taken in turns in
one run: Questline beside **the bare loop**, which is the least that a consumer in this language does: one thread takes batches from
librdkafka (`fetch.queue.backoff.ms = 1`) and parses each payload into ten borrowed fields. It keeps nothing and writes nothing.

![Events a second: the bare loop, Questline, Kafka Streams, Flink](benchmarks/throughput.svg)
![How soon a completion is visible](benchmarks/latency.svg)
![What an event costs beside more missions and among more players](benchmarks/flat.svg)

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




@dataclass
class Goal:
    """What is promised, and what was measured."""

    promise: str
    reached: str
    is_met: bool

    def row(self):
        return f"| {self.promise} | {self.reached} | {'met' if self.is_met else '**not met**'} |\n"


def report(results):
    """The whole page. `results` are those there are, by part, in the order of the page; at least one."""
    first = next(iter(results.values()))
    at, made = first["machine"], first["versions"]
    machine = (
        f"Machine: {at['cores']} cores ({at['cpu']}), {at['memory_gib']} GiB, Linux {at['kernel']}. Apache Kafka {made['kafka']}, one broker; {made['rust']}; "
        f"Questline {made['questline']}.\n"
    )
    sections, goals = [], []
    for part, result in results.items():
        text, promised = WRITERS[part](result)
        if promised:
            text += table(promised)
        text += busy(result)
        if result["versions"]["questline"] != made["questline"]:
            text += f"\nTaken with Questline {result['versions']['questline']}.\n"
        if result["machine"]["cpu"] != at["cpu"]:
            text += f"\nTaken on another machine: {result['machine']['cores']} cores ({result['machine']['cpu']}).\n"
        sections.append(text)
        goals += promised
    return "\n".join([INTRODUCTION, machine, "## Goals\n" + table(goals) + WHY, *sections])


# Why goals are missed, where the sections below do not say it themselves.
WHY = """
Why those that are missed are missed:

- *Throughput, CPU, and the ratios to the peers*: what exactness costs. The worker takes half of an event's CPU (parsing, identity, progress, a row of the day: state that has to be found in memory), and history to Parquet a quarter. With all that was found to save, two cores that are never idle would make 0.23 of the loop, the broker's share included: [throughput](decisions/2026-11-21-throughput.md) has the account, with what was tried.
- *Latency at 10,000/s*: an event waits 2 ms until the client has it, then for its epoch's turn, then 4 ms (half) or 12 ms (99 of 100) for the broker to commit a transaction. Computing is under 1 ms of it.
- *Latency at 50,000/s*: the two cores are full (Questline, the broker and the load together take 1.9), so whatever takes a core for a while (a part of a checkpoint, a file of the lake, the broker's own work) makes a queue that goes down slowly.
- *Catching up*: the same sum. What is above the 50,000 a second that keep coming goes into the backlog, and the start itself, with its replay of the last interval, is part of it.
- *Two workers in `replay`*: four threads on two cores, since one reads lines and one writes files.
- *Memory*: a player who plays today has progress in tens of missions, tracks of contributions, and a row of the day. A transaction has 80 bytes in its slab, and then 20 in an index, 20 in the list of what is forgotten when, and what missions remember of it.
- *An event among 10 million players*: at the edge. Two runs of one day gave 1.43 and 1.51; it waits for memory that is far away.
- *State of 10 million*: the host finds fresh pages at about 10 µs each, and a start takes 5 GB of them; so does the first, all-new round of a checkpoint ([dormant players](decisions/2026-11-23-dormant-players.md)).
"""


def table(goals):
    return "\n| goal | reached | |\n|---|---|---|\n" + "".join(goal.row() for goal in goals)


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
    return text, [
        Goal("throughput: first at least 0.3 of the bare loop", f"{ratio:.2f}", ratio >= 0.3),
        Goal("throughput: then at least 0.8 of it, 0.5 by all means", f"{ratio:.2f}", ratio >= 0.8),
        Goal("at most 2.0 µs CPU an event, history included", f"{cpu:.2f} µs", cpu <= 2.0),
    ]


def report_s3(result):
    figures = result["rounds"][0]["questline"]
    return (
        f"## The lake on S3\n\nOne round with the lake on the S3 server of `scripts/stack` (moto, in Python, on the same cores): {figures['events_per_second']:,} events/s, "
        f"{figures['cpu_micros_per_event']:.2f} µs CPU per event. Objects are put beside the stream, after the commit that recorded them.\n",
        [],
    )


STAGE_OF_LATENCY = {
    "source": "source: the newest record's ingest until its epoch is opened",
    "compute": "compute: until the dataflow has put it out",
    "queue": "queue: until its transaction begins",
    "commit": "commit: until it is committed",
}
# Milliseconds by rate: p50, p99, and what p99 has to be by all means.
LATENCY = {10_000: (6, 20, 50), 50_000: (10, 60, 100)}


def report_latency(result):
    runs = result["runs"]
    text = (
        f"## Latency\n\n{runs[0]['seconds']} s at each rate after a warm-up of {result['warm_up']} s, {result['missions']} missions, history to Parquet and checkpoints on, broker, load and probes on the same cores; one event in a hundred is a probe, "
        f"which completes a mission at once. A completion counts as visible when a `read_committed` consumer has it. `appended` is the broker's own timestamp of the probe "
        f"(whole milliseconds); `scheduled` is when the load should have sent it, with nothing forgiven if the sender, its batching or the broker stalls.\n\n"
        "| events/s | from | probes | lost | p50 | p90 | p99 | p99.9 | max |\n|---|---|---|---|---|---|---|---|---|\n"
    )
    goals = []
    for run in runs:
        for name, key in (("appended", "from_append_ms"), ("scheduled", "from_schedule_ms")):
            q = run[key]
            text += f"| {run['rate']:,} | {name} | {q['count']:,} | {run['lost']} | {q['p50']:.1f} ms | {q['p90']:.1f} ms | {q['p99']:.1f} ms | {q['p999']:.1f} ms | {q['max']:.1f} ms |\n"
        q = run["from_append_ms"]
        for rank, most in zip(("p50", "p99", "p99"), LATENCY.get(run["rate"], ())):
            by_all_means = ", by all means" if most in (50, 100) else ""
            goals.append(Goal(f"visible at {run['rate']:,}/s: {rank} at most {most} ms{by_all_means}", f"{q[rank]:.1f} ms", q[rank] <= most))
    text += (
        f"\nOf changed definitions: {runs[0]['edits']['edits']} missions of two bets are edited in that time to ask for one, which completes a player who has one; from the sending of the edit until the completion is visible:\n\n"
        "| events/s | edits | lost | p50 | p90 | p99 | max |\n|---|---|---|---|---|---|---|\n"
    )
    for run in runs:
        edits, q = run["edits"], run["edits"]["from_sent_ms"]
        text += f"| {run['rate']:,} | {edits['edits']} | {edits['lost']} | {q['p50']:.1f} ms | {q['p90']:.1f} ms | {q['p99']:.1f} ms | {q['max']:.1f} ms |\n"
        goals.append(Goal(f"definitions effective within 100 ms, at {run['rate']:,}/s", f"p50 {q['p50']:.1f}, p99 {q['p99']:.1f} ms", q["p99"] <= 100))
    text += "\nBy stage, as Questline's own log tells it (`stages=`; of transactions, not of probes, so that p99s do not add up), half and 99 of 100:\n\n"
    text += "| stage |" + "".join(f" {run['rate']:,}/s |" for run in runs) + "\n|---|" + "---|" * len(runs) + "\n"
    for stage, name in STAGE_OF_LATENCY.items():
        text += f"| {name} |" + "".join(" {:.1f} / {:.1f} ms |".format(*run["stages_ms"][stage]) for run in runs) + "\n"
    text += "\n"
    for run in runs:
        share = lambda seconds: f"{seconds / (result['warm_up'] + run['seconds']):.2f}"
        text += (
            f"At {run['rate']:,}/s the sender was at most {run['sent_late_ms']:.0f} ms behind its schedule. "
            f"Cores used: Questline {share(run['questline_cpu_seconds'])}, the broker {share(run['broker_cpu_seconds'])}.\n"
        )
    return text, goals


def report_idle(result):
    share = result["cores"]
    return (
        f"## Nothing to do\n\nWith the state of {result['play']['events']:,} events, when none came any more, for {result['seconds']} s: {100 * share:.1f} % of a core. The broker beside it: {100 * result['broker_cores']:.1f} %.\n",
        [Goal("at most 2 % of a core when idle", f"{100 * share:.1f} %", share <= 0.02)],
    )


def report_catch_up(result):
    down, seconds = result["down"], result["seconds"]
    # What came while it was down, and what came while it caught up, was read in that time.
    read = result["rate"] * (down + seconds) / seconds
    scaled = seconds * 600 / down
    return (
        f"## Catching up\n\nKilled (-9) under {result['rate']:,} events/s that went on for {down} s without it and while it came back. It committed again {result['ready_seconds']:.1f} s after its start, and its clock was "
        f"less than a second behind after {seconds:.0f} s: {read:,.0f} events/s on the way. It grows with the time down: ten minutes would take {scaled:.0f} s.\n",
        [Goal("caught up 90 s after 10 min down at 50,000/s", f"{scaled:.0f} s, scaled from {down} s down", scaled <= 90)],
    )


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
    return text, [Goal(f"{goal} times the events/s of {kind}", f"{against(kind):.1f}", against(kind) >= goal) for kind, goal in goals]


def report_workers(result):
    rates = {int(count): statistics.median(one["events"] / one["seconds"] for one in rounds) for count, rounds in result["rounds"].items()}
    ratios = {int(count): statistics.median(one["seconds"] / more["seconds"] for one, more in zip(result["rounds"]["1"], rounds)) for count, rounds in result["rounds"].items()}
    text = (
        f"## Workers\n\n`questline replay` of one file, {result['rounds']['1'][0]['events']:,} events, without a broker, on {result['cores']} cores. One thread reads lines and one writes files beside the workers. "
        f"Medians of {len(result['rounds']['1'])} rounds in turns.\n\n| workers | events/s | of one worker's |\n|---|---|---|\n"
    )
    text += "".join(f"| {count} | {rate:,.0f} | {ratios[count]:.2f} |\n" for count, rate in rates.items())
    goals = ((2, 1.7), (16, 11))
    return text, [Goal(f"{count} workers {goal} times as fast as one", f"{ratios[count]:.2f}", ratios[count] >= goal) for count, goal in goals if count in ratios]


STAGES = {
    "worker": "worker: poll, parse, exchange, state, outputs",
    "lake": "lake's thread: columns, Parquet, zstd",
    "client": "Kafka client's threads: fetch, decompress, produce",
    "committer": "committer: JSON, transactions",
    "other": "other threads",
}


def report_profile(result):
    stages = result["stages"]
    flame = f" By call stack: [flame graph](benchmarks/{result['flame']})." if "flame" in result else ""
    text = (
        f"## CPU by stage\n\nSampled by `perf` in a run of its own ({result['samples']:,} samples), by thread, and in it by the name of the function that was running. "
        f"To take it anew: `scripts/bench profile report`.{flame}\n\n| stage | µs per event | of it |\n|---|---|---|\n"
    )
    for stage in sorted(stages, key=lambda stage: -stages[stage]["micros_per_event"]):
        groups = ", ".join(f"{group} {micros:.2f}" for group, micros in stages[stage]["groups"].items() if group != "rest" or len(stages[stage]["groups"]) > 1)
        text += f"| {STAGES[stage]} | {stages[stage]['micros_per_event']:.2f} | {groups} |\n"
    text += f"| all | {sum(stage['micros_per_event'] for stage in stages.values()):.2f} | |\n"
    for stage in ("worker", "lake"):
        if stage in stages:
            text += f"\n### Most of the {stage}'s time\n\n| µs per event | function |\n|---|---|\n"
            text += "".join(f"| {micros:.3f} | `{symbol}` |\n" for symbol, micros in list(stages[stage]["top"].items())[:25])
    return text, []


def report_index(result):
    text = (
        "## Missions\n\nThe stateful core on one thread, without a broker: 1 M events of 200,000 players and 10 missions that they meet, beside more that they do not, of mixed conditions "
        f"(titles, sports, lists of types, stakes, texts of the payload, other events). Medians of {len(result['rounds']['10'])} rounds in turns.\n\n"
        "| missions | identity and missions, ns per event | all of the core, ns per event | events/s beside 10 missions |\n|---|---|---|---|\n"
    )
    ratio = lambda count: ratio_of_cost(result["rounds"]["10"], result["rounds"][count])
    for count, rounds in result["rounds"].items():
        text += f"| {int(count):,} | {cost(rounds, 'players'):,.0f} | {cost(rounds, 'all'):,.0f} | {1 / ratio(count):.2f} |\n"
    one, many = result["resident_bytes"]
    each = (many - one) / result["players"] / result["more_progress"]
    text += (
        f"\nProgress in one more mission takes a player {each:.0f} bytes: {result['players']:,} players with one bet each, the memory of the process with "
        f"{result['more_progress'] + 1} missions that count it and with one.\n"
    )
    most = ratio("10000")
    return text, [
        Goal("events/s at 10,000 missions at least 0.9 of those at 10", f"{1 / most:.2f}", 1 / most >= 0.9),
        Goal("an event beside 10,000 missions costs at most 1.1 of one beside 10", f"{most:.2f}", most <= 1.1),
        Goal("under 64 bytes for a player and an active mission that counts or sums", f"{each:.0f}", each < 64),
    ]


def cost(rounds, part):
    return statistics.median(one["nanos_per_event"][part] for one in rounds)


def ratio_of_cost(few, many):
    """Of all of the core, of rounds that were taken in turns."""
    return statistics.median(one["nanos_per_event"]["all"] / other["nanos_per_event"]["all"] for one, other in zip(many, few))


def report_players(result):
    rounds = result["rounds"]
    fewest, most = list(rounds)[0], list(rounds)[-1]
    # The rows of the players who are known leave while the events are measured: their reports are not the events'.
    own = lambda one: one["nanos_per_event"]["all"] - one["nanos_per_event"]["report"]
    ratio_of = lambda each: statistics.median(own(many) / own(few) for many, few in zip(each, rounds[fewest]))
    text = (
        "## Players\n\nThe same core with 10 missions, when so many players have state (one bet each that day), and 1 M more events come from all of them by Zipf. "
        f"Medians of {len(rounds[fewest])} rounds in turns.\n\n| players | identity and missions, ns per event | all of the core but reports, ns per event | of the cost among {int(fewest):,} | another target for a mission that nobody plays, ms |\n|---|---|---|---|---|\n"
    )
    for count, each in rounds.items():
        edit = statistics.median(one["edit_ms"] for one in each)
        text += f"| {int(count):,} | {cost(each, 'players'):,.0f} | {statistics.median(map(own, each)):,.0f} | {ratio_of(each):.2f} | {edit:.2f} |\n"
    (few, small), (many, large) = ((int(bets), size / result["players"]) for bets, size in result["bets"].items())
    transaction = (large - small) / (many - few)
    player = small - few * transaction
    text += (
        f"\nMemory, of {result['players']:,} players: with one bet each {small:.0f} bytes, with {many} each {large:.0f}. So a transaction of the last 48 h takes {transaction:.0f} bytes, with what missions remember of it, "
        f"and a player {player:.0f} besides: names, progress, today's row of activity.\n"
    )
    ratio = ratio_of(rounds[most])
    return text, [
        Goal("an event among 10 M players costs at most 1.5 of one among 10,000", f"{ratio:.2f}", ratio <= 1.5),
        Goal("hot memory of a player who plays at most 400 B", f"{player:.0f} B", player <= 400),
        Goal("hot memory of a transaction of the last 48 h at most 80 B", f"{transaction:.0f} B", transaction <= 80),
    ]


def report_state(result):
    [largest] = result["rounds"]["10000000"]
    text = (
        f"## Checkpoints\n\nThe state of players with one bet each (20 missions, a row of activity, a transaction), without storage: written on one thread; then {largest['rounds']} times one bet more of one player in a hundred, each time "
        f"of others, and a checkpoint; then read again as it is stored by another process, on one thread for each core. Medians of three, 10 M once. A worker writes a few of 1,024 groups behind an epoch, or one, or a part of one, about 1 MB at once; here one group at most, so that is how long it "
        f"is away each time; compressing and putting is another thread's work. Everything is new in the first round after a start without a checkpoint; any other round writes what changed and four times as many other values, so that all of it is written again "
        f"in 25 rounds. What a start reads is what one such time round has written, from the last round backwards: about all state once and a quarter, whenever it is.\n\n"
        "| players | all new, MB | stored, MB | written in, s | away, ms: p50 / p99 / max | 1 % changed, MB | stored, MB | away, ms: p50 / p99 / max | then read, MB | at most, in any round, MB | stored, MB | read in, s | memory then, B a player |\n"
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|\n"
    )
    for players, rounds in result["rounds"].items():
        of = lambda *path: statistics.median(dig(one, path) for one in rounds)
        pauses = lambda part: " / ".join(f"{of(part, 'group_ms', rank):.2f}" for rank in ("p50", "p99", "max"))
        text += (
            f"| {int(players):,} | {of('all', 'bytes') / 1e6:.1f} | {of('all', 'bytes_stored') / 1e6:.1f} | {of('all', 'seconds'):.2f} | {pauses('all')} | "
            f"{of('changes', 'bytes') / 1e6:.2f} | {of('changes', 'bytes_stored') / 1e6:.2f} | {pauses('changes')} | "
            f"{of('read_bytes') / 1e6:.1f} | {max(max(one['needed_bytes']) for one in rounds) / 1e6:.1f} | {of('read_bytes_stored') / 1e6:.1f} | {of('restore_seconds'):.1f} | {of('restored_resident_bytes') / int(players):.0f} |\n"
        )
    seconds, pause, first = largest["restore_seconds"], largest["changes"]["group_ms"], largest["all"]["group_ms"]
    dormant = largest["restored_resident_bytes"] / 10_000_000
    idle_text, idle_goals = report_idle_players(result["idle"]) if "idle" in result else ("", [])
    return text + idle_text, idle_goals + [
        Goal("10 M players: memory of one behind a start, with a transaction, at most 480 B (400 and 80)", f"{dormant:.0f} B", dormant <= 480),
        Goal("10 M players: ready in 10 s after such a run (fetching from storage not counted)", f"{seconds:.1f} s", seconds <= 10),
        Goal("10 M players: the worker's pause, p99, less than 5 ms where 1 % changed", f"{pause['p99']:.2f} ms", pause["p99"] < 5),
        Goal("10 M players: the same where everything is new", f"{first['p99']:.1f} ms", first["p99"] < 5),
        Goal("10 M players: no pause over 10 ms", f"{max(pause['max'], first['max']):.1f} ms", max(pause["max"], first["max"]) <= 10),
    ]


def report_idle_players(idle):
    [largest] = idle["10000000"]
    text = (
        f"\nWith `checkpoint.cold_folder`, when nobody has played for {largest['idle_days']} days: transactions and rows of activity are in files ([cold state](decisions/2026-11-22-cold-state.md)), of each group in one turn. Once each.\n\n"
        "| players | in files, MB | away while it goes there, ms: p50 / p99 / max | then read, MB | stored, MB | read in, s | memory then, B a player |\n|---|---|---|---|---|---|---|\n"
    )
    for players, [one] in idle.items():
        pauses = " / ".join(f"{one['cooling']['group_ms'][rank]:.2f}" for rank in ("p50", "p99", "max"))
        text += (
            f"| {int(players):,} | {one['cold_bytes'] / 1e6:.1f} | {pauses} | {one['read_bytes'] / 1e6:.1f} | {one['read_bytes_stored'] / 1e6:.1f} | {one['restore_seconds']:.1f} | "
            f"{one['restored_resident_bytes'] / int(players):.0f} |\n"
        )
    seconds = largest["restore_seconds"]
    return text, [Goal("10 M players who have not played for two days, with cold state in files: ready in 10 s", f"{seconds:.1f} s", seconds <= 10)]


def dig(figures, path):
    for step in path:
        figures = figures[step]
    return figures


WRITERS = {
    "throughput": report_throughput,
    "s3": report_s3,
    "latency": report_latency,
    "idle": report_idle,
    "catch-up": report_catch_up,
    "peers": report_peers,
    "workers": report_workers,
    "index": report_index,
    "players": report_players,
    "state": report_state,
    "profile": report_profile,
}
