"""Reads frames with pyarrow. Prints a line of JSON for each file, as read.cjs does.

    python3 read.py FILE.arrow ...
"""

import json
import math
import sys

import pyarrow as pa


def said(kind, config, value):
    if value is None:
        return None
    if kind == "enum":
        return config["type"]["enum"]["text"][value]
    if kind == "other":
        return json.loads(value)
    if isinstance(value, float) and math.isnan(value):
        return "NaN"
    if isinstance(value, float) and math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value


def frame(table):
    fields = []
    for field, column in zip(table.schema, table.columns):
        kind = field.metadata[b"tstype"].decode()
        labels = field.metadata.get(b"labels")
        config = json.loads(field.metadata.get(b"config", b"{}"))
        if kind == "time":
            assert field.type == pa.timestamp("ns"), field.type
            column = column.cast(pa.int64())
        values = [said(kind, config, value) for value in column.to_pylist()]
        told = {"name": field.name, "type": kind, "config": config, "values": values}
        if labels is not None:
            told["labels"] = json.loads(labels)
        fields.append(told)
    of = table.schema.metadata
    told = {"name": of[b"name"].decode(), "refId": of[b"refId"].decode(), "length": len(table), "fields": fields}
    if b"meta" in of:
        told["meta"] = json.loads(of[b"meta"])
    return told


for path in sys.argv[1:]:
    reader = pa.ipc.open_file(path)
    assert reader.num_record_batches == 1, reader.num_record_batches
    table = reader.read_all()
    table.validate(full=True)
    print(json.dumps(frame(table)))
