// Inputs that most need not see. The server marks them; front ends heed the mark in part.

const SETTING = "Comfy.Node.AlwaysShowAdvancedWidgets" // of front ends whose Nodes 2.0 heeds it
const ROW = 20 // pixels of a widget on the classic canvas, 4 between two

const marked = (node) => (node.widgets ?? []).filter((w) => w.options?.advanced)

function isLinked(node, widget) {
  return Boolean(node.inputs?.some((i) => i.widget?.name === widget.name && i.link != null))
}

/** On the classic canvas, which keeps a hidden widget's room unless it has none. */
function onCanvas(node) {
  for (const widget of marked(node)) {
    widget.advanced = !isLinked(node, widget)
    widget.computeSize = (width = 0) =>
      widget.advanced && !node.showAdvanced ? [width, -4] : [width, ROW]
  }
}

/** In Nodes 2.0 of front ends that know no mark but one that hides for good. */
function inVue(node) {
  for (const widget of marked(node)) {
    widget.options.hidden = !isLinked(node, widget) && !node.showAdvanced
  }
}

/** `app`: ComfyUI's; `inVueNodes()`: whether Nodes 2.0 is on. Values stay as they are. */
export function tuckAway(node, app, inVueNodes) {
  if (!marked(node).length) return
  const old = app.extensionManager?.setting?.get?.(SETTING) === undefined
  const apply = () => {
    onCanvas(node)
    if (old) inVue(node)
  }
  apply()
  node.setSize([node.size[0], node.computeSize()[1]])
  const onConfigure = node.onConfigure
  node.onConfigure = function () {
    onConfigure?.apply(this, arguments)
    apply()
  }
  if (!old) return
  const menu = node.getExtraMenuOptions
  node.getExtraMenuOptions = function (_, options) {
    const more = menu?.apply(this, arguments)
    const content = node.showAdvanced ? "Hide Advanced" : "Show Advanced"
    const callback = () => {
      node.toggleAdvanced()
      apply()
    }
    if (inVueNodes()) options.push({ content, callback })
    return more
  }
}
