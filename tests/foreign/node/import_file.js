// Sends a record file to todoke with stock grpc-js, and ends with a receipt whose signature it has checked:
//
//   NODE_PATH=target/foreign/node/node_modules \
//     node tests/foreign/node/import_file.js DIR/endpoints.json municipality/131229 cards.csv
//
// The same way as the Python example, and shorter: no inclusion proofs, and one error instead of three. An
// upload that breaks, as it does when its relay dies, is opened again and goes on over another one. grpc-js
// does not read health, and a relay that was taken out answers UNAVAILABLE to whoever connects to it: so
// there is a client for each relay, and after UNAVAILABLE it is the next one's turn.
'use strict';

const crypto = require('crypto');
const fs = require('fs');
const path = require('path');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const FIELDS = ['order_id', 'kind', 'household_id', 'district', 'name', 'substitute_name', 'reading',
  'reading_source', 'birth_date', 'sex', 'address', 'delivery_address', 'individual_number', 'protected',
  'accommodations', 'glyph_profile'];
const CHUNK_RECORDS = Number(process.env.CHUNK_RECORDS || 256);
// Chunks on their way without an acknowledgement: what is sent before it would be lost with the relay.
const WINDOW = Number(process.env.WINDOW || 8);
// How often a call or an upload is tried: each is safe to try again, under its own batch id.
const TRIES = 10;

const sha256 = (...parts) => crypto.createHash('sha256').update(Buffer.concat(parts)).digest();
const byBytes = (a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b));

function canonical(record) {
  return Buffer.concat(FIELDS.map((field) => {
    const text = Buffer.from(record[field] || '');
    const length = Buffer.alloc(4);
    length.writeUInt32BE(text.length || 0xffffffff);
    return Buffer.concat([length, text]);
  }));
}

// The root of an RFC 6962 tree.
function root(hashes) {
  if (hashes.length < 2) return hashes[0] || sha256();
  let split = 1;
  while (split * 2 < hashes.length) split *= 2;
  return sha256(Buffer.from([1]), root(hashes.slice(0, split)), root(hashes.slice(split)));
}

function chunked(list) {
  const starts = [...Array(Math.ceil(list.length / CHUNK_RECORDS)).keys()].map((n) => n * CHUNK_RECORDS);
  return starts.map((start) => list.slice(start, start + CHUNK_RECORDS));
}

function framed(record) {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(record.length);
  return Buffer.concat([length, record]);
}

// CSV by RFC 4180: cells in quotes may hold commas, line breaks and doubled quotes.
function read(file) {
  const text = fs.readFileSync(file, 'utf8').replace(/^\ufeff/, '');
  const cell = /(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r?\n)/y;
  const rows = [[]];
  while (cell.lastIndex < text.length) {
    const found = cell.exec(text);
    if (!found) throw new Error(`row ${rows.length}: this is no CSV, or the file was cut`);
    rows[rows.length - 1].push(found[1] === undefined ? found[2] : found[1].replaceAll('""', '"'));
    if (found[3] !== ',') rows.push([]);
  }
  const [header, ...records] = rows.slice(0, -1);
  return records.map((row) => Object.fromEntries(header.map((name, column) => [name, row[column]])));
}

// The text that is signed; the order of its lines is part of it.
function manifest(records, encoded, merkleRoot, head) {
  const counts = (key) => {
    const found = new Map();
    records.forEach((record) => found.set(key(record), (found.get(key(record)) || 0) + 1));
    return found;
  };
  const kinds = counts((record) => record.kind);
  const districts = counts((record) => record.district);
  const homes = new Map([...districts.keys()].map((name) => [name, new Set()]));
  records.forEach((record) => homes.get(record.district).add(record.household_id));
  const keys = records.map((record) => sha256(Buffer.from(record.order_id)).subarray(0, 16).toString('hex'));
  const hashTotal = keys.reduce((sum, key) => BigInt.asUintN(128, sum + BigInt(`0x${key}`)), 0n);
  return Buffer.from([
    'todoke manifest v1', ...head, `chunk-records ${CHUNK_RECORDS}`,
    `seal-by ${new Date(Date.now() + 86400000).toISOString()}`,
    `records ${records.length}`, `bytes ${encoded.reduce((sum, one) => sum + one.length, 0)}`,
    `households ${[...homes.values()].reduce((sum, one) => sum + one.size, 0)}`,
    ...[...kinds.keys()].sort(byBytes).map((name) => `kind ${kinds.get(name)} ${name}`),
    ...[...districts.keys()].sort(byBytes)
      .map((name) => `district ${homes.get(name).size} ${districts.get(name)} ${name}`),
    `hash-total ${hashTotal.toString(16).padStart(32, '0')}`, `merkle-root ${merkleRoot.toString('hex')}`, '',
  ].join('\n'));
}

