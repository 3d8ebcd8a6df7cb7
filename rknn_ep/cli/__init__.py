"""The command line `rknn-ep`: one small file a command."""
