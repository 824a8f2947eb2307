// ComfyUI's front end and the pack: the panel, its results, and what runs say.

import { app } from "../../scripts/app.js"
import { api } from "../../scripts/api.js"
import { tuckAway } from "./panel/advanced.js"
import { unescaped } from "./panel/dom.js"
import { growing } from "./panel/growing.js"
import { ID, SETTING, watchRuns } from "./panel/notify.js"
import { Panel } from "./panel/panel.js"
import { fetchHistory, findResult, named } from "./panel/restore.js"
import { isFor, missedBy, outputKey, rootOf, runsFor, watchAnswers, wayTo } from "./panel/whose.js"
import { speak, t } from "./panel/words.js"

const NODES = ["GudaAttribute", "GudaAttributeAny"]
const MIN_HEIGHT = 640 // as in guda.css: five styles are seen without scrolling
const TEXT_HEIGHTS = { prompt: 60, styles: 74 } // of a node with a panel, at most
const LONG = 20_000 // milliseconds that a message stays
const panels = new Map() // node -> { panel, source }: the node whose answers the panel shows

function addStyle() {
  const href = new URL("./guda.css", import.meta.url).href
  if (document.querySelector(`link[href="${href}"]`)) return
  const link = document.createElement("link")
  link.rel = "stylesheet"
  link.href = href
  document.head.append(link)
}

function viewUrl({ filename, subfolder = "", type = "temp" }) {
  return api.apiURL(`/view?${new URLSearchParams({ filename, subfolder, type })}`)
}

const inVueNodes = () => Boolean(window.LiteGraph?.vueNodesMode)

/** The canvas zooms and pans under the panel too, unless the panel itself can scroll. */
function shareWithCanvas(panel) {
  panel.body.addEventListener("wheel", (event) => {
    const { scrollTop, scrollHeight, clientHeight } = panel.body
    const canScroll =
      event.deltaY < 0 ? scrollTop > 0 : scrollTop + clientHeight < scrollHeight - 1
    if (canScroll && !event.ctrlKey) return event.stopPropagation()
    if (inVueNodes()) return
    event.preventDefault()
    app.canvas.processMouseWheel?.(event)
  })
  const middle = { pointerdown: "processMouseDown", pointerup: "processMouseUp" }
  for (const [type, method] of Object.entries(middle)) {
    panel.element.addEventListener(type, (event) => {
      if (event.button === 1 && !inVueNodes()) app.canvas[method]?.(event)
    })
  }
  panel.element.addEventListener("pointermove", (event) => {
    if (event.buttons & 4 && !inVueNodes()) app.canvas.processMouseMove?.(event)
  })
}

/** The node whose answers `node` shows: itself, or one inside if it is a subgraph. */
function sourceOf(node) {
  if (NODES.includes(node.comfyClass)) return node
  for (const inner of node.subgraph?.nodes ?? []) {
    const found = sourceOf(inner)
    if (found) return found
  }
}

/** Whether the node at `path` is the one whose answers `node` shows. */
function isSource(path, node) {
  const way = wayTo(rootOf(node), path)
  return way.includes(node) && way.at(-1) === sourceOf(node)
}

/** Whether it is `node` itself, or inside of it. */
const isInside = (path, node) => wayTo(rootOf(node), path).includes(node)

function give(node, panel, output) {
  if (isFor(node, output)) panel.take(output)
}

function restore(node, { panel, source }, outputs = app.nodeOutputs) {
  const late = missedBy(node, (path) => isSource(path, node))
  give(node, panel, late ?? outputs?.[outputKey(source)])
}

/** After a reload the page has no outputs; an answer that comes meanwhile is newer. */
async function restoreFromHistory(node, { panel }) {
  const { id } = rootOf(node) ?? {}
  if (!panel.empty || !id) return
  const asked = (path) => isSource(path, node)
  const found = findResult(await fetchHistory(api), id, asked, NODES)
  if (found && panel.empty) panel.take(found, t("last_run"))
}

function addPanel(node, source) {
  speak(app.extensionManager?.setting?.get?.("Comfy.Locale") ?? navigator.language)
  const panel = new Panel(viewUrl)
  shareWithCanvas(panel)
  const widget = node.addDOMWidget("attribution", "GUDA_ATTRIBUTION", panel.element, {
    serialize: false, // not sent with the prompt
    hideOnZoom: false,
    getMinHeight: () => MIN_HEIGHT,
  })
  widget.serialize = false // not in widgets_values
  for (const [name, most] of Object.entries(TEXT_HEIGHTS)) {
    const text = node.widgets.find((w) => w.name === name)
    if (text?.options) text.options.getMaxHeight ??= () => most // the panel takes what is left
  }
  const onExecuted = node.onExecuted
  node.onExecuted = function (output) {
    onExecuted?.apply(this, arguments)
    give(node, panel, output)
  }
  const onConfigure = node.onConfigure
  node.onConfigure = function () {
    onConfigure?.apply(this, arguments)
    // front end 1.32 takes the widgets of a subgraph's node away here
    if (!node.widgets.includes(widget)) node.widgets.push(widget)
  }
  const onAdded = node.onAdded
  node.onAdded = function () {
    named(rootOf(this))
    return onAdded?.apply(this, arguments)
  }
  const onRemoved = node.onRemoved
  node.onRemoved = function () {
    panels.delete(node)
    return onRemoved?.apply(this, arguments)
  }
  panels.set(node, { panel, source })
  const [width, height] = node.computeSize()
  node.setSize([Math.max(node.size[0], width, 520), Math.max(node.size[1], height)])
}

