"""Asks flamesql and other programs the same questions of the same samples: run.py SET [options].

SET.pb.gz, SET.parquet and SET.functions.parquet are one set. README.md says how to make them, what is asked and what
the figures are. Each contender answers each question in a process of its own, bound to the same processors. All
answers are compared, and one that differs ends the run.
"""
import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
QUESTIONS = ["threads", "self", "total", "function", "stacks", "top_stacks", "flame"]
PLACES = ["memory", "parquet"]
TYPE = "process_cpu:cpu:nanoseconds:cpu:nanoseconds"


def statements(contender):
    """The statements of a file, by question."""
    text = (HERE / f"{contender}.sql").read_text(encoding="utf-8")
    parts = re.split(r"^-- (\w+)\n", text, flags=re.MULTILINE)[1:]
    return {question: sql.strip().rstrip(";") for question, sql in zip(parts[::2], parts[1::2], strict=True)}


class Sql:
    """What DuckDB, DataFusion and chDB have in common."""

    def __init__(self):
        self.statements = statements(type(self).__name__.lower())

    def question(self, question, function_id):
        sql = self.statements[question].replace("{id}", str(function_id))
        return lambda: self.ask(sql)


class DuckDB(Sql):
    def load(self, name, place, threads):
        import duckdb

        self.connection = duckdb.connect(config={"threads": threads})
        what = {"memory": "TABLE", "parquet": "VIEW"}[place]
        for table, file in files(name):
            self.connection.execute(f"CREATE {what} {table} AS FROM read_parquet('{file}')")

    def ask(self, sql):
        return self.connection.execute(sql).fetchall()


class DataFusion(Sql):
    def load(self, name, place, threads):
        import datafusion
        from pyarrow import parquet

        config = datafusion.SessionConfig().with_target_partitions(threads)
        self.context = datafusion.SessionContext(config)
        for table, file in files(name):
            if place == "parquet":
                self.context.register_parquet(table, file)
                continue
            batches = parquet.read_table(file).to_batches(max_chunksize=8192)
            parts = [part for n in range(threads) if (part := batches[n::threads])]
            self.context.register_record_batches(table, parts)

    def ask(self, sql):
        batches = self.context.sql(sql).collect()
        return [tuple(row.values()) for batch in batches for row in batch.to_pylist()]


class ChDB(Sql):
    def load(self, name, place, threads):
        import chdb

        self.connection = chdb.connect(":memory:")
        self.connection.query(f"SET max_threads = {threads}")
        what = {"memory": "TABLE {} ENGINE = Memory", "parquet": "VIEW {}"}[place]
        for table, file in files(name):
            self.connection.query(f"CREATE {what.format(table)} AS SELECT * FROM file('{file}', Parquet)")

    def ask(self, sql):
        text = self.connection.query(sql, "JSONCompactEachRow").bytes()
        return [json.loads(line) for line in text.splitlines()]


class Polars:
    def load(self, name, place, threads):
        # Read when the module is loaded.
        os.environ["POLARS_MAX_THREADS"] = str(threads)
        import polars

        self.polars = polars
        read = {"memory": lambda file: polars.read_parquet(file).lazy(), "parquet": polars.scan_parquet}[place]
        self.samples, self.functions = (read(file) for _, file in files(name))

    def question(self, question, function_id):
        frame = getattr(self, question)(self.polars.col, function_id)
        return lambda: frame.collect(engine="streaming").rows()

    def threads(self, col, _):
        return self.samples.group_by("thread").agg(col("value").sum())

    def selves(self, col):
        return self.samples.group_by(col("stack").list.first().alias("id")).agg(col("value").sum().alias("self"))

    def self(self, col, _):
        frame = self.selves(col).join(self.functions, on="id").select("name", "self")
        return frame.sort("self", "name", descending=[True, False]).head(20)

    def total(self, col, _):
        frames = self.samples.select(col("stack").list.unique().alias("id"), "value").explode("id")
        totals = frames.group_by("id").agg(col("value").sum().alias("total"))
        frame = totals.join(self.functions, on="id").join(self.selves(col), on="id", how="left")
        frame = frame.select("name", col("self").fill_null(0), "total")
        return frame.sort("total", "name", descending=[True, False]).head(20)

    def function(self, col, function_id):
        frame = self.samples.filter(col("stack").list.contains(function_id))
        return frame.group_by("thread").agg(col("value").sum())

    def by_stack(self, col):
        return self.samples.group_by("stack").agg(col("value").sum())

    def stacks(self, col, _):
        return self.by_stack(col).select(self.polars.len(), col("value").sum())

    def top_stacks(self, col, _):
        return self.by_stack(col).top_k(10, by="value")

    def flame(self, col, _):
        depth = col("stack").list.len()
        frames = self.by_stack(col).with_columns(self.polars.int_ranges(0, depth).alias("at")).explode("at")
        nodes = frames.group_by(col("stack").list.slice(col("at")).alias("path")).agg(
            col("value").sum().alias("total"),
            col("value").filter(col("at") == 0).sum().alias("self"),
        )
        return nodes.select(self.polars.len(), (col("self") != 0).sum().alias("stacks"), col("self").sum().alias("value"))


