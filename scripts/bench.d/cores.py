"""The stateful core without a broker: state, missions, players, memory, workers."""

import json
import os
import subprocess

from programs import say


def core(programs, *arguments):
    """`questline bench`."""
    command = [programs.questline, "bench", "--format", "json", *map(str, arguments)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


# Checkpoints with one player in a hundred changed before the state is read again: all of it is written again in 25 of them.
STATE_ROUNDS = 40
# Behind which transactions and rows are in files.
IDLE_DAYS = 4


def state(programs):
    """Writing and reading state, without storage: three times each, and once what takes long."""
    times = {100_000: 3, 1_000_000: 3, 10_000_000: 1}
    arguments = ("--threads", str(os.cpu_count()), "--rounds", str(STATE_ROUNDS))
    rounds = {players: [programs.help("state", "--players", str(players), *arguments) for _ in range(count)] for players, count in times.items()}
    idle = ("--threads", str(os.cpu_count()), "--rounds", "0", "--idle-days", str(IDLE_DAYS))
    return {"rounds": rounds, "idle": {players: [programs.help("state", "--players", str(players), *idle)] for players in (1_000_000, 10_000_000)}}


# Missions that generated play meets, and how many there are in all.
MATCHED, MISSIONS = 10, (10, 100, 1_000, 10_000)
# The state of so many players, each with progress in one mission, then in 51 of them: one kind in eight counts the bet.
PLAYERS, ONE, MANY = 200_000, 8, 408


def index(programs):
    """The same events beside more and more missions that they do not meet. Then memory by progress."""
    beside = lambda count: core(programs, "--missions", MATCHED, "--unmatched", count - MATCHED)
    rounds = {count: [] for count in MISSIONS}
    beside(MATCHED)
    for _ in range(programs.options.rounds):
        for count in MISSIONS:
            rounds[count].append(beside(count))
            say(f"{count:>6,} missions  {rounds[count][-1]['nanos_per_event']}")
    resident = [programs.help("state", "--players", PLAYERS, "--missions", count)["resident_bytes"] for count in (ONE, MANY)]
    return {"rounds": rounds, "players": PLAYERS, "more_progress": (MANY - ONE) // 8, "resident_bytes": resident}


# Players who have state when the events begin, which are spread over all of them.
KNOWN = (10_000, 100_000, 1_000_000, 10_000_000)
# Bets of each of so many players.
REMEMBERED, BETS = 1_000_000, (1, 5)


def players(programs):
    """As many events of more and more players, all of whom have played before. Then memory by player and transaction."""
    of = lambda known: core(programs, "--players", known, "--known", known, "--missions", MATCHED)
    rounds = {known: [] for known in KNOWN}
    of(KNOWN[0])
    for _ in range(programs.options.rounds):
        for known in KNOWN:
            rounds[known].append(of(known))
            say(f"{known:>10,} players  {rounds[known][-1]['nanos_per_event']}")
    few = lambda bets: core(programs, "--events", 1, "--players", REMEMBERED, "--known", REMEMBERED, "--bets", bets, "--missions", MATCHED)
    return {"rounds": rounds, "players": REMEMBERED, "bets": {bets: few(bets)["known_bytes"] for bets in BETS}}


# Of a file, in memory as far as the system likes.
REPLAYED = 2_000_000


def workers(programs):
    """`questline replay` of one file on one worker and on more."""
    counts = [count for count in (1, 2, 4, 8, 16) if count <= os.cpu_count()]
    play, config = programs.folder / "events.jsonl", programs.folder / "replay.toml"
    programs.generate(to=play, events=REPLAYED, players=programs.options.players, missions=programs.options.missions, span=200, seed=1)
    config.write_text('[pipeline]\nname = "replay"\n[[source]]\nname = "play"\ntopics = ["events"]\n[missions]\ntopic = "missions"\n')
    rounds = {count: [] for count in counts}
    for number in range(programs.options.rounds + 1):
        for count in counts:
            command = [programs.questline, "replay", "--config", config, "--input", play, "--out", programs.folder / "out", "--workers", str(count), "--format", "json"]
            figures = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
            # The first of each warms the file's pages.
            if number > 0:
                rounds[count].append({"seconds": figures["seconds"], "events": figures["counters"]["read"]})
                say(f"{count} workers  {figures['counters']['read'] / figures['seconds']:,.0f} events/s")
    return {"rounds": rounds, "cores": os.cpu_count()}
