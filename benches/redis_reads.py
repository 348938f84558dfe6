"""Reads of Redis with 64 in flight, beside the best that redis-benchmark reaches on the same machine."""

import csv
import statistics
import subprocess

ENTRIES, VALUE = 10_000, 7_000
GET = ["-t", "get"]
# What tokencache sends for a read, less its PTTL: redis-benchmark repeats one command only. The key is as long as ours.
HMGET = ["HMGET", "0" * 61 + "__rand_int__", "absexp", "sldexp", "data", "ver"]
# Which of them is best depends on the machine: all are tried, and the best ones again in every round.
SHAPES = [(connections, pipeline) for connections in (1, 8, 64) for pipeline in (8, 16, 32, 64)]
CONTENDERS = 3


def compare(port: str, ours, pipe, rounds: int, reads: int) -> dict:
    """The rows. `ours` and `pipe` make so many reads and answer how many they made a second; `pipe` may be None. In each
    round all sides run one after the other, and the ratios are taken inside the round."""
    fill(port)
    ours()
    contenders = {}
    for name, command in {"get": GET, "hmget": HMGET}.items():
        tried = {shape: benchmark(port, shape, command, reads // 4) for shape in SHAPES}
        contenders[name] = sorted(tried, key=tried.get, reverse=True)[:CONTENDERS]
    seen: dict = {"ours": []} | {(name, shape): [] for name, shapes in contenders.items() for shape in shapes}
    if pipe:
        seen["pipe"] = []
    for _ in range(rounds):
        for side, figures in seen.items():
            if side == "ours":
                figures.append(ours())
            elif side == "pipe":
                figures.append(pipe())
            else:
                name, shape = side
                figures.append(benchmark(port, shape, {"get": GET, "hmget": HMGET}[name], reads))

    def row(side) -> tuple:
        ratios = sorted(ours / other for ours, other in zip(seen["ours"], seen[side]))
        remark = (f"{statistics.median(seen['ours']):,.0f} reads a second, {called(side)} "
                  f"{statistics.median(seen[side]):,.0f}; {rounds} rounds {ratios[0]:.2f} … {ratios[-1]:.2f}")
        return statistics.median(ratios), remark

    def best(name: str) -> tuple:
        # By its median: the best of single runs would be the luckiest.
        return max((side for side in seen if side[0] == name), key=lambda side: statistics.median(seen[side]))

    found = {"redis_reads": row(best("get")), "redis_reads_hmget": row(best("hmget"))}
    if pipe:
        found["redis_reads_pipe"] = row("pipe")
    return found


def called(side) -> str:
    if side == "pipe":
        return "hiredis"
    name, (connections, pipeline) = side
    return f"{name.upper()} -c {connections} -P {pipeline}"


def fill(port: str) -> None:
    """Stores what redis-benchmark will ask for: as many strings, and hashes with the fields of an entry of ours."""
    ticks, version = b"662065056000000000", b"0" * 32
    value = b"v" * VALUE
    commands = []
    for number in range(ENTRIES):
        commands.append(_packed(b"SET", b"key:%012d" % number, value))
        commands.append(_packed(b"HSET", b"0" * 61 + b"%012d" % number, b"absexp", ticks, b"sldexp", b"-1", b"data", value,
                                b"ver", version))
    subprocess.run(["redis-cli", "-p", port, "--pipe"], input=b"".join(commands), check=True,
                   stdout=subprocess.DEVNULL)


def _packed(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


def benchmark(port: str, shape: tuple, command: list, reads: int) -> float:
    """How many a second redis-benchmark reads with this many connections and commands in a pipeline."""
    connections, pipeline = shape
    done = subprocess.run(["redis-benchmark", "-p", port, "--csv", "-d", str(VALUE), "-r", str(ENTRIES), "-n", str(reads),
                           "-c", str(connections), "-P", str(pipeline), *command],
                          check=True, text=True, stdout=subprocess.PIPE)
    return float(list(csv.reader(done.stdout.splitlines()))[-1][1])
