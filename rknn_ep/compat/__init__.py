"""Other people's interfaces on top of ours, so that their programs run unchanged."""
