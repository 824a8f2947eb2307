// Elements, numbers and small things that the panel's parts share. No side effects on import.
// Names and prompts come from users: they are only ever set as text.

import { t } from "./words.js"

const ENTITIES = { amp: "&", lt: "<", gt: ">", quot: '"' }

/** The text of what nodes/runtime.py escaped for ComfyUI's own line of progress, which is HTML. */
export const unescaped = (text) =>
  String(text ?? "").replace(/&(?:(amp|lt|gt|quot)|#(?:x([\da-f]{1,5})|(\d{1,6})));/gi, (_, name, hex, code) =>
    name ? ENTITIES[name.toLowerCase()] : String.fromCodePoint(parseInt(hex ?? code, hex ? 16 : 10)),
  )

export function make(tag, className = "", text = "", ...children) {
  const element = document.createElement(tag)
  if (className) element.className = className
  if (text) element.textContent = text
  element.append(...children)
  return element
}

export function button(className, text, label, onClick) {
  const element = make("button", className, text)
  element.type = "button"
  if (label) element.title = label
  element.addEventListener("click", onClick)
  return element
}

// Numbers, as guda/report/wording.py writes them

export const known = (value) => typeof value === "number" && Number.isFinite(value)

export function decimalsFor(values) {
  const largest = Math.max(0, ...values.filter(known).map(Math.abs))
  return largest > 0 ? Math.min(Math.max(2 - Math.floor(Math.log10(largest)), 0), 6) : 2
}

export function number(value, decimals, signed = false) {
  if (!known(value)) return "\u2013"
  const text = Math.abs(value).toLocaleString("en-US", {
    minimumFractionDigits: decimals,
    maximumFractionDigits: decimals,
  })
  if (!/[1-9]/.test(text)) return text
  return (value < 0 ? "\u2212" : signed ? "+" : "") + text
}

export const percent = (share) => (known(share) ? `${Math.round(share * 100)} %` : "\u2013")

/** A picture; words in its place once ComfyUI has emptied its temp folder. */
export function picture(url, description, className = "") {
  const image = make("img", className)
  image.alt = description
  image.draggable = false
  image.addEventListener("error", () => {
    const gone = make("span", "guda-gone", description ? t("gone") : "")
    image.replaceWith(gone)
  })
  image.src = url
  return image
}

const KEYS = {
  ArrowDown: (i) => i + 1,
  ArrowRight: (i) => i + 1,
  ArrowUp: (i) => i - 1,
  ArrowLeft: (i) => i - 1,
  Home: () => 0,
  End: (i, count) => count - 1,
}

/**
 * A list in which one option is chosen: by click, or by arrow keys, Home and End.
 * `options` are elements; `choose(index)` is told of every choice. Returns the list element.
 */
export function listbox(className, label, options, chosen, choose) {
  const list = make("div", className, "", ...options)
  list.setAttribute("role", "listbox")
  list.setAttribute("aria-label", label)
  const mark = (index) => {
    options.forEach((option, i) => {
      option.setAttribute("aria-selected", String(i === index))
      option.tabIndex = i === index ? 0 : -1
    })
  }
  options.forEach((option, i) => {
    option.setAttribute("role", "option")
    option.addEventListener("click", () => {
      mark(i)
      choose(i)
    })
  })
  list.addEventListener("keydown", (event) => {
    const at = options.indexOf(document.activeElement)
    const step = KEYS[event.key]
    if (!step || at < 0 || event.ctrlKey || event.metaKey || event.altKey) return
    event.preventDefault()
    event.stopPropagation() // the canvas has plans of its own for these keys
    const to = Math.min(Math.max(step(at, options.length), 0), options.length - 1)
    if (to === at) return
    mark(to)
    options[to].focus()
    choose(to)
  })
  mark(chosen)
  return list
}
