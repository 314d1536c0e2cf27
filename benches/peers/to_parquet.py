"""Makes Parquet of the rows that gen_pprof writes: to_parquet.py SET, for SET.rows.

SET.parquet has a row for each sample: stack (list of function ids, leaf first), value, thread. SET.functions.parquet
has id and name. benches/src/rows.rs says what the bytes of SET.rows are.
"""
import sys

import numpy
import pyarrow
from pyarrow import parquet

MAGIC = b"FLAMEROW"
# Peers read row groups side by side; DuckDB's own size gives each of a few threads several of them.
ROW_GROUP = 122_880


def required(**columns):
    """A table whose columns cannot be NULL, which spares the peers a question a value."""
    fields = [pyarrow.field(name, column.type, nullable=False) for name, column in columns.items()]
    return pyarrow.table(list(columns.values()), schema=pyarrow.schema(fields))


def read(path):
    """The tables of samples and of functions."""
    whole = pyarrow.py_buffer(pyarrow.memory_map(path).read_buffer())
    if whole[:8].to_pybytes() != MAGIC:
        raise SystemExit(f"{path} does not begin with {MAGIC.decode()}")
    n_samples, n_frames, n_threads, n_functions = (int(n) for n in numpy.frombuffer(whole[8:40], "<u8"))
    at = 40

    def take(n, width):
        nonlocal at
        at += n * width
        return whole[at - n * width : at]

    def column(kind, n, width):
        return pyarrow.Array.from_buffers(kind, n, [None, take(n, width)])

    value = column(pyarrow.int64(), n_samples, 8)
    thread = column(pyarrow.int32(), n_samples, 4)
    starts = take(n_samples + 1, 4)
    frames = column(pyarrow.int32(), n_frames, 4)
    kind = pyarrow.list_(pyarrow.field("item", pyarrow.int32(), nullable=False))
    stack = pyarrow.Array.from_buffers(kind, n_samples, [None, starts], children=[frames])
    stack.validate(full=True)
    texts = whole[at:].to_pybytes().decode().splitlines()
    if len(texts) != n_threads + n_functions:
        raise SystemExit(f"{path} has {len(texts)} texts, not {n_threads} and {n_functions}")
    thread = pyarrow.DictionaryArray.from_arrays(thread, pyarrow.array(texts[:n_threads]))
    samples = required(stack=stack, value=value, thread=thread)
    ids = pyarrow.array(range(n_functions), pyarrow.int32())
    return samples, required(id=ids, name=pyarrow.array(texts[n_threads:]))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    name = sys.argv[1]
    samples, functions = read(f"{name}.rows")
    parquet.write_table(samples, f"{name}.parquet", compression="zstd", row_group_size=ROW_GROUP)
    parquet.write_table(functions, f"{name}.functions.parquet", compression="zstd")
    print(f"{name}.parquet: {samples.num_rows} samples, {functions.num_rows} functions")
