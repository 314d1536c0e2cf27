"""A small pprof encoder which can also write the unusual: any order of sections, any ids, unpacked fields."""
import gzip


def varint(n):
    n &= (1 << 64) - 1
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes(out + bytes([n]))


def num(field, n):
    return varint(field << 3) + varint(n)


def sub(field, data):
    return varint(field << 3 | 2) + varint(len(data)) + data


def packed(field, numbers):
    return sub(field, b"".join(map(varint, numbers)))


def unpacked(field, numbers):
    return b"".join(num(field, n) for n in numbers)


class Profile:
    """Sections by field number: 1 sample_type, 2 sample, 3 mapping, 4 location, 5 function, 6 string_table."""

    def __init__(self, *types):
        self.strings, self.names = {"": 0}, {}
        self.sections = {n: [] for n in range(1, 7)}
        self.tail = b""
        for t in types:
            self.sections[1].append(sub(1, self.value_type(t)))

    def s(self, text):
        return self.strings.setdefault(text, len(self.strings))

    def value_type(self, text):
        kind, unit = text.split("/")
        return num(1, self.s(kind)) + num(2, self.s(unit))

    def mapping(self, id, file="", start=0x400000, limit=0x500000):
        self.sections[3].append(sub(3, num(1, id) + num(2, start) + num(3, limit) + num(5, self.s(file))))

    def function(self, id, name, system="", file=""):
        self.sections[5].append(sub(5, num(1, id) + num(2, self.s(name)) + num(3, self.s(system)) + num(4, self.s(file))))

    def location(self, id, *functions, mapping=0, address=0, line=0):
        lines = b"".join(sub(4, num(1, f) + (num(2, line) if line else b"")) for f in functions)
        head = num(1, id) + (num(2, mapping) if mapping else b"") + (num(3, address) if address else b"")
        self.sections[4].append(sub(4, head + lines))

    def frame(self, name, file=""):
        """The id of a location for this function name, made when first asked for."""
        if name not in self.names:
            self.names[name] = id = len(self.names) + 1
            self.function(id, name, name, file)
            self.location(id, id)
        return self.names[name]

    def label(self, key, text=None, number=None, unit=None):
        out = num(1, self.s(key))
        out += num(2, self.s(text)) if text is not None else b""
        out += num(3, number) if number is not None else b""
        return sub(3, out + (num(4, self.s(unit)) if unit else b""))

    def sample(self, stack, values, labels=b"", ids=packed, vals=packed):
        self.sections[2].append(sub(2, ids(1, stack) + vals(2, values) + labels))

    def stack(self, text, *values, labels=b""):
        """A stack as folded text: the root first."""
        self.sample([self.frame(name) for name in text.split(";")][::-1], values, labels)

    def times(self, time=0, duration=0, period_type=None, period=0):
        self.tail += (num(9, time) if time else b"") + (num(10, duration) if duration else b"")
        if period_type is not None:
            self.tail += sub(11, self.value_type(period_type) if period_type else b"")
        self.tail += num(12, period) if period else b""

    def bytes(self, order=(1, 2, 3, 4, 5, 6)):
        self.sections[6] = [sub(6, text.encode() if isinstance(text, str) else text) for text in self.strings]
        body = [b"".join(self.sections[n]) for n in order]
        return b"".join(body) + self.tail


def save(path, data, members=1):
    if path.endswith(".gz"):
        size = -(-len(data) // members)
        data = b"".join(gzip.compress(data[i * size:(i + 1) * size], 9, mtime=0) for i in range(members))
    with open(path, "wb") as out:
        out.write(data)
