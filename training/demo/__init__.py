"""`eddycast demo`: the whole job on real sensor data; train, publish, stream, forecast, score."""

from training.demo.run import run_demo

__all__ = ["run_demo"]
