"""A real ComfyUI and a real browser, driven by tests and by what makes pictures and workflows."""
