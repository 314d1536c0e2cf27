// Reads frames as others do: JSON by Grafana's own package, Arrow files by Arrow's. Prints a line of JSON for each file.
//
//     NODE_PATH=.../node_modules node read.cjs FILE.json FILE.arrow ...
//
// What JSON has no number for is printed as text: NaN, infinities, integers beyond 2^53. Times are nanoseconds since the epoch,
// enumerations the text that is meant.
'use strict';

const fs = require('node:fs');
const arrow = require('apache-arrow');
const grafana = require('@grafana/data');

const MILLI = 1_000_000n;

function number(value) {
  if (typeof value === 'bigint') {
    return Number.isSafeInteger(Number(value)) ? Number(value) : value.toString();
  }
  return Number.isFinite(value) && !Object.is(value, -0) ? value : Object.is(value, -0) ? '-0' : String(value);
}

function enumeration(config, index) {
  const text = config.type.enum.text[index];
  if (text === undefined) {
    throw new Error(`there is no text ${index}`);
  }
  return text;
}

/** A value as Grafana has it, behind its milliseconds. */
function ofGrafana(field, row) {
  const value = field.values[row];
  if (value === null) {
    return null;
  }
  switch (field.type) {
    case 'time':
      return number(BigInt(value) * MILLI + BigInt(field.nanos?.[row] ?? 0));
    case 'enum':
      return enumeration(field.config, value);
    case 'number':
      return number(value);
    default:
      return value;
  }
}

function grafanaFrame(frame) {
  const { name, refId, meta, length } = frame;
  const fields = frame.fields.map((field) => {
    if (field.values.length !== length) {
      throw new Error(`field ${field.name} has ${field.values.length} of ${length} values`);
    }
    const { name, type, labels, config } = field;
    const values = Array.from({ length }, (_, row) => ofGrafana(field, row));
    return { name, type, labels, config, values };
  });
  return { name, refId, meta, length, fields };
}

/** A value of an Arrow file, told by the type that Grafana's own reader goes by. */
function ofArrow(type, config, vector, row) {
  if (!vector.isValid(row)) {
    return null;
  }
  const value = vector.get(row);
  switch (type) {
    case 'time': {
      // The reader makes milliseconds of times; what is in the file are nanoseconds.
      const data = vector.data[0];
      return number(data.values[row]);
    }
    case 'enum':
      return enumeration(config, value);
    case 'other':
      return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(value));
    case 'number':
      return number(value);
    default:
      return value;
  }
}

function parsed(text) {
  return text === undefined ? undefined : JSON.parse(text);
}

function arrowFrame(table) {
  const of = table.schema.metadata;
  const fields = table.schema.fields.map((field, idx) => {
    const type = field.metadata.get('tstype');
    const labels = parsed(field.metadata.get('labels'));
    const config = parsed(field.metadata.get('config')) ?? {};
    const vector = table.getChildAt(idx);
    const values = Array.from({ length: table.numRows }, (_, row) => ofArrow(type, config, vector, row));
    return { name: field.name, type, labels, config, values };
  });
  return { name: of.get('name'), refId: of.get('refId'), meta: parsed(of.get('meta')), length: table.numRows, fields };
}

for (const file of process.argv.slice(2)) {
  const bytes = fs.readFileSync(file);
  let frame;
  if (file.endsWith('.json')) {
    const text = bytes.toString('utf8');
    frame = grafanaFrame(grafana.dataFrameFromJSON(JSON.parse(text)));
    const same = grafanaFrame(grafana.toDataFrame(JSON.parse(text)));
    if (JSON.stringify(frame) !== JSON.stringify(same)) {
      throw new Error(`${file}: dataFrameFromJSON and toDataFrame disagree`);
    }
  } else {
    frame = arrowFrame(arrow.tableFromIPC(bytes));
  }
  process.stdout.write(JSON.stringify(frame) + '\n');
}
