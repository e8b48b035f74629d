"""The monitor: a process of its own that reads the forecasts topic and answers people and programs.

follower (thread of the process) -> decode -> board: panels of rings and scores
HTTP thread                      -> views of the board -> JSON, CSV, the page
"""
