// The panel speaks the language that is set in ComfyUI, English where it has no words.

import de from "./words/de.js"
import en from "./words/en.js"
import es from "./words/es.js"
import fr from "./words/fr.js"
import ja from "./words/ja.js"
import ko from "./words/ko.js"
import ru from "./words/ru.js"
import zh from "./words/zh.js"

const TABLES = { de, en, es, fr, ja, ko, ru, zh }
let table = en

/** `locale` as ComfyUI's setting has it: "de", "zh-TW". */
export function speak(locale) {
  const [language] = String(locale ?? "").split("-")
  table = TABLES[locale] ?? TABLES[language] ?? en
}

/** The words of this name, with {names} filled in. */
export function t(name, values = {}) {
  return table[name].replace(/\{(\w+)\}/g, (_, key) => values[key])
}

// What the server says in English, and the panel in the user's language

export const unitName = (unit) => t(unit === "nats" ? "nats" : "weighted")

/** "95 % interval" */
export function intervalName(interval) {
  const [percent] = String(interval ?? "").split(" ")
  return t("interval", { percent })
}

const NAMED = 3 // styles that an undecided verdict spells out, as in guda/report/wording.py

function listed(names) {
  const shown = names.length > NAMED ? names.slice(0, NAMED - 1) : names.slice()
  if (shown.length < names.length) shown.push(t("more", { n: names.length - shown.length }))
  const last = shown.pop()
  return shown.length ? shown.join(t("comma")) + t("and") + last : last
}

// What a verdict from null pictures is called here; see guda/scoring/verdict.py
const KINDS = {
  style: "named",
  undecided: "between",
  none: "nothing",
  unlike: "unlike",
  "not enough": "untold",
}

/** { headline, detail } of one picture; `lost` is the leader's delta with its unit. */
export function verdict(image, lost) {
  if (table === en) return { headline: image.headline, detail: image.detail }
  const { evidence } = image
  const named = image.named ?? []
  const kind =
    (evidence && KINDS[image.outcome]) || (["none", "lead"][named.length] ?? "undecided")
  const values = {
    style: named[0] ?? image.scores[0]?.group,
    styles: listed([...named]),
    delta: lost,
    lower: evidence?.lower,
    pool: evidence?.null_pictures,
    strength: evidence ? t(evidence.strength) : "",
  }
  const size = evidence?.names_with
  const larger = size ? ` ${t("larger", { size })}` : ""
  return { headline: t(kind, values), detail: t(`${kind}_detail`, values) + larger }
}
