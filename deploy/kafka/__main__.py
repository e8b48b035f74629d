"""`python -m deploy.kafka`: run Apache Kafka until Ctrl-C."""

from __future__ import annotations

import argparse
import signal
import sys
import threading

from deploy.kafka.server import KafkaServer, KafkaServerError


def main() -> int:
    """Start a cluster, print its addresses, and stop it at SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.kafka", description="Run Apache Kafka on this machine until Ctrl-C."
    )
    parser.add_argument(
        "--port", type=int, default=9092, help="port of the first node (default: %(default)s)"
    )
    parser.add_argument(
        "--nodes", type=int, default=1, help="brokers in the cluster (default: %(default)s)"
    )
    parser.add_argument(
        "--secure",
        action="store_true",
        help="one node with TLS, SASL and ACLs: deploy/kafka/secure.py",
    )
    arguments = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        with _server(arguments) as server:
            print(f"Kafka is ready: {server.bootstrap_servers}", flush=True)
            print("\n".join(server.details()), flush=True)
            print(
                f"log: {server.log_files()[0]}  (Ctrl-C stops it and removes its data)", flush=True
            )
            while not stop.wait(1.0):
                server.check()
    except KafkaServerError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _server(arguments: argparse.Namespace) -> KafkaServer:
    if not arguments.secure:
        return KafkaServer(arguments.nodes, port=arguments.port)
    from deploy.kafka.secure import SecureKafka  # imports cryptography

    return SecureKafka(port=arguments.port)


if __name__ == "__main__":
    sys.exit(main())
