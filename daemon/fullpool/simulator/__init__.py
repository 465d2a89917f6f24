"""A stand-in for the vendor over loopback: listing, archives, CHECKSUMs, REST API, faults.

It imports nothing of the rest, so that a mistake there cannot hide in it: whatever it knows of the
vendor it has from the vendor's own files and documents.
"""

from fullpool.simulator.api import Api
from fullpool.simulator.bucket import Bucket
from fullpool.simulator.faults import Fault, fault_from
from fullpool.simulator.generate import generate, spec_from
from fullpool.simulator.invented import Spec
from fullpool.simulator.server import Simulator

__all__ = ["Api", "Bucket", "Fault", "Simulator", "Spec", "fault_from", "generate", "spec_from"]
