// The panel in "Attribute to Styles": which styles did the model lean on, per picture.
// It shows `report.to_dict` with the additions of `payload` in nodes/attribute.py.
// Names and prompts come from users: they are only ever set as textContent.

import { app } from "../../scripts/app.js"
import { api } from "../../scripts/api.js"

const NODE = "GudaAttribute"
const NONE = "none of these"
const UNDECIDED = "undecided"
const MIN_HEIGHT = 420 // as in guda.css
const HINT =
  "Press Run: the styles will be ranked here, picture by picture, by how much worse the model " +
  "would fit the picture had it never learned them."
const panels = new Map() // node -> Panel

const link = document.createElement("link")
link.rel = "stylesheet"
link.href = new URL("./guda.css", import.meta.url).href
document.head.append(link)

function make(tag, className = "", text = "", ...children) {
  const element = document.createElement(tag)
  if (className) element.className = className
  if (text) element.textContent = text
  element.append(...children)
  return element
}

// Numbers, as guda/wording.py writes them

const known = (value) => typeof value === "number" && Number.isFinite(value)

function decimalsOf(scores) {
  const values = scores.flatMap((s) => [s.delta, s.low, s.high]).filter(known)
  const largest = Math.max(0, ...values.map(Math.abs))
  return largest > 0 ? Math.min(Math.max(2 - Math.floor(Math.log10(largest)), 0), 6) : 2
}

function number(value, decimals, signed = false) {
  if (!known(value)) return "\u2013"
  const text = Math.abs(value).toLocaleString("en-US", {
    minimumFractionDigits: decimals,
    maximumFractionDigits: decimals,
  })
  if (!/[1-9]/.test(text)) return text
  return (value < 0 ? "\u2212" : signed ? "+" : "") + text
}

const percent = (share) => (known(share) ? `${Math.round(share * 100)} %` : "\u2013")

function viewUrl({ filename, subfolder = "", type = "temp" }) {
  return api.apiURL(`/view?${new URLSearchParams({ filename, subfolder, type })}`)
}

/** A picture that opens in full; a word in its place once ComfyUI has emptied its temp folder. */
function thumbnail(file, description) {
  const image = make("img")
  image.alt = image.title = description
  image.draggable = false
  image.addEventListener("error", () => image.replaceWith(make("span", "guda-gone", "Run again")))
  image.src = viewUrl(file)
  const anchor = make("a", "guda-thumbnail", "", image)
  anchor.href = image.src
  anchor.target = "_blank"
  anchor.rel = "noopener"
  return anchor
}

// The panel

/** Groups that the verdict points at, as `wording.contenders`. */
function contenders(image) {
  if (image.verdict === NONE) return new Set()
  if (image.verdict !== UNDECIDED) return new Set([image.verdict])
  const least = image.scores[0].low
  return new Set(image.scores.filter((s) => s.high >= least).map((s) => s.group))
}

function bar(score, place, kind, interval) {
  const zero = place(0)
  const end = known(score.delta) ? place(score.delta) : zero
  const fill = make("div", `guda-bar ${kind}`)
  fill.style.left = `${Math.min(zero, end)}%`
  fill.style.width = `${Math.abs(end - zero)}%`
  const axis = make("div", "guda-zero")
  axis.style.left = `${zero}%`
  const track = make("div", "guda-track", "", fill, axis)
  if (known(score.low) && known(score.high)) {
    const whisker = make("div", "guda-whisker")
    whisker.style.left = `${place(score.low)}%`
    whisker.style.width = `${place(score.high) - place(score.low)}%`
    track.append(whisker)
  }
  track.title = interval
  return make("td", "guda-bar-cell", "", track)
}

function table(image) {
  const { scores, unit, interval } = image
  const ends = scores.flatMap((s) => [s.delta, s.low, s.high]).filter(known)
  const least = Math.min(0, ...ends)
  const room = Math.max(0, ...ends) - least || 1
  const place = (value) => ((value - least) / room) * 100
  const decimals = decimalsOf(scores)
  const named = contenders(image)
  const head = make("tr")
  for (const title of ["Style", interval, `Delta (${unit})`, "Share"]) {
    const cell = make("th", "", title)
    cell.scope = "col"
    head.append(cell)
  }
  const body = make("tbody")
  for (const score of scores) {
    const first = named.size === 1 && named.has(score.group)
    const kind = first ? "guda-leader" : named.has(score.group) ? "guda-tied" : "guda-other"
    const span = `${number(score.low, decimals)} to ${number(score.high, decimals)}`
    const delta = make("td", "guda-number", number(score.delta, decimals, true))
    delta.append(make("small", "", span))
    const style = make("th", "", score.group)
    style.scope = "row"
    style.title = score.group
    const share = make("td", "guda-number", percent(score.share))
    const row = make("tr", kind, "", style, bar(score, place, kind, `${interval}: ${span}`))
    row.append(delta, share)
    body.append(row)
  }
  return make("table", "guda-table", "", make("thead", "", "", head), body)
}

