// The panel in "Attribute to Styles": which styles did the model lean on, per picture.
// It shows what nodes/payload.py makes; everything it needs of ComfyUI is handed to it.

import { Actions } from "./actions.js"
import { decimalsFor, listbox, make, number, picture } from "./dom.js"
import { notes } from "./notes.js"
import { distribution } from "./null.js"
import { extent, figure } from "./profile.js"
import { thumbnail } from "./sheet.js"
import { styles } from "./styles.js"
import { Viewer } from "./viewer.js"
import { intervalName, t, unitName, verdict } from "./words.js"

const LARGEST = 2 // how much text grows where the canvas is small
const TEXT = 13 // pixels, as in guda.css
const WIDTHS = { "guda-narrow": 36, "guda-tiny": 24 } // em below which a layout holds

/** The leader's delta in words, such as "12.3 nats". */
function lostBy({ scores }, unit) {
  const decimals = decimalsFor(scores.flatMap((s) => [s.delta, s.low, s.high]))
  return `${number(scores[0]?.delta, decimals)} ${unit}`
}

export class Panel {
  /** `urlOf(file)`: where ComfyUI serves a file of the payload. */
  constructor(urlOf) {
    this.urlOf = urlOf
    this.images = []
    this.index = 0
    this.group = null // the style that the user chose, if any
    this.running = make("div", "guda-running")
    this.running.setAttribute("role", "status")
    this.strip = make("div", "guda-strip")
    this.viewer = new Viewer(urlOf)
    this.actions = new Actions(urlOf)
    this.body = make("div", "guda-scroll")
    this.body.setAttribute("role", "region")
    this.body.setAttribute("aria-label", t("region"))
    this.element = make("section", "guda-panel", "", this.running, this.body,
      this.actions.element)
    this.element.dataset.captureWheel = "true"
    this.zoom = 1
    new ResizeObserver(() => this.fit()).observe(this.element)
    this.say("")
    this.show()
  }

  get empty() {
    return this.images.length === 0
  }

  /** `output`: what the node put under `ui`, from a run or from history; `note`: where it is from. */
  take(output, note = "") {
    const payloads = output?.guda
    if (!Array.isArray(payloads) || payloads === this.payloads) return
    this.payloads = payloads
    this.origin = note
    this.images = payloads.flatMap((p) =>
      (p?.images ?? []).map((i) => ({
        ...i,
        unit: unitName(p.unit),
        interval: intervalName(p.interval),
        ...verdict(i, lostBy(i, unitName(p.unit))),
      })),
    )
    this.say("")
    this.show()
  }

  /** A line above everything: progress, or why there is no result. `share`: 0 ... 1 of a bar. */
  say(text, share) {
    this.running.textContent = text
    this.running.hidden = !text
    this.running.classList.toggle("guda-moving", share !== undefined)
    this.running.style.setProperty("--guda-done", `${100 * (share ?? 0)}%`)
  }

  /** How small the canvas shows the panel: 1 as it is, 0.5 half. Text grows in return. */
  scaled(scale) {
    const wanted = Math.min(Math.max(0.9 / scale, 1), LARGEST)
    const zoom = Math.round(wanted * 8) / 8
    if (zoom === this.zoom) return
    this.zoom = zoom
    this.element.style.setProperty("--guda-zoom", zoom)
    this.fit()
  }

  fit() {
    const width = this.element.offsetWidth / (TEXT * this.zoom)
    for (const [name, least] of Object.entries(WIDTHS)) {
      this.element.classList.toggle(name, width > 0 && width < least)
    }
  }

  show() {
    this.index = Math.min(this.index, Math.max(this.images.length - 1, 0))
    const image = this.images[this.index]
    this.actions.show(image ? this.payloads[0] : null)
    if (!image) {
      this.body.replaceChildren(make("p", "guda-hint", t("hint")))
      return
    }
    const words = make("div", "guda-words", "", make("p", "guda-verdict", image.headline))
    words.append(make("p", "guda-detail", image.detail))
    if (image.null) words.append(distribution(image.null))
    if (image.prompt) words.append(make("p", "guda-prompt", image.prompt))
    this.profile = make("div")
    this.sheet = make("div")
    words.append(make("div", "guda-style", "", this.profile, this.sheet))
    this.viewer.show(image, image.unit)
    const chosen = image.scores.find((s) => s.group === this.group) ?? image.scores[0]
    const list = styles(image, chosen, this.urlOf, (score) => {
      this.group = score.group
      this.choose(image, score)
    })
    const parts = [make("div", "guda-top", "", this.viewer.element, words), list]
    if (this.images.length > 1) parts.unshift(this.pictures())
    const warnings = this.payloads.flatMap((p) => p?.warnings ?? [])
    parts.unshift(
      ...warnings.map((text) => Object.assign(make("p", "guda-warning", text), { title: text })),
    )
    const together = this.payloads.flatMap((p) => p?.source?.text ?? [])
    parts.unshift(...together.map((text) => make("p", "guda-together", text)))
    parts.push(make("p", "guda-note", [t("note"), this.origin].filter(Boolean).join(" ")))
    const said = this.payloads.flatMap((p) => (p ? notes(p) : []))
    parts.push(...said.map((text) => make("p", "guda-note", text)))
    this.body.replaceChildren(...parts)
    this.choose(image, chosen)
  }

  choose(image, score) {
    const file = (image.heatmaps ?? []).find((h) => h.group === score.group)
    this.viewer.lay(score.group, file)
    this.profile.replaceWith((this.profile = figure(score, extent(image.scores), image.unit)))
    const sheets = this.payloads.flatMap((p) => p?.sheets ?? [])
    const drawn = sheets.find((s) => s.group === score.group)
    this.sheet.replaceChildren(...(drawn ? [thumbnail(drawn, this.urlOf)] : []))
  }

  /** The batch, to pick one of. */
  pictures() {
    const options = this.images.map((image, i) => {
      const what = image.prompt || image.image
      const words = t("of", { n: i + 1, all: this.images.length, what })
      const option = make("div", "guda-pick")
      if (image.picture) option.append(picture(this.urlOf(image.picture), ""))
      option.title = `${words}. ${image.headline}`
      option.setAttribute("aria-label", option.title)
      return option
    })
    const list = listbox("guda-strip", t("pictures"), options, this.index, (i) => {
      this.index = i
      const { scrollLeft } = list
      this.show()
      const strip = this.body.querySelector(".guda-strip")
      strip.scrollLeft = scrollLeft
      strip.children[i].focus({ preventScroll: true })
      strip.children[i].scrollIntoView({ block: "nearest", inline: "nearest" })
    })
    return list
  }
}
