"""Asks `go tool pprof` what is left of a profile: python3 make.py (in this folder) writes all *.tsv anew."""
import re
import subprocess

PROFILES = "../../../profile/tests/golden"
UNITS = {"nanoseconds": "ns", "count": "", "bytes": "B"}
# Profile, sample type and its unit, and the options in pprof's own order.
CASES = [
    ("go-cpu.pb.gz", "samples", "count", [("focus", r"^encoding/json\.")]),
    ("go-cpu.pb.gz", "samples", "count", [("ignore", r"^runtime\.|sha256")]),
    ("go-cpu.pb.gz", "cpu", "nanoseconds", [("hide", r"^runtime\.|\.func\d+$")]),
    ("go-cpu.pb.gz", "samples", "count", [("show_from", r"(?i)SIGNRECEIPT|^regexp\.")]),
    ("go-cpu.pb.gz", "samples", "count", [("focus", r"json"), ("ignore", r"memmove"), ("hide", r"^encoding/json\.\(")]),
    ("python.pb.gz", "samples", "count", [("focus", r"^similarity$|walk_.*<lambda>")]),
    ("python.pb.gz", "samples", "count", [("hide", r"^walk_tree$|^main$|^similarity$")]),
    ("python.pb.gz", "samples", "count", [("show_from", r"walk_tree|Random\.")]),
    ("node.pb.gz", "wall", "nanoseconds", [("ignore", r"\((idle|program)\)|Garbage")]),
    ("node.pb.gz", "wall", "nanoseconds", [("hide", r"anonymous:L#\d{2}\b|^\(")]),
    ("node.pb.gz", "sample", "count", [("hide", r"anonymous"), ("show_from", r"^search$|^tokenize$")]),
    ("java.pb.gz", "cpu", "nanoseconds", [("focus", r"<init>|<clinit>")]),
    ("java.pb.gz", "cpu", "nanoseconds", [("hide", r"^java/|Lambda\$")]),
    ("java.pb.gz", "cpu", "nanoseconds", [("show_from", r"OrderService")]),
    ("inlined.pb.gz", "samples", "count", [("hide", r"middle|leaf")]),
    ("inlined.pb.gz", "samples", "count", [("focus", r"help")]),
    ("inlined.pb.gz", "samples", "count", [("ignore", r"help")]),
    ("recursion.pb", "samples", "count", [("hide", r"^(even|main)$")]),
    ("recursion.pb", "samples", "count", [("show_from", r"odd|even")]),
    ("recursion.pb", "samples", "count", [("focus", r"^nothing$")]),
]


def top(profile, kind, unit, options):
    command = ["go", "tool", "pprof", "-top", "-symbolize=none", "-nodecount=0", "-nodefraction=0", "-edgefraction=0",
               "-trim=false", f"-unit={unit}", f"-sample_index={kind}"]
    command += [f"-{option}={regex}" for option, regex in options]
    out = subprocess.run([*command, f"{PROFILES}/{profile}"], capture_output=True, text=True, check=True).stdout
    rows = []
    for line in out[out.index("flat%"):].splitlines()[1:]:
        flat, _, _, cum, _, name = re.match(r"\s*(\S+)\s+(\S+)\s+(\S+)\s+(\S+)\s+(\S+)\s+(.*)", line).groups()
        name = re.sub(r" \((partial-)?inline\)$", "", name)
        flat, cum = (int(re.fullmatch(rf"(-?\d+)({UNITS[unit]})?", text).group(1)) for text in (flat, cum))
        rows.append((-flat, -cum, name))
    return [(name, -flat, -cum) for flat, cum, name in sorted(rows)]


if __name__ == "__main__":
    for number, (profile, kind, unit, options) in enumerate(CASES, 1):
        name = f"{number:02}-{profile.split('.')[0]}-{'-'.join(option for option, _ in options)}.tsv"
        with open(name, "w", encoding="utf-8") as file:
            file.write("\n".join(["\t".join(["profile", profile]), "\t".join(["type", kind, unit])]) + "\n")
            for option, regex in options:
                file.write(f"{option}\t{regex}\n")
            file.write("function\tflat\tcum\n")
            for row in top(profile, kind, unit, options):
                file.write("\t".join(map(str, row)) + "\n")
