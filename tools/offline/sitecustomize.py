"""Python imports this module at start, in every process that has this folder on PYTHONPATH."""

import loopback_only

loopback_only.install()