PEERS = {peer.__name__: peer for peer in [DuckDB, Polars, DataFusion, ChDB]}


def files(name):
    return [("samples", f"{name}.parquet"), ("functions", f"{name}.functions.parquet")]


def list_names(name):
    """Prints the functions as JSON."""
    from pyarrow import parquet

    functions = parquet.read_table(f"{name}.functions.parquet").to_pydict()
    print(json.dumps(list(zip(functions["id"], functions["name"]))))


def work(args):
    """In the process of one peer: asks one question, and prints a line of JSON for each time and one for the answer."""
    name, place, question, function_id, runs, threads, limit = args
    peer_name, place = place.split("/")
    peer = PEERS[peer_name]()
    start = time.perf_counter()
    peer.load(name, place, int(threads))
    ask = peer.question(question, int(function_id))
    answer = None
    for _ in range(int(runs) + 1):
        before = time.perf_counter()
        rows = ask()
        print(json.dumps({"ms": [(time.perf_counter() - before) * 1000]}), flush=True)
        if answer is None:
            answer = rows
            print(json.dumps({"rows": answer}), flush=True)
        # Rather fewer runs than none.
        if time.perf_counter() - start > int(limit) / 2:
            break


class Run:
    """One process: the times that it printed, its answer, and its largest size."""

    def __init__(self, command, limit):
        self.times, self.answer, self.text = [], None, []
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        timer = threading.Timer(limit, process.kill)
        timer.start()
        errors = []
        drain = threading.Thread(target=lambda: errors.append(process.stderr.read()))
        drain.start()
        for line in process.stdout:
            self.text.append(line)
        drain.join()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        timer.cancel()
        self.seconds = time.perf_counter() - start
        self.megabytes = usage.ru_maxrss / 1024
        self.is_late = self.seconds >= limit
        if process.returncode != 0 and not self.is_late:
            sys.exit(f"{' '.join(command)}\n{''.join(errors)}")

    def read_lines(self):
        for line in self.text:
            if line.endswith("\n"):
                part = json.loads(line)
                self.times += part.get("ms", [])
                self.answer = part.get("rows", self.answer)
        return self


def normal(question, rows, names):
    """An answer as all contenders give it: rows of texts and numbers."""
    if rows and isinstance(rows[0], dict):
        rows = [list(row.values()) for row in rows]
    cell = lambda value: int(value) if isinstance(value, str) and value.lstrip("-").isdigit() else value
    rows = [[value if isinstance(value, list) else cell(value) for value in row] for row in rows]
    if question in ("threads", "function"):
        return sorted(rows)
    if question == "top_stacks":
        # Ours are names, root first, and the others' are ids, leaf first. Of equal values any stack may come last.
        for row in rows:
            if isinstance(row[0][0], int):
                row[0] = [names[frame] for frame in reversed(row[0])]
        least = rows[-1][1]
        return sorted([[] if value == least else stack, value] for stack, value in rows)
    return rows


def is_equal(one, other):
    """Whether two answers are the same where both have one: NULL is what a contender does not say."""
    return len(one) == len(other) and all(
        a == b or a is None or b is None
        for row, other_row in zip(one, other)
        for a, b in zip(row, other_row, strict=True)
    )


