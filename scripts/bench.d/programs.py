"""A broker and an S3 server, the programs that are measured, and what is known of the machine."""

import json
import os
import platform
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


class BenchError(Exception):
    """Told to the user as one line."""


def say(text):
    print(f"== {text}", file=sys.stderr, flush=True)


class Stack:
    """A broker and an S3 server of our own, for as long as the `with` lasts."""

    def __init__(self, folder):
        self.folder = folder / "stack"

    def __enter__(self):
        command = [str(ROOT / "scripts" / "stack"), "up", "--dir", str(self.folder)]
        # LogAppendTime is what latency is measured from; throughput's events keep the time that they were generated with.
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        if done.returncode != 0:
            raise BenchError("the stack did not start (see above)")
        self.environment = dict(re.findall(r"^export (\w+)='(.*)'$", done.stdout, re.M))
        return self

    def __exit__(self, *_):
        subprocess.run([str(ROOT / "scripts" / "stack"), "down", "--dir", str(self.folder)], stdout=sys.stderr)

    def cpu_seconds(self):
        """What the broker has used so far."""
        return cpu_of(self.environment["QUESTLINE_KAFKA_PID"])


class Programs:
    """One part's: `questline`, the helpers, and where they put things."""

    def __init__(self, release, stack, folder, options):
        self.questline = release / "questline"
        self.helper = release / "examples" / "bench"
        self.stack = stack
        self.folder = folder
        self.options = options
        self.environment = {**os.environ, **stack.environment}

    def generate(self, to="kafka", **settings):
        arguments = [part for name, value in settings.items() for part in (f"--{name.replace('_', '-')}", str(value))]
        subprocess.run([self.questline, "generate", "--to", to, *arguments], env=self.environment, check=True)

    def generate_once(self):
        """The events of most parts, in the topic `events`."""
        options = self.options
        play = {
            "events": options.events, "players": options.players, "missions": options.missions,
            "partitions": options.partitions, "span": options.span, "seed": 1,
        }  # fmt: skip
        say(f"generating {options.events:,} events")
        self.generate(**play)
        return play

    def help(self, *arguments, measured=None):
        """A helper's figures, with the CPU time of its process. There are none when the `measured` process ends before."""
        before = os.times()
        helper = subprocess.Popen([self.helper, *map(str, arguments)], env=self.environment, stdout=subprocess.PIPE, text=True)
        while True:
            try:
                said, _ = helper.communicate(timeout=1)
                break
            except subprocess.TimeoutExpired:
                if measured and measured.poll() is not None:
                    helper.kill()
                    helper.wait()
                    raise BenchError("what is measured has ended (see above)") from None
        after = os.times()
        if helper.returncode != 0:
            raise BenchError(f"{arguments[0]} failed (see above)")
        cpu = after.children_user + after.children_system - before.children_user - before.children_system
        return {**json.loads(said), "cpu_seconds": round(cpu, 2)}

    def configure(self, name, lake=None, events="events", missions="missions", completions="completions", more=""):
        lake = lake or f"file://{self.folder}/lake-{name}"
        path = self.folder / f"{name}.toml"
        path.write_text(f"""\
[pipeline]
name = "{name}"
workers = {self.options.workers}

[kafka]
brokers = "{self.stack.environment['QUESTLINE_BROKERS']}"

[kafka.topics]
completions = "{completions}"
activity = "{name}-activity"
dead_letters = "{name}-dead-letters"
partitions = 4

[[source]]
name = "play"
topics = ["{events}"]

[missions]
topic = "{missions}"

[lake]
url = "{lake}"
{more}""")
        return path

    def log(self, name):
        return self.folder / f"{name}.log"

    def start(self, config):
        """`questline run`, until it is ended. Its log goes beside its configuration."""
        with open(config.with_suffix(".log"), "ab") as log:
            return subprocess.Popen([self.questline, "run", "--config", config], env=self.environment, stderr=log)


class Running:
    """`questline run` for as long as the `with` lasts; ended gracefully, or killed with the end of its log shown where something failed."""

    def __init__(self, programs, config):
        self.config = config
        self.process = programs.start(config)
        self.cpu = None

    def __enter__(self):
        return self

    def cpu_so_far(self):
        return cpu_of(self.process.pid)

    def __exit__(self, failure, *_):
        if failure:
            self.process.kill()
            self.process.wait()
            print(self.config.with_suffix(".log").read_text()[-3000:], file=sys.stderr)
        else:
            self.end()

    def end(self):
        """A graceful end. Returns the CPU seconds of the whole process, from its start on."""
        if self.cpu is None:
            self.process.send_signal(signal.SIGTERM)
            _, status, usage = os.wait4(self.process.pid, 0)
            self.process.returncode = os.waitstatus_to_exitcode(status)
            if self.process.returncode != 0:
                raise BenchError(f"questline run ended with {self.process.returncode}")
            self.cpu = usage.ru_utime + usage.ru_stime
        return self.cpu


def cpu_of(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def log_lines(log):
    """Without colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", log.read_text()).strip().splitlines()


def with_rate(figures):
    events, seconds = figures["events"], figures["seconds"]
    figures["events_per_second"] = round(events / seconds)
    figures["cpu_micros_per_event"] = round(figures["cpu_seconds"] / events * 1e6, 3)
    return figures


def cache():
    """As scripts/lib.sh has it."""
    return Path(os.environ.get("QUESTLINE_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "questline")


def packages(name, requirements):
    """Python with these packages, which are downloaded once."""
    wanted, folder = requirements.read_text(), cache() / name
    stamp = folder / ".stamp"
    if not stamp.exists() or stamp.read_text() != wanted:
        say(f"downloading {' '.join(line for line in wanted.split() if '==' in line)}")
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        subprocess.run([folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement", requirements], check=True)
        stamp.write_text(wanted)
    return folder / "bin" / "python"


def rust_program(package, version, program):
    """A program of a crate, built once."""
    folder = cache() / f"{package}-{version}"
    built = folder / "bin" / program
    if not built.exists():
        say(f"building {package} {version}")
        subprocess.run(["cargo", "install", "--quiet", "--locked", "--version", version, "--root", folder, package], check=True)
    return built


def machine(load):
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())
    return {
        "cpu": cpu.group(1) if cpu else platform.machine(),
        "cores": os.cpu_count(),
        "memory_gib": round(int(memory.group(1)) / 2**20) if memory else None,
        "kernel": platform.release(),
        "load_before": load,
    }


def versions():
    said = lambda *command: subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout.strip()
    return {
        # The results of other parts make no other program.
        "questline": said("git", "describe", "--always") + ("-dirty" if said("git", "status", "--porcelain", "--", ".", ":!docs") else ""),
        "rust": said("rustc", "--version"),
        "kafka": of_pom("stack.d", r"<artifactId>kafka_.*?<version>(.*?)</version>"),
        "flink": of_pom("bench.d/peers/flink", r"<flink.version>(.*?)<"),
    }


def of_pom(folder, pattern):
    return re.search(pattern, (ROOT / "scripts" / folder / "pom.xml").read_text(), re.S).group(1)
