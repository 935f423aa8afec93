"""dice: rolls dice, and shows them where a host can show interfaces (MCP Apps). A model gets the same as text.

The tool names its page in `_meta`; the page is a resource of its own, which the host reads, puts into a sandbox, and
tells what the tool gave. From there it may call the tool again. It loads nothing from anywhere: whatever a page needs
from other origins would have to stand in `_meta.ui.csp`.
"""

from random import SystemRandom
from typing import Annotated

import attrs

from mcpserve import Arg, resource, tool

PAGE = "ui://mcpserve/dice"


@attrs.frozen(kw_only=True)
class Roll:
    """What was rolled."""

    sides: int
    dice: list[int]
    total: int


@tool(title="Roll dice", read_only=True, open_world=False, meta={"ui": {"resourceUri": PAGE}})
def roll_dice(
    number: Annotated[int, Arg("How many dice to roll.", minimum=1, maximum=20)] = 2,
    sides: Annotated[int, Arg("How many sides each of them has.", minimum=2, maximum=100)] = 6,
) -> Roll:
    """Roll some dice, and tell what each of them shows and their total."""
    dice = [SystemRandom().randint(1, sides) for _ in range(number)]
    return Roll(sides=sides, dice=dice, total=sum(dice))


@resource(
    PAGE,
    name="roll_dice",  # whoever chooses the tool by its name gets the page with it
    title="Dice",
    mime_type="text/html;profile=mcp-app",
    meta={"ui": {"prefersBorder": True}},
    ttl=3600,
    cache_scope="public",
)
def page() -> str:
    """The page that shows what was rolled."""
    return HTML


HTML = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Dice</title>
<style>
:root { color-scheme: light dark; font-family: var(--font-sans, sans-serif); }
body { margin: 0; padding: 1rem; text-align: center; }
#dice { display: flex; flex-wrap: wrap; gap: .5rem; justify-content: center; font-size: 1.5rem; }
#dice span { border: 1px solid; border-radius: .4rem; min-width: 2rem; padding: .3rem; }
</style>
</head>
<body>
<div id="dice" aria-live="polite"></div>
<p id="total">Waiting for the dice.</p>
<button id="again" hidden>Roll again</button>
<script>
"use strict";
const byId = (id) => document.getElementById(id);
const asked = new Map();
let last = 0, wanted = {};

const send = (message) => parent.postMessage({ jsonrpc: "2.0", ...message }, "*");

function ask(method, params) {
  send({ id: ++last, method, params });
  return new Promise((resolve, reject) => asked.set(last, { resolve, reject }));
}

function show(result) {
  const roll = result.structuredContent;
  if (result.isError || !roll) {
    byId("total").textContent = (result.content ?? []).map((block) => block.text ?? "").join(" ");
    return;
  }
  byId("dice").replaceChildren(...roll.dice.map((shown) => {
    const die = document.createElement("span");
    die.textContent = shown;
    return die;
  }));
  byId("total").textContent = `Total: ${roll.total}`;
}

function answered({ id, result, error }) {
  const question = asked.get(id);
  asked.delete(id);
  if (question) error ? question.reject(new Error(error.message)) : question.resolve(result);
}

const told = {
  "ui/notifications/tool-input": ({ params }) => { wanted = params.arguments ?? {}; },
  "ui/notifications/tool-result": ({ params }) => show(params),
  "ui/notifications/tool-cancelled": () => { byId("total").textContent = "Cancelled."; },
  "ui/resource-teardown": ({ id }) => send({ id, result: {} }),
  "ping": ({ id }) => send({ id, result: {} }),
};

addEventListener("message", ({ source, data }) => {
  if (source !== parent || data?.jsonrpc !== "2.0") return;
  if (data.method === undefined) answered(data);
  else told[data.method]?.(data);
});

byId("again").onclick = async () => {
  try {
    show(await ask("tools/call", { name: "roll_dice", arguments: wanted }));
  } catch (error) {
    byId("total").textContent = error.message;
  }
};

(async () => {
  const host = await ask("ui/initialize", {
    appInfo: { name: "dice", version: "1" },
    appCapabilities: {},
    protocolVersion: "2026-01-26",
  });
  byId("again").hidden = !host.hostCapabilities?.serverTools;
  send({ method: "ui/notifications/initialized", params: {} });
  new ResizeObserver(() => {
    const { scrollWidth: width, scrollHeight: height } = document.documentElement;
    send({ method: "ui/notifications/size-changed", params: { width, height } });
  }).observe(document.body);
})();
</script>
</body>
</html>
"""
