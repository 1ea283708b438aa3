// A stock grpc-js client that makes small calls, three a second at random, whatever becomes of them: by
// xDS from the bootstrap file that GRPC_XDS_BOOTSTRAP names, or over a list of relays by a service config.
//
//   call_pool.js CA KEY CERTIFICATE xds:///todoke.internal
//   call_pool.js CA KEY CERTIFICATE ipv4:A,B,C SERVER_NAME SERVICE_CONFIG
//
// Calls until its standard input ends, then waits for what is under way. Says of each call, as it ends, when
// it began and ended, in milliseconds since 1970, its code, and what a refusal said.
'use strict';

const fs = require('fs');
const path = require('path');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');
const xds = require('@grpc/grpc-js-xds');

// The mean; evenly spaced calls would keep step with round robin.
const EVERY_MS = 1000 / 3;
// Longer than it takes until a relay that hangs is out and gives back what it holds.
const DEADLINE_MS = 240_000;

// A client by xDS, or with a service config over a list.
function connect(ca, key, certificate, target, name, config) {
  const includeDirs = [path.join(__dirname, '../../../proto')];
  const loaded = loader.loadSync('todoke/v1/batch.proto', { includeDirs, keepCase: true });
  const Service = grpc.loadPackageDefinition(loaded).todoke.v1.BatchService;
  const credentials = grpc.credentials.createSsl(ca, key, certificate);
  if (config === undefined) {
    xds.register();
    // The inner ones are for a server that sends no security settings; this one does.
    return new Service(target, new xds.XdsChannelCredentials(credentials));
  }
  return new Service(target, credentials, {
    'grpc.ssl_target_name_override': name,
    'grpc.default_authority': name,
    'grpc.service_config': config,
    'grpc-node.retry_max_attempts_limit': 10, // it takes 5 at most otherwise
  });
}

const files = process.argv.slice(2, 5).map((name) => fs.readFileSync(name));
const client = connect(...files, ...process.argv.slice(5));

let [underWay, told] = [0, false];

function closeAtTheEnd() {
  if (told && underWay === 0) client.close();
}

function call() {
  const begun = Date.now();
  underWay += 1;
  client.ListBatches({ page_size: 1 }, { deadline: begun + DEADLINE_MS }, (error) => {
    const { code, details } = error || { code: grpc.status.OK, details: '' };
    const said = { begun_ms: begun, ended_ms: Date.now(), code: grpc.status[code], words: details };
    process.stdout.write(`${JSON.stringify(said)}\n`);
    underWay -= 1;
    closeAtTheEnd();
  });
}

function callOn() {
  if (told) return;
  call();
  setTimeout(callOn, Math.random() * 2 * EVERY_MS);
}

callOn();
process.stdin.resume();
process.stdin.on('end', () => {
  told = true;
  closeAtTheEnd();
});
