"""Writes diff/*.tsv, which are pprof's own numbers: python3 make/diff.py (in the folder golden)."""
import re
import subprocess

FILES = {"go-cpu": [("samples", "count"), ("cpu", "nanoseconds")],
         "go-heap": [("alloc_objects", "count"), ("alloc_space", "bytes"), ("inuse_objects", "count"), ("inuse_space", "bytes")]}

for name, types in FILES.items():
    with open(f"diff/{name}.tsv", "w", encoding="utf-8") as tsv:
        for kind, unit in types:
            out = subprocess.run(
                ["go", "tool", "pprof", "-top", "-symbolize=none", "-nodecount=0", "-nodefraction=0", "-edgefraction=0",
                 "-trim=false", f"-unit={unit}", f"-sample_index={kind}", f"-diff_base=diff/{name}.base.pb.gz", f"{name}.pb.gz"],
                capture_output=True, text=True, check=True).stdout
            for line in out[out.index("flat%"):].splitlines()[1:]:
                flat, _, _, cum, _, function = re.match(r"\s*(\S+)\s+(\S+)\s+(\S+)\s+(\S+)\s+(\S+)\s+(.*)", line).groups()
                function = re.sub(r" \((partial-)?inline\)$", "", function)
                numbers = [re.fullmatch(r"(-?\d+)(ns|B)?", text).group(1) for text in (flat, cum)]
                print(kind, *numbers, function, sep="\t", file=tsv)
