// Sockets that come one by one: a free one is always there, as long as the server knows one.

const NUMBERED = /^style_(\d+)$/

/** `node`: one whose inputs are style_1, style_2 ...; at least `least` of them are shown. */
export function growing(node, least = 2) {
  const all = node.inputs.filter((i) => NUMBERED.test(i.name)).map(({ name, type }) => ({ name, type }))
  const trim = () => {
    const shown = node.inputs.filter((i) => NUMBERED.test(i.name))
    const linked = shown.findLastIndex((i) => i.link != null) + 1
    const wanted = Math.min(all.length, Math.max(least, linked + 1))
    for (let k = shown.length; k > wanted; k--) {
      node.removeInput(node.inputs.findIndex((i) => i.name === all[k - 1].name))
    }
    for (let k = shown.length; k < wanted; k++) node.addInput(all[k].name, all[k].type)
  }
  const onConnectionsChange = node.onConnectionsChange
  node.onConnectionsChange = function () {
    onConnectionsChange?.apply(this, arguments)
    setTimeout(trim) // once the link is in place
  }
  setTimeout(trim) // a saved node brings its inputs along
}
