"""What the harness runs in the page, and the settings under which the page opens."""

from __future__ import annotations

PAUSE = "ms => new Promise(drawn => setTimeout(() => requestAnimationFrame(drawn), ms))"
SETTINGS = {
    "Comfy.Locale": "en",
    "Comfy.ColorPalette": "dark",
    "Comfy.TutorialCompleted": True,  # no first-run template dialog
    "Comfy.Workflow.Persist": False,
    "Comfy.EnableTooltips": True,
    "Comfy.Minimap.Visible": False,
    "Comfy.VueNodes.Enabled": False,  # the classic canvas; Nodes 2.0 when True
}
# Banners that would cover the graph, as the page itself remembers that they were closed.
DISMISSED = (
    "if (window === top) {"
    + "".join(
        f"localStorage.setItem('{key}', 'true');"
        for key in ("vueNodesBannerDismissed", "comfy.vueNodesMigration.dismissed")
    )
    + "}"
)  # a sandboxed frame has no storage
# The spinner turns until the front end has put a graph of its own into the page.
READY = """() => window.app?.graph && window.LiteGraph
    && window.app.extensionManager?.spinner === false
    && Object.keys(LiteGraph.registered_node_types).length > 50
    && window.app.extensions.some(e => e.name === 'guda.attribution')"""
BEGIN = """() => {
    window.app.graph.clear()
    window.ended = new Set()
    const end = ({ detail }) => window.ended.add(detail.prompt_id)
    for (const how of ['success', 'error', 'interrupted'])
        window.app.api.addEventListener(`execution_${how}`, end)
}"""
FIT = """async () => {
    await window.app.extensionManager.command.execute('Comfy.Canvas.FitView')
    const { ds } = window.app.canvas
    for (let still = 0, last; still < 3; ) { // it is animated
        await new Promise(requestAnimationFrame)
        const now = [ds.scale, ...ds.offset].join()
        still = now === last ? still + 1 : 0
        last = now
    }
}"""
LOOK_AT = """([left, top, scale]) => {
    const { canvas } = window.app
    canvas.ds.scale = scale
    canvas.ds.offset[0] = -left
    canvas.ds.offset[1] = -top
    canvas.deselectAll?.()
    canvas.setDirty(true, true)
}"""