def pprof_top(text):
    """name, self and total of `go tool pprof -top`."""
    rows = []
    for line in text[text.index("flat%") :].splitlines()[1:]:
        flat, _, _, cum, _, name = line.split(None, 5)
        rows.append([name, int(flat.removesuffix("ns")), int(cum.removesuffix("ns"))])
    return sorted(rows, key=lambda row: (-row[2], row[0]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("set", help="files without their endings")
    parser.add_argument("--runs", type=int, default=5, help="how often each question is asked after its first time")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--limit", type=int, default=120, help="seconds for one contender and one question")
    parser.add_argument("--only", help="contenders, such as flamesql,DuckDB; all of them without this")
    parser.add_argument("--questions", default=",".join(QUESTIONS))
    parser.add_argument("--places", default=",".join(PLACES), help="where the peers have the samples")
    parser.add_argument("--function", default="pkg3/mod7.(*Type47).Method100", help="for the question 'function'")
    parser.add_argument("--warm", default="target/release/examples/warm", help="our example as it was built")
    parser.add_argument("--flamesql", help="the program flamesql, to be asked cold as well")
    parser.add_argument("--pprof", action="store_true", help="ask `go tool pprof -top` as well, which is slow")
    parser.add_argument("--json", help="also write all times, in ms, to this file")
    args = parser.parse_args()
    # All processes inherit this.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.threads])
    # A process begins with the size of the one that starts it, so this one has to stay small.
    listed = subprocess.run([sys.executable, __file__, "--names", args.set], stdout=subprocess.PIPE, check=True)
    names = dict(json.loads(listed.stdout))
    function_id = next(function for function, name in names.items() if name == args.function)
    questions = args.questions.split(",")
    only = args.only.split(",") if args.only else ["flamesql", *PEERS]
    ours = {
        question: sql.replace("{type}", f"'{TYPE}'").replace("{name}", f"'{args.function}'")
        for question, sql in statements("flamesql").items()
    }
    contenders = [("flamesql", "memory")] if "flamesql" in only else []
    contenders += [(peer, place) for place in args.places.split(",") for peer in PEERS if peer in only]

    known, times, cells, sizes = {}, {}, {}, {}

    def compare(who, question, rows):
        rows = normal(question, rows, names)
        first, expected = known.setdefault(question, (who, rows))
        if not is_equal(expected, rows):
            sys.exit(f"{question}: {first} and {who} differ\n{expected}\n{rows}")

    for who in contenders:
        for question in questions:
            if who[0] == "flamesql":
                command = [args.warm, f"{args.set}.pb.gz", str(args.runs), ours[question]]
            else:
                command = [sys.executable, __file__, "--work", args.set, "/".join(who), question, str(function_id),
                           str(args.runs), str(args.threads), str(args.limit)]
            run = Run(command, args.limit).read_lines()
            print(*who, question, [round(ms, 1) for ms in run.times], f"{run.megabytes:.0f} MB", file=sys.stderr)
            sizes[who] = max(sizes.get(who, 0), run.megabytes)
            times["/".join([*who, question])] = run.times
            if run.answer is not None:
                compare(" ".join(who), question, run.answer)
            if len(run.times) > 1:
                warm = run.times[1:]
                cells[who, question] = f"{min(warm):.1f} ({statistics.median(warm):.1f})"
            elif run.times:
                cells[who, question] = f"{run.times[0]:.0f} once"
            else:
                cells[who, question] = f"not in {args.limit} s"

    print(f"| {Path(args.set).name}, ms: best (median) of {args.runs} | " + " | ".join(questions) + " | peak MB |")
    print("|---|" + "---:|" * (len(questions) + 1))
    for who in contenders:
        row = [cells[who, question] for question in questions]
        print(f"| {who[0]}, {who[1]} | " + " | ".join(row) + f" | {sizes[who]:.0f} |")

    cold = []
    if args.flamesql:
        for question in questions:
            command = [args.flamesql, "query", f"{args.set}.pb.gz", ours[question], "--format", "json", "-q"]
            run = Run(command, args.limit)
            if not run.is_late:
                compare("flamesql query", question, json.loads("".join(run.text)))
            cold.append((f"`flamesql query`, {question}", run))
    if args.pprof:
        command = ["go", "tool", "pprof", "-top", "-cum", "-nodecount=20", "-nodefraction=0", "-edgefraction=0",
                   "-symbolize=none", "-unit=nanoseconds", "-sample_index=cpu", f"{args.set}.pb.gz"]
        run = Run(command, 600)
        if not run.is_late:
            compare("pprof", "total", pprof_top("".join(run.text)))
        cold.append(("`go tool pprof -top -cum`, total", run))
    if cold:
        print("\n| a whole process, from the file | s | peak MB |\n|---|---:|---:|")
    for what, run in cold:
        print(f"| {what} | {'not in ' if run.is_late else ''}{run.seconds:.2f} | {run.megabytes:.0f} |")
        times[what] = [run.seconds * 1000]
    if args.json:
        Path(args.json).write_text(json.dumps(times, indent=1), encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        work(sys.argv[2:])
    elif sys.argv[1:2] == ["--names"]:
        list_names(sys.argv[2])
    else:
        main()
