// What the model draws when it is asked for a style, with it and without it: small, and whole.

import { openDialog } from "./dialog.js"
import { button, make, picture } from "./dom.js"
import { t } from "./words.js"

/** A button with the small picture, for `sheet` of the payload: { group, thumb, file }. */
export function thumbnail(sheet, urlOf) {
  const title = t("sheet", { style: sheet.group })
  const open = button("guda-sheet", "", t("sheet_tip", { style: sheet.group }), () => {
    const whole = make("div", "guda-whole", "", picture(urlOf(sheet.file), title))
    openDialog(title, whole).classList.add("guda-fitting")
  })
  open.setAttribute("aria-label", title)
  const sides = make("span", "guda-sides", "", make("span", "", t("with_it")),
    make("span", "", t("without_it")))
  open.append(sides, picture(urlOf(sheet.thumb), ""))
  return open
}
