// catalog: a small product search, recorded with @datadog/pprof (wall and CPU time, heap).
//   npm i @datadog/pprof && node catalog.js OUT_DIR
'use strict';
const fs = require('fs');
const path = require('path');
const pprof = require('@datadog/pprof');
const out = process.argv[2] || '.';

const words = ['blue', 'red', 'steel', 'oak', 'chair', 'table', 'lamp', 'desk', 'small', 'large', 'round', 'classic'];
const pick = (n) => words[n % words.length];
const products = Array.from({ length: 3000 }, (_, i) => ({
  id: i, title: `${pick(i)} ${pick(i * 7 + 3)} ${pick(i * 5 + 1)}`, cents: (i * 7919) % 50000,
  text: Array.from({ length: 12 }, (_, k) => pick(i * 3 + k * k)).join(' '),
}));
const recent = [];

function tokenize(text) {
  return text.toLowerCase().split(/[^a-z]+/).filter((t) => t.length > 2);
}

function scoreProduct(product, terms) {
  let score = 0;
  for (const token of tokenize(product.text)) {
    for (const term of terms) if (token.startsWith(term)) score += 1;
  }
  return score;
}

function rankProducts(terms) {
  const hits = products.map((p) => ({ p, score: scoreProduct(p, terms) })).filter((h) => h.score > 0);
  return hits.sort((a, b) => b.score - a.score || a.p.cents - b.p.cents).slice(0, 200);
}

function renderPage(hits) {
  return JSON.stringify(hits.map((h) => ({ ...h.p, price: (h.p.cents / 100).toFixed(2), score: h.score })));
}

function search(n) {
  pprof.time.setContext({ route: n % 3 ? '/search' : '/suggest' });
  const page = renderPage(rankProducts([pick(n), pick(n * 3 + 1)]));
  recent.push({ n, page: page + n, at: new Date().toISOString().split('T') });
  if (recent.length > 40) recent.shift();
}

function refreshPrices() {
  pprof.time.setContext({ route: '/admin/refresh' });
  for (const p of products) p.cents = Math.round((p.cents * 31 + 17) % 50000);
  products.sort((a, b) => b.text.localeCompare(a.text) || a.id - b.id);
}

async function main() {
  pprof.heap.start(16 * 1024, 32);
  pprof.time.start({ intervalMicros: 10000, withContexts: true, collectCpuTime: true });
  const end = Date.now() + 6000;
  for (let n = 0; Date.now() < end; n++) {
    search(n);
    refreshPrices();
    pprof.time.setContext(undefined);
    await new Promise((done) => setTimeout(done, 4));
  }
  const cpu = pprof.time.stop(false, ({ context }) => (context && context.context) || {});
  const heap = pprof.heap.profile();
  fs.writeFileSync(path.join(out, '000-cpu.pb.gz'), pprof.encodeSync(cpu));
  fs.writeFileSync(path.join(out, '000-heap.pb.gz'), pprof.encodeSync(heap));
  pprof.heap.stop();
}
main();
