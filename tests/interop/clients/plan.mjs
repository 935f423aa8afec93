// Carries a plan out with a connected client of either npm package: they share the shape of callTool.

export async function carryOut(client, plan, call) {
  const { tools } = await client.listTools();
  const calls = [];
  for (const step of plan) calls.push(await outcome(step, call));
  return { tools: tools.map((tool) => tool.name), calls };
}

async function outcome(step, call) {
  const controller = new AbortController();
  const progress = [];
  const onprogress = ({ progress: value, total, message }) => {
    progress.push([value, total ?? null, message ?? null]);
    if (progress.length === step.abort_after) controller.abort(new Error("enough"));
  };
  const params = { name: step.tool, arguments: step.arguments ?? {} };
  try {
    const result = await call(params, { onprogress, signal: controller.signal });
    const text = result.content.filter((block) => block.type === "text").map((block) => block.text);
    return { progress, aborted: false, text, structured: result.structuredContent ?? null, is_error: !!result.isError };
  } catch (error) {
    if (!controller.signal.aborted) throw error;
    return { progress, aborted: true };
  }
}
