"""The control protocol, as far as listing needs it: the module's own client, without its compiled part."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "python", "imago"))

from vici import Vici  # noqa: E402

__all__ = ["Vici"]
