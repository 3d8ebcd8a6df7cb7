"""One module a session: `class Session`, `__init__(arguments, folder)`; its methods are called by name, in its own process."""
