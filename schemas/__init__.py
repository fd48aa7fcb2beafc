"""Every shape that crosses a border, and how both sides count what it holds. Imports nothing of ours."""
