"""Rockchip's rknn-toolkit2, which writes .rknn files, in an environment and processes of its own. See docs/toolkit.md."""
