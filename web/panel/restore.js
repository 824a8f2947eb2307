// A result after the page was reloaded: the page forgets it, the server's history does not.

const ENTRIES = 64

/**
 * The newest result in this workflow of a node of these types that is asked for, as `ui` outputs;
 * null without one. `asked(path)`: the server's name of a node, inside a subgraph a path, "12:5".
 */
export function findResult(history, workflowId, asked, nodeTypes) {
  const entries = Object.values(history ?? {}).sort((a, b) => b.prompt?.[0] - a.prompt?.[0])
  for (const { prompt, outputs } of entries) {
    const [, , nodes, extra] = prompt ?? []
    if (extra?.extra_pnginfo?.workflow?.id !== workflowId) continue
    for (const [id, output] of Object.entries(outputs ?? {})) {
      if (output?.guda && nodeTypes.includes(nodes?.[id]?.class_type) && asked(id)) return output
    }
  }
  return null
}

let asked = null // one question for all panels of a graph

export function fetchHistory(api) {
  asked ??= api
    .fetchApi(`/history?max_items=${ENTRIES}`)
    .then((answer) => (answer.ok ? answer.json() : {}))
    .catch(() => ({}))
    .finally(() => setTimeout(() => (asked = null), 1000))
  return asked
}

const NOBODY = /^[0-]*$/ // the id of a workflow that was cleared: every such one has the same

/** Gives a graph an id of its own, by which its results are found again, where it has none. */
export function named(graph) {
  if (!graph || !NOBODY.test(graph.id ?? "")) return
  const bytes = crypto.getRandomValues(new Uint8Array(16)) // randomUUID asks for https
  bytes[6] = (bytes[6] & 0x0f) | 0x40
  bytes[8] = (bytes[8] & 0x3f) | 0x80
  const hex = Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("")
  graph.id = hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-")
}
