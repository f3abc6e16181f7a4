// Runs one function of the page in Node: `node bridge.mjs MODULE FUNCTION < JSON of arguments`, JSON of the result out.
// A picture is {width, height, base64} on both sides.

import { pathToFileURL } from "node:url";

const isPicture = (value) => value && typeof value === "object" && "width" in value && "base64" in value;

const given = (key, value) =>
  isPicture(value) ? { ...value, data: new Uint8Array(Buffer.from(value.base64, "base64")) } : value;
const told = (key, value) =>
  value?.data instanceof Uint8Array
    ? { width: value.width, height: value.height, base64: Buffer.from(value.data).toString("base64") }
    : value;

let text = "";
for await (const part of process.stdin) text += part;
const page = await import(pathToFileURL(process.argv[2]));
const found = await page[process.argv[3]](...JSON.parse(text, given));
process.stdout.write(JSON.stringify(found, told));
