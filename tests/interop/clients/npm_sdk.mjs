// Drives @modelcontextprotocol/sdk 1.x, which is legacy only: node npm_sdk.mjs NODE_MODULES TARGET ERA PLAN
// TARGET is the URL of a server over Streamable HTTP, or a JSON object with the command of one over stdio.

import { createRequire } from "node:module";
import { carryOut } from "./plan.mjs";

const [modules, target, , plan] = process.argv.slice(2);
const require = createRequire(`${modules}/`);
const { Client } = require("@modelcontextprotocol/sdk/client/index.js");
const { StreamableHTTPClientTransport } = require("@modelcontextprotocol/sdk/client/streamableHttp.js");
const { StdioClientTransport } = require("@modelcontextprotocol/sdk/client/stdio.js");

const client = new Client({ name: "npm-sdk", version: "1" });
const transport = target.startsWith("{")
  ? new StdioClientTransport(JSON.parse(target))
  : new StreamableHTTPClientTransport(new URL(target));
await client.connect(transport);
const outcome = await carryOut(client, JSON.parse(plan), (params, options) => client.callTool(params, undefined, options));
const version = transport.protocolVersion ?? null;
await transport.terminateSession?.();
await client.close();
console.log(JSON.stringify({ version, ...outcome }));