function uuid7() {
  const bytes = crypto.randomBytes(16);
  bytes.writeUIntBE(Date.now(), 0, 6);
  bytes[6] = (bytes[6] & 0x0f) | 0x70;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  return bytes.toString('hex').replace(/(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

// Returns the text of a C2SP signed note, or throws when `key` (NAME+ID+BASE64) did not sign it.
function openReceipt(note, key) {
  const [, name, , encoded] = key.trim().match(/^([^+]+)\+([^+]+)\+(.+)$/);
  const spki = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'),
    Buffer.from(encoded, 'base64').subarray(1)]);
  const publicKey = crypto.createPublicKey({ key: spki, format: 'der', type: 'spki' });
  const end = note.lastIndexOf('\n\n');
  const text = note.slice(0, end + 1);
  const line = note.slice(end + 2).split('\n').find((one) => one.startsWith(`\u2014 ${name} `));
  const signature = Buffer.from(line.split(' ')[2], 'base64').subarray(4);
  if (!crypto.verify(null, Buffer.from(text), publicKey, signature)) throw new Error('the receipt is forged');
  return text;
}

// All relays, beginning with any of them: so not all callers come to the first.
class Relays {
  constructor(clients) {
    this.clients = clients;
    this.turn = crypto.randomInt(clients.length);
  }

  get client() { return this.clients[this.turn]; }

  next() { this.turn = (this.turn + 1) % this.clients.length; }

  close() { this.clients.forEach((client) => client.close()); }
}

function connect(endpoints, folder, caller) {
  const proto = path.join(__dirname, '../../../proto');
  const how = { includeDirs: [proto], keepCase: true, defaults: true, longs: Number, enums: String };
  const loaded = loader.loadSync('todoke/v1/batch.proto', how);
  const files = endpoints.clients[caller];
  const load = (file) => fs.readFileSync(path.resolve(folder, file));
  const [ca, key, cert] = [endpoints.ca, files.key, files.cert].map(load);
  const credentials = grpc.credentials.createSsl(ca, key, cert);
  const Service = grpc.loadPackageDefinition(loaded).todoke.v1.BatchService;
  const clients = endpoints.relays.map((relay) => new Service(relay.address, credentials, {
    'grpc.ssl_target_name_override': endpoints.server_name,
    'grpc.default_authority': endpoints.server_name,
  }));
  const chain = cert.toString().match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g);
  return { relays: new Relays(clients), key, chain: chain.map((one) => new crypto.X509Certificate(one).raw) };
}

// Makes a call until it is answered, each time over another relay; only UNAVAILABLE is no answer. The waits
// grow, with jitter.
async function again(relays, call) {
  for (let tried = 1; ; tried += 1) {
    const { turn } = relays;
    try {
      return await call(relays.client);
    } catch (error) {
      if (error.code !== grpc.status.UNAVAILABLE || tried === TRIES) throw error;
      console.log(`tried ${tried} times: ${error.details}`);
      if (relays.turn === turn) relays.next(); // a call within this one has gone to the next already
      const wait = (0.5 + Math.random() / 2) * Math.min(2000, 100 * 2 ** tried);
      await new Promise((resolve) => { setTimeout(resolve, wait); });
    }
  }
}

