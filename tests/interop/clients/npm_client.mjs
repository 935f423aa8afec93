// Drives @modelcontextprotocol/client: node npm_client.mjs NODE_MODULES TARGET ERA PLAN
// TARGET is the URL of a server over Streamable HTTP, or a JSON object with the command of one over stdio.

import { createRequire } from "node:module";
import { carryOut } from "./plan.mjs";

const [modules, target, era, plan] = process.argv.slice(2);
const require = createRequire(`${modules}/`);
const { Client, StreamableHTTPClientTransport } = require("@modelcontextprotocol/client");
const { StdioClientTransport } = require("@modelcontextprotocol/client/stdio");

const mode = { legacy: "legacy", modern: { pin: "2026-07-28" }, auto: "auto" }[era];
const client = new Client({ name: "npm-client", version: "1" }, { versionNegotiation: { mode } });
const transport = target.startsWith("{")
  ? new StdioClientTransport(JSON.parse(target))
  : new StreamableHTTPClientTransport(new URL(target));
await client.connect(transport);
const outcome = await carryOut(client, JSON.parse(plan), (params, options) => client.callTool(params, options));
const version = client.getNegotiatedProtocolVersion?.() ?? client.transport?.protocolVersion ?? null;
await client.close();
console.log(JSON.stringify({ version, ...outcome }));
