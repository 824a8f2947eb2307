// Something over the page, until it is closed.

import { button, make } from "./dom.js"
import { t } from "./words.js"

/** `bar`: more buttons beside "Close". */
export function openDialog(title, content, ...bar) {
  const dialog = make("dialog", "guda-dialog")
  const close = button("guda-button", t("close"), "", () => dialog.close())
  dialog.append(make("div", "guda-dialog-bar", "", make("strong", "", title), ...bar, close), content)
  dialog.setAttribute("aria-label", title)
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close())
  dialog.addEventListener("close", () => dialog.remove())
  dialog.addEventListener("keydown", (event) => event.stopPropagation())
  document.body.append(dialog)
  dialog.showModal()
  close.focus()
  return dialog
}