// What runs say

const opened = () => app.rootGraph ?? app.graph

/** The title of the node at `path`, or of the subgraph's node around it. */
const titleOf = (path) => wayTo(opened(), path)[0]?.title ?? "GUDA"

/** ComfyUI's line of progress would take half of a node's room, which the panel needs. */
function keepTextLow(id) {
  for (const node of panels.keys()) {
    if (wayTo(rootOf(node), id).at(-1) !== node) continue
    const text = node.widgets?.find((w) => w.name === "$$node-text-preview")
    if (text?.options && !text.options.getMaxHeight) {
      text.options.getMaxHeight = () => 58
      node.setSize?.([...node.size]) // lays its widgets out anew
    }
  }
}

/** Panels that tell what the node at `path` says: its own, and those of the subgraphs around it. */
function panelsOf(path) {
  return [...panels]
    .filter(([node]) => runsFor(node) && isInside(path, node))
    .map(([, { panel }]) => panel)
}

function listen() {
  let share, last
  api.addEventListener("progress", ({ detail }) => {
    share = detail.max ? detail.value / detail.max : undefined
  })
  api.addEventListener("progress_text", ({ detail }) => {
    for (const panel of panelsOf(detail.nodeId)) panel.say(unescaped(detail.text), share)
    setTimeout(() => keepTextLow(detail.nodeId)) // once the page has made its widget
  })
  api.addEventListener("execution_start", () => {
    for (const { panel } of panels.values()) panel.say("")
  })
  api.addEventListener("executed", ({ detail }) => {
    for (const [node, { panel }] of panels) {
      if (isSource(detail.node, node)) give(node, panel, detail.output)
    }
  })
  // What a run doubts: from nodes/runtime.py, which keeps it under the node as well, and which
  // escapes all of its texts for the page.
  api.addEventListener("guda.warning", ({ detail }) => {
    app.extensionManager?.toast?.add?.({
      severity: "warn",
      summary: titleOf(detail.node),
      detail: unescaped(detail.text),
      life: LONG,
    })
  })
  // A run that ended early, and what of it is kept: escaped as well.
  api.addEventListener("guda.stopped", ({ detail }) => {
    const text = `${detail.title}. ${detail.text}`
    for (const panel of panelsOf(detail.node)) panel.say(unescaped(text))
    last = { nodeId: detail.node, text }
    app.extensionManager?.toast?.add?.({
      severity: detail.failed ? "error" : "info",
      summary: `${titleOf(detail.node)}: ${unescaped(detail.title).toLowerCase()}`,
      detail: unescaped(detail.text),
      life: LONG,
    })
  })
  // Newer front ends clear the line under a node when its job ends, which may be seconds after the
  // node has said its last: it is said once more.
  const again = () => {
    const said = last
    last = undefined
    if (said) setTimeout(() => api.dispatchCustomEvent?.("progress_text", said), 1000)
  }
  api.addEventListener("execution_interrupted", again)
  api.addEventListener("execution_error", again)
}

/** Whether a node of the pack is in the graph, or in a subgraph of it. */
function isOurs(graph) {
  return (graph?.nodes ?? graph?._nodes ?? []).some(
    (node) => node.comfyClass?.startsWith("Guda") || isOurs(node.subgraph),
  )
}

/** Panels follow the canvas's zoom; neither renderer tells of it, so they look. */
function watchZoom() {
  setInterval(() => {
    if (document.hidden) return
    for (const { panel } of panels.values()) {
      const { element } = panel
      if (!element.offsetWidth) continue
      panel.scaled(element.getBoundingClientRect().width / element.offsetWidth)
    }
  }, 300)
}

watchAnswers(api, opened) // here: the page's own listeners come before those of `setup`

app.registerExtension({
  name: "guda.attribution",
  settings: [SETTING],
  setup() {
    addStyle()
    listen()
    watchRuns(api, () => app.extensionManager?.setting?.get?.(ID) && isOurs(app.graph))
    watchZoom()
  },
  nodeCreated(node) {
    if (node.comfyClass?.startsWith("Guda")) tuckAway(node, app, inVueNodes)
    if (node.comfyClass === "GudaGroupsFromImages") growing(node)
    const source = sourceOf(node)
    if (source) addPanel(node, source)
  },
  loadedGraphNode(node) {
    const shown = panels.get(node)
    if (!shown) return
    restore(node, shown)
    restoreFromHistory(node, shown)
  },
  onNodeOutputsUpdated(outputs) {
    for (const [node, shown] of panels) restore(node, shown, outputs)
  },
})
