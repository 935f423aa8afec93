// Drives @modelcontextprotocol/client: node npm_client.mjs NODE_MODULES URL ERA PLAN

import { createRequire } from "node:module";
import { carryOut } from "./plan.mjs";

const [modules, url, era, plan] = process.argv.slice(2);
const { Client, StreamableHTTPClientTransport } = createRequire(`${modules}/`)("@modelcontextprotocol/client");

const mode = { legacy: "legacy", modern: { pin: "2026-07-28" }, auto: "auto" }[era];
const client = new Client({ name: "npm-client", version: "1" }, { versionNegotiation: { mode } });
await client.connect(new StreamableHTTPClientTransport(new URL(url)));
const outcome = await carryOut(client, JSON.parse(plan), (params, options) => client.callTool(params, options));
const version = client.getNegotiatedProtocolVersion?.() ?? client.transport?.protocolVersion ?? null;
await client.close();
console.log(JSON.stringify({ version, ...outcome }));
