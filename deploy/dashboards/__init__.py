"""Grafana dashboards; `make docs` writes their JSON to deploy/grafana/dashboards."""
