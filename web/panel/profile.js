// A style's delta by noise level: from much noise, where a picture's layout is decided, to little,
// where texture and edges are. Up and orange helps, down and violet hurts.

import { make, known, number, decimalsFor } from "./dom.js"
import { t } from "./words.js"

const BARS = 14 // most bars in a plot; neighbours are added up where there are more levels

/** Noise levels in at most BARS bins, much noise first: [{ from, to, delta }]. */
export function bins(profile) {
  const parts = [...(profile ?? [])].sort((a, b) => b.from - a.from)
  const size = Math.ceil(parts.length / BARS) || 1
  const joined = []
  for (let i = 0; i < parts.length; i += size) {
    const some = parts.slice(i, i + size)
    joined.push({
      from: Math.min(...some.map((p) => p.from)),
      to: Math.max(...some.map((p) => p.to)),
      delta: some.reduce((sum, p) => sum + (known(p.delta) ? p.delta : 0), 0),
    })
  }
  return joined
}

/** [low, high] over all styles of a picture, so that their plots compare. */
export function extent(scores) {
  const values = scores.flatMap((s) => bins(s.profile).map((b) => b.delta))
  return [Math.min(0, ...values), Math.max(0, ...values)]
}

/** The bars alone, in a box of their own size. */
export function plot(profile, [low, high], unit, titled = false) {
  const room = high - low || 1
  const place = (value) => ((high - value) / room) * 100
  const decimals = decimalsFor([low, high])
  const bars = bins(profile).map((bin) => {
    const fill = make("i", bin.delta < 0 ? "guda-down" : "guda-up")
    fill.style.top = `${place(Math.max(bin.delta, 0))}%`
    fill.style.height = `${(Math.abs(bin.delta) / room) * 100}%`
    const column = make("span", "", "", fill)
    if (titled) {
      column.title = t("level", { ...bin, delta: number(bin.delta, decimals, true), unit })
    }
    return column
  })
  const zero = make("b")
  zero.style.top = `${place(0)}%`
  return make("div", "guda-plot", "", ...bars, zero)
}

/** The plot of one style with its words. */
export function figure(score, range, unit) {
  const parts = bins(score.profile)
  if (parts.length < 2) return make("div")
  const title = make("figcaption", "", t("by_level"), make("strong", "", score.group))
  const drawn = plot(score.profile, range, unit, true)
  const decimals = decimalsFor(range)
  drawn.setAttribute("role", "img")
  const best = parts.reduce((a, b) => (b.delta > a.delta ? b : a))
  drawn.setAttribute(
    "aria-label",
    t("profile", {
      ...best,
      style: score.group,
      delta: number(best.delta, decimals, true),
      unit,
    }),
  )
  const ends = make("div", "guda-ends", "", make("span", "", t("structure")),
    make("span", "", t("texture")))
  return make("figure", "guda-profile", "", title, drawn, ends)
}
