"""Takes paths of the recording machine out of a profile and leaves every other byte of it as recorded.

    python3 clean_strings.py IN(.gz) OUT.pb.gz

Only entries of the string table which hold an absolute path are written anew.
"""
import gzip
import re
import sys


def read_varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def varint(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes(out + bytes([n]))


def clean(text):
    if not re.match(r"/(tmp|root|work|home)/", text):
        return text
    kept = re.search(r"(node_modules/|registry/src/[^/]*/|src/main\.rs$)", text)
    return text[kept.start():].split("registry/src/")[-1] if kept else text.rsplit("/", 1)[1]


with open(sys.argv[1], "rb") as source:
    data = source.read()
if data[:2] == b"\x1f\x8b":
    data = gzip.decompress(data)
out, at = bytearray(), 0
while at < len(data):
    start = at
    tag, at = read_varint(data, at)
    if tag & 7 == 2:
        size, at = read_varint(data, at)
        at += size
        if tag >> 3 == 6:
            text = clean(data[at - size:at].decode()).encode()
            out += varint(tag) + varint(len(text)) + text
            continue
    else:
        assert tag & 7 == 0, "unexpected wire type"
        _, at = read_varint(data, at)
    out += data[start:at]
with open(sys.argv[2], "wb") as target:
    target.write(gzip.compress(bytes(out), 9, mtime=0))
