// Whose an answer is. The server names a node by a path of ids, "12:5" being node 5 in the subgraph
// 12; another subgraph has a node 5 as well, and so has another workflow that is open.

export const rootOf = (node) => node?.graph?.rootGraph ?? node?.graph

/** The nodes on the way to `path`, its own last; none where the graph has no such node. */
export function wayTo(root, path) {
  const way = []
  let graph = root
  for (const id of String(path).split(":")) {
    const node = graph?.getNodeById?.(id)
    if (!node) return []
    way.push(node)
    graph = node.subgraph
  }
  return way
}

/** The node's key in `app.nodeOutputs`: its id, inside a subgraph after the subgraph's. */
export function outputKey(node) {
  const { graph } = node
  return !graph || graph.isRootGraph !== false ? String(node.id) : `${graph.id}:${node.id}`
}

const askers = new Map() // prompt -> the workflow that it was queued from
const missed = new Map() // "workflow path" -> what came while another workflow was open
let running // the prompt that runs; it may begin before the page is told that it was queued

/** Marks answers with the workflow that asked, before the page hands them to the open one. */
export function watchAnswers(api, opened) {
  const queue = api.queuePrompt
  api.queuePrompt = async function (_, { workflow } = {}) {
    const told = await queue.apply(this, arguments)
    if (told?.prompt_id && workflow?.id) askers.set(told.prompt_id, workflow.id)
    return told
  }
  api.addEventListener("execution_start", ({ detail }) => (running = detail?.prompt_id))
  api.addEventListener("executed", ({ detail }) => {
    const asker = askers.get(detail.prompt_id)
    if (!asker || !Array.isArray(detail.output?.guda)) return
    for (const answer of detail.output.guda) answer.asker = asker
    const key = `${asker} ${detail.node}`
    if (asker === opened()?.id) missed.delete(key)
    else missed.set(key, detail.output)
  })
}

/** Whether what runs was asked by the workflow that the node is in, as far as is known. */
export function runsFor(node) {
  const asker = askers.get(running)
  return !asker || asker === rootOf(node)?.id
}

/** Whether an output is an answer to the workflow that the node is in, as far as is known. */
export function isFor(node, output) {
  const asker = output?.guda?.[0]?.asker
  return !asker || asker === rootOf(node)?.id
}

/** What came for a node while another workflow was open; `asked(path)`: whether it is the node's. */
export function missedBy(node, asked) {
  const root = rootOf(node)?.id
  for (const [key, output] of missed) {
    const [asker, path] = key.split(" ")
    if (asker === root && asked(path)) return output
  }
}
