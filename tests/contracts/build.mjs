// Compiles the rehearsal contracts with the pinned compiler and prints one JSON object: name → creation bytecode.
// The same source and compiler give the same bytes: metadata hashes are left out. Usage: node build.mjs <path of the solc package>
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const solc = createRequire(import.meta.url)(process.argv[2]);
const names = ["RehearsalToken", "RehearsalSwap"];
const input = {
  language: "Solidity",
  sources: Object.fromEntries(names.map((n) => [`${n}.sol`, { content: readFileSync(join(here, `${n}.sol`), "utf8") }])),
  settings: {
    optimizer: { enabled: true, runs: 200 },
    evmVersion: "paris",
    metadata: { bytecodeHash: "none", appendCBOR: false },
    outputSelection: { "*": { "*": ["evm.bytecode.object"] } },
  },
};
const output = JSON.parse(solc.compile(JSON.stringify(input)));
const errors = (output.errors ?? []).filter((e) => e.severity === "error");
if (errors.length) {
  for (const e of errors) console.error(e.formattedMessage);
  process.exit(1);
}
const result = Object.fromEntries(names.map((n) => [n, "0x" + output.contracts[`${n}.sol`][n].evm.bytecode.object]));
console.log(JSON.stringify(result, null, 2));
