"""The workers of the service, seen through their metrics ports.

names (thread) -> addresses -> watch (thread): fetch -> scrape -> history -> lines, totals
"""
