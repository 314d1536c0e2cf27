"""Compares the *.tsv with `go tool pprof`: python3 make/cross_check.py (in the folder golden). Prints what differs."""
import glob
import os
import re
import subprocess

UNITS = {"nanoseconds": "ns", "bytes": "B"}


def pprof_top(file, kind, unit):
    out = subprocess.run(
        ["go", "tool", "pprof", "-top", "-symbolize=none", "-nodecount=0", "-nodefraction=0", "-edgefraction=0",
         "-trim=false", f"-unit={unit}", f"-sample_index={kind}", file], capture_output=True, text=True, check=True).stdout
    rows = {}
    for line in out[out.index("flat%"):].splitlines()[1:]:
        flat, _, _, cum, _, name = re.match(r"\s*(\S+)\s+(\S+)\s+(\S+)\s+(\S+)\s+(\S+)\s+(.*)", line).groups()
        name = re.sub(r" \((partial-)?inline\)$", "", name)
        number = [re.fullmatch(r"(-?[\d.]+)(\D*)", text) for text in (flat, cum)]
        assert all(n.group(2) in ("", UNITS.get(unit, ""), unit) for n in number), line
        rows[name] = tuple(n.group(1) for n in number)
    return rows


for file in sorted(glob.glob("*.pb") + glob.glob("*.pb.gz")):
    units = dict(re.findall(r"(\S+)/(\S+)", subprocess.run(
        ["go", "tool", "pprof", "-raw", "-symbolize=none", file], capture_output=True, text=True, check=True
    ).stdout.split("Samples:\n")[1].split("\n")[0].replace("[dflt]", "")))
    ours = {}
    for line in open(file.split(".pb")[0] + ".tsv", encoding="utf-8"):
        if not line.startswith("#"):
            kind, own, total, name = line.rstrip("\n").split("\t")
            ours.setdefault(kind, {})[name] = (own, total)
    if os.path.exists(addresses := file.split(".pb")[0] + ".addr.tsv"):  # pprof merges these by mapping
        for line in open(addresses, encoding="utf-8"):
            if not line.startswith("#"):
                kind, own, total, name, merged = line.rstrip("\n").split("\t")
                rows = [ours[kind].pop(part) for part in merged.split(" ")]
                assert sum(int(row[0]) for row in rows) == int(own), line
                ours[kind][name] = (own, total)
    exact = off = 0
    for kind, unit in units.items():
        theirs, mine = pprof_top(file, kind, unit), ours.get(kind, {})
        for name in sorted(theirs.keys() | mine.keys()):
            if theirs.get(name) == mine.get(name):
                exact += 1
            else:
                off += 1
                print(f"  {file} {kind} {name!r}: pprof {theirs.get(name)}, tsv {mine.get(name)}")
    print(f"{file}: {exact} rows equal, {off} differ")
