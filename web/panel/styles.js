// The ranked styles of one picture: heat map, name, bar with interval, numbers.

import { decimalsFor, known, listbox, make, number, percent, picture } from "./dom.js"
import { extent, plot } from "./profile.js"
import { t } from "./words.js"

/** "lead", "tied" or "other", by what the verdict points at. */
function kindOf(group, named) {
  if (!named.includes(group)) return "other"
  return named.length === 1 ? "lead" : "tied"
}

function bar(score, place) {
  const track = make("div", "guda-track")
  const zero = place(0)
  if (known(score.delta)) {
    const end = place(score.delta)
    const fill = make("div", "guda-bar")
    fill.style.left = `${Math.min(zero, end)}%`
    fill.style.width = `${Math.abs(end - zero)}%`
    track.append(fill)
  }
  const axis = make("div", "guda-zero")
  axis.style.left = `${zero}%`
  track.append(axis)
  if (known(score.low) && known(score.high)) {
    const whisker = make("div", "guda-whisker")
    whisker.style.left = `${place(score.low)}%`
    whisker.style.width = `${place(score.high) - place(score.low)}%`
    track.append(whisker)
  }
  return track
}

/** The list; `choose(score)` is told which style is chosen. */
export function styles(image, chosen, urlOf, choose) {
  const { scores, unit, interval } = image
  const numbers = scores.flatMap((s) => [s.delta, s.low, s.high]).filter(known)
  const least = Math.min(0, ...numbers)
  const room = Math.max(0, ...numbers) - least || 1
  const place = (value) => ((value - least) / room) * 100
  const decimals = decimalsFor(numbers)
  const range = extent(scores)
  const files = new Map((image.heatmaps ?? []).map((file) => [file.group, file]))
  const rows = scores.map((score) => {
    const kind = kindOf(score.group, image.named ?? [])
    const low = number(score.low, decimals)
    const span = t("span", { low, high: number(score.high, decimals) })
    const delta = number(score.delta, decimals, true)
    const thumb = make("span", "guda-thumb")
    if (image.picture) thumb.append(picture(urlOf(image.picture), ""))
    const file = files.get(score.group)
    if (file) thumb.append(picture(urlOf(file), "", "guda-layer"))
    const row = make(
      "div",
      `guda-row guda-${kind}`,
      "",
      thumb,
      make("span", "guda-name", score.group),
      bar(score, place),
      plot(score.profile, range, unit),
      make("span", "guda-delta", delta),
      make("span", "guda-span", span),
      make("span", "guda-share", percent(score.share)),
    )
    const told = { rank: score.rank, style: score.group, delta, unit, interval, span }
    row.title = t("row", told)
    row.setAttribute("aria-label", t("row_spoken", { ...told, share: percent(score.share) }))
    return row
  })
  const list = listbox("guda-rows", t("styles"), rows, scores.indexOf(chosen), (i) =>
    choose(scores[i]),
  )
  const head = make(
    "div",
    "guda-row guda-head",
    "",
    make("span", "guda-name", t("style")),
    make("span", "guda-track", t("delta_and", { interval })),
    make("span", "guda-plot", t("by_noise")),
    make("span", "guda-delta", t("delta_in", { unit })),
    make("span", "guda-share", t("share")),
  )
  head.setAttribute("aria-hidden", "true")
  return make("div", "guda-list", "", head, list)
}
