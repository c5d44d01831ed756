// Calls the official client as it is: a line of JSON in, {"call": "meters.create", "args": [...]}, and a line out.
// Where the server is and which key opens it come by the environment alone (see client.py).
import readline from 'node:readline';

const loaded = await import('@blocklet/payment-js');
const payment = loaded.default?.default ?? loaded.default;

for await (const line of readline.createInterface({ input: process.stdin })) {
  const { call, args } = JSON.parse(line);
  const [resource, method] = call.split('.');
  let answer;
  try {
    // What is undefined has no JSON: null stands for it.
    answer = { result: await payment[resource][method](...args.map((arg) => arg ?? undefined)) };
  } catch (error) {
    answer = { status: error.response?.status ?? 0, error: error.response?.data ?? String(error) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