function heatMaps(image) {
  const row = make("div", "guda-maps")
  for (const map of image.heatmaps ?? []) {
    const figure = make("figure", "", "", thumbnail(map, `Heat map of ${map.group}`))
    figure.append(make("figcaption", "", map.group))
    row.append(figure)
  }
  return row
}

class Panel {
  constructor() {
    this.images = []
    this.index = 0
    this.previous = this.arrow("\u2039", "Previous picture", -1)
    this.next = this.arrow("\u203a", "Next picture", 1)
    this.choice = make("select", "guda-choice")
    this.choice.setAttribute("aria-label", "Picture")
    this.choice.addEventListener("change", () => this.show(this.choice.selectedIndex))
    this.bar = make("div", "guda-pictures", "", this.previous, this.choice, this.next)
    this.body = make("div", "guda-scroll")
    this.body.tabIndex = 0
    this.body.setAttribute("role", "region")
    this.body.setAttribute("aria-label", "Style attribution")
    this.element = make("div", "guda-panel", "", this.bar, this.body)
    this.element.dataset.captureWheel = "true"
    this.show(0)
  }

  arrow(text, label, by) {
    const button = make("button", "guda-arrow", text)
    button.type = "button"
    button.title = label
    button.setAttribute("aria-label", label)
    button.addEventListener("click", () => this.show(this.index + by))
    return button
  }

  /** `output`: what the node put under `ui`, from a run or from history. */
  take(output) {
    const payloads = output?.guda
    if (!Array.isArray(payloads) || payloads === this.payloads) return
    this.payloads = payloads
    this.images = payloads.flatMap((p) =>
      (p?.images ?? []).map((i) => ({ ...i, unit: p.unit, interval: p.interval, note: p.note })),
    )
    this.choice.replaceChildren(
      ...this.images.map((image, i) => {
        const prompt = image.prompt ? `: ${image.prompt}` : ""
        return make("option", "", `${i + 1} of ${this.images.length}${prompt}`)
      }),
    )
    this.show(this.index)
  }

  show(index) {
    this.index = Math.min(Math.max(index, 0), Math.max(this.images.length - 1, 0))
    this.bar.hidden = this.images.length < 2
    this.choice.selectedIndex = this.index
    this.previous.disabled = this.index === 0
    this.next.disabled = this.index >= this.images.length - 1
    const image = this.images[this.index]
    if (!image) return this.body.replaceChildren(make("p", "guda-hint", HINT))
    const words = make("div", "", "", make("p", "guda-verdict", image.sentence))
    if (image.prompt) words.append(make("p", "guda-prompt", image.prompt))
    const head = make("div", "guda-head")
    if (image.picture) head.append(thumbnail(image.picture, image.prompt || image.image))
    head.append(words)
    this.body.replaceChildren(head, table(image))
    if (image.heatmaps?.length) {
      const legend = "Orange: the style explains this part. Violet: the model does better without."
      this.body.append(make("p", "guda-legend", legend), heatMaps(image))
    }
    this.body.append(make("p", "guda-note", image.note))
  }
}

/** The canvas zooms and pans under the panel too, unless the panel itself can scroll. */
function shareWithCanvas(panel) {
  panel.body.addEventListener("wheel", (event) => {
    const { scrollTop, scrollHeight, clientHeight } = panel.body
    const canScroll =
      event.deltaY < 0 ? scrollTop > 0 : scrollTop + clientHeight < scrollHeight - 1
    if (canScroll && !event.ctrlKey) return event.stopPropagation()
    if (window.LiteGraph?.vueNodesMode) return
    event.preventDefault()
    app.canvas.processMouseWheel?.(event)
  })
  const middle = { pointerdown: "processMouseDown", pointerup: "processMouseUp" }
  for (const [type, method] of Object.entries(middle)) {
    panel.element.addEventListener(type, (event) => {
      if (event.button === 1 && !window.LiteGraph?.vueNodesMode) app.canvas[method]?.(event)
    })
  }
  panel.element.addEventListener("pointermove", (event) => {
    if (event.buttons & 4 && !window.LiteGraph?.vueNodesMode) app.canvas.processMouseMove?.(event)
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

function addPanel(node) {
  const panel = new Panel()
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
  node.setSize([Math.max(node.size[0], width, 480), Math.max(node.size[1], height)])
}

app.registerExtension({
  name: "guda.attribution",
  nodeCreated(node) {
    if (node.comfyClass === NODE) addPanel(node)
  },
  loadedGraphNode(node) {
    restore(node)
  },
  onNodeOutputsUpdated(outputs) {
    for (const node of panels.keys()) restore(node, outputs)
  },
})
