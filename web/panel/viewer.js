// The picture under one style's heat map: before and after by a divider, the map by its opacity.

import { make, number, decimalsFor, picture } from "./dom.js"
import { t } from "./words.js"

const OPACITY = 70 // percent, at first

function range(className, label, value) {
  const input = make("input", className)
  input.type = "range"
  input.min = 0
  input.max = 100
  input.step = 1
  input.value = value
  input.setAttribute("aria-label", label)
  input.addEventListener("keydown", (event) => event.stopPropagation())
  return input
}

export class Viewer {
  /** `urlOf(file)`: where ComfyUI serves a file of the payload. */
  constructor(urlOf) {
    this.urlOf = urlOf
    this.before = make("div", "guda-before")
    this.after = make("div", "guda-after")
    this.line = make("div", "guda-line")
    this.grip = make("div", "guda-grip")
    this.tag = make("span", "guda-tag")
    this.divider = range("guda-divider", t("divide"), 0)
    this.divider.addEventListener("input", () => this.divide())
    this.opacity = range("guda-opacity", t("opacity"), OPACITY)
    this.opacity.addEventListener("input", () => this.fade())
    this.frame = make("div", "guda-frame", "", this.before, this.after, this.tag, this.line,
      this.divider, this.grip)
    this.least = make("span")
    this.most = make("span")
    const ramp = make("div", "guda-ramp")
    this.legend = make("div", "guda-legend", "", this.least, ramp, this.most)
    const opacity = make("label", "guda-fade", "", make("span", "", t("heat_map")), this.opacity)
    this.element = make("div", "guda-viewer", "", this.frame, opacity, this.legend)
    this.divide()
    this.fade()
  }

  /** Another picture: `image` of the payload. */
  show(image, unit) {
    const description = image.prompt || image.image || t("the_picture")
    const there = (image.picture ? [0, 1] : []).map((copy) =>
      picture(this.urlOf(image.picture), copy ? "" : description),
    )
    const [width, height] = image.size ?? [1, 1] // as it was given, in a square at most
    this.frame.style.aspectRatio = `${width} / ${height}`
    this.frame.style.width = `${Math.min(100, (100 * width) / height)}%`
    this.before.replaceChildren(...there.slice(0, 1))
    this.after.replaceChildren(...there.slice(1))
    this.layer = null
    const decimals = decimalsFor([image.scale])
    this.least.textContent = number(-image.scale, decimals)
    this.most.textContent = number(image.scale, decimals, true)
    this.legend.title = t("legend", { unit })
  }

  /** Lays the map `file` of the style `group` over the picture; none without a file. */
  lay(group, file) {
    this.layer?.remove()
    this.layer = null
    if (file) {
      this.layer = picture(this.urlOf(file), "", "guda-layer")
      this.layer.dataset.group = group
      this.after.append(this.layer)
    }
    this.tag.textContent = group
    this.fade()
  }

  divide() {
    const at = Number(this.divider.value)
    this.after.style.clipPath = `inset(0 0 0 ${at}%)`
    this.frame.style.setProperty("--guda-at", `${at}%`)
    this.divider.setAttribute("aria-valuetext", t("divided", { picture: at, map: 100 - at }))
  }

  fade() {
    const strength = Number(this.opacity.value) / 100
    this.after.style.setProperty("--guda-strength", strength)
    this.opacity.setAttribute("aria-valuetext", `${this.opacity.value} %`)
  }
}