// Sends every chunk that is not durable yet; returns how many records are missing after that.
function upload(client, deadline, { batch, uploader_epoch, durable_chunks }, roots, encoded) {
  const chunks = chunked(encoded);
  const sum = (ranges) => ranges.reduce((all, range) => all + range.last - range.first + 1, 0);
  const there = (number) => durable_chunks.some(({ first, last }) => first <= number && number <= last);
  const left = [...chunks.keys()].filter((number) => !there(number));
  console.log(`opened ${batch.batch_id}: ${encoded.length} records, ${chunks.length} chunks, `
    + `${left.length} to send`);
  return new Promise((resolve, reject) => {
    let [missing, durable, next] = [encoded.length, sum(durable_chunks), 0];
    const before = durable;
    const stream = client.UploadChunks(deadline(60));
    const send = () => {
      for (; next < left.length && next < durable - before + WINDOW; next += 1) {
        const number = left[next];
        const payload = Buffer.concat(chunks[number].map(framed));
        stream.write({ chunk: { chunk_number: number, root: roots[number], payload } });
      }
      if (next === left.length && !stream.writableEnded) stream.end();
    };
    stream.on('data', ({ missing_count, durable_chunks: ranges, faults }) => {
      if (faults.length) reject(new Error(`chunk ${faults[0].chunk_number}: ${faults[0].message}`));
      [missing, durable] = [missing_count, sum(ranges)];
      console.log(`durable: ${durable} of ${chunks.length} chunks`);
      send();
    });
    stream.on('error', reject);
    stream.on('end', () => resolve(missing));
    const { batch_id, manifest_digest } = batch;
    stream.write({ start: { batch_id, manifest_digest, uploader_epoch } });
    send();
  });
}

async function main([endpointsFile, caller, file]) {
  const endpoints = JSON.parse(fs.readFileSync(endpointsFile));
  const { relays, key, chain } = connect(endpoints, path.dirname(endpointsFile), caller);
  const deadline = (seconds) => ({ deadline: Date.now() + seconds * 1000 });
  const call = (name, request) => again(relays, (client) => new Promise((resolve, reject) => {
    client[name](request, deadline(10), (error, answer) => (error ? reject(error) : resolve(answer)));
  }));

  const records = read(file);
  const encoded = records.map(canonical);
  const leaves = encoded.map((record) => sha256(Buffer.from([0]), record));
  const roots = chunked(leaves).map(root);
  const { last_sequence: last, last_receipt_digest: previous } = await call('ListBatches', { page_size: 1 });
  const text = manifest(records, encoded, root(roots), [
    `municipality ${caller.split('/')[1]}`, `batch ${uuid7()}`, `sequence ${last + 1}`,
    `previous-receipt ${previous.toString('hex') || '-'}`, 'batch-kind CARD_ORDERS',
    'policy ALL_OR_NOTHING']);
  const opening = { manifest: text, signature: crypto.sign('sha256', text, key), certificate_chain: chain,
    chunk_roots: roots };
  // The same manifest again is the same batch again, with what is durable of it by now.
  let batch;
  const missing = await again(relays, async () => {
    const opened = await call('OpenBatch', opening);
    batch = opened.batch;
    // Over the relay that has just answered.
    return upload(relays.client, deadline, opened, roots, encoded);
  });
  if (missing !== 0) throw new Error(`${missing} records are not durable: open the batch again`);
  const batch_id = batch.batch_id;

  await call('SealBatch', { batch_id, manifest_digest: batch.manifest_digest });
  const state = await again(relays, (client) => new Promise((resolve, reject) => {
    let last = '';
    const stream = client.WatchBatch({ batch_id }, deadline(60));
    stream.on('data', (answer) => { last = answer.batch.state; });
    stream.on('error', reject);
    stream.on('end', () => resolve(last));
  }));
  const { receipt } = await call('GetReceipt', { batch_id });
  const receiptKey = path.resolve(path.dirname(endpointsFile), endpoints.receipt_key);
  const signed = openReceipt(receipt.toString(), fs.readFileSync(receiptKey, 'utf8'));
  const total = `merkle-root ${root(roots).toString('hex')}`;
  if (!signed.includes(total)) throw new Error('the receipt is for another file');
  const ended = await call('GetBatch', { batch_id });
  console.log(`${batch_id}: ${state}, ${ended.batch.counts.accepted} of ${records.length} accepted`);
  console.log('receipt verified');

  const error = await call('GetBatch', { batch_id: uuid7() }).catch((refusal) => refusal);
  console.log(`a batch that nobody opened: ${grpc.status[error.code]}: ${error.details}`);
  relays.close();
}

main(process.argv.slice(2)).catch((error) => { console.error(error); process.exitCode = 1; });
