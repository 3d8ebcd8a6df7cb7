"""One module a job: `def run(arguments: dict, folder: str) -> dict`, called in its own process, in its own working folder."""
