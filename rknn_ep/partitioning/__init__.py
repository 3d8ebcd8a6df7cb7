"""Which nodes go to the NPU: verdicts from capability tables, partitions, the report. Policy: docs/capability.md."""
