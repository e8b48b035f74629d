"""The monitor: a process of its own that reads the forecasts topic and answers people and programs.

follower (thread of the process) -> decode -> board: panels of rings and scores
workers, model_changes (threads) -> service_panel: the service beside its forecasts
HTTP thread                      -> views of the board -> JSON, CSV, the page
"""
