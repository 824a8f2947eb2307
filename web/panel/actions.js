// Copying the tables, and reading the report.

import { openDialog } from "./dialog.js"
import { button, make } from "./dom.js"
import { t } from "./words.js"

/** Also over plain http, where browsers offer no clipboard: most ComfyUIs in a local network. */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text)
    return true
  } catch {
    const area = make("textarea")
    area.value = text
    area.style.position = "fixed"
    area.style.opacity = "0"
    document.body.append(area)
    const before = document.activeElement
    area.select()
    const copied = document.execCommand("copy")
    area.remove()
    before?.focus?.()
    return copied
  }
}

/**
 * The report over the page. ComfyUI serves HTML as a download, so that no file in its folders runs
 * in its page; in a frame without any rights it is as safe, and stays in the desktop app too.
 */
export async function openReport(url, filename) {
  const answer = await fetch(url)
  if (!answer.ok) return false
  const frame = make("iframe")
  frame.title = t("report")
  frame.setAttribute("sandbox", "")
  // without a base of its own, a link to a picture further down would lead to ComfyUI's page
  frame.srcdoc = (await answer.text()).replace("<head>", '<head><base href="about:srcdoc">')
  const save = make("a", "guda-button", t("save"))
  save.href = url
  save.download = filename
  openDialog(t("report"), frame, save)
  return true
}

export class Actions {
  constructor(urlOf) {
    this.said = make("span", "guda-said")
    this.said.setAttribute("role", "status")
    this.markdown = button("guda-button", t("copy_table"), t("copy_table_tip"), () =>
      this.copy("markdown"),
    )
    this.csv = button("guda-button", t("copy_csv"), t("copy_csv_tip"), () =>
      this.copy("csv"),
    )
    this.report = button("guda-button", t("open_report"), t("open_report_tip"), async () => {
      const { report } = this.payload
      const opened = await openReport(urlOf(report), "report.html").catch(() => false)
      if (!opened) this.say(t("report_gone"))
    })
    this.element = make("div", "guda-actions", "", this.markdown, this.csv, this.report, this.said)
  }

  show(payload) {
    this.payload = payload
    this.element.hidden = !payload
    this.markdown.hidden = !payload?.markdown
    this.csv.hidden = !payload?.csv
    this.report.hidden = !payload?.report
  }

  async copy(kind) {
    const copied = await copyText(this.payload[kind])
    this.say(t(copied ? "copied" : "not_copied"))
  }

  say(text) {
    this.said.textContent = text
    clearTimeout(this.timer)
    this.timer = setTimeout(() => (this.said.textContent = ""), 4000)
  }
}
