// What is said below the answers of the null pool, the names and the intervals, as in
// guda/report/notes.py, from the numbers that come along.

import { number, percent } from "./dom.js"
import { t } from "./words.js"

const USUAL = 200 // null pictures, see guda/scoring/conformal.py
const SOURCES = { "no style": "free", "another style": "other", folder: "folder" }

/** The lines of one payload. */
export function notes(payload) {
  const said = [...ofPool(payload), ...ofSeeds(payload.seed_spread)]
  return said.length ? said : (payload.notes ?? [])
}

function ofPool({ null: pool, images }) {
  if (!pool) return []
  const said = Object.entries(pool.prompts).map(([form, told]) => ofForm(pool, form, told))
  if (images.length > 1) {
    said.push(
      t("note_names", {
        named: images.filter((i) => i.outcome === "style").length,
        all: images.length,
        wrong: number(pool.expected_wrong, 1),
        kept: pool.kept,
        level: percent(pool.level),
      }),
    )
  }
  return said
}

function ofForm(pool, form, { pictures, sources, rank, named_share: share }) {
  const parts = Object.entries(SOURCES).flatMap(([source, name]) =>
    sources[source] ? [t(`source_${name}`, { n: sources[source] })] : [],
  )
  const values = {
    n: pictures,
    origin: t(`origin_${pool.origin}`),
    sources: parts.join(t("and")),
    form: t(`form_${form}`),
  }
  const said = [t("note_pool", values)]
  if (rank) said.push(rank === 1 ? t("note_beyond_all") : t("note_beyond", { n: rank - 1 }))
  if (typeof share === "number") said.push(t("note_share", { share: percent(share) }))
  if (rank && pictures < USUAL) said.push(t("note_small", { usual: USUAL }))
  return said.join(" ")
}

function ofSeeds(spread) {
  if (!spread) return []
  const shares = Object.values(spread.shares)
  const [low, high] = [Math.min(...shares), Math.max(...shares)].map(percent)
  const size = low === high ? low : t("span", { low, high })
  const whence = spread.assumed
    ? t("note_assumed")
    : t("note_measured", { repeats: spread.repeats })
  return [`${t("note_seeds", { size })} ${whence}`]
}
