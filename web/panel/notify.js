// A word from the browser when a long run ends while the page is out of sight, for who asked for it.

import { t } from "./words.js"

const LONG = 60_000 // milliseconds
export const ID = "GUDA.NotifyWhenDone"

/** For ComfyUI's settings; turning it on asks the browser, which may refuse. */
export const SETTING = {
  id: ID,
  name: "Notify me when a run of more than a minute ends",
  tooltip: "Only while ComfyUI's page is out of sight, and if the browser allows it.",
  type: "boolean",
  defaultValue: false,
  onChange: (on) => {
    if (on && window.Notification?.permission === "default") Notification.requestPermission()
  },
}

function show(text) {
  if (window.Notification?.permission === "granted") new Notification("GUDA", { body: text })
}

/**
 * `api`: ComfyUI's events; `wanted()`: whether the user asked for it and the graph is one of ours.
 * The others are what the browser has: a clock, whether the page is out of sight, how to say it.
 */
export function watchRuns(api, wanted, now = Date.now, away = () => document.hidden, say = show) {
  let began
  api.addEventListener("execution_start", () => (began = now()))
  const end = (text) => {
    if (now() - began > LONG && away() && wanted()) say(text)
  }
  api.addEventListener("execution_success", () => end(t("run_done")))
  api.addEventListener("execution_error", () => end(t("run_failed")))
}
