"""The demo: the main job on an emulated node, shown step by step."""
