// ComfyUI's front end and the pack: the panel, its results, and what runs say.

import { app } from "../../scripts/app.js"
import { api } from "../../scripts/api.js"
import { Panel } from "./panel/panel.js"
import { fetchHistory, findResult } from "./panel/restore.js"
import { speak, t } from "./panel/words.js"

const NODE = "GudaAttribute"
const MIN_HEIGHT = 420 // as in guda.css
const LONG = 20_000 // milliseconds that a message stays
const panels = new Map() // node -> Panel

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

/** The node's key in `app.nodeOutputs`: its id, inside a subgraph after the subgraph's. */
function outputKey(node) {
  const { graph } = node
  return !graph || graph.isRootGraph !== false ? String(node.id) : `${graph.id}:${node.id}`
}

function restore(node, outputs = app.nodeOutputs) {
  panels.get(node)?.take(outputs?.[outputKey(node)])
}

/** After a reload the page has no outputs; an answer that comes meanwhile is newer. */
async function restoreFromHistory(node) {
  const panel = panels.get(node)
  const { id } = node.graph?.rootGraph ?? node.graph ?? {}
  if (!panel?.empty || !id) return
  const found = findResult(await fetchHistory(api), id, node.id, NODE)
  if (found && panel.empty) panel.take(found, t("last_run"))
}

function addPanel(node) {
  speak(app.extensionManager?.setting?.get?.("Comfy.Locale") ?? navigator.language)
  const panel = new Panel(viewUrl)
  shareWithCanvas(panel)
  const widget = node.addDOMWidget("attribution", "GUDA_ATTRIBUTION", panel.element, {
    serialize: false, // not sent with the prompt
    hideOnZoom: false,
    getMinHeight: () => MIN_HEIGHT,
  })
  widget.serialize = false // not in widgets_values
  const prompt = node.widgets.find((w) => w.name === "prompt")
  if (prompt?.options) prompt.options.getMaxHeight ??= () => 90 // the panel takes what is left
  const onExecuted = node.onExecuted
  node.onExecuted = function (output) {
    onExecuted?.apply(this, arguments)
    panel.take(output)
  }
  const onRemoved = node.onRemoved
  node.onRemoved = function () {
    panels.delete(node)
    return onRemoved?.apply(this, arguments)
  }
  panels.set(node, panel)
  const [width, height] = node.computeSize()
  node.setSize([Math.max(node.size[0], width, 520), Math.max(node.size[1], height)])
}

// What runs say

const nodeOf = (id) => app.graph?.getNodeById?.(Number(String(id).split(":").pop()))

/** ComfyUI's line of progress would take half of a node's room, which the panel needs. */
function keepTextLow(id) {
  for (const node of panels.keys()) {
    if (String(node.id) !== String(id).split(":").pop()) continue
    const text = node.widgets?.find((w) => w.name === "$$node-text-preview")
    if (text?.options && !text.options.getMaxHeight) {
      text.options.getMaxHeight = () => 58
      node.setSize?.([...node.size]) // lays its widgets out anew
    }
  }
}

/** Panels of the node that the server calls `id`: a path of ids inside subgraphs. */
function panelsOf(id) {
  const last = String(id).split(":").pop()
  return [...panels].filter(([node]) => String(node.id) === last).map(([, panel]) => panel)
}

function listen() {
  let share
  api.addEventListener("progress", ({ detail }) => {
    share = detail.max ? detail.value / detail.max : undefined
  })
  api.addEventListener("progress_text", ({ detail }) => {
    for (const panel of panelsOf(detail.nodeId)) panel.say(detail.text, share)
    setTimeout(() => keepTextLow(detail.nodeId)) // once the page has made its widget
  })
  api.addEventListener("execution_start", () => {
    for (const panel of panels.values()) panel.say("")
  })
  // A run that ended early, and what of it is kept: from nodes/runtime.py.
  api.addEventListener("guda.stopped", ({ detail }) => {
    const text = `${detail.title}. ${detail.text}`
    for (const panel of panelsOf(detail.node)) panel.say(text)
    // Newer front ends clear the line under a node when its job ends: say it once more.
    setTimeout(() => api.dispatchCustomEvent?.("progress_text", { nodeId: detail.node, text }), 1000)
    app.extensionManager?.toast?.add?.({
      severity: detail.failed ? "error" : "info",
      summary: `${nodeOf(detail.node)?.title ?? "GUDA"}: ${detail.title.toLowerCase()}`,
      detail: detail.text,
      life: LONG,
    })
  })
}

/** Panels follow the canvas's zoom; neither renderer tells of it, so they look. */
function watchZoom() {
  setInterval(() => {
    if (document.hidden) return
    for (const panel of panels.values()) {
      const { element } = panel
      if (!element.offsetWidth) continue
      panel.scaled(element.getBoundingClientRect().width / element.offsetWidth)
    }
  }, 300)
}

app.registerExtension({
  name: "guda.attribution",
  setup() {
    addStyle()
    listen()
    watchZoom()
  },
  nodeCreated(node) {
    if (node.comfyClass === NODE) addPanel(node)
  },
  loadedGraphNode(node) {
    if (!panels.has(node)) return
    restore(node)
    restoreFromHistory(node)
  },
  onNodeOutputsUpdated(outputs) {
    for (const node of panels.keys()) restore(node, outputs)
  },
})
