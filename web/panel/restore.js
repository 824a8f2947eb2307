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
