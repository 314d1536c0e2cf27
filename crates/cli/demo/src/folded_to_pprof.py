"""Writes a pprof profile from py-spy's folded text: python folded_to_pprof.py IN.folded OUT.pb.gz TIME_NANOS PERIOD_NANOS"""
import gzip
import re
import sys


def varint(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes(out + bytes([n]))


def num(field, n):
    return varint(field << 3) + varint(n)


def sub(field, data):
    return varint(field << 3 | 2) + varint(len(data)) + data


def convert(text, time_nanos, period):
    strings, functions, locations, samples, total = {"": 0}, {}, {}, [], 0

    def string(s):
        return strings.setdefault(s, len(strings))

    def location(frame):
        name, file, line = re.fullmatch(r"(.*?)(?: \(([^()]*?)(?::(\d+))?\))?", frame).groups()
        function = functions.setdefault((string(name), string(file or "")), len(functions) + 1)
        return locations.setdefault((function, int(line or 0)), len(locations) + 1)

    types = [(string("samples"), string("count")), (string("cpu"), string("nanoseconds"))]
    for row in text.splitlines():
        stack, count = row.rsplit(" ", 1)
        ids = [location(frame) for frame in stack.split(";")][::-1]
        total += int(count)
        values = varint(int(count)) + varint(int(count) * period)
        samples.append(sub(1, b"".join(map(varint, ids))) + sub(2, values))
    out = b"".join(sub(1, num(1, t) + num(2, u)) for t, u in types) + b"".join(sub(2, s) for s in samples)
    out += b"".join(sub(4, num(1, i) + sub(4, num(1, f) + num(2, line))) for (f, line), i in locations.items())
    out += b"".join(sub(5, num(1, i) + num(2, n) + num(3, n) + num(4, f)) for (n, f), i in functions.items())
    out += b"".join(sub(6, s.encode()) for s in strings)
    return out + num(9, time_nanos) + num(10, total * period) + sub(11, num(1, types[1][0]) + num(2, types[1][1])) + num(12, period)


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as source, open(sys.argv[2], "wb") as out:
        out.write(gzip.compress(convert(source.read(), int(sys.argv[3]), int(sys.argv[4])), 9, mtime=0))
