"""Reads of Redis with 64 in flight, beside the best that redis-benchmark reaches on the same machine."""

import csv
import statistics
import subprocess

ENTRIES, VALUE = 10_000, 7_000
COMMANDS = {
    "GET": ["-t", "get"],
    # What tokencache sends for a read, less its PTTL: redis-benchmark repeats one command only. The key is as long as
    # ours, and its last twelve digits are drawn.
    "HMGET": ["HMGET", "0" * 61 + "__rand_int__", "absexp", "sldexp", "data", "ver"],
}
# Which of them is best depends on the machine: all are tried, and the best ones again in every round.
SHAPES = [(connections, pipeline) for connections in (1, 8, 64) for pipeline in (8, 16, 32, 64)]
CONTENDERS = 3


def compare(port: str, drivers: dict, rounds: int, reads: int) -> dict:
    """The rows. Each of `drivers`, "tokencache" and maybe "hiredis", makes so many reads and answers how many a second
    and the CPU of one in µs. In each round all sides run one after the other, and ratios are taken inside the round."""
    fill(port)
    for driver in drivers.values():
        driver()
    sides = dict(drivers)
    for name in COMMANDS:
        tried = {shape: benchmark(port, name, shape, reads // 4) for shape in SHAPES}
        for shape in sorted(tried, key=tried.get, reverse=True)[:CONTENDERS]:
            connections, pipeline = shape
            sides[f"{name} -c {connections} -P {pipeline}"] = lambda name=name, shape=shape: (
                benchmark(port, name, shape, reads), 0)
    seen: dict = {side: [] for side in sides}
    for _ in range(rounds):
        for side, measure in sides.items():
            seen[side].append(measure())

    def typical(side: str, member: int = 0) -> float:
        return statistics.median(figures[member] for figures in seen[side])

    def row(name: str) -> tuple:
        # The best by its median: that of single runs would be the luckiest.
        best = max((side for side in seen if side.split()[0] == name), key=typical)
        ratios = sorted(ours / other for (ours, _), (other, _) in zip(seen["tokencache"], seen[best]))
        remark = (f"{typical('tokencache'):,.0f} reads a second, {best} {typical(best):,.0f}; "
                  f"{rounds} rounds {ratios[0]:.2f} … {ratios[-1]:.2f}")
        return statistics.median(ratios), remark

    found = {"redis_reads": row("GET"), "redis_reads_hmget": row("HMGET")}
    remark = "all threads of the process"
    if "hiredis" in seen:
        found["redis_reads_pipe"] = row("hiredis")
        remark += f"; hiredis {typical('hiredis', 1):.1f} µs"
    return found | {"redis_reads_cpu": (typical("tokencache", 1), remark)}


def fill(port: str) -> None:
    """Stores what redis-benchmark will ask for: strings, and hashes with the fields of an entry of ours."""
    value = b"v" * VALUE
    rest = [b"absexp", b"662065056000000000", b"sldexp", b"-1", b"data", value, b"ver", b"0" * 32]
    commands = []
    for number in range(ENTRIES):
        commands.append(packed(b"SET", b"key:%012d" % number, value))
        commands.append(packed(b"HSET", b"0" * 61 + b"%012d" % number, *rest))
    subprocess.run(["redis-cli", "-p", port, "--pipe"], input=b"".join(commands), check=True, stdout=subprocess.DEVNULL)


def packed(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


def benchmark(port: str, name: str, shape: tuple, reads: int) -> float:
    """How many a second redis-benchmark reads with this many connections and commands in a pipeline."""
    connections, pipeline = shape
    done = subprocess.run(["redis-benchmark", "-p", port, "--csv", "-d", str(VALUE), "-r", str(ENTRIES),
                           "-n", str(reads), "-c", str(connections), "-P", str(pipeline), *COMMANDS[name]],
                          check=True, text=True, stdout=subprocess.PIPE)
    return float(list(csv.reader(done.stdout.splitlines()))[-1][1])
