"""Asks `go tool pprof` who calls a function and whom it calls: python3 peek.py (in this folder) writes peek/*.tsv anew."""
import re
import subprocess

from make import PROFILES, UNITS

# Profile, sample type and its unit, and functions, of which each is peeked at by itself.
CASES = [
    ("go-cpu.pb.gz", "samples", "count", ["runtime.mallocgc", "main.handleCheckout", "main.serve.func1", "regexp.compile"]),
    ("go-cpu.pb.gz", "cpu", "nanoseconds", ["crypto/internal/fips140/sha256.(*Digest).Write"]),
    ("go-heap.pb.gz", "alloc_space", "bytes", ["main.priceOrder", "regexp.compile", "regexp/syntax.(*compiler).inst"]),
    ("python.pb.gz", "samples", "count", ["walk_tree", "find_similar_days", "main"]),
    ("node.pb.gz", "wall", "nanoseconds", ["tokenize", "search", "rankProducts"]),
    ("java.pb.gz", "cpu", "nanoseconds", ["java/lang/Thread.run", "com/example/shop/Cart.<init>"]),
    ("inlined.pb.gz", "samples", "count", ["middle", "leaf", "main"]),
    ("recursion.pb", "samples", "count", ["even", "odd", "fib", "main"]),
]


def peek(profile, kind, unit, function):
    command = ["go", "tool", "pprof", f"-peek=^{re.escape(function)}$", "-symbolize=none", "-nodecount=0", "-nodefraction=0",
               "-edgefraction=0", "-trim=false", f"-unit={unit}", f"-sample_index={kind}", f"{PROFILES}/{profile}"]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows, side = [], "caller"
    for line in out[out.index("calls%"):].splitlines()[2:]:
        if line.startswith("---"):
            break
        numbers, name = line.split(" | ", 1)
        name = re.sub(r" \((partial-)?inline\)$", "", name.strip())
        numbers = numbers.split()
        if len(numbers) > 2:
            assert name == function, line
            side = "callee"
            continue
        value = int(re.fullmatch(rf"(-?\d+)({UNITS[unit]})?", numbers[0]).group(1))
        rows.append((side, -value, name))
    assert side == "callee", out
    return [(side, name, -value) for side, value, name in sorted(rows)]


if __name__ == "__main__":
    for profile, kind, unit, functions in CASES:
        with open(f"peek/{profile.split('.')[0]}-{kind}.tsv", "w", encoding="utf-8") as file:
            print("profile", profile, sep="\t", file=file)
            print("type", kind, unit, sep="\t", file=file)
            for function in functions:
                for side, name, value in peek(profile, kind, unit, function):
                    print(function, side, name, value, sep="\t", file=file)
