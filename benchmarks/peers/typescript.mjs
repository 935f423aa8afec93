// The official TypeScript SDK on Node, with the tools of the benchmark. As its own documentation wires it: a factory
// that makes a server for each request.
//
//     node typescript.mjs PORT [TOOLS]

import { appendFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { toNodeHandler } from '@modelcontextprotocol/node';
import { createMcpHandler, McpServer } from '@modelcontextprotocol/server';
import * as z from 'zod';

const [port, tools = 0] = process.argv.slice(2).map(Number);
const text = (value) => ({ content: [{ type: 'text', text: value }] });
const progress = (call, number, total) => {
    const progressToken = call.mcpReq._meta.progressToken;
    return call.mcpReq.notify({ method: 'notifications/progress', params: { progressToken, progress: number, total } });
};

const echoInput = z.object({ text: z.string() });
const burstInput = z.object({ count: z.number().int() });
const tickInput = z.object({ interval: z.number(), count: z.number().int() });
const holdInput = z.object({ number: z.number().int() });
const searchInput = z.object({ query: z.string(), limit: z.number().int().default(10), language: z.string().default('en') });

async function burst({ count }, call) {
    for (let number = 1; number <= count; number++) await progress(call, number, count);
    return text('done');
}

async function tick({ interval, count }, call) {
    let number = 0;
    await new Promise((resolve) => {
        const timer = setInterval(() => {
            progress(call, ++number, count);
            if (number >= count) clearInterval(timer), resolve();
        }, interval * 1000);
        call.mcpReq.signal.addEventListener('abort', () => { clearInterval(timer); resolve(); });
    });
    return text('done');
}

async function hold({ number }, call) {
    await progress(call, 1, 2);
    await new Promise((resolve) => call.mcpReq.signal.addEventListener('abort', resolve));
    const seconds = Number(process.hrtime.bigint()) / 1e9; // CLOCK_MONOTONIC, as in the other programs
    appendFileSync(process.env.BENCH_CANCELLED, `${number} ${seconds}\n`);
    return text('cancelled');
}

function makeServer() {
    const server = new McpServer({ name: 'typescript', version: '1.0.0' });
    server.registerTool('echo', { description: 'Say the text again.', inputSchema: echoInput }, async (input) => text(input.text));
    if (!tools) {
        server.registerTool('burst', { description: 'Report progress many times.', inputSchema: burstInput }, burst);
        server.registerTool('tick', { description: 'Report progress now and then.', inputSchema: tickInput }, tick);
        server.registerTool('hold', { description: 'Never end.', inputSchema: holdInput }, hold);
    }
    for (let number = 0; number < tools; number++) {
        const description = `Search collection number ${number} and return what fits the query best.`;
        const name = `search_${String(number).padStart(3, '0')}`;
        server.registerTool(name, { description, inputSchema: searchInput }, async (input) => text(input.query));
    }
    return server;
}

createServer(toNodeHandler(createMcpHandler(makeServer))).listen(port, '127.0.0.1', 4096);
