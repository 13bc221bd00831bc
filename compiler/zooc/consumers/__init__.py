"""Other runtimes that open `model.onnx`: what each makes of the file, asked of the runtime itself."""

from zooc.consumers.check import CONSUMERS, Consumption, check_consumer
from zooc.consumers.refusal import Refused

__all__ = ["CONSUMERS", "Consumption", "Refused", "check_consumer"]
