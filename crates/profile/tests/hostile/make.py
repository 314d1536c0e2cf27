"""Writes the hostile files: python3 make.py (in the folder hostile). The encoder is the one of the golden files."""
import gzip
import random
import sys

sys.path.insert(0, "../golden/make")
sys.dont_write_bytecode = True
from pb import Profile, num, packed, save, sub, varint  # noqa: E402


def good():
    p = Profile("samples/count", "cpu/nanoseconds")
    p.mapping(1, "/app/shop")
    for text, n in [("main;serve;price", 4), ("main;serve;price;sort", 9), ("main;serve", 1), ("main;gc", 6)]:
        p.stack(text, n, n * 10_000_000)
    p.times(1794301200_000000000, 1_000_000_000, "cpu/nanoseconds", 10_000_000)
    return p


def write(name, data):
    with open(name, "wb") as out:
        out.write(data)


def pack(data):
    return gzip.compress(data, 9, mtime=0)


whole = good().bytes()
noise = random.Random(7)

# Not a profile at all.
write("empty.pb.gz", b"")
write("empty-in-gzip.pb.gz", pack(b""))
write("text.pb.gz", b"main;serve;price 4\nmain;serve 1\n")
write("text-in-gzip.pb.gz", pack(b"this is text, not a profile\n"))
write("garbage-in-gzip.pb.gz", pack(noise.randbytes(600)))
write("header-only.pb.gz", pack(whole)[:10])
write("one-byte.pb.gz", b"\x1f")

# gzip.
write("truncated.pb.gz", pack(whole)[:-60])
write("truncated-trailer.pb.gz", pack(whole)[:-5])
write("bad-checksum.pb.gz", pack(whole)[:-8] + b"\1\2\3\4" + pack(whole)[-4:])
write("bad-deflate.pb.gz", pack(whole)[:40] + b"\xff" * 20 + pack(whole)[60:])
write("trailing-garbage.pb.gz", pack(whole) + b"garbage after the end")
write("bomb-zeros.pb.gz", pack(bytes(32 << 20)))
write("bomb-samples.pb.gz", pack(whole + sub(2, packed(1, [3]) + packed(2, [1, 1])) * (2 << 20)))
write("bomb-string.pb.gz", pack(whole + sub(6, b"A" * (32 << 20))))
write("gzip-twice.pb.gz", pack(pack(whole)))

# protobuf.
for name, tail in {
    "truncated-message": whole[:-40],
    "length-beyond-end": whole + varint(2 << 3 | 2) + varint(5000) + b"abc",
    "length-huge": whole + varint(2 << 3 | 2) + varint((1 << 63) - 1) + b"abc",
    "length-negative": whole + varint(2 << 3 | 2) + varint((1 << 64) - 2) + b"abc",
    "inner-length-beyond-end": whole + sub(2, varint(1 << 3 | 2) + varint(90) + b"\1"),
    "packed-cut": whole + sub(2, sub(1, b"\1\x80") + packed(2, [1, 1])),
    "varint-11-bytes": whole + varint(12 << 3) + b"\xff" * 10 + b"\x01",
    "varint-above-64-bits": whole + varint(12 << 3) + b"\xff" * 9 + b"\x7f",
    "varint-endless": whole + varint(12 << 3) + b"\x80" * 40,
    "wire-type-group": whole + varint(15 << 3 | 3) + num(1, 5) + varint(15 << 3 | 4),
    "wire-type-7": whole + varint(15 << 3 | 7) + b"\1",
    "wire-type-of-known-field": whole + num(2, 7),
    "string-as-number": whole + num(6, 7),
    "field-number-0": whole + varint(0 << 3) + b"\1",
    "concatenated": whole + whole,
    "cut-fixed64": whole + varint(15 << 3 | 1) + b"1234",
}.items():
    write(name + ".pb.gz", pack(tail))


def variant(name, change):
    p = good()
    change(p)
    save(name + ".pb.gz", p.bytes())


