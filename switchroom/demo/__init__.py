"""The demo: the main job on two emulated nodes, shown step by step."""
