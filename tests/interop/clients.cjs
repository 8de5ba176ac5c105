// Answers questions with the JavaScript clients of the network: one JSON object a line in, one out.
// key {seed, path}; address {bytes, hrp}; parse {text, hrp}; principal {template, arguments};
// transaction {template, method, principal, nonce, gas_price, arguments}.
const path = require("path");
const from = (name) => require(require.resolve(name, { paths: [process.argv[2]] }));
const { derive_key } = from("@spacemesh/ed25519-bip32");
const codec = from("@spacemesh/sm-codec");
const bech32 = from("@spacemesh/address-wasm").default;

const bytes = (hex) => Uint8Array.from(Buffer.from(hex, "hex"));
const hex = (data) => Buffer.from(data).toString("hex");
const templates = {
  wallet: codec.SingleSigTemplate,
  multisig: codec.MultiSigTemplate,
  vesting: codec.VestingTemplate,
  vault: codec.VaultTemplate,
};

// Bytes arrive as {hex}, numbers of 64 bits as {u64}, the rest as it is.
function value(item) {
  if (Array.isArray(item)) return item.map(value);
  if (item !== null && typeof item === "object") {
    if ("hex" in item) return bytes(item.hex);
    if ("u64" in item) return BigInt(item.u64);
    return Object.fromEntries(Object.entries(item).map(([name, inner]) => [name, value(inner)]));
  }
  return item;
}

const answers = {
  key: (q) => hex(derive_key(bytes(q.seed), q.path)),
  address: (q) => bech32.generateAddress(bytes(q.bytes), q.hrp),
  parse: (q) => (bech32.verify(q.text, q.hrp) ? hex(bech32.parse(q.text, q.hrp)) : null),
  principal: (q) => hex(templates[q.template].methods[0].principal(value(q.arguments))),
  transaction: (q) =>
    hex(
      templates[q.template].methods[q.method].encode(bytes(q.principal), {
        Nonce: BigInt(q.nonce),
        GasPrice: BigInt(q.gas_price),
        Arguments: value(q.arguments),
      }),
    ),
};

(async () => {
  await bech32.init();
  let waiting = "";
  process.stdin.setEncoding("utf8");
  for await (const chunk of process.stdin) waiting += chunk;
  for (const line of waiting.split("\n")) {
    if (!line) continue;
    const question = JSON.parse(line);
    let answer;
    try {
      answer = { answer: answers[question.kind](question) };
    } catch (error) {
      answer = { error: String(error && error.message ? error.message : error) };
    }
    process.stdout.write(JSON.stringify(answer) + "\n");
  }
  process.exit(0);
})();
