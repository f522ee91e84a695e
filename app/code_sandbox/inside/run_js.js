// Runs inside the sandbox: executes JavaScript code and shows the value of its last expression.
"use strict";
const fs = require("fs");
const { createRequire } = require("module");
const { inspect } = require("util");
const vm = require("vm");

const MAX_TEXT_LENGTH = 100000;

function show(value) {
  const shown = { text: inspect(value).slice(0, MAX_TEXT_LENGTH) };
  if (value !== null && typeof value === "object") {
    try {
      shown.json = JSON.parse(JSON.stringify(value));
    } catch {
      // It has no form in JSON; its text is enough.
    }
  }
  return shown;
}

async function main() {
  globalThis.require = createRequire(process.cwd() + "/code.js");
  const source = fs.readFileSync("/tmp/.code", "utf8");
  const value = await vm.runInThisContext(source, { filename: "code.js" });
  fs.writeFileSync("/tmp/.results", JSON.stringify(value === undefined ? [] : [show(value)]));
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
