// Pictures that have nothing to do with the styles, by how far one style stands out in them, and
// where this picture is among them. `null` as nodes/payload.py has it: heights and places, 0 ... 1.

import { make } from "./dom.js"
import { t } from "./words.js"

export function distribution({ bars, mark, cut }) {
  const columns = bars.map((height) => {
    const bar = make("i")
    bar.style.height = `${100 * height}%`
    return bar
  })
  const at = (name, place) => {
    const line = make("b", name)
    line.style.left = `${100 * place}%`
    return line
  }
  const lines = [at("guda-this", mark)]
  if (typeof cut === "number") lines.unshift(at("guda-cut", cut))
  const drawn = make("div", "guda-null", "", ...columns, ...lines)
  drawn.title = t("null_tip")
  drawn.setAttribute("role", "img")
  drawn.setAttribute("aria-label", drawn.title)
  return drawn
}