# What the messages say.
def bad_utf8(p):
    p.strings = {(b"pri\xffce\xc3" if text == "price" else text): n for text, n in p.strings.items()}


def first_string(p):
    p.strings = {("not empty" if text == "" else text): n for text, n in p.strings.items()}


variant("string-index-function", lambda p: p.sections[5].append(sub(5, num(1, 9) + num(2, 4000))))
variant("string-index-negative", lambda p: p.sections[5].append(sub(5, num(1, 9) + num(2, -3))))
variant("string-index-type", lambda p: p.sections[1].__setitem__(0, sub(1, num(1, 999) + num(2, 999))))
variant("string-index-label", lambda p: p.sample([1], [1, 1], sub(3, num(1, 777) + num(2, 778))))
variant("string-index-period", lambda p: setattr(p, "tail", p.tail + sub(11, num(1, 555))))
variant("string-table-missing", lambda p: p.strings.clear())
variant("string-0-not-empty", first_string)
variant("name-invalid-utf8", bad_utf8)
variant("name-with-tab-newline-nul", lambda p: p.stack("main;a\tb\nc\0d\x1b[31m", 3, 30_000_000))
variant("values-too-few", lambda p: p.sample([1], [5]))
variant("values-too-many", lambda p: p.sample([1], [5, 50, 500]))
variant("values-none", lambda p: p.sample([1], []))
variant("sample-empty", lambda p: p.sections[2].append(sub(2, b"")))
variant("sample-without-location", lambda p: p.sample([], [5, 50_000_000]))
variant("sample-type-missing", lambda p: p.sections[1].clear())
variant("sample-type-twice", lambda p: p.sections[1].__setitem__(1, p.sections[1][0]))
variant("samples-missing", lambda p: p.sections[2].clear())
variant("types-only", lambda p: [p.sections[n].clear() for n in (2, 3, 4, 5)])
variant("location-id-0-in-sample", lambda p: p.sample([0, 1], [5, 50_000_000]))
variant("location-unknown", lambda p: p.sample([4711, 1], [5, 50_000_000]))
variant("location-id-0-defined", lambda p: p.location(0, 1))
variant("location-twice", lambda p: p.location(3, 1))
variant("location-twice-equal", lambda p: p.location(3, 3))
variant("location-without-id", lambda p: p.sections[4].append(sub(4, num(3, 0x1000))))
variant("function-unknown", lambda p: (p.location(50, 4711), p.sample([50, 1], [5, 50_000_000])))
variant("function-id-0-in-line", lambda p: (p.location(50, 0, address=0x1234, mapping=1), p.sample([50, 1], [5, 50_000_000])))
variant("function-id-0-defined", lambda p: p.function(0, "zero"))
variant("function-twice", lambda p: p.function(3, "other"))
variant("mapping-twice", lambda p: p.mapping(1, "/app/other"))
variant("mapping-id-0-defined", lambda p: p.mapping(0, "/app/zero"))
variant("mapping-unknown", lambda p: (p.location(50, mapping=9, address=0x1234), p.sample([50, 1], [5, 50_000_000])))
variant("sum-overflow", lambda p: [p.stack("main;huge", (1 << 63) - 1, (1 << 63) - 1) for _ in range(3)])
variant("time-negative", lambda p: setattr(p, "tail", num(9, -5) + num(10, -7) + num(12, -1)))
variant("time-huge", lambda p: setattr(p, "tail", num(9, (1 << 63) - 1) + num(10, (1 << 63) - 1)))
variant("period-0", lambda p: setattr(p, "tail", num(9, 1794301200_000000000) + sub(11, p.value_type("cpu/nanoseconds")) + num(12, 0)))
variant("default-type-unknown", lambda p: setattr(p, "tail", p.tail + num(14, p.s("nothing"))))
variant("default-type-index", lambda p: setattr(p, "tail", p.tail + num(14, 9999)))
variant("deep-stack", lambda p: p.sample([2, 3] * 20_000 + [1], [1, 10_000_000]))
variant("many-types", lambda p: [p.sections[1].append(p.sections[1][0]) for _ in range(3000)])
